//! A gateway for MQTT-SN clients.

use super::block;
use super::mqtt_sn_dtls::{self, MqttSnDtls};
use super::rule::Rule::Within;
use crate::blocks::keys::Status::Restarts;
use crate::blocks::reader::{self, Block, Errors, Notes, noted};
use crate::error::{ConfigError, Position};
use crate::language::Value;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Topics that both ends know from the start.
const PREDEFINED_MAX: usize = 10_000;
/// Rows of `clients`, which are gone through for each CONNECT.
const CLIENTS_MAX: usize = 10_000;

block! {
    /// A gateway for MQTT-SN clients.
    pub struct MqttSn in "mqtt_sn" {
        /// Where the block stands.
        at: Position = Position::default();
        /// `None` takes a free one.
        port: Option<u16> = Some(0),
            port: "Port of UDP to listen on, usually 1883. -1 takes a free one. Default: none, and nothing listens.",
            read (reader::port), Within(Restarts);
        /// Empty: all.
        host: String = String::new(),
            host | "net": "Address to listen on. Default: all.", read (reader::text), Within(Restarts);
        no_auth_user: Option<String> = None,
            no_auth_user: "The user that its clients are, who have no credentials. Default: as others without credentials.",
            read (reader::optional), Within(Restarts);
        clients: Vec<MqttSnClient> = Vec::new(),
            clients: "Which users clients are, by their identifiers or addresses: the first that fits. Default: `no_auth_user`.",
            block (clients), Within(Restarts);
        gateway_id: u8 = 1,
            gateway_id: "Its number, by which clients tell gateways apart: 1 to 255. Default 1.",
            read (gateway_id), Within(Restarts);
        /// `None`: it does not.
        advertise_to: Option<SocketAddr> = None,
            advertise_to: "Address and port, of broadcast or multicast, that it announces itself to. Default: none.",
            read (advertise_to), Within(Restarts);
        advertise_interval: Duration = Duration::from_secs(900),
            advertise_interval: "How often it announces itself. Default 15m.",
            read (nonzero), Within(Restarts);
        /// How much of everything.
        limits: MqttSnLimits = MqttSnLimits::default();
        dtls: Option<MqttSnDtls> = None,
            dtls: "DTLS instead of plain datagrams: by shared keys, by certificates, or both.",
            block (mqtt_sn_dtls::dtls), Within(Restarts);
        /// By their numbers.
        predefined: Vec<(u16, String)> = Vec::new(),
            predefined_topics: "Topics whose numbers clients know from the start, such as `{ 1: sensors/temperature }`.",
            block (|v, notes| predefined(v, &mut notes.errors)), Within(Restarts);
    }
    first {
        listen: Restarts, "`host:port` of UDP to listen on.";
    }
}

block! {
    /// How much of everything a gateway bears.
    pub struct MqttSnLimits in "mqtt_sn" {
        retry_interval: Duration = Duration::from_secs(10),
            retry_interval: "After how long a message that is not answered is sent again. Default 10s.",
            read (nonzero), Within(Restarts);
        retries_max: usize = 3,
            max_retries: "How often it is sent again before the client counts as lost. Default 3.",
            read (reader::count), Within(Restarts);
        clients_max: usize = 65_536,
            max_clients: "Clients that are connected, awake or asleep. Default 65536.",
            read (reader::count), Within(Restarts);
        waiting_messages_max: usize = 128,
            max_waiting_messages: "Messages of quality of service 0 that wait for a client; the oldest are dropped. Default 128.",
            read (reader::count), Within(Restarts);
        waiting_bytes_max: usize = 64 * 1024,
            max_waiting_bytes: "Bytes that wait for a client before messages of quality of service 0 are dropped. Default 64KB.",
            read (reader::count), Within(Restarts);
    }
}

block! {
    /// Clients that are a user. What is said must all hold.
    pub struct MqttSnClient in "mqtt_sn_client" {
        /// Where it stands.
        at: Position = Position::default();
        client_id: Option<String> = None,
            client_id: "Client identifier; `meter-*` is every one that begins so. Default: any.",
            read (client_id), Within(Restarts);
        /// The base, and how many bits of it count.
        network: Option<(IpAddr, u8)> = None,
            address: "Address or network, such as `10.1.0.0/16`. Default: any.", read (network), Within(Restarts);
        user: String = String::new(),
            user: "The user or public NKey, of the configuration.", read (reader::text), Within(Restarts);
    }
}

/// Reads the block. `None`: it names no port, so nothing is to be listened on.
pub(crate) fn mqtt_sn(value: &Value, notes: &mut Notes) -> Option<MqttSn> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("mqtt_sn", map, &mut notes.errors);
    let mut own = MqttSn { at: value.at.clone().into(), ..MqttSn::default() };
    own.read(&block, notes);
    own.limits.read(&block, notes);
    block.set_listen(&mut own.host, &mut own.port, &mut notes.errors);
    (own.port != Some(0)).then_some(own)
}

