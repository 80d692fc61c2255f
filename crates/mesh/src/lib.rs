//! The servers of a cluster, and who is connected with whom: a state machine without I/O, threads, clock or source of randomness.
//!
//! Begin with [`Cluster`], one server's view of its cluster. [`event::Event`] is all that can happen to it, [`event::Action`] all that it
//! asks for. It decides which routes are dialled, which of them stay, what INFO is sent to whom, and at what addresses clients may be told
//! that the cluster can be reached. It sees neither messages nor interest.
//!
//! [`balance::Balance`] decides how many clients a server hands over to others of its cluster that have fewer.
//!
//! [`Hubs`] is the same for the servers that this one is a leaf node of.
//!
//! Invariants: time and one seed come from outside, so what happened can happen again; whatever another server can make grow is bounded
//! ([`limits`]); a route carries interest from [`event::Action::Join`] on, and not before.
#![forbid(unsafe_code)]

mod backoff;
pub mod balance;
mod cluster;
pub mod event;
pub mod gateways;
pub mod hubs;
pub mod id;
pub mod limits;
mod link;
mod name;
mod peer;
pub mod pool;
mod random;
pub mod settings;
mod target;
pub mod url;

pub use cluster::Cluster;
pub use event::{Action, DialFailure, Event, Note};
pub use hubs::{HubAction, HubEvent, HubId, HubSettings, Hubs};
pub use id::{Account, DialId, LinkId, ServerId};
pub use pool::{Lane, Place};
pub use settings::{ClientUrls, Identity, Settings};
pub use url::{Credentials, RouteUrl, WebSocketUrl};
