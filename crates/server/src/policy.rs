//! What the configuration means for connections: made whole from the options, replaced whole by a reload.

mod cluster;
mod gateway;
mod leaf;
mod listener;
mod listeners;
mod mqtt;
mod patience;
mod websocket;

pub use listener::ListenerPolicy;
pub(crate) use listener::{UpgradePolicy, first_name};
pub use listeners::ListenerKind;
pub(crate) use listeners::{Address, LISTENER_KINDS, LISTENERS, Row, Starts};
pub(crate) use patience::Patience;

use crate::clock;
use crate::rates::Rules;
use crate::tls::{Dialings, DtlsSetup, TlsError, TlsSetup};
use dialtone_broker::account::SYSTEM;
use dialtone_config::options::{Account, AccountLimits, Tls, TlsFirst};
use dialtone_config::{ConfigError, ConfigErrors, Options};
use dialtone_identity::authenticator::{self, Authenticator, Servers};
use dialtone_identity::callout::Keys;
use dialtone_wire::Info;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The version of the official server that this one stands in for. Clients decide by it what they may use.
pub const COMPATIBLE_VERSION: &str = "2.15.0";
/// How long a client may take to say who it is, by default. The official figure.
const AUTH_TIMEOUT: Duration = Duration::from_secs(2);

/// Immutable; connections hold it and notice when there is another.
pub struct Policy {
    /// The options it was made from.
    pub options: Options,
    /// Who may connect.
    pub authenticator: Authenticator,
    /// What the cluster is called as far as the options say it: by its own name, as a gateway, or, of a leaf node that is in none, as the
    /// server, which is one of its own.
    pub(crate) cluster_name: Option<String>,
    clients: ListenerPolicy,
    /// By their numbers; `None`: as for clients over the network.
    others: [Option<ListenerPolicy>; LISTENER_KINDS],
    /// Of the accounts in the configuration, by name: each connection asks, and there may be many thousands.
    account_limits: HashMap<String, AccountLimits>,
    /// Rate limits.
    pub(crate) rates: Rules,
    /// Accounts that say themselves whether a request that is denied is answered.
    denied_publish_status: HashMap<String, bool>,
}

/// Why options cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// JWTs of operators are invalid.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
}

/// What else is wrong with options: what only those can tell who know keys and certificates.
pub fn check(options: &Options) -> Vec<ConfigError> {
    let mut errors = authenticator::check(options, clock::now());
    for tls in LISTENERS.iter().filter_map(|row| (row.tls)(options)) {
        if let Err(problem) = TlsSetup::load(tls) {
            errors.push(ConfigError::new(&tls.at, problem.to_string()));
        }
    }
    if let Some(dtls) = options.mqtt_sn.as_ref().and_then(|own| own.dtls.as_ref())
        && let Err(problem) = DtlsSetup::load(dtls)
    {
        errors.push(ConfigError::new(&dtls.at, problem.to_string()));
    }
    errors
}

/// What a server is called; it stays the same over reloads.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its public NKey.
    pub id: String,
    /// Its public curve key.
    pub xkey: String,
    /// The secrets of both.
    pub keys: Arc<Keys>,
    /// Its name.
    pub name: String,
    /// The ports that it listens on.
    pub ports: BTreeMap<ListenerKind, u16>,
}

impl Identity {
    /// The port that is listened on for these; 0: none.
    pub fn port(&self, kind: ListenerKind) -> u16 {
        self.ports.get(&kind).copied().unwrap_or(0)
    }
}

fn cluster_name(options: &Options, identity: &Identity) -> Option<String> {
    let cluster = options.cluster.as_ref().filter(|own| own.is_on());
    let named = cluster.and_then(|own| own.name.clone());
    let is_leaf = cluster.is_none() && options.leafnodes.as_ref().is_some_and(|own| !own.remotes.is_empty());
    let alone = || is_leaf.then(|| identity.name.clone());
    named.or_else(|| options.gateway.as_ref()?.name.clone()).or_else(alone)
}

impl Policy {
    /// Works the options out. Blocks while certificates that need an OCSP staple get one.
    ///
    /// Errors: certificates, keys or staples cannot be read, or JWTs of operators are invalid.
    pub fn new(options: Options, identity: &Identity) -> Result<Self, PolicyError> {
        let authenticator = Authenticator::new(&options, clock::now()).map_err(ConfigErrors)?;
        let clients = clients(&options, identity, &authenticator)?;
        let mut others = [const { None }; LISTENER_KINDS];
        for (other, row) in others.iter_mut().zip(&LISTENERS) {
            *other = (row.policy)(&options, identity, &clients)?;
        }
        let account_limits = options.access.accounts.iter().map(|a| (a.name.clone(), a.limits)).collect();
        let rates = Rules::new(&options);
        let says = |a: &Account| Some((a.name.clone(), a.denied_publish_status?));
        let denied_publish_status = options.access.accounts.iter().filter_map(says).collect();
        let cluster_name = cluster_name(&options, identity);
        Ok(Self {
            options,
            authenticator,
            cluster_name,
            clients,
            others,
            account_limits,
            rates,
            denied_publish_status,
        })
    }

    /// The limits of an account.
    pub fn account_limits(&self, name: &str) -> AccountLimits {
        self.account_limits.get(name).copied().unwrap_or_default()
    }

    /// The name of the account for system events.
    pub fn system_account(&self) -> Option<&str> {
        if let Some(operators) = self.authenticator.operators() {
            return operators.system_account();
        }
        let named = self.options.access.system_account.as_deref().unwrap_or(SYSTEM);
        (!self.options.access.no_system_account).then_some(named)
    }

