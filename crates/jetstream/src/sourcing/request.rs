//! What an origin's API is asked for.

use super::origin::Origin;
use crate::config::{
    AckPolicy, ConsumerConfig, ConsumerRequest, DeliverPolicy, REQUIRED_API_LEVEL_HEADER, StreamSource,
};
use crate::json;
use crate::time::{Nanos, Time};

/// How often the origin's consumer says that it is there, nanoseconds.
pub(super) const HEARTBEAT: i64 = 1_000_000_000;
/// After how long without a word of it, it counts as gone; and after how long without us it goes, nanoseconds.
pub(super) const SILENCE: i64 = 10_000_000_000;
/// What an official server has as the wait of a consumer that is not acknowledged.
const ACK_WAIT: Nanos = Nanos::seconds(22 * 3600);

/// What of a request an origin may not know; each is left out behind the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// The stream's identity, by which one that was made anew is told.
    Identity,
    /// `sourcing`: a name that stays the same.
    Sourcing,
    /// Nothing but `direct`.
    Plain,
}

impl Level {
    /// The next that asks for less.
    pub(super) fn lower(self) -> Option<Self> {
        match self {
            Self::Identity => Some(Self::Sourcing),
            Self::Sourcing => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// A request: its subject, header block and payload.
pub(super) struct Request {
    pub(super) subject: String,
    pub(super) headers: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Origin {
    /// The request for a consumer, or for a durable one to begin anew.
    pub(super) fn request(&self, deliver_subject: &str, random: &str) -> Request {
        let (source, level) = (&self.source, self.level);
        let mut headers = String::new();
        if level < Level::Plain {
            let number = if level == Level::Identity && !self.is_mirror { 5 } else { 4 };
            headers = format!("NATS/1.0\r\n{REQUIRED_API_LEVEL_HEADER}: {number}\r\n");
            // Empty, it asks for the identity.
            if level == Level::Identity {
                headers += &format!("Nats-Stream-Identity: {}\r\n", self.identity);
            }
            headers += "\r\n";
        }
        let headers = headers.into_bytes();
        if let Some(consumer) = &source.consumer {
            let subject = self.api(&format!("CONSUMER.RESET.{}.{}", source.name, consumer.name));
            return Request { subject, headers, payload: Vec::new() };
        }
        let mut name = self.consumer_name.clone();
        if level == Level::Plain {
            name = format!("{name}_{random}");
        }
        let config = self.consumer(name, deliver_subject);
        let subject = if config.filter_subject.is_empty() {
            self.api(&format!("CONSUMER.CREATE.{}", source.name))
        } else {
            let filter = &config.filter_subject;
            self.api(&format!("CONSUMER.CREATE.{}.{}.{filter}", source.name, config.name))
        };
        let request =
            ConsumerRequest { stream_name: source.name.clone(), config, ..ConsumerRequest::default() };
        Request { subject, headers, payload: json::to_vec(&request) }
    }

    /// The request that ends the consumer, whose name stays the same.
    pub(super) fn deletion(&self) -> String {
        self.api(&format!("CONSUMER.DELETE.{}.{}", self.source.name, self.consumer_name))
    }

    /// A subject of the API that the origin is reached by.
    fn api(&self, rest: &str) -> String {
        match &self.source.external {
            None => format!("$JS.API.{rest}"),
            Some(external) => format!("{}.{rest}", external.api).replace("..", "."),
        }
    }

    fn consumer(&self, name: String, deliver_subject: &str) -> ConsumerConfig {
        let mut config = ConsumerConfig {
            name,
            deliver_subject: deliver_subject.to_owned(),
            ack_policy: AckPolicy::None,
            ack_wait: ACK_WAIT,
            max_deliver: 1,
            idle_heartbeat: Nanos(HEARTBEAT),
            flow_control: true,
            direct: true,
            sourcing: self.level < Level::Plain,
            inactive_threshold: Nanos(SILENCE),
            metadata: self.metadata.clone(),
            ..ConsumerConfig::default()
        };
        (config.deliver_policy, config.opt_start_seq, config.opt_start_time) = self.begin();
        filter(&self.source, &mut config);
        config
    }

    /// Where the consumer begins.
    fn begin(&self) -> (DeliverPolicy, u64, Option<Time>) {
        if !self.is_new {
            return (DeliverPolicy::ByStartSequence, self.position.saturating_add(1), None);
        }
        match (self.source.opt_start_seq, self.source.opt_start_time) {
            (0, None) => (DeliverPolicy::All, 0, None),
            (0, Some(time)) => (DeliverPolicy::ByStartTime, 0, Some(time)),
            (seq, _) => (DeliverPolicy::ByStartSequence, seq, None),
        }
    }
}

fn filter(source: &StreamSource, config: &mut ConsumerConfig) {
    config.filter_subject.clone_from(&source.filter_subject);
    let filters = source.subject_transforms.iter().map(|transform| transform.src.clone());
    let filters: Vec<String> = filters.map(|src| if src.is_empty() { ">".to_owned() } else { src }).collect();
    match filters.as_slice() {
        [one] => config.filter_subject.clone_from(one),
        _ => config.filter_subjects = filters,
    }
}
