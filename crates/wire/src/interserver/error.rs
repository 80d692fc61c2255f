//! Why bytes of another server are not an operation.

use crate::ProtocolError;

/// Why the bytes are not an operation. The text goes to the log; what the other server hears is in [`ParseError::answer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Bytes that no verb of the dialect begins with, or a payload that does not end where it should.
    #[error("unknown protocol operation '{}...'", .0.escape_ascii())]
    UnknownOperation(Box<[u8]>),
    /// A control line longer than the limit.
    #[error("maximum control line exceeded: more than {max} bytes")]
    ControlLine {
        /// The limit.
        max: usize,
    },
    /// A message larger than the limit.
    #[error("maximum payload exceeded: {size} vs {max}")]
    Payload {
        /// The size that was announced.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Too few or too many arguments, or one that is not what it should be.
    #[error("{verb}: {problem}: \"{}\"", .args.escape_ascii())]
    Arguments {
        /// Which operation.
        verb: &'static str,
        /// What is wrong.
        problem: Problem,
        /// The arguments as they came, cut to 64 bytes.
        args: Box<[u8]>,
    },
}

/// What is wrong with the arguments of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Too few or too many.
    #[error("wrong number of arguments")]
    Count,
    /// Where queue groups follow, neither `+` nor `|` is before them.
    #[error("bad or missing reply indicator")]
    ReplyIndicator,
    /// Header bytes are no number of 1 to 9 digits.
    #[error("bad or missing header size")]
    HeaderSize,
    /// Bytes of the body are no number of 1 to 9 digits.
    #[error("bad or missing size")]
    Size,
    /// More headers than body.
    #[error("header size larger than total size")]
    HeaderLargerThanBody,
}

impl ParseError {
    /// What the other server is sent before the connection is closed; `None` if it is closed without a word.
    pub fn answer(&self) -> Option<ProtocolError> {
        match self {
            Self::UnknownOperation(_) => Some(ProtocolError::UnknownOperation),
            Self::ControlLine { .. } => Some(ProtocolError::ControlLineExceeded),
            Self::Payload { .. } => Some(ProtocolError::PayloadExceeded),
            Self::Arguments { .. } => None,
        }
    }

    pub(super) fn unknown(input: &[u8]) -> Self {
        Self::UnknownOperation(input.get(..input.len().min(32)).unwrap_or_default().into())
    }

    pub(super) fn arguments(verb: &'static str, problem: Problem, args: &[u8]) -> Self {
        Self::Arguments { verb, problem, args: args.get(..args.len().min(64)).unwrap_or_default().into() }
    }
}
