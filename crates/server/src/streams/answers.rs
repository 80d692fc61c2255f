//! What publishers are answered.

use dialtone_jetstream::error::ApiError;
use dialtone_jetstream::stream::{Marks, Proposal, Refusal};
use dialtone_store::Refused;
use std::io::Write as _;

/// What an acknowledgement says besides the sequence.
pub(super) enum Detail<'a> {
    /// Nothing.
    Plain,
    /// It was stored before.
    Duplicate,
    /// It is stored later; its number until then.
    Delayed(u64),
    /// What the counter stands at.
    Value(&'a str),
    /// All of a batch was stored.
    Batch {
        id: &'a [u8],
        /// Its messages.
        count: u64,
        /// Whether it was stored before.
        is_duplicate: bool,
    },
}

impl<'a> Detail<'a> {
    /// What the acknowledgement of a proposal says; `headers` are those of the message that led to it.
    pub(super) fn of(proposal: &'a Proposal<'_>, headers: &'a [u8]) -> Self {
        match proposal {
            Proposal::Store(store) => store.counter_value().map_or(Self::Plain, Self::Value),
            Proposal::Batch(stores) => {
                let id = Marks::of(headers).batch_id.unwrap_or_default();
                Self::Batch { id, count: stores.len() as u64, is_duplicate: false }
            }
            Proposal::Delay(delayed) => Self::Delayed(delayed.id),
            _ => Self::Plain,
        }
    }
}

/// That a message was stored, said without more than its sequence.
pub(super) struct Stored {
    /// All in front of the sequence.
    head: Box<[u8]>,
    /// It is said when the message is written, ahead of the sync.
    pub(super) is_ahead: bool,
}

impl Stored {
    /// For a stream.
    pub(super) fn new(stream: &str, domain: Option<&str>, is_ahead: bool) -> Self {
        let mut head = begin(stream, domain);
        head.extend_from_slice(b",\"seq\":");
        Self { head: head.into(), is_ahead }
    }

    /// Appends it, with the end of the line.
    pub(super) fn write(&self, seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        // Writing to memory does not fail.
        let _ = write!(out, "{seq}");
        out.extend_from_slice(b"}\r\n");
    }
}

/// A message was stored, or was before.
pub(super) fn stored(stream: &str, domain: Option<&str>, seq: u64, detail: &Detail<'_>) -> Vec<u8> {
    let mut out = begin(stream, domain);
    // Nothing has a sequence before it is stored.
    let seq = if matches!(detail, Detail::Delayed(_)) { 0 } else { seq };
    // Writing to memory does not fail.
    let _ = write!(out, ",\"seq\":{seq}");
    match detail {
        Detail::Delayed(id) => {
            let _ = write!(out, ",\"delayed\":{id}");
        }
        Detail::Plain => {}
        Detail::Duplicate => out.extend_from_slice(b",\"duplicate\":true"),
        Detail::Value(value) => {
            let _ = write!(out, ",\"val\":\"{value}\"");
        }
        Detail::Batch { id, count, is_duplicate } => {
            if *is_duplicate {
                out.extend_from_slice(b",\"duplicate\":true");
            }
            out.extend_from_slice(b",\"batch\":");
            out.extend_from_slice(&dialtone_jetstream::json::to_vec(&*String::from_utf8_lossy(id)));
            let _ = write!(out, ",\"count\":{count}");
        }
    }
    out.push(b'}');
    out
}

fn begin(stream: &str, domain: Option<&str>) -> Vec<u8> {
    let mut out = b"{\"stream\":".to_vec();
    out.extend_from_slice(&dialtone_jetstream::json::to_vec(stream));
    if let Some(domain) = domain {
        out.extend_from_slice(b",\"domain\":");
        out.extend_from_slice(&dialtone_jetstream::json::to_vec(domain));
    }
    out
}

/// A message was not stored.
pub(super) fn refused(stream: &str, refusal: &Refusal) -> Vec<u8> {
    let mut out = b"{\"error\":".to_vec();
    out.extend_from_slice(&dialtone_jetstream::json::to_vec(&ApiError::from(refusal)));
    out.extend_from_slice(b",\"stream\":");
    out.extend_from_slice(&dialtone_jetstream::json::to_vec(stream));
    out.extend_from_slice(b",\"seq\":0}");
    out
}

/// Why the store takes nothing, in a few words.
pub(super) fn store_refused(why: &Refused) -> &'static str {
    match why {
        Refused::Busy => "too much waits for the disk",
        Refused::Full => "the disk is full",
        Refused::Failed(_) => "the store has failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_as_officially() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        assert_eq!(text(stored("S", None, 5, &Detail::Plain)), r#"{"stream":"S","seq":5}"#);
        let mut written = Vec::new();
        Stored::new("S", Some("hub"), false).write(5, &mut written);
        assert_eq!(text(written), "{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":5}\r\n");
        assert_eq!(
            text(stored("S", Some("hub"), 5, &Detail::Duplicate)),
            r#"{"stream":"S","domain":"hub","seq":5,"duplicate":true}"#
        );
        assert_eq!(
            text(refused("S", &Refusal::WrongLastSequence(3))),
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}"#
        );
    }
}
