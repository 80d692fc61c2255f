//! How this server comes in at a hub: it is sent INFO, says CONNECT, and is told in a second INFO what it may do.

use super::{BeforeTls, Dialed, LeafConnection, Side};
use crate::conduct::Handshake;
use crate::hubs::Keys;
use crate::leafs::Remote;
use crate::lines;
use crate::log::Event;
use crate::policy::COMPATIBLE_VERSION;
use data_encoding::BASE64URL_NOPAD;
use dialtone_broker::account::GLOBAL;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Place;
use dialtone_config::options::{LeafRemote, Permissions as Rights, Rules, Tls};
use dialtone_identity::permission::Permissions;
use dialtone_mesh::{HubEvent, LinkId, RouteUrl};
use dialtone_net::ClientTls;
use dialtone_subject::is_valid_filter;
use dialtone_wire::CloseReason;
use dialtone_wire::interserver::{PROTOCOL, SubjectRules};
use dialtone_wire::leaf::{Connect, Info};
use dialtone_wire::s2::Mode;
use std::sync::Arc;
use std::time::Duration;

/// How long the hub may take to answer CONNECT.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl LeafConnection {
    /// The hub says something of itself.
    pub(super) fn take_info(&mut self, json: &[u8], turn: &mut Turn) {
        let Some(info) = lines::readable(&self.conduct, Info::parse(json)) else { return };
        let Side::Dialed(dialed) = &self.side else { return self.agree_with_spoke(&info, turn) };
        self.learn_urls(&info);
        if self.leaf.is_some() {
            return;
        }
        if dialed.sent_connect {
            if info.connect_info {
                self.enter_hub(&info, turn);
            }
            return;
        }
        self.measure(turn);
        if let Some(reason) = self.mistaken(&info) {
            return self.peer().close(reason);
        }
        if self.needs_tls(&info) {
            return self.expect_tls(info, turn);
        }
        self.introduce(&info, turn);
    }

    /// Whether TLS comes before anything else is said. What INFO in plain says can only add to what the configuration asks for.
    fn needs_tls(&self, info: &Info) -> bool {
        let Side::Dialed(Dialed { hub, url, .. }) = &self.side else { return false };
        // By WebSocket it is that listener's affair, and over when INFO comes.
        url.websocket.is_none()
            && self.conduct.session.profile().secured.is_none()
            && (info.tls_required || hub.needs_tls(url))
    }

    /// Nothing more is said or read before TLS, which this end begins.
    fn expect_tls(&mut self, info: Info, turn: &mut Turn) {
        if !info.tls_required {
            self.log(Event::TlsFailed, format_args!("TLS is required, and the hub does not speak it"));
            return self.peer().close(CloseReason::TlsHandshake);
        }
        let Side::Dialed(dialed) = &mut self.side else { return };
        let timeout = dialed.hub.own.tls.as_ref().map_or(Tls::TIMEOUT, |tls| tls.timeout);
        dialed.before_tls = Some(BeforeTls { info: Box::new(info), is_begun: false });
        self.conduct.expect_handshake(Handshake::Dialed, Some(turn.now() + timeout));
    }

    /// Begins TLS behind the INFO that it was read up to. `is_all_used`: nothing came behind that in plain, where only somebody else than
    /// the hub can have said it.
    pub(super) fn begin_tls(&mut self, is_all_used: bool) {
        let Side::Dialed(dialed) = &mut self.side else { return };
        let Some(before) = dialed.before_tls.as_mut().filter(|before| !before.is_begun) else { return };
        before.is_begun = true;
        let begun = if is_all_used {
            let policy = self.conduct.own_policy();
            let tls = policy.hub_tls(&dialed.hub.own, &dialed.url.host);
            tls.and_then(|tls| self.link.begin_client_tls(&tls).map_err(|why| why.to_string()))
        } else {
            Err("something was said in plain behind INFO".into())
        };
        if let Err(why) = begun {
            let reason = self.conduct.no_tls(&why);
            self.peer().close(reason);
        }
    }

    /// TLS is up: what was to be said waits no longer, or INFO comes.
    pub(super) fn go_on_secured(&mut self, turn: &mut Turn) {
        let Side::Dialed(dialed) = &mut self.side else { return };
        dialed.until = Some(turn.now() + dialed.hub.own.link.first_info_timeout);
        let before = dialed.before_tls.take();
        self.conduct.hold_pings();
        if let Some(BeforeTls { info, .. }) = before {
            self.introduce(&info, turn);
        }
        self.ask_upgrade();
    }

    /// TLS comes before anything is said, which this end begins, in a tunnel that is open.
    pub(crate) fn begin_tls_in_tunnel(&mut self, tls: &ClientTls, turn: &Turn) {
        self.conduct.expect_handshake(Handshake::Dialed, Some(turn.now() + tls.timeout));
        if let Err(why) = self.link.begin_client_tls(tls) {
            let reason = self.conduct.no_tls(&why.to_string());
            self.peer().close(reason);
        }
    }

    /// Answers the hub's INFO.
    fn introduce(&mut self, info: &Info, turn: &mut Turn) {
        if self.agree_with_hub(info, turn) {
            return;
        }
        self.send_connect(info, turn);
        if !info.info_on_connect {
            self.enter_hub(info, turn);
        }
    }

    /// Why this is no hub for this server, if it is none.
    fn mistaken(&self, info: &Info) -> Option<CloseReason> {
        if !info.connect_urls.is_empty() || !info.gateway.is_empty() || info.client_id == 0 {
            self.log(Event::LeafFailed, format_args!("attempted to connect a leaf node to the wrong port"));
            return Some(CloseReason::WrongPort);
        }
        None
    }

    /// True: both ends go on in S2, where the hub says INFO again.
    fn agree_with_hub(&mut self, info: &Info, turn: &mut Turn) -> bool {
        let Side::Dialed(Dialed { hub, .. }) = &self.side else { return false };
        if self.is_deflated {
            self.compression.leave_out(&hub.own.link.compression, Mode::Off.text());
        }
        if self.compression.agreed().is_some() {
            return false;
        }
        match self.compression.agree(&hub.own.link.compression, &info.compression) {
            Ok(false) => false,
            Ok(true) => {
                let compression = self.compression.agreed().map_or("", Mode::text).to_owned();
                let asked = Info { client_id: info.client_id, compression, ..Info::default() };
                let mut out = Vec::new();
                asked.encode(&mut out);
                lines::send(&self.conduct, "INFO", &out, turn);
                // What is compressed begins behind it.
                turn.flush(self.conduct.peer());
                self.compression.begin(&self.link, self.conduct.peer());
                true
            }
            Err(unknown) => {
                self.refuse(&unknown.to_string(), CloseReason::ProtocolViolation, turn);
                true
            }
        }
    }

    fn learn_urls(&self, info: &Info) {
        let urls: Vec<RouteUrl> =
            info.leafnode_urls.iter().filter_map(|url| RouteUrl::parse(url).ok()).collect();
        if !urls.is_empty() {
            let link = LinkId(self.peer().id.0);
            self.conduct.node.hubs.handle(HubEvent::Learned { link, urls });
        }
    }

    fn send_connect(&mut self, info: &Info, turn: &mut Turn) {
        let Side::Dialed(dialed) = &self.side else { return };
        let connect = self.connect(dialed, info);
        let mut out = Vec::new();
        connect.encode(&mut out);
        lines::send(&self.conduct, "CONNECT", &out, turn);
        let headers = info.headers && self.conduct.policy.options.clients.headers;
        self.peer().set_understands_headers(headers);
        self.peer().set_protocol(info.proto);
        if !info.cluster.is_empty() {
            self.peer().set_leaf_cluster(info.cluster.as_bytes());
        }
        if let Side::Dialed(dialed) = &mut self.side {
            dialed.sent_connect = true;
            dialed.until = Some(turn.now() + ANSWER_TIMEOUT);
        }
    }

    fn connect(&self, dialed: &Dialed, info: &Info) -> Connect {
        let (identity, own) = (&self.conduct.node.settings.identity, &dialed.hub.own);
        let mut connect = Connect {
            version: COMPATIBLE_VERSION.into(),
            server_id: identity.id.clone(),
            name: identity.name.clone(),
            cluster: self.own_cluster(),
            is_hub: own.hub,
            headers: self.conduct.policy.options.clients.headers,
            deny_pub: own.deny_imports.clone(),
            isolate: own.request_isolation,
            compress_mode: self.compression.state().text().into(),
            remote_account: own.account.as_deref().unwrap_or(GLOBAL).to_owned(),
            protocol: PROTOCOL,
            ..Connect::default()
        };
        if let Some(keys) = dialed.hub.keys() {
            sign(&mut connect, &keys, &info.nonce);
        } else if let Some(credentials) = &dialed.url.credentials {
            connect.user.clone_from(&credentials.user);
            connect.pass.clone_from(&credentials.password);
            if credentials.password.is_empty() {
                connect.auth_token.clone_from(&credentials.user);
            }
        }
        connect
    }

    /// The hub has let this server in.
    fn enter_hub(&mut self, info: &Info, turn: &mut Turn) {
        let Side::Dialed(dialed) = &mut self.side else { return };
        dialed.until = None;
        let hub = dialed.hub.clone();
        let own = &hub.own;
        let name = own.account.as_deref().unwrap_or(GLOBAL);
        let Some(account) = self.conduct.node.accounts.find(name) else {
            self.log(Event::LeafFailed, format_args!("there is no account {name:?}"));
            return self.peer().close(CloseReason::MissingAccount);
        };
        let permissions = permissions(own, info).map(Arc::new);
        let is_isolated = own.isolate;
        let remote = Remote {
            server_id: info.server_id.clone(),
            server_name: info.server_name.clone(),
            account: info.remote_account.clone(),
        };
        self.conduct.enter(Place { account: Some(account), permissions }, turn);
        self.join(remote, is_isolated, turn);
    }
}

