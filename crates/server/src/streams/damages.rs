//! What of the store cannot be read: named once in the log, and kept for whoever asks.

use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};

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
    unsaid: Vec<String>,
}

impl Damages {
    /// Something cannot be read: in words, always the same for the same thing.
    pub(crate) fn note(&self, name: String) {
        let mut found = self.found.lock();
        if !found.known.insert(name.clone()) {
            return;
        }
        found.count += 1;
        found.unsaid.push(name.clone());
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
    pub(crate) fn take_unsaid(&self) -> Vec<String> {
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
