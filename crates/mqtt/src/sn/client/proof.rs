//! How much is sent to an address before it is certain that somebody is there.

/// Whether somebody is at the address who wants what is sent there, and not somebody else who names it as his own. That an answer repeats a
/// number which only the address was told is the proof; until then little more is sent there than came from there.
#[derive(Debug, Default)]
pub(super) struct Proof {
    pub(super) received_bytes: usize,
    pub(super) sent_bytes: usize,
    pub(super) is_given: bool,
}

/// Bytes sent to an address for each byte from it, without a proof. As RFC 9000 §8.1.
const UNPROVEN_FACTOR: usize = 3;

impl Proof {
    pub(super) fn allows(&self, bytes: usize) -> bool {
        self.is_given || self.sent_bytes + bytes <= UNPROVEN_FACTOR * self.received_bytes
    }
}
