//! A publish whose headers may ask for a trace.

use super::Client;
use crate::system::{self, Ingress};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission;
use dialtone_broker::trace::{DESTINATION, DISABLED, Trace, TraceRequest};
use dialtone_subject::is_valid_literal;
use dialtone_wire::header::{self, Denial};
use dialtone_wire::message::Message;
use std::sync::Arc;
use std::time::SystemTime;

impl Client {
    /// Publishes a message, and a trace of it if its headers, or its account with them, ask for one.
    #[cold]
    pub(super) fn publish_traced(&mut self, message: &Message<'_>, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.clone() else { return };
        let request = TraceRequest::read(message.headers());
        let rule = account.trace_rule().filter(|_| request.destination.is_none() && request.sampled);
        let destination = match (request.destination, &rule) {
            (Some(DISABLED) | None, None) => return self.publish_untraced(message, turn),
            (Some(destination), _) => destination,
            (None, Some(rule)) if turn.draws(rule.percent) => rule.destination.as_bytes(),
            (None, Some(_)) => return self.publish_untraced(message, turn),
        };
        if request.forged {
            // Only servers say whose trace it is.
            return if request.only { self.send_ok(turn) } else { self.publish_without_trace(message, turn) };
        }
        let permissions = self.conduct.place.permissions.as_deref();
        let Ok(authorized) = permission::trace(&self.conduct.session.peer, permissions, destination) else {
            self.publish_denied(destination, turn);
            let denied = Message { subject: destination, ..*message };
            return self.answer_denied(&denied, Denial::Permissions, turn);
        };
        if !is_valid_literal(destination) {
            // Nothing can be published there.
            return if request.only { self.send_ok(turn) } else { self.publish_untraced(message, turn) };
        }
        turn.begin_trace(Trace::new(&authorized, request.only, account.id, SystemTime::now));
        let ingress = self.ingress(account, message);
        self.publish_untraced(message, turn);
        if let Some(trace) = turn.end_trace() {
            system::traced(&self.conduct.node, ingress, trace);
        }
    }

    /// A message is too large to be taken: a trace reports that if its headers, which came with its control line, ask for it.
    #[cold]
    pub(super) fn trace_oversized(&self, input: &[u8]) {
        let Some((account, message)) = self.conduct.place.account.clone().zip(oversized(input)) else {
            return;
        };
        let request = TraceRequest::read(message.headers);
        let Some(destination) = request.destination.filter(|to| !request.forged && is_valid_literal(to))
        else {
            return;
        };
        let permissions = self.conduct.place.permissions.as_deref();
        let Ok(authorized) = permission::trace(&self.conduct.session.peer, permissions, destination) else {
            return;
        };
        let mut trace = Trace::new(&authorized, request.only, account.id, SystemTime::now);
        trace.error = Some("maximum payload exceeded".into());
        let ingress = Ingress {
            came: SystemTime::now(),
            session: self.conduct.session.clone(),
            account,
            subject: message.subject.into(),
            headers: message.headers.into(),
            size: message.size,
        };
        system::traced(&self.conduct.node, ingress, trace);
    }

    fn ingress(&self, account: Arc<Account>, message: &Message<'_>) -> Ingress {
        Ingress {
            came: SystemTime::now(),
            session: self.conduct.session.clone(),
            account,
            subject: message.subject.into(),
            headers: message.headers().into(),
            size: message.body_bytes(),
        }
    }

    /// Publishes a message whose headers say that it must not be traced.
    fn publish_without_trace(&mut self, message: &Message<'_>, turn: &mut Turn) {
        let mut framed = Vec::with_capacity(message.framed.len() + 48);
        header::replace(&mut framed, message.headers(), DESTINATION, DISABLED);
        let header_bytes = framed.len();
        framed.extend_from_slice(message.framed.get(message.headers().len()..).unwrap_or_default());
        self.publish_untraced(&Message { header_bytes, framed: &framed, ..*message }, turn);
    }
}

/// What is known of a message of which only the front is at hand.
struct Oversized<'a> {
    subject: &'a [u8],
    headers: &'a [u8],
    /// Bytes of headers and payload.
    size: usize,
}

/// Reads `HPUB subject [reply] headers total` and the headers behind it, if they are whole.
fn oversized(input: &[u8]) -> Option<Oversized<'_>> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    let line = input.get(..end)?.trim_ascii();
    let words: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<usize>().ok();
    let [verb, subject, .., headers, size] = words.as_slice() else { return None };
    if !verb.eq_ignore_ascii_case(b"HPUB") {
        return None;
    }
    let headers = input.get(end + 1..)?.get(..number(headers)?)?;
    Some(Oversized { subject, headers, size: number(size)? })
}
