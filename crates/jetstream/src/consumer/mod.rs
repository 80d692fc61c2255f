//! One consumer of a stream: a state machine without I/O, clock and randomness.
//!
//! Begin with [`Consumer`]. What comes from outside is a call with a [`Context`], in which the time stands; what is to be done goes to its
//! [`Host`] as [`Event`]s, and what belongs in the stream's log to its [`Changes`]. [`State`] is what the log makes again: the rest (requests that
//! wait, interest, flow control, pins) is lost by a restart, as clients expect.
//!
//! [`Log`] is what a consumer reads of the stream, [`StreamLog`] the real one; [`Settings`] what its configuration means; [`AckSubject`] and [`Verdict`] read
//! acknowledgements, [`Asked`] what pull consumers are asked for.

mod acks;
mod ahead;
mod archived;
mod change;
mod deliver;
mod event;
mod hold;
mod info;
mod keys;
mod letters;
mod log;
mod machine;
mod manage;
mod pace;
mod pending;
mod pull;
mod push;
mod rare;
mod reply;
mod request;
mod settings;
mod snapshot;
mod state;
mod stream_log;
pub mod varint;
mod waiting;

#[cfg(test)]
mod ordered;
#[cfg(test)]
mod properties;
#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use change::{Change, Changes, ConsumerId, InvalidChanges, read_changes};
pub use deliver::{Budget, Polled};
pub use event::{Advisory, Context, Delivery, Event, Handled, Host, Status};
pub use hold::Hold;
pub use info::{Info, PriorityGroupInfo};
pub use keys::PARKED_MAX;
pub use letters::{HEADER_PREFIX as DEAD_LETTER_PREFIX, Letter, plain as plain_headers};
pub use log::{Bounds, Filters, Found, Log, SEQ_MAX, Stored};
pub use machine::Consumer;
pub use manage::ResetError;
pub use pending::{Entry, Pending};
pub use reply::{AckSubject, Prefixes, Verdict};
pub use request::Asked;
pub use settings::{
    AckPolicy, Mode, Priority, PullSettings, PushSettings, RateLimit, Retry, Settings, StartAt, Surroundings,
};
pub use snapshot::InvalidSnapshot;
pub use state::{Position, Start, State};
pub use stream_log::StreamLog;
