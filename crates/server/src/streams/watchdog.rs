//! Watches consumers that have messages and somebody who waits for them, and yet deliver nothing: without a reason that can be named, that is a fault
//! of the server, and somebody should know.

use super::advisories::{event_of_now, publish_event};
use super::hosted::Hosted;
use super::registry::All;
use super::shared::wall;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::api::advisories::ConsumerStanding;
use dialtone_jetstream::consumer::{Hold, Info};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often consumers are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long one may deliver nothing without a reason before it is named. It is looked at once more then, so it takes up to 5 seconds longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A consumer that stands.
pub(crate) struct Standing {
    /// Its stream.
    pub(crate) hosted: Arc<Hosted>,
    /// Its name.
    pub(crate) consumer: String,
    /// Its figures.
    pub(crate) info: Info,
    /// For how long.
    pub(crate) span: Duration,
}

impl Standing {
    /// Tells whoever listens in its account.
    pub(crate) fn publish(&self, turn: &mut dyn Publish) {
        let Some(account) = self.hosted.account() else { return };
        let stream = self.hosted.name.to_string();
        let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.STANDING.{stream}.{}", self.consumer);
        let body = ConsumerStanding {
            event: event_of_now("advisory.v1.consumer_standing"),
            stream,
            consumer: self.consumer.clone(),
            num_pending: self.info.num_pending,
            num_waiting: self.info.num_waiting as u64,
            domain: self.hosted.domain().unwrap_or_default().to_owned(),
        };
        publish_event(turn, &account, &subject, &body);
    }
}

/// What was seen of a consumer that has something to deliver.
struct Seen {
    delivered: u64,
    since: Instant,
    is_named: bool,
}

/// Looks at all consumers from time to time.
pub(crate) struct Watchdog {
    looked_at: Instant,
    /// Those that could deliver, by the number of their stream and their own.
    seen: HashMap<(u64, u64), Seen>,
}

impl Watchdog {
    /// One that begins at a time.
    pub(crate) fn new(now: Instant) -> Self {
        Self { looked_at: now, seen: HashMap::new() }
    }

    /// Those that stand since so long that they are to be named, each once. To be called often.
    pub(crate) fn look(&mut self, all: &All, now: Instant) -> Vec<Standing> {
        if now.saturating_duration_since(self.looked_at) < LOOK_INTERVAL {
            return Vec::new();
        }
        self.looked_at = now;
        let mut before = std::mem::take(&mut self.seen);
        let mut standing = Vec::new();
        for hosted in all.all() {
            for (id, consumer, info) in hosted.unheld_consumers() {
                let key = (hosted.number, id);
                let seen = before.remove(&key).filter(|seen| seen.delivered == info.delivered.consumer);
                let fresh = Seen { delivered: info.delivered.consumer, since: now, is_named: false };
                let mut seen = seen.unwrap_or(fresh);
                let span = now.saturating_duration_since(seen.since);
                if span >= PATIENCE && !seen.is_named {
                    seen.is_named = true;
                    standing.push(Standing { hosted: hosted.clone(), consumer, info, span });
                }
                self.seen.insert(key, seen);
            }
        }
        standing
    }
}

impl Hosted {
    /// Consumers that could deliver: somebody waits, there are messages, and nothing holds them up.
    fn unheld_consumers(&self) -> Vec<(u64, String, Info)> {
        let (inner, now) = (self.lock(), wall());
        if self.flags.is_suspended.load(Ordering::Acquire) || inner.awaits_disk() {
            return Vec::new();
        }
        let wanting = inner.state.consumers.iter().filter(|(machine, _)| machine.wants());
        let figures = wanting.map(|(machine, held)| (machine.id().0, held.meta.name(), machine.info_at(now)));
        let unheld = figures.filter(|(_, _, info)| info.could_deliver() && info.held_by.is_none());
        unheld.map(|(id, name, info)| (id, name.to_owned(), info)).collect()
    }

    /// What holds a consumer up that the consumer does not know itself.
    pub(super) fn hold(&self, awaits_disk: bool) -> Option<Hold> {
        if self.flags.is_suspended.load(Ordering::Acquire) {
            return Some(Hold::Off);
        }
        awaits_disk.then_some(Hold::Disk)
    }
}
