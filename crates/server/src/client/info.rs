//! INFO: what a client learns of the server.

use super::Client;
use crate::clock;
use crate::node::Node;
use crate::policy::{ListenerKind, Policy};
use crate::registry::Session;
use dialtone_broker::deliver::Turn;
use dialtone_mesh::ClientUrls;
use dialtone_wire::Info;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What INFO says to everybody on this connection.
fn info(session: &Session, policy: &Policy) -> Info {
    let profile = session.profile();
    let mut info = policy.of(profile.listener).info.clone();
    info.client_id = profile.id.0;
    info.client_ip = profile.host().unwrap_or_default();
    info
}

/// Puts in the cluster and where in it a client may go: whoever came by WebSocket goes by WebSocket.
fn add_cluster(info: &mut Info, node: &Node, urls: &ClientUrls, listener: ListenerKind) {
    info.cluster = node.cluster_name().unwrap_or_default();
    let own = if listener == ListenerKind::WebSocket { &urls.websocket } else { &urls.plain };
    info.connect_urls.clone_from(own);
}

/// Tells all clients where they may go. In lame duck mode [`send_away`] does.
pub(crate) fn send_urls(node: &Node) {
    if node.connections.lame_duck.load(Ordering::Acquire) {
        return;
    }
    let (policy, urls) = (node.settings.policy(), node.cluster.client_urls());
    for session in node.connections.registry.open() {
        if session.peer.takes_info() && session.peer.closing().is_none() {
            let mut info = info(&session, &policy);
            add_cluster(&mut info, node, &urls, session.listener());
            let mut bytes = Vec::new();
            info.encode(&mut bytes);
            session.peer.send(&bytes, clock::moment());
        }
    }
}

/// Asks a client to go to another server, if it understands that.
pub(crate) fn send_away(session: &Session, node: &Node) {
    send_away_to(session, node, &node.cluster.client_urls());
}

/// The same, to one of these.
pub(crate) fn send_away_to(session: &Session, node: &Node, urls: &ClientUrls) {
    if session.peer.takes_info() {
        let mut info = info(session, &node.settings.policy());
        info.lame_duck = true;
        add_cluster(&mut info, node, urls, session.listener());
        let mut bytes = Vec::new();
        info.encode(&mut bytes);
        session.peer.send(&bytes, clock::moment());
    }
}

impl Client {
    /// Sends INFO: the first, or the one that answers CONNECT.
    pub(super) fn send_info(&self, turn: &mut Turn, answers_connect: bool) {
        let mut info = info(&self.conduct.session, &self.conduct.policy);
        info.lame_duck = self.conduct.node.connections.lame_duck.load(Ordering::Relaxed);
        let urls = self.conduct.node.cluster.client_urls();
        add_cluster(&mut info, &self.conduct.node, &urls, self.conduct.session.listener());
        if !answers_connect {
            info.nonce = self.nonce.to_string();
            if self.arrival.may_be_proxied {
                info.client_ip.clear();
            }
        } else {
            info.connect_info = true;
            // Also where a first INFO did not ask for it, because others come in as `no_auth_user`.
            info.auth_required = self.conduct.policy.auth_required(self.conduct.session.listener());
            info.max_payload = self.limits.payload_bytes_max as i64;
            if let Some(account) = &self.conduct.place.account {
                info.acc_is_sys =
                    self.conduct.node.accounts.system().is_some_and(|system| Arc::ptr_eq(&system, account));
                info.remote_account = account.name.to_string();
            }
        }
        let mut bytes = Vec::with_capacity(512);
        info.encode(&mut bytes);
        turn.send(self.peer(), &bytes);
    }
}
