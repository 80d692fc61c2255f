//! Counters of messages and bytes, the same four for a peer, an account and the server.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Messages and bytes in both directions. Bytes are headers and payload, not the protocol around them.
#[derive(Debug, Default)]
pub struct Counters {
    in_msgs: AtomicU64,
    in_bytes: AtomicU64,
    out_msgs: AtomicU64,
    out_bytes: AtomicU64,
}

/// What [`Counters`] stand at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages from the peer.
    pub in_msgs: u64,
    /// Their bytes.
    pub in_bytes: u64,
    /// Messages to the peer.
    pub out_msgs: u64,
    /// Their bytes.
    pub out_bytes: u64,
}

impl Counters {
    /// Counts what came in. Called once a turn, not once a message.
    pub fn add_in(&self, msgs: u64, bytes: u64) {
        self.in_msgs.fetch_add(msgs, Relaxed);
        self.in_bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts what goes out. Called once a turn and peer.
    pub fn add_out(&self, msgs: u64, bytes: u64) {
        self.out_msgs.fetch_add(msgs, Relaxed);
        self.out_bytes.fetch_add(bytes, Relaxed);
    }

    /// The four figures. They are read one after the other, so they may be a message apart.
    pub fn read(&self) -> Traffic {
        Traffic {
            in_msgs: self.in_msgs.load(Relaxed),
            in_bytes: self.in_bytes.load(Relaxed),
            out_msgs: self.out_msgs.load(Relaxed),
            out_bytes: self.out_bytes.load(Relaxed),
        }
    }
}
