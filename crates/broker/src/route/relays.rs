//! Relays in a route: connections that get a message once, for all behind them.

use super::Target;
use crate::account::Account;
use crate::format::RelayHead;
use crate::kind::Zone;
use crate::peer::Peer;
use crate::returns::WayBack;
use crate::subscription::Subscription;
use std::sync::Arc;

/// The relays that have messages of a route, and the queue groups that have members behind them.
#[derive(Debug, Default)]
pub struct Relays {
    /// Each once.
    pub targets: Vec<RelayTarget>,
    /// Queue groups with members behind relays.
    pub groups: Vec<RelayGroup>,
    /// The subject is that of an answer that another cluster waits for: for a while messages go there alone.
    pub way_back: Option<Arc<WayBack>>,
}

/// A relay that has messages of a route.
#[derive(Debug)]
pub struct RelayTarget {
    /// The relay.
    pub peer: Arc<Peer>,
    /// What messages to it begin with.
    pub head: RelayHead,
    /// Somebody behind it has each message; otherwise it gets those for which it was chosen.
    pub is_plain: bool,
    /// How far it is.
    distance: u8,
}

/// A queue group with members behind relays.
#[derive(Debug)]
pub struct RelayGroup {
    /// Its name.
    pub name: Box<[u8]>,
    /// Which of [`Relays::targets`] have members, and how many.
    members: Vec<(usize, u32)>,
    /// The group's place among those of the route, if it has members here.
    pub here: Option<usize>,
    /// How many members it has here.
    pub(crate) members_here: usize,
    /// How many it has behind relays that are drawn as if their members were here. Those behind others are for want of any here.
    pub(crate) weight_as_here: usize,
    /// It has members in other zones, which are for want of any that is not slow in this one.
    pub(crate) spills: bool,
}

impl Relays {
    pub(super) fn clear(&mut self) {
        self.targets.clear();
        self.groups.clear();
        self.way_back = None;
    }

    /// Whether there is none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.way_back.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len() + self.groups.len()
    }

    /// Adds what a relay subscribed to.
    pub(super) fn add(&mut self, subscription: &Subscription, account: &Account, subject: &[u8]) {
        let at = self.target(subscription.peer(), account, subject);
        let Some(name) = subscription.queue() else {
            if let Some(target) = self.targets.get_mut(at) {
                target.is_plain = true;
            }
            return;
        };
        let group = match self.groups.iter_mut().position(|group| *group.name == *name) {
            Some(known) => self.groups.get_mut(known),
            None => {
                self.groups.push(RelayGroup::new(name));
                self.groups.last_mut()
            }
        };
        if let Some(group) = group {
            group.add(at, subscription.weight());
        }
    }

    fn target(&mut self, peer: &Arc<Peer>, account: &Account, subject: &[u8]) -> usize {
        if let Some(at) = self.targets.iter().position(|target| Arc::ptr_eq(&target.peer, peer)) {
            return at;
        }
        let head = peer.relay_head(account, subject);
        let distance = peer.kind().distance(peer.zone());
        self.targets.push(RelayTarget { peer: peer.clone(), head, is_plain: false, distance });
        self.targets.len() - 1
    }

    /// Notes which groups have members here.
    pub(super) fn find_members_here(&mut self, queues: &[Vec<Target>]) {
        let Self { targets, groups, .. } = self;
        for group in groups {
            let is_same = |members: &&Vec<Target>| {
                members.first().is_some_and(|t| t.subscription.queue() == Some(&group.name))
            };
            let here = queues.iter().enumerate().find(|(_, members)| is_same(members));
            group.here = here.map(|(at, _)| at);
            group.members_here = here.map_or(0, |(_, members)| members.len());
            let is_as_here =
                |at: usize| targets.get(at).is_some_and(|t| t.peer.kind().is_drawn_as_here(t.peer.zone()));
            // Those as here come first, so that a number below this weight is that of one of them.
            group.members.sort_by_key(|(at, _)| targets.get(*at).map(|target| target.distance));
            let is_elsewhere = |at: usize| targets.get(at).is_some_and(|t| t.peer.zone() == Zone::Other);
            group.spills = group.members.iter().any(|(at, _)| is_elsewhere(*at));
            let as_here = group.members.iter().take_while(|(at, _)| is_as_here(*at));
            group.weight_as_here = as_here.map(|(_, weight)| *weight as usize).sum();
        }
    }
}

impl RelayGroup {
    fn new(name: &[u8]) -> Self {
        let (members, here) = (Vec::new(), None);
        Self { name: name.into(), members, here, members_here: 0, weight_as_here: 0, spills: false }
    }

    /// One relay may match by several filters.
    fn add(&mut self, at: usize, weight: u32) {
        match self.members.iter_mut().find(|(known, _)| *known == at) {
            Some((_, known)) => *known = known.saturating_add(weight),
            None => self.members.push((at, weight)),
        }
    }

    /// How many members it has behind relays.
    pub fn weight(&self) -> usize {
        self.members.iter().map(|(_, weight)| *weight as usize).sum()
    }

    /// The relays that have members, and how many, by how far they are: the nearest first.
    pub(crate) fn by_distance<'a>(
        &'a self,
        targets: &'a [RelayTarget],
    ) -> impl Iterator<Item = &'a [(usize, u32)]> {
        let distance = |at: usize| targets.get(at).map(|target| target.distance);
        self.members.chunk_by(move |(a, _), (b, _)| distance(*a) == distance(*b))
    }

    /// Those that have members in this zone of the cluster, or in the others.
    pub(crate) fn in_zone<'a>(
        &'a self,
        targets: &'a [RelayTarget],
        zone: Zone,
    ) -> impl Iterator<Item = (&'a RelayTarget, (usize, u32))> {
        let placed = self.members.iter().filter_map(|member| Some((targets.get(member.0)?, *member)));
        placed.filter(move |(target, _)| {
            let is_near = target.peer.kind().is_drawn_as_here(target.peer.zone());
            match zone {
                Zone::Own => is_near,
                Zone::Other => target.peer.zone() == Zone::Other,
            }
        })
    }

    /// The relay of the member with this number, counted over all.
    pub(crate) fn relay_of(&self, mut number: usize) -> Option<usize> {
        for (at, weight) in &self.members {
            match number.checked_sub(*weight as usize) {
                None => return Some(*at),
                Some(rest) => number = rest,
            }
        }
        None
    }
}
