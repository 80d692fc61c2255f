//! Files, as the store uses them: a trait, so that tests can have a disk that fails on purpose (`simulated`).

use std::io;
use std::path::Path;

/// A place that holds files. `RealDisk` is the operating system's.
pub trait Disk: Send + Sync {
    /// Makes a folder and those above it; one that exists is no error.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names of all files in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file as `access` says.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// Gives a file another name, over a file that has it. Durable when the folder is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable when the folder is synced.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names a folder has.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of this name for as long as what comes back lives. An error of kind `WouldBlock` says that another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read it; it must exist.
    Read,
    /// To read and to write it; it must exist.
    Write,
    /// A new file, to read and to write; it must not exist.
    Create,
}

/// A file that is open. Positions are explicit, so that it can be used by several threads.
pub trait File: Send + Sync {
    /// Reads at most as many bytes as the buffer has; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at most all of the bytes and returns how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes durable what was written, and the length.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    fn bytes(&self) -> io::Result<u64>;

    /// What is read from now on comes from the device, where that can be had: after a sync that failed, a cache may hold what the device
    /// does not.
    fn forget_cached(&self) -> io::Result<()>;
}

/// A lock that is held until this is dropped.
pub trait Lock: Send + Sync {}

/// Reads until the buffer is full or the file ends, and returns how many bytes there were.
pub(crate) fn read_full(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of the bytes.
pub(crate) fn write_full(file: &dyn File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match file.write_at(&bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether the disk, or what this user may have of it, is full. Everything else that a write reports is a broken disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The error of a sync. What a failed sync leaves behind is not known, whatever the error says, so it is never that of a full disk.
pub(crate) fn not_full(error: io::Error) -> io::Error {
    if is_full(&error) { io::Error::other(error) } else { error }
}
