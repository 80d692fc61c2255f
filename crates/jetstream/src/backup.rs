//! Archives of streams of any version: those of 2.15 ([`archive`](crate::archive)) and the older ones ([`official`](crate::official)), told apart
//! by how they begin.

#[cfg(test)]
mod tests;

use crate::archive::{ArchiveError, Entry, MAGIC, Reader};
use crate::official::Snapshot;
use dialtone_wire::s2;

/// An archive that is read, a piece at a time.
#[derive(Debug)]
pub struct BackupReader {
    compressed: s2::Reader,
    plain: Vec<u8>,
    stream: String,
    message_bytes_max: u32,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Unknown,
    Entries(Reader),
    Folder(Box<Snapshot>),
}

impl BackupReader {
    /// An archive of this stream, whose messages may have so many bytes of headers and payload.
    pub fn new(stream: &str, message_bytes_max: u32) -> Self {
        Self {
            compressed: s2::Reader::new(s2::BLOCK_BYTES_MAX),
            plain: Vec::new(),
            stream: stream.to_owned(),
            message_bytes_max,
            form: Form::Unknown,
        }
    }

    /// Takes the next bytes of the archive, and hands over the entries that are whole with them.
    ///
    /// # Errors
    /// The archive cannot be used; entries before that were handed over.
    pub fn read(&mut self, mut bytes: &[u8], entry: &mut dyn FnMut(Entry)) -> Result<(), ArchiveError> {
        loop {
            let decoded = self.compressed.decode(bytes, &mut self.plain);
            bytes = &bytes[decoded.used..];
            if matches!(self.form, Form::Unknown) && self.plain.len() >= MAGIC.len() {
                self.form = match self.plain.starts_with(MAGIC) {
                    true => Form::Entries(Reader::new(self.message_bytes_max)),
                    false => Form::Folder(Box::new(Snapshot::new(&self.stream))),
                };
            }
            match &mut self.form {
                Form::Unknown => {}
                Form::Entries(reader) => reader.read_plain(&self.plain, entry)?,
                Form::Folder(snapshot) => snapshot.read(&self.plain, entry)?,
            }
            if !matches!(self.form, Form::Unknown) {
                self.plain.clear();
            }
            if let Some(problem) = decoded.ended {
                return Err(problem.into());
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Nothing comes any more.
    ///
    /// # Errors
    /// Something is missing.
    pub fn finish(self) -> Result<(), ArchiveError> {
        match self.form {
            Form::Unknown => Err(ArchiveError::Truncated),
            Form::Entries(reader) => reader.finish(),
            Form::Folder(snapshot) => snapshot.finish(),
        }
    }
}
