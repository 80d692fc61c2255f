//! The consumer: it takes what happens, decides what is delivered, and says what is to be done.

use super::ahead::Ahead;
use super::change::{Change, ConsumerId};
use super::event::{Advisory, Context, Event, Handled};
use super::keys::Keys;
use super::letters::Outbox;
use super::log::{Filters, Log};
use super::pace::Pace;
use super::pull::{Known, Pull};
use super::push::{Push, Waits};
use super::rare::Rare;
use super::reply::Prefixes;
use super::settings::{AckPolicy, Mode, Settings};
use super::state::{Position, Start, State};
use super::waiting::HeartbeatNumbers;
use std::sync::Arc;

/// Why the stream's advisory says that a message is not delivered again, when the stream deleted it.
const DELETED: &[u8] = b"Unacknowledged message was deleted";

/// Configurations that are known to be common to several consumers, at most: beyond, some have the same for themselves.
const SHARED_MAX: usize = 16;

/// One consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) id: ConsumerId,
    /// What many have in common: filters and the deliver subject are not in it.
    pub(super) settings: Arc<Settings>,
    pub(super) filters: Filters,
    pub(super) state: State,
    pub(super) prefixes: Prefixes,
    pub(super) demand: Demand,
    pub(super) pace: Option<Box<Pace>>,
    /// When it was used last, nanoseconds since 1970.
    pub(super) used_at: i64,
    /// It is paused until then. Behind it, `None` from the next poll on.
    pub(super) paused_until: Option<i64>,
    /// Delivery waits until then: by the rate limit, or by the replay's pace.
    pub(super) paced_until: Option<i64>,
    pub(super) ahead: Ahead,
    /// Which keys have a message in flight, if it goes by keys.
    pub(super) keys: Option<Box<Keys>>,
    pub(super) outbox: Rare<Outbox>,
}

/// Who wants messages.
#[derive(Clone, Debug)]
pub(super) enum Demand {
    Pull(Pull),
    Push(Push),
}

impl Consumer {
    /// What the subjects begin with that it makes from here on.
    pub fn set_prefixes(&mut self, prefixes: Prefixes) {
        self.prefixes = prefixes;
    }

    /// One that begins.
    pub fn new(
        id: ConsumerId,
        prefixes: Prefixes,
        settings: Settings,
        start: Start,
        log: &dyn Log,
        now: i64,
    ) -> Self {
        let state = State::new(start, &settings, log);
        Self::with_state(id, prefixes, settings, state, log, now)
    }

    /// One that goes on.
    pub(super) fn with_state(
        id: ConsumerId,
        prefixes: Prefixes,
        mut settings: Settings,
        state: State,
        log: &dyn Log,
        now: i64,
    ) -> Self {
        let (filters, to) = settings.take_own();
        let demand = match &settings.mode {
            Mode::Pull(_) => Demand::Pull(Pull::default()),
            Mode::Push(push) => Demand::Push(Push::new(to, push, now)),
        };
        let pace = Pace::new(&settings, log.bounds().last);
        let state_has_dead = state.letters.as_ref().is_some_and(|letters| !letters.dead.is_empty());
        let paused_until = settings.pause_until;
        let keys = settings.order_by.clone().map(|tokens| Box::new(Keys::new(tokens)));
        Self {
            id,
            settings: Arc::new(settings),
            filters,
            state,
            prefixes,
            demand,
            pace,
            used_at: now,
            paused_until,
            paced_until: None,
            ahead: Ahead::new(log),
            keys,
            outbox: Outbox::new(state_has_dead),
        }
    }

    /// The log was read to its end. When something was delivered or acknowledged last is not kept: so it is with official servers.
    pub(crate) fn recovered(&mut self) {
        (self.state.delivered_at, self.state.acked_at) = (None, None);
        self.outbox = Outbox::new(self.dead_letters() > 0);
    }

    /// Its id.
    pub fn id(&self) -> ConsumerId {
        self.id
    }

