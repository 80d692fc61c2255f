//! One server's part in a supercluster: which other clusters there are, where their servers are, and which connections to them there
//! should be. Each server dials one server of each other cluster, and takes what is dialled from there; messages go out by the former and
//! come in by the latter.
//!
//! Clusters are learned from whoever connects, from what an other cluster's server tells (INFO with a command), and from servers of the own
//! cluster (the same by a route).

mod event;
mod handshake;
mod reload;
mod remote;
mod settings;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, Note};
pub use settings::{RemoteSettings, Settings};

use crate::backoff::{After, delay};
use crate::id::{DialId, LinkId};
use crate::limits::{GATEWAYS_MAX, LEARNED_FOR, REDIAL_AFTER, SIBLINGS_MAX};
use crate::random::Random;
use crate::settings::Identity;
use dialtone_wire::CloseReason;
use dialtone_wire::gateway::Info;
use dialtone_wire::route;
use handshake::{Link, Origin};
use remote::{Phase, Remote};
use std::collections::BTreeMap;
use std::time::Instant;

/// The number by which INFO on a route tells of a gateway.
const GOSSIP: u8 = 1;
/// What stands before the id of a server that tells of a gateway by a route: an official server that knows no gateways must not take it
/// for what the server says of itself.
const GOSSIP_ID_PREFIX: &str = "GW";

/// One server's part in a supercluster.
#[derive(Debug)]
pub struct Gateways {
    me: Identity,
    settings: Settings,
    remotes: BTreeMap<String, Remote>,
    links: BTreeMap<LinkId, Link>,
    /// Which cluster each dial is for.
    dials: BTreeMap<DialId, String>,
    begun: u64,
    /// Where other servers of the own cluster listen, by their ids.
    siblings: BTreeMap<String, String>,
    random: Random,
}

impl Gateways {
    /// A server that is connected with no other cluster.
    pub fn new(me: Identity, settings: Settings) -> Self {
        let random = Random::new(me.seed);
        Self {
            me,
            settings,
            remotes: BTreeMap::new(),
            links: BTreeMap::new(),
            dials: BTreeMap::new(),
            begun: 0,
            siblings: BTreeMap::new(),
            random,
        }
    }

    /// Takes in what happened, and appends what is to be done. Events of a connection that it closed, or never had, change nothing.
    pub fn handle(&mut self, event: Event<'_>, now: Instant, out: &mut Vec<Action>) {
        match event {
            // The others begin at the same time, so they are given a moment. Official timing.
            Event::Started => self.configure(now + REDIAL_AFTER, now),
            Event::Accepted { link, address } => self.accepted(link, address, now, out),
            Event::Dialled { dial, link } => self.dialled(dial, link, now, out),
            Event::DialFailed { dial } => self.dial_failed(dial, now),
            Event::Connect { link, connect } => self.connect(link, connect, now, out),
            Event::Info { link, info } => self.info_came(link, info, now, out),
            Event::Confirmed { link } => self.confirmed(link),
            Event::Lost { link } => self.lost(link, now),
            Event::Sibling { server, url } => self.sibling(server, url, out),
            Event::Told(info) => self.told(info, now, out),
            Event::Reloaded(settings) => self.reloaded(*settings, now, out),
            Event::Timeout => {}
        }
        self.expire(now, out);
        self.dial_what_is_missing(now, out);
    }

    /// When [`Event::Timeout`] is due, if nothing happens before.
    pub fn next_timeout(&self) -> Option<Instant> {
        let unjoined = self.links.values().filter(|link| link.gateway().is_none()).map(|link| link.deadline);
        let dials = self.remotes.values().filter_map(|remote| match remote.phase {
            Phase::Idle(at) => Some(at),
            Phase::Dialling(_) | Phase::Open(_) => None,
        });
        unjoined.chain(dials).min()
    }

    /// The name of the own cluster.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where servers of the own cluster listen for gateways: this one first.
    pub fn urls(&self) -> Vec<String> {
        let mut urls = vec![self.settings.url.clone()];
        urls.extend(self.siblings.values().filter(|url| **url != self.settings.url).cloned());
        urls
    }

