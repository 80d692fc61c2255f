//! One consumer of a stream: a state machine without I/O, clock and randomness.

mod change;
mod log;
mod pending;
mod reply;
mod request;
mod settings;
mod state;
pub(crate) mod varint;

pub use change::{Change, Changes, ConsumerId, InvalidChanges, read_changes};
pub use log::{Bounds, Filters, Log, Stored};
pub use pending::{Entry, Pending};
pub use reply::{AckSubject, Prefixes, Verdict};
pub use request::{Asked, Request};
pub use settings::{
    AckPolicy, Mode, Priority, PullSettings, PushSettings, RateLimit, Retry, Settings, StartAt, Surroundings,
};
pub use state::{Position, Start, State};
