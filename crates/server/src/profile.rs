//! Who a connection is. `/connz`, system events, `Nats-Request-Info` and requests to authorization services are views of the one [`Profile`].

use crate::policy::ListenerKind;
use dialtone_broker::connection_info::ConnectionInfo;
use dialtone_broker::kind::Kind;
use dialtone_broker::peer::ClientId;
use dialtone_identity::operator::Claimed;
use dialtone_net::Secured;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

/// What a client calls itself, and what the server took it for. No secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientDetails {
    /// The connection's name.
    pub name: Box<str>,
    /// The library's language.
    pub lang: Box<str>,
    /// The library's version.
    pub version: Box<str>,
    /// The version of the protocol that it speaks: from 1 on it takes INFO at any time.
    pub protocol: i64,
    /// The user, as it may be shown.
    pub user: Arc<str>,
    /// The account.
    pub account: Box<str>,
    /// It showed that it has an NKey of the configuration.
    pub by_nkey: bool,
}

/// Where [`ClientDetails`] are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The server, which let the client in without a CONNECT.
    Assumed,
    /// The client's first CONNECT.
    Connect,
}

/// Who a connection is, as far as it is known: a snapshot. The session has the newest.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its number.
    pub id: ClientId,
    /// What it is.
    pub kind: Kind,
    /// How it came.
    pub listener: ListenerKind,
    /// When it came. To measure by, its peer has the same.
    pub start: SystemTime,
    /// The other end's address. Rights and shares go by this one.
    pub remote: Option<SocketAddr>,
    /// The other end's address by a header of the upgrade. Anybody can send one, so it is shown and nothing else.
    pub forwarded_for: Option<IpAddr>,
    /// What it calls itself.
    pub details: Option<(Source, Arc<ClientDetails>)>,
    /// The client identifier of one that speaks MQTT.
    pub mqtt_client: Option<Arc<str>>,
    /// The name of the server at the other end, if it is one.
    pub server: Option<Arc<str>>,
    /// The user that it is in as: a name in the configuration, the NKey of a JWT, or the name that an authorization service
    /// gave it; empty for nobody.
    pub user: Option<Arc<str>>,
    /// What its JWT gives it, if it came with one.
    pub claimed: Option<Arc<Claimed>>,
    /// What the TLS handshake agreed on.
    pub secured: Option<Arc<Secured>>,
    /// The trusted proxy that signed for it, by its public NKey.
    pub proxy: Option<Arc<str>>,
    /// How the log calls it: address, number, and once it is known, library and user.
    pub label: Arc<str>,
}

impl Profile {
    /// A connection of which only is known how it came.
    pub fn new(id: ClientId, kind: Kind, listener: ListenerKind, remote: Option<SocketAddr>) -> Self {
        let mut profile = Self {
            id,
            kind,
            listener,
            start: SystemTime::now(),
            remote,
            forwarded_for: None,
            details: None,
            mqtt_client: None,
            server: None,
            user: None,
            claimed: None,
            secured: None,
            proxy: None,
            label: "".into(),
        };
        profile.relabel();
        profile
    }

    /// Another address is known, so the log calls it otherwise.
    pub(crate) fn relabel(&mut self) {
        let from = self.remote.map_or_else(|| "local".to_owned(), |remote| remote.to_string());
        let behind = self.forwarded_for.map(|address| format!("{address}/")).unwrap_or_default();
        let number = self.listener.number_label();
        self.label = format!("{behind}{from} - {number}:{}", self.id.0).into();
    }

    /// What it calls itself, by its CONNECT or without one.
    pub fn known(&self) -> Option<&Arc<ClientDetails>> {
        self.details.as_ref().map(|(_, details)| details)
    }

    /// What its CONNECT says.
    pub fn connect(&self) -> Option<&Arc<ClientDetails>> {
        self.details.as_ref().filter(|(source, _)| *source == Source::Connect).map(|(_, details)| details)
    }

    /// What it calls itself in its CONNECT, or in the INFO of a server; empty: nothing.
    pub fn name(&self) -> &str {
        let of_client = self.connect().map(|details| &*details.name);
        self.server.as_deref().or(of_client).unwrap_or_default()
    }

    /// The first CONNECT counts, and without one what was assumed first.
    pub(crate) fn set_details(&mut self, source: Source, details: ClientDetails) {
        if self.details.as_ref().is_none_or(|(before, _)| *before == Source::Assumed && source != *before) {
            self.details = Some((source, details.into()));
        }
    }

    /// The user is this one from now on.
    pub(crate) fn set_user(&mut self, user: &Arc<str>) {
        self.user = Some(user.clone());
        if let Some((_, details)) = self.details.as_mut().filter(|(_, details)| *details.user != **user) {
            Arc::make_mut(details).user = user.clone();
        }
    }

