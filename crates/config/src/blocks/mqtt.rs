//! A listener for MQTT clients.

use super::block;
use super::rule::Rule::Within;
use super::tls::{self, Context, Tls};
use super::websocket::{OwnUsers, own_users};
use crate::blocks::keys::Status::{Reloads, Restarts};
use crate::blocks::reader::{self, Block, Notes, noted};
use crate::blocks::repeated::Address;
use crate::error::{ConfigError, Position};
use crate::language::Value;
use std::num::NonZeroU16;
use std::time::Duration;

/// Messages in flight to a session by default. The official figure.
const ACK_PENDING_MAX: NonZeroU16 = NonZeroU16::new(1024).unwrap();

block! {
    /// A listener for MQTT clients.
    pub struct Mqtt in "mqtt" {
        /// Where the block stands.
        at: Position = Position::default();
        /// Where it listens, usually at port 1883; an empty host: all addresses.
        address: Address = Address { host: String::new(), ..Address::default() };
        tls: Option<Tls> = None,
            tls: "TLS, with the keys of `tls`. The handshake comes first.",
            block (|v, notes| tls::tls(v, Context::Mqtt, notes)), Within(Reloads);
        /// The only user or token.
        users: OwnUsers = OwnUsers::default(),
            authorization | "authentication": "The only user or token of this listener, instead of the others'.",
            block (own_users), Within(Restarts);
        no_auth_user: Option<String> = None,
            no_auth_user: "The user that a client without credentials is.", read (reader::optional), Within(Restarts);
        reject_qos2_publish: bool = false,
            reject_qos2_publish: "Close connections that publish with quality of service 2.",
            read (reader::boolean), Within(Restarts);
        downgrade_qos2_subscribe: bool = false,
            downgrade_qos2_subscribe: "Grant subscriptions quality of service 1 at most.",
            read (reader::boolean), Within(Restarts);
        broker_topics: bool = false,
            broker_topics: "Tell clients by topics below `$SYS/broker/` what happens in their account; nobody publishes below `$SYS/` then.",
            read (reader::boolean), Within(Reloads);
        /// How streams keep what clients are owed.
        streams: MqttStreams = MqttStreams::default();
    }
}

block! {
    /// How streams keep what MQTT clients are owed.
    pub struct MqttStreams in "mqtt" {
        ack_wait: Duration = Duration::from_secs(30),
            ack_wait | "ackwait": "After how long an unacknowledged message is sent again. Default 30s.",
            or_default (|v, notes| reader::duration_doubted(v, "ack_wait", &mut notes.doubts)), Within(Reloads);
        ack_pending_max: NonZeroU16 = ACK_PENDING_MAX,
            max_ack_pending | "max_pending" | "max_inflight":
            "Unacknowledged messages to a session, for each of its subscriptions. Default 1024.",
            read (ack_pending_max), Within(Reloads);
        api_timeout: Duration = Duration::from_secs(5),
            js_api_timeout | "api_timeout": "How long a request to JetStream may take. Default 5s.",
            or_default (|v, notes| reader::duration_doubted(v, "js_api_timeout", &mut notes.doubts)), Within(Restarts);
        domain: Option<String> = None,
            js_domain: "The domain of JetStream that has the streams. Default: this server's.",
            read (reader::optional), Within(Restarts);
        /// 0: one.
        replicas: u32 = 0,
            stream_replicas: "Replicas of the streams. More than one needs a cluster that has JetStream.",
            read (replicas), Within(Reloads);
        consumer_memory_storage: bool = false,
            consumer_memory_storage: "Keep the state of consumers in memory.", read (reader::boolean), Within(Reloads);
        /// Zero: they stay.
        consumer_inactive_threshold: Duration = Duration::ZERO,
            consumer_inactive_threshold | "consumer_auto_cleanup":
            "After how long without its client a consumer is deleted. Default: never.",
            noting (|v, notes| reader::duration_doubted(v, "consumer_inactive_threshold", &mut notes.doubts)), Within(Reloads);
    }
    also {
        consumer_replicas: Reloads, "Accepted without effect: consumers have the replicas of their stream.";
    }
}

/// Reads the block. `None`: it names no port, so nothing is to be listened on.
pub(crate) fn mqtt(value: &Value, notes: &mut Notes) -> Option<Mqtt> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("mqtt", map, &mut notes.errors);
    let mut own = Mqtt { at: value.at.clone().into(), ..Mqtt::default() };
    own.read(&block, notes);
    own.streams.read(&block, notes);
    own.address.read_all(&block, notes);
    if let Some(value) = block.get("consumer_replicas") {
        // As officially: taken and doubted, whatever the number.
        noted(reader::integer(value), &mut notes.errors);
        let problem = "invalid use of field \"consumer_replicas\": consumer replicas setting ignored in this server version";
        notes.doubts.push(ConfigError::new(&value.at, problem));
    }
    own.address.is_on().then_some(own)
}

/// Packet identifiers are the bound. Source: nats-server 2.15.0, asked.
fn ack_pending_max(value: &Value) -> Result<NonZeroU16, ConfigError> {
    let n = reader::integer(value)?;
    let max = u16::try_from(n)
        .map_err(|_| ConfigError::new(&value.at, format!("invalid value {n}, should in [0..65535] range")))?;
    Ok(NonZeroU16::new(max).unwrap_or(ACK_PENDING_MAX))
}

