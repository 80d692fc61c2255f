//! What a gateway is set up with.

use super::identities::Identities;
use dialtone_wire::mqtt::topic;
use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::Duration;

/// The limits and habits of a gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its number, by which clients know it.
    pub gateway_id: u8,
    /// How often it says that it is there; `None`: never.
    pub advertise_interval: Option<Duration>,
    /// After how long a message without an answer is sent again. MQTT-SN 1.2 §7.2, T_RETRY.
    pub retry_interval: Duration,
    /// How often it is sent again before the client counts as lost. N_RETRY.
    pub retries_max: u32,
    /// Clients that are connected, awake or asleep. Further ones are told of congestion.
    pub clients_max: usize,
    /// Addresses of which something is kept that are not connected: those that connect, and those that have left. The oldest is forgotten.
    pub unconnected_max: usize,
    /// Numbers of topics that a client may have.
    pub topics_max: usize,
    /// Messages of quality of service 0 that wait for a client; the oldest of them is dropped.
    pub queue_messages_max: usize,
    /// Bytes that wait for a client, before messages of quality of service 0 are dropped.
    pub queue_bytes_max: usize,
    /// Messages of quality of service 1 and 2 that the server sends ahead.
    pub window: NonZeroU16,
    /// Bytes of a message that a client is sent, if it is less than what a datagram holds.
    pub datagram_bytes_max: usize,
    /// Answers in a second to addresses that are not connected.
    pub answers_per_second_max: u32,
    /// Topics whose numbers both ends know from the start.
    pub predefined: Predefined,
    /// Which users clients are.
    pub identities: Identities,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gateway_id: 1,
            advertise_interval: None,
            retry_interval: Duration::from_secs(10),
            retries_max: 3,
            clients_max: 65_536,
            unconnected_max: 4096,
            topics_max: 1024,
            queue_messages_max: 128,
            queue_bytes_max: 64 * 1024,
            window: NonZeroU16::new(4).unwrap_or(NonZeroU16::MIN),
            datagram_bytes_max: usize::MAX,
            answers_per_second_max: 1000,
            predefined: Predefined::default(),
            identities: Identities::default(),
        }
    }
}

/// Topics whose numbers both ends know from the start.
#[derive(Clone, Debug, Default)]
pub struct Predefined(HashMap<u16, Box<str>>);

/// Why a topic cannot be predefined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPredefined {
    /// MQTT-SN 1.2 §5.3.11 reserves these.
    #[error("topic ids 0 and 65535 are reserved")]
    Id,
    /// There is a topic with this number.
    #[error("the topic id has a topic already")]
    Twice,
    /// It cannot be published to.
    #[error("not a topic to publish to: empty, too long, or with a wildcard")]
    Topic,
}

/// Bytes of a topic that has to fit into a datagram beside what else stands in it.
const TOPIC_BYTES_MAX: usize = 60_000;

impl Predefined {
    /// Adds a topic.
    ///
    /// # Errors
    /// See [`InvalidPredefined`].
    pub fn insert(&mut self, id: u16, topic: &str) -> Result<(), InvalidPredefined> {
        if id == 0 || id == u16::MAX {
            return Err(InvalidPredefined::Id);
        }
        if !topic::is_name(topic) || topic.contains('\0') || topic.len() > TOPIC_BYTES_MAX {
            return Err(InvalidPredefined::Topic);
        }
        match self.0.insert(id, topic.into()) {
            None => Ok(()),
            Some(_) => Err(InvalidPredefined::Twice),
        }
    }

    /// The topic with this number.
    pub fn topic(&self, id: u16) -> Option<&str> {
        self.0.get(&id).map(|topic| &**topic)
    }
}
