//! A server that this one is a leaf node of.

use super::block;
use super::compression::{Compression, CompressionMode, compression};
use super::keys::Status::Reloads;
use super::permissions::subjects;
use super::reader::{self, Block, Notes, noted};
use super::rule::Rule::Within;
use super::server_url::{self, ServerUrl};
use super::tls::{self, Context, Tls, TlsFirst};
use crate::Secret;
use crate::error::{ConfigError, Position};
use crate::language::{Kind, Value};
use crate::nkey;
use std::path::PathBuf;
use std::time::Duration;

/// How long the first INFO of a remote may take. The official figure.
const FIRST_INFO_TIMEOUT: Duration = Duration::from_secs(1);

block! {
    /// A server that this one is a leaf node of.
    pub struct LeafRemote in "leafnodes_remote" {
        /// Where it stands.
        at: Position = Position::default();
        urls: Vec<ServerUrl> = Vec::new(),
            urls | "url": "URL of the server, or a list, such as `nats://host:7422` or `wss://host`.",
            block (|v, notes| server_url::list_or_one(v, "leafnode", notes)), Within(Reloads);
        /// `None`: the default account.
        account: Option<String> = None,
            account | "local": "Account here that is connected. Default: the default account.",
            read (reader::optional), Within(Reloads);
        credentials: Option<PathBuf> = None,
            credentials | "creds": "File with a JWT and a seed, which say who this server is there.",
            read (reader::path), Within(Reloads);
        seed: Option<Secret> = None,
            nkey | "seed": "Seed of a user's NKey, which says who this server is there.", read (seed), Within(Reloads);
        tls: Option<Tls> = None,
            tls: "TLS to it, with the keys of `tls`; an empty block asks for TLS.",
            block (|v, notes| tls::tls(v, Context::LeafRemote, notes)), Within(Reloads);
        hub: bool = false,
            hub: "This server is the hub of the two.", read (reader::boolean), Within(Reloads);
        deny_imports: Vec<String> = Vec::new(),
            deny_imports | "deny_import": "Subjects that do not come in from there.",
            block (|v, notes| subjects(v, false, &mut notes.errors)), Within(Reloads);
        deny_exports: Vec<String> = Vec::new(),
            deny_exports | "deny_export": "Subjects that do not go out to there.",
            block (|v, notes| subjects(v, false, &mut notes.errors)), Within(Reloads);
        isolate: bool = false,
            isolate_leafnode_interest | "isolate": "It does not hear what other leaf nodes subscribe to.",
            read (reader::boolean), Within(Reloads);
        request_isolation: bool = false,
            request_isolation: "It is asked not to send what other leaf nodes subscribe to.",
            read (reader::boolean), Within(Reloads);
        /// How long leaders stay when the connection is lost; `None`: for ever.
        migrate_after: Option<Duration> = None,
            jetstream_cluster_migrate | "js_cluster_migrate":
            "Leaders of replicated streams move away when the connection is lost: true, or a block.",
            block (migrate), Within(Reloads);
        disabled: bool = false,
            disabled: "Do not connect.", read (reader::boolean), Within(Reloads);
        /// How it is connected to.
        link: LeafLink = LeafLink::default();
    }
}

block! {
    /// How a remote is connected to.
    pub struct LeafLink in "leafnodes_remote" {
        /// Whether the URLs are tried in their order.
        in_order: bool = false,
            no_randomize | "dont_randomize": "URLs are tried in their order. Default: in any.",
            read (reader::boolean), Within(Reloads);
        ignore_discovered: bool = false,
            ignore_discovered_servers: "Connect to no server that the remote speaks of.",
            read (reader::boolean), Within(Reloads);
        websocket_compression: bool = false,
            ws_compression | "ws_compress" | "websocket_compress" | "websocket_compression":
            "Compress messages over WebSocket.", read (reader::boolean), Within(Reloads);
        websocket_no_masking: bool = false,
            ws_no_masking | "websocket_no_masking": "Do not mask what is sent over WebSocket.",
            read (reader::boolean), Within(Reloads);
        compression: Compression = Compression::of(CompressionMode::S2Auto),
            compression: "A mode, or a block. Default `s2_auto`.",
            block (|v, notes| compression(v, CompressionMode::S2Auto, CompressionMode::S2Auto, notes)), Within(Reloads);
        first_info_timeout: Duration = FIRST_INFO_TIMEOUT,
            first_info_timeout: "How long its first INFO may take. Default 1s.",
            or_default (|v, notes: &mut Notes| reader::duration_doubted(v, "first_info_timeout", &mut notes.doubts)),
            Within(Reloads);
        /// `None`: as `leafnodes` says.
        dial_timeout: Option<Duration> = None,
            dial_timeout: "How long a connection may take. Default: as `leafnodes` says.",
            noting (|v, notes| reader::optional_duration(v, "dial_timeout", notes)), Within(Reloads);
        proxy: Option<LeafProxy> = None,
            proxy: "An HTTP proxy to connect through, by WebSocket.", block (proxy), Within(Reloads);
    }
}

