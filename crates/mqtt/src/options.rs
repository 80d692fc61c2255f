//! What a server grants its MQTT clients.

use std::num::NonZeroU16;

/// The limits of a listener. Each bounds something that a client could make grow.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Seconds of keep alive at most; 0: as the client likes. Only MQTT 5 can be told of it.
    pub keep_alive_max: u16,
    /// Seconds that a session of MQTT 5 outlives its connection at most.
    pub session_expiry_max: u32,
    /// Messages of quality of service 1 and 2 that a client may have in flight to the server.
    pub receive_maximum: NonZeroU16,
    /// Messages in flight to a client, whatever it would take. Key `max_ack_pending`.
    pub ack_pending_max: NonZeroU16,
    /// Topic aliases in each direction.
    pub topic_alias_max: u16,
    /// Subscriptions of a session.
    pub subscriptions_max: usize,
    /// Bytes of a packet from a client; told to MQTT 5.
    pub packet_bytes_max: u32,
    /// Whether what is published with quality of service 2 is refused. Key `reject_qos2_publish`.
    pub reject_qos2_publish: bool,
    /// Whether subscriptions get at most quality of service 1. Key `downgrade_qos2_subscribe`.
    pub downgrade_qos2_subscribe: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive_max: 0,
            session_expiry_max: u32::MAX,
            receive_maximum: NonZeroU16::new(1024).unwrap_or(NonZeroU16::MAX),
            ack_pending_max: NonZeroU16::new(1024).unwrap_or(NonZeroU16::MAX),
            topic_alias_max: 16,
            subscriptions_max: 10_000,
            packet_bytes_max: 1024 * 1024 + 64 * 1024,
            reject_qos2_publish: false,
            downgrade_qos2_subscribe: false,
        }
    }
}
