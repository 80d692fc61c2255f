//! What happens to the consumers of a stream, as it stands in the stream's log.

use crate::consumer::varint::{Reader, write};
use crate::consumer::{ConsumerId, SEQ_MAX, Start};

/// Version of the encoding, its first byte.
const VERSION: u8 = 1;

/// One step. Documents are the caller's: configurations as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A consumer is made.
    Create {
        /// Its id.
        id: ConsumerId,
        /// Its name.
        name: &'a str,
        /// When, nanoseconds since 1970.
        created: i64,
        /// Its configuration.
        document: &'a [u8],
        /// Where it begins.
        start: Start,
    },
    /// A consumer gets another configuration.
    Update {
        /// Its id.
        id: ConsumerId,
        /// Its configuration.
        document: &'a [u8],
    },
    /// A consumer is deleted.
    Delete {
        /// Its id.
        id: ConsumerId,
    },
    /// Consumers change: the bytes of `Changes`.
    Changes(&'a [u8]),
}

/// These bytes are no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step of consumers cannot be read at byte {at}")]
pub struct InvalidStep {
    /// Where.
    pub at: usize,
}

impl<'a> Step<'a> {
    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        match self {
            Self::Create { id, name, created, document, start } => {
                out.push(1);
                write(out, id.0);
                out.extend_from_slice(&created.to_le_bytes());
                with_length(out, name.as_bytes());
                with_length(out, document);
                write(out, start.next);
                write(out, start.first.len() as u64);
                let mut last = 0;
                for seq in &start.first {
                    write(out, seq.wrapping_sub(last));
                    last = *seq;
                }
            }
            Self::Update { id, document } => {
                out.push(2);
                write(out, id.0);
                with_length(out, document);
            }
            Self::Delete { id } => {
                out.push(3);
                write(out, id.0);
            }
            Self::Changes(bytes) => {
                out.push(4);
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// The bytes are cut, or of another version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, InvalidStep> {
        let mut reader = Reader::new(bytes);
        read(&mut reader).filter(|_| reader.is_done()).ok_or(InvalidStep { at: reader.at() })
    }
}

fn with_length(out: &mut Vec<u8>, bytes: &[u8]) {
    write(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn read<'a>(reader: &mut Reader<'a>) -> Option<Step<'a>> {
    if reader.byte()? != VERSION {
        return None;
    }
    let step = match reader.byte()? {
        1 => {
            let id = ConsumerId(reader.varint()?);
            let created = i64::from_le_bytes(reader.array()?);
            let name = std::str::from_utf8(bytes(reader)?).ok()?;
            Step::Create { id, name, created, document: bytes(reader)?, start: start(reader)? }
        }
        2 => Step::Update { id: ConsumerId(reader.varint()?), document: bytes(reader)? },
        3 => Step::Delete { id: ConsumerId(reader.varint()?) },
        4 => Step::Changes(reader.take(reader.left())?),
        _ => return None,
    };
    Some(step)
}

fn bytes<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = usize::try_from(reader.varint()?).ok()?;
    reader.take(length)
}

fn start(reader: &mut Reader<'_>) -> Option<Start> {
    let next = reader.varint().filter(|next| (1..=SEQ_MAX).contains(next))?;
    // Each takes a byte at least, so that no more is set aside than was sent.
    let count = reader.varint().filter(|count| *count <= reader.left() as u64)?;
    let mut first = Vec::new();
    let mut last = 0_u64;
    for _ in 0..count {
        last = last.checked_add(reader.varint().filter(|step| *step > 0)?).filter(|seq| *seq <= SEQ_MAX)?;
        first.push(last);
    }
    Some(Start { next, first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (which, id, created) in (0..4, any::<u64>(), any::<i64>()),
            (name, document) in (".{0,9}", any::<Vec<u8>>()),
            (next, first) in (1..=SEQ_MAX, proptest::collection::btree_set(1..=SEQ_MAX, 0..9)),
        ) {
            let id = ConsumerId(id);
            let start = Start { next, first: first.into_iter().collect() };
            let step = match which {
                0 => Step::Create { id, name: &name, created, document: &document, start },
                1 => Step::Update { id, document: &document },
                2 => Step::Delete { id },
                _ => Step::Changes(&document),
            };
            let mut bytes = vec![];
            step.encode(&mut bytes);
            prop_assert_eq!(Step::decode(&bytes), Ok(step.clone()));
            for cut in 0..bytes.len() {
                prop_assert!(matches!(step, Step::Changes(_)) || Step::decode(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Step::decode(&bytes);
        }
    }
}
