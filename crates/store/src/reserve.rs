//! A file that is given up when the disk is full, so that what frees room can be written.

use std::io;
use std::sync::atomic::Ordering;

use crate::commit::Log;
use crate::disk::{Access, is_full, not_full, write_full};

const NAME: &str = "reserve";
const PIECE_BYTES: u64 = 1 << 20;

impl Log {
    /// The disk is full; whether giving up the reserve, or files that the log was to use again, has made room.
    pub fn give_up_reserve(&self) -> bool {
        self.room.low.store(true, Ordering::Relaxed);
        let spare = self.spares_given_up();
        self.disk.remove(&self.root.join(NAME)).is_ok() || spare
    }

    /// Removes the files that the log was to use again; whether there was one.
    pub fn spares_given_up(&self) -> bool {
        let mut spares = self.files.spares.lock();
        let mut has_removed = false;
        while let Some(name) = spares.take() {
            // One that cannot be removed is not used; the next start finds it.
            has_removed |= self.disk.remove(&self.dir().join(name)).is_ok();
        }
        has_removed
    }

    /// Makes the reserve where there is none and room for it; then everything is taken again.
    ///
    /// # Errors
    /// The disk reported something else than that it is full.
    pub fn make_reserve(&self) -> io::Result<()> {
        if !self.room.low.load(Ordering::Relaxed) && self.has_reserve() {
            return Ok(());
        }
        let made = self.write_reserve();
        self.room.low.store(made.is_err(), Ordering::Relaxed);
        made.or_else(|error| {
            if !is_full(&error) {
                return Err(error);
            }
            _ = self.disk.remove(&self.root.join(NAME));
            Ok(())
        })
    }

    fn has_reserve(&self) -> bool {
        if self.options.reserve_bytes == 0 {
            return true;
        }
        let file = self.disk.open(&self.root.join(NAME), Access::Read);
        file.and_then(|file| file.bytes()).is_ok_and(|bytes| bytes >= self.options.reserve_bytes)
    }

    fn write_reserve(&self) -> io::Result<()> {
        let path = self.root.join(NAME);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.open(&path, Access::Create)?;
        let piece = vec![0; PIECE_BYTES.min(self.options.reserve_bytes) as usize];
        let mut written = 0;
        while written < self.options.reserve_bytes {
            let bytes = PIECE_BYTES.min(self.options.reserve_bytes - written);
            write_full(&*file, &piece[..bytes as usize], written)?;
            written += bytes;
        }
        file.sync().map_err(not_full)
    }
}
