//! The options of a server: plain data, immutable, with the official defaults.

use crate::Secret;
use crate::error::{ConfigError, Position};
use dialtone_subject::Literal;
use std::path::PathBuf;

pub mod operator;
pub mod sharing;

pub use crate::blocks::clients::Clients;
pub use crate::blocks::cluster::{self, Cluster};
pub use crate::blocks::compression::{Compression, CompressionMode};
pub use crate::blocks::gateway::{self, Gateway};
pub use crate::blocks::http::Http;
pub use crate::blocks::lame_duck::LameDuck;
pub use crate::blocks::leaf_remote::{self, LeafRemote};
pub use crate::blocks::leafnodes::{self, LeafNodes, LeafUser};
pub use crate::blocks::limits::Limits;
pub use crate::blocks::log::Log;
pub use crate::blocks::ocsp::{Ocsp, OcspCache, OcspMode};
pub use crate::blocks::permissions::{Permissions, Responses, Rules};
pub use crate::blocks::process::Process;
pub use crate::blocks::rate_limits::{Rate, RateAction, RateLimit};
pub use crate::blocks::server::Server;
pub use crate::blocks::server_url::ServerUrl;
pub use crate::blocks::staples::Staples;
pub use crate::blocks::tls::{CertPair, Tls, TlsFirst};
pub use crate::blocks::usage::Usage;
pub use crate::blocks::websocket::{self, WebSocket};
use operator::OperatorMode;
use sharing::{Export, Import, Mapping};

/// All options.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where they were read, and what was noted there.
    pub source: Source,
    /// The listener for clients.
    pub clients: Clients,
    /// What the server says of itself.
    pub server: Server,
    /// Monitoring.
    pub http: Http,
    /// Limits of connections.
    pub limits: Limits,
    /// Lame duck mode.
    pub lame_duck: LameDuck,
    /// Logging.
    pub log: Log,
    /// Files that say which process it is.
    pub process: Process,
    /// Whether headers are on.
    pub headers: bool,
    /// TLS for clients.
    pub tls: Option<Tls>,
    /// Answers about certificates (OCSP).
    pub staples: Staples,
    /// A listener for clients by WebSocket.
    pub websocket: Option<WebSocket>,
    /// Routes to other servers.
    pub cluster: Option<Cluster>,
    /// Connections to other clusters.
    pub gateway: Option<Gateway>,
    /// Leaf nodes.
    pub leafnodes: Option<LeafNodes>,
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
    /// How much may be published, and what is reported of it.
    pub usage: Usage,
}

/// Where options were read, and what was noted there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The configuration file, if there is one.
    pub file: Option<PathBuf>,
    /// SHA-256 of the configuration, as `sha256:…`.
    pub digest: String,
    /// What is carried out and still looks like a mistake: `-t` refuses it, a start says it.
    pub doubts: Vec<ConfigError>,
    /// What is accepted and has no effect; a start says it.
    pub ignored: Vec<ConfigError>,
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
    /// Connections of leaf nodes.
    pub leaf_nodes_max: Option<u64>,
}

impl WebSocket {
    /// The options that decide who may come in by this listener.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let mut own = options.clone();
        if self.has_own_users() {
            own.authorization.user.clone_from(&self.users.user);
            own.authorization.password.clone_from(&self.users.password);
            own.authorization.token.clone_from(&self.users.token);
            own.no_auth_user.clone_from(&self.no_auth_user);
        }
        own.tls.clone_from(&self.tls);
        own
    }
}

impl LeafNodes {
    /// The options that decide who leaf nodes may be: the users of the block alone, where it has some.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let mut own = options.clone();
        own.tls.clone_from(&self.listener.tls);
        let said = &self.authorization;
        if said.user.is_none() && said.nkey.is_none() && said.users.is_empty() {
            return own;
        }
        own.operator_mode = OperatorMode::default();
        own.no_auth_user = None;
        own.authorization = Authorization::default();
        own.accounts.iter_mut().for_each(|account| account.users.clear());
        let only = User {
            name: said.user.clone().unwrap_or_default(),
            password: said.password.clone(),
            nkey: said.nkey.clone(),
            proxy_required: said.proxy_required,
            ..User::default()
        };
        let is_one = said.user.is_some() || said.nkey.is_some();
        let only = is_one.then_some((only, said.account.as_ref()));
        let listed = said.users.iter().map(|user| {
            let LeafUser { at, name, password, account, proxy_required } = user;
            let (at, name, password) = (at.clone(), name.clone(), password.clone());
            (
                User { at, name, password, proxy_required: *proxy_required, ..User::default() },
                account.as_ref(),
            )
        });
        for (user, account) in only.into_iter().chain(listed) {
            let account = account.and_then(|name| own.accounts.iter_mut().find(|known| known.name == *name));
            account.map_or(&mut own.authorization.users, |account| &mut account.users).push(user);
        }
        own
    }
}

impl Options {
    /// The host that clients are told instead of the real one, and the port if one was given.
    ///
    /// # Errors
    ///
    /// What is wrong with `client_advertise`.
    pub fn advertised(&self) -> Result<Option<(&str, Option<u16>)>, String> {
        self.clients.advertise.as_deref().map(|text| advertised("client_advertise", text)).transpose()
    }
}

/// The host and the port, if there is one, of what a key advertises.
///
/// # Errors
/// It is no `host:port`; the text says why.
pub fn advertised<'a>(key: &str, text: &'a str) -> Result<(&'a str, Option<u16>), String> {
    let bad = |why: &str| Err(format!("{key} is {text:?}, which is no `host:port`: {why}"));
    let (host, port) = match text.rsplit_once(':') {
        None => (text, None),
        Some((host, port)) => match port.parse::<u16>() {
            Ok(port) => (host, Some(port).filter(|&port| port > 0)),
            Err(_) => return bad(&format!("{port:?} is no port")),
        },
    };
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        None if host.contains(':') => bad("an IPv6 address stands in brackets"),
        bare => Ok((bare.unwrap_or(host), port)),
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            source: Source::default(),
            clients: Clients::default(),
            server: Server::default(),
            http: Http::default(),
            limits: Limits::default(),
            lame_duck: LameDuck::default(),
            log: Log::default(),
            process: Process::default(),
            headers: true,
            tls: None,
            staples: Staples::default(),
            websocket: None,
            cluster: None,
            gateway: None,
            leafnodes: None,
            authorization: Authorization::default(),
            accounts: Vec::new(),
            mappings: Vec::new(),
            system_account: None,
            no_system_account: false,
            no_auth_user: None,
            operator_mode: OperatorMode::default(),
            trusted_proxies: Vec::new(),
            usage: Usage::default(),
        }
    }
}
