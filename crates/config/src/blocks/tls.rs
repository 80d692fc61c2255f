//! TLS of a listener, whatever it is for: what a key means depends on who connects there.

use super::block;
use super::rule::Rule::Within;
use crate::blocks::keys::Status;
use crate::blocks::ocsp::{self, OcspPeer};
use crate::blocks::reader::{self, Block, Notes, noted};
use crate::error::{ConfigError, ErrorKind, Position};
use crate::language::{Kind, Value};
use Status::{Refused, Reloads, Restarts};
use std::path::PathBuf;
use std::time::Duration;

/// How long `handshake_first: auto` waits for TLS before INFO is sent. The official figure.
const TLS_FIRST_AUTO: Duration = Duration::from_millis(50);

const CERT_STORE: &str = "the Windows certificate store is not supported; use cert_file and key_file";
const SERVERS_ONLY: &str = "it is for routes and gateways only";

/// Where a `tls` block stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// At the top level: the listener for clients. Monitoring by HTTPS takes its certificates from there, too.
    Client,
    /// In `websocket`: clients that begin with TLS and an upgrade by HTTP.
    WebSocket,
    /// In `mqtt`: clients that begin with TLS.
    Mqtt,
    /// In `cluster`: other servers, which this one connects to as well.
    Cluster,
    /// In `gateway`, and in one of its remotes: servers of other clusters, likewise.
    Gateway,
    /// In `leafnodes`: leaf nodes that connect here.
    Leaf,
    /// In one of its remotes: a server that this one connects to, with a certificate or without.
    LeafRemote,
}

