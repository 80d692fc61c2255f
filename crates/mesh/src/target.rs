//! Whom this server dials, and how far it is with that.

use crate::id::{DialId, LinkId, ServerId};
use crate::limits::{ONESELF_AGAIN, RETIRED_AGAIN};
use crate::pool::Lane;
use crate::url::RouteUrl;
use dialtone_wire::route::{GossipMode, Info};
use std::collections::BTreeMap;
use std::time::Instant;

/// What tells one target from another. Configured ones come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TargetKey {
    /// The address of a URL of `routes`.
    Configured(String),
    /// A server that another one told of, or that was connected.
    Learned(ServerId),
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Target {
    pub url: RouteUrl,
    /// Who answered there the last time.
    pub server: Option<ServerId>,
    /// Whether that is this server itself.
    pub is_self: bool,
    /// Whether several servers answer, by turns: a name with many addresses. It leads to the cluster, and each of its servers is then dialled
    /// at its own address.
    pub is_shared: bool,
    /// What to tell it, and so what it is to tell others.
    pub gossip: GossipMode,
    /// Of a learned one: who told of it, and until when it is dialled.
    pub learned: Option<Learned>,
    /// By what the server that answered there the last time is known when it comes back: its id is another one then.
    known: Option<Known>,
    /// Whether that server left for good.
    is_retired: bool,
    lanes: BTreeMap<Lane, LaneState>,
    /// Nothing is dialled before.
    not_before: Instant,
}

#[derive(Clone, Debug)]
pub struct Learned {
    pub told_by: ServerId,
    pub until: Instant,
}

/// What stays the same when a server starts again: its name if it was given one, or where it listens.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    ip: String,
}

/// How far the connection for one purpose is.
#[derive(Clone, Debug)]
pub struct LaneState {
    pub phase: LanePhase,
    /// Dials in a row that failed.
    pub failures: u32,
    /// Connections in a row that ended before the other server let this one in.
    pub refusals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LanePhase {
    /// Nothing is under way, and nothing begins before this.
    Idle(Instant),
    Dialling(DialId),
    /// There is a connection whose other end has not let this server in so far.
    Open(LinkId),
}

impl Target {
    pub fn new(url: RouteUrl, now: Instant) -> Self {
        Self {
            url,
            server: None,
            is_self: false,
            is_shared: false,
            gossip: GossipMode::Default,
            learned: None,
            known: None,
            is_retired: false,
            lanes: BTreeMap::new(),
            not_before: now,
        }
    }

    pub fn lane(&mut self, lane: &Lane) -> &mut LaneState {
        let not_before = self.not_before;
        self.lanes.entry(lane.clone()).or_insert_with(|| LaneState {
            phase: LanePhase::Idle(not_before),
            failures: 0,
            refusals: 0,
        })
    }

    /// When a lane may be dialled; `None` while something is under way.
    pub fn may_dial(&self, lane: &Lane) -> Option<Instant> {
        match self.lanes.get(lane).map(|state| state.phase) {
            None => Some(self.not_before),
            Some(LanePhase::Idle(not_before)) => Some(not_before.max(self.not_before)),
            Some(_) => None,
        }
    }

    /// Dials nothing before this: the other server is at it.
    pub fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(until);
    }

    /// Dials in a row that failed, on whatever lane there were most.
    pub fn failures(&self) -> u32 {
        self.lanes.values().map(|state| state.failures).max().unwrap_or(0)
    }

    /// It leads to this server itself. Whether that was not known.
    pub fn leads_to_self(&mut self, now: Instant) -> bool {
        let is_news = !self.is_self;
        self.is_self = true;
        if self.url.host_name().is_some() {
            self.is_shared = true;
            self.hold(now + ONESELF_AGAIN);
        }
        is_news
    }

    /// Whether there is no use in dialling it.
    pub fn is_only_self(&self) -> bool {
        self.is_self && self.url.host_name().is_none()
    }

    /// A server answered there.
    pub fn answered(&mut self, info: &Info) {
        self.is_self = false;
        self.is_retired = false;
        self.known = Some(Known { name: info.server_name.clone(), ip: info.ip.clone() });
    }

    /// Its server left for good.
    pub fn retire(&mut self, now: Instant) {
        self.is_retired = true;
        self.hold(now + RETIRED_AGAIN);
    }

    /// Whether its server left for good. A server that is alone looks all the same, now and then, who has the name.
    pub fn is_retired(&self, is_alone: bool) -> bool {
        self.is_retired && !(is_alone && self.url.host_name().is_some())
    }

    /// A dial of it failed.
    pub fn failed(&mut self, now: Instant) {
        if self.is_retired {
            self.hold(now + RETIRED_AGAIN);
        }
    }

    /// It is dialled again if that server is the one that left.
    pub fn restore_if_known(&mut self, info: &Info, now: Instant) {
        let is_it = |known: &Known| known.name == info.server_name || known.ip == info.ip;
        if self.is_retired && self.known.as_ref().is_some_and(is_it) {
            self.restore(now);
        }
    }

    /// It is dialled like others.
    pub fn restore(&mut self, now: Instant) {
        if self.is_retired {
            self.is_retired = false;
            self.hurry(now);
        }
    }

    /// Waits for the other server no longer.
    pub fn hurry(&mut self, now: Instant) {
        self.not_before = now;
    }

    /// Forgets lanes that nobody wants any more.
    pub fn keep_lanes(&mut self, wanted: &[Lane]) {
        self.lanes.retain(|lane, state| wanted.contains(lane) || !matches!(state.phase, LanePhase::Idle(_)));
    }
}
