//! Which connection gets which place.

use super::Cluster;
use crate::event::Action;
use crate::id::{LinkId, ServerId};
use crate::limits::{PATIENCE, PEERS_MAX, POOL_SIZE_MAX, RIVALS_FOR};
use crate::link::{Origin, Phase};
use crate::peer::{Claim, Holder, Peer, claim};
use crate::pool::{Lane, Place};
use crate::target::LanePhase;
use dialtone_wire::CloseReason;
use dialtone_wire::route::Info;
use std::time::Instant;

impl Cluster {
    /// Gives a connection, whose other end is known, its place, or closes it.
    pub(super) fn place(
        &mut self,
        link: LinkId,
        server: &ServerId,
        info: Info,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(entry) = self.state.links.get(&link) else { return };
        let dialled_for = match &entry.origin {
            Origin::Accepted => None,
            Origin::Dialled { lane, .. } => Some(lane.clone()),
        };
        let pooled = info.route_pool_size > 0 && self.settings.pool_size.is_some();
        let size = if pooled { info.route_pool_size.max(self.settings.pool_size()) } else { 1 };
        let place = match self.claimed(dialled_for.as_ref(), &info, pooled, size, server) {
            Ok(place) => place,
            Err(error) => return self.close(link, CloseReason::ProtocolViolation, Some(error), now, out),
        };
        if !self.state.peers.contains_key(server) && self.state.peers.len() >= PEERS_MAX {
            return self.close(link, CloseReason::MaxConnectionsExceeded, None, now, out);
        }
        let mut new_peer = None;
        let peer = match self.state.peers.get_mut(server) {
            Some(peer) => {
                peer.update(&info);
                peer
            }
            None => new_peer.insert(Peer::new(info.clone(), pooled)),
        };
        peer.resize(size);
        let place = match place {
            Some(place) => Some(place),
            None => peer.first_free().map(|index| Place::Pool { index, size: peer.size() }),
        };
        let (holder, kin) = (Holder { link, dialled: dialled_for.is_some() }, peer.kin);
        let Some((place, claim)) = place.and_then(|place| {
            let slot = peer.slot(&place)?;
            let claim = claim(slot, holder, kin, &self.me.id, server.as_str());
            Some((place, claim))
        }) else {
            return self.duplicate(link, server, now, out);
        };
        match claim {
            Claim::Refused => return self.duplicate(link, server, now, out),
            Claim::Shared => peer.rivals_until = Some(now + RIVALS_FOR),
            Claim::Granted(_) => {}
        }
        if let Some(slot) = peer.slot(&place) {
            slot.push(holder);
        }
        if let Some(peer) = new_peer {
            self.state.peers.insert(server.clone(), peer);
            out.push(Action::PeerJoined { server: server.clone(), info: Box::new(info.clone()) });
        }
        self.join(link, server, place, out);
        if let Claim::Granted(losers) = claim {
            for loser in losers {
                self.duplicate(loser, server, now, out);
            }
        }
        self.keep_in_touch(link, server, &info, now, out);
        self.introduce(link, server, &info, out);
    }

    /// What a connection claims: a place, any of the pool (`None`), or nothing that it could have.
    fn claimed(
        &self,
        dialled_for: Option<&Lane>,
        info: &Info,
        pooled: bool,
        size: u32,
        server: &ServerId,
    ) -> Result<Option<Place>, String> {
        let account = match dialled_for {
            Some(Lane::Dedicated(account)) => Some(&**account),
            Some(Lane::Pool) => None,
            None => Some(info.route_account.as_str()).filter(|account| !account.is_empty()),
        };
        if let Some(account) = account {
            if !pooled {
                let error = "Not possible to have a dedicated route for account";
                return Err(format!("{error} {account:?} between those servers"));
            }
            if !self.is_dedicated(account) {
                return Err(format!("No route for account {account:?}"));
            }
            return Ok(Some(Place::Dedicated(account.into())));
        }
        if !pooled {
            return Ok(Some(Place::Single));
        }
        let index = info.route_pool_idx;
        // A pool that is in use does not become smaller.
        let in_use = self.state.peers.get(server).filter(|peer| peer.has_pool());
        let size = in_use.map_or(size, |peer| peer.size().max(size));
        let fits = |index: u32| index < size && size <= POOL_SIZE_MAX;
        match dialled_for {
            Some(_) if index != 0 => Err(format!("Route pool index should not be set but is set to {index}")),
            _ => match (dialled_for, u32::try_from(index)) {
                (Some(_), Ok(index)) if fits(index) => Ok(None),
                (None, Ok(index)) if fits(index) => Ok(Some(Place::Pool { index, size })),
                _ => {
                    Err(format!("Invalid route pool index: {index} - pool size is {}", info.route_pool_size))
                }
            },
        }
    }

    fn join(&mut self, link: LinkId, server: &ServerId, place: Place, out: &mut Vec<Action>) {
        let Some(entry) = self.state.links.get_mut(&link) else { return };
        entry.phase = Phase::Joined { server: server.clone(), place: place.clone() };
        if entry.is_dialled() {
            out.push(Action::SendInfo { link, info: Box::new(self.first_info(link)) });
        } else if entry.own_info != self.state.own_infos {
            out.push(Action::SendInfo { link, info: Box::new(self.own_info()) });
        }
        let configured = self.is_configured(server);
        out.push(Action::Join { link, server: server.clone(), place, configured });
    }

    /// Closes a connection that is one too many. The other server is about to have what it wants, so it is not dialled for a while.
    pub(super) fn duplicate(&mut self, link: LinkId, server: &ServerId, now: Instant, out: &mut Vec<Action>) {
        self.release(link, false, now);
        self.hold(server, now + PATIENCE);
        self.close(link, CloseReason::DuplicateRoute, None, now, out);
    }

    /// The other end let this server in: what comes next may be dialled.
    pub(super) fn confirmed(&mut self, link: LinkId, now: Instant) {
        self.release(link, true, now);
    }

    /// The lane of a connection that was dialled has nothing under way any more. A confirmed one begins anew with its delays.
    fn release(&mut self, link: LinkId, confirmed: bool, now: Instant) {
        let Some(Origin::Dialled { target, lane }) = self.state.links.get(&link).map(|link| &link.origin)
        else {
            return;
        };
        let Some(target) = self.state.targets.get_mut(target) else { return };
        let state = target.lane(lane);
        if state.phase != LanePhase::Open(link) {
            return;
        }
        state.phase = LanePhase::Idle(now);
        if confirmed {
            state.refusals = 0;
            target.hurry(now);
        }
    }

    /// Leaves it to another server for a while to dial this one.
    pub(super) fn hold(&mut self, server: &ServerId, until: Instant) {
        let until = until + self.state.random.up_to(PATIENCE);
        for target in self.state.targets.values_mut().filter(|target| target.server.as_ref() == Some(server))
        {
            target.hold(until);
        }
    }

    /// Remembers a server that is connected, so that it is dialled again when it is lost.
    fn keep_in_touch(
        &mut self,
        link: LinkId,
        server: &ServerId,
        info: &Info,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        self.learn(info, server, now, out);
        if self.state.links.get(&link).is_some_and(|link| !link.is_dialled()) {
            // It is about to dial the rest.
            self.hold(server, now + PATIENCE);
        }
    }
}
