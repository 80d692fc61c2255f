//! The consumer: it takes what happens, decides what is delivered, and says what is to be done.

use super::ahead::{Ahead, Looked};
use super::change::{Change, ConsumerId};
use super::event::{Advisory, Context, Delivery, Event, Handled};
use super::hold::Hold;
use super::keys::{Keys, PARKED_MAX};
use super::letters::{Outbox, WAITING_MAX};
use super::log::{Filters, Log, SEQ_MAX, Stored};
use super::pace::Pace;
use super::pending::Entry;
use super::pull::{Known, Load, Pull};
use super::push::{Push, Question, Waits};
use super::reply::{Prefixes, write_ack_subject};
use super::settings::{AckPolicy, Mode, Priority, Retry, Settings, StartAt};
use super::state::{Position, Start, State};
use super::waiting::HeartbeatNumbers;

/// Why the stream's advisory says that a message is not delivered again, when the stream deleted it.
const DELETED: &[u8] = b"Unacknowledged message was deleted";
/// The same of one that cannot be read.
const DAMAGED: &[u8] = b"Message is damaged";

/// Messages that are parked before others have their turn.
const PARKED_AT_ONCE: usize = 1024;

/// One consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub(super) id: ConsumerId,
    pub(super) settings: Settings,
    pub(super) state: State,
    prefixes: Prefixes,
    pub(super) demand: Demand,
    pace: Pace,
    /// When it was used last, nanoseconds since 1970.
    pub(super) used_at: i64,
    /// It is paused until then. Behind it, `None` from the next poll on.
    paused_until: Option<i64>,
    /// Delivery waits until then: by the rate limit, or by the replay's pace.
    pub(super) paced_until: Option<i64>,
    ahead: Ahead,
    /// Which keys have a message in flight, if it goes by keys.
    keys: Option<Keys>,
    /// The reply subject that was made last.
    reply: Vec<u8>,
    expired: Vec<u64>,
    pub(super) outbox: Outbox,
}

/// Who wants messages.
#[derive(Clone, Debug)]
pub(super) enum Demand {
    Pull(Pull),
    Push(Push),
}

/// How much one call may deliver.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Messages.
    pub messages: usize,
    /// Bytes of headers and payloads. The last message may go beyond.
    pub bytes: usize,
}

/// What is left after a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing can be delivered until something happens, or the deadline comes.
    Idle,
    /// There is more.
    More,
}

/// Why a consumer cannot begin anew at a sequence. The text stands in the API's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// Its configuration begins later.
    #[error("below start seq")]
    BelowStartSequence,
    /// Its configuration begins later.
    #[error("below start time")]
    BelowStartTime,
    /// Its deliver policy has no place to go back to.
    #[error("not allowed")]
    NotAllowed,
}

/// What can be asked about a consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The last delivery.
    pub delivered: Position,
    /// When it was, nanoseconds since 1970.
    pub delivered_at: Option<i64>,
    /// Up to where everything is acknowledged.
    pub ack_floor: Position,
    /// When something was acknowledged last.
    pub acked_at: Option<i64>,
    /// Messages that wait for acknowledgements.
    pub num_ack_pending: usize,
    /// Messages that were delivered more than once.
    pub num_redelivered: usize,
    /// Requests that wait.
    pub num_waiting: usize,
    /// Messages that were never delivered.
    pub num_pending: u64,
    /// It is paused for so many nanoseconds more.
    pub pause_remaining: Option<i64>,
    /// Somebody listens on its deliver subject.
    pub push_bound: bool,
    /// What holds it up, though it has messages.
    pub held_by: Option<Hold>,
    /// Its priority group.
    pub priority_group: Option<PriorityGroupInfo>,
}

impl Info {
    /// Whether it has messages to deliver and somebody who waits for them.
    pub fn could_deliver(&self) -> bool {
        self.num_pending > 0 && (self.num_waiting > 0 || self.push_bound)
    }
}

/// A priority group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityGroupInfo {
    /// Its name.
    pub group: Box<str>,
    /// The client that is served alone: its pin's id, and since when.
    pub pinned: Option<(Box<str>, i64)>,
}