/// What becomes of a key in a context.
enum Standing {
    /// What the table of keys says.
    AsKeyed,
    /// It is accepted, and has no effect.
    Ignored(&'static str),
    /// It is refused.
    Refused(&'static str),
}

impl Context {
    /// Whether both ends verify each other, said or not. Source: nats-server 2.15.0, asked.
    fn is_mutual(self) -> bool {
        matches!(self, Self::Cluster | Self::Gateway)
    }

    /// What a key means here. The official server takes every key of a listener in each of these contexts, and does not
    /// say which have no effect.
    fn standing(self, key: &str) -> Standing {
        use Standing::{AsKeyed, Ignored, Refused};
        match (key, self) {
            ("verify_cert_and_check_known_urls", _) if !self.is_mutual() => Refused(SERVERS_ONLY),
            ("insecure", Self::Client | Self::WebSocket | Self::Mqtt | Self::Leaf) => {
                Ignored("a listener verifies no server")
            }
            ("allow_insecure_cipher_suites", _) => Ignored("there are no insecure cipher suites"),
            ("handshake_first", Self::WebSocket) => Ignored("a WebSocket connection begins with TLS anyway"),
            ("handshake_first", Self::Mqtt) => Ignored("an MQTT connection begins with TLS anyway"),
            ("handshake_first", Self::Cluster | Self::Gateway) => Ignored("servers begin with TLS anyway"),
            ("connection_rate_limit", Self::Leaf) => Ignored("it is for clients"),
            ("connection_rate_limit" | "ocsp_peer", Self::Cluster | Self::Gateway) => {
                Ignored("it is for clients")
            }
            ("verify" | "verify_and_map" | "connection_rate_limit" | "ocsp_peer", Self::LeafRemote) => {
                Ignored("it is for those who connect here")
            }
            ("timeout", Self::WebSocket) => Ignored("`handshake_timeout` of the block around it counts"),
            _ => AsKeyed,
        }
    }
}

block! {
    /// TLS of a listener.
    pub struct Tls in "tls" {
        /// Where the block stands.
        at: Position = Position::default();
        cert_file: PathBuf = PathBuf::new(),
            cert_file: "Certificate chain, PEM.", read (required_path), Within(Reloads);
        key_file: PathBuf = PathBuf::new(),
            key_file: "Private key, PEM.", read (required_path), Within(Reloads);
        ca_file: Option<PathBuf> = None,
            ca_file: "Certificates that clients' are verified with, PEM.", read (reader::path), Within(Reloads);
        verify: bool = false,
            verify: "Clients need a certificate.", read (reader::boolean), Within(Reloads);
        map: bool = false,
            verify_and_map: "Clients need a certificate, which says who they are.", read (reader::boolean), Within(Reloads);
        timeout: Duration = Self::TIMEOUT,
            timeout: "How long a handshake may take. Default 2s.",
            or_default (|v, _| reader::duration(v)), Within(Reloads);
        first: TlsFirst = TlsFirst::No,
            handshake_first | "first" | "immediate": "TLS before INFO: true, `auto`, or how long to wait for it.",
            read (handshake_first), Within(Reloads);
        /// What both ends may agree on.
        agreed: TlsAgreed = TlsAgreed::default();
        /// In lower-case hex; empty: any.
        pinned_certs: Vec<String> = Vec::new(),
            pinned_certs: "SHA-256 of the public keys that clients may have, in hex.", read (pins), Within(Reloads);
        /// 0: any number.
        rate_max: u32 = 0,
            connection_rate_limit: "Handshakes a second.",
            read (|v| Ok(reader::limit(v)?.min(u32::MAX as usize) as u32)), Within(Restarts);
        certs: Vec<CertPair> = Vec::new(),
            certs | "certificates": "Certificates with their keys, instead of one of each; the name that a client asks for chooses.",
            by_hand (), Within(Reloads);
        /// How other servers are verified.
        servers: TlsServers = TlsServers::default();
        ocsp_peer: Option<OcspPeer> = None,
            ocsp_peer: "Check clients' certificates by OCSP: true or false, or a block.", by_hand (), Within(Reloads);
    }
    also {
        allow_insecure_cipher_suites: Reloads, "Accepted without effect: there are no insecure cipher suites.";
        cert_store: Refused(CERT_STORE), "Windows certificate store.";
        cert_match_by: Refused(CERT_STORE), "Windows certificate store.";
        cert_match: Refused(CERT_STORE), "Windows certificate store.";
        cert_match_skip_invalid: Refused(CERT_STORE), "Windows certificate store.";
        ca_certs_match: Refused(CERT_STORE), "Windows certificate store.";
    }
}

block! {
    /// What both ends may agree on.
    pub struct TlsAgreed in "tls" {
        /// Whether the lowest version is 1.3.
        only_1_3: bool = false,
            min_version: "`1.2` or `1.3`. Default 1.2.", read (min_version_is_1_3), Within(Reloads);
        /// Empty: all secure ones.
        cipher_suites: Vec<String> = Vec::new(),
            cipher_suites: "Cipher suites, by their standard names.", read (nonempty), Within(Reloads);
        /// Empty: all.
        curves: Vec<String> = Vec::new(),
            curve_preferences: "Key exchange groups: X25519, CurveP256, CurveP384.", read (nonempty), Within(Reloads);
    }
}

block! {
    /// How other servers are verified, which connect here or are connected to.
    pub struct TlsServers in "tls" {
        insecure: bool = false,
            insecure: "Do not verify the certificates of servers that this one connects to. A listener verifies none anyway.",
            read (reader::boolean), Within(Reloads);
        check_known_urls: bool = false,
            verify_cert_and_check_known_urls: "Servers need a certificate that names a host of `routes`. Refused for clients.",
            read (reader::boolean), Within(Reloads);
    }
}

block! {
    /// A certificate chain and its private key.
    pub struct CertPair in "cert" {
        cert_file: PathBuf = PathBuf::new(),
            cert_file: "Certificate chain, PEM.", read (required_path), Within(Reloads);
        key_file: PathBuf = PathBuf::new(),
            key_file: "Private key, PEM.", read (required_path), Within(Reloads);
    }
}

/// Whether TLS comes before INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFirst {
    /// INFO comes first.
    No,
    /// TLS comes first.
    Yes,
    /// TLS comes first if the client begins it within this time.
    Within(Duration),
}

impl Tls {
    /// How long a handshake may take by default. The official figure.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// TLS without certificates, as an empty block has it.
    pub(crate) fn at(at: Position) -> Self {
        Self { at, ..Self::default() }
    }
}

/// Reads the block.
pub(crate) fn tls(value: &Value, context: Context, notes: &mut Notes) -> Option<Tls> {
    let map = noted(reader::map(value), &mut notes.errors)?;
    let block = Block::new("tls", map, &mut notes.errors);
    let mut out = Tls::at(value.at.clone().into());
    out.read(&block, notes);
    out.agreed.read(&block, notes);
    out.servers.read(&block, notes);
    out.verify |= out.map || out.servers.check_known_urls || context.is_mutual();
    note_standing(&block, context, notes);
    if let Some(value) = block.get("ocsp_peer") {
        out.ocsp_peer = ocsp::peer(value, out.verify, notes);
    }
    let is_empty = |value: &&Value| matches!(&value.kind, Kind::Array(list) if list.is_empty());
    if let Some(value) = block.get("certs").filter(|value| !is_empty(value)) {
        out.certs = certs(value, notes);
        if !out.cert_file.as_os_str().is_empty() {
            let problem = "error parsing tls config, cannot combine 'cert_file' option with 'certs' option";
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
        return Some(out);
    }
    let has_none = out.cert_file.as_os_str().is_empty() && out.key_file.as_os_str().is_empty();
    if has_none && context == Context::LeafRemote {
        return Some(out);
    }
    for (key, file) in [("cert_file", &out.cert_file), ("key_file", &out.key_file)] {
        if file.as_os_str().is_empty() {
            notes.errors.push(ConfigError::new(&value.at, format!("missing '{key}' in TLS configuration")));
        }
    }
    Some(out)
}

/// Notes what is written and has no effect in this context, or may not stand there. What is `false` asks for nothing.
fn note_standing(block: &Block<'_>, context: Context, notes: &mut Notes) {
    for key in [TlsAgreed::KEYS, TlsServers::KEYS, Tls::KEYS].into_iter().flatten() {
        let standing = context.standing(key.name);
        let (Some(value), false) = (block.get(key.name), matches!(standing, Standing::AsKeyed)) else {
            continue;
        };
        if matches!(key.name, "insecure" | "allow_insecure_cipher_suites") {
            let mut is_asked = false;
            block.set(key.name, &mut is_asked, &mut notes.errors, reader::boolean);
            if !is_asked {
                continue;
            }
        } else if reader::boolean(value) == Ok(false) {
            continue;
        }
        match standing {
            Standing::AsKeyed => {}
            Standing::Ignored(why) => {
                let problem = format!("{} has no effect: {why}", key.name);
                notes.ignored.push(ConfigError::new(&value.at, problem));
            }
            Standing::Refused(why) => {
                let problem = format!("`{}` cannot be carried out: {why}", key.name);
                notes.errors.push(ConfigError::new(&value.at, problem).kind(ErrorKind::NotSupported));
            }
        }
    }
}

fn required_path(value: &Value) -> Result<PathBuf, ConfigError> {
    reader::text(value).map(PathBuf::from)
}

fn pins(value: &Value) -> Result<Vec<String>, ConfigError> {
    let pins: Vec<String> = reader::texts(value)?.into_iter().map(|p| p.to_ascii_lowercase()).collect();
    let is_pin = |p: &String| p.len() == 64 && p.bytes().all(|b| b.is_ascii_hexdigit());
    match pins.iter().find(|p| !is_pin(p)) {
        None => Ok(pins),
        Some(_) => Err(ConfigError::new(&value.at, "a pinned certificate is no SHA-256 in hex")),
    }
}

fn handshake_first(v: &Value) -> Result<TlsFirst, ConfigError> {
    match &v.kind {
        Kind::String(text) if ["auto", "auto_fallback"].contains(&text.to_ascii_lowercase().as_str()) => {
            Ok(TlsFirst::Within(TLS_FIRST_AUTO))
        }
        Kind::String(text) if reader::parse_duration(text).is_some() => match reader::duration(v)? {
            // No time to wait for it: nothing but TLS is spoken.
            wait if wait.is_zero() => Ok(TlsFirst::Yes),
            wait => Ok(TlsFirst::Within(wait)),
        },
        _ => Ok(if reader::boolean(v)? { TlsFirst::Yes } else { TlsFirst::No }),
    }
}

fn min_version_is_1_3(v: &Value) -> Result<bool, ConfigError> {
    match &v.kind {
        Kind::Float(n) if *n == 1.2 => Ok(false),
        Kind::Float(n) if *n == 1.3 => Ok(true),
        Kind::String(text) if text == "1.2" => Ok(false),
        Kind::String(text) if text == "1.3" => Ok(true),
        _ => {
            Err(ConfigError::new(&v.at, "unsupported minimum TLS version").help("known are `1.2` and `1.3`"))
        }
    }
}

/// `[ { cert_file: …, key_file: … }, … ]`
fn certs(value: &Value, notes: &mut Notes) -> Vec<CertPair> {
    let values = noted(reader::array(value), &mut notes.errors).unwrap_or_default();
    let mut pairs = Vec::new();
    for value in values {
        let Some(map) = noted(reader::map(value), &mut notes.errors) else { continue };
        let block = Block::new("cert", map, &mut notes.errors);
        let mut pair = CertPair::default();
        pair.read(&block, notes);
        if pair.cert_file.as_os_str().is_empty() || pair.key_file.as_os_str().is_empty() {
            let problem =
                "error parsing certificates config: both 'cert_file' and 'key_file' options are required";
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
        pairs.push(pair);
    }
    pairs
}

fn nonempty(value: &Value) -> Result<Vec<String>, ConfigError> {
    match reader::texts(value)? {
        list if list.is_empty() => Err(ConfigError::new(&value.at, "the list is empty")),
        list => Ok(list),
    }
}
