//! Leaf nodes: servers that connect here, and others that this one is a leaf of.

use super::block;
use super::compression::{Compression, CompressionMode, compression};
use super::keys::Status::{Reloads, Restarts};
use super::leaf_remote::{self, LeafRemote};
use super::reader::{self, Block, Notes, noted};
use super::repeated::{Address, Writing};
use super::rule::Rule::Within;
use super::tls::{self, Context, Tls};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use crate::nkey;
use std::time::Duration;

/// How long to wait before a remote is tried again. The official figure.
const RECONNECT: Duration = Duration::from_secs(1);
/// The lowest version that `min_version` may be: older leaf nodes do not say theirs.
const VERSION_MIN: [u64; 3] = [2, 8, 0];

block! {
    /// Leaf nodes.
    pub struct LeafNodes in "leafnodes" {
        /// Where the block stands.
        at: Position = Position::default();
        /// Where leaf nodes connect.
        listener: LeafListener = LeafListener::default();
        authorization: LeafAuthorization = LeafAuthorization::default(),
            authorization: "Who leaf nodes may be. Default: as clients.", block (authorization), Within(Restarts);
        remotes: Vec<LeafRemote> = Vec::new(),
            remotes: "Servers that this one is a leaf node of.", block (leaf_remote::remotes), Within(Reloads);
        reconnect: Duration = RECONNECT,
            reconnect | "reconnect_delay" | "reconnect_interval": "How long to wait before a remote is tried again. Default 1s.",
            or_default (|v, notes: &mut Notes| reader::duration_doubted(v, "reconnect", &mut notes.doubts)), Within(Restarts);
        /// `None`: the usual.
        dial_timeout: Option<Duration> = None,
            dial_timeout: "How long a connection to a remote may take. Default 1s.",
            noting (|v, notes| reader::optional_duration(v, "dial_timeout", notes)), Within(Restarts);
        isolate: bool = false,
            isolate_leafnode_interest | "isolate": "Leaf nodes do not hear what other leaf nodes subscribe to.",
            read (reader::boolean), Within(Restarts);
        /// How long a leaf node may take nothing.
        writing: Writing = Writing::default();
    }
}

block! {
    /// Where leaf nodes connect.
    pub struct LeafListener in "leafnodes" {
        /// Where it listens.
        address: Address = Address::default();
        advertise: Option<String> = None,
            leafnode_advertise | "advertise": "`host:port` that leaf nodes are told instead of the real one.",
            read (reader::optional), Within(Restarts);
        no_advertise: bool = false,
            no_advertise: "Do not tell leaf nodes about the other servers.", read (reader::boolean), Within(Restarts);
        tls: Option<Tls> = None,
            tls: "TLS for leaf nodes, with the keys of `tls`.",
            block (|v, notes| tls::tls(v, Context::Leaf, notes)), Within(Reloads);
        /// `None`: any.
        version_min: Option<[u64; 3]> = None,
            min_version | "minimum_version": "The lowest version that leaf nodes may have, at least 2.8.0. Default: any.",
            read (version), Within(Restarts);
        compression: Compression = Compression::of(CompressionMode::S2Auto),
            compression: "A mode, or a block. Default `s2_auto`.",
            block (|v, notes| compression(v, CompressionMode::S2Auto, CompressionMode::S2Auto, notes)), Within(Reloads);
    }
}

block! {
    /// Who leaf nodes may be; as clients, if there is nothing.
    pub struct LeafAuthorization in "leafnodes_authorization" {
        user: Option<String> = None,
            user | "username": "The only user.", read (|v| reader::credential(v, "user").map(Some)), Within(Restarts);
        password: Option<Secret> = None,
            pass | "password": "Its password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Within(Restarts);
        nkey: Option<String> = None,
            nkey: "Public NKey of the only user.", read (public_nkey), Within(Restarts);
        /// `None`: the default account.
        account: Option<String> = None,
            account: "Account of the only user. Default: the default account.", read (reader::optional), Within(Restarts);
        proxy_required: bool = false,
            proxy_required: "The only user must come through a trusted proxy.", read (reader::boolean), Within(Restarts);
        /// `None`: the usual.
        timeout: Option<Duration> = None,
            timeout: "How long a leaf node may take to say who it is. Default 2s.",
            noting (|v, notes: &mut Notes| reader::auth_timeout(v, &mut notes.doubts)), Within(Restarts);
        users: Vec<LeafUser> = Vec::new(),
            users: "Users.", block (users), Within(Restarts);
    }
}