block! {
    /// An HTTP proxy.
    pub struct LeafProxy in "leafnodes_proxy" {
        url: Option<ServerUrl> = None,
            url: "Its URL, such as `http://host:3128`.", read (proxy_url), Within(Reloads);
        user: Option<String> = None,
            username: "Who this server is there.", read (reader::optional), Within(Reloads);
        password: Option<Secret> = None,
            password: "The password.", read (|v| Ok(reader::optional(v)?.map(Secret::new))), Within(Reloads);
        /// `None`: the usual.
        timeout: Option<Duration> = None,
            timeout: "How long a connection through it may take.",
            noting (|v, notes| reader::optional_duration(v, "proxy timeout", notes)), Within(Reloads);
    }
}

block! {
    /// When leaders of replicated streams move away.
    pub struct Migration in "leafnodes_migrate" {
        delay: Duration = Duration::ZERO,
            leader_migrate_delay: "How long they stay. Default 0s.",
            noting (|v, notes: &mut Notes| reader::duration_doubted(v, "leader_migrate_delay", &mut notes.doubts)),
            Within(Reloads);
    }
}

impl LeafRemote {
    /// Whether it is reached by WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.urls.iter().any(Self::is_websocket_url)
    }

    /// The proxy that it is reached through. Without WebSocket there is none.
    pub fn proxy(&self) -> Option<&LeafProxy> {
        self.link.proxy.as_ref().filter(|_| self.is_websocket())
    }

    /// Whether a URL is of WebSocket.
    pub fn is_websocket_url(url: &ServerUrl) -> bool {
        matches!(url.scheme.as_str(), "ws" | "wss")
    }

    /// Whether nothing is said to it without TLS, whatever it says of itself.
    pub fn needs_tls(&self) -> bool {
        self.tls.is_some() || self.urls.iter().any(|url| url.scheme == "tls")
    }

    /// Whether TLS comes before its INFO.
    pub fn begins_with_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.first != TlsFirst::No)
    }

    /// Which one it is: two with the same are one.
    fn is_same(&self, other: &Self) -> bool {
        (&self.urls, &self.account, &self.credentials, &self.seed)
            == (&other.urls, &other.account, &other.credentials, &other.seed)
    }

    /// Its URLs and its account, as the official server names it, and without passwords.
    pub fn label(&self) -> String {
        let urls: Vec<String> = self.urls.iter().map(|url| format!("\"{url}\"")).collect();
        format!("urls=[{}], account={:?}", urls.join(" "), self.account.as_deref().unwrap_or("$G"))
    }
}

