//! WebSocket (RFC 6455) with permessage-deflate (RFC 7692), without I/O. It carries bytes and knows nothing of what they mean.
//!
//! [`upgrade`] reads the HTTP request that a connection begins with, and answers it; at the end that connects, [`request`] makes the
//! request and reads the answer. From then on a [`Stream`] decodes what comes and frames what goes. [`frame`] knows single frames,
//! [`deflate`] the compression, [`close`] why a connection ends.
//!
//! Invariants: a request, an answer, a control frame and an inflated message are bounded; of a message that is not compressed nothing
//! is kept.

pub mod close;
pub mod deflate;
pub mod frame;
mod mask;
pub mod origin;
pub mod request;
pub mod stream;
pub mod upgrade;

pub use origin::Origins;
pub use request::{Answer, AnswerError, Request};
pub use stream::{Decoded, Ended, Masking, Stream};
pub use upgrade::{Refusal, Terms, Upgrade};
