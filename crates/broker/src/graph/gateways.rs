//! Which connections lead to which other cluster, and to which server of the own one: where replies go that say it.

use crate::peer::Peer;
use dialtone_wire::gateway::reply::{Prefix, Prefixed};
use parking_lot::RwLock;
use std::sync::Arc;

/// Connections by what stands in front of replies. One a server that is in a supercluster.
#[derive(Debug)]
pub struct Gateways {
    own: Prefix,
    name: Box<str>,
    /// To other clusters.
    clusters: RwLock<Vec<(Prefix, Arc<Peer>)>>,
    /// To other servers of the own cluster.
    servers: RwLock<Vec<(Prefix, Arc<Peer>)>>,
}

/// Where a subject leads that has a prefix.
#[derive(Debug)]
pub enum Lead {
    /// To this server.
    Here,
    /// To another one of this cluster.
    Server(Arc<Peer>),
    /// To nobody who is connected.
    Nowhere,
}

impl Gateways {
    /// Of a server in a cluster of this name.
    pub fn new(cluster: &str, server_id: &str) -> Arc<Self> {
        Arc::new(Self {
            own: Prefix::new(cluster.as_bytes(), server_id.as_bytes()),
            name: cluster.into(),
            clusters: RwLock::default(),
            servers: RwLock::default(),
        })
    }

    /// A connection to another cluster begins.
    pub fn add_cluster(&self, name: &str, peer: &Arc<Peer>) {
        self.clusters.write().push((Prefix::new(name.as_bytes(), b""), peer.clone()));
    }

    /// A connection to another server of the own cluster begins.
    pub fn add_server(&self, id: &str, peer: &Arc<Peer>) {
        self.servers.write().push((Prefix::new(self.name.as_bytes(), id.as_bytes()), peer.clone()));
    }

    /// A connection is over.
    pub fn remove(&self, peer: &Arc<Peer>) {
        for all in [&self.clusters, &self.servers] {
            all.write().retain(|(_, known)| !Arc::ptr_eq(known, peer));
        }
    }

    /// Where a subject leads that came here with a prefix.
    pub fn lead(&self, subject: &Prefixed<'_>) -> Lead {
        if !self.own.is_of_cluster(subject) {
            return Lead::Nowhere;
        }
        if self.own.is_of_server(subject) {
            return Lead::Here;
        }
        let servers = self.servers.read();
        let found = servers.iter().find(|(prefix, peer)| prefix.is_of_server(subject) && !peer.is_closing());
        found.map_or(Lead::Nowhere, |(_, peer)| Lead::Server(peer.clone()))
    }

    /// The connection to the cluster that a subject with a prefix leads to.
    pub fn to_cluster(&self, subject: &Prefixed<'_>) -> Option<Arc<Peer>> {
        let clusters = self.clusters.read();
        let found =
            clusters.iter().find(|(prefix, peer)| prefix.is_of_cluster(subject) && !peer.is_closing());
        found.map(|(_, peer)| peer.clone())
    }

    /// Appends a reply with what leads back to this server.
    pub(crate) fn wrap(&self, reply: &[u8], out: &mut Vec<u8>) {
        self.own.wrap(reply, out);
    }
}
