//! An official server, as far as others can see what it does with routes: no better than it is, so that ours is held against its habits.
//! Of two routes that find one place taken it closes the one whose INFO it reads later, it dials a server that it was told of once, and
//! it tells of servers only when they join.

use dialtone_mesh::{Account, Action, DialId, Event, Lane, LinkId, Place, RouteUrl, ServerId};
use dialtone_sim::random::Random;
use dialtone_wire::CloseReason;
use dialtone_wire::route::{Connect, GossipMode, Info};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is dialled, and why.
#[derive(Clone, Debug)]
struct Wanted {
    url: RouteUrl,
    explicit: bool,
    account: Option<Account>,
    gossip: GossipMode,
}

#[derive(Debug)]
struct Route {
    wanted: Option<Wanted>,
    /// Whether it counts as dialled by this server.
    solicited: bool,
    explicit: bool,
    retry: bool,
    no_reconnect: bool,
    connected: bool,
    remote: Option<ServerId>,
    account: Option<Account>,
    index: Option<usize>,
    no_pool: bool,
    info_received: bool,
    /// The next one is dialled when PONG comes.
    next: bool,
    address: std::net::IpAddr,
}

/// A connection that wants a place.
struct New<'a> {
    link: LinkId,
    remote: &'a ServerId,
    info: &'a Info,
    gossip: GossipMode,
    solicited: bool,
}

pub struct Official {
    info: Info,
    urls: Vec<RouteUrl>,
    pool_size: u32,
    routes: BTreeMap<ServerId, Vec<Option<LinkId>>>,
    accounts: BTreeMap<Account, BTreeMap<ServerId, LinkId>>,
    links: BTreeMap<LinkId, Route>,
    dials: BTreeMap<DialId, Wanted>,
    waiting: Vec<(Instant, Wanted)>,
    begun: u64,
    random: Random,
    /// With compression switched off, it sends its INFO on the dedicated routes that it dials without waiting.
    compression: bool,
}

impl Official {
    pub fn new(info: Info, urls: Vec<RouteUrl>, accounts: &[&str], seed: u64) -> Self {
        let mut random = Random::new(seed);
        let compression = random.chance(70);
        Self {
            pool_size: info.route_pool_size,
            accounts: accounts.iter().map(|account| ((*account).into(), BTreeMap::new())).collect(),
            info,
            urls,
            routes: BTreeMap::new(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            waiting: Vec::new(),
            begun: 0,
            random,
            compression,
        }
    }

    pub fn name(&self) -> &str {
        &self.info.cluster
    }

    pub fn is_dedicated(&self, account: &str) -> bool {
        self.pool_size > 0 && self.accounts.contains_key(account)
    }

    pub fn next_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    pub fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Action>) {
        match event {
            Event::Started => self.solicit(out),
            Event::Accepted { link, address } => {
                self.insert(link, None, address);
                out.push(Action::SendInfo { link, info: Box::new(self.info.clone()) });
            }
            Event::Dialled { dial, link, address } => self.dialled(dial, link, address, out),
            Event::DialFailed { dial, .. } => {
                let wanted = self.dials.remove(&dial).expect("it was dialled");
                if wanted.explicit {
                    self.waiting.push((now + Duration::from_secs(1), wanted));
                }
            }
            Event::Connect { link, connect } => self.connect(link, connect, now, out),
            Event::Info { link, info } => self.info(link, info, now, out),
            Event::Confirmed { link } => {
                if let Some(route) = self.links.get_mut(&link).filter(|route| route.next) {
                    route.next = false;
                    let wanted =
                        Wanted { explicit: route.explicit, ..route.wanted.clone().expect("it was dialled") };
                    self.dial(wanted, out);
                }
            }
            Event::Lost { link } => self.gone(link, now),
            Event::Timeout => {
                let (due, later) =
                    std::mem::take(&mut self.waiting).into_iter().partition(|(at, _)| *at <= now);
                self.waiting = later;
                let due: Vec<(Instant, Wanted)> = due;
                for (_, wanted) in due {
                    self.dial(wanted, out);
                }
            }
            Event::Left { .. } | Event::LameDuck | Event::ClientUrls(_) | Event::Reloaded(_) => {}
        }
    }