fn clients(value: &Value, notes: &mut Notes) -> Vec<MqttSnClient> {
    let Some(values) = noted(reader::array(value), &mut notes.errors) else { return Vec::new() };
    if values.len() > CLIENTS_MAX {
        notes.errors.push(ConfigError::new(&value.at, format!("more than {CLIENTS_MAX} clients")));
        return Vec::new();
    }
    reader::each(values, |value| {
        let map = noted(reader::map(value), &mut notes.errors)?;
        let mut own = MqttSnClient { at: value.at.clone().into(), ..MqttSnClient::default() };
        own.read(&Block::new("mqtt_sn_client", map, &mut notes.errors), notes);
        if own.user.is_empty() {
            notes.errors.push(ConfigError::new(&value.at, "clients need a user"));
        } else if own.client_id.is_none() && own.network.is_none() {
            let problem = "clients need a client_id or an address; all others are `no_auth_user`";
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
        Some(own)
    })
}

fn client_id(value: &Value) -> Result<Option<String>, ConfigError> {
    let pattern = reader::text(value)?;
    let name = pattern.strip_suffix('*').unwrap_or(&pattern);
    if pattern.is_empty() || name.contains(['*', '.', '>', ' ']) {
        let problem = format!("{pattern:?} is no client identifier");
        return Err(ConfigError::new(&value.at, problem).help("only a `*` at its end stands for anything"));
    }
    Ok(Some(pattern))
}

/// An address, or `10.1.0.0/16`.
fn network(value: &Value) -> Result<Option<(IpAddr, u8)>, ConfigError> {
    let text = reader::text(value)?;
    let (base, bits) = text.split_once('/').map_or((&*text, None), |(base, bits)| (base, Some(bits)));
    let parsed = base.parse::<IpAddr>().ok().and_then(|base| {
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |bits| bits.parse().ok());
        bits.filter(|bits| *bits <= width).map(|bits| (base, bits))
    });
    let problem = || ConfigError::new(&value.at, format!("{text:?} is no address or network"));
    parsed.map(Some).ok_or_else(|| problem().help("such as `10.1.2.3` or `10.1.0.0/16`"))
}

fn gateway_id(value: &Value) -> Result<u8, ConfigError> {
    let id = reader::integer(value)?;
    u8::try_from(id)
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| ConfigError::new(&value.at, format!("{id} is no gateway id: they are 1 to 255")))
}

fn advertise_to(value: &Value) -> Result<Option<SocketAddr>, ConfigError> {
    let text = reader::text(value)?;
    let address = text.parse().map_err(|_| {
        ConfigError::new(&value.at, format!("{text:?} is no address with a port"))
            .help("such as `225.1.1.1:1883` or `192.168.1.255:1883`")
    });
    address.map(Some)
}

fn nonzero(value: &Value) -> Result<Duration, ConfigError> {
    let duration = reader::duration(value)?;
    if duration.is_zero() { Err(ConfigError::new(&value.at, "must be more than 0")) } else { Ok(duration) }
}

/// `{ 1: topic, … }`. Numbers 0 and 65535 are reserved. MQTT-SN 1.2 §5.3.11
fn predefined(value: &Value, errors: &mut Errors) -> Vec<(u16, String)> {
    let Some(map) = noted(reader::map(value), errors) else { return Vec::new() };
    let mut out: Vec<(u16, String)> = Vec::new();
    for entry in map.iter() {
        let id = entry.key.parse::<u16>().ok().filter(|id| *id > 0 && *id < u16::MAX);
        let Some(id) = id else {
            let problem = format!("{:?} is no topic id: they are 1 to 65534", entry.key);
            errors.push(ConfigError::new(&entry.value.at, problem));
            continue;
        };
        let Some(topic) = noted(reader::text(&entry.value), errors) else { continue };
        let is_topic =
            !topic.is_empty() && !topic.contains(['+', '#', '\0']) && topic.len() <= TOPIC_BYTES_MAX;
        if !is_topic {
            let problem = format!("{topic:?} cannot be published to");
            errors.push(ConfigError::new(&entry.value.at, problem));
        } else if out.iter().any(|(other, _)| *other == id) {
            errors.push(ConfigError::new(&entry.value.at, format!("topic id {id} is there twice")));
        } else if out.len() >= PREDEFINED_MAX {
            errors.push(ConfigError::new(&entry.value.at, format!("more than {PREDEFINED_MAX} topics")));
            break;
        } else {
            out.push((id, topic));
        }
    }
    out
}

/// Bytes of a topic, which has to fit into a datagram.
const TOPIC_BYTES_MAX: usize = 60_000;

