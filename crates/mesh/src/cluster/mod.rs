//! One server's view of its cluster.

mod accounts;
mod dial;
mod gossip;
mod handshake;
mod info;
mod join;
mod leave;
mod reload;

use crate::event::{Action, Event};
use crate::id::{Account, DialId, LinkId, ServerId};
use crate::limits::REGOSSIP_EVERY;
use crate::link::Link;
use crate::name::ClusterName;
use crate::peer::Peers;
use crate::pool::Lane;
use crate::random::Random;
use crate::settings::{ClientUrls, Identity, Settings};
use crate::target::{Target, TargetKey};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// One server's view of its cluster: events and time in, actions out.
///
/// Each event is followed by a look at what is missing, rather than by what usually comes next: a server whose pool is not full, or
/// whose account has no route, is dialled, whatever the reason.
#[derive(Debug)]
pub struct Cluster {
    me: Identity,
    settings: Settings,
    name: ClusterName,
    state: State,
}

/// What changes with each event.
#[derive(Debug)]
struct State {
    started: bool,
    links: BTreeMap<LinkId, Link>,
    peers: Peers,
    targets: BTreeMap<TargetKey, Target>,
    dials: Dials,
    /// Servers that left, until when they are not learned again.
    forgotten: BTreeMap<ServerId, Instant>,
    /// Accounts that another server's reload gave routes of their own.
    adopted: BTreeSet<Account>,
    moving: Option<Moving>,
    /// What clients were told last.
    told_clients: ClientUrls,
    /// The same of leaf nodes.
    told_leafs: Vec<String>,
    lame_duck: bool,
    /// How often what this server says of itself has changed.
    own_infos: u64,
    random: Random,
    regossip_at: Option<Instant>,
}

/// What is being dialled.
#[derive(Debug, Default)]
struct Dials {
    open: BTreeMap<DialId, (TargetKey, Lane)>,
    begun: u64,
    /// When the next one is due, as of the last event.
    next_at: Option<Instant>,
}

/// Accounts that a reload gave routes of their own, which are dialled once the other servers are ready for them.
#[derive(Debug)]
struct Moving {
    request: String,
    accounts: BTreeSet<Account>,
    /// By which connections an answer has to come.
    waits_for: BTreeSet<LinkId>,
    until: Instant,
}

impl Cluster {
    /// A server that is not connected with anybody.
    pub fn new(me: Identity, settings: Settings) -> Self {
        let name = match &settings.cluster {
            Some(name) => ClusterName { text: name.clone(), dynamic: false },
            None => ClusterName { text: me.made_up_cluster.clone(), dynamic: true },
        };
        let random = Random::new(me.seed);
        let told_clients = settings.client_urls.clone();
        let told_leafs = settings.info.leafnode_urls.clone();
        let state = State {
            started: false,
            links: BTreeMap::new(),
            peers: Peers::new(),
            targets: BTreeMap::new(),
            dials: Dials::default(),
            forgotten: BTreeMap::new(),
            adopted: BTreeSet::new(),
            moving: None,
            told_clients,
            told_leafs,
            lame_duck: false,
            own_infos: 0,
            random,
            regossip_at: None,
        };
        Self { me, settings, name, state }
    }

    /// Takes in what happened, and appends what is to be done. Events of a connection that it closed, or never had, change nothing.
    pub fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Action>) {
        match event {
            Event::Started => self.started(now),
            Event::Accepted { link, address } => self.accepted(link, address, now, out),
            Event::Dialled { dial, link, address } => self.dialled(dial, link, address, now, out),
            Event::DialFailed { dial, failure } => self.dial_failed(dial, failure, now, out),
            Event::Connect { link, connect } => self.connect(link, connect, now, out),
            Event::Info { link, info } => self.info_came(link, info, now, out),
            Event::Confirmed { link } => self.confirmed(link, now),
            Event::Lost { link } => self.lost(link, now, out),
            Event::Left { server, for_good } => self.left(server, for_good, now, out),
            Event::ClientUrls(urls) => self.own_client_urls(urls, out),
            Event::LameDuck => self.lame_duck(out),
            Event::Reloaded(settings) => self.reloaded(*settings, now, out),
            Event::Timeout => {}
        }
        self.expire(now, out);
        self.dial_what_is_missing(now, out);
        self.tell_clients(out);
        self.tell_leafs(out);
    }

    /// When [`Event::Timeout`] is due, if nothing happens before. Changes with each event.
    pub fn next_timeout(&self) -> Option<Instant> {
        let state = &self.state;
        let unjoined = state.links.values().filter(|link| link.joined().is_none()).map(|link| link.deadline);
        let rivals = state.peers.values().filter_map(|peer| peer.rivals_until);
        let moving = state.moving.as_ref().map(|moving| moving.until);
        unjoined.chain(rivals).chain(moving).chain(state.dials.next_at).chain(state.regossip_at).min()
    }

    /// The name of the cluster, and whether it was made up.
    pub fn name(&self) -> (&str, bool) {
        (&self.name.text, self.name.dynamic)
    }

    /// The servers that are connected.
    pub fn peers(&self) -> impl Iterator<Item = &ServerId> {
        self.state.peers.keys()
    }

    /// Whether interest in this account goes by connections of its own to servers that know that.
    pub fn is_dedicated(&self, account: &str) -> bool {
        self.settings.pool_size.is_some()
            && (self.settings.dedicated.contains(account) || self.state.adopted.contains(account))
    }

    /// What is dialled at each server.
    fn lanes(&self) -> Vec<Lane> {
        let mut lanes = vec![Lane::Pool];
        if self.settings.pool_size.is_some() {
            let waits = |account: &Account| {
                self.state.moving.as_ref().is_some_and(|moving| moving.accounts.contains(account))
            };
            let accounts = self.settings.dedicated.union(&self.state.adopted);
            lanes.extend(accounts.filter(|account| !waits(account)).cloned().map(Lane::Dedicated));
        }
        lanes
    }

    fn started(&mut self, now: Instant) {
        self.state.started = true;
        self.state.regossip_at = Some(now + REGOSSIP_EVERY + self.state.random.up_to(REGOSSIP_EVERY));
        self.add_configured(now);
    }

    fn add_configured(&mut self, now: Instant) {
        for url in &self.settings.routes {
            let key = TargetKey::Configured(url.address());
            let target = self.state.targets.entry(key).or_insert_with(|| Target::new(url.clone(), now));
            target.url = url.clone();
            target.restore(now);
        }
    }

    /// Whether a server is one of `routes`.
    fn is_configured(&self, server: &ServerId) -> bool {
        let configured =
            self.state.targets.iter().take_while(|(key, _)| matches!(key, TargetKey::Configured(_)));
        configured.into_iter().any(|(_, target)| target.server.as_ref() == Some(server))
    }
}
