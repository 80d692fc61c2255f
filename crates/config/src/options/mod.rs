//! The options of a server: plain data, immutable, with the official defaults.

use crate::Secret;
use crate::error::{ConfigError, Position};
use dialtone_subject::Literal;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub mod ocsp;
pub mod operator;
pub mod sharing;
pub mod websocket;

use ocsp::{OcspCache, OcspPeer};
use operator::OperatorMode;
use sharing::{Export, Import, Mapping};
use websocket::WebSocket;

/// All options.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The configuration file, if there is one.
    pub config_file: Option<PathBuf>,
    /// SHA-256 of the configuration, as `sha256:…`.
    pub config_digest: String,
    /// What is carried out and still looks like a mistake: `-t` refuses it, a start says it.
    pub doubts: Vec<ConfigError>,
    /// What is accepted and has no effect; a start says it.
    pub ignored: Vec<ConfigError>,
    /// Address to listen on for clients.
    pub host: String,
    /// Port to listen on for clients; `None` takes a free one.
    pub port: Option<u16>,
    /// What clients are told instead.
    pub client_advertise: Option<String>,
    /// Path of a Unix-domain socket.
    pub unix_socket: Option<PathBuf>,
    /// Client connections begin with a PROXY header.
    pub proxy_protocol: bool,
    /// The server's name.
    pub server_name: Option<String>,
    /// Tags.
    pub server_tags: Vec<String>,
    /// Keys and values for monitoring.
    pub server_metadata: BTreeMap<String, String>,
    /// Monitoring.
    pub http: Http,
    /// Limits of connections.
    pub limits: Limits,
    /// Lame duck mode.
    pub lame_duck: LameDuck,
    /// Logging.
    pub log: Log,
    /// File that holds the process id.
    pub pid_file: Option<PathBuf>,
    /// Folder for the ports file.
    pub ports_file_dir: Option<PathBuf>,
    /// Whether headers are on.
    pub headers: bool,
    /// Whether producers that outrun a reader are held back.
    pub stall_fast_producers: bool,
    /// TLS for clients.
    pub tls: Option<Tls>,
    /// Clients may connect without TLS all the same.
    pub allow_non_tls: bool,
    /// OCSP stapling.
    pub ocsp: Ocsp,
    /// Folder for what is kept.
    pub store_dir: Option<PathBuf>,
    /// Where answers about clients' certificates are kept; `None`: nowhere.
    pub ocsp_cache: Option<OcspCache>,
    /// A listener for clients by WebSocket.
    pub websocket: Option<WebSocket>,
    /// Users of the default account.
    pub authorization: Authorization,
    /// Accounts.
    pub accounts: Vec<Account>,
    /// Subjects of the default account whose messages go elsewhere.
    pub mappings: Vec<Mapping>,
    /// The account for system events.
    pub system_account: Option<String>,
    /// There is no system account.
    pub no_system_account: bool,
    /// The user that a connection without credentials is.
    pub no_auth_user: Option<String>,
    /// Accounts that are known by signature.
    pub operator_mode: OperatorMode,
    /// Public NKeys of proxies that are trusted.
    pub trusted_proxies: Vec<String>,
    /// How much the connections of each account may publish together that says nothing itself.
    pub rate_limits: Vec<RateLimit>,
    /// How much each user may publish that neither itself nor its account says anything about.
    pub default_rate_limits: Vec<RateLimit>,
    /// Whether a request that is denied is answered, by a status.
    pub denied_publish_status: bool,
    /// How often is told what accounts and users used.
    pub usage_interval: Option<Duration>,
}

/// OCSP stapling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ocsp {
    /// Which certificates.
    pub mode: OcspMode,
    /// Responders to ask; empty: the certificate's own.
    pub urls: Vec<String>,
}

/// Which certificates are shown with a staple, and what happens if one is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OcspMode {
    /// Those that demand it.
    #[default]
    Auto,
    /// The same; the server stops if one is revoked.
    Must,
    /// All; the server stops if one is revoked.
    Always,
    /// None.
    Never,
}

