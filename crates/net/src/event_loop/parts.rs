//! The parts of a loop's state.

use super::READ_BUFFER_BYTES;
use super::entry::Slot;
use crate::inbox::{Command, Inboxes};
use crate::listener::Listener;
use std::sync::Arc;
use std::time::Instant;

/// The connections.
pub(super) struct Table<C> {
    /// By their tokens.
    pub(super) slots: Vec<Slot<C>>,
    /// Tokens that can be used again.
    pub(super) free: Vec<usize>,
    /// How many are open.
    pub(super) open: usize,
    /// The number of the last one that came; with it one is told from an earlier one in the same place.
    pub(super) serial: u32,
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), open: 0, serial: 0 }
    }
}

/// Memory that all connections use in turn.
pub(super) struct Buffers {
    /// What a read takes.
    pub(super) read: Vec<u8>,
    /// Decrypted bytes; empty until the first TLS connection.
    pub(super) plain: Vec<u8>,
    /// Bytes of a connection that came out of frames and could not stand in their place.
    pub(super) extra: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { read: vec![0; READ_BUFFER_BYTES], plain: Vec::new(), extra: Vec::new() }
    }
}

/// Where connections come in.
#[derive(Default)]
pub(super) struct Accepting {
    pub(super) listeners: Vec<Option<Listener>>,
    /// Listeners where some may wait.
    pub(super) waiting: Vec<usize>,
    /// There were no file descriptors: nothing is accepted before.
    pub(super) again_at: Option<Instant>,
}

/// What other threads have for the loop.
pub(super) struct Mail {
    /// Which of the inboxes is its own.
    pub(super) index: usize,
    pub(super) inboxes: Arc<Inboxes>,
    /// Kept for its memory.
    pub(super) commands: Vec<Command>,
}

/// Since when there was nothing to do.
pub(super) struct Idleness {
    pub(super) since: Instant,
    /// The handler was called.
    pub(super) is_noted: bool,
}
