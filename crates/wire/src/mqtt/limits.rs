//! What the other end may send.

use super::packet::Version;

/// The end that packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Packets of clients, which is what a server reads.
    Client,
    /// Packets of servers.
    Server,
}

/// What the other end may send, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Who sends.
    pub sender: Sender,
    /// The version that was agreed; `None` before CONNECT, which is then all that may come.
    pub version: Option<Version>,
    /// Bytes of a packet with its first ones. Held against the announced length, before the packet is there.
    pub packet_bytes_max: usize,
    /// Filters in SUBSCRIBE and UNSUBSCRIBE.
    pub filters_max: usize,
    /// User properties in a packet.
    pub user_properties_max: usize,
}