/// Monitoring by HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Http {
    /// Address; the clients' if it is empty.
    pub host: String,
    /// Port; `Some(0)` takes a free one.
    pub port: Option<u16>,
    /// Port by TLS.
    pub tls_port: Option<u16>,
    /// Path that everything stands under.
    pub base_path: String,
}

/// Limits of connections.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of a control line's arguments.
    pub control_line_bytes_max: usize,
    /// Bytes of headers and payload.
    pub payload_bytes_max: usize,
    /// Bytes that wait for a connection.
    pub pending_bytes_max: usize,
    /// Connections; 0: any number.
    pub connections_max: usize,
    /// Subscriptions of a connection; 0: any number.
    pub subscriptions_max: usize,
    /// Tokens of a subscription's subject; 0: any number.
    pub subject_tokens_max: usize,
    /// Closed connections that are remembered.
    pub closed_clients_max: usize,
    /// How long a connection may take nothing.
    pub write_deadline: Duration,
    /// Whether a connection that took nothing for so long is kept.
    pub write_retry: bool,
    /// How often a silent connection is pinged.
    pub ping_interval: Duration,
    /// PINGs that may stay unanswered.
    pub pings_out_max: u32,
    /// How long a client may take to say who it is.
    pub auth_timeout: Option<Duration>,
}

/// Lame duck mode.
#[derive(Clone, Debug, PartialEq)]
pub struct LameDuck {
    /// How long it takes to close all clients.
    pub duration: Duration,
    /// How long it waits before.
    pub grace_period: Duration,
}

/// Logging.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// Log more.
    pub debug: bool,
    /// Log the protocol.
    pub trace: bool,
    /// Log the system account's too.
    pub trace_verbose: bool,
    /// Log only headers of traced messages.
    pub trace_headers: bool,
    /// Times in lines.
    pub time: bool,
    /// Those in UTC.
    pub utc: bool,
    /// File to log to.
    pub file: Option<PathBuf>,
    /// Bytes after which it is set aside; 0: never.
    pub file_bytes_max: u64,
    /// Files that are kept; 0: all.
    pub files_max: usize,
    /// Log to the system log.
    pub syslog: bool,
    /// Address of another system log.
    pub remote_syslog: Option<String>,
    /// JSON instead of text.
    pub json: bool,
    /// Bytes of a message that a trace shows; 0: all.
    pub traced_message_bytes_max: usize,
    /// Of how many failed connects to another server one is logged, before the first success.
    pub connect_error_reports: usize,
    /// The same for connects after a loss.
    pub reconnect_error_reports: usize,
}

impl Log {
    /// Nothing else is named to log to.
    pub fn is_to_stderr(&self) -> bool {
        self.file.is_none() && !self.syslog && self.remote_syslog.is_none()
    }
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// Where the block stands.
    pub at: Position,
    /// Certificate chain.
    pub cert_file: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
    /// Several certificates with their keys, instead of `cert_file` and `key_file`.
    pub certs: Vec<CertPair>,
    /// Certificates that clients' are verified with.
    pub ca_file: Option<PathBuf>,
    /// Clients need a certificate.
    pub verify: bool,
    /// It says who they are.
    pub map: bool,
    /// How long a handshake may take.
    pub timeout: Duration,
    /// Whether TLS comes before INFO.
    pub first: TlsFirst,
    /// The lowest version is 1.3.
    pub only_1_3: bool,
    /// Cipher suites; empty: all secure ones.
    pub cipher_suites: Vec<String>,
    /// Key exchange groups; empty: all.
    pub curves: Vec<String>,
    /// SHA-256 of clients' public keys, lower-case hex; empty: any.
    pub pinned_certs: Vec<String>,
    /// Whether clients' certificates are checked by OCSP, and how.
    pub ocsp_peer: Option<OcspPeer>,
    /// Handshakes a second; 0: any number.
    pub rate_max: u32,
}