    fn solicit(&mut self, out: &mut Vec<Action>) {
        let accounts: Vec<Account> =
            if self.pool_size > 0 { self.accounts.keys().cloned().collect() } else { vec![] };
        for account in std::iter::once(None).chain(accounts.into_iter().map(Some)) {
            for url in self.urls.clone() {
                let gossip = GossipMode::Default;
                self.dial(Wanted { url, explicit: true, account: account.clone(), gossip }, out);
            }
        }
    }

    fn dial(&mut self, wanted: Wanted, out: &mut Vec<Action>) {
        self.begun += 1;
        let dial = DialId(self.begun);
        let lane = wanted.account.clone().map_or(Lane::Pool, Lane::Dedicated);
        out.push(Action::Dial { dial, url: wanted.url.clone(), tls_name: None, lane, attempt: 1 });
        self.dials.insert(dial, wanted);
    }

    fn insert(&mut self, link: LinkId, wanted: Option<Wanted>, address: std::net::IpAddr) {
        let route = Route {
            solicited: wanted.is_some(),
            explicit: wanted.as_ref().is_some_and(|wanted| wanted.explicit),
            account: wanted.as_ref().and_then(|wanted| wanted.account.clone()),
            connected: wanted.is_some(),
            wanted,
            retry: false,
            no_reconnect: false,
            remote: None,
            index: None,
            no_pool: false,
            info_received: false,
            next: false,
            address,
        };
        self.links.insert(link, route);
    }

    fn delays(&self, account: Option<&Account>) -> bool {
        self.compression || (account.is_none() && self.pool_size > 0)
    }

    fn own(&self, account: Option<&Account>, index: usize, gossip: GossipMode) -> Box<Info> {
        let mut info = self.info.clone();
        info.route_account = account.map(ToString::to_string).unwrap_or_default();
        info.route_pool_idx = index as i64;
        info.gossip_mode = gossip;
        Box::new(info)
    }

    fn dialled(&mut self, dial: DialId, link: LinkId, address: std::net::IpAddr, out: &mut Vec<Action>) {
        let wanted = self.dials.remove(&dial).expect("it was dialled");
        self.insert(link, Some(wanted.clone()), address);
        let connect = Connect {
            name: self.info.server_id.clone(),
            cluster: self.info.cluster.clone(),
            cluster_dynamic: self.info.cluster_dynamic,
            ..Connect::default()
        };
        out.push(Action::SendConnect { link, connect: Box::new(connect) });
        if !self.delays(wanted.account.as_ref()) {
            let info = self.own(wanted.account.as_ref(), 0, wanted.gossip);
            out.push(Action::SendInfo { link, info });
        }
    }

    fn close(&mut self, link: LinkId, reason: CloseReason, now: Instant, out: &mut Vec<Action>) {
        if self.links.contains_key(&link) {
            out.push(Action::Close { link, reason, error: None });
            self.gone(link, now);
        }
    }

    /// Out of its place, and dialled again if it counts as dialled.
    fn gone(&mut self, link: LinkId, now: Instant) {
        let Some(route) = self.links.remove(&link) else { return };
        if let Some(remote) = &route.remote {
            if let Some(by_remote) = route.account.as_ref().and_then(|account| self.accounts.get_mut(account))
            {
                if by_remote.get(remote) == Some(&link) {
                    by_remote.remove(remote);
                }
            } else if let (Some(index), Some(places)) = (route.index, self.routes.get_mut(remote)) {
                if places[index] == Some(link) {
                    places[index] = None;
                }
                if places.iter().all(Option::is_none) {
                    self.routes.remove(remote);
                }
            }
        }
        let retry_implicit = route.retry || (route.solicited && !route.explicit);
        if route.no_reconnect || !(route.solicited || retry_implicit) {
            return;
        }
        let to_self = route.remote.as_ref().is_some_and(|remote| remote.as_str() == self.info.server_id);
        let known = route.account.is_none() && self.pool_size < 1;
        let known = known && route.remote.as_ref().is_some_and(|remote| self.routes.contains_key(remote));
        if to_self || known {
            return;
        }
        let Some(mut wanted) = route.wanted else { return };
        let mut after = Duration::from_millis(self.random.below(100) as u64);
        wanted.explicit = route.explicit;
        wanted.gossip = GossipMode::Default;
        wanted.account = route.account;
        if wanted.explicit {
            after += Duration::from_secs(1);
        }
        self.waiting.push((now + after, wanted));
    }

