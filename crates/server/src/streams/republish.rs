//! What a stream publishes again once it has stored it, with headers that say which message it is.

use super::emitter::add;
use dialtone_jetstream::config::StreamConfig;
use dialtone_jetstream::messages::{Messages, Selector};
use dialtone_jetstream::stream::{Proposal, Store};
use dialtone_jetstream::time::Time;
use dialtone_subject::{Transform, set};
use std::collections::HashMap;

/// Which messages are published again, and how.
pub(crate) struct Republish {
    /// A filter of subjects, behind the stream's own transform.
    source: Box<str>,
    transform: Transform,
    is_headers_only: bool,
}

/// A message to be published again.
pub(super) struct Republished {
    pub(super) subject: Box<[u8]>,
    pub(super) reply: Option<Box<[u8]>>,
    pub(super) header_bytes: usize,
    /// Headers and payload, with the end of the line.
    pub(super) framed: Box<[u8]>,
}

impl Republish {
    /// What a checked configuration asks for. `None`: nothing is published again.
    pub(super) fn of(config: &StreamConfig) -> Option<Self> {
        let republish = config.republish.as_ref().filter(|republish| !republish.dest.is_empty())?;
        let source = if republish.src.is_empty() { ">" } else { &republish.src };
        Some(Self {
            source: source.into(),
            transform: Transform::new(source, &republish.dest).ok()?,
            is_headers_only: republish.headers_only,
        })
    }

    /// What is published again of a proposal that is about to be carried out; `messages` are those before it.
    pub(super) fn made(&self, name: &str, proposal: &Proposal<'_>, messages: &Messages) -> Vec<Republished> {
        match proposal {
            Proposal::Store(store) if self.wants(store) => {
                vec![self.one(name, store, last_of(messages, &store.subject))]
            }
            Proposal::Batch(stores) => {
                let mut earlier: HashMap<&[u8], u64> = HashMap::new();
                let wanted = stores.iter().filter(|store| self.wants(store));
                let mut made = Vec::new();
                for store in wanted {
                    let Store { subject, seq, .. } = store;
                    let before = earlier.insert(subject, *seq).unwrap_or_else(|| last_of(messages, subject));
                    made.push(self.one(name, store, before));
                }
                made
            }
            _ => Vec::new(),
        }
    }

    fn wants(&self, store: &Store<'_>) -> bool {
        !store.is_skipped && set::matches(self.source.as_bytes(), &store.subject)
    }

    /// `before` is the last sequence of its subject, 0 if there was none.
    fn one(&self, name: &str, store: &Store<'_>, before: u64) -> Republished {
        let mut subject = Vec::new();
        self.transform.apply(&store.subject, &mut crate::random::random, &mut subject);
        let mut framed = store.headers.to_vec();
        add(&mut framed, "Nats-Stream", name);
        add(&mut framed, "Nats-Subject", &String::from_utf8_lossy(&store.subject));
        add(&mut framed, "Nats-Sequence", &store.seq.to_string());
        add(&mut framed, "Nats-Time-Stamp", &Time::from_unix_nanos(store.time).to_string());
        add(&mut framed, "Nats-Last-Sequence", &before.to_string());
        if self.is_headers_only {
            add(&mut framed, "Nats-Msg-Size", &store.payload.len().to_string());
        }
        let header_bytes = framed.len();
        if !self.is_headers_only {
            framed.extend_from_slice(&store.payload);
        }
        framed.extend_from_slice(b"\r\n");
        Republished { subject: subject.into(), reply: None, header_bytes, framed: framed.into() }
    }
}

fn last_of(messages: &Messages, subject: &[u8]) -> u64 {
    messages.last_of(&Selector::new([subject])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_jetstream::config::Republish as Config;
    use dialtone_jetstream::messages::Keep;

    fn republish(src: &str, dest: &str, headers_only: bool) -> Option<Republish> {
        let republish = Some(Config { src: src.into(), dest: dest.into(), headers_only });
        Republish::of(&StreamConfig { republish, ..StreamConfig::default() })
    }

    fn store(seq: u64, subject: &'static str, is_skipped: bool) -> Store<'static> {
        let (subject, payload) = (subject.as_bytes().into(), b"body"[..].into());
        Store { seq, subject, payload, is_skipped, ..Store::default() }
    }

    #[test]
    fn messages_of_a_batch_follow_each_other() {
        let republish = republish("s.*", "r.{{wildcard(1)}}", true).expect("it has a destination");
        let batch = vec![
            store(1, "s.a", false),
            store(2, "t.a", false),
            store(3, "s.b", true),
            store(4, "s.a", false),
        ];
        let messages = Messages::new(Keep::All, 0);
        let made = republish.made("S", &Proposal::Batch(batch), &messages);
        let text = |made: &Republished| String::from_utf8_lossy(&made.framed).into_owned();
        assert_eq!(made.len(), 2);
        assert!(made.iter().all(|made| *made.subject == *b"r.a"));
        assert!(text(&made[0]).contains("Nats-Sequence: 1\r\n"));
        assert!(text(&made[0]).ends_with("Nats-Last-Sequence: 0\r\nNats-Msg-Size: 4\r\n\r\n\r\n"));
        assert!(text(&made[1]).contains("Nats-Sequence: 4\r\n"));
        assert!(text(&made[1]).contains("Nats-Last-Sequence: 1\r\n"));
        assert!(made.iter().all(|made| made.header_bytes + 2 == made.framed.len()));
    }

    #[test]
    fn without_a_destination_nothing_is_published_again() {
        assert!(republish("s.*", "", false).is_none());
        let republish = republish("", "r.>", false).expect("all is published again");
        let made =
            republish.made("S", &Proposal::Store(store(7, "a.b", false)), &Messages::new(Keep::All, 0));
        assert_eq!(&*made[0].subject, b"r.a.b");
        assert!(made[0].framed.ends_with(b"\r\n\r\nbody\r\n"));
    }
}
