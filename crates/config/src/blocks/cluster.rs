//! The cluster: routes to other servers.

use super::block;
use super::compression::{Compression, CompressionMode, compression};
use super::keys::Status::{Refused, Reloads, Restarts};
use super::permissions::{self, Rules};
use super::reader::{self, Block, Notes, noted};
use super::repeated::{Address, Dialing, Writing};
use super::rule::Rule::Within;
use super::server_url;
pub use super::server_url::ServerUrl;
use super::tls::{self, Context, Tls};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::Value;
use std::time::Duration;

/// Routes between two servers, beside those of accounts that have routes of their own. The official figure.
const POOL_SIZE: usize = 3;
/// The doubt about routes without a listener, which a flag may bring.
pub(crate) const NOT_LISTENING: &str = "there are no routes, for the cluster does not listen";
/// What stands for no pool: servers of old have one route with each other.
const NO_POOL: Option<usize> = None;

block! {
    /// Routes to other servers.
    pub struct Cluster in "cluster" {
        /// Where the block stands.
        at: Position = Position::default();
        /// `None`: it is agreed upon with the other servers.
        name: Option<String> = None,
            name: "Name of the cluster. Default: one is made up, and gives way to that of another server.",
            read (name), Within(Reloads);
        /// Where other servers connect.
        listener: RouteListener = RouteListener::default();
        authorization: RouteUser = RouteUser::default(),
            authorization: "Who other servers must be, and who this one is to them.",
            block (route_user), Within(Reloads);
        permissions: Option<RoutePermissions> = None,
            permissions: "Subjects that are exchanged with other servers: `import` and `export`. Default: all.",
            block (route_permissions), Within(Reloads);
        routes: Vec<RouteUrl> = Vec::new(),
            routes: "URLs of other servers, such as `nats://host:6222`; the servers of a cluster tell each other the rest.",
            block (routes), Within(Reloads);
        leave_at_shutdown: bool = false,
            leave_at_shutdown: "The other servers forget this one when it ends, even if their `routes` name it. Default false.",
            read (reader::boolean), Within(Reloads);
        rebalance: bool = false,
            rebalance: "After a server has joined, hand clients over to servers of the cluster that have fewer, slowly, until all have about as many. Default false.",
            read (reader::boolean), Within(Reloads);
        zone_tag: Option<String> = None,
            zone_tag: "First part of the tag of `server_tags` that names the server's zone: `az` for `az:1`. Queue groups are served in it first.",
            read (|v| Ok(reader::optional(v)?.map(|tag| tag.to_ascii_lowercase()))), Within(Reloads);
        acknowledge_subscriptions: bool = false,
            acknowledge_subscriptions: "Clients may ask when all servers of the cluster know of what they subscribed to. Default false.",
            read (reader::boolean), Within(Restarts);
        /// How they are dialled.
        dialing: Dialing = Dialing::default();
        /// How many there are, and what for.
        pool: RoutePool = RoutePool::default();
        /// What a route may take.
        limits: RouteLimits = RouteLimits::default();
    }
}

block! {
    /// Where other servers connect.
    pub struct RouteListener in "cluster" {
        /// There are no routes where nothing listens.
        address: Address = Address::default();
        advertise: Option<String> = None,
            cluster_advertise | "advertise": "`host:port` that other servers are told instead of the real one.",
            read (reader::optional), Within(Reloads);
        no_advertise: bool = false,
            no_advertise: "Do not tell clients about the other servers.", read (reader::boolean), Within(Reloads);
        /// Of both ends: where this server dials, too.
        tls: Option<Tls> = None,
            tls: "TLS of routes, with the keys of `tls`. Both servers verify each other.",
            block (|v, notes| tls::tls(v, Context::Cluster, notes)), Within(Reloads);
    }
}

block! {
    /// Who other servers must be, and who this one is to them.
    pub struct RouteUser in "cluster_authorization" {
        user: Option<String> = None,
            user | "username": "The user.", read (|v| reader::credential(v, "user").map(Some)), Within(Reloads);
        password: Option<Secret> = None,
            pass | "password": "Its password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Within(Reloads);
        /// `None`: the usual.
        timeout: Option<Duration> = None,
            timeout: "How long a server may take to say who it is. Default 2s.",
            noting (|v, notes: &mut Notes| reader::auth_timeout(v, &mut notes.doubts)), Within(Reloads);
        permissions: Option<RoutePermissions> = None,
            permissions | "default_permission" | "default_permissions": "The same as beside the block, in an older place.",
            block (route_permissions), Within(Reloads);
    }
    also {
        token: Refused("servers of a cluster have a user and a password, and no token"), "A token.";
        users: Refused("servers of a cluster have one user"), "Users.";
    }
}

