//! A server that is connected, and which connection has which place.

use crate::id::{Account, LinkId, ServerId};
use crate::limits::RETOLD_MAX;
use crate::pool::{Lane, Place};
use dialtone_wire::route::Info;
use std::collections::BTreeMap;
use std::time::Instant;

/// How the other server decides when two connections claim one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// As this one does ([`claim`]).
    Ours,
    /// As official servers do: it closes the one whose INFO it reads later.
    Official,
}

impl Kin {
    /// By what an INFO says of the toolchain: no other field tells servers apart, and none would reach a third server.
    pub fn of(info: &Info) -> Self {
        if info.go.starts_with("dialtone ") { Self::Ours } else { Self::Official }
    }
}

/// A connection that has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub link: LinkId,
    /// Whether this server dialled it.
    pub dialled: bool,
}

/// Who has a place: one, or two while an official server decides.
pub type Slot = Vec<Holder>;

#[derive(Clone, Debug)]
pub struct Peer {
    /// What it says of itself, as it is passed on: with an address, without a nonce.
    pub info: Info,
    pub kin: Kin,
    /// Whether both servers know pools.
    pub pooled: bool,
    slots: Vec<Slot>,
    dedicated: BTreeMap<Account, Slot>,
    /// Its clients are being sent away: its addresses are not told. It is a server like others until it has left.
    pub lame_duck: bool,
    /// It said that it shuts down.
    pub has_left: bool,
    /// When two connections of one place are to be one at last.
    pub rivals_until: Option<Instant>,
    /// Whom it was told of last: see [`crate::limits::REGOSSIP_EVERY`].
    pub told: usize,
    /// How often an official server was told again of others, and of their connections for an account.
    retold: BTreeMap<(ServerId, Option<Account>), u32>,
}

/// What becomes of a connection that claims a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It gets the place; these lose it.
    Granted(Vec<LinkId>),
    /// It gets the place together with who has it: the other server closes one of the two.
    Shared,
    /// It is one too many.
    Refused,
}

/// Decides who has a place.
///
/// Whoever dials sends its INFO only after that of the other end, when it has given the connection a place at its own end. So what comes by
/// a connection that was accepted says what the other server did already. Two servers of our kind take the route that the one with the
/// smaller id dialled, and of several that the same server dialled the last; both see the same, so exactly one stays. An official server
/// closes the route whose INFO finds the place taken; if this one closed one too, both would be gone, so it leaves that to the other.
pub fn claim(slot: &Slot, new: Holder, kin: Kin, own: &str, other: &str) -> Claim {
    if slot.is_empty() {
        return Claim::Granted(Vec::new());
    }
    if new.dialled {
        // The other end has not heard of it yet: nothing is lost.
        return Claim::Refused;
    }
    match kin {
        Kin::Official if slot.len() == 1 => Claim::Shared,
        Kin::Official => Claim::Refused,
        Kin::Ours => {
            let stays = |holder: &Holder| if holder.dialled { own < other } else { holder.link > new.link };
            if slot.iter().any(stays) {
                Claim::Refused
            } else {
                Claim::Granted(slot.iter().map(|holder| holder.link).collect())
            }
        }
    }
}

impl Peer {
    pub fn new(info: Info, pooled: bool) -> Self {
        Self {
            kin: Kin::of(&info),
            lame_duck: info.lame_duck,
            has_left: false,
            info,
            pooled,
            slots: Vec::new(),
            dedicated: BTreeMap::new(),
            rivals_until: None,
            told: 0,
            retold: BTreeMap::new(),
        }
    }

    /// Takes in what it says of itself on any of its connections. A server does not come back from lame duck mode, and what an official
    /// one says after that does not mention it.
    pub fn update(&mut self, info: &Info) {
        self.lame_duck |= info.lame_duck;
        if !info.lame_duck {
            self.info.connect_urls.clone_from(&info.connect_urls);
            self.info.ws_connect_urls.clone_from(&info.ws_connect_urls);
            self.info.mqtt_connect_urls.clone_from(&info.mqtt_connect_urls);
            self.info.leafnode_urls.clone_from(&info.leafnode_urls);
            self.info.import.clone_from(&info.import);
            self.info.export.clone_from(&info.export);
        }
    }

    /// How many connections the pool has, 1 without pools. A pool that is in use only grows: the other server closes all before it is smaller.
    pub fn resize(&mut self, size: u32) {
        let size = size.max(1) as usize;
        if size > self.slots.len() || !self.has_pool() {
            self.slots.resize_with(size, Slot::new);
        }
    }

