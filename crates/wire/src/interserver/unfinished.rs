//! What is known of an operation that is not whole, so that its bytes are looked at once however they are cut.

use super::Dialect;

/// Bytes from which on it is decided which verb an operation begins with, and no verb with the blank behind it has more.
const VERB_BYTES: usize = 8;

/// The operation at the front of another server's bytes, as far as it has come.
///
/// Whoever reads asks [`Unfinished::awaits`] when more bytes have come, and [`super::parse`] only if that is false. What `parse` says
/// then is noted here. So at most a constant number of looks is had at each byte, and all that has to be kept is one control line, or
/// one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unfinished {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A control line whose newline is not among its first bytes.
    Line {
        /// How many bytes were looked at.
        bytes: usize,
    },
    /// A message of which nothing can be said before it has so many bytes.
    Message {
        /// How many.
        bytes: usize,
    },
}

impl Unfinished {
    /// Notes that `input` is the beginning of an operation with `total` bytes, as far as is known (0: unknown).
    pub fn note(&mut self, input: &[u8], total: usize) {
        *self = match total {
            0 if input.len() < VERB_BYTES => Self::Unknown,
            0 => Self::Line { bytes: input.len() },
            // The byte before the last may already show that the message is none.
            _ if total > input.len() + 1 => Self::Message { bytes: total - 1 },
            _ => Self::Message { bytes: total },
        };
    }

    /// Whether `input`, what was kept and more behind it, is still too little to be parsed. Looks at the bytes behind only.
    pub fn awaits(&mut self, input: &[u8], dialect: &Dialect) -> bool {
        match self {
            Self::Unknown => false,
            Self::Message { bytes } => input.len() < *bytes,
            Self::Line { bytes } => {
                let behind = input.get(*bytes..).unwrap_or_default();
                *bytes = input.len();
                // Longer than that it is too long, or few bytes from its end.
                crate::scan::newline(behind).is_none() && input.len() <= dialect.limits.control_line_bytes_max
            }
        }
    }
}