    /// Whether a request that is denied in an account is answered.
    pub fn answers_denied(&self, account: &str) -> bool {
        self.denied_publish_status
            .get(account)
            .copied()
            .unwrap_or(self.options.operation.usage.answers_denied)
    }

    /// What holds for those who come by this listener.
    pub fn of(&self, kind: ListenerKind) -> &ListenerPolicy {
        self.others.get(kind.number()).and_then(Option::as_ref).unwrap_or(&self.clients)
    }

    /// What holds for clients over the network.
    pub fn clients(&self) -> &ListenerPolicy {
        &self.clients
    }

    /// Who may connect by this listener.
    pub fn authenticator_of(&self, kind: ListenerKind) -> &Authenticator {
        self.of(kind).authenticator.as_ref().unwrap_or(&self.authenticator)
    }

    /// Whether a connection must say who it is before anything else.
    pub fn auth_required(&self, kind: ListenerKind) -> bool {
        kind.row().starts.begins_with_login() || self.authenticator_of(kind).required()
    }

    /// The TLS of all listeners.
    pub fn all_tls(&self) -> impl Iterator<Item = &TlsSetup> {
        self.all().filter_map(|own| own.tls.as_ref())
    }

    /// Whether a file with a certificate or a key has been written since it was read.
    pub(crate) fn has_outdated_certificates(&self) -> bool {
        let is_outdated = |own: &ListenerPolicy| {
            own.tls.as_ref().is_some_and(TlsSetup::is_outdated) || own.dialing.is_outdated()
        };
        self.all().any(is_outdated)
    }

    fn all(&self) -> impl Iterator<Item = &ListenerPolicy> {
        std::iter::once(&self.clients).chain(self.others.iter().flatten())
    }
}

/// What holds for clients over the network. Blocks while certificates that need an OCSP staple get one.
fn clients(
    options: &Options,
    identity: &Identity,
    authenticator: &Authenticator,
) -> Result<ListenerPolicy, PolicyError> {
    let tls = stapled(options.clients.tls.as_ref(), options)?;
    let auth_timeout = options.access.authorization.timeout;
    let auth_timeout = auth_timeout.unwrap_or_else(|| default_auth_timeout(options.clients.tls.as_ref()));
    Ok(ListenerPolicy {
        tls,
        dialing: Dialings::default(),
        plain_allowed: options.clients.allow_non_tls,
        authenticator: None,
        servers: Servers::default(),
        info: info(options, identity, authenticator),
        auth_timeout,
        patience: Patience::with_clients(&options.limits),
        upgrade: None,
    })
}

/// TLS of a listener for servers that begin with it: neither end says anything in plain, and some of what can be asked of clients is not
/// for servers. Blocks while certificates that need an OCSP staple get one.
fn servers_tls(block: Option<&Tls>, options: &Options) -> Result<Option<TlsSetup>, TlsError> {
    let first = block.map(|tls| Tls { first: TlsFirst::Yes, rate_max: 0, ocsp_peer: None, ..tls.clone() });
    stapled(first.as_ref(), options)
}

/// TLS of a listener. Blocks while certificates that need an OCSP staple get one.
fn stapled(block: Option<&Tls>, options: &Options) -> Result<Option<TlsSetup>, TlsError> {
    let Some(block) = block else { return Ok(None) };
    let mut tls = TlsSetup::load(block)?;
    tls.staple(&options.operation.staples.own, options.operation.staples.store_dir.as_deref())?;
    Ok(Some(tls))
}

/// How long a connection may take to say who it is, where nothing is configured. With TLS the official server adds a second to the time of
/// the handshake.
fn default_auth_timeout(tls: Option<&Tls>) -> Duration {
    tls.map_or(AUTH_TIMEOUT, |tls| tls.timeout + Duration::from_secs(1))
}

fn info(options: &Options, identity: &Identity, authenticator: &Authenticator) -> Info {
    let own = identity.port(ListenerKind::Clients);
    // An invalid address was refused with the configuration.
    let (host, port) = match options.advertised().ok().flatten() {
        Some((host, port)) => (host.to_owned(), port.unwrap_or(own)),
        None => (options.clients.host.clone(), own),
    };
    Info {
        server_id: identity.id.clone(),
        server_name: identity.name.clone(),
        version: COMPATIBLE_VERSION.into(),
        proto: 1,
        git_commit: option_env!("DIALTONE_COMMIT").unwrap_or("dialtone").into(),
        // The field for the toolchain; ours says which server this really is.
        go: concat!("dialtone ", env!("CARGO_PKG_VERSION"), " (rust)").into(),
        host,
        port,
        headers: options.clients.headers,
        auth_required: authenticator.required() && authenticator.no_auth_user().is_none(),
        tls_required: options.clients.tls.is_some() && !options.clients.allow_non_tls,
        tls_verify: options.clients.tls.as_ref().is_some_and(|tls| tls.verify),
        tls_available: options.clients.tls.is_some() && options.clients.allow_non_tls,
        max_payload: options.limits.payload_bytes_max as i64,
        jetstream: options.jetstream.is_some(),
        domain: options.jetstream.as_ref().and_then(|own| own.domain.clone()).unwrap_or_default(),
        api_lvl: 5,
        xkey: identity.xkey.clone(),
        ..Info::default()
    }
}

#[cfg(test)]
mod tests {
    use super::COMPATIBLE_VERSION;
    use dialtone_identity::operator::VERSION;

    #[test]
    fn operators_may_ask_for_the_version_that_clients_are_told() {
        assert_eq!(VERSION.map(|part| part.to_string()).join("."), COMPATIBLE_VERSION);
    }
}
