//! What of the store cannot be read: named once in the log, and kept for whoever asks.

use super::hosted::Hosted;
use super::registry::All;
use dialtone_store::{Damage, Lost};
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// Names that are kept, the latest.
const NAMES_MAX: usize = 256;

/// All that was found since the server began.
#[derive(Default)]
pub(crate) struct Damages {
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    count: u64,
    names: VecDeque<String>,
    known: HashSet<String>,
    /// Those that the log does not have yet.
    unsaid: Vec<Damaged>,
}

/// Something that cannot be read.
pub(crate) struct Damaged {
    /// In words.
    pub(crate) name: String,
    /// The stream, and the sequence of the message; 0: it is none. `None`: nobody knows whose it is.
    pub(crate) of: Option<(Arc<Hosted>, u64)>,
}

impl Damages {
    /// Something cannot be read: in words, always the same for the same thing.
    pub(crate) fn note(&self, name: String) {
        self.note_of(name, None);
    }

    /// The same of one of these streams, where it is known which.
    pub(super) fn note_damage(&self, damage: &Damage, all: &All) {
        let (group, seq) = match damage.what {
            Lost::Message { group, seq } => (Some(group), seq),
            Lost::Record { group } | Lost::State { group } | Lost::Block { group } => (Some(group), 0),
            Lost::Unknown { .. } | Lost::Nothing => (None, 0),
        };
        let stream = group.and_then(|group| all.all().into_iter().find(|one| one.group == Some(group)));
        self.note_of(damage.to_string(), stream.map(|stream| (stream, seq)));
    }

    /// The same, of this stream and message.
    pub(super) fn note_of(&self, name: String, of: Option<(Arc<Hosted>, u64)>) {
        let mut found = self.found.lock();
        if !found.known.insert(name.clone()) {
            return;
        }
        found.count += 1;
        found.unsaid.push(Damaged { name: name.clone(), of });
        found.names.push_back(name);
        if found.names.len() > NAMES_MAX
            && let Some(oldest) = found.names.pop_front()
        {
            found.known.remove(&oldest);
        }
        let excess = found.unsaid.len().saturating_sub(NAMES_MAX);
        found.unsaid.drain(..excess);
    }

    /// What the log does not have yet.
    pub(crate) fn take_unsaid(&self) -> Vec<Damaged> {
        std::mem::take(&mut self.found.lock().unsaid)
    }

    /// How much was found, and the latest of it, the oldest first.
    pub(crate) fn found(&self) -> (u64, Vec<String>) {
        let found = self.found.lock();
        (found.count, found.names.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_said_once_and_few_are_kept() {
        let damages = Damages::default();
        for number in 0..NAMES_MAX + 5 {
            damages.note(format!("message {number}"));
            damages.note(format!("message {number}"));
        }
        let (count, names) = damages.found();
        assert_eq!((count, names.len()), (NAMES_MAX as u64 + 5, NAMES_MAX));
        assert_eq!(names.first().map(String::as_str), Some("message 5"));
        assert_eq!(damages.take_unsaid().len(), NAMES_MAX);
        assert!(damages.take_unsaid().is_empty());
    }
}