/// `[ { url: … }, … ]`
pub(crate) fn remotes(value: &Value, notes: &mut Notes) -> Vec<LeafRemote> {
    let mut out: Vec<LeafRemote> = Vec::new();
    for value in noted(reader::array(value), &mut notes.errors).unwrap_or_default() {
        let Some(map) = noted(reader::map(value), &mut notes.errors) else { continue };
        let block = Block::new("leafnodes_remote", map, &mut notes.errors);
        let mut remote = LeafRemote { at: value.at.clone().into(), ..LeafRemote::default() };
        let before = notes.errors.len();
        remote.read(&block, notes);
        remote.link.read(&block, notes);
        if notes.errors.len() == before
            && let Some(problem) = problem(&remote, &out)
        {
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
        if let Some(value) = block.get("proxy").filter(|_| !remote.is_websocket()) {
            let problem = "proxy configuration will be ignored: a proxy is for connections by WebSocket";
            notes.doubts.push(ConfigError::new(&value.at, problem).help("`ws://` or `wss://`"));
        }
        out.push(remote);
    }
    out
}

/// What is wrong with a remote beside those before it.
fn problem(remote: &LeafRemote, before: &[LeafRemote]) -> Option<String> {
    if remote.urls.is_empty() {
        return Some("a remote needs a url".into());
    }
    if remote.is_websocket() && !remote.urls.iter().all(LeafRemote::is_websocket_url) {
        let problem = "remote leaf node configuration cannot have a mix of websocket and non-websocket urls";
        return Some(problem.into());
    }
    if remote.seed.is_some() && remote.credentials.is_some() {
        return Some("Remote leafnode can not have both creds and nkey defined".into());
    }
    let known = before.iter().any(|known| known.is_same(remote));
    known.then(|| format!("duplicate remote {}", remote.label()))
}

/// A user's seed. The error does not show it.
fn seed(value: &Value) -> Result<Option<Secret>, ConfigError> {
    let seed = Secret::new(reader::text(value)?);
    match nkey::is_user_seed(seed.expose()) {
        true => Ok(Some(seed)),
        false => Err(ConfigError::new(&value.at, "Remote leafnode nkey is not a valid seed")
            .help("it begins with `SU` and has 58 characters")),
    }
}

/// A boolean, or `{ leader_migrate_delay: … }`.
fn migrate(value: &Value, notes: &mut Notes) -> Option<Duration> {
    match &value.kind {
        Kind::Bool(is_on) => is_on.then_some(Duration::ZERO),
        Kind::Map(map) => {
            let block = Block::new("leafnodes_migrate", map, &mut notes.errors);
            let mut out = Migration::default();
            out.read(&block, notes);
            Some(out.delay)
        }
        _ => {
            let problem = "Expected boolean or map for jetstream_cluster_migrate";
            notes.errors.push(ConfigError::new(&value.at, problem));
            None
        }
    }
}

fn proxy(value: &Value, notes: &mut Notes) -> Option<LeafProxy> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("leafnodes_proxy", map, &mut notes.errors);
    let mut out = LeafProxy::default();
    out.read(&block, notes);
    if out.user.is_some() != out.password.is_some() {
        let problem = "proxy username and password must both be specified or both be empty";
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    // Without a URL there is none.
    out.url.is_some().then_some(out)
}

fn proxy_url(value: &Value) -> Result<Option<ServerUrl>, ConfigError> {
    let wrong = |problem: String| ConfigError::new(&value.at, problem).help("such as `http://host:3128`");
    let Some(text) = reader::optional(value)? else { return Ok(None) };
    let url = ServerUrl::parse(&text).map_err(|why| wrong(format!("error parsing proxy url: {why}")))?;
    match url.scheme.as_str() {
        "http" => {}
        // The official server speaks to it in plain, which no such proxy understands, and which shows the password to everybody.
        "https" => return Err(wrong("a proxy is reached in plain: TLS to a proxy is not supported".into())),
        other => return Err(wrong(format!("proxy URL scheme must be http or https, got: {other}"))),
    }
    match url.port {
        Some(_) => Ok(Some(url)),
        None => Err(wrong(format!("proxy url {url} has no port"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::path::Path;

    const SEED: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";

    /// What is read of a configuration whatever of it is not carried out.
    fn read_text(text: &str) -> Result<Options, String> {
        let mut files = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
        let partial = crate::load_partial_text(text, "t.conf", &mut files, &|_| None);
        partial.map(|partial| partial.options).map_err(|errors| errors.to_string())
    }

    fn read(remote: &str, more: &str) -> Result<Options, String> {
        read_text(&format!("leafnodes {{ remotes: [ {{ {remote} }} ] }}\n{more}"))
    }

    #[track_caller]
    fn remote_of(remote: &str) -> LeafRemote {
        let own = read(remote, "accounts { A {} }").expect(remote).leafnodes.expect("leaf nodes");
        own.remotes.first().expect("a remote").clone()
    }

    #[test]
    fn every_key_is_read() {
        let remote = remote_of(
            "urls: ['ws://a:1', 'wss://b'], account: A, credentials: '/c', tls {}, hub: true, deny_imports: x, deny_exports: [y, 'z.>'],
             isolate: true, request_isolation: true, jetstream_cluster_migrate { leader_migrate_delay: '5s' }, disabled: true,
             no_randomize: true, ignore_discovered_servers: true, ws_compression: true, ws_no_masking: true, compression: off,
             first_info_timeout: '3s', dial_timeout: '4s',
             proxy { url: 'http://p:1', username: u, password: hunter2, timeout: '6s' }",
        );
        let seconds = Duration::from_secs;
        assert_eq!(remote.label(), "urls=[\"ws://a:1\" \"wss://b\"], account=\"A\"");
        assert!(
            remote.is_websocket()
                && remote.hub
                && remote.isolate
                && remote.request_isolation
                && remote.disabled
        );
        assert_eq!(
            (remote.deny_imports, remote.deny_exports),
            (vec!["x".to_owned()], vec!["y".to_owned(), "z.>".to_owned()])
        );
        assert_eq!((remote.credentials, remote.migrate_after), (Some("/c".into()), Some(seconds(5))));
        // Who connects needs no certificate.
        assert!(remote.tls.is_some_and(|tls| tls.cert_file.as_os_str().is_empty()));
        let link = remote.link;
        assert!(
            link.in_order
                && link.ignore_discovered
                && link.websocket_compression
                && link.websocket_no_masking
        );
        assert_eq!(
            (link.compression.mode, link.first_info_timeout, link.dial_timeout),
            (CompressionMode::Off, seconds(3), Some(seconds(4)))
        );
        let proxy = link.proxy.expect("a proxy");
        assert_eq!((proxy.user.as_deref(), proxy.timeout), (Some("u"), Some(seconds(6))));
        assert!(!format!("{proxy:?}").contains("hunter2"));
        assert!(remote_of(&format!("url: 'nats://a', nkey: {SEED}")).seed.is_some());
        assert_eq!(
            remote_of("url: 'nats://a', jetstream_cluster_migrate: true").migrate_after,
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_shows_no_secret() {
        let ws = |more: &str| format!("url: 'ws://a:1', {more}");
        for (remote, expected) in [
            ("hub: true".to_owned(), "a remote needs a url"),
            (
                format!("url: 'nats://a', nkey: {SEED}, credentials: x"),
                "Remote leafnode can not have both creds and nkey defined",
            ),
            ("url: 'a:5'".to_owned(), "error parsing leafnode url: it has no scheme"),
            ("url: 'nats://u:secret@h:x'".to_owned(), "error parsing leafnode url: \"x\" is no port"),
            (
                "urls: ['ws://a:1', 'nats://b:1']".to_owned(),
                "cannot have a mix of websocket and non-websocket urls",
            ),
            (
                "url: 'nats://a', account: B".to_owned(),
                "cannot find local account \"B\" specified in leafnode remote",
            ),
            ("url: 'nats://a', nkey: 'secret'".to_owned(), "Remote leafnode nkey is not a valid seed\n"),
            (
                format!("url: 'nats://a', nkey: {}", SEED.replace('S', "T")),
                "Remote leafnode nkey is not a valid seed\n",
            ),
            ("url: 'nats://a', deny_imports: 'x..y'".to_owned(), "subject \"x..y\" is not a valid subject"),
            ("url: 'nats://a', deny_exports: 'z q'".to_owned(), "subject \"z q\" is not a valid subject"),
            (
                "url: 'nats://a', jetstream_cluster_migrate: x".to_owned(),
                "Expected boolean or map for jetstream_cluster_migrate",
            ),
            ("url: 'nats://a', compression: x".to_owned(), "unsupported compression mode \"x\""),
            ("url: 'nats://a', tls { cert_file: a }".to_owned(), "missing 'key_file' in TLS configuration"),
            (
                ws("proxy { url: 'http://p:1', username: a }"),
                "proxy username and password must both be specified",
            ),
            (ws("proxy { url: 'https://u:secret@p:1' }"), "TLS to a proxy is not supported"),
            (ws("proxy { url: 'socks://p:1' }"), "proxy URL scheme must be http or https, got: socks"),
            (ws("proxy { url: 'http://u:secret@p' }"), "proxy url http://u:xxxxx@p has no port"),
            (ws("proxy { url: 'http://p:1', foo: 1 }"), "unknown field \"foo\""),
            (
                "url: 'nats://u:secret@a' }, { url: 'nats://u:secret@a'".to_owned(),
                "duplicate remote urls=[\"nats://u:xxxxx@a\"], account=\"$G\"",
            ),
        ] {
            let found = read(&remote, "").expect_err(&remote);
            assert!(found.contains(expected) && !found.contains("secret"), "{remote}: {found}");
        }
    }

    #[test]
    fn remotes_are_different_by_urls_accounts_and_credentials() {
        for remotes in [
            "url: 'nats://a:1' }, { url: 'nats://a:2'",
            "url: 'nats://a:1', account: A }, { url: 'nats://a:1'",
            "url: 'nats://a:1', credentials: '/c' }, { url: 'nats://a:1'",
            "urls: ['nats://a:1', 'nats://a:2'] }, { urls: ['nats://a:2', 'nats://a:1']",
        ] {
            let own = read(remotes, "accounts { A {} }").expect(remotes).leafnodes.expect("leaf nodes");
            assert_eq!(own.remotes.len(), 2, "{remotes}");
        }
    }

    #[test]
    fn what_looks_like_a_mistake_is_doubted() {
        for (remote, expected) in [
            ("urls: ['nats://a:1', 'nats://a:1']", "Duplicate leafnode entry detected: nats://a:1"),
            ("url: 'nats://a:1', proxy { url: 'http://p:1' }", "proxy configuration will be ignored"),
            ("url: 'nats://a:1', dial_timeout: 5", "dial_timeout should be converted to a duration"),
        ] {
            let doubts = read(remote, "").expect(remote).source.doubts;
            assert!(
                doubts.len() == 1 && doubts.iter().all(|doubt| doubt.problem.contains(expected)),
                "{remote}: {doubts:?}"
            );
        }
    }
}
