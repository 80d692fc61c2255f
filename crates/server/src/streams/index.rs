//! The heads of messages that are on disk alone, as streams ask for them.

use super::damages::Damages;
use dialtone_jetstream::memory::Budget;
use dialtone_jetstream::messages::{Found, Heads, Links, Place, Unread};
use dialtone_jetstream::stream::{Store, Ttl};
use dialtone_store::ReadError;
use std::sync::Arc;

/// What reading heads needs beside the store.
#[derive(Clone, Default)]
pub(crate) struct Index {
    /// What may be taken of memory.
    pub(crate) budget: Arc<Budget>,
    /// Who is told what cannot be read.
    pub(crate) damages: Arc<Damages>,
}

impl Index {
    /// The heads of a stream's messages.
    pub(super) fn of(&self, name: &str, heads: dialtone_store::Heads) -> Arc<dyn Heads> {
        Arc::new(StoredHeads { name: name.into(), heads, damages: self.damages.clone() })
    }
}

struct StoredHeads {
    name: Box<str>,
    heads: dialtone_store::Heads,
    damages: Arc<Damages>,
}

impl std::fmt::Debug for StoredHeads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredHeads").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Heads for StoredHeads {
    fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(&Found<'_>)) -> bool {
        let name = &*self.name;
        let read = self.heads.read(from, to, &mut |found| {
            let Ok(store) = Store::decode_head(found.seq, found.head, found.body_bytes) else {
                let text = format!("stream {name:?}: message {} has a head that is not known", found.seq);
                return self.damages.note(text);
            };
            sink(&Found {
                seq: found.seq,
                time: store.time,
                subject: &store.subject,
                header_bytes: store.header_bytes,
                body_bytes: store.body_bytes,
                is_kept_forever: store.ttl == Ttl::Never,
                is_marker: store.is_marker,
                place: Place(found.place.to_bytes()),
                links: Links(found.note),
            });
        });
        match &read {
            Ok(true) => {}
            Ok(false) => self.damages.note(format!(
                "stream {name:?}: the index of messages {from} to {to} is damaged, and read from the messages themselves"
            )),
            Err(error) => self.damages.note(format!("stream {name:?}: messages {from} to {to} cannot be read: {error}")),
        }
        read.is_ok()
    }

    fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        self.read_block(no, place, out).map_err(|error| self.note_unread(&error))
    }

    fn look(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        self.read_block(no, place, out).map_err(|error| match error {
            ReadError::Moved => Unread::NotNow,
            error => self.note_unread(&error),
        })
    }
}

impl StoredHeads {
    fn read_block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), ReadError> {
        self.heads.block(no, dialtone_store::Place::from_bytes(place.0), out)
    }

    /// Says that a block was not read.
    fn note_unread(&self, error: &ReadError) -> Unread {
        let (what, why) = match error {
            ReadError::Damaged(_) | ReadError::Moved => {
                ("a part of its table of subjects is made anew, since it cannot be read", Unread::Damaged)
            }
            ReadError::Disk { .. } => ("its table of subjects cannot be read", Unread::NotNow),
        };
        self.damages.note(format!("stream {:?}: {what}: {error}", self.name));
        why
    }
}
