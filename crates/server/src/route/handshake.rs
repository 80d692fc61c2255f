//! How two servers find out who they are to each other. Who dials sends CONNECT at once; who is dialled sends INFO at once; who dials answers
//! that with its own INFO, which says which place in the pool the connection has, or which account it is for.

use super::RouteConnection;
use crate::cluster::{Dialed, Verdict};
use crate::log::Event;
use crate::routes::{Route, Share};
use data_encoding::BASE64URL_NOPAD;
use dialtone_broker::deliver::Turn;
use dialtone_broker::peer::Place;
use dialtone_config::Secret;
use dialtone_identity::password;
use dialtone_wire::client::encode;
use dialtone_wire::interserver::{AccountNames, Dialect, Limits};
use dialtone_wire::route::{Connect, Info};
use dialtone_wire::{CloseReason, ProtocolError};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

/// Random bytes of a nonce. The official figure.
const NONCE_BYTES: usize = 11;

/// How far the handshake is.
pub(super) enum Handshake {
    /// The other end dialled, and has to say CONNECT.
    AwaitingConnect,
    /// It has said CONNECT, and has to say INFO.
    AwaitingInfo,
    /// This end dialled; the other end has to say INFO.
    Dialing(Box<Dialed>),
    /// Both know each other.
    Done,
}

impl Handshake {
    pub(super) fn awaits_connect(&self) -> bool {
        matches!(self, Self::AwaitingConnect)
    }
}

impl RouteConnection {
    /// What is said first.
    pub(super) fn begin_handshake(&mut self, turn: &mut Turn) {
        let mut out = Vec::new();
        match &self.handshake {
            Handshake::Dialing(dialed) => {
                self.connect(dialed).encode(&mut out);
                self.trace_out(format_args!("CONNECT"));
            }
            _ => {
                let nonce = BASE64URL_NOPAD.encode(&rand::random::<[u8; NONCE_BYTES]>());
                let info = Info { nonce, ..self.conduct.node.cluster.info(&self.conduct.node.settings) };
                info.encode(&mut out);
                self.trace_out(format_args!("INFO"));
            }
        }
        turn.enqueue(self.peer(), &out);
    }

    /// TLS is up.
    pub(super) fn go_on_secured(&mut self, _: &mut Turn) {}

    fn connect(&self, dialed: &Dialed) -> Connect {
        let node = &self.conduct.node;
        let (cluster, is_dynamic) = node.cluster.name();
        Connect {
            echo: true,
            user: dialed.url.user.clone().unwrap_or_default(),
            pass: dialed.url.password.as_ref().map(|p| p.expose().to_owned()).unwrap_or_default(),
            headers: true,
            name: node.settings.identity.id.clone(),
            cluster,
            cluster_dynamic: is_dynamic,
            ..Connect::default()
        }
    }

    /// The other end says who it is.
    pub(super) fn take_connect(&mut self, json: &[u8], turn: &mut Turn) {
        if !self.handshake.awaits_connect() {
            return;
        }
        let connect = match Connect::parse(json) {
            Ok(connect) => connect,
            Err(problem) => {
                self.log(Event::ProtocolError, format_args!("{problem}"));
                return self.peer().close(CloseReason::ProtocolViolation);
            }
        };
        if !connect.lang.is_empty() {
            return self.refuse("attempted to connect to route port", CloseReason::WrongPort, turn);
        }
        if !self.is_known(&connect) {
            let text = format_args!("authentication error - User {:?}", connect.user);
            self.log(Event::AuthenticationFailed, text);
            let reason = CloseReason::AuthenticationViolation;
            return self.refuse(ProtocolError::Authorization.text(), reason, turn);
        }
        if let Some(text) = self.conduct.node.cluster.conflict(&connect.cluster, connect.cluster_dynamic) {
            self.log(Event::ProtocolError, format_args!("{text}"));
            return self.refuse(&text, CloseReason::ClusterNameConflict, turn);
        }
        self.handshake = Handshake::AwaitingInfo;
    }

