//! Carrying out what was decided.

use super::{
    Discard, Effects, MadeBy, Proposal, Purge, Purged, REMOVED_MAX, Reason, Remove, RemovedMessage, Rollup,
    Settings, Store, Stored, Stream, Ttl,
};
use crate::messages::{New, Removed, Selector, Subject, SubjectId};
use std::borrow::Cow;

/// Messages that a purge by filter finds by their subjects; more are looked for among all messages.
const GATHERED_MAX: u64 = if cfg!(debug_assertions) { 4 } else { 65_536 };

impl Stream {
    /// Carries out a proposal. The same state and proposal always have the same effects, which are written over what `effects` held.
    pub fn apply(&mut self, proposal: &Proposal<'_>, effects: &mut Effects) {
        effects.clear();
        self.messages.begin();
        match proposal {
            Proposal::Store(store) => self.store(store, effects),
            Proposal::Batch(stores) => stores.iter().for_each(|store| self.store(store, effects)),
            Proposal::Skip(store) => self.skip(store, effects),
            Proposal::Remove(remove) => self.remove_all(remove, effects),
            Proposal::Purge(purge) => {
                self.purge(purge, effects);
                self.purge_delayed(purge);
            }
            Proposal::SkipTo(upto) => {
                self.messages.skip(*upto, 0);
                effects.skipped = true;
            }
            Proposal::Delay(delayed) => self.delays.set(delayed.clone().into_owned()),
            Proposal::Undelay(id) => self.delays.remove(*id),
            Proposal::Postpone { id, at } => self.delays.postpone(*id, *at),
            Proposal::Reschedule { seq, at: None } => self.schedules.remove(*seq),
            Proposal::Reschedule { seq, at: Some(at) } => {
                if let Some(head) = self.messages.head(*seq) {
                    self.schedules.set(head.subject, *seq, *at);
                }
            }
        }
    }

    /// Puts another configuration in force. What its limits do not let stay is removed.
    pub fn reconfigure(&mut self, settings: Settings, effects: &mut Effects) {
        effects.clear();
        self.messages.begin();
        let before = std::mem::replace(&mut self.settings, settings).limits.per_subject;
        self.places.retain(&self.settings.sources);
        let limit = self.settings.limits.per_subject;
        if let Some(max) = limit.filter(|&max| before.is_none_or(|before| max < before)) {
            let all = Selector::all();
            let over: Vec<_> = self.messages.selected(&all).filter(|subject| subject.count > max).collect();
            for subject in over {
                self.enforce_subject_limit(subject.name(), max, effects);
            }
        }
        self.enforce_limits(effects);
    }

    fn store(&mut self, store: &Store<'_>, effects: &mut Effects) {
        if store.is_skipped {
            return self.skip(store, effects);
        }
        // Sequences between were given to no message that is still there: in a mirror, or since the log was cut behind what was lost.
        if store.seq > self.messages.totals().last + 1 {
            self.messages.skip(store.seq - 1, 0);
        }
        let seq = self.messages.push(&New {
            time: store.time,
            subject: &store.subject,
            header_bytes: store.header_bytes,
            body_bytes: store.body_bytes,
            body: [&store.headers, &store.payload],
            is_kept_forever: store.ttl == Ttl::Never,
            is_marker: store.is_marker,
        });
        let first = effects.stored.map_or(seq, |stored| stored.first);
        effects.stored = Some(Stored { first, last: seq });
        if let Ttl::Until(deadline) = store.ttl {
            self.deadlines.set(seq, deadline);
        }
        if let Some(max) = self.settings.limits.per_subject {
            self.enforce_subject_limit(&store.subject, max, effects);
        }
        self.enforce_limits(effects);
        if let Some(id) = store.delayed {
            self.delays.remove(id);
        }
        self.note(store, seq);
        self.note_schedule(store, seq);
        self.roll_up(store, 1, effects);
    }

    fn skip(&mut self, store: &Store<'_>, effects: &mut Effects) {
        let seq = store.seq;
        self.messages.skip(seq, store.time);
        let first = effects.stored.map_or(seq, |stored| stored.first);
        effects.stored = Some(Stored { first, last: seq });
        effects.skipped = true;
        self.note(store, seq);
        if store.made_by.is_some() {
            self.note_schedule(store, seq);
        }
        self.roll_up(store, 0, effects);
    }

    /// Remembers the message id, and where it is from.
    #[inline]
    fn note(&mut self, store: &Store<'_>, seq: u64) {
        self.last_msg_id.clear();
        if let Some(sourced) = &store.sourced {
            self.places.note(sourced);
        }
        if !store.msg_id.is_empty() {
            self.last_msg_id.extend_from_slice(&store.msg_id);
            self.dedupe.note(&store.msg_id, seq, store.time, self.settings.duplicate_window);
        }
    }

    #[inline]
    fn roll_up(&mut self, store: &Store<'_>, keep: u64, effects: &mut Effects) {
        let filter = |subject: &Cow<'_, [u8]>| Some(Box::from(&**subject));
        match store.rollup {
            None => {}
            Some(Rollup::Subject) => {
                self.purge(&Purge { filter: filter(&store.subject), before: 0, keep }, effects)
            }
            Some(Rollup::All) => self.purge(&Purge { filter: None, before: 0, keep }, effects),
        }
        if let Some(MadeBy { subject, next: None }) = &store.made_by {
            self.purge(&Purge { filter: filter(subject), ..Purge::default() }, effects);
        }
    }

