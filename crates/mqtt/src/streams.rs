//! The streams and consumers that keep what clients are owed, as the official server names and makes them. Source: nats-server 2.15.0, asked.

use crate::session::Expiry;
use dialtone_jetstream::config::{
    AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, Retention, StreamConfig,
};
use dialtone_jetstream::time::Nanos;
use dialtone_wire::interserver::short_hash;
use std::num::NonZeroU16;
use std::time::Duration;

/// What is asked of streams, by the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// After how long an unacknowledged message is sent again.
    pub ack_wait: Duration,
    /// Unacknowledged messages to a session, for each of its subscriptions.
    pub ack_pending_max: NonZeroU16,
    /// How long a request may take.
    pub api_timeout: Duration,
    /// Replicas; 0: one.
    pub replicas: u32,
    /// Whether the state of consumers is kept in memory.
    pub consumer_memory_storage: bool,
    /// After how long without its client a consumer is deleted; zero: never.
    pub consumer_inactive_threshold: Duration,
}

/// Where what is kept is asked for, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The hash of this server's name.
    pub server: Hash,
    /// The domain of JetStream that has the streams; `None`: this server's.
    pub domain: Option<Box<str>>,
    /// What is asked of streams.
    pub streams: StreamOptions,
}

/// The first characters of the hash of a client identifier or server name, by which it stands in subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash([u8; 8]);

impl Hash {
    /// That of a name.
    pub fn of(name: &str) -> Self {
        Self(short_hash(name.as_bytes()))
    }

    /// As it stands in subjects.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// One of the streams of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Sessions, a record each.
    Sessions,
    /// Messages of quality of service 1 and 2, until all sessions that want them have them.
    Messages,
    /// Messages of quality of service 2 that clients have not released yet.
    Held,
    /// That clients have messages of quality of service 2, until they have said so for good.
    Released,
    /// Retained messages, the last of each topic.
    Retained,
}

impl Stream {
    /// All, in the order in which they are made.
    pub const ALL: [Self; 5] = [Self::Sessions, Self::Messages, Self::Held, Self::Released, Self::Retained];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sessions => "$MQTT_sess",
            Self::Messages => "$MQTT_msgs",
            Self::Held => "$MQTT_qos2in",
            Self::Released => "$MQTT_out",
            Self::Retained => "$MQTT_rmsgs",
        }
    }

    /// What its subjects begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Sessions => "$MQTT.sess.",
            Self::Messages => "$MQTT.msgs.",
            Self::Held => "$MQTT.qos2.in.",
            Self::Released => "$MQTT.out.",
            Self::Retained => "$MQTT.rmsgs.",
        }
    }

    /// What it is made as.
    pub fn config(self, replicas: u32) -> StreamConfig {
        let is_last_only = matches!(self, Self::Sessions | Self::Retained | Self::Held);
        let until_wanted = matches!(self, Self::Messages | Self::Released);
        let is_once_only = self == Self::Held;
        StreamConfig {
            name: self.name().to_owned(),
            subjects: vec![format!("{}>", self.prefix())],
            retention: if until_wanted { Retention::Interest } else { Retention::Limits },
            max_msgs_per_subject: i64::from(is_last_only),
            discard: if is_once_only { DiscardPolicy::New } else { DiscardPolicy::Old },
            discard_new_per_subject: is_once_only,
            num_replicas: i64::from(replicas.max(1)),
            ..StreamConfig::default()
        }
    }
}

/// The subject that `api` asks at, such as `STREAM.INFO.`, with `of` behind it.
pub(crate) fn api_subject(settings: &Settings, api: &str, of: &str) -> String {
    match &settings.domain {
        None => format!("$JS.API.{api}{of}"),
        Some(domain) => format!("$JS.{domain}.API.{api}{of}"),
    }
}