block! {
    /// How many routes there are between two servers.
    pub struct RoutePool in "cluster" {
        /// `None`: one route, as between servers that know no pools.
        size: Option<usize> = Some(POOL_SIZE),
            pool_size: "Routes between two servers; accounts are spread over them. -1: one, as servers before 2.10 had. Default 3.",
            read (pool_size), Within(Reloads);
        accounts: Vec<String> = Vec::new(),
            accounts: "Accounts that have a route of their own.", read (reader::texts), Within(Reloads);
        compression: Compression = Compression::of(CompressionMode::Accept),
            compression: "A mode, or a block. Default `accept`.",
            block (|v, notes| compression(v, CompressionMode::Accept, CompressionMode::S2Fast, notes)), Within(Reloads);
    }
}

block! {
    /// What a route may take.
    pub struct RouteLimits in "cluster" {
        /// `None`: as clients.
        ping_interval: Option<Duration> = None,
            ping_interval: "How often a silent route is pinged. Default: as clients.",
            noting (|v, notes| reader::optional_duration(v, "ping_interval", notes)), Within(Reloads);
        /// `None`: as clients.
        pings_out_max: Option<u32> = None,
            ping_max: "PINGs that may stay unanswered. Default: as for clients.",
            read (pings_out_max), Within(Reloads);
        /// How long it may take nothing.
        writing: Writing = Writing::default();
    }
}

/// Subjects that are exchanged with other servers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutePermissions {
    /// Where they stand.
    pub at: Position,
    /// What other servers may publish here.
    pub import: Rules,
    /// What other servers hear of.
    pub export: Rules,
}

/// A server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUrl {
    /// Where it stands.
    pub at: Position,
    /// Its URL, which has a port.
    pub url: ServerUrl,
}

impl Cluster {
    /// Whether there are routes: without a listener there are none.
    pub fn is_on(&self) -> bool {
        self.listener.address.is_on()
    }
}

/// Reads the block. `None`: it asks for nothing.
pub(crate) fn cluster(value: &Value, notes: &mut Notes) -> Option<Cluster> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    map.iter().next()?;
    let block = Block::new("cluster", map, &mut notes.errors);
    let mut own = Cluster { at: value.at.clone().into(), ..Cluster::default() };
    own.read(&block, notes);
    own.listener.read(&block, notes);
    own.dialing.read(&block, notes);
    own.pool.read(&block, notes);
    own.limits.read(&block, notes);
    own.limits.writing.read(&block, notes);
    own.listener.address.read_all(&block, notes);
    if let Some(value) = block.get("authorization").filter(|_| own.authorization.permissions.is_some()) {
        let problem = "setting \"permissions\" within cluster authorization block is deprecated";
        notes.doubts.push(ConfigError::new(&value.at, problem).help("it stands in the block `cluster`"));
        let old = own.authorization.permissions.take();
        own.permissions = own.permissions.or(old);
    }
    if let Some(value) = block.get("routes").filter(|_| !own.is_on() && !own.routes.is_empty()) {
        notes.doubts.push(ConfigError::new(&value.at, NOT_LISTENING).help("`listen` or `port` says where"));
    }
    Some(own)
}

fn name(value: &Value) -> Result<Option<String>, ConfigError> {
    match reader::optional(value)? {
        Some(name) if name.contains(' ') => {
            Err(ConfigError::new(&value.at, "cluster name cannot contain spaces"))
        }
        name => Ok(name),
    }
}

fn route_user(value: &Value, notes: &mut Notes) -> RouteUser {
    let mut out = RouteUser::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("cluster_authorization", map, &mut notes.errors), notes);
    }
    out
}

fn route_permissions(value: &Value, notes: &mut Notes) -> Option<RoutePermissions> {
    let read = permissions::permissions(value, notes)?;
    if read.responses.is_some() {
        let problem = "allow_responses has no effect: it is for users";
        notes.ignored.push(ConfigError::new(&value.at, problem));
    }
    Some(RoutePermissions { at: value.at.clone().into(), import: read.publish, export: read.subscribe })
}

/// A list of URLs.
fn routes(value: &Value, notes: &mut Notes) -> Vec<RouteUrl> {
    let urls = server_url::placed(value, "route", notes);
    urls.into_iter().map(|(at, url)| RouteUrl { at, url }).collect()
}

/// 0 means the default, less than that no pool.
fn pool_size(value: &Value) -> Result<Option<usize>, ConfigError> {
    Ok(match reader::integer(value)? {
        0 => Some(POOL_SIZE),
        n => usize::try_from(n).ok().or(NO_POOL),
    })
}

