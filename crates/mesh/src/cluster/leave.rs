//! How connections and servers go.

use super::Cluster;
use crate::backoff::{After, delay};
use crate::event::{Action, Note};
use crate::id::{LinkId, ServerId};
use crate::limits::{FORGOTTEN_FOR, LEARNED_FOR, LEARNED_MAX, PATIENCE};
use crate::link::{Link, Origin};
use crate::target::{LanePhase, TargetKey};
use dialtone_wire::CloseReason;
use std::time::Instant;

impl Cluster {
    pub(super) fn lost(&mut self, link: LinkId, now: Instant, out: &mut Vec<Action>) {
        if let Some(entry) = self.state.links.remove(&link) {
            self.gone(link, &entry, now, out);
        }
    }

    pub(super) fn close(
        &mut self,
        link: LinkId,
        reason: CloseReason,
        error: Option<String>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if let Some(entry) = self.state.links.remove(&link) {
            out.push(Action::Close { link, reason, error });
            self.gone(link, &entry, now, out);
        }
    }

    fn gone(&mut self, link: LinkId, entry: &Link, now: Instant, out: &mut Vec<Action>) {
        self.dial_again_later(link, entry, now);
        self.no_more_answer(link);
        let Some((server, _)) = entry.joined() else { return };
        let Some(peer) = self.state.peers.get_mut(server) else { return };
        peer.remove(link);
        if peer.rivals().is_empty() {
            peer.rivals_until = None;
        }
        let has_left = peer.has_left;
        if peer.is_gone() {
            self.state.peers.remove(server);
            self.state.peers.values_mut().for_each(|other| other.forget_retold(server));
            out.push(Action::PeerLeft { server: server.clone() });
            let key = TargetKey::Learned(server.clone());
            if has_left {
                self.forget(&key, out);
            } else if let Some(learned) = self.state.targets.get_mut(&key).and_then(|t| t.learned.as_mut()) {
                learned.until = now + LEARNED_FOR;
            }
        }
        if !entry.is_dialled() {
            // Whoever dialled dials again first.
            self.hold(server, now + PATIENCE);
        }
    }

    /// Decides when the lane of a connection that is gone is dialled again.
    fn dial_again_later(&mut self, link: LinkId, entry: &Link, now: Instant) {
        let Origin::Dialled { target: key, lane } = &entry.origin else { return };
        let Some(target) = self.state.targets.get_mut(key) else { return };
        let state = target.lane(lane);
        let after = match state.phase {
            LanePhase::Open(open) if open == link => {
                state.refusals += 1;
                After::Refused { times: state.refusals }
            }
            LanePhase::Idle(_) if matches!(key, TargetKey::Configured(_)) => After::ConfiguredBroke,
            LanePhase::Idle(_) => After::LearnedBroke,
            // There is another one already.
            _ => return,
        };
        state.phase = LanePhase::Idle(now + delay(after, &mut self.state.random));
    }

    /// A server that shuts down is dialled no more unless it is configured and may be back, and not learned again from those who have not
    /// heard of it.
    pub(super) fn left(&mut self, server: &str, for_good: bool, now: Instant, out: &mut Vec<Action>) {
        let server = ServerId::new(server);
        if for_good {
            self.retire(&server, now, out);
        }
        self.forget(&TargetKey::Learned(server.clone()), out);
        if self.state.forgotten.len() >= LEARNED_MAX
            && let Some(soonest) =
                self.state.forgotten.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone())
        {
            self.state.forgotten.remove(&soonest);
        }
        if let Some(peer) = self.state.peers.get_mut(&server) {
            peer.lame_duck = true;
            peer.has_left = true;
        }
        self.state.forgotten.insert(server, now + FORGOTTEN_FOR);
    }

    /// Dials the URLs of `routes` no more that lead to this server and to no other one.
    fn retire(&mut self, server: &ServerId, now: Instant, out: &mut Vec<Action>) {
        let targets =
            self.state.targets.iter_mut().filter(|(key, _)| matches!(key, TargetKey::Configured(_)));
        for (_, target) in targets.filter(|(_, target)| target.server.as_ref() == Some(server)) {
            if !target.is_shared {
                target.retire(now);
                out.push(Action::Note(Note::Retired(target.url.clone())));
            }
        }
    }

    /// Closes what took too long, and forgets servers without a sign of life.
    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        let late: Vec<LinkId> = self
            .state
            .links
            .iter()
            .filter(|(_, link)| link.joined().is_none() && link.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for link in late {
            let error = "Authentication Timeout".to_owned();
            self.close(link, CloseReason::AuthenticationTimeout, Some(error), now, out);
        }
        let undecided =
            self.state.peers.values_mut().filter(|peer| peer.rivals_until.is_some_and(|at| at <= now));
        let rivals: Vec<LinkId> = undecided
            .flat_map(|peer| {
                peer.rivals_until = None;
                peer.rivals()
            })
            .collect();
        for link in rivals {
            self.close(link, CloseReason::DuplicateRoute, None, now, out);
        }
        if self.state.moving.as_ref().is_some_and(|moving| moving.until <= now) {
            self.state.moving = None;
        }
        self.state.forgotten.retain(|_, until| now < *until);
        let (peers, retries) = (&self.state.peers, self.settings.connect_retries);
        let silent: Vec<TargetKey> = self
            .state
            .targets
            .iter()
            .filter(|(_, target)| target.learned.as_ref().is_some_and(|learned| learned.until <= now))
            .filter(|(_, target)| target.failures() >= retries)
            .filter(|(_, target)| !target.server.as_ref().is_some_and(|id| peers.contains_key(id)))
            .map(|(key, _)| key.clone())
            .collect();
        for key in silent {
            self.forget(&key, out);
        }
        self.regossip(now, out);
    }
}