    /// Its configuration.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings { filters: self.filters.clone(), ..(*self.settings).clone() };
        if let (Mode::Push(settings), Demand::Push(push)) = (&mut settings.mode, &self.demand) {
            settings.deliver_subject = push.to.clone();
        }
        settings
    }

    /// Has its configuration in common with another one, if there is one that is the same, or with others to come.
    pub(crate) fn share(&mut self, known: &mut Vec<Arc<Settings>>) {
        if let Some(same) = known.iter().find(|known| **known == self.settings) {
            self.settings = same.clone();
            return;
        }
        if known.len() >= SHARED_MAX {
            known.remove(0);
        }
        known.push(self.settings.clone());
    }

    /// What is kept.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether it sends by itself.
    pub fn is_push(&self) -> bool {
        matches!(self.demand, Demand::Push(_))
    }

    /// Whether somebody listens on its deliver subject, as far as it knows.
    pub fn is_bound(&self) -> bool {
        matches!(&self.demand, Demand::Push(push) if push.is_active)
    }

    /// Which messages are for it.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    // --- What the log says.

    /// Carries out a change that the log has. What is no longer needed is added to `settled`.
    pub fn apply(&mut self, change: Change, at: i64, log: &dyn Log, settled: &mut Vec<u64>) {
        self.carry_out(change, at, log, settled);
        self.keys.iter_mut().for_each(|keys| keys.forget());
    }

    fn carry_out(&mut self, change: Change, at: i64, log: &dyn Log, settled: &mut Vec<u64>) {
        self.state.apply(change, at, &self.settings, settled);
        if let Change::Reset { .. } | Change::Skip { .. } = change {
            self.state.count(&self.filters, log);
            self.ahead = Ahead::new(log);
        }
    }

    /// Decides a change: carries it out, and puts it where it gets into the log.
    pub(super) fn decide(&mut self, ctx: &mut Context<'_>, change: Change) {
        ctx.changes.push(self.id, change);
        self.carry_out(change, ctx.changes.at(), ctx.log, &mut ctx.changes.settled);
        if let Some(keys) = &mut self.keys {
            keys.changed(change, ctx.log);
        }
    }

    /// The stream stored a message that matches. To be called once for each, in order.
    pub fn stored(&mut self, seq: u64) {
        self.state.stored(seq);
        self.ahead.stored(seq, &self.filters);
    }

    /// The stream took a message out that matches. Gives the advisory if it was waiting for its acknowledgement.
    pub fn removed(&mut self, seq: u64) -> Option<Advisory<'static>> {
        self.removed_at(seq, None)
    }

    /// The same at a time that the log has too, which then counts as that of the last acknowledgement.
    pub fn removed_at(&mut self, seq: u64, at: Option<i64>) -> Option<Advisory<'static>> {
        let was_parked = self.state.is_parked(seq);
        let entry = self.state.removed(seq);
        self.keys.iter_mut().for_each(|keys| keys.removed(seq, was_parked));
        let entry = entry?;
        self.state.acked_at = at.or(self.state.acked_at);
        let handled = Handled {
            consumer_seq: entry.consumer_seq,
            stream_seq: seq,
            deliveries: u64::from(entry.deliveries),
        };
        Some(Advisory::Terminated(handled, DELETED))
    }

    /// The stream was purged, `at` this time if it is known: looks again at all that this consumer has of it. Nothing before `from` is left
    /// for it; `None`: nobody looked.
    pub fn purged(&mut self, log: &dyn Log, from: Option<u64>, at: Option<i64>) {
        self.state.purged(&self.filters, log, (from, at));
        self.keys.iter_mut().for_each(|keys| keys.forget());
    }

    /// Whether a message that matches must stay, in a stream that keeps what its consumers need.
    pub fn needs(&self, seq: u64) -> bool {
        self.state.needs(seq, self.settings.ack)
    }

    // --- What clients and time do.

    /// A client asks for messages. `interest`: where the reply subject leads, if it leads to another account. Poll afterwards.
    pub fn request(&mut self, ctx: &mut Context<'_>, reply: &[u8], interest: Option<&[u8]>, payload: &[u8]) {
        self.used_at = ctx.now;
        let known = Known {
            pending: self.state.num_pending + self.state.pending.ready() as u64,
            numbers: self.heartbeat_numbers(),
        };
        match (&mut self.demand, &self.settings.mode) {
            (Demand::Pull(pull), Mode::Pull(settings)) => {
                pull.request(ctx, settings, known, (reply, interest), payload)
            }
            _ => ctx.status(reply, 409, format_args!("Consumer is push based")),
        }
    }

    /// Somebody listens on the deliver subject, or nobody does any more. Poll afterwards.
    pub fn set_interest(&mut self, ctx: &mut Context<'_>, is_active: bool) {
        if let (Demand::Push(push), Mode::Push(settings)) = (&mut self.demand, &self.settings.mode)
            && push.is_active != is_active
        {
            push.is_active = is_active;
            self.used_at = ctx.now;
            if is_active {
                push.restart_heartbeat(settings, ctx.now);
            }
        }
    }

    /// An answer to flow control came. `acked`: what its headers `Nats-Last-Consumer` and `Nats-Last-Stream` say. Poll afterwards.
    pub fn flow_control_answer(&mut self, ctx: &mut Context<'_>, subject: &[u8], acked: Option<Position>) {
        let Demand::Push(push) = &mut self.demand else { return };
        if !push.answered(subject) || self.settings.ack != AckPolicy::FlowControl {
            return;
        }
        if let Some(Position { consumer, stream }) = acked.filter(|acked| acked.stream > 0) {
            let stream = stream.min(self.state.delivered.stream);
            self.decide(ctx, Change::AckUpTo { seq: stream, consumer_seq: consumer });
        }
    }

    /// Does what time brings: deadlines of acknowledgements, ends of requests, heartbeats. Poll afterwards.
    pub fn expire(&mut self, ctx: &mut Context<'_>) {
        if self.state.pending.deadline().is_some_and(|due| due <= ctx.now) {
            let mut expired = Vec::new();
            self.state.pending.expire(ctx.now, &mut expired);
            for seq in expired {
                self.exhaust(ctx, seq);
            }
        }
        let numbers = self.heartbeat_numbers();
        match (&mut self.demand, &self.settings.mode) {
            (Demand::Pull(pull), Mode::Pull(_)) => {
                pull.expire(ctx);
                if pull.waiting.needs_processing(ctx.now, false) {
                    pull.waiting.process(ctx, false, numbers);
                    if pull.waiting.is_empty() {
                        // Who waited until now may ask again.
                        self.used_at = ctx.now;
                    }
                }
            }
            (Demand::Push(push), Mode::Push(settings)) => {
                let waits = Waits {
                    ack: self.settings.ack,
                    is_empty: self.state.pending.is_empty(),
                    prefixes: &self.prefixes,
                };
                push.expire(ctx, settings, numbers, waits);
            }
            _ => {}
        }
        self.expire_letters(ctx);
        self.check_use(ctx);
    }

    /// Takes a message that is to come again out if it had its last delivery.
    pub(super) fn exhaust(&mut self, ctx: &mut Context<'_>, seq: u64) {
        let Some(deliveries) = self.state.pending.get(seq).map(|entry| entry.deliveries) else { return };
        if self.settings.retry.is_exhausted(deliveries) {
            match self.has_dead_letters() {
                true => self.bury(ctx, seq, None),
                false => self.decide(ctx, Change::Exhaust { seq }),
            }
            ctx.advise(Advisory::MaxDeliveries { stream_seq: seq, deliveries: u64::from(deliveries) });
        }
    }

    /// Asks to be deleted when nobody used it for too long.
    fn check_use(&mut self, ctx: &mut Context<'_>) {
        if self.unused_at().is_none_or(|at| at > ctx.now) {
            return;
        }
        let numbers = self.heartbeat_numbers();
        if let Demand::Pull(pull) = &mut self.demand {
            pull.waiting.process(ctx, true, numbers);
            if !pull.waiting.is_empty() {
                self.used_at = ctx.now;
                return;
            }
            // Who got messages may be at work on them for as long as it takes until they come again.
            if let Some(due) = self.state.pending.last_deadline().filter(|due| *due > self.used_at) {
                self.used_at = due;
                if self.unused_at().is_some_and(|at| at > ctx.now) {
                    return;
                }
            }
        }
        // Once is enough; if it stays, it is asked for again later.
        self.used_at = ctx.now;
        ctx.host.event(Event::Inactive);
    }

    /// When it counts as not used, if nothing happens.
    fn unused_at(&self) -> Option<i64> {
        let threshold = self.settings.inactive_threshold?;
        let is_used = matches!(&self.demand, Demand::Push(push) if push.is_active);
        (!is_used).then(|| self.used_at.saturating_add(threshold))
    }

    /// When `expire` and `poll` are to be called, if nothing happens before. Changes with every call.
    pub fn deadline(&self) -> Option<i64> {
        let demand = match &self.demand {
            Demand::Pull(pull) => pull.deadline(),
            Demand::Push(push) => push.deadline(),
        };
        let (pending, unused) = (self.state.pending.deadline(), self.unused_at());
        let paused = self.paused_until.filter(|_| self.wants());
        [demand, pending, unused, paused, self.paced_until, self.outbox.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether somebody wants messages: else there is no need to poll.
    pub fn wants(&self) -> bool {
        match &self.demand {
            Demand::Pull(pull) => !pull.waiting.is_empty(),
            Demand::Push(push) => push.is_active,
        }
    }

    /// Where it is, for heartbeats.
    pub(super) fn heartbeat_numbers(&self) -> HeartbeatNumbers {
        let Position { consumer, stream } = self.state.delivered;
        HeartbeatNumbers {
            consumer_seq: consumer,
            stream_seq: stream.max(self.state.position().max(self.ahead.looked_to()) - 1),
        }
    }
}
