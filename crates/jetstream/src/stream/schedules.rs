//! Schedules: messages of which others are made at their times (ADR-51).

use super::admit::{append, without_prefixes};
use super::marks::{self, given};
use super::pattern::firing;
use super::{MadeBy, Marks, Proposal, Refusal, Retention, Rollup, Room, Store, Stream};
use crate::messages::Body;
use dialtone_subject::set;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Nanoseconds until a schedule is tried again whose message could not be stored.
const RETRY: i64 = 1_000_000_000;

/// When schedules fire next.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    by_time: BTreeSet<(i64, u64)>,
    /// The times by the sequence of the schedule.
    by_seq: BTreeMap<u64, (i64, Box<[u8]>)>,
    by_subject: HashMap<Box<[u8]>, u64>,
}

impl Schedules {
    pub(super) fn set(&mut self, subject: &[u8], seq: u64, at: i64) {
        self.remove_subject(subject);
        self.by_time.insert((at, seq));
        self.by_seq.insert(seq, (at, subject.into()));
        self.by_subject.insert(subject.into(), seq);
    }

    pub(super) fn remove(&mut self, seq: u64) {
        if let Some((at, subject)) = self.by_seq.remove(&seq) {
            self.by_time.remove(&(at, seq));
            self.by_subject.remove(&subject);
        }
    }

    pub(super) fn remove_subject(&mut self, subject: &[u8]) {
        if let Some(&seq) = self.by_subject.get(subject) {
            self.remove(seq);
        }
    }

    /// The schedule of a subject fires at another time.
    pub(super) fn update(&mut self, subject: &[u8], at: i64) {
        if let Some(&seq) = self.by_subject.get(subject) {
            self.set(subject, seq, at);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_seq.is_empty()
    }

    /// When the first fires.
    pub(super) fn first(&self) -> Option<i64> {
        self.by_time.first().map(|&(at, _)| at)
    }

    fn due(&self, now: i64) -> Option<(i64, u64, &[u8])> {
        let &(at, seq) = self.by_time.first().filter(|&&(at, _)| at <= now)?;
        self.by_seq.get(&seq).map(|(_, subject)| (at, seq, &**subject))
    }

    /// Sequences, times and subjects, by sequence.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, i64, &[u8])> + '_ {
        self.by_seq.iter().map(|(&seq, (at, subject))| (seq, *at, &**subject))
    }
}

