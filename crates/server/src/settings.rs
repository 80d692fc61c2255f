//! The figures that connections look at all the time, taken out of the options once.

use std::time::Duration;

/// Immutable; a reload makes another.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of a control line's arguments.
    pub control_line_bytes_max: usize,
    /// Bytes of headers and payload.
    pub payload_bytes_max: usize,
    /// Bytes that may wait for a peer.
    pub pending_bytes_max: usize,
    /// Subscriptions of one connection; 0: any number.
    pub subscriptions_max: usize,
    /// Tokens of a subscription's filter; 0: any number.
    pub subject_tokens_max: usize,
    /// Connections of the server; 0: any number.
    pub connections_max: usize,
    /// How often a silent peer is pinged.
    pub ping_interval: Duration,
    /// PINGs that may be unanswered.
    pub pings_out_max: u32,
    /// How long a peer may take nothing.
    pub write_deadline: Duration,
    /// How long a peer may take to say who it is.
    pub auth_timeout: Duration,
    /// Whether headers are on.
    pub headers: bool,
    /// Whether credentials are needed.
    pub auth_required: bool,
    /// Whether connections get a nonce to sign.
    pub nonce_required: bool,
}
