//! A disk that is only looked at: what a store would change when it is opened is not carried out, so that it can be checked as it is.

use std::io;
use std::path::Path;

use crate::disk::{Access, Disk, File, Lock};

/// Another disk, of which nothing changes but its lock. Changes succeed and are forgotten, so a store that was opened by it must not be written to:
/// what it has would not be there when it is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct UntouchedDisk<D>(pub D);

impl<D: Disk> Disk for UntouchedDisk<D> {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self.0.list(dir) {
            // It would have been made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(Box::new(UntouchedFile(match access {
            Access::Read | Access::Write => Some(self.0.open(path, Access::Read)?),
            Access::Create => None,
        })))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
}

/// A file of which nothing changes; one that is new holds nothing.
struct UntouchedFile(Option<Box<dyn File>>);

impl File for UntouchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.as_ref().map_or(Ok(0), |file| file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], _: u64) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        self.0.as_ref().map_or(Ok(0), |file| file.bytes())
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |file| file.forget_cached())
    }
}
