//! What is known of an operation that is not whole, so that its bytes are looked at once however they are cut.

use super::parse::blank_bytes;
use super::{Limits, Op};

/// Bytes from which on it is decided which verb an operation begins with.
const VERB_BYTES: usize = 8;

/// The operation at the front of a peer's bytes, as far as it has come.
///
/// Whoever reads asks [`Unfinished::awaits`] when more bytes have come, and [`super::parse`] only if that is false. What
/// `parse` says then is noted here. So at most a constant number of looks is had at each byte, and all that has to be kept is one
/// control line, or one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unfinished {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A control line whose newline is not among its first bytes.
    Line {
        /// How many bytes were looked at.
        bytes: usize,
        /// Bytes of its verb, which do not count against the limit.
        verb_bytes: u8,
    },
    /// A message of which nothing can be said before it has so many bytes.
    Message {
        /// How many.
        bytes: usize,
    },
    /// PING: what follows up to the newline means nothing, and is not kept.
    Ping,
    /// PONG, likewise.
    Pong,
}

impl Unfinished {
    /// Notes that `input` is the beginning of an operation with `total` bytes, as far as is known (0: unknown). The bytes that
    /// need not be kept.
    pub fn note(&mut self, input: &[u8], total: usize) -> usize {
        *self = match input {
            // The byte before the last may already show that the message is none.
            _ if total > input.len() + 1 => Self::Message { bytes: total - 1 },
            _ if total > 0 => Self::Message { bytes: total },
            [b'P' | b'p', b'I' | b'i', b'N' | b'n', b'G' | b'g', ..] => Self::Ping,
            [b'P' | b'p', b'O' | b'o', b'N' | b'n', b'G' | b'g', ..] => Self::Pong,
            [_, ..] if input.len() >= VERB_BYTES => {
                Self::Line { bytes: input.len(), verb_bytes: verb_bytes(input) }
            }
            _ => Self::Unknown,
        };
        if matches!(self, Self::Ping | Self::Pong) { input.len() } else { 0 }
    }

    /// Whether `input`, what was kept and more behind it, is still too little to be parsed. Looks at the bytes behind only.
    pub fn awaits(&mut self, input: &[u8], limits: &Limits) -> bool {
        match self {
            Self::Unknown | Self::Ping | Self::Pong => false,
            Self::Message { bytes } => input.len() < *bytes,
            Self::Line { bytes, verb_bytes } => {
                let behind = input.get(*bytes..).unwrap_or_default();
                *bytes = input.len();
                // Longer than that it is one byte from its end, or too long.
                !behind.contains(&b'\n')
                    && input.len() <= limits.control_line_bytes_max + usize::from(*verb_bytes)
            }
        }
    }

    /// For PING and PONG: how many bytes of `input` belong to it still, and the operation if it is whole.
    pub fn skip(&self, input: &[u8]) -> (usize, Option<Op<'static>>) {
        let op = match self {
            Self::Ping => Op::Ping,
            Self::Pong => Op::Pong,
            Self::Unknown | Self::Line { .. } | Self::Message { .. } => return (0, None),
        };
        match input.iter().position(|&byte| byte == b'\n') {
            Some(newline) => (newline + 1, Some(op)),
            None => (input.len(), None),
        }
    }
}

/// Bytes in front of the arguments of an operation that begins like this, with the blank behind the verb, which
/// counts for no operation.
fn verb_bytes(input: &[u8]) -> u8 {
    let bytes = match input {
        [b'+', ..] => "+OK".len(),
        [b'C' | b'c', _, _, _, _, _, _, args @ ..] => "CONNECT".len() + blank_bytes(args),
        [b'I' | b'i', _, _, _, args @ ..] => "INFO".len() + blank_bytes(args),
        [b'H' | b'h', ..] => "HPUB ".len(),
        [b'U' | b'u', ..] => "UNSUB ".len(),
        [b'-', ..] => "-ERR ".len(),
        _ => "PUB ".len(),
    };
    bytes as u8
}
