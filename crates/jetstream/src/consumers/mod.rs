//! All consumers of a stream: found by id, by name, by the subject of a message, and by deadline.
//!
//! What a message costs depends on the consumers that match it, not on the others. Whoever changes a consumer does so through
//! [`Consumers::with`], which keeps the deadlines and the list of those to poll.

#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod step;

pub use step::{InvalidStep, Step};

use crate::consumer::{
    Advisory, Budget, Consumer, ConsumerId, Context, Filters, Found, InvalidChanges, Log, Polled, Settings,
    read_changes,
};
use dialtone_subject::ShortBytes;
use dialtone_subject::interest::{Entry, Interest, Matches};
use dialtone_subject::set::contains;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

/// The consumers of a stream, each with what the caller keeps beside it (its configuration as the API shows it, say).
#[derive(Debug)]
pub struct Consumers<A> {
    /// Boxed: a table has room for more than it has, and they are large.
    all: HashMap<ConsumerId, Box<Slot<A>>, foldhash::fast::RandomState>,
    names: BTreeMap<Arc<str>, ConsumerId>,
    interest: Interest<Filtered>,
    /// Those that send by themselves.
    pushing: BTreeSet<ConsumerId>,
    deadlines: BTreeSet<(i64, ConsumerId)>,
    /// Those to poll, each once.
    ready: VecDeque<ConsumerId>,
    /// Those that match messages which are not committed yet, each once.
    awaiting: Vec<ConsumerId>,
    matches: Matches<Filtered>,
    /// Counts messages, so that a consumer with several filters takes each once.
    message: u64,
    /// Configurations of which some are the same.
    shared: Vec<Arc<Settings>>,
}

#[derive(Debug)]
struct Slot<A> {
    consumer: Consumer,
    name: Arc<str>,
    about: A,
    /// The deadline under which it stands in `deadlines`: never later than its own.
    deadline: Option<i64>,
    is_ready: bool,
    is_awaiting: bool,
    /// The last message that was stored for it.
    last_stored: u64,
    /// The last message that it was told of, by the count of all.
    message: u64,
}

impl<A> Slot<A> {
    /// Puts it on the list of those to poll, if somebody wants messages.
    fn wake(&mut self, ready: &mut VecDeque<ConsumerId>, id: ConsumerId) {
        if !self.is_ready && self.consumer.wants() {
            self.is_ready = true;
            ready.push_back(id);
        }
    }
}

/// The first message that a filter matches; without one, that which comes next.
fn first_left(log: &dyn Log, filter: &[u8]) -> u64 {
    let filters = Filters::new([filter]);
    let mut from = log.bounds().first;
    loop {
        match log.next(&filters, from) {
            Found::Message(message) => return message.seq,
            Found::Further(on) => from = on,
            Found::End => return log.bounds().last + 1,
        }
    }
}

/// Who is to be looked at, and when.
struct Lists<'a> {
    ready: &'a mut VecDeque<ConsumerId>,
    awaiting: &'a mut Vec<ConsumerId>,
}

/// A filter of a consumer in the index.
#[derive(Clone, Debug)]
struct Filtered(Arc<(ConsumerId, ShortBytes<30>)>);

impl Entry for Filtered {
    fn filter(&self) -> &[u8] {
        self.0.1.as_slice()
    }

    fn queue(&self) -> Option<&[u8]> {
        None
    }

    fn same(&self, other: &Self) -> bool {
        self.0.0 == other.0.0 && self.filter() == other.filter()
    }
}

/// The entries of a consumer.
fn entries(consumer: &Consumer) -> impl Iterator<Item = Filtered> {
    let id = consumer.id();
    let all = consumer.filters().is_all().then_some(&b">"[..]);
    all.into_iter()
        .chain(consumer.filters().iter())
        .map(move |filter| Filtered(Arc::new((id, ShortBytes::concat(&[filter])))))
}

impl<A> Default for Consumers<A> {
    fn default() -> Self {
        Self {
            all: HashMap::default(),
            names: BTreeMap::new(),
            interest: Interest::default(),
            pushing: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            ready: VecDeque::new(),
            awaiting: Vec::new(),
            matches: Matches::default(),
            message: 0,
            shared: Vec::new(),
        }
    }
}

