//! The gateway: connections to other clusters.

use super::block;
use super::keys::Status::{Refused, Reloads, Restarts};
use super::reader::{self, Block, Notes, noted};
use super::repeated::{Address, Dialing, Writing};
use super::rule::Rule::Within;
use super::server_url::{self, ServerUrl};
use super::tls::{self, Context, Tls};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::Value;
use std::time::Duration;

block! {
    /// Connections to other clusters.
    pub struct Gateway in "gateway" {
        /// Where the block stands.
        at: Position = Position::default();
        name: Option<String> = None,
            name: "Name of this cluster.", block (name), Within(Restarts);
        /// Where other clusters connect.
        listener: GatewayListener = GatewayListener::default();
        authorization: GatewayUser = GatewayUser::default(),
            authorization: "Who servers of other clusters must be.", block (gateway_user), Within(Reloads);
        remotes: Vec<RemoteGateway> = Vec::new(),
            gateways: "Other clusters.", block (remotes), Within(Reloads);
        /// How other clusters are dialled.
        dialing: Dialing = Dialing::default();
        reject_unknown: bool = false,
            reject_unknown_cluster | "reject_unknown": "Only clusters in `gateways` may connect.",
            read (reader::boolean), Within(Reloads);
        /// How long a connection may take nothing.
        writing: Writing = Writing::default();
    }
}

block! {
    /// Where other clusters connect.
    pub struct GatewayListener in "gateway" {
        /// Where it listens.
        address: Address = Address::default();
        advertise: Option<String> = None,
            advertise: "`host:port` that other clusters are told instead of the real one.",
            read (reader::optional), Within(Restarts);
        /// Of both ends, unless a remote gateway has its own.
        tls: Option<Tls> = None,
            tls: "TLS, with the keys of `tls`. Both servers verify each other.",
            block (|v, notes| tls::tls(v, Context::Gateway, notes)), Within(Reloads);
    }
}

block! {
    /// Who servers of other clusters must be.
    pub struct GatewayUser in "gateway_authorization" {
        user: Option<String> = None,
            user | "username": "The user.", read (|v| reader::credential(v, "user").map(Some)), Within(Reloads);
        password: Option<Secret> = None,
            pass | "password": "Its password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Within(Reloads);
        /// `None`: the usual.
        timeout: Option<Duration> = None,
            timeout: "How long a server may take to say who it is. Default 2s.",
            noting (|v, notes: &mut Notes| reader::auth_timeout(v, &mut notes.doubts)), Within(Reloads);
    }
    also {
        token: Refused("gateways have a user and a password, and no token"), "A token.";
        users: Refused("gateways have one user"), "Users.";
    }
}

block! {
    /// Another cluster.
    pub struct RemoteGateway in "gateway_remote" {
        /// Where it stands.
        at: Position = Position::default();
        name: String = String::new(),
            name: "Its name.", read (reader::text), Within(Reloads);
        urls: Vec<ServerUrl> = Vec::new(),
            urls: "URLs of servers there, such as `nats://host:7222`.",
            block (|v, notes| server_url::list(v, "gateway", notes)), Within(Reloads);
        tls: Option<Tls> = None,
            tls: "TLS to this cluster. Default: that of the block around it.",
            block (|v, notes| tls::tls(v, Context::Gateway, notes)), Within(Reloads);
    }
    also {
        url: Reloads, "URL of a server there.";
    }
}

impl Gateway {
    /// What is said of another cluster.
    pub fn remote(&self, name: &str) -> Option<&RemoteGateway> {
        self.remotes.iter().find(|remote| remote.name == name)
    }

    /// TLS to another cluster: that of its block, or the one of both ends.
    pub fn tls_to(&self, name: &str) -> Option<&Tls> {
        self.remote(name).and_then(|remote| remote.tls.as_ref()).or(self.listener.tls.as_ref())
    }
}

/// Reads the block. `None`: it asks for nothing.
pub(crate) fn gateway(value: &Value, notes: &mut Notes) -> Option<Gateway> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    map.iter().next()?;
    let block = Block::new("gateway", map, &mut notes.errors);
    let mut own = Gateway { at: value.at.clone().into(), ..Gateway::default() };
    own.read(&block, notes);
    own.listener.read(&block, notes);
    own.listener.address.read_all(&block, notes);
    own.dialing.read(&block, notes);
    own.writing.read(&block, notes);
    Some(own)
}

fn name(value: &Value, notes: &mut Notes) -> Option<String> {
    let name = noted(reader::optional(value), &mut notes.errors)?;
    if name.as_deref().is_some_and(|name| name.contains(' ')) {
        notes.errors.push(ConfigError::new(&value.at, "gateway name cannot contain spaces"));
    }
    name
}

fn gateway_user(value: &Value, notes: &mut Notes) -> GatewayUser {
    let mut out = GatewayUser::default();
    if let Some(map) = noted(reader::map(value), &mut notes.errors) {
        out.read(&Block::new("gateway_authorization", map, &mut notes.errors), notes);
    }
    out
}

