//! What this server says of itself, to servers and to clients.

use super::Cluster;
use crate::event::Action;
use crate::id::{LinkId, ServerId};
use crate::limits::{CLIENT_URLS_MAX, LEAF_URLS_MAX, URL_BYTES_MAX};
use crate::link::Origin;
use crate::peer::Kin;
use crate::pool::Place;
use crate::settings::ClientUrls;
use crate::target::TargetKey;
use dialtone_wire::route::{GossipMode, Info};
use std::collections::BTreeSet;

/// What has changed of what this server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// What may pass, and perhaps more.
    Permissions,
    /// Something else.
    Other,
}

impl Cluster {
    /// What this server says of itself on all routes alike.
    pub(super) fn own_info(&self) -> Info {
        let mut info = self.settings.info.clone();
        info.server_id.clone_from(&self.me.id);
        info.server_name.clone_from(&self.me.name);
        info.cluster.clone_from(&self.name.text);
        info.cluster_dynamic = self.name.dynamic;
        info.route_pool_size = self.settings.pool_size();
        info.lame_duck = self.state.lame_duck;
        let told = !self.settings.no_advertise && !self.state.lame_duck;
        let urls = if told { self.settings.client_urls.clone() } else { ClientUrls::default() };
        (info.connect_urls, info.ws_connect_urls) = (urls.plain, urls.websocket);
        info.mqtt_connect_urls = urls.mqtt;
        info
    }

    /// The first INFO on a connection, of which a driver needs a copy when the two ends agree on compression and say INFO again. The place
    /// of one that was dialled is in it once it joined.
    pub fn first_info(&self, link: LinkId) -> Info {
        let mut info = self.own_info();
        let Some(link) = self.state.links.get(&link) else { return info };
        if let Origin::Dialled { target, .. } = &link.origin {
            info.gossip_mode = match (target, self.state.targets.get(target)) {
                (TargetKey::Learned(_), Some(target)) => target.gossip,
                _ => GossipMode::Default,
            };
            match link.joined().map(|(_, place)| place) {
                Some(Place::Pool { index, .. }) => info.route_pool_idx = i64::from(*index),
                Some(Place::Dedicated(account)) => info.route_account = account.to_string(),
                Some(Place::Single) | None => {}
            }
        }
        info
    }

    /// What this server says of itself has changed. Connections that are about to join get it when they have.
    ///
    /// It goes by all connections of a server, since that one may close any of them as a duplicate without reading on; an official server
    /// gets it once, as it counts how often addresses of clients are taken back, but for what may pass: that is of each connection.
    pub(super) fn send_own_info(&mut self, news: News, out: &mut Vec<Action>) {
        self.state.own_infos += 1;
        let info = self.own_info();
        for peer in self.state.peers.values() {
            let most = match (peer.kin, news) {
                (Kin::Ours, _) | (Kin::Official, News::Permissions) => usize::MAX,
                (Kin::Official, News::Other) => 1,
            };
            out.extend(
                peer.links().take(most).map(|link| Action::SendInfo { link, info: Box::new(info.clone()) }),
            );
        }
    }

    pub(super) fn own_client_urls(&mut self, urls: ClientUrls, out: &mut Vec<Action>) {
        if self.settings.client_urls != urls {
            self.settings.client_urls = urls;
            if !self.settings.no_advertise {
                self.send_own_info(News::Other, out);
            }
        }
    }

    pub(super) fn lame_duck(&mut self, out: &mut Vec<Action>) {
        if !self.state.lame_duck {
            self.state.lame_duck = true;
            self.send_own_info(News::Other, out);
        }
    }

    /// Where clients reach these servers, as far as they may be told. A server in lame duck mode has no such address.
    pub fn client_urls_of(&self, servers: &[ServerId]) -> ClientUrls {
        let mut urls = ClientUrls::default();
        let peers = servers.iter().filter_map(|server| self.state.peers.get(server));
        let peers = peers.filter(|peer| !peer.lame_duck && !self.settings.no_advertise);
        append_urls(&mut urls, &peers.map(|peer| &peer.info).collect::<Vec<_>>());
        urls
    }

    /// Whether another server is sending its clients away.
    pub fn has_lame_duck(&self) -> bool {
        self.state.peers.values().any(|peer| peer.lame_duck)
    }

    /// Where clients may go: to this server first, in lame duck mode to others only.
    fn client_urls(&self) -> ClientUrls {
        let mut urls = ClientUrls::default();
        if !self.state.lame_duck {
            urls = self.settings.client_urls.clone();
        }
        if self.settings.no_advertise {
            return urls;
        }
        let others = self.state.peers.values().filter(|peer| !peer.lame_duck);
        append_urls(&mut urls, &others.map(|peer| &peer.info).collect::<Vec<_>>());
        urls
    }

    pub(super) fn tell_clients(&mut self, out: &mut Vec<Action>) {
        let urls = self.client_urls();
        if urls != self.state.told_clients {
            self.state.told_clients = urls.clone();
            out.push(Action::ClientUrls(urls));
        }
    }

    /// Where leaf nodes may go: as officially to others first, and in lame duck mode to these only.
    fn leaf_urls(&self) -> Vec<String> {
        let others = self.state.peers.values().filter(|peer| !peer.lame_duck);
        let own = (!self.state.lame_duck).then_some(&self.settings.info.leafnode_urls);
        let mut urls = Vec::new();
        append(&mut urls, others.map(|peer| &peer.info.leafnode_urls).chain(own).collect());
        urls
    }

    pub(super) fn tell_leafs(&mut self, out: &mut Vec<Action>) {
        let urls = self.leaf_urls();
        if urls != self.state.told_leafs {
            self.state.told_leafs.clone_from(&urls);
            out.push(Action::LeafUrls(urls));
        }
    }
}

/// Appends where clients reach other servers.
fn append_urls(urls: &mut ClientUrls, of: &[&Info]) {
    append(&mut urls.plain, of.iter().map(|info| &info.connect_urls).collect());
    append(&mut urls.websocket, of.iter().map(|info| &info.ws_connect_urls).collect());
    append(&mut urls.mqtt, of.iter().map(|info| &info.mqtt_connect_urls).collect());
}

/// Appends what is not there.
fn append(urls: &mut Vec<String>, others: Vec<&Vec<String>>) {
    let mut there: BTreeSet<String> = urls.iter().cloned().collect();
    for url in others.into_iter().flatten() {
        if there.insert(url.clone()) {
            urls.push(url.clone());
        }
    }
}

/// What another server says of where clients and leaf nodes reach it, as far as a server may say that.
pub(super) fn bound_urls(info: &mut Info) {
    for (urls, max) in [
        (&mut info.connect_urls, CLIENT_URLS_MAX),
        (&mut info.ws_connect_urls, CLIENT_URLS_MAX),
        (&mut info.mqtt_connect_urls, CLIENT_URLS_MAX),
        (&mut info.leafnode_urls, LEAF_URLS_MAX),
    ] {
        urls.retain(|url| url.len() <= URL_BYTES_MAX);
        urls.truncate(max);
    }
}
