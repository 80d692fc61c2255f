//! What the configuration means for those who come by one listener.

use super::Patience;
use crate::tls::{Dialings, TlsDialing, TlsSetup};
use dialtone_config::options::{LeafRemote, Tls};
use dialtone_identity::authenticator::{Authenticator, Servers};
use dialtone_net::{ClientTls, HandshakeFirst, Transport};
use dialtone_wire::Info;
use dialtone_wire::websocket::Terms;
use std::net::IpAddr;
use std::time::Duration;

/// Part of a policy, and replaced with it.
pub struct ListenerPolicy {
    /// TLS, if connections have it.
    pub(crate) tls: Option<TlsSetup>,
    /// TLS of connections of this kind that this server dials itself.
    pub(crate) dialing: Dialings,
    /// Whether a connection may do without TLS where there is some.
    pub(super) plain_allowed: bool,
    /// Who may connect, if that is not who may connect over the network.
    pub(super) authenticator: Option<Authenticator>,
    /// Which servers may connect, where those are who come.
    pub(crate) servers: Servers,
    /// INFO, without what differs by connection.
    pub(crate) info: Info,
    /// How long a client may take to say who it is.
    pub(crate) auth_timeout: Duration,
    /// How long a connection is kept that is silent or slow.
    pub(crate) patience: Patience,
    /// What the upgrade must be like, if connections begin with one.
    pub(crate) upgrade: Option<UpgradePolicy>,
}

/// What an upgrade must be like.
pub(crate) struct UpgradePolicy {
    /// How long TLS and the upgrade may take.
    pub(crate) timeout: Duration,
    pub(crate) terms: Terms,
    /// Bytes of a message when it is inflated.
    pub(crate) message_bytes_max: usize,
}

impl ListenerPolicy {
    /// The same for those who do not leave the machine.
    pub(super) fn without_tls(&self) -> Self {
        let mut info = self.info.clone();
        (info.tls_required, info.tls_available, info.tls_verify) = (false, false, false);
        Self {
            tls: None,
            dialing: Dialings::default(),
            plain_allowed: true,
            authenticator: None,
            servers: Servers::default(),
            info,
            auth_timeout: self.auth_timeout,
            patience: self.patience,
            upgrade: None,
        }
    }

    /// What a connection to this host begins with that this server dials: TLS by the remote's own block, or by the usual one, where
    /// connections of this kind have it. `name`: what the other end's certificate may be for, where `host` is an address.
    ///
    /// # Errors
    /// No certificate can be for either.
    pub(crate) fn client_tls(
        &self,
        block: Option<&Tls>,
        host: &str,
        name: Option<&str>,
    ) -> Result<Option<ClientTls>, String> {
        let dialing = match block {
            Some(block) => Some(self.dialing.of(block)?),
            None => self.dialing.usual(),
        };
        dialing.map(|dialing| to(dialing, host, name)).transpose()
    }

    /// TLS to a hub, whether it begins the connection or the hub asks for it: by the block of its remote, and without one by the
    /// authorities of the system.
    ///
    /// # Errors
    /// No certificate can be for that host, or none can be verified.
    pub(crate) fn hub_tls(&self, remote: &LeafRemote, host: &str) -> Result<ClientTls, String> {
        let dialing = match &remote.tls {
            Some(block) => self.dialing.of(block)?,
            None => self.dialing.by_system()?,
        };
        to(dialing, host, first_name(remote.urls.iter().map(|url| url.host.as_str())))
    }

    /// What stands between a socket and the protocol.
    pub(crate) fn transport(&self) -> Transport {
        match (&self.tls, &self.upgrade) {
            (None, _) => Transport::Plain,
            (Some(tls), None) => tls.transport(self.plain_allowed),
            (Some(tls), Some(upgrade)) => Transport::Tls {
                config: tls.config(),
                first: HandshakeFirst::Yes,
                timeout: upgrade.timeout,
                plain_allowed: false,
            },
        }
    }
}

fn to(dialing: &TlsDialing, host: &str, name: Option<&str>) -> Result<ClientTls, String> {
    dialing.to(host, name).ok_or_else(|| format!("{host:?} is nobody's name in a certificate"))
}

/// The first of these hosts that is a name and no address. Servers tell of others by addresses, for which that name stands in.
pub(crate) fn first_name<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    hosts.into_iter().find(|host| host.parse::<IpAddr>().is_err())
}
