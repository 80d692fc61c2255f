//! What a stream would make of a message, and which consumers would get it: asked of what decides about messages.

use super::hosted::Hosted;
use super::shared::wall;
use super::state::Held;
use dialtone_jetstream::config::Retention;
use dialtone_jetstream::consumer::Consumer;
use dialtone_jetstream::error::ApiError;
use dialtone_jetstream::stream::{Admitted, Batches, Proposal, Publish};
use dialtone_subject::set;
use std::sync::atomic::Ordering;

/// What a stream would make of a message without headers or payload.
pub(crate) struct Storing {
    /// The subject that it would be kept under.
    pub(crate) subject: String,
    /// Why the stream would refuse it.
    pub(crate) refusal: Option<String>,
    /// What else its publisher should know.
    pub(crate) notes: Vec<&'static str>,
    /// Consumers that would get it, by name.
    pub(crate) consumers: Vec<Consuming>,
}

/// A consumer that would get it.
pub(crate) struct Consuming {
    pub(crate) name: String,
    /// Where it sends messages. `None`: it is asked for them.
    pub(crate) delivers_to: Option<String>,
    /// Why it hands out nothing now.
    pub(crate) idle: Option<&'static str>,
}

impl Hosted {
    /// What would become of a message. `None`: the stream does not store its subject.
    pub(crate) fn would_store(&self, subject: &[u8]) -> Option<Storing> {
        let inner = self.lock();
        let state = &inner.state;
        let stored = state.meta.config.subjects.iter();
        if inner.is_gone || !stored.into_iter().any(|filter| set::matches(filter.as_bytes(), subject)) {
            return None;
        }
        let publish = Publish { subject, headers: b"", payload: b"" };
        let room = self.wanted(state, inner.counted());
        let admitted = state.machine.admit(&mut Batches::default(), &publish, &room, wall());
        let (kept, refusal) = match admitted {
            Ok(Some(Admitted::Proposal(Proposal::Store(store)))) => (store.subject.into_owned(), None),
            Ok(_) => (subject.to_vec(), None),
            Err(refusal) => (subject.to_vec(), Some(ApiError::from(&refusal).description.into_owned())),
        };
        let unserved =
            self.flags.is_suspended.load(Ordering::Acquire).then_some("the account has no JetStream");
        let failed = self.shared.failure().map(|_| "the store has failed");
        let refusal = unserved.or(failed).map(str::to_owned).or(refusal);
        let mut consumers: Vec<Consuming> = state
            .consumers
            .iter()
            .filter(|(machine, _)| machine.filters().matches(&kept))
            .map(|(machine, held)| self.consuming(machine, held))
            .collect();
        consumers.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let mut notes = Vec::new();
        if state.meta.config.no_ack {
            notes.push("it answers no publisher (no_ack)");
        }
        if state.meta.config.retention == Retention::Interest && consumers.is_empty() {
            notes.push("it acknowledges and does not keep what no consumer wants (interest retention)");
        }
        Some(Storing { subject: String::from_utf8_lossy(&kept).into_owned(), refusal, notes, consumers })
    }

    fn consuming(&self, machine: &Consumer, held: &Held) -> Consuming {
        let config = &held.meta.config();
        let is_paused = config.pause_until.is_some_and(|until| until.unix_nanos() > wall());
        let is_alone = !config.is_pull() && !self.listeners.is_met(machine.id().0);
        let idle = match (is_paused, is_alone) {
            (true, _) => Some("it is paused"),
            (false, true) => Some("nobody listens there"),
            (false, false) => None,
        };
        let delivers_to = (!config.is_pull()).then(|| config.deliver_subject.clone());
        Consuming { name: held.meta.name().to_owned(), delivers_to, idle }
    }
}