impl<A> Consumers<A> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Adds one under a name that no other has, with an id that was never used.
    pub fn insert(&mut self, name: impl Into<Arc<str>>, mut consumer: Consumer, about: A) {
        consumer.share(&mut self.shared);
        let id = consumer.id();
        entries(&consumer).for_each(|entry| self.interest.insert(entry));
        let name: Arc<str> = name.into();
        self.names.insert(name.clone(), id);
        if consumer.is_push() {
            self.pushing.insert(id);
        }
        let slot = Slot {
            consumer,
            name,
            about,
            deadline: None,
            is_ready: false,
            is_awaiting: false,
            last_stored: 0,
            message: 0,
        };
        self.all.insert(id, Box::new(slot));
        self.touched(id);
    }

    /// Takes one out.
    pub fn remove(&mut self, id: ConsumerId) -> Option<(Consumer, A)> {
        let slot = *self.all.remove(&id)?;
        entries(&slot.consumer).for_each(|entry| {
            self.interest.remove(&entry);
        });
        self.names.remove(&slot.name);
        self.pushing.remove(&id);
        if let Some(deadline) = slot.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        if slot.is_ready {
            self.ready.retain(|ready| *ready != id);
        }
        if slot.is_awaiting {
            self.awaiting.retain(|awaiting| *awaiting != id);
        }
        Some((slot.consumer, slot.about))
    }

    /// The one of a name.
    pub fn id_of(&self, name: &str) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// One of them.
    pub fn get(&self, id: ConsumerId) -> Option<&Consumer> {
        self.all.get(&id).map(|slot| &slot.consumer)
    }

    /// Its name.
    pub fn name(&self, id: ConsumerId) -> Option<&str> {
        self.all.get(&id).map(|slot| &*slot.name)
    }

    /// What the caller keeps beside it.
    pub fn about(&self, id: ConsumerId) -> Option<&A> {
        self.all.get(&id).map(|slot| &slot.about)
    }

    /// The same, to change.
    pub fn about_mut(&mut self, id: ConsumerId) -> Option<&mut A> {
        self.all.get_mut(&id).map(|slot| &mut slot.about)
    }

    /// Those that send by themselves, in the order in which they were made.
    pub fn pushing(&self) -> impl ExactSizeIterator<Item = ConsumerId> {
        self.pushing.iter().copied()
    }

    /// All, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Consumer, &A)> {
        self.all.values().map(|slot| (&slot.consumer, &slot.about))
    }

    /// All by name, behind a name if one is given.
    pub fn by_name(&self, behind: Option<&str>) -> impl Iterator<Item = (&str, ConsumerId)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.range::<str, _>((from, Bound::Unbounded)).map(|(name, id)| (&**name, *id))
    }

    /// Works with one: whatever happens to a consumer goes through here. `None` if there is none.
    pub fn with<R>(&mut self, id: ConsumerId, work: impl FnOnce(&mut Consumer) -> R) -> Option<R> {
        let result = work(&mut self.all.get_mut(&id)?.consumer);
        self.touched(id);
        Some(result)
    }

    /// Takes over another configuration; `work` does it (`Consumer::update` or `Consumer::apply_update`).
    pub fn update(&mut self, id: ConsumerId, settings: Settings, work: impl FnOnce(&mut Consumer, Settings)) {
        let Some(slot) = self.all.get_mut(&id) else { return };
        let old: Vec<_> = entries(&slot.consumer).collect();
        work(&mut slot.consumer, settings);
        slot.consumer.share(&mut self.shared);
        for entry in &old {
            self.interest.remove(entry);
        }
        entries(&slot.consumer).for_each(|entry| self.interest.insert(entry));
        self.touched(id);
    }

    /// Something happened to a consumer: notes when it is due, and that it is to be polled.
    fn touched(&mut self, id: ConsumerId) {
        self.note_deadline(id);
        if let Some(slot) = self.all.get_mut(&id) {
            slot.wake(&mut self.ready, id);
        }
    }

    fn note_deadline(&mut self, id: ConsumerId) {
        let Some(slot) = self.all.get_mut(&id) else { return };
        let deadline = slot.consumer.deadline();
        // A deadline that moved later is put right when it comes: that is cheaper than doing it with every message.
        let is_kept = match (slot.deadline, deadline) {
            (Some(noted), Some(deadline)) => noted <= deadline,
            (noted, None) => noted.is_none(),
            (None, Some(_)) => false,
        };
        if is_kept {
            return;
        }
        if let Some(noted) = slot.deadline {
            self.deadlines.remove(&(noted, id));
        }
        slot.deadline = deadline;
        self.deadlines.extend(deadline.map(|deadline| (deadline, id)));
    }

    // --- The stream's messages.

    /// The stream stored a message. To be called once for each, in order; then [`Self::committed`], once it may be seen.
    pub fn stored(&mut self, seq: u64, subject: &[u8]) {
        self.for_matching(subject, |lists, id, slot| {
            slot.consumer.stored(seq);
            slot.last_stored = seq;
            if !slot.is_awaiting {
                slot.is_awaiting = true;
                lists.awaiting.push(id);
            }
        });
    }

    /// Messages up to `seq` may be seen: those whom they match are to be polled.
    pub fn committed(&mut self, seq: u64) {
        let (all, ready) = (&mut self.all, &mut self.ready);
        self.awaiting.retain(|id| {
            let Some(slot) = all.get_mut(id) else { return false };
            slot.wake(ready, *id);
            slot.is_awaiting = slot.last_stored > seq;
            slot.is_awaiting
        });
    }

    /// The stream took a message out, at a time if the log has it. `advise` gets what consumers have to say about it.
    pub fn removed(
        &mut self,
        seq: u64,
        subject: &[u8],
        at: Option<i64>,
        mut advise: impl FnMut(ConsumerId, Advisory<'static>),
    ) {
        self.for_matching(subject, |lists, id, slot| {
            if let Some(advisory) = slot.consumer.removed_at(seq, at) {
                advise(id, advisory);
                // There may be room for another one.
                slot.wake(lists.ready, id);
            }
        });
    }

    /// The stream lost messages without a call of `removed` for each: those that `filter` matches, or any. A consumer that wants nothing
    /// else goes on at the first of them that is left, as officially.
    pub fn purged(&mut self, log: &dyn Log, filter: Option<&[u8]>, at: Option<i64>) {
        let ids: Vec<ConsumerId> = self.all.keys().copied().collect();
        let mut left = None;
        for id in ids {
            let wants_no_more = |consumer: &Consumer| {
                let wanted = consumer.filters();
                !wanted.is_all()
                    && filter.is_some_and(|filter| wanted.iter().all(|own| contains(filter, own)))
            };
            let from = filter
                .filter(|_| self.get(id).is_some_and(wants_no_more))
                .map(|filter| *left.get_or_insert_with(|| first_left(log, filter)));
            self.with(id, |consumer| consumer.purged(log, from, at));
        }
    }

    /// Whether some consumer's filters match a subject.
    pub fn has_interest(&self, subject: &[u8]) -> bool {
        self.interest.has_interest(subject)
    }

    /// Whether some consumer still needs a message.
    pub fn is_needed(&mut self, seq: u64, subject: &[u8]) -> bool {
        let mut is_needed = false;
        self.for_matching(subject, |_, _, slot| is_needed |= slot.consumer.needs(seq));
        is_needed
    }

    fn for_matching(
        &mut self,
        subject: &[u8],
        mut work: impl FnMut(&mut Lists<'_>, ConsumerId, &mut Slot<A>),
    ) {
        self.message += 1;
        self.interest.matches(subject, &mut self.matches);
        let mut lists = Lists { ready: &mut self.ready, awaiting: &mut self.awaiting };
        for entry in self.matches.take_plain() {
            let id = entry.0.0;
            if let Some(slot) = self.all.get_mut(&id)
                && slot.message != self.message
            {
                slot.message = self.message;
                work(&mut lists, id, slot);
            }
        }
    }

    // --- What the log says.

    /// Carries out changes of the log, also those of consumers that are gone. What is no longer needed is added to `settled`.
    ///
    /// # Errors
    ///
    /// The bytes are no changes. What came before is carried out.
    pub fn apply(
        &mut self,
        changes: &[u8],
        log: &dyn Log,
        settled: &mut Vec<u64>,
    ) -> Result<(), InvalidChanges> {
        let all = &mut self.all;
        read_changes(changes, |id, at, change| {
            if let Some(slot) = all.get_mut(&id) {
                slot.consumer.apply(change, at, log, settled);
            }
        })
    }

    /// All that the log says was carried out: notes what is due, and who is to be polled.
    pub fn recovered(&mut self) {
        self.all.values_mut().for_each(|slot| slot.consumer.recovered());
        let ids: Vec<ConsumerId> = self.all.keys().copied().collect();
        ids.into_iter().for_each(|id| self.touched(id));
    }

    // --- What is to be done.

    /// How many are to be polled.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether one of those is such a one.
    pub fn any_ready(&self, is_such: impl Fn(ConsumerId) -> bool) -> bool {
        self.ready.iter().any(|id| is_such(*id))
    }

    /// One that is to be polled, by [`Self::poll`]. They take turns.
    pub fn next_ready(&mut self) -> Option<ConsumerId> {
        let id = self.ready.pop_front()?;
        if let Some(slot) = self.all.get_mut(&id) {
            slot.is_ready = false;
        }
        Some(id)
    }

    /// Where one sends to by itself, if somebody listens there.
    pub fn pushes_to(&self, id: ConsumerId) -> Option<&[u8]> {
        self.all.get(&id)?.consumer.pushes_to()
    }

    /// Much waits for the receiver of one: it is to be polled later.
    pub fn rest(&mut self, id: ConsumerId, now: i64) {
        if let Some(slot) = self.all.get_mut(&id) {
            slot.consumer.rest(now);
        }
        self.note_deadline(id);
    }

    /// Lets one deliver. If there is more, it is to be polled again.
    pub fn poll(&mut self, id: ConsumerId, ctx: &mut Context<'_>, budget: Budget) {
        let Some(slot) = self.all.get_mut(&id) else { return };
        if slot.consumer.poll(ctx, budget) == Polled::More {
            slot.wake(&mut self.ready, id);
        }
        self.note_deadline(id);
    }

    /// When one is due. It may turn out that nothing is to be done then.
    pub fn deadline(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// All that are due: for each, [`Self::with`] and `Consumer::expire`; then those that are ready are to be polled.
    pub fn due(&mut self, now: i64) -> Vec<ConsumerId> {
        let mut due = Vec::new();
        while let Some((deadline, id)) =
            self.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now)
        {
            self.deadlines.remove(&(deadline, id));
            if let Some(slot) = self.all.get_mut(&id) {
                slot.deadline = None;
            }
            due.push(id);
        }
        due
    }
}

#[cfg(test)]
mod tests;