impl Stream {
    /// Looks at the headers of schedules. Where the message is one, its subject is rolled up.
    pub(super) fn check_schedule<'a>(
        &self,
        marks: &mut Marks<'a>,
        store: &mut Store<'a>,
        now: i64,
    ) -> Result<(), Refusal> {
        let is_allowed = self.settings.features.schedules;
        let firing = firing(marks, now, now)
            .map_err(|refusal| if is_allowed { refusal } else { Refusal::SchedulesDisabled })?;
        if let Some(firing) = firing {
            if !is_allowed {
                return Err(Refusal::SchedulesDisabled);
            }
            self.check_schedule_headers(marks, &store.subject)?;
            match given(marks.rollup) {
                None => {
                    append(store.headers.to_mut(), "Nats-Rollup", "sub");
                    marks.rollup = Some(b"sub");
                }
                Some(rollup) if rollup.eq_ignore_ascii_case(b"sub") => {}
                Some(_) => return Err(Refusal::ScheduleRollupInvalid),
            }
            store.schedule = Some(firing.at);
        }
        let Some(next) = given(marks.schedule_next) else {
            return if given(marks.scheduler).is_some() { Err(Refusal::SchedulerInvalid) } else { Ok(()) };
        };
        let scheduler = given(marks.scheduler)
            .filter(|scheduler| *scheduler != &*store.subject && set::is_valid_literal(scheduler));
        let scheduler = scheduler.filter(|_| next == b"purge").ok_or(Refusal::SchedulerInvalid)?;
        if !is_allowed {
            return Err(Refusal::SchedulesDisabled);
        }
        if self.messages.subject_id(scheduler).is_some() && !self.schedules.by_subject.contains_key(scheduler)
        {
            return Err(Refusal::SchedulerInvalid);
        }
        store.made_by = Some(MadeBy { subject: Cow::Borrowed(scheduler), next: None });
        Ok(())
    }

    fn check_schedule_headers(&self, marks: &Marks<'_>, subject: &[u8]) -> Result<(), Refusal> {
        if marks::ttl(marks.schedule_ttl).is_none() {
            return Err(Refusal::ScheduleTtlInvalid);
        }
        if given(marks.schedule_rollup).is_some_and(|rollup| rollup != b"sub") {
            return Err(Refusal::ScheduleRollupInvalid);
        }
        if given(marks.schedule_ttl).is_some() && !self.settings.features.ttl {
            return Err(Refusal::TtlDisabled);
        }
        let is_ours = |subject: &[u8]| {
            self.settings.subjects.iter().any(|filter| set::matches(filter.as_bytes(), subject))
        };
        let target =
            given(marks.schedule_target).filter(|target| set::is_valid_literal(target) && *target != subject);
        let target = target.ok_or(Refusal::ScheduleTargetInvalid)?;
        let source = given(marks.schedule_source);
        if source
            .is_some_and(|source| source == target || source == subject || !set::is_valid_literal(source))
        {
            return Err(Refusal::ScheduleSourceInvalid);
        }
        if !is_ours(target) {
            return Err(Refusal::ScheduleTargetInvalid);
        }
        if source.is_some_and(|source| !is_ours(source)) {
            Err(Refusal::ScheduleSourceInvalid)
        } else {
            Ok(())
        }
    }

    /// The message of the next schedule that is due. To be asked again until there is none.
    pub fn admit_schedule(&self, room: &impl Room, now: i64) -> Option<Proposal<'static>> {
        let (at, seq, subject) = self.schedules.due(now)?;
        let Some(body) = self.whole_body(seq, room) else {
            return Some(Proposal::Reschedule { seq, at: Some(now.saturating_add(RETRY)) });
        };
        let (headers, payload) = body;
        let made = self.scheduled_message(at, subject, &headers, payload, room, now);
        Some(match made {
            Ok(Some(store)) => store,
            Ok(None) => Proposal::Reschedule { seq, at: None },
            Err(_) => Proposal::Reschedule { seq, at: Some(now.saturating_add(RETRY)) },
        })
    }

    /// The message that a schedule makes; `Ok(None)`: it is no schedule.
    fn scheduled_message(
        &self,
        at: i64,
        subject: &[u8],
        headers: &[u8],
        payload: Vec<u8>,
        room: &impl Room,
        now: i64,
    ) -> Result<Option<Proposal<'static>>, Refusal> {
        let marks = Marks::of(headers);
        let Some(target) = given(marks.schedule_target) else { return Ok(None) };
        let Ok(Some(firing)) = firing(&marks, at, now) else { return Ok(None) };
        let last_of = |source| self.messages.subject_id(source).map(|id| self.messages.subject(id).last);
        let source =
            given(marks.schedule_source).and_then(last_of).and_then(|seq| self.whole_body(seq, room));
        let (source_headers, payload) = source.unwrap_or_else(|| (headers.to_vec(), payload));
        let mut out = without_prefixes(
            &source_headers,
            &[b"Nats-Schedule", b"Nats-Expected-", b"Nats-Msg-Id:", b"Nats-TTL:", b"Nats-Rollup:"],
        );
        append(&mut out, "Nats-Scheduler", &String::from_utf8_lossy(subject));
        append(
            &mut out,
            "Nats-Schedule-Next",
            if firing.repeats { firing.text() } else { "purge".into() }.as_str(),
        );
        if let Some(ttl) = given(marks.schedule_ttl) {
            append(&mut out, "Nats-TTL", &String::from_utf8_lossy(ttl));
        }
        if let Some(rollup) = given(marks.schedule_rollup) {
            append(&mut out, "Nats-Rollup", &String::from_utf8_lossy(rollup));
        }
        let next = firing.repeats.then_some(firing.at);
        let mut store = Store {
            seq: self.messages.totals().last + 1,
            time: self.time(now),
            subject: Cow::Owned(target.to_vec()),
            headers: Cow::Owned(out),
            payload: Cow::Owned(payload),
            rollup: given(marks.schedule_rollup).map(|_| Rollup::Subject),
            made_by: Some(MadeBy { subject: Cow::Owned(subject.to_vec()), next }),
            ..Store::default()
        };
        self.set_ttl(marks::ttl(marks.schedule_ttl), &mut store)?;
        let store = store.measured();
        self.check_sizes(&store)?;
        if self.settings.retention == Retention::Interest && !room.is_wanted(&store.subject) {
            return Ok(Some(Proposal::Skip(store.bodiless())));
        }
        self.check_discard(&store)?;
        Ok(Some(Proposal::Store(store)))
    }

    /// Headers and payload of a message, read from the disk if need be.
    fn whole_body(&self, seq: u64, room: &impl Room) -> Option<(Vec<u8>, Vec<u8>)> {
        let (head, body) = self.get(seq)?;
        let mut cold = Vec::new();
        let body = match body {
            Body::Hot(body) => body,
            Body::Cold(place) => room.read(seq, (place, head.body_bytes), &mut cold).then_some(&cold[..])?,
        };
        let (headers, payload) = body.split_at_checked(usize::from(head.header_bytes))?;
        Some((headers.to_vec(), payload.to_vec()))
    }

    /// What a message means for schedules: it may be one, be made by one, or take the place of one.
    pub(super) fn note_schedule(&mut self, store: &Store<'_>, seq: u64) {
        match (&store.made_by, store.schedule) {
            (None, None) if self.schedules.is_empty() => {}
            (_, Some(at)) => self.schedules.set(&store.subject, seq, at),
            (None, None) => self.schedules.remove_subject(&store.subject),
            (Some(MadeBy { subject, next: Some(at) }), None) => self.schedules.update(subject, *at),
            (Some(_), None) => {}
        }
    }
}