/// The consumer by which a session gets messages of a filter of NATS. `nuid` is new for each.
pub fn message_consumer(settings: &Settings, client: Hash, filter: &str, nuid: &str) -> ConsumerConfig {
    ConsumerConfig {
        durable_name: format!("{}_{nuid}", client.as_str()),
        filter_subject: format!("{}{filter}", Stream::Messages.prefix()),
        deliver_subject: format!("$MQTT.sub.{nuid}"),
        ..consumer(&settings.streams)
    }
}

/// How long a shared subscription is kept of which no member is connected, where nothing is configured.
const SHARED_AWAY_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The consumer of a shared subscription: each message goes to one member of the group that is connected, and is kept while none is.
/// It is the same whoever makes it, and no session's, so that it goes only when nobody has come for a while.
pub fn shared_consumer(settings: &Settings, group: &str, filter: &str) -> ConsumerConfig {
    let hash = short_hash::<16>([group.as_bytes(), b" ", filter.as_bytes()].concat().as_slice());
    let hash = String::from_utf8_lossy(&hash).into_owned();
    let away = settings.streams.consumer_inactive_threshold;
    ConsumerConfig {
        durable_name: format!("$MQTT_SHARE_{hash}"),
        filter_subject: format!("{}{filter}", Stream::Messages.prefix()),
        deliver_subject: format!("$MQTT.sub.share.{hash}"),
        deliver_group: hash,
        inactive_threshold: nanos(if away.is_zero() { SHARED_AWAY_MAX } else { away }),
        ..consumer(&settings.streams)
    }
}

/// The consumer by which a session is reminded of PUBREL.
pub fn release_consumer(settings: &Settings, client: Hash) -> ConsumerConfig {
    let client = client.as_str();
    ConsumerConfig {
        durable_name: format!("$MQTT_PUBREL_{client}"),
        filter_subject: format!("{}pubrel.{client}", Stream::Released.prefix()),
        deliver_subject: format!("$MQTT.deliver.pubrel.{client}"),
        ..consumer(&settings.streams)
    }
}

/// How much longer than its session a consumer lives that nobody asks: its session is found to be over before it is found to have none.
const THRESHOLD_MORE: Duration = Duration::from_secs(10);

/// When the server lets go of the consumers of a session whose client does not come: as configured, and when the session has expired.
pub fn inactive_threshold(settings: &Settings, expiry: Expiry) -> Nanos {
    let own = settings.streams.consumer_inactive_threshold;
    let Expiry::After(seconds) = expiry else { return nanos(own) };
    let over = Duration::from_secs(u64::from(seconds)) + THRESHOLD_MORE;
    nanos(if own.is_zero() { over } else { own.min(over) })
}

fn consumer(options: &StreamOptions) -> ConsumerConfig {
    ConsumerConfig {
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::Explicit,
        ack_wait: nanos(options.ack_wait),
        max_ack_pending: i64::from(options.ack_pending_max.get()),
        inactive_threshold: nanos(options.consumer_inactive_threshold),
        mem_storage: options.consumer_memory_storage,
        ..ConsumerConfig::default()
    }
}

