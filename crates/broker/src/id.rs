//! Numbers by which accounts and connections are known.

/// The number of an account in this process. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u32);

/// The number of a connection. Never reused while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

impl ClientId {
    /// The server's own end. It is in no list of connections.
    pub const OF_SERVER: Self = Self(1);
}
