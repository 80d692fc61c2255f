//! The codecs of the NATS protocols: bytes in, operations out, and back. What a message means is decided elsewhere.
//!
//! Begin with [`client::parse`], which reads one operation of the client protocol from the front of a buffer, and
//! [`client::encode`], which writes what a server sends; between the two a message is a [`message::Message`]. [`interserver`] is the
//! same for what servers say to each other, and [`route`], [`gateway`] and [`leaf`] how that begins; [`s2`] compresses it.
//! [`websocket`] is the framing of connections by WebSocket, whatever they speak, and [`tunnel`] what an HTTP proxy is asked. [`mqtt`]
//! is the codec of MQTT clients and [`mqtt_sn`] that of MQTT-SN, of which the server does not know yet. [`error`] is the table of everything a peer may be told.
//!
//! Invariants: nothing here does I/O or keeps a clock, and reading allocates nothing per message; every length is bounded by
//! [`client::Limits`] or [`interserver::Limits`] before anything is done with it.
#![forbid(unsafe_code)]

pub mod client;
pub mod close;
pub mod connect;
pub mod error;
pub mod gateway;
pub mod header;
pub mod http;
pub mod info;
pub mod interserver;
pub mod leaf;
pub mod message;
pub mod middle;
pub mod mqtt;
pub mod mqtt_sn;
pub mod route;
pub mod s2;
mod scan;
pub mod tunnel;
pub mod websocket;

pub use close::CloseReason;
pub use connect::Connect;
pub use error::{ProtocolError, quoted};
pub use info::Info;