/// A message that could be delivered.
enum Candidate<'a> {
    New(Stored<'a>),
    Again(Stored<'a>, Handled),
}

/// Why there is none.
enum Nothing {
    /// Everything was delivered.
    End,
    /// As many wait for acknowledgements as may.
    Full,
    /// The search takes long, and goes on later.
    Later,
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
        settings: Settings,
        state: State,
        log: &dyn Log,
        now: i64,
    ) -> Self {
        let demand = match &settings.mode {
            Mode::Pull(_) => Demand::Pull(Pull::default()),
            Mode::Push(push) => Demand::Push(Push::new(push, now)),
        };
        let pace = Pace::new(&settings, log.bounds().last);
        let (reply, expired) = (Vec::new(), Vec::new());
        let state_has_dead = state.letters.as_ref().is_some_and(|letters| !letters.dead.is_empty());
        let paused_until = settings.pause_until;
        let keys = settings.order_by.clone().map(Keys::new);
        Self {
            id,
            settings,
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
            reply,
            expired,
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
    pub fn settings(&self) -> &Settings {
        &self.settings
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
        &self.settings.filters
    }

    // --- What the log says.

    /// Carries out a change that the log has. What is no longer needed is added to `settled`.
    pub fn apply(&mut self, change: Change, at: i64, log: &dyn Log, settled: &mut Vec<u64>) {
        self.carry_out(change, at, log, settled);
        self.keys.iter_mut().for_each(Keys::forget);
    }

    fn carry_out(&mut self, change: Change, at: i64, log: &dyn Log, settled: &mut Vec<u64>) {
        self.state.apply(change, at, &self.settings, settled);
        if let Change::Reset { .. } | Change::Skip { .. } = change {
            self.state.count(&self.settings.filters, log);
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
        self.ahead.stored(seq, &self.settings.filters);
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
        self.state.purged(&self.settings.filters, log, (from, at));
        self.keys.iter_mut().for_each(Keys::forget);
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
            let mut expired = std::mem::take(&mut self.expired);
            self.state.pending.expire(ctx.now, &mut expired);
            for seq in &expired {
                self.exhaust(ctx, *seq);
            }
            self.expired = expired;
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

    // --- Delivery.

    /// Delivers what can be delivered.
    pub fn poll(&mut self, ctx: &mut Context<'_>, budget: Budget) -> Polled {
        self.paced_until = None;
        if self.paused_until.is_some_and(|until| until > ctx.now) {
            return self.idle(ctx, true);
        }
        self.paused_until = None;
        if let Demand::Pull(pull) = &mut self.demand {
            pull.next_round();
        }
        let mut left = budget;
        while self.wants() {
            if left.messages == 0 || left.bytes == 0 {
                return Polled::More;
            }
            if let (Demand::Push(push), Mode::Push(settings)) = (&self.demand, &self.settings.mode)
                && push.is_stalled(settings)
            {
                break;
            }
            let log = ctx.log;
            match self.candidate(ctx, log) {
                Ok(candidate) => match self.deliver(ctx, candidate) {
                    Some(bytes) => {
                        left.messages -= 1;
                        left.bytes = left.bytes.saturating_sub(bytes);
                    }
                    None => return self.idle(ctx, self.paced_until.is_none()),
                },
                Err(Nothing::End) => return self.idle(ctx, true),
                Err(Nothing::Full) => return self.idle(ctx, false),
                Err(Nothing::Later) => return Polled::More,
            }
        }
        Polled::Idle
    }

    /// Ends what need not wait.
    fn idle(&mut self, ctx: &mut Context<'_>, at_end: bool) -> Polled {
        let numbers = self.heartbeat_numbers();
        if let Demand::Pull(pull) = &mut self.demand
            && pull.waiting.needs_processing(ctx.now, at_end)
        {
            pull.waiting.process(ctx, at_end, numbers);
        }
        Polled::Idle
    }

    /// The next message: one that is to come again, or a new one.
    fn candidate<'a>(&mut self, ctx: &mut Context<'_>, log: &'a dyn Log) -> Result<Candidate<'a>, Nothing> {
        while let Some(entry) = self.state.pending.next_ready() {
            if self.settings.retry.is_exhausted(entry.deliveries) {
                self.exhaust(ctx, entry.seq);
                continue;
            }
            let Some(message) = log.message(entry.seq) else {
                // It went while it waited.
                self.decide(ctx, Change::Ack { seq: entry.seq });
                continue;
            };
            let handled = Handled {
                consumer_seq: self.state.delivered.consumer + 1,
                stream_seq: entry.seq,
                deliveries: u64::from(entry.deliveries) + 1,
            };
            return Ok(Candidate::Again(message, handled));
        }
        let is_full = self.settings.ack != AckPolicy::None
            && self.settings.ack_pending_max.is_some_and(|max| self.state.pending.len() >= max);
        if is_full || self.dead_letters() >= WAITING_MAX {
            return Err(Nothing::Full);
        }
        if self.keys.is_some() {
            return self.next_by_key(ctx, log);
        }
        self.next_new(log)
    }

    /// The next message of those whose key has none in flight. Others are parked on the way.
    fn next_by_key<'a>(&mut self, ctx: &mut Context<'_>, log: &'a dyn Log) -> Result<Candidate<'a>, Nothing> {
        for _ in 0..PARKED_AT_ONCE {
            let Some(keys) = &mut self.keys else { break };
            keys.refresh(&self.state, log);
            if let Some(message) = keys.first_free().and_then(|seq| log.message(seq)) {
                return Ok(Candidate::New(message));
            }
            if self.state.parked_len() >= PARKED_MAX {
                return Err(Nothing::Full);
            }
            let next = self.next_new(log)?;
            let Candidate::New(message) = next else { return Ok(next) };
            if !self.keys.as_ref().is_some_and(|keys| keys.is_busy(message.subject)) {
                return Ok(next);
            }
            self.decide(ctx, Change::Park { seq: message.seq });
        }
        Err(Nothing::Later)
    }

    /// The next message that was not looked at yet.
    fn next_new<'a>(&mut self, log: &'a dyn Log) -> Result<Candidate<'a>, Nothing> {
        if let Some(seq) = self.state.listed.front() {
            return log.message(*seq).map(Candidate::New).ok_or(Nothing::End);
        }
        match self.ahead.next(&self.settings.filters, self.state.next, log) {
            Looked::Message(message) => Ok(Candidate::New(message)),
            Looked::End => Err(Nothing::End),
            Looked::Later => Err(Nothing::Later),
        }
    }

    /// Delivers a message. Bytes that it took; `None` if it has to wait.
    fn deliver(&mut self, ctx: &mut Context<'_>, candidate: Candidate<'_>) -> Option<usize> {
        let (message, deliveries, is_new) = match candidate {
            Candidate::New(message) => (message, 1, true),
            Candidate::Again(message, handled) => {
                (message, u32::try_from(handled.deliveries).unwrap_or(u32::MAX), false)
            }
        };
        let left = self.state.num_pending.saturating_sub(u64::from(is_new));
        let numbers = [
            u64::from(deliveries),
            message.seq,
            self.state.delivered.consumer + 1,
            message.time.max(0).unsigned_abs(),
            left,
        ];
        write_ack_subject(&mut self.reply, &self.prefixes.ack, numbers);
        let sent = self.bytes_sent(&message);
        let bytes = message.subject.len() + self.reply.len() + sent;
        self.paced_until = self.pace.wait(bytes as u64, message.seq, message.time, ctx.now);
        if self.paced_until.is_some() {
            return None;
        }
        let load = Load { pending: left + 1, ack_pending: self.state.pending.len(), bytes };
        if let (Demand::Pull(pull), Mode::Pull(settings)) = (&mut self.demand, &self.settings.mode)
            && !pull.choose(ctx, settings, load)
        {
            return None;
        }
        self.send(ctx, message, deliveries, bytes);
        let seq = message.seq;
        self.decide(ctx, if is_new { Change::Deliver { seq } } else { Change::Redeliver { seq } });
        self.after_delivery(ctx, message, bytes as u64);
        Some(sent)
    }

    /// Bytes of headers and payload as they are sent.
    fn bytes_sent(&self, message: &Stored<'_>) -> usize {
        if !self.settings.headers_only {
            return message.header_bytes + message.payload_bytes;
        }
        // `Nats-Msg-Size: <n>` and the end of the line; without headers also the first line and the empty one.
        let digits = message.payload_bytes.checked_ilog10().unwrap_or(0) as usize + 1;
        let around = if message.header_bytes == 0 { 12 } else { message.header_bytes };
        around + 17 + digits
    }

    /// Sends a message to whom it is for.
    fn send(&mut self, ctx: &mut Context<'_>, message: Stored<'_>, deliveries: u32, bytes: usize) {
        let (to, pin) = match (&self.demand, &self.settings.mode) {
            (Demand::Pull(pull), _) => {
                let Some(front) = pull.waiting.front() else { return };
                (&*front.reply, pull.pin().map(|pin| &*pin.id))
            }
            (Demand::Push(_), Mode::Push(settings)) => (&*settings.deliver_subject, None),
            _ => return,
        };
        debug_assert!(bytes >= message.subject.len());
        ctx.host.event(Event::Deliver(Delivery {
            to,
            reply: &self.reply,
            message,
            deliveries,
            headers_only: self.settings.headers_only,
            pin,
        }));
    }

    /// Keeps account of a message that was sent.
    fn after_delivery(&mut self, ctx: &mut Context<'_>, message: Stored<'_>, bytes: u64) {
        self.pace.sent(bytes, message.seq, message.time, ctx.now);
        self.used_at = ctx.now;
        match (&mut self.demand, &self.settings.mode) {
            (Demand::Pull(pull), Mode::Pull(settings)) => {
                let taken = pull.delivered(ctx.now, settings);
                if let Some(over) = taken.over.filter(|over| over.bytes_left > 0) {
                    over.status(ctx, 409, "Batch Completed");
                }
            }
            (Demand::Push(push), Mode::Push(settings)) => {
                let is_full = self.settings.ack == AckPolicy::FlowControl
                    && self.settings.ack_pending_max.is_some_and(|max| self.state.pending.len() >= max);
                push.sent(ctx, settings, bytes, Question { is_full, prefixes: &self.prefixes });
            }
            _ => {}
        }
    }

    /// A delivery reached nobody: the message comes again at once, and the delivery does not count.
    pub fn undelivered(&mut self, ctx: &mut Context<'_>, seq: u64) {
        if self.state.pending.get(seq).is_some() {
            self.decide(ctx, Change::Undelivered { seq });
        }
    }

    /// A message that was delivered cannot be read from the disk: it is not delivered again, and an advisory says so.
    pub fn damaged(&mut self, ctx: &mut Context<'_>, seq: u64) {
        let Some(entry) = self.state.pending.get(seq).copied() else { return };
        let handled = Handled {
            consumer_seq: entry.consumer_seq,
            stream_seq: seq,
            deliveries: u64::from(entry.deliveries),
        };
        // Not as if it were acknowledged: the stream keeps what cannot be read.
        self.decide(ctx, Change::Exhaust { seq });
        ctx.advise(Advisory::Terminated(handled, DAMAGED));
    }

    /// Where it is, for heartbeats.
    fn heartbeat_numbers(&self) -> HeartbeatNumbers {
        let Position { consumer, stream } = self.state.delivered;
        HeartbeatNumbers {
            consumer_seq: consumer,
            stream_seq: stream.max(self.state.position().max(self.ahead.looked_to()) - 1),
        }
    }

    // --- What the API does.

    /// Takes another configuration over, whose change was allowed. Poll afterwards.
    pub fn update(&mut self, ctx: &mut Context<'_>, settings: Settings) {
        let old = std::mem::replace(&mut self.settings, settings);
        if old.filters != self.settings.filters {
            // What the old filters passed over is not for the new ones: so it is with official servers.
            let next = self.ahead.looked_to();
            if next > self.state.next_seq() {
                self.decide(ctx, Change::Skip { next });
            }
            self.state.refilter(&self.settings.filters, ctx.log);
            self.keys.iter_mut().for_each(Keys::forget);
            self.ahead = Ahead::new(ctx.log);
        }
        if self.settings.dead_letter.is_none() {
            self.drop_letters(ctx);
        }
        self.state.keep_letters(self.has_dead_letters());
        self.wait_anew(ctx, &old.retry);
        self.pace.update(&self.settings);
        self.paused_until = self.settings.pause_until;
        if old.inactive_threshold != self.settings.inactive_threshold {
            self.used_at = ctx.now;
        }
        if let (Demand::Push(push), Mode::Push(now), Mode::Push(before)) =
            (&mut self.demand, &self.settings.mode, &old.mode)
        {
            push.restart_heartbeat(now, ctx.now);
            if now.deliver_subject != before.deliver_subject {
                // Whoever listens there has none of what waits.
                push.is_active = ctx.host.has_interest(&now.deliver_subject);
                let waiting: Vec<u64> = self.state.pending.iter().map(|entry| entry.seq).collect();
                for seq in waiting {
                    self.decide(ctx, Change::Delay { seq, due: ctx.now });
                    self.exhaust(ctx, seq);
                }
            }
        }
    }

    /// What waits for acknowledgements does so as long as the new configuration says, unless a client said how long.
    fn wait_anew(&mut self, ctx: &mut Context<'_>, old: &Retry) {
        let new = &self.settings.retry;
        if old == new {
            return;
        }
        let waits = |retry: &Retry, entry: &Entry| entry.at.saturating_add(retry.wait(entry.deliveries));
        let waiting = self.state.pending.iter();
        let moved: Vec<(u64, i64)> = waiting
            .filter(|entry| entry.due > ctx.now && entry.due == waits(old, entry))
            .map(|entry| (entry.seq, waits(new, entry)))
            .collect();
        for (seq, due) in moved {
            self.decide(ctx, Change::Delay { seq, due });
        }
    }

    /// The same from the log.
    pub fn apply_update(&mut self, settings: Settings, log: &dyn Log) {
        let is_refiltered = self.settings.filters != settings.filters;
        self.settings = settings;
        if is_refiltered {
            self.state.refilter(&self.settings.filters, log);
            self.keys.iter_mut().for_each(Keys::forget);
            self.ahead = Ahead::new(log);
        }
        self.state.keep_letters(self.has_dead_letters());
        self.pace.update(&self.settings);
        self.paused_until = self.settings.pause_until;
    }

    /// Begins anew at a sequence, or behind what is acknowledged. Gives the sequence. Poll afterwards.
    ///
    /// # Errors
    ///
    /// The deliver policy does not allow that sequence.
    pub fn reset(&mut self, ctx: &mut Context<'_>, seq: Option<u64>) -> Result<u64, ResetError> {
        let next = match (seq, self.settings.start) {
            (None | Some(0), _) => self.state.floor.stream + 1,
            (Some(seq), StartAt::All) => seq,
            (Some(seq), StartAt::BySequence(first)) if seq >= first => seq,
            (Some(_), StartAt::BySequence(_)) => return Err(ResetError::BelowStartSequence),
            (Some(seq), StartAt::ByTime(at)) if seq >= ctx.log.at_time(at) => seq,
            (Some(_), StartAt::ByTime(_)) => return Err(ResetError::BelowStartTime),
            (Some(_), _) => return Err(ResetError::NotAllowed),
        };
        let next = next.min(SEQ_MAX);
        self.decide(ctx, Change::Reset { next });
        Ok(next)
    }

    /// Ends the pin of a priority group. False if the consumer has none. Poll afterwards.
    pub fn unpin(&mut self, ctx: &mut Context<'_>) -> bool {
        match &mut self.demand {
            Demand::Pull(pull) => pull.unpin(ctx, "admin"),
            Demand::Push(_) => false,
        }
    }

    /// The consumer was deleted: answers the requests that wait.
    pub fn deleted(&mut self, ctx: &mut Context<'_>) {
        if let Demand::Pull(pull) = &mut self.demand {
            for request in pull.waiting.drain() {
                ctx.status(&request.reply, 409, format_args!("Consumer Deleted"));
            }
        }
    }

    /// The server stops: answers the requests that wait.
    pub fn stopped(&mut self, ctx: &mut Context<'_>) {
        if let Demand::Pull(pull) = &mut self.demand {
            for request in pull.waiting.drain() {
                request.status(ctx, 409, "Server Shutdown");
            }
        }
    }

    /// Ends requests that are over or that nobody listens for, then says all that can be asked.
    pub fn info(&mut self, ctx: &mut Context<'_>) -> Info {
        let numbers = self.heartbeat_numbers();
        if let Demand::Pull(pull) = &mut self.demand {
            pull.waiting.process(ctx, false, numbers);
        }
        self.info_at(ctx.now)
    }

    /// The same, without ending requests.
    pub fn info_at(&self, now: i64) -> Info {
        let (num_waiting, push_bound, pinned) = match &self.demand {
            Demand::Pull(pull) => {
                (pull.waiting.len(), false, pull.pin().map(|pin| (pin.id.clone(), pin.since)))
            }
            Demand::Push(push) => (0, push.is_active, None),
        };
        let group = match &self.settings.mode {
            Mode::Pull(settings) if !matches!(settings.priority, Priority::None) => {
                settings.priority.groups().first()
            }
            _ => None,
        };
        // Without redeliveries, what had its only one is none.
        let num_redelivered = match self.settings.retry.deliver_max {
            Some(1) => 0,
            _ => self.state.pending.redelivered() + self.state.exhausted.len(),
        };
        Info {
            delivered: self.state.delivered,
            delivered_at: self.state.delivered_at,
            ack_floor: self.state.floor,
            acked_at: self.state.acked_at,
            num_ack_pending: self.state.pending.len(),
            num_redelivered,
            num_waiting,
            num_pending: self.state.num_pending,
            pause_remaining: self
                .settings
                .pause_until
                .and_then(|until| until.checked_sub(now))
                .filter(|left| *left > 0),
            push_bound,
            held_by: self.hold(now),
            priority_group: group.map(|group| PriorityGroupInfo { group: group.clone(), pinned }),
        }
    }
}
