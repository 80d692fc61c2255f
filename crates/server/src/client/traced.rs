//! A publish whose headers may ask for a trace.

use super::Client;
use crate::conduct::Tracing;
use crate::system::{self, Ingress};
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission;
use dialtone_broker::trace::{Trace, TraceRequest};
use dialtone_subject::is_valid_literal;
use dialtone_wire::header::Denial;
use dialtone_wire::message::Message;
use std::time::SystemTime;

impl Client {
    /// Publishes a message, and a trace of it if its headers, or its account with them, ask for one.
    #[cold]
    pub(super) fn publish_traced(&mut self, message: &Message<'_>, turn: &mut Turn) {
        let Some(account) = self.conduct.place.account.clone() else { return };
        match self.conduct.begin_trace(&account, message, turn) {
            Tracing::Nothing => self.publish_untraced(message, turn),
            Tracing::Disabled(body) => self.publish_untraced(&body.message(message), turn),
            Tracing::Dropped => self.send_ok(turn),
            Tracing::Denied(destination) => {
                self.publish_denied(&destination, turn);
                let denied = Message { subject: &destination, ..*message };
                self.answer_denied(&denied, Denial::Permissions, turn);
            }
            Tracing::Begun(ingress) => {
                self.publish_untraced(message, turn);
                self.conduct.end_trace(ingress, turn);
            }
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
