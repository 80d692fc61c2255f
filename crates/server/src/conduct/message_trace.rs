//! A message whose headers, or its account with them, may ask for a trace: what is to be done with it, from whatever kind of connection
//! it comes.

use super::Conduct;
use crate::system::{self, Ingress};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::permission;
use dialtone_broker::trace::{DESTINATION, DISABLED, Rewritten, Trace, TraceRequest};
use dialtone_subject::is_valid_literal;
use dialtone_wire::message::Message;
use std::sync::Arc;
use std::time::SystemTime;

/// What is to be done with a message.
pub(crate) enum Tracing {
    /// It is published as any other.
    Nothing,
    /// It is published with these headers and its payload, and neither this server traces it nor one behind it.
    Disabled(Rewritten),
    /// It is not published: it asks for nothing but a trace, and gets none.
    Dropped,
    /// The sender may not publish where the trace would go.
    Denied(Box<[u8]>),
    /// The turn notes what becomes of it; [`Conduct::end_trace`] reports that.
    Begun(Ingress),
}

impl Conduct {
    /// Begins the trace of a message that came in, if it has one.
    #[cold]
    pub(crate) fn begin_trace(
        &self,
        account: &Arc<Account>,
        message: &Message<'_>,
        turn: &mut Turn,
    ) -> Tracing {
        let peer = &self.session.peer;
        let request = TraceRequest::read(message.headers());
        let rule = account.trace_rule().filter(|_| request.destination.is_none() && request.sampled);
        let destination = match (request.destination, &rule) {
            (Some(DISABLED) | None, None) => return Tracing::Nothing,
            (Some(destination), _) => destination,
            // Where it was published it was drawn, and marked if it was not.
            (None, Some(rule)) if peer.kind().is_relay() || turn.draws(rule.percent) => {
                rule.destination.as_bytes()
            }
            (None, Some(_)) => return Tracing::Disabled(Rewritten::with(message, DESTINATION, DISABLED)),
        };
        if request.forged {
            return match request.only {
                true => Tracing::Dropped,
                false => Tracing::Disabled(Rewritten::with(message, DESTINATION, DISABLED)),
            };
        }
        // What is in all accounts passes on what was looked at elsewhere.
        let permissions = self.place.permissions.as_deref().filter(|_| !peer.kind().is_in_all_accounts());
        let Ok(authorized) = permission::trace(peer, permissions, destination) else {
            return Tracing::Denied(destination.into());
        };
        if !is_valid_literal(destination) {
            // Nothing can be published there.
            return if request.only { Tracing::Dropped } else { Tracing::Nothing };
        }
        let hop = if peer.kind().is_relay() { request.hop } else { b"" };
        turn.begin_trace(Trace::new(&authorized, request.only, account.id, SystemTime::now).came_by(hop));
        Tracing::Begun(Ingress {
            came: SystemTime::now(),
            session: self.session.clone(),
            account: account.clone(),
            subject: message.subject.into(),
            headers: message.headers().into(),
            size: message.body_bytes(),
        })
    }

    /// Ends the trace of a message, and publishes it.
    pub(crate) fn end_trace(&self, ingress: Ingress, turn: &mut Turn) {
        let Some(mut trace) = turn.end_trace() else { return };
        match trace.take_ending() {
            None => system::traced(&self.node, ingress, trace),
            // Streams have yet to say what they do with the message.
            Some(ending) => {
                let node = self.node.clone();
                ending.set(move || system::traced(&node, ingress, trace));
            }
        }
    }
}