    /// What a server of the own cluster that has just come is told: the other clusters.
    pub fn tellings(&self) -> Vec<route::Info> {
        self.remotes
            .iter()
            .filter(|(_, remote)| self.is_open(remote))
            .map(|(name, r)| self.telling(name, r))
            .collect()
    }

    /// Whether this server's own connection to it joined.
    fn is_open(&self, remote: &Remote) -> bool {
        matches!(remote.phase, Phase::Open(link) if self.links.get(&link).is_some_and(|l| l.gateway().is_some()))
    }

    fn telling(&self, name: &str, remote: &Remote) -> route::Info {
        route::Info {
            server_id: format!("{GOSSIP_ID_PREFIX}{}", self.me.id),
            server_name: self.me.name.clone(),
            gateway: name.to_owned(),
            gateway_urls: remote.urls(),
            gateway_cmd: GOSSIP,
            ..route::Info::default()
        }
    }

    /// What this server says of itself.
    fn info(&self) -> Info {
        Info {
            server_id: self.me.id.clone(),
            server_name: self.me.name.clone(),
            gateway: self.settings.name.clone(),
            gateway_urls: self.urls(),
            gateway_url: self.settings.url.clone(),
            gateway_nrp: true,
            gateway_iom: true,
            ..self.settings.info.clone()
        }
    }

    fn configure(&mut self, dial_at: Instant, now: Instant) {
        for remote in &self.settings.remotes {
            if remote.name == self.settings.name {
                continue;
            }
            let known = self.remotes.entry(remote.name.clone());
            let until = now + LEARNED_FOR;
            known.or_insert_with(|| Remote::new(Vec::new(), dial_at, until)).configured = remote.urls.clone();
        }
    }

    /// A server of the own cluster has come, moved or gone; whoever dials here is told.
    fn sibling(&mut self, server: &str, url: Option<&str>, out: &mut Vec<Action>) {
        let before = match url {
            Some("") | None => self.siblings.remove(server),
            Some(_) if self.siblings.len() >= SIBLINGS_MAX && !self.siblings.contains_key(server) => return,
            Some(url) => self.siblings.insert(server.to_owned(), url.to_owned()),
        };
        if before.as_deref() != url.filter(|url| !url.is_empty()) {
            self.say_urls(out);
        }
    }

    /// Says again where the servers of this cluster are.
    fn say_urls(&self, out: &mut Vec<Action>) {
        let accepted = self.links.iter().filter(|(_, link)| link.is_inbound() && link.gateway().is_some());
        out.extend(accepted.map(|(&link, _)| Action::SendInfo { link, info: Box::new(self.info()) }));
    }

    /// A server of the own cluster told of a gateway.
    fn told(&mut self, info: &route::Info, now: Instant, out: &mut Vec<Action>) {
        if info.gateway_cmd == GOSSIP {
            self.learn(&info.gateway, &info.gateway_urls, false, now, out);
        }
    }

    /// Another cluster is there, with servers at these addresses.
    fn learn(&mut self, name: &str, urls: &[String], replaces: bool, now: Instant, out: &mut Vec<Action>) {
        if name == self.settings.name || !is_name(name) {
            return;
        }
        let is_known = self.remotes.contains_key(name);
        if !is_known {
            if self.settings.reject_unknown || self.remotes.len() >= GATEWAYS_MAX || urls.is_empty() {
                return;
            }
            out.push(Action::Note(Note::Learned { gateway: name.to_owned() }));
        }
        let remote = self.remotes.entry(name.to_owned()).or_insert_with(|| Remote::new(Vec::new(), now, now));
        remote.until = now + LEARNED_FOR;
        if !remote.learn(urls, replaces) && is_known {
            return;
        }
        self.gossip(name, out);
    }