    /// Connections that the pool is to have.
    pub fn size(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub fn has_pool(&self) -> bool {
        self.slots.iter().any(|slot| !slot.is_empty())
    }

    /// Whether there is nothing to dial for.
    pub fn has_all(&self, lane: &Lane) -> bool {
        match lane {
            Lane::Pool => !self.slots.is_empty() && self.first_free().is_none(),
            Lane::Dedicated(account) => !self.pooled || self.dedicated.contains_key(account),
        }
    }

    /// The first free place of the pool.
    pub fn first_free(&self) -> Option<u32> {
        self.slots.iter().position(Vec::is_empty).and_then(|index| u32::try_from(index).ok())
    }

    /// Who has a place.
    pub fn slot(&mut self, place: &Place) -> Option<&mut Slot> {
        match place {
            Place::Single => self.slots.first_mut(),
            Place::Pool { index, .. } => self.slots.get_mut(*index as usize),
            Place::Dedicated(account) => Some(self.dedicated.entry(account.clone()).or_default()),
        }
    }

    /// Takes a connection out of its place.
    pub fn remove(&mut self, link: LinkId) {
        for slot in self.slots.iter_mut().chain(self.dedicated.values_mut()) {
            slot.retain(|holder| holder.link != link);
        }
        self.dedicated.retain(|_, slot| !slot.is_empty());
    }

    pub fn is_gone(&self) -> bool {
        !self.has_pool() && self.dedicated.is_empty()
    }

    /// All connections, those of the pool first.
    pub fn links(&self) -> impl Iterator<Item = LinkId> {
        self.slots.iter().chain(self.dedicated.values()).flatten().map(|holder| holder.link)
    }

    /// The connections of the pool.
    pub fn pool_links(&self) -> impl Iterator<Item = LinkId> {
        self.slots.iter().flatten().map(|holder| holder.link)
    }

    /// The connection of the pool with this index.
    pub fn pool_link(&self, index: u32) -> Option<LinkId> {
        self.slots.get(index as usize)?.first().map(|holder| holder.link)
    }

    /// Whether it may be told where a connection for this account is to be had. An official server that has none for the account dials
    /// all the same, again and again without a pause, once more for each time that it is told.
    pub fn knows(&self, account: Option<&Account>) -> bool {
        account.is_none_or(|account| self.dedicated.contains_key(account))
    }

    /// Whether it may be told of a third server once more.
    pub fn may_be_retold(&self, subject: &(ServerId, Option<Account>)) -> bool {
        self.kin == Kin::Ours || self.retold.get(subject).is_none_or(|times| *times < RETOLD_MAX)
    }

    pub fn note_retold(&mut self, subject: &(ServerId, Option<Account>)) {
        if self.kin == Kin::Official {
            *self.retold.entry(subject.clone()).or_default() += 1;
        }
    }

    /// The third server is connected no longer.
    pub fn forget_retold(&mut self, server: &ServerId) {
        self.retold.retain(|(other, _), _| other != server);
    }

    /// The accounts with connections of their own.
    pub fn dedicated(&self) -> impl Iterator<Item = &Account> {
        self.dedicated.keys()
    }

    /// The connection by which something is said once: that of the account, if it is about one and there is one, else the first.
    pub fn first_link(&self, account: Option<&str>) -> Option<LinkId> {
        let of_account =
            account.and_then(|account| self.dedicated.get(account)).and_then(|slot| slot.first());
        let any = || self.slots.iter().chain(self.dedicated.values()).flatten().next();
        of_account.or_else(any).map(|holder| holder.link)
    }

    /// Of places with two connections, the one that came first.
    pub fn rivals(&self) -> Vec<LinkId> {
        let slots = self.slots.iter().chain(self.dedicated.values());
        slots
            .filter(|slot| slot.len() > 1)
            .filter_map(|slot| slot.first())
            .map(|holder| holder.link)
            .collect()
    }
}

/// A server that is connected, by id.
pub type Peers = BTreeMap<ServerId, Peer>;

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(link: u64, dialled: bool) -> Holder {
        Holder { link: LinkId(link), dialled }
    }

    #[track_caller]
    fn check(slot: &[Holder], new: Holder, kin: Kin, (own, other): (&str, &str), expected: Claim) {
        assert_eq!(claim(&slot.to_vec(), new, kin, own, other), expected);
    }

    #[test]
    fn of_two_routes_dialled_at_once_both_ends_keep_the_same() {
        let (ours, theirs) = (holder(1, true), holder(2, false));
        check(&[], theirs, Kin::Ours, ("A", "B"), Claim::Granted(vec![]));
        check(&[ours], theirs, Kin::Ours, ("A", "B"), Claim::Refused);
        check(&[ours], theirs, Kin::Ours, ("B", "A"), Claim::Granted(vec![LinkId(1)]));
        check(&[theirs], ours, Kin::Ours, ("A", "B"), Claim::Refused);
    }

    #[test]
    fn a_server_that_dials_again_lost_what_it_dialled_before() {
        check(&[holder(1, false)], holder(2, false), Kin::Ours, ("A", "B"), Claim::Granted(vec![LinkId(1)]));
        check(&[holder(2, false)], holder(1, false), Kin::Ours, ("A", "B"), Claim::Refused);
    }

    #[test]
    fn an_official_server_decides_itself_which_of_two_it_keeps() {
        for own in [true, false] {
            check(&[holder(1, own)], holder(2, false), Kin::Official, ("A", "B"), Claim::Shared);
        }
        check(
            &[holder(1, true), holder(2, false)],
            holder(3, false),
            Kin::Official,
            ("A", "B"),
            Claim::Refused,
        );
        check(&[holder(1, false)], holder(2, true), Kin::Official, ("A", "B"), Claim::Refused);
    }
}
