//! What a consumer delivers: which message is next, to whom it goes, and what that changes.

use super::ahead::Looked;
use super::change::Change;
use super::event::{Advisory, Context, Delivery, Event, Handled};
use super::keys::PARKED_MAX;
use super::letters::WAITING_MAX;
use super::log::{Log, Stored};
use super::machine::{Consumer, Demand};
use super::pull::Load;
use super::push::Question;
use super::settings::{AckPolicy, Mode};

/// Why the advisory says that a message is not delivered again that cannot be read.
const DAMAGED: &[u8] = b"Message is damaged";

/// Messages that are parked before others have their turn.
const PARKED_AT_ONCE: usize = 1024;

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
    /// Delivers what can be delivered.
    pub fn poll(&mut self, ctx: &mut Context<'_>, budget: Budget) -> Polled {
        self.paced_until = None;
        if self.paused_until.is_some_and(|until| until > ctx.now) {
            return self.idle(ctx, true);
        }
        self.paused_until = None;
        match &mut self.demand {
            Demand::Pull(pull) => pull.next_round(),
            Demand::Push(push) if push.is_resting(ctx.now) => return Polled::Idle,
            Demand::Push(push) => push.wake(),
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
        while !self.state.pending.is_empty()
            && let Some(entry) = self.state.pending.next_ready()
        {
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
        match self.ahead.next(&self.filters, self.state.next, log) {
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
        self.prefixes.write_ack_subject(&mut ctx.changes.reply, numbers);
        let sent = self.bytes_sent(&message);
        let bytes = message.subject.len() + ctx.changes.reply.len() + sent;
        self.paced_until =
            self.pace.as_ref().and_then(|pace| pace.wait(bytes as u64, message.seq, message.time, ctx.now));
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
        let (to, pin) = match &self.demand {
            Demand::Pull(pull) => {
                let Some(front) = pull.waiting.front() else { return };
                (&*front.reply, pull.pin().map(|pin| &*pin.id))
            }
            Demand::Push(push) => (&*push.to, None),
        };
        debug_assert!(bytes >= message.subject.len());
        ctx.host.event(Event::Deliver(Delivery {
            to,
            reply: &ctx.changes.reply,
            message,
            deliveries,
            headers_only: self.settings.headers_only,
            pin,
        }));
    }

    /// Keeps account of a message that was sent.
    fn after_delivery(&mut self, ctx: &mut Context<'_>, message: Stored<'_>, bytes: u64) {
        self.pace.iter_mut().for_each(|pace| pace.sent(bytes, message.seq, message.time, ctx.now));
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
}