/// `[ { name: …, urls: … }, … ]`
fn remotes(value: &Value, notes: &mut Notes) -> Vec<RemoteGateway> {
    let mut out: Vec<RemoteGateway> = Vec::new();
    for value in noted(reader::array(value), &mut notes.errors).unwrap_or_default() {
        let Some(map) = noted(reader::map(value), &mut notes.errors) else { continue };
        let block = Block::new("gateway_remote", map, &mut notes.errors);
        let mut remote = RemoteGateway { at: value.at.clone().into(), ..RemoteGateway::default() };
        let before = notes.errors.len();
        remote.read(&block, notes);
        let url = block.get("url").map(|value| server_url::one(value, "gateway"));
        if let Some(url) = url.and_then(|read| noted(read, &mut notes.errors)) {
            remote.urls.insert(0, url);
        }
        let is_known = out.iter().any(|known| known.name == remote.name);
        let problem = match remote.name.as_str() {
            "" => format!("gateway in the list {} has no name", out.len()),
            name if remote.urls.is_empty() => format!("gateway {name:?} has no URL"),
            name if is_known => format!("gateway {name:?} stands in the list twice"),
            _ => String::new(),
        };
        if !problem.is_empty() && notes.errors.len() == before {
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
        out.push(remote);
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::options::Options;
    use std::path::Path;
    use std::time::Duration;

    /// What is read of a configuration whatever of it is not carried out.
    fn read_text(text: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let partial = crate::load_partial_text(text, "t.conf", &mut files, &|_| None);
        partial.map(|partial| partial.options).map_err(|errors| errors.to_string())
    }

    fn read(block: &str) -> Result<Options, String> {
        read_text(&format!("gateway {{ {block} }}"))
    }

    #[test]
    fn every_key_is_read() {
        let own = read(
            "name: a, listen: 'h:5', advertise: 'x:6', authorization { user: u, password: p, timeout: 3 }, connect_retries: 4,
             connect_backoff: true, reject_unknown: true, write_deadline: '5s', write_timeout: close,
             tls { cert_file: a, key_file: b, verify_cert_and_check_known_urls: true },
             gateways: [ { name: b, url: 'nats://u:p@b:1', urls: ['nats://b:2'], tls { cert_file: c, key_file: d } } ]",
        );
        let own = own.expect("read").gateway.expect("a gateway");
        assert_eq!(
            (own.name.as_deref(), &*own.listener.address.host, own.listener.address.port),
            (Some("a"), "h", Some(5))
        );
        assert_eq!(own.listener.advertise.as_deref(), Some("x:6"));
        assert_eq!(
            (own.authorization.user.as_deref(), own.authorization.timeout),
            (Some("u"), Some(Duration::from_secs(3)))
        );
        assert_eq!((own.dialing.retries, own.dialing.backoff, own.reject_unknown), (4, true, true));
        assert_eq!((own.writing.deadline, own.writing.retry), (Some(Duration::from_secs(5)), false));
        assert!(own.listener.tls.is_some_and(|tls| tls.verify && tls.servers.check_known_urls));
        let [remote] = own.remotes.as_slice() else { panic!("one remote") };
        let urls: Vec<String> = remote.urls.iter().map(ToString::to_string).collect();
        assert_eq!(
            (&*remote.name, urls),
            ("b", vec!["nats://u:xxxxx@b:1".to_owned(), "nats://b:2".to_owned()])
        );
        assert!(remote.tls.is_some());
        assert_eq!(read("").expect("read").gateway, None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let on = |more: &str| format!("name: a, port: 5, {more}");
        for (block, expected) in [
            ("port: 5".to_owned(), "1:9: gateway has no name"),
            ("name: a".to_owned(), "1:9: gateway \"a\" has no port specified (select -1 for random port)"),
            ("name: 'a b', port: 5".to_owned(), "1:17: gateway name cannot contain spaces"),
            (on("advertise: 'x:y'"), "1:9: advertise is \"x:y\", which is no `host:port`: \"y\" is no port"),
            (on("authorization { pass: p }"), "1:9: a password needs a user"),
            (on("gateways: [ { url: 'nats://b:1' } ]"), "1:41: gateway in the list 0 has no name"),
            (on("gateways: [ { name: b } ]"), "1:41: gateway \"b\" has no URL"),
            (
                on("gateways: [ { name: b, url: 'nats://b:1' }, { name: b, url: 'nats://b:2' } ]"),
                "1:73: gateway \"b\" stands in the list twice",
            ),
            (
                on("gateways: [ { name: b, url: 'nats://u:secret@b' } ]"),
                "1:57: gateway url nats://u:xxxxx@b has no port\n  such as `nats://host:6222`",
            ),
            (on("gateways: { name: b }"), "1:39: expected an array, found a map"),
            (on("foo: 1"), "1:29: unknown field \"foo\""),
        ] {
            let found = read(&block).expect_err(&block);
            let first = found.lines().zip(expected.lines()).all(|(found, expected)| found.contains(expected));
            assert!(first && found.lines().count() == expected.lines().count(), "{block}: {found}");
        }
    }

    #[test]
    fn a_cluster_has_one_name() {
        let read =
            |cluster: &str| read_text(&format!("gateway {{ name: a, port: 5 }}\ncluster {{ {cluster} }}"));
        for good in ["port: 6", "name: a, port: 6"] {
            read(good).expect(good);
        }
        let found = read("name: b, port: 6").expect_err("another name");
        assert_eq!(found, "t.conf:1:9: cluster name conflicts between cluster and gateway definitions");
    }
}