    /// Whether the other end's name for the cluster is taken, or is that of this server.
    fn agrees(
        &mut self,
        name: &str,
        dynamic: bool,
        remote: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> bool {
        if name == self.info.cluster || name.is_empty() {
            return true;
        }
        if !self.info.cluster_dynamic || (dynamic && self.info.cluster.as_str() >= name) {
            return false;
        }
        self.info.cluster = name.to_owned();
        if !dynamic {
            self.info.cluster_dynamic = false;
        }
        let others = self.links.iter().filter(|(_, route)| {
            let placed = route.index.is_some() || (route.account.is_some() && route.info_received);
            placed && route.remote.as_ref().is_some_and(|other| other.as_str() != remote)
        });
        let others: Vec<LinkId> = others.map(|(link, _)| *link).collect();
        for other in others {
            self.close(other, CloseReason::ClusterNameConflict, now, out);
        }
        true
    }

    fn connect(&mut self, link: LinkId, connect: &Connect, now: Instant, out: &mut Vec<Action>) {
        if !self.agrees(&connect.cluster, connect.cluster_dynamic, &connect.name, now, out) {
            return self.close(link, CloseReason::ClusterNameConflict, now, out);
        }
        if let Some(route) = self.links.get_mut(&link) {
            route.connected = true;
            route.remote = Some(ServerId::new(&connect.name));
        }
    }

    fn info(&mut self, link: LinkId, info: &Info, now: Instant, out: &mut Vec<Action>) {
        let Some(route) = self.links.get_mut(&link) else { return };
        assert!(route.connected, "INFO before CONNECT");
        if info.server_id == self.info.server_id {
            route.remote = Some(ServerId::new(&info.server_id));
            return self.close(link, CloseReason::DuplicateRoute, now, out);
        }
        if !self.agrees(&info.cluster, info.cluster_dynamic, &info.server_id, now, out) {
            return self.close(link, CloseReason::ClusterNameConflict, now, out);
        }
        let Some(route) = self.links.get_mut(&link) else { return };
        if route.info_received && !info.route_acc_add_reqid.is_empty() {
            if !info.route_account.is_empty() {
                self.accounts.entry(info.route_account.as_str().into()).or_default();
                let answer = Info { route_account: String::new(), ..info.clone() };
                out.push(Action::SendInfo { link, info: Box::new(answer) });
            }
            return;
        }
        if route.info_received {
            if route.remote.as_ref().is_some_and(|remote| remote.as_str() != info.server_id) {
                let no_pool = route.no_pool;
                self.told(info, no_pool, out);
            }
            return;
        }
        route.info_received = true;
        let remote = ServerId::new(&info.server_id);
        route.remote = Some(remote.clone());
        let mut info = info.clone();
        if info.ip.is_empty() {
            info.ip = format!("nats-route://{}:{}/", route.address, info.port);
        }
        if route.wanted.is_none() {
            let url = RouteUrl::parse(&info.ip).expect("an address");
            route.account =
                Some(info.route_account.as_str()).filter(|account| !account.is_empty()).map(Into::into);
            let (account, gossip) = (route.account.clone(), GossipMode::Default);
            // Not solicited; the URL serves should that change.
            route.wanted = Some(Wanted { url, explicit: false, account, gossip });
        } else if let Some(account) = &route.account {
            info.route_account = account.to_string();
        }
        if !self.add(link, &remote, &info, now, out) {
            self.close(link, CloseReason::DuplicateRoute, now, out);
        }
    }

    fn told(&mut self, info: &Info, no_pool: bool, out: &mut Vec<Action>) {
        let remote = ServerId::new(&info.server_id);
        let account = Some(info.route_account.as_str()).filter(|account| !account.is_empty());
        let there = match account {
            Some(_) if self.pool_size == 0 => true,
            Some(account) => {
                self.accounts.get(account).is_some_and(|by_remote| by_remote.contains_key(&remote))
            }
            None => self.routes.contains_key(&remote),
        };
        let url = RouteUrl::parse(&info.ip).expect("an address");
        if !there && !self.urls.iter().any(|configured| configured.address() == url.address()) {
            let mut accounts: Vec<Option<Account>> = vec![account.map(Into::into)];
            if no_pool && account.is_none() && self.pool_size > 0 {
                accounts.extend(self.accounts.keys().cloned().map(Some));
            }
            for account in accounts {
                let gossip = info.gossip_mode;
                self.dial(Wanted { url: url.clone(), explicit: false, account, gossip }, out);
            }
        }
    }

    fn duplicate(&mut self, remote: Option<LinkId>, link: LinkId, no_reconnect: bool) {
        let route = self.links.get_mut(&link).expect("it is there");
        route.no_reconnect |= no_reconnect;
        let (solicited, explicit, wanted) = (route.solicited, route.explicit, route.wanted.clone());
        let Some(remote) = remote.and_then(|remote| self.links.get_mut(&remote)) else { return };
        if solicited && !remote.solicited {
            remote.solicited = true;
            remote.wanted = wanted;
        }
        remote.explicit |= explicit;
        remote.retry = true;
    }

    fn upgrade(&mut self, link: LinkId, wanted: Option<&Wanted>, explicit: bool) {
        let route = self.links.get_mut(&link).expect("it is there");
        if !route.solicited || (explicit && !route.explicit) {
            route.wanted = wanted.cloned();
        }
        route.solicited = true;
        route.explicit |= explicit;
    }

    fn add(
        &mut self,
        link: LinkId,
        remote: &ServerId,
        info: &Info,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> bool {
        let route = &self.links[&link];
        let (solicited, account) = (route.solicited, route.account.clone());
        let gossip = route.wanted.as_ref().map(|wanted| wanted.gossip).unwrap_or_default();
        let new = New { link, remote, info, gossip, solicited };
        let size = self.pool_size.max(info.route_pool_size).max(1) as usize;
        let pool = info.route_pool_size > 0 && self.pool_size > 0;
        let wrong = match (&account, pool, solicited) {
            (account, false, _) => account.is_some(),
            (_, true, true) => info.route_pool_idx != 0,
            (_, true, false) => info.route_pool_idx as usize >= size,
        };
        let missing = account.as_ref().is_some_and(|account| !self.accounts.contains_key(account));
        if wrong || missing {
            self.links.get_mut(&link).expect("it is there").no_reconnect |= wrong && account.is_some();
            self.close(link, CloseReason::ProtocolViolation, now, out);
            return true;
        }
        match account {
            Some(account) => self.add_dedicated(&new, &account, out),
            None if pool => self.add_to_pool(&new, size, out),
            None => self.add_single(&new, out),
        }
    }

    fn add_single(&mut self, new: &New<'_>, out: &mut Vec<Action>) -> bool {
        let route = self.links.get_mut(&new.link).expect("it is there");
        (route.index, route.no_pool) = (Some(0), true);
        if let Some(places) = self.routes.get(new.remote) {
            self.duplicate(places[0], new.link, true);
            return false;
        }
        self.routes.insert(new.remote.clone(), vec![None]);
        self.take(new, 0, false, out);
        true
    }

    fn add_to_pool(&mut self, new: &New<'_>, size: usize, out: &mut Vec<Action>) -> bool {
        let places = self.routes.entry(new.remote.clone()).or_default();
        places.resize(places.len().max(size), None);
        let (places, claimed) = (places.clone(), new.info.route_pool_idx as usize);
        let index = if new.solicited {
            let route = &self.links[&new.link];
            let (wanted, explicit) = (route.wanted.clone(), route.explicit);
            for other in places.iter().flatten() {
                self.upgrade(*other, wanted.as_ref(), explicit);
            }
            let Some(free) = places.iter().position(Option::is_none) else {
                self.duplicate(None, new.link, true);
                return false;
            };
            free
        } else {
            if places[claimed].is_some() {
                self.duplicate(places[claimed], new.link, false);
                return false;
            }
            if let Some(other) = places.iter().flatten().find(|link| self.links[*link].solicited) {
                let (wanted, explicit) = (self.links[other].wanted.clone(), self.links[other].explicit);
                self.upgrade(new.link, wanted.as_ref(), explicit);
            }
            claimed
        };
        self.take(new, index, true, out);
        true
    }

    fn take(&mut self, new: &New<'_>, index: usize, pool: bool, out: &mut Vec<Action>) {
        let New { link, remote, info, gossip, solicited } = *new;
        let places = self.routes.get_mut(remote).expect("it is there");
        places[index] = Some(link);
        let (count, size) = (places.iter().flatten().count(), places.len());
        self.links.get_mut(&link).expect("it is there").index = Some(index);
        if solicited && self.delays(None) {
            let info = self.own(None, index, gossip);
            out.push(Action::SendInfo { link, info });
        }
        if count == 1 && self.routes.len() > 1 {
            self.forward(link, info, gossip, solicited, out);
        }
        let place = if pool { Place::Pool { index: index as u32, size: size as u32 } } else { Place::Single };
        out.push(Action::Join { link, server: remote.clone(), place, configured: false });
        if pool && solicited && count != size {
            self.links.get_mut(&link).expect("it is there").next = true;
        }
    }

    fn add_dedicated(&mut self, new: &New<'_>, account: &Account, out: &mut Vec<Action>) -> bool {
        let New { link, remote, info, gossip, solicited } = *new;
        let by_remote = self.accounts.get_mut(account).expect("it was looked up");
        if let Some(there) = by_remote.get(remote).copied() {
            self.duplicate(Some(there), link, true);
            return false;
        }
        by_remote.insert(remote.clone(), link);
        let several = by_remote.len() > 1;
        if solicited && self.delays(Some(account)) {
            let info = self.own(Some(account), 0, gossip);
            out.push(Action::SendInfo { link, info });
        }
        if several {
            self.forward(link, info, gossip, solicited, out);
        }
        let place = Place::Dedicated(account.clone());
        out.push(Action::Join { link, server: remote.clone(), place, configured: false });
        true
    }

    fn forward(&self, link: LinkId, info: &Info, gossip: GossipMode, solicited: bool, out: &mut Vec<Action>) {
        let explicit = self.links[&link].explicit;
        let from_gossip = solicited && !explicit;
        if (from_gossip && gossip != GossipMode::Override) || info.gossip_mode == GossipMode::Disabled {
            return;
        }
        let by_account = self.accounts.get(info.route_account.as_str());
        let by_account = by_account.filter(|_| !info.route_account.is_empty());
        let mut told: BTreeMap<&ServerId, LinkId> = BTreeMap::new();
        for (remote, link) in by_account.into_iter().flatten() {
            told.insert(remote, *link);
        }
        for (remote, places) in &self.routes {
            let first = places.iter().flatten().next().copied();
            let Some(first) = first.filter(|_| !told.contains_key(remote)) else { continue };
            if info.route_account.is_empty() || !self.links[&first].no_pool {
                told.insert(remote, first);
            }
        }
        for (_, link) in told.into_iter().filter(|(remote, _)| remote.as_str() != info.server_id) {
            let mut info = info.clone();
            let its_explicit = self.links[&link].explicit;
            info.gossip_mode = match (solicited, explicit, its_explicit) {
                (false, _, true) | (true, true, _) => GossipMode::Override,
                (false, _, false) => GossipMode::Disabled,
                _ => GossipMode::Default,
            };
            out.push(Action::SendInfo { link, info: Box::new(info) });
        }
    }
}