impl Tls {
    /// How long a handshake may take that no key speaks of. The official figure.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// TLS without certificates, as a block that says nothing has it.
    pub(crate) fn at(at: Position) -> Self {
        Self {
            at,
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
            certs: Vec::new(),
            ca_file: None,
            verify: false,
            map: false,
            timeout: Self::TIMEOUT,
            first: TlsFirst::No,
            only_1_3: false,
            cipher_suites: Vec::new(),
            curves: Vec::new(),
            pinned_certs: Vec::new(),
            ocsp_peer: None,
            rate_max: 0,
        }
    }
}

/// A certificate chain and its private key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CertPair {
    /// The chain.
    pub cert_file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
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

/// Users of the default account, or one user, or a token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authorization {
    /// The only user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A token.
    pub token: Option<Secret>,
    /// Users.
    pub users: Vec<User>,
    /// Permissions of users that have none.
    pub default_permissions: Option<Permissions>,
    /// Users must come through a trusted proxy.
    pub proxy_required: bool,
    /// A service that is asked who may connect.
    pub callout: Option<AuthCallout>,
    /// How much each user of the default account may publish that has no rule of its own.
    pub default_rate_limits: Option<Vec<RateLimit>>,
}

/// A service that is asked who may connect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthCallout {
    /// Where it stands.
    pub at: Position,
    /// Public NKey of the account that signs the answers.
    pub issuer: String,
    /// The account whose service is asked.
    pub account: String,
    /// The users that the service itself is, by name or NKey.
    pub auth_users: Vec<String>,
    /// Public curve key that requests are sealed for.
    pub xkey: Option<String>,
    /// Accounts that answers may name; empty: all.
    pub allowed_accounts: Vec<String>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    /// Where it stands.
    pub at: Position,
    /// Its name; with `nkey`, empty.
    pub name: String,
    /// Its password.
    pub password: Option<Secret>,
    /// Its public NKey.
    pub nkey: Option<String>,
    /// What it may do; `None`: what the default says.
    pub permissions: Option<Box<Permissions>>,
    /// Kinds of connections it may use; empty: all.
    pub connection_types: Vec<String>,
    /// It must come through a trusted proxy.
    pub proxy_required: bool,
    /// How much its connections may publish together; `None`: what the default says.
    pub rate_limits: Option<Vec<RateLimit>>,
}

/// What a user may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Permissions {
    /// Subjects to publish to.
    pub publish: Rules,
    /// Subjects to subscribe to, some with a queue group behind a blank.
    pub subscribe: Rules,
    /// Answers to requests.
    pub responses: Option<Responses>,
}

/// Subjects that are allowed and denied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Only these; `None`: all.
    pub allow: Option<Vec<String>>,
    /// None of these.
    pub deny: Vec<String>,
    /// Where each of those that are allowed stands; empty where they come from no file.
    pub allow_at: Vec<Position>,
    /// Where each of those that are denied stands; empty where they come from no file.
    pub deny_at: Vec<Position>,
}

/// How many answers, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responses {
    /// Answers to one request; `None`: any number.
    pub max_msgs: Option<u64>,
    /// How long; `None`: for ever.
    pub expires: Option<Duration>,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Where it stands.
    pub at: Position,
    /// Its name.
    pub name: String,
    /// Its public NKey.
    pub nkey: Option<String>,
    /// Its users.
    pub users: Vec<User>,
    /// Permissions of users that have none.
    pub default_permissions: Option<Permissions>,
    /// Its limits.
    pub limits: AccountLimits,
    /// What it shares.
    pub exports: Vec<Export>,
    /// What others share with it.
    pub imports: Vec<Import>,
    /// Subjects whose messages go elsewhere.
    pub mappings: Vec<Mapping>,
    /// Where traces of its messages go.
    pub msg_trace: Option<MsgTrace>,
    /// How much its connections may publish together; `None`: what the default says.
    pub rate_limits: Option<Vec<RateLimit>>,
    /// How much each of its users may publish that has no rule of its own; `None`: what the default says.
    pub default_rate_limits: Option<Vec<RateLimit>>,
    /// Whether a request that is denied is answered; `None`: what the top level says.
    pub denied_publish_status: Option<bool>,
}

