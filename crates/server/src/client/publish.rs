//! PUB and HPUB.

use super::{Client, origin};
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission::{self, Refused};
use dialtone_broker::rate::Admission;
use dialtone_broker::sharing::Mapped;
use dialtone_broker::trace;
use dialtone_subject::interest::warm::SUBJECTS_MAX;
use dialtone_subject::is_valid_literal;
use dialtone_wire::client::{Op, Parsed, parse};
use dialtone_wire::header::{self, Denial};
use dialtone_wire::message::Message;
use dialtone_wire::{ProtocolError, quoted};
use std::time::Instant;

/// What one turn received from a client; counted at its end, not per message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    msgs: u64,
    bytes: u64,
}

impl Batch {
    #[inline]
    pub(super) fn add(&mut self, message: &Message<'_>) {
        self.msgs += 1;
        self.bytes += message.body_bytes() as u64;
    }
}

impl Client {
    /// Takes a message in. False: it waits, and all behind it.
    ///
    /// All that is done for every message stands in the reading loop, up to [`Turn::publish`]: calls between cost a quarter.
    #[inline(always)]
    pub(super) fn take_message(&mut self, message: &Message<'_>, batch: &mut Batch, turn: &mut Turn) -> bool {
        if self.rated.is_some() {
            match self.admit(message, turn) {
                Admission::Pass => {}
                Admission::Wait(_) => return false,
                Admission::Refuse => {
                    self.refuse_excess(message, batch, turn);
                    return true;
                }
            }
        }
        if self.conduct.traced {
            self.trace(&Op::Publish(*message));
        }
        self.publish(message, batch, turn);
        true
    }

    #[inline(always)]
    fn publish(&mut self, message: &Message<'_>, batch: &mut Batch, turn: &mut Turn) {
        batch.add(message);
        if self.options.pedantic && !is_valid_literal(message.subject) {
            self.send_error(ProtocolError::InvalidPublishSubject.text(), turn);
        }
        if message.has_headers() && trace::may_ask(message.headers()) {
            return self.publish_traced(message, turn);
        }
        self.publish_in(message, turn);
    }

    /// Publishes a message whose trace is under way, or that has none.
    #[inline(never)]
    pub(super) fn publish_untraced(&mut self, message: &Message<'_>, turn: &mut Turn) {
        self.publish_in(message, turn);
    }

    #[inline(always)]
    fn publish_in(&mut self, message: &Message<'_>, turn: &mut Turn) {
        if self.conduct.place.account.as_ref().is_some_and(|account| account.maps()) {
            return self.publish_mapped(message, turn);
        }
        self.publish_as(message, turn);
    }

    /// The subject may go elsewhere; the rights are looked at after that, as in the official server.
    #[cold]
    fn publish_mapped(&mut self, message: &Message<'_>, turn: &mut Turn) {
        let Some((mapped, subject)) = self.drawn(message.subject, turn) else { return };
        if mapped != Mapped::Unchanged {
            turn.trace_mapping(&subject);
        }
        let subject = match mapped {
            Mapped::Unchanged => message.subject,
            Mapped::To => &subject,
            // Nobody has the empty subject.
            Mapped::Lost => b"",
        };
        self.publish_as(&Message { subject, ..*message }, turn);
    }

    #[inline(always)]
    fn publish_as(&mut self, message: &Message<'_>, turn: &mut Turn) {
        let permissions = self.conduct.place.permissions.as_deref();
        let authorized =
            match permission::publish(&self.conduct.session.peer, permissions, message, turn.now()) {
                Ok(authorized) => authorized,
                Err(why) => return self.publish_refused(message, why, turn),
            };
        self.send_ok(turn);
        let Some(origin) = origin(&self.conduct.session, &self.conduct.place, self.options.echo) else {
            return;
        };
        let delivered = turn.publish(origin, authorized);
        if delivered == 0
            && self.options.no_responders
            && let Some(reply) = message.reply
        {
            let mut headers = Vec::with_capacity(48 + message.subject.len());
            header::no_responders(&mut headers, message.subject);
            turn.send_status(origin, reply, &headers);
        }
    }

    /// Reads the next publishes and makes the turn ready for their subjects. How many bytes need no further look: all,
    /// if the account has so few subscriptions that it does not pay.
    #[cold]
    pub(super) fn look_ahead(&self, input: &[u8], turn: &Turn) -> usize {
        let Some(account) = &self.conduct.place.account else { return input.len() };
        if !account.interest().is_worth_warming() {
            return input.len();
        }
        let mut subjects: [&[u8]; SUBJECTS_MAX] = [b""; SUBJECTS_MAX];
        let (mut count, mut used) = (0, 0);
        for slot in &mut subjects {
            let rest = input.get(used..).unwrap_or_default();
            let Ok(Parsed::Op(Op::Publish(message), bytes)) = parse(rest, &self.limits) else { break };
            *slot = message.subject;
            count += 1;
            used += bytes;
        }
        turn.warm(account, subjects.get(..count).unwrap_or_default());
        used
    }

    /// Counts a turn's messages, for the connection, its account and the server.
    pub(super) fn count(&self, batch: Batch, now: Instant) {
        if batch.msgs == 0 {
            return;
        }
        self.conduct.session.peer.touch(now);
        self.conduct.session.peer.count_in(batch.msgs, batch.bytes);
        if let Some(account) = &self.conduct.place.account {
            account.counters.add_in(batch.msgs, batch.bytes);
        }
    }

    #[cold]
    fn publish_refused(&mut self, message: &Message<'_>, why: Refused, turn: &mut Turn) {
        match why {
            Refused::Subject => {
                self.publish_denied(message.subject, turn);
                self.answer_denied(message, Denial::Permissions, turn);
            }
            Refused::Reply => self.reply_denied(message.reply.unwrap_or_default(), turn),
        }
    }

    #[cold]
    pub(super) fn publish_denied(&mut self, subject: &[u8], turn: &mut Turn) {
        let subject = quoted(subject);
        self.log(Event::PermissionDenied, format_args!("Publish Violation - Subject {subject}"));
        self.refuse_message(&format!("Permissions Violation for Publish to {subject}"), turn);
    }

    /// Answers a request that went nowhere, if that is wanted: only the client itself can get this, by a subscription that
    /// it has for the reply subject.
    #[cold]
    pub(super) fn answer_denied(&self, message: &Message<'_>, why: Denial, turn: &mut Turn) {
        if self.answers_denied
            && self.limits.headers
            && let Some(reply) = message.reply
            && let Some(origin) = origin(&self.conduct.session, &self.conduct.place, self.options.echo)
        {
            let mut headers = Vec::with_capacity(256);
            header::denied(&mut headers, why, message.subject);
            turn.send_status(origin, reply, &headers);
        }
    }

    #[cold]
    fn reply_denied(&mut self, reply: &[u8], turn: &mut Turn) {
        let reply = quoted(reply);
        self.log(Event::PermissionDenied, format_args!("Publish Violation - Reply {reply}"));
        self.refuse_message(&format!("Permissions Violation for Publish with Reply of {reply}"), turn);
    }

    /// Sends why a message is not taken, and notes it if the message is traced.
    fn refuse_message(&mut self, text: &str, turn: &mut Turn) {
        if let Some(trace) = turn.trace_mut() {
            trace.error = Some(text.into());
        }
        self.send_error(text, turn);
    }
}