fn replicas(value: &Value) -> Result<u32, ConfigError> {
    let n = reader::count(value)?;
    u32::try_from(n).ok().filter(|n| *n <= REPLICAS_MAX).ok_or_else(|| {
        ConfigError::new(&value.at, format!("{n} is too many: a stream has at most {REPLICAS_MAX} replicas"))
    })
}

/// Replicas of a stream. The official bound.
const REPLICAS_MAX: u32 = 5;

impl Mqtt {
    /// Whether it has users of its own, beside which those of the other listener do not count.
    pub fn has_own_users(&self) -> bool {
        self.users.are_some(self.no_auth_user.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use crate::options::Options;
    use std::path::Path;
    use std::time::Duration;

    /// The block, read though MQTT may not be carried out; what is wrong, but for that.
    fn read(block: &str, more: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let text = format!("mqtt {{ {block} }}\n{more}");
        let partial = crate::load_partial_text(&text, "t.conf", &mut files, &|_| None);
        partial.map(|partial| partial.options).map_err(|errors| errors.to_string())
    }

    #[track_caller]
    fn refuse(block: &str, more: &str, expected: &str) {
        assert_eq!(read(block, more).expect_err(block), expected, "{block} {more}");
    }

    const JETSTREAM: &str = "server_name: A\njetstream: enabled";

    #[test]
    fn what_is_not_said_is_official() {
        for block in ["", "port: 0", "host: x"] {
            assert_eq!(read(block, "").expect(block).mqtt, None, "{block}");
        }
        let own = read("listen: 'h:5'", JETSTREAM).expect("read").mqtt.expect("a listener");
        assert_eq!((&*own.address.host, own.address.port), ("h", Some(5)));
        assert_eq!(own.streams.ack_wait, Duration::from_secs(30));
        assert_eq!((own.streams.ack_pending_max.get(), own.streams.api_timeout.as_secs()), (1024, 5));
        let said = "port: -1, ack_wait: '1m', max_inflight: 7, api_timeout: '1s', js_domain: d, stream_replicas: 3,\
             consumer_memory_storage: true, consumer_auto_cleanup: '2s', reject_qos2_publish: true, downgrade_qos2_subscribe: true";
        let own = read(said, JETSTREAM).expect("read").mqtt.expect("a listener");
        let streams = &own.streams;
        assert_eq!(
            (own.address.port, streams.ack_wait.as_secs(), streams.ack_pending_max.get()),
            (None, 60, 7)
        );
        assert_eq!((streams.api_timeout.as_secs(), streams.domain.as_deref()), (1, Some("d")));
        assert_eq!((streams.replicas, streams.consumer_inactive_threshold.as_secs()), (3, 2));
        assert!(streams.consumer_memory_storage && own.reject_qos2_publish && own.downgrade_qos2_subscribe);
    }

    #[test]
    fn zero_means_the_default_and_what_is_out_of_range_is_refused() {
        let own = read("port: 1, ack_wait: '0s', max_ack_pending: 0", JETSTREAM).expect("read").mqtt;
        let streams = own.expect("a listener").streams;
        assert_eq!((streams.ack_wait.as_secs(), streams.ack_pending_max.get()), (30, 1024));
        for (block, why) in [
            ("max_ack_pending: 65536", "27: invalid value 65536, should in [0..65535] range"),
            ("max_ack_pending: -1", "27: invalid value -1, should in [0..65535] range"),
            ("stream_replicas: 6", "27: 6 is too many: a stream has at most 5 replicas"),
            ("frob: 1", "9: unknown field \"frob\""),
        ] {
            let found = read(&format!("{block}, port: 1"), JETSTREAM).expect_err(block);
            assert!(found.starts_with("t.conf:1:") && found.contains(&why[3..]), "{found}");
        }
        let doubts = |block: &str| read(block, JETSTREAM).expect("read").source.doubts.len();
        assert_eq!((doubts("port: 1, consumer_replicas: 3"), doubts("port: 1, ack_wait: 5")), (1, 1));
    }

    /// Asked of the official server, but for the last two, with which everybody may connect there.
    #[test]
    fn what_does_not_go_together_is_refused() {
        let at = "t.conf:1:6: ";
        let users = "authorization { users: [ { user: y } ] }";
        let with_users = format!("{JETSTREAM}\n{users}");
        for more in [
            JETSTREAM,
            "jetstream: enabled",
            "leafnodes { remotes: [ { url: 'nats://a' } ] }",
            "server_name: A\ncluster { port: -1 }",
        ] {
            read("port: 1", more).expect(more);
        }
        for (block, more, why) in [
            ("", "server_name: A", "mqtt requires JetStream to be enabled if running in standalone mode"),
            ("", "cluster { port: -1 }", "mqtt requires server name to be explicitly set"),
            ("no_auth_user: x", JETSTREAM, "no_auth_user: \"x\" present, but users/nkeys are not defined"),
            (
                "no_auth_user: x",
                &with_users,
                "no_auth_user: \"x\" not present as user or nkey in authorization block or account configuration",
            ),
            (
                "authorization { user: a }",
                &with_users,
                "mqtt authentication username not compatible with presence of users/nkeys",
            ),
            (
                "authorization { token: a }",
                &with_users,
                "mqtt authentication token not compatible with presence of users/nkeys",
            ),
            ("authorization { user: a, token: b }", JETSTREAM, "Cannot have a user/pass and token"),
            ("authorization { pass: a }", JETSTREAM, "a password needs a user"),
        ] {
            refuse(&format!("port: 1, {block}"), more, &format!("{at}{why}"));
        }
    }
}