/// Shows who this server is by a signature.
fn sign(connect: &mut Connect, keys: &Keys, nonce: &str) {
    connect.sig = BASE64URL_NOPAD.encode(&keys.seed.sign(nonce.as_bytes()));
    if keys.jwt.is_empty() {
        connect.nkey = keys.seed.public().to_string();
    } else {
        connect.jwt.clone_from(&keys.jwt);
    }
}

/// What comes from the hub and what goes to it: what its user there may do, without what the configuration denies. Seen from here, the hub
/// publishes what comes in.
fn permissions(own: &LeafRemote, info: &Info) -> Option<Permissions> {
    let rights = Rights {
        publish: rules(info.import.as_ref(), &own.deny_imports),
        // What is not to come in does not go out either, as officially: the hub is asked to deny it both ways.
        subscribe: rules(info.export.as_ref(), &[own.deny_exports.as_slice(), &own.deny_imports].concat()),
        responses: None,
    };
    (rights != Rights::default()).then(|| Permissions::new(&rights))
}

fn rules(told: Option<&SubjectRules>, denied: &[String]) -> Rules {
    let valid = |all: &[String]| -> Vec<String> {
        all.iter().filter(|filter| is_valid_filter(filter.as_bytes())).cloned().collect()
    };
    let (allow, deny) = told.map_or((&[][..], &[][..]), |told| (&told.allow, &told.deny));
    let allow = (!allow.is_empty()).then(|| valid(allow));
    Rules { allow, deny: [valid(deny), valid(denied)].concat(), ..Rules::default() }
}