/// How much may be published a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// What happens to what is more.
    pub action: RateAction,
    /// Subjects that it is for; empty: all.
    pub subjects: Vec<String>,
    /// Messages.
    pub msgs: Option<Rate>,
    /// Bytes of headers and payloads.
    pub bytes: Option<Rate>,
}

/// What happens to messages that come too fast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RateAction {
    /// They wait, and all that the connection sends behind them.
    #[default]
    Delay,
    /// They are not taken, and the client is told.
    Refuse,
}

/// A rate and how much may come at once, both from 1 to 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units a second.
    pub per_second: u64,
    /// Units at once.
    pub burst: u64,
}

/// Where traces of an account's messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsgTrace {
    /// The subject.
    pub destination: Literal,
    /// How many of a hundred messages that ask for it by `traceparent`, 1 to 100.
    pub sampling: u8,
}

/// Limits of an account; `None`: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Connections.
    pub connections_max: Option<u64>,
    /// Subscriptions.
    pub subscriptions_max: Option<u64>,
    /// Bytes of a message.
    pub payload_bytes_max: Option<u64>,
}

impl Options {
    /// The host that clients are told instead of the real one, and the port if one was given.
    ///
    /// Errors: what is wrong with `client_advertise`.
    pub fn advertised(&self) -> Result<Option<(&str, Option<u16>)>, String> {
        let Some(text) = self.client_advertise.as_deref() else { return Ok(None) };
        let bad = |why: &str| Err(format!("client_advertise is {text:?}, which is no `host:port`: {why}"));
        let (host, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((host, port)) => match port.parse::<u16>() {
                Ok(port) => (host, Some(port).filter(|&port| port > 0)),
                Err(_) => return bad(&format!("{port:?} is no port")),
            },
        };
        match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            None if host.contains(':') => bad("an IPv6 address stands in brackets"),
            bare => Ok(Some((bare.unwrap_or(host), port))),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            config_file: None,
            config_digest: String::new(),
            doubts: Vec::new(),
            ignored: Vec::new(),
            host: "0.0.0.0".into(),
            port: Some(4222),
            client_advertise: None,
            unix_socket: None,
            proxy_protocol: false,
            server_name: None,
            server_tags: Vec::new(),
            server_metadata: BTreeMap::new(),
            http: Http::default(),
            limits: Limits::default(),
            lame_duck: LameDuck { duration: Duration::from_secs(120), grace_period: Duration::from_secs(10) },
            log: Log::default(),
            pid_file: None,
            ports_file_dir: None,
            headers: true,
            stall_fast_producers: true,
            tls: None,
            allow_non_tls: false,
            ocsp: Ocsp::default(),
            store_dir: None,
            ocsp_cache: Some(OcspCache::default()),
            websocket: None,
            authorization: Authorization::default(),
            accounts: Vec::new(),
            mappings: Vec::new(),
            system_account: None,
            no_system_account: false,
            no_auth_user: None,
            operator_mode: OperatorMode::default(),
            trusted_proxies: Vec::new(),
            rate_limits: Vec::new(),
            default_rate_limits: Vec::new(),
            denied_publish_status: false,
            usage_interval: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            control_line_bytes_max: 4096,
            payload_bytes_max: 1024 * 1024,
            pending_bytes_max: 64 * 1024 * 1024,
            connections_max: 65536,
            subscriptions_max: 0,
            subject_tokens_max: 0,
            closed_clients_max: 10_000,
            write_deadline: Duration::from_secs(10),
            write_retry: false,
            ping_interval: Duration::from_secs(120),
            pings_out_max: 2,
            auth_timeout: None,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            time: true,
            utc: false,
            file: None,
            file_bytes_max: 0,
            files_max: 0,
            syslog: false,
            remote_syslog: None,
            json: false,
            traced_message_bytes_max: 0,
            connect_error_reports: 3600,
            reconnect_error_reports: 1,
        }
    }
}
