//! What servers say to each other: one language of lines, of which routes, gateways and leaf nodes each speak a [`Dialect`].
//!
//! [`parse`] takes the operation at the front of a buffer, [`usual_message`] is its short cut for messages, and [`Unfinished`] is what is
//! known of an operation between two reads; [`encode`] writes the same operations. The JSON of INFO and CONNECT differs by protocol, and is
//! read in the rooms of these: [`crate::route`], [`crate::gateway`] and [`crate::leaf`].
//!
//! | line | route | gateway | leaf node |
//! |---|---|---|---|
//! | `RMSG account subject [reply] size`, `HMSG account subject [reply] header size` | yes | yes | – |
//! | `LMSG origin account subject [reply] header size` | yes | – | – |
//! | `LMSG subject [reply] size`, `HMSG subject [reply] header size` | – | – | yes |
//! | `RS+ account subject [queue weight]`, `RS- account subject [queue]` | yes | yes | – |
//! | `LS+ origin account subject [queue weight]`, `LS- [origin] account subject [queue]` | yes | – | – |
//! | `LS+ subject [queue weight]`, `LS- subject [queue]` | – | – | yes |
//! | `A+ account`, `A- account` | yes, of no meaning | yes | – |
//! | `INFO {…}`, `CONNECT {…}`, `PING`, `PONG`, `+OK`, `-ERR text` | yes | yes | yes |
//!
//! Where a message has queue groups, a mark and their names stand before the sizes: `+ reply group…` or `| group…`. On a route that is
//! dedicated to one account no line names the account. An origin `_` is that of a leaf node in no cluster. Source: the official server's parser, and what it sends.

mod dialect;
#[cfg(test)]
mod documents;
pub mod encode;
mod error;
mod hash;
pub mod json;
mod lines;
#[cfg(test)]
mod naive;
mod op;
mod parse;
mod rules;
#[cfg(test)]
mod tests;
mod unfinished;
mod usual;

pub use dialect::{AccountNames, Dialect, LeafOrigins, Limits};
pub use error::{ParseError, Problem};
pub use hash::short_hash;
pub use json::JsonError;
pub use op::{Interest, Op, Origin, Parsed, Queues, RoutedMessage};
pub use parse::parse;
pub use rules::SubjectRules;
pub use unfinished::Unfinished;
pub use usual::usual_message;

/// The version of the protocol between servers that this one speaks. The official figure.
pub const PROTOCOL: i64 = PROTOCOL_WITH_TRACES;
/// The first version that knows how messages are traced.
pub const PROTOCOL_WITH_TRACES: i64 = 3;