block! {
    /// A user that a leaf node may be.
    pub struct LeafUser in "leafnodes_user" {
        /// Where it stands.
        at: Position = Position::default();
        name: String = String::new(),
            user | "username": "Name.", read (reader::text), Within(Restarts);
        password: Option<Secret> = None,
            pass | "password": "Password, plain or bcrypt.",
            read (|v| reader::text(v).map(|p| Some(Secret::new(p)))), Within(Restarts);
        /// `None`: the default account.
        account: Option<String> = None,
            account: "Its account. Default: the default account.", read (reader::optional), Within(Restarts);
        proxy_required: bool = false,
            proxy_required: "It must come through a trusted proxy.", read (reader::boolean), Within(Restarts);
    }
}

impl LeafNodes {
    /// Whether leaf nodes can connect.
    pub fn listens(&self) -> bool {
        self.listener.address.is_on()
    }
}

/// Reads the block. `None`: it asks for nothing.
pub(crate) fn leafnodes(value: &Value, notes: &mut Notes) -> Option<LeafNodes> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    map.iter().next()?;
    let block = Block::new("leafnodes", map, &mut notes.errors);
    let mut own = LeafNodes { at: value.at.clone().into(), ..LeafNodes::default() };
    own.read(&block, notes);
    own.listener.read(&block, notes);
    own.listener.address.read_all(&block, notes);
    own.writing.read(&block, notes);
    Some(own)
}