    /// Whether a server with these credentials may be in the cluster.
    fn is_known(&self, connect: &Connect) -> bool {
        let cluster = self.conduct.policy.options.cluster.as_ref();
        let Some(own) = cluster.map(|cluster| &cluster.authorization) else { return true };
        let is_user = own.user.as_ref().is_none_or(|user| *user == connect.user);
        let given = Secret::new(connect.pass.clone());
        is_user && own.password.as_ref().is_none_or(|password| password::verify(password, &given))
    }

    /// INFO: who the other end is, or something about it or a third server that has changed.
    pub(super) fn take_info(&mut self, json: &[u8], turn: &mut Turn) {
        let info = match Info::parse(json) {
            Ok(info) => info,
            Err(problem) => {
                self.log(Event::ProtocolError, format_args!("{problem}"));
                return self.peer().close(CloseReason::ProtocolViolation);
            }
        };
        match std::mem::replace(&mut self.handshake, Handshake::Done) {
            Handshake::AwaitingConnect => {}
            Handshake::AwaitingInfo => self.join(None, info, turn),
            Handshake::Dialing(dialed) => self.join(Some(*dialed), info, turn),
            Handshake::Done => self.take_news(info),
        }
    }

    /// Something has changed.
    fn take_news(&mut self, info: Info) {
        let Some(route) = &self.route else { return };
        if route.remote.read().server_id == info.server_id {
            *route.remote.write() = Arc::new(info);
        } else {
            self.conduct.node.cluster.hear_of(&info);
        }
    }

    /// Both know each other: is this a route?
    fn join(&mut self, dialed: Option<Dialed>, info: Info, turn: &mut Turn) {
        let node = self.conduct.node.clone();
        let share = match node.cluster.judge(&node.settings.identity, &node.accounts, dialed.as_ref(), &info)
        {
            Verdict::Joins(share) => share,
            Verdict::Closes(reason, text) => {
                if let Some(text) = text {
                    self.log(Event::ProtocolError, format_args!("{text}"));
                }
                return self.peer().close(reason);
            }
            Verdict::Refused(text, reason) => return self.refuse(&text, reason, turn),
        };
        if let Some(dialed) = &dialed {
            let mut out = Vec::new();
            let own = Info {
                route_account: dialed.account().unwrap_or_default(),
                route_pool_idx: dialed.place().unwrap_or_default() as u32,
                ..node.cluster.info(&node.settings)
            };
            own.encode(&mut out);
            self.trace_out(format_args!("INFO"));
            turn.enqueue(self.peer(), &out);
            turn.enqueue(self.peer(), encode::PING);
        }
        let accounts = match &share {
            Share::Dedicated(account) => {
                let place = Place { account: Some(account.clone()), permissions: None };
                self.peer().set_place(place.clone());
                self.conduct.place = place;
                AccountNames::Dedicated
            }
            Share::All | Share::Pooled(_) => AccountNames::InLines,
        };
        let (is_solicited, is_configured) = dialed.map_or((false, false), |d| (true, d.is_configured));
        let route = Arc::new(Route {
            session: self.conduct.session.clone(),
            share,
            is_solicited,
            is_configured,
            remote: RwLock::new(Arc::new(info)),
            interest: Mutex::default(),
        });
        let line_bytes_max = self.conduct.policy.options.limits.control_line_bytes_max;
        let limits = Limits {
            control_line_bytes_max: line_bytes_max.saturating_mul(super::CONTROL_LINE_FACTOR),
            payload_bytes_max: super::PAYLOAD_BYTES_MAX,
        };
        self.dialect = Dialect::route(limits, accounts, route.origins());
        self.conduct.open(turn.now());
        node.delivery.routes.begin(&node.delivery.gate, &route, turn);
        self.route = Some(route);
    }
}
