//! The options of a server: plain data, immutable, with the official defaults.

use crate::blocks::operator::OperatorMode;
use crate::error::ConfigError;
use std::path::PathBuf;

pub use crate::blocks::access::Access;
pub use crate::blocks::account::{Account, AccountJetStream, AccountLimits, MsgTrace};
pub use crate::blocks::authorization::{AuthCallout, Authorization};
pub use crate::blocks::clients::Clients;
pub use crate::blocks::cluster::{self, Cluster};
pub use crate::blocks::compression::{Compression, CompressionMode};
pub use crate::blocks::gateway::{self, Gateway};
pub use crate::blocks::http::Http;
pub use crate::blocks::jetstream::{self, BatchLimits, JetStream};
pub use crate::blocks::lame_duck::LameDuck;
pub use crate::blocks::leaf_remote::{self, LeafRemote};
pub use crate::blocks::leafnodes::{self, LeafNodes, LeafUser};
pub use crate::blocks::limits::Limits;
pub use crate::blocks::log::{ConnectErrors, Log};
pub use crate::blocks::mqtt::{Mqtt, MqttStreams};
pub use crate::blocks::mqtt_sn::{MqttSn, MqttSnClient, MqttSnLimits};
pub use crate::blocks::mqtt_sn_dtls::{MqttSnDtls, MqttSnKey};
pub use crate::blocks::ocsp::{Ocsp, OcspCache, OcspMode};
pub use crate::blocks::permissions::{Permissions, Responses, Rules};
pub use crate::blocks::rate_limits::{Rate, RateAction, RateLimit};
pub use crate::blocks::repeated::{Address, Dialing, Writing};
pub use crate::blocks::server::Server;
pub use crate::blocks::server_url::ServerUrl;
pub use crate::blocks::staples::Staples;
pub use crate::blocks::tls::{CertPair, Tls, TlsAgreed, TlsFirst, TlsServers};
pub use crate::blocks::usage::Usage;
pub use crate::blocks::user::User;
pub use crate::blocks::websocket::{self, WebSocket};

/// All options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Where they were read, and what was noted there.
    pub source: Source,
    /// The listener for clients.
    pub clients: Clients,
    /// What the server says of itself.
    pub server: Server,
    /// Limits of connections.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
    /// How it is watched and looked after.
    pub operation: Operation,
    /// A listener for clients by WebSocket.
    pub websocket: Option<WebSocket>,
    /// A listener for MQTT clients.
    pub mqtt: Option<Mqtt>,
    /// A gateway for MQTT-SN clients.
    pub mqtt_sn: Option<MqttSn>,
    /// Routes to other servers.
    pub cluster: Option<Cluster>,
    /// Connections to other clusters.
    pub gateway: Option<Gateway>,
    /// Leaf nodes.
    pub leafnodes: Option<LeafNodes>,
    /// Streams that keep messages; `None`: JetStream is off.
    pub jetstream: Option<JetStream>,
    /// Who may come in, and the accounts that there are.
    pub access: Access,
}

/// How a server is watched and looked after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// Monitoring.
    pub http: Http,
    /// Lame duck mode.
    pub lame_duck: LameDuck,
    /// Answers about certificates (OCSP).
    pub staples: Staples,
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

impl WebSocket {
    /// The options that decide who may come in by this listener.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let own = options.with_own_users(&self.users, self.no_auth_user.as_ref());
        Options { clients: Clients { tls: self.tls.clone(), ..own.clients }, ..own }
    }
}

impl Mqtt {
    /// The options that decide who may come in by this listener.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let own = options.with_own_users(&self.users, self.no_auth_user.as_ref());
        Options { clients: Clients { tls: self.tls.clone(), ..own.clients }, ..own }
    }
}

impl MqttSn {
    /// The options that decide who its clients may be, who show nothing.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let own = options.with_own_users(&websocket::OwnUsers::default(), self.no_auth_user.as_ref());
        let tls = self.dtls.as_ref().and_then(MqttSnDtls::tls);
        Options { clients: Clients { tls, ..own.clients }, ..own }
    }
}

impl LeafNodes {
    /// Whether there are users for leaf nodes alone.
    fn has_own_users(&self) -> bool {
        let said = &self.authorization;
        said.user.is_some() || said.nkey.is_some() || !said.users.is_empty()
    }

    /// The options that decide who leaf nodes by WebSocket may be: the same, but that who shows nothing is whom `websocket` names.
    pub fn options_for_websocket_users(&self, options: &Options) -> Options {
        let mut own = self.options_for_users(options);
        let named = options.websocket.as_ref().and_then(|websocket| websocket.no_auth_user.as_ref());
        if let Some(named) = named.filter(|_| !self.has_own_users()) {
            own.access.no_auth_user = Some(named.clone());
        }
        own
    }

    /// The options that decide who leaf nodes may be: the users of the block alone, where it has some.
    pub fn options_for_users(&self, options: &Options) -> Options {
        let mut own = options.clone();
        own.clients.tls.clone_from(&self.listener.tls);
        if !self.has_own_users() {
            return own;
        }
        let said = &self.authorization;
        own.access.operator_mode = OperatorMode::default();
        own.access.no_auth_user = None;
        own.access.authorization = Authorization::default();
        own.access.accounts.iter_mut().for_each(|account| account.users.clear());
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
            let account =
                account.and_then(|name| own.access.accounts.iter_mut().find(|known| known.name == *name));
            account.map_or(&mut own.access.authorization.users, |account| &mut account.users).push(user);
        }
        own
    }
}

impl Options {
    /// The same, where a listener has users of its own: beside them those of the other listener do not count.
    fn with_own_users(&self, users: &websocket::OwnUsers, no_auth_user: Option<&String>) -> Self {
        let mut own = self.clone();
        if users.are_some(no_auth_user) {
            own.access.authorization.user.clone_from(&users.user);
            own.access.authorization.password.clone_from(&users.password);
            own.access.authorization.token.clone_from(&users.token);
            own.access.no_auth_user = no_auth_user.cloned();
        }
        own
    }

    /// The host that clients are told instead of the real one, and the port if one was given.
    ///
    /// # Errors
    ///
    /// What is wrong with `client_advertise`.
    pub fn advertised(&self) -> Result<Option<(&str, Option<u16>)>, String> {
        self.clients.advertise.as_deref().map(|text| advertised("client_advertise", text)).transpose()
    }

    /// Whether clients are handed over to servers of the cluster that have fewer.
    pub fn rebalances(&self) -> bool {
        self.cluster.as_ref().is_some_and(|own| own.rebalance)
    }

    /// The zone that the server is in: the tag that `zone_tag` of the cluster means. `None`: zones do not matter.
    pub fn zone(&self) -> Option<&str> {
        let name = self.cluster.as_ref()?.zone_tag.as_deref()?;
        let is_zone = |tag: &&String| tag.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        self.server.tags.iter().find(is_zone).map(String::as_str)
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
