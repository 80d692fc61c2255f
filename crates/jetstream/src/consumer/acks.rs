//! What clients say about messages that they got.

use super::change::Change;
use super::event::{Advisory, Context, Event, Handled};
use super::machine::Consumer;
use super::reply::{AckSubject, Verdict};
use super::settings::AckPolicy;

impl Consumer {
    /// A client says something about a message, on the subject that the message had as its reply subject. `reply`: where it wants to know that
    /// it was taken. Poll afterwards.
    ///
    /// What is said about a message that was not delivered yet is ignored, since the subject may be made up.
    pub fn acknowledge(
        &mut self,
        ctx: &mut Context<'_>,
        subject: &AckSubject<'_>,
        reply: Option<&[u8]>,
        interest: Option<&[u8]>,
        payload: &[u8],
    ) {
        self.used_at = ctx.now;
        let handled = Handled {
            consumer_seq: subject.consumer_seq,
            stream_seq: subject.seq,
            deliveries: subject.deliveries,
        };
        let answer = match Verdict::parse(payload) {
            Verdict::Ack => self.ack(ctx, handled, Sampled::Yes),
            Verdict::AckAndNext(request) => {
                self.ack(ctx, handled, Sampled::Yes);
                if let Some(reply) = reply {
                    self.request(ctx, reply, interest, request);
                }
                false
            }
            Verdict::Nak { delay } => {
                self.nak(ctx, handled, delay);
                true
            }
            Verdict::Progress => {
                if self.state.pending.get(subject.seq).is_some() {
                    self.decide(ctx, Change::Progress { seq: subject.seq });
                }
                true
            }
            Verdict::Term { reason } => {
                let waits = self.state.pending.get(subject.seq).is_some();
                let answer = if waits && self.has_dead_letters() {
                    self.bury(ctx, subject.seq, Some(reason));
                    true
                } else {
                    self.ack(ctx, handled, Sampled::No)
                };
                if waits {
                    ctx.advise(Advisory::Terminated(handled, reason));
                }
                answer
            }
            Verdict::Unknown => true,
        };
        if let Some(to) = reply.filter(|_| answer) {
            ctx.host.event(Event::Acknowledged { to });
        }
    }

    /// A message is done. Whether that is to be confirmed.
    fn ack(&mut self, ctx: &mut Context<'_>, handled: Handled, sampled: Sampled) -> bool {
        let seq = handled.stream_seq;
        if seq >= self.state.position() && seq > self.state.delivered.stream {
            return false;
        }
        match self.settings.ack {
            AckPolicy::None => false,
            AckPolicy::Explicit => {
                if let Some(entry) = self.state.pending.get(seq).copied() {
                    if sampled == Sampled::Yes && self.is_sampled(ctx) {
                        let delay = ctx.now.saturating_sub(entry.at);
                        ctx.advise(Advisory::Acknowledged(handled, delay));
                    }
                    self.decide(ctx, Change::Ack { seq });
                } else if self.state.exhausted.contains_key(&seq) {
                    self.decide(ctx, Change::Ack { seq });
                }
                true
            }
            AckPolicy::All | AckPolicy::FlowControl => {
                if seq > self.state.floor.stream {
                    self.decide(ctx, Change::AckUpTo { seq, consumer_seq: handled.consumer_seq });
                }
                true
            }
        }
    }

    /// A message is to come again.
    fn nak(&mut self, ctx: &mut Context<'_>, handled: Handled, delay: Option<i64>) {
        let seq = handled.stream_seq;
        let is_known = handled.consumer_seq > self.state.floor.consumer
            && handled.consumer_seq <= self.state.delivered.consumer
            && self.state.pending.get(seq).is_some();
        if !is_known {
            return;
        }
        ctx.advise(Advisory::Nak(handled));
        let due = ctx.now.saturating_add(delay.unwrap_or(0).max(0));
        self.decide(ctx, Change::Delay { seq, due });
        if due <= ctx.now {
            self.exhaust(ctx, seq);
        }
    }

    fn is_sampled(&self, ctx: &mut Context<'_>) -> bool {
        match self.settings.sample_percent {
            0 => false,
            100.. => true,
            percent => ctx.host.random() % 100 < u64::from(percent),
        }
    }
}

/// Whether an acknowledgement may be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sampled {
    Yes,
    No,
}