fn nanos(duration: Duration) -> Nanos {
    Nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use dialtone_jetstream::json::to_string;

    pub(crate) fn settings() -> Settings {
        let streams = StreamOptions {
            ack_wait: Duration::from_secs(7),
            ack_pending_max: NonZeroU16::new(9).unwrap(),
            api_timeout: Duration::from_secs(5),
            replicas: 0,
            consumer_memory_storage: true,
            consumer_inactive_threshold: Duration::from_secs(180),
        };
        Settings { server: Hash::of("A"), domain: None, streams }
    }

    /// As the official server asks for them.
    #[test]
    fn streams_are_official() {
        let config = |stream: Stream| to_string(&stream.config(0));
        assert_eq!(
            config(Stream::Sessions),
            r#"{"name":"$MQTT_sess","subjects":["$MQTT.sess.\u003e"],"retention":"limits","max_consumers":0,"max_msgs":0,"max_bytes":0,"max_age":0,"max_msgs_per_subject":1,"discard":"old","storage":"file","num_replicas":1,"compression":"none","allow_direct":false,"mirror_direct":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":{},"allow_msg_ttl":false}"#
        );
        assert!(config(Stream::Messages).contains(r#""retention":"interest","#));
        assert!(config(Stream::Held).contains(r#""discard":"new","storage":"file","num_replicas":1,"#));
        assert!(config(Stream::Held).contains(r#""discard_new_per_subject":true"#));
        let names = Stream::ALL.map(Stream::name);
        assert_eq!(names, ["$MQTT_sess", "$MQTT_msgs", "$MQTT_qos2in", "$MQTT_out", "$MQTT_rmsgs"]);
    }

    #[test]
    fn consumers_are_official() {
        let client = Hash::of("sub");
        assert_eq!((client.as_str(), Hash::of("A").as_str()), ("ZCesaM56", "NUmM6cRx"));
        assert_eq!(
            to_string(&message_consumer(&settings(), client, "t.>", "X")),
            r#"{"durable_name":"ZCesaM56_X","deliver_policy":"new","ack_policy":"explicit","ack_wait":7000000000,"filter_subject":"$MQTT.msgs.t.\u003e","replay_policy":"instant","max_ack_pending":9,"deliver_subject":"$MQTT.sub.X","inactive_threshold":180000000000,"num_replicas":0,"mem_storage":true}"#
        );
        let release = release_consumer(&settings(), client);
        assert_eq!(release.durable_name, "$MQTT_PUBREL_ZCesaM56");
        assert_eq!(release.filter_subject, "$MQTT.out.pubrel.ZCesaM56");
        assert_eq!(release.deliver_subject, "$MQTT.deliver.pubrel.ZCesaM56");
    }

    #[test]
    fn a_shared_subscription_has_one_consumer_whoever_makes_it() {
        let mut settings = settings();
        let config = shared_consumer(&settings, "g", "t.>");
        assert_eq!(shared_consumer(&settings, "g", "t.>"), config);
        for (group, filter) in [("h", "t.>"), ("g", "t"), ("g t", ">")] {
            assert_ne!(shared_consumer(&settings, group, filter).durable_name, config.durable_name);
        }
        assert_eq!(config.filter_subject, "$MQTT.msgs.t.>");
        assert!(!config.deliver_group.is_empty() && config.deliver_subject.ends_with(&config.deliver_group));
        assert_eq!(config.inactive_threshold.0, 180_000_000_000);
        settings.streams.consumer_inactive_threshold = Duration::ZERO;
        assert_eq!(shared_consumer(&settings, "g", "t").inactive_threshold.0, 86_400_000_000_000);
    }

    #[test]
    fn mqtt_4_1_0_2_consumers_go_when_their_session_has_expired() {
        let mut settings = settings();
        let threshold = |settings: &Settings, expiry| inactive_threshold(settings, expiry).0 / 1_000_000_000;
        assert_eq!(threshold(&settings, Expiry::After(60)), 70);
        assert_eq!(threshold(&settings, Expiry::After(600)), 180);
        assert_eq!(threshold(&settings, Expiry::Never), 180);
        settings.streams.consumer_inactive_threshold = Duration::ZERO;
        assert_eq!(threshold(&settings, Expiry::After(600)), 610);
        assert_eq!([Expiry::Never, Expiry::AtEnd].map(|expiry| threshold(&settings, expiry)), [0, 0]);
    }

    #[test]
    fn a_domain_has_an_api_of_its_own() {
        let mut settings = settings();
        assert_eq!(api_subject(&settings, "STREAM.INFO.", "$MQTT_sess"), "$JS.API.STREAM.INFO.$MQTT_sess");
        settings.domain = Some("hub".into());
        assert_eq!(api_subject(&settings, "STREAM.NAMES", ""), "$JS.hub.API.STREAM.NAMES");
    }
}