    fn enforce_subject_limit(&mut self, subject: &[u8], max: u64, effects: &mut Effects) {
        let Some(id) = self.messages.subject_id(subject) else { return };
        while self.messages.subject(id).count > max {
            self.remove_first_of(id, effects);
        }
    }

    /// Removes the first message of a subject, or what is counted for one that cannot be read.
    fn remove_first_of(&mut self, id: SubjectId, effects: &mut Effects) {
        let &Subject { first, count, .. } = self.messages.subject(id);
        self.remove(first, Reason::Limit, effects);
        if self.messages.subject(id).count == count {
            self.messages.give_up_first(id);
        }
    }

    #[inline]
    fn enforce_limits(&mut self, effects: &mut Effects) {
        if self.settings.discard != Discard::Old {
            return;
        }
        loop {
            let (limits, totals) = (&self.settings.limits, self.messages.totals());
            let is_over = limits.messages.is_some_and(|max| totals.count > max)
                || limits.bytes.is_some_and(|max| totals.bytes > max);
            if !is_over || totals.count == 0 {
                return;
            }
            self.remove(totals.first, Reason::Limit, effects);
        }
    }

    fn remove_all(&mut self, remove: &Remove, effects: &mut Effects) {
        for &(first, last) in &remove.runs {
            let mut at = self.messages.next_live(first);
            while let Some(seq) = at.filter(|&seq| seq <= last) {
                self.remove(seq, remove.reason, effects);
                at = self.messages.next_live(seq + 1);
            }
        }
    }

    fn remove(&mut self, seq: u64, reason: Reason, effects: &mut Effects) {
        let Some(message) = self.remove_one(seq) else { return };
        if effects.removed.len() < REMOVED_MAX {
            effects.removed.push(RemovedMessage { message, reason });
        } else {
            // Too many to be named: consumers count anew.
            match effects.purged.last_mut().filter(|purged| purged.filter.is_none()) {
                Some(purged) => {
                    (purged.count, purged.bytes) = (purged.count + 1, purged.bytes + message.bytes)
                }
                None => effects.purged.push(Purged { filter: None, count: 1, bytes: message.bytes }),
            }
        }
    }

    /// Removes a message with all that is known of it.
    pub(super) fn remove_one(&mut self, seq: u64) -> Option<Removed> {
        self.deadlines.remove(seq);
        if !self.schedules.is_empty() {
            self.schedules.remove(seq);
        }
        self.messages.remove(seq)
    }

    fn purge(&mut self, purge: &Purge, effects: &mut Effects) {
        if purge.before == 1 {
            return;
        }
        let before = self.messages.totals();
        let filter = purge.filter.as_deref().filter(|filter| *filter != b">");
        match filter {
            None if purge.before == 0 && purge.keep == 0 => self.clear(0),
            None if purge.before > before.last => self.clear(purge.before),
            None if purge.before > 1 => self.purge_all_before(purge.before),
            None => self.purge_selected(&Selector::all(), 0, purge.keep),
            Some(filter) => self.purge_selected(&Selector::new([filter]), purge.before, purge.keep),
        }
        let after = self.messages.totals();
        let (count, bytes) = (before.count - after.count, before.bytes - after.bytes);
        effects.purged.push(Purged { filter: filter.map(Box::from), count, bytes });
    }

    /// Who purges all of some subjects does not want what is stored under them later, either. Numbers and sequences say nothing of that.
    fn purge_delayed(&mut self, purge: &Purge) {
        if purge.before == 0 && purge.keep == 0 {
            self.delays.purge(purge.filter.as_deref());
        }
    }

    fn clear(&mut self, next: u64) {
        self.messages.clear(next);
        self.deadlines.clear();
        self.schedules.clear();
    }

    fn purge_all_before(&mut self, before: u64) {
        while let Some(seq) = self.messages.next_live(0).filter(|&seq| seq < before) {
            self.remove_one(seq);
        }
    }

    /// Removes the oldest selected messages before a sequence (0: all), but so many of the last.
    fn purge_selected(&mut self, selector: &Selector, before: u64, keep: u64) {
        let count: u64 = self.messages.selected(selector).map(|subject| subject.count).sum();
        let mut left = count.saturating_sub(keep);
        if selector.is_open() && count <= GATHERED_MAX {
            let all = self.messages.sequences(selector).into_iter();
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            for seq in all.take(left).take_while(|&seq| before == 0 || seq < before) {
                self.remove_one(seq);
            }
            return;
        }
        let mut at = if left > 0 { self.messages.next(selector, 0) } else { None };
        while let Some(seq) = at.filter(|&seq| before == 0 || seq < before) {
            // The link to the next one goes with the message.
            let next = self.messages.next(selector, seq + 1);
            self.remove_one(seq);
            left -= 1;
            at = if left > 0 { next } else { None };
        }
    }
}
