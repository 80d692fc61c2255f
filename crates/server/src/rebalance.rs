//! What is known of the handing over of clients to other servers of the cluster: how many those have, and who was asked to go and is still
//! connected. [`crate::handover`] does it.

use crate::registry::{Registry, Session};
use dialtone_broker::peer::ClientId;
use dialtone_mesh::ServerId;
use dialtone_mesh::balance::{Balance, Handover, REPORT_EVERY};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Clients that are looked at with one lock of the registry.
const PAGE: usize = 1024;

/// Kept by the control thread.
#[derive(Default)]
pub(crate) struct Rebalance {
    balance: Balance,
    /// Clients that were asked to go, and when each is closed.
    asked: BTreeMap<ClientId, (Arc<Session>, Instant)>,
    round: Round,
    /// Whether a timer runs each second.
    pub(crate) is_ticking: bool,
    reported_at: Option<Instant>,
}

/// One round of [`Balance`].
struct Round {
    /// What tells it from others.
    before: Option<Instant>,
    /// Up to this client all were asked, or cannot go: so none is asked twice.
    seen: ClientId,
    /// How many were asked.
    asked: usize,
}

impl Default for Round {
    fn default() -> Self {
        Self { before: None, seen: ClientId(0), asked: 0 }
    }
}

impl Rebalance {
    /// Another server has so many clients.
    pub(crate) fn reported(&mut self, server: &str, clients: u64, now: Instant) {
        self.balance.reported(ServerId::new(server), clients, now);
    }

    /// Another server ends, or enters lame duck mode.
    pub(crate) fn gone(&mut self, server: &str) {
        self.balance.gone(&ServerId::new(server));
    }

    /// Forgets other servers. Who was asked to go still goes.
    pub(crate) fn stop(&mut self) {
        self.balance = Balance::default();
    }

    /// Whether there is something to do each second.
    pub(crate) fn is_active(&self) -> bool {
        self.balance.is_active() || !self.asked.is_empty()
    }

    /// What other servers are told.
    pub(crate) fn report(&mut self, registry: &Registry, now: Instant) -> u64 {
        let own = self.staying(registry);
        self.reported_at = Some(now);
        self.balance.report(own, now)
    }

    /// Whether other servers wait for a report.
    pub(crate) fn is_report_due(&self, now: Instant) -> bool {
        self.balance.is_active() && self.reported_at.is_none_or(|last| now >= last + REPORT_EVERY)
    }

    /// Who is to go in this second.
    pub(crate) fn next(&mut self, registry: &Registry, now: Instant) -> Option<Handover> {
        let own = self.staying(registry);
        self.balance.next(own, now)
    }

    /// Clients beside those that were asked to go.
    fn staying(&mut self, registry: &Registry) -> u64 {
        self.asked.retain(|id, _| registry.find(*id).is_some());
        registry.len().saturating_sub(self.asked.len()) as u64
    }

    /// The clients that are here for longest, of those that can go and were not asked in this round.
    pub(crate) fn choose(
        &mut self,
        registry: &Registry,
        handover: &Handover,
        can_go: impl Fn(&Session) -> bool,
    ) -> Vec<Arc<Session>> {
        if self.round.before != Some(handover.before) {
            self.round = Round { before: Some(handover.before), ..Round::default() };
        }
        let wanted = usize::try_from(handover.clients).unwrap_or(usize::MAX);
        let mut chosen = Vec::new();
        loop {
            let page = registry.open_after(self.round.seen, PAGE);
            if page.is_empty() {
                return chosen;
            }
            for session in page {
                // Who comes behind it came later still.
                if chosen.len() == wanted || session.peer.start >= handover.before {
                    return chosen;
                }
                self.round.seen = session.peer.id;
                if !self.asked.contains_key(&session.peer.id) && can_go(&session) {
                    chosen.push(session);
                }
            }
        }
    }

    /// These were asked to go, and are closed by then. How many were asked in this round before.
    pub(crate) fn asked(&mut self, sessions: Vec<Arc<Session>>, closed_by: Instant, now: Instant) -> usize {
        let count = sessions.len();
        self.balance.sent(count as u64, closed_by, now);
        self.asked.extend(sessions.into_iter().map(|session| (session.peer.id, (session, closed_by))));
        self.round.asked += count;
        self.round.asked - count
    }

    /// Those whose time is over.
    pub(crate) fn overdue(&self, now: Instant) -> impl Iterator<Item = &Arc<Session>> {
        self.asked.values().filter(move |(_, closed_by)| *closed_by <= now).map(|(session, _)| session)
    }
}