fn authorization(value: &Value, notes: &mut Notes) -> LeafAuthorization {
    let mut out = LeafAuthorization::default();
    let Some(map) = noted(reader::map(value), &mut notes.errors) else { return out };
    let block = Block::new("leafnodes_authorization", map, &mut notes.errors);
    out.read(&block, notes);
    let problem = match (&out.nkey, &out.user) {
        _ if out.users.is_empty() => "",
        (Some(_), _) => "can not have a single nkey and a users array",
        (None, Some(_)) => "can not have a single user/pass and a users array",
        (None, None) => "",
    };
    if !problem.is_empty() {
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    // The official server ignores it, and every leaf node may connect.
    if out.user.is_none() && out.password.is_some() {
        notes.errors.push(ConfigError::new(&value.at, "a password needs a user"));
    }
    out
}

fn users(value: &Value, notes: &mut Notes) -> Vec<LeafUser> {
    let mut out: Vec<LeafUser> = Vec::new();
    for value in noted(reader::array(value), &mut notes.errors).unwrap_or_default() {
        let Some(map) = noted(reader::map(value), &mut notes.errors) else { continue };
        let block = Block::new("leafnodes_user", map, &mut notes.errors);
        let mut user = LeafUser { at: value.at.clone().into(), ..LeafUser::default() };
        user.read(&block, notes);
        if user.name.is_empty() {
            notes.errors.push(ConfigError::new(&value.at, "User entry requires a user"));
        } else if out.iter().any(|known| known.name == user.name) {
            let problem = format!("duplicate user {:?} detected in leafnode authorization", user.name);
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
        out.push(user);
    }
    out
}

fn public_nkey(value: &Value) -> Result<Option<String>, ConfigError> {
    let key = reader::text(value)?;
    match nkey::is_public(&key, Some('U')) {
        true => Ok(Some(key)),
        false => Err(ConfigError::new(&value.at, "Not a valid public nkey for leafnode authorization")
            .help("it begins with `U` and has 56 characters")),
    }
}

/// `major.minor.patch`
fn version(value: &Value) -> Result<Option<[u64; 3]>, ConfigError> {
    let wrong = || {
        ConfigError::new(&value.at, "invalid leafnode's minimum version: invalid semver")
            .help("such as `2.10.0`")
    };
    let Kind::String(text) = &value.kind else { return Err(wrong()) };
    let numbers: Option<Vec<u64>> = text.split('.').map(|number| number.parse().ok()).collect();
    let version: [u64; 3] = numbers.and_then(|numbers| numbers.try_into().ok()).ok_or_else(wrong)?;
    match version < VERSION_MIN {
        true => Err(ConfigError::new(&value.at, "the minimum version should be at least 2.8.0")),
        false => Ok(Some(version)),
    }
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

    fn read(block: &str, more: &str) -> Result<Options, String> {
        read_text(&format!("leafnodes {{ {block} }}\n{more}"))
    }

    #[track_caller]
    fn refuse(block: &str, more: &str, expected: &str) {
        let found = read(block, more).expect_err(block);
        assert!(found.lines().next().is_some_and(|line| line.contains(expected)), "{block}: {found}");
    }

    #[test]
    fn every_key_is_read() {
        let own = read(
            "listen: 'h:5', advertise: 'x:6', no_advertise: true, min_version: 2.10.1, compression: s2_fast, isolate: true,
             reconnect: '3s', dial_timeout: '4s', write_deadline: '5s', write_timeout: close,
             tls { cert_file: a, key_file: b, handshake_first: true },
             authorization { timeout: 3, users: [ { user: u, password: p, account: A, proxy_required: true } ] }",
            "accounts { A {} }",
        );
        let own = own.expect("read").leafnodes.expect("leaf nodes");
        let seconds = Duration::from_secs;
        assert_eq!(
            (&*own.listener.address.host, own.listener.address.port, own.listener.no_advertise),
            ("h", Some(5), true)
        );
        assert_eq!(
            (own.listener.advertise.as_deref(), own.listener.version_min),
            (Some("x:6"), Some([2, 10, 1]))
        );
        assert_eq!((own.listener.compression.mode, own.isolate), (CompressionMode::S2Fast, true));
        assert_eq!(
            (own.reconnect, own.dial_timeout, own.writing.deadline),
            (seconds(3), Some(seconds(4)), Some(seconds(5)))
        );
        assert!(!own.writing.retry && own.listener.tls.is_some_and(|tls| !tls.verify));
        let [user] = own.authorization.users.as_slice() else { panic!("one user") };
        assert_eq!((&*user.name, user.account.as_deref(), user.proxy_required), ("u", Some("A"), true));
        assert_eq!(own.authorization.timeout, Some(seconds(3)));
        assert_eq!(read("", "").expect("read").leafnodes, None);
        let plain = read("port: -1", "").expect("read").leafnodes.expect("leaf nodes");
        assert_eq!((plain.reconnect, plain.writing.retry), (seconds(1), true));
        assert_eq!(plain.listener.compression.mode, CompressionMode::S2Auto);
    }

    #[test]
    fn what_is_wrong_is_named() {
        const KEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
        for (block, expected) in [
            ("min_version: x", "1:26: invalid leafnode's minimum version: invalid semver"),
            ("min_version: 2.9", "invalid semver"),
            ("min_version: v2.9.0", "invalid semver"),
            ("min_version: 2.7.9", "the minimum version should be at least 2.8.0"),
            ("advertise: 'x:y'", "advertise is \"x:y\", which is no `host:port`"),
            ("authorization { nkey: A }", "Not a valid public nkey for leafnode authorization"),
            (
                &format!("authorization {{ nkey: {KEY}, users: [ {{ user: a }} ] }}"),
                "can not have a single nkey and a users array",
            ),
            (
                "authorization { user: a, users: [ { user: b } ] }",
                "can not have a single user/pass and a users array",
            ),
            (
                "authorization { users: [ { user: a }, { user: a } ] }",
                "1:51: duplicate user \"a\" detected in leafnode authorization",
            ),
            ("authorization { users: [ { password: a } ] }", "User entry requires a user"),
            ("authorization { password: a }", "a password needs a user"),
            ("authorization { token: a }", "unknown field \"token\""),
            (
                "authorization { account: A }",
                "cannot find local account \"A\" specified in leafnode authorization",
            ),
            (
                "authorization { users: [ { user: a, account: Z } ] }",
                "cannot find local account \"Z\" specified in leafnode authorization",
            ),
            ("reconnect: x", "expected a duration"),
            ("foo: 1", "unknown field \"foo\""),
        ] {
            refuse(block, "", expected);
        }
        refuse("port: 5", "gateway { name: a, port: 6 }", "require a system account to also be configured");
        read("reconnect: '1s'", "gateway { name: a, port: 6 }").expect("nothing listens for leaf nodes");
        read("port: 5", "gateway { name: a, port: 6 }, system_account: S, accounts { S {} }")
            .expect("has one");
    }

    #[test]
    fn servers_alone_check_known_urls() {
        let tls = "tls { cert_file: a, key_file: b, verify_cert_and_check_known_urls: true }";
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        for (text, is_refused) in [
            (format!("leafnodes {{ port: 5, {tls} }}"), true),
            (format!("leafnodes {{ remotes: [ {{ url: 'nats://a', {tls} }} ] }}"), true),
            (format!("gateway {{ name: a, port: 5, {tls} }}"), false),
        ] {
            let map = crate::language::parse_text(&text, "t.conf", &mut files, &|_| None).expect(&text);
            let mut notes = Notes::default();
            for entry in map.iter() {
                match entry.key.as_str() {
                    "leafnodes" => drop(leafnodes(&entry.value, &mut notes)),
                    _ => drop(super::super::gateway::gateway(&entry.value, &mut notes)),
                }
            }
            let refused = |error: &ConfigError| error.problem.contains("it is for routes and gateways only");
            assert_eq!(notes.errors.iter().any(refused), is_refused, "{text}");
        }
    }
}