fn pings_out_max(value: &Value) -> Result<Option<u32>, ConfigError> {
    let count = u32::try_from(reader::count(value)?).unwrap_or(u32::MAX);
    Ok(Some(count).filter(|count| *count > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::path::Path;

    /// What is read of a configuration whatever of it is not carried out.
    fn read_text(text: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let partial = crate::load_partial_text(text, "t.conf", &mut files, &|_| None);
        partial.map(|partial| partial.options).map_err(|errors| errors.to_string())
    }

    fn read(block: &str) -> Result<Options, String> {
        read_text(&format!("cluster {{ {block} }}, server_tags: [ 'az:1' ]"))
    }

    #[track_caller]
    fn cluster_of(block: &str) -> Cluster {
        read(block).expect(block).cluster.expect("a cluster")
    }

    #[test]
    fn an_empty_block_asks_for_nothing() {
        assert_eq!(read("").expect("read").cluster, None);
        assert!(!cluster_of("name: a").is_on());
        assert!(cluster_of("port: -1").is_on());
    }

    #[test]
    fn every_key_is_read() {
        let own = cluster_of(
            "name: c, listen: '127.0.0.1:7', advertise: 'h:5', no_advertise: true, connect_retries: 3, connect_backoff: true,
             pool_size: 5, accounts: [A, B], compression { mode: s2_auto, rtt_thresholds: ['5ms', '0s', '9ms', '0s'] },
             ping_interval: '3s', ping_max: 4, write_deadline: '5s', write_timeout: close,
             authorization { user: u, password: p, timeout: 3 }, permissions { import: a, export { allow: [b], deny: c } },
             routes: ['nats://u:p@h:1', 'nats-route://i:2'], acknowledge_subscriptions: true, leave_at_shutdown: true, rebalance: true, zone_tag: 'AZ',
             tls { cert_file: x, key_file: y, ca_file: z, insecure: true }",
        );
        assert_eq!(own.name.as_deref(), Some("c"));
        assert_eq!((&*own.listener.address.host, own.listener.address.port), ("127.0.0.1", Some(7)));
        assert_eq!((own.listener.advertise.as_deref(), own.listener.no_advertise), (Some("h:5"), true));
        assert_eq!((own.dialing.retries, own.dialing.backoff), (3, true));
        assert_eq!((own.pool.size, &*own.pool.accounts), (Some(5), ["A", "B"].map(str::to_owned).as_slice()));
        let times = [5, 0, 9].map(Duration::from_millis);
        assert_eq!(
            (own.pool.compression.mode, &*own.pool.compression.rtt_thresholds),
            (CompressionMode::S2Auto, times.as_slice())
        );
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!((own.limits.ping_interval, own.limits.pings_out_max), (seconds(3), Some(4)));
        assert_eq!((own.limits.writing.deadline, own.limits.writing.retry), (seconds(5), false));
        assert_eq!((own.authorization.user.as_deref(), own.authorization.timeout), (Some("u"), seconds(3)));
        let permissions = own.permissions.expect("permissions");
        assert_eq!(permissions.import.allow, Some(vec!["a".to_owned()]));
        assert_eq!(
            (permissions.export.allow, permissions.export.deny),
            (Some(vec!["b".to_owned()]), vec!["c".to_owned()])
        );
        let routes: Vec<String> = own.routes.iter().map(|route| route.url.to_string()).collect();
        assert_eq!(routes, ["nats://u:xxxxx@h:1", "nats-route://i:2"]);
        assert!(own.leave_at_shutdown && own.rebalance && own.acknowledge_subscriptions);
        assert_eq!(own.zone_tag.as_deref(), Some("az"));
        // Servers verify each other, said or not.
        assert!(own.listener.tls.is_some_and(|tls| tls.verify && tls.servers.insecure));
    }

    #[test]
    fn defaults_are_the_official_ones() {
        let own = cluster_of(
            "port: -1, pool_size: 0, ping_max: 0, ping_interval: '0s', connect_retries: -1, compression: ''",
        );
        assert_eq!(
            (own.pool.size, own.dialing.retries, own.pool.compression.mode),
            (Some(3), 0, CompressionMode::Accept)
        );
        assert_eq!(
            (own.limits.ping_interval, own.limits.pings_out_max, own.limits.writing.retry),
            (None, None, true)
        );
        assert_eq!((&*own.listener.address.host, own.listener.address.port), ("0.0.0.0", None));
        assert_eq!(cluster_of("pool_size: -1").pool.size, None);
    }

    #[test]
    fn what_true_means_for_compression_is_fast() {
        for (text, mode) in [
            ("true", CompressionMode::S2Fast),
            ("enabled", CompressionMode::S2Fast),
            ("false", CompressionMode::Off),
            ("disabled", CompressionMode::Off),
            ("S2_Best", CompressionMode::S2Best),
            ("auto", CompressionMode::S2Auto),
            ("better", CompressionMode::S2Better),
            ("'not supported'", CompressionMode::NotSupported),
            ("{ mode: s2_fast, rtt: ['5ms', '3ms'] }", CompressionMode::S2Fast),
        ] {
            assert_eq!(cluster_of(&format!("compression: {text}")).pool.compression.mode, mode, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (block, expected) in [
            ("name: 'a b'", "1:17: cluster name cannot contain spaces"),
            ("routes: 'nats://a:1'", "1:19: expected an array, found a string"),
            (
                "routes: ['nats://u:secret@a']",
                "1:20: route url nats://u:xxxxx@a has no port\n  such as `nats://host:6222`",
            ),
            (
                "routes: ['nats://u:secret@a:x']",
                "1:20: error parsing route url: \"x\" is no port\n  such as `nats://host:6222`",
            ),
            (
                "advertise: 'x:y'",
                "1:9: cluster_advertise is \"x:y\", which is no `host:port`: \"y\" is no port",
            ),
            (
                "compression: x",
                "1:24: unsupported compression mode \"x\"\n  known are `off`, `disabled`, `accept`, `s2_fast`, `s2_better`, `s2_best`, `s2_auto`, `not supported`",
            ),
            (
                "compression { mode: s2_auto, rtt: ['5ms', '3ms'] }",
                "1:45: RTT threshold values should be in ascending order",
            ),
            (
                "compression { mode: s2_auto, rtt: ['-5ms'] }",
                "1:45: compression mode \"s2_auto\" requires at least one RTT threshold",
            ),
            (
                "compression { mode: s2_auto, rtt: ['1s', '2s', '3s', '4s', '5s'] }",
                "1:45: compression mode \"s2_auto\" should have no more than 4 RTT thresholds",
            ),
            (
                "accounts: [A, A]",
                "1:9: found duplicate account name \"A\" in the accounts with routes of their own",
            ),
            (
                "accounts: [A], pool_size: -1",
                "1:9: pool_size cannot be negative if pinned accounts are specified",
            ),
            ("zone_tag: rack", "1:9: zone_tag is \"rack\", and no tag of server_tags begins with \"rack:\""),
            ("authorization { password: p }", "1:9: a password needs a user"),
            ("authorization { nkey: x }", "1:27: unknown field \"nkey\""),
            (
                "write_timeout: x",
                "1:26: write_timeout \"x\" is unknown\n  known are `default`, `close` and `retry`",
            ),
            ("tls { cert_file: a }", "1:15: missing 'key_file' in TLS configuration"),
            ("foo: 1", "1:11: unknown field \"foo\""),
        ] {
            assert_eq!(read(block).expect_err(block), format!("t.conf:{expected}"), "{block}");
        }
    }

    #[test]
    fn what_looks_like_a_mistake_is_doubted() {
        for (block, expected) in [
            ("port: 5, routes: ['nats://a:1', 'nats://a:1']", "Duplicate route entry detected: nats://a:1"),
            ("routes: ['nats://a:1']", "there are no routes, for the cluster does not listen"),
            (
                "port: 5, authorization { user: u, permissions { import: a } }",
                "setting \"permissions\" within cluster authorization block is deprecated",
            ),
            (
                "port: 5, ping_interval: 5",
                "invalid use of field \"ping_interval\": ping_interval should be converted to a duration",
            ),
        ] {
            let doubts = read(block).expect(block).source.doubts;
            let doubts: Vec<&str> = doubts.iter().map(|doubt| doubt.problem.as_str()).collect();
            assert_eq!(doubts, [expected], "{block}");
        }
        let own = cluster_of("port: 5, authorization { user: u, permissions { import: a } }");
        assert_eq!(own.permissions.expect("taken").import.allow, Some(vec!["a".to_owned()]));
        assert_eq!(own.authorization.permissions, None);
    }

    /// A key of `tls` that says nothing for routes is accepted, and named at start.
    #[test]
    fn keys_of_tls_that_are_for_clients_have_no_effect() {
        for (key, ignored) in [
            ("handshake_first: true", 1),
            ("connection_rate_limit: 5", 1),
            ("insecure: true", 0),
            ("verify_and_map: true", 0),
            ("verify_cert_and_check_known_urls: true", 0),
            ("pinned_certs: []", 0),
            ("timeout: 5", 0),
        ] {
            let options = read(&format!("port: 5, tls {{ cert_file: a, key_file: b, {key} }}")).expect(key);
            assert_eq!(options.source.ignored.len(), ignored, "{key}");
        }
    }
}