    /// Tells the other clusters that dial here of one.
    fn gossip(&self, name: &str, out: &mut Vec<Action>) {
        let Some(remote) = self.remotes.get(name) else { return };
        for (&link, entry) in &self.links {
            if entry.is_inbound() && entry.gateway().is_some_and(|theirs| theirs != name) {
                let info = Info::gossip(&self.me.id, name, remote.urls());
                out.push(Action::SendInfo { link, info: Box::new(info) });
            }
        }
    }

    fn dial_what_is_missing(&mut self, now: Instant, out: &mut Vec<Action>) {
        for (name, remote) in &mut self.remotes {
            if !matches!(remote.phase, Phase::Idle(at) if at <= now) {
                continue;
            }
            let Some(url) = remote.pick(&mut self.random) else {
                remote.phase = Phase::Idle(now + REDIAL_AFTER);
                continue;
            };
            let credentials = url.credentials.clone().or_else(|| self.settings.credentials.clone());
            let url = crate::url::RouteUrl { credentials, ..url };
            self.begun += 1;
            let dial = DialId(self.begun);
            remote.phase = Phase::Dialling(dial);
            self.dials.insert(dial, name.clone());
            let attempt = remote.failures.saturating_add(1);
            let configured = remote.is_configured();
            out.push(Action::Dial { dial, gateway: name.clone(), url, configured, attempt });
        }
    }

    fn dial_failed(&mut self, dial: DialId, now: Instant) {
        if let Some(name) = self.dials.remove(&dial) {
            self.try_again(&name, false, now);
        }
    }

    /// The connection to a cluster is gone, or did not come about: it never let this server in.
    fn try_again(&mut self, name: &str, was_in: bool, now: Instant) {
        let Some(remote) = self.remotes.get_mut(name) else { return };
        let backoff = self.settings.connect_backoff;
        remote.failures = if was_in { 0 } else { remote.failures.saturating_add(1) };
        let times = remote.failures;
        let after = match (was_in, remote.is_configured()) {
            (true, true) => After::ConfiguredBroke,
            (true, false) => After::LearnedBroke,
            (false, true) => After::Failed { times, backoff },
            // An official server tries again at once, as often as it can.
            (false, false) if !backoff => After::Refused { times },
            (false, false) => After::Failed { times, backoff },
        };
        remote.phase = Phase::Idle(now + delay(after, &mut self.random));
    }

    fn confirmed(&mut self, link: LinkId) {
        let Some(entry) = self.links.get_mut(&link).filter(|entry| entry.gateway().is_some()) else { return };
        entry.is_confirmed = true;
        if let Origin::Dialled { wanted } = &entry.origin
            && let Some(remote) = self.remotes.get_mut(wanted)
        {
            remote.failures = 0;
        }
    }

    fn lost(&mut self, link: LinkId, now: Instant) {
        let Some(entry) = self.links.remove(&link) else { return };
        if let Origin::Dialled { wanted } = &entry.origin
            && self.remotes.get(wanted).is_some_and(|remote| remote.phase == Phase::Open(link))
        {
            self.try_again(wanted, entry.is_confirmed, now);
        }
    }

    fn close(
        &mut self,
        link: LinkId,
        (reason, error): (CloseReason, Option<String>),
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.lost(link, now);
        out.push(Action::Close { link, reason, error });
    }

    /// Closes what takes too long, and forgets clusters that gave no sign for long.
    fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        let late = self.links.iter().filter(|(_, link)| link.gateway().is_none() && link.deadline <= now);
        for link in late.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.close(link, (CloseReason::AuthenticationTimeout, None), now, out);
        }
        let inbound = |name: &str| self.links.values().any(|link| link.is_inbound_of(name));
        let gone = self.remotes.iter().filter(|(name, remote)| {
            let is_idle = matches!(remote.phase, Phase::Idle(_));
            let has_tried = remote.failures > self.settings.connect_retries;
            is_idle && !remote.is_configured() && has_tried && remote.until <= now && !inbound(name)
        });
        for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.remotes.remove(&name);
            out.push(Action::Note(Note::Forgotten { gateway: name }));
        }
    }
}

/// Whether a cluster may be called so: it stands in lines and log.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= crate::limits::NAME_BYTES_MAX
        && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}
