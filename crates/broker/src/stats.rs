//! Counters of messages and bytes, the same four for a peer, an account and the server.

use crate::kind::{KINDS, Kind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Messages and bytes in both directions. Bytes are headers and payload, not the protocol around them.
#[derive(Debug, Default)]
pub struct Counters {
    in_msgs: AtomicU64,
    in_bytes: AtomicU64,
    out_msgs: AtomicU64,
    out_bytes: AtomicU64,
}

/// What all peers sent and got, by their kind.
#[derive(Debug, Default)]
pub struct Totals([Counters; KINDS]);

impl Totals {
    /// Those of peers of one kind.
    pub fn of(&self, kind: Kind) -> &Counters {
        // There is one for each kind.
        &self.0[kind as usize]
    }

    /// The traffic of clients.
    pub fn of_clients(&self) -> Traffic {
        self.of(Kind::Client).read()
    }

    /// The traffic of the server: what came from outside and went there.
    pub fn traffic(&self) -> Traffic {
        let kinds = Kind::ALL.into_iter().filter(|kind| kind.is_traffic());
        kinds.map(|kind| self.of(kind).read()).fold(Traffic::default(), |sum, traffic| sum + traffic)
    }
}

/// The values of [`Counters`].
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

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            in_msgs: self.in_msgs + other.in_msgs,
            in_bytes: self.in_bytes + other.in_bytes,
            out_msgs: self.out_msgs + other.out_msgs,
            out_bytes: self.out_bytes + other.out_bytes,
        }
    }
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