#[cfg(test)]
mod tests {
    use crate::options::Options;
    use std::net::IpAddr;
    use std::path::Path;
    use std::time::Duration;

    /// The block, read though it may not be carried out; what is wrong, but for that.
    fn read(block: &str, more: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let text = format!("mqtt_sn {{ {block} }}\n{more}");
        let partial = crate::load_partial_text(&text, "t.conf", &mut files, &|_| None);
        partial.map(|partial| partial.options).map_err(|errors| errors.to_string())
    }

    const MQTT: &str = "jetstream: enabled\nmqtt { port: 1 }";
    const USERS: &str = "authorization { users: [ { user: u, password: p }, { user: v, password: p } ] }";

    #[test]
    fn what_is_not_said_is_usual() {
        assert_eq!(read("", "").expect("read").mqtt_sn, None);
        let own = read("listen: 'h:5'", MQTT).expect("read").mqtt_sn.expect("a gateway");
        assert_eq!((&*own.host, own.port, own.gateway_id, own.limits.retries_max), ("h", Some(5), 1, 3));
        let said = "port: -1, gateway_id: 9, advertise_to: '225.1.1.1:1883', advertise_interval: '1m', retry_interval: '2s',\
             max_retries: 5, max_clients: 7, max_waiting_messages: 8, max_waiting_bytes: 9KB, clients: [ { client_id: 'm-*', address: '10.1.0.0/16', user: u }, { address: '::1', user: v } ], predefined_topics: { 1: a/b, 2: c }";
        let own = read(said, &format!("{MQTT}\n{USERS}")).expect("read").mqtt_sn.expect("a gateway");
        assert_eq!(
            (own.port, own.gateway_id, own.limits.retries_max, own.limits.clients_max),
            (None, 9, 5, 7)
        );
        assert_eq!(own.advertise_to, Some(([225, 1, 1, 1], 1883).into()));
        assert_eq!(
            (own.advertise_interval, own.limits.retry_interval),
            (Duration::from_secs(60), Duration::from_secs(2))
        );
        assert_eq!((own.limits.waiting_messages_max, own.limits.waiting_bytes_max), (8, 9 * 1024));
        let clients = own.clients.iter().map(|own| (own.client_id.as_deref(), own.network, &*own.user));
        let expected = [
            (Some("m-*"), Some((IpAddr::from([10, 1, 0, 0]), 16)), "u"),
            (None, Some((IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1u16]), 128)), "v"),
        ];
        assert_eq!(clients.collect::<Vec<_>>(), expected);
        assert_eq!(own.predefined, [(1, "a/b".into()), (2, "c".into())]);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (block, why) in [
            ("gateway_id: 0", "0 is no gateway id"),
            ("gateway_id: 256", "256 is no gateway id"),
            ("retry_interval: 0", "must be more than 0"),
            ("advertise_interval: 0", "must be more than 0"),
            ("advertise_to: here", "\"here\" is no address with a port"),
            ("predefined_topics: { 0: a }", "\"0\" is no topic id"),
            ("predefined_topics: { 65535: a }", "\"65535\" is no topic id"),
            ("predefined_topics: { x: a }", "\"x\" is no topic id"),
            ("predefined_topics: { 1: 'a/#' }", "\"a/#\" cannot be published to"),
            ("predefined_topics: { 1: '' }", "\"\" cannot be published to"),
            ("predefined_topics: { 1: a, 01: b }", "topic id 1 is there twice"),
            ("no_auth_user: x", "no_auth_user: \"x\" present, but users/nkeys are not defined"),
            ("clients: [ { user: u } ]", "clients need a client_id or an address"),
            ("clients: [ { client_id: a } ]", "clients need a user"),
            ("clients: [ { client_id: a, user: u } ]", "\"u\" present, but users/nkeys are not defined"),
            ("clients: [ { client_id: 'a*b', user: u } ]", "\"a*b\" is no client identifier"),
            ("clients: [ { address: '10.0.0.0/33', user: u } ]", "\"10.0.0.0/33\" is no address or network"),
            ("clients: [ { address: here, user: u } ]", "\"here\" is no address or network"),
            ("frob: 1", "unknown field \"frob\""),
        ] {
            let found = read(&format!("port: 1, {block}"), MQTT).expect_err(block);
            assert!(found.contains(why), "{block}: {found}");
        }
        let unknown = format!("{MQTT}\n{USERS}");
        let found = read("port: 1, clients: [ { client_id: a, user: x } ]", &unknown).expect_err("unknown");
        assert!(found.contains("\"x\" not present as user or nkey"), "{found}");
        let found = read("port: 1", "").expect_err("without MQTT");
        assert!(found.contains("mqtt_sn needs the mqtt block"), "{found}");
    }
}