    /// The other end's address as it is shown: behind an HTTP proxy, the one that the proxy names.
    pub fn shown_remote(&self) -> Option<SocketAddr> {
        let remote = self.remote?;
        Some(SocketAddr::new(self.forwarded_for.unwrap_or(remote.ip()), remote.port()))
    }

    /// The same without the port.
    pub fn host(&self) -> Option<String> {
        self.shown_remote().map(|remote| remote.ip().to_string())
    }

    /// The certificate that it showed.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.secured.as_ref()?.certificates.first().map(AsRef::as_ref)
    }

    /// Its JWT, unless that is a bearer token: whoever has one needs nothing else, so it is a secret.
    pub fn jwt(&self) -> Option<String> {
        self.claimed.as_ref().filter(|claimed| !claimed.bearer).map(|claimed| claimed.jwt.to_string())
    }

    /// The key that issued its JWT. With an NKey of the configuration the official server shows the account.
    pub fn issuer_key(&self) -> Option<String> {
        self.user.as_ref()?;
        match &self.claimed {
            Some(claimed) => Some(claimed.token.issuer.to_string()),
            None => self.known().filter(|known| known.by_nkey).map(|known| known.account.to_string()),
        }
    }

    /// The tags of its JWT.
    pub fn tags(&self) -> Vec<String> {
        self.claimed.as_ref().map(|claimed| claimed.token.tags.clone()).unwrap_or_default()
    }

    /// What services may learn of it.
    pub fn connection_info(&self) -> ConnectionInfo {
        let known = self.known().map(|known| (**known).clone()).unwrap_or_default();
        ConnectionInfo {
            start: crate::times::stamp(self.start),
            host: self.host().unwrap_or_default(),
            user: known.user.to_string(),
            name: self.server.as_deref().unwrap_or(&known.name).to_owned(),
            lang: known.lang.into(),
            version: known.version.into(),
            kind: self.kind.label(),
            client_type: self.listener.client_type(),
            jwt: self.jwt().unwrap_or_default(),
            issuer_key: self.issuer_key().unwrap_or_default(),
            name_tag: self.claimed.as_ref().map(|claimed| claimed.name.clone()).unwrap_or_default(),
            tags: self.tags(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(listener: ListenerKind, remote: Option<&str>) -> Profile {
        let remote = remote.map(|remote| remote.parse().expect("an address"));
        Profile::new(ClientId(7), Kind::default(), listener, remote)
    }

    fn details(name: &str) -> ClientDetails {
        ClientDetails { name: name.into(), user: "u".into(), ..ClientDetails::default() }
    }

    #[test]
    fn the_first_connect_counts_and_replaces_what_was_assumed() {
        let mut profile = profile(ListenerKind::Clients, None);
        let mut name_after = |source, name: &str| {
            profile.set_details(source, details(name));
            let name = |details: Option<&Arc<ClientDetails>>| details.map(|details| details.name.to_string());
            (name(profile.known()), name(profile.connect()))
        };
        let (assumed, first) = (Some("assumed".to_owned()), Some("first".to_owned()));
        assert_eq!(name_after(Source::Assumed, "assumed"), (assumed.clone(), None));
        assert_eq!(name_after(Source::Assumed, "again"), (assumed, None));
        assert_eq!(name_after(Source::Connect, "first"), (first.clone(), first.clone()));
        assert_eq!(name_after(Source::Connect, "second"), (first.clone(), first.clone()));
        assert_eq!(name_after(Source::Assumed, "late"), (first.clone(), first));
    }

    #[test]
    fn another_user_shows_in_all_views() {
        let mut profile = profile(ListenerKind::InProcess, None);
        profile.set_details(Source::Connect, details("n"));
        profile.set_user(&"other".into());
        assert_eq!(profile.user.as_deref(), Some("other"));
        assert_eq!(profile.known().map(|known| &*known.user), Some("other"));
        assert_eq!(profile.connection_info().user, "other");
    }

    #[test]
    fn the_log_calls_it_by_address_and_number() {
        assert_eq!(&*profile(ListenerKind::Unix, None).label, "local - cid:7");
        let mut proxied = profile(ListenerKind::WebSocket, Some("192.0.2.1:99"));
        assert_eq!(&*proxied.label, "192.0.2.1:99 - wid:7");
        proxied.forwarded_for = Some("198.51.100.5".parse().expect("an address"));
        proxied.relabel();
        assert_eq!(&*proxied.label, "198.51.100.5/192.0.2.1:99 - wid:7");
        assert_eq!(proxied.host().as_deref(), Some("198.51.100.5"));
    }
}
