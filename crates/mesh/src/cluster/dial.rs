//! Who is dialled, and when.

use super::Cluster;
use crate::backoff::{After, delay};
use crate::event::{Action, DialFailure, Note};
use crate::id::{DialId, ServerId};
use crate::peer::Peer;
use crate::pool::Lane;
use crate::target::{LanePhase, Target, TargetKey};
use std::collections::BTreeSet;
use std::time::Instant;

impl Cluster {
    /// Looks at all servers that should be connected, and dials what is missing. Leaves when the next dial is due.
    pub(super) fn dial_what_is_missing(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.state.dials.next_at = None;
        if !self.state.started {
            return;
        }
        let lanes = self.lanes();
        let mut due = Vec::new();
        // Two URLs may lead to one server, and a server may be configured and learned: the first one counts.
        let mut seen: BTreeSet<&ServerId> = BTreeSet::new();
        for (key, target) in &self.state.targets {
            if target.is_only_self() || target.is_retired(self.state.peers.is_empty()) {
                continue;
            }
            if !target.is_shared && target.server.as_ref().is_some_and(|server| !seen.insert(server)) {
                continue;
            }
            if matches!(key, TargetKey::Learned(_)) && self.has_configured(target) {
                continue;
            }
            for lane in &lanes {
                let Some(at) = self.may_dial(target, lane) else { continue };
                if at <= now {
                    due.push((key.clone(), lane.clone()));
                } else {
                    self.state.dials.next_at =
                        Some(self.state.dials.next_at.map_or(at, |earliest| earliest.min(at)));
                }
            }
        }
        for (key, lane) in due {
            self.dial(key, lane, out);
        }
    }

    /// Whether a learned server's address is one of `routes`, so that it is dialled as that.
    fn has_configured(&self, target: &Target) -> bool {
        let key = TargetKey::Configured(target.url.address());
        self.state.targets.get(&key).is_some_and(|configured| !configured.is_self && !configured.is_shared)
    }

    /// When a lane may be dialled that is missing.
    fn may_dial(&self, target: &Target, lane: &Lane) -> Option<Instant> {
        let peer = target.server.as_ref().and_then(|server| self.state.peers.get(server));
        let has_all = |peer: &Peer| if target.is_shared { true } else { peer.has_all(lane) };
        if peer.is_some_and(has_all) || (target.is_shared && *lane != Lane::Pool) {
            return None;
        }
        target.may_dial(lane)
    }

    fn dial(&mut self, key: TargetKey, lane: Lane, out: &mut Vec<Action>) {
        let Some(target) = self.state.targets.get_mut(&key) else { return };
        self.state.dials.begun += 1;
        let dial = DialId(self.state.dials.begun);
        let state = target.lane(&lane);
        state.phase = LanePhase::Dialling(dial);
        let attempt = state.failures.saturating_add(1);
        let url = target.url.clone();
        let tls_name = url.host_name().or(self.settings.tls_name()).map(str::to_owned);
        out.push(Action::Dial { dial, url, tls_name, lane: lane.clone(), attempt });
        self.state.dials.open.insert(dial, (key, lane));
    }

    pub(super) fn dial_failed(
        &mut self,
        dial: DialId,
        failure: DialFailure,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some((key, lane)) = self.state.dials.open.remove(&dial) else { return };
        let backoff = self.settings.connect_backoff || matches!(key, TargetKey::Learned(_));
        let Some(target) = self.state.targets.get_mut(&key) else { return };
        if failure == DialFailure::Oneself && target.leads_to_self(now) {
            out.push(Action::Note(Note::RouteToSelf(target.url.clone())));
        }
        target.failed(now);
        let state = target.lane(&lane);
        state.failures = state.failures.saturating_add(1);
        let after = match backoff {
            // A learned server is tried less and less, but not so seldom that it is out of reach long after the network is whole.
            true if !self.settings.connect_backoff => After::Refused { times: state.failures },
            _ => After::Failed { times: state.failures, backoff },
        };
        state.phase = LanePhase::Idle(now + delay(after, &mut self.state.random));
    }
}
