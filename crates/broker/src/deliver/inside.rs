//! Delivering to receivers inside the server, and publishing from there.

use super::staging::Delivered;
use super::{Delivery, Origin, Turn, trace_delivery};
use crate::account::Account;
use crate::id::ClientId;
use crate::inlet::{Batch, Inlet, Publish, Publisher};
use crate::kind::Entry;
use crate::peer::{Basics, Peer};
use crate::permission;
use crate::route::Target;
use crate::subscription::Counted;
use crate::trace::{Problem, Rewritten, TracedIntake};
use dialtone_subject::{is_valid_filter, is_valid_literal};
use dialtone_wire::message::Message;
use std::sync::Arc;
use std::time::Instant;

/// How often in a turn receivers take what was staged for them. What others inside published to them in the last round waits for the
/// next turn, which comes at once, so that receivers that answer each other for ever hold up nobody else. It is not dropped; but it may
/// then come behind what a connection published because of it, as that connection was written to before.
const ROUNDS_MAX: usize = 4;

/// What a turn keeps for those inside.
pub(super) struct Inside {
    /// Who publishes for the server.
    server: Arc<Peer>,
    is_running: bool,
    /// Of receivers that post to other threads: they take it last. Empty between turns.
    posts: Vec<Delivered>,
    /// What is being published is a message of a stream: so many bytes of its reply are the acknowledgement's, and its own subject stands
    /// behind them.
    stored: Option<usize>,
    /// Such a reply; kept for the next one.
    stored_reply: Vec<u8>,
}

/// The inlet of the peer that publishes for the server. It has no subscription, so nothing comes.
struct Deaf;

impl Inlet for Deaf {
    fn take(&self, _: &Batch, _: &mut dyn Publish) {}

    fn account(&self) -> Option<Arc<Account>> {
        None
    }
}

impl Inside {
    pub fn new(now: Instant) -> Self {
        let basics = Basics {
            id: ClientId::OF_SERVER,
            kind: Entry::OF_SERVER.from,
            slot: 0,
            pending_bytes_max: usize::MAX,
            start: now,
        };
        let server = Peer::inside(basics, Arc::default(), Arc::new(Deaf));
        server.set_understands_headers(true);
        Self { server, is_running: false, posts: Vec::new(), stored: None, stored_reply: Vec::new() }
    }

    /// Whether receivers are being called.
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// The subject of the acknowledgement, and the one that the message was stored under, where what is being published is a message of a
    /// stream.
    pub fn stored_parts<'a>(&self, message: &Message<'a>) -> Option<(&'a [u8], &'a [u8])> {
        let (acknowledgement, rest) = message.reply?.split_at_checked(self.stored?)?;
        Some((acknowledgement, rest.get(1..)?))
    }
}

impl Turn {
    /// Stages a message for a receiver inside the server. False if its subscription got its maximum of messages before.
    #[cold]
    #[inline(never)]
    pub(super) fn stage_inside(&mut self, target: &Target, delivery: &Delivery<'_>) -> bool {
        let counted = target.subscription.count();
        match counted {
            Counted::Deliver => {}
            Counted::DeliverLast => {
                self.unsubscribe(&target.subscription);
            }
            Counted::Over => return false,
        }
        if let Some(tracer) = &self.tracer {
            trace_delivery(tracer, target, delivery.message);
        }
        let Origin { peer, .. } = delivery.origin;
        let publisher = Publisher { id: peer.id, kind: peer.kind() };
        let batch = self.staging.batch(target.subscription.peer());
        let staged = batch.push(&target.subscription, publisher, target.head.subject(), delivery.message);
        self.staging.note(staged);
        true
    }

    /// Stages a message that is traced for a stream, which says what becomes of it.
    #[cold]
    pub(super) fn stage_traced(
        &mut self,
        target: &Target,
        delivery: &Delivery<'_>,
        traced: TracedIntake,
    ) -> Result<(), Problem> {
        let body = Rewritten::untraced(delivery.message);
        let message = body.message(delivery.message);
        if !self.stage_inside(target, &Delivery::copied(&message, delivery.origin)) {
            return Err(Problem::Exceeded);
        }
        self.staging.batch(target.subscription.peer()).trace_last(traced);
        Ok(())
    }

    /// Has receivers inside take what was staged for them, and what they publish to each other, in rounds. Returns whether
    /// something is left for the next turn.
    #[cold]
    pub(super) fn run_inlets(&mut self) -> bool {
        // What they publish is no part of what is being published.
        let (trace, hops_left) = (self.trace.take(), self.hops_left);
        self.inside.is_running = true;
        let mut posts = std::mem::take(&mut self.inside.posts);
        for _ in 0..ROUNDS_MAX {
            if !self.staging.has_batches() {
                break;
            }
            let mut all = self.staging.take_batches();
            for delivered in all.drain(..) {
                if delivered.peer.inlet().is_some_and(|inlet| inlet.posts()) {
                    posts.push(delivered);
                } else {
                    self.hand_over(delivered);
                }
            }
            self.staging.give_back(all);
        }
        if !posts.is_empty() {
            self.staging.enqueue(self.now);
            for delivered in posts.drain(..) {
                self.hand_over(delivered);
            }
        }
        self.inside.posts = posts;
        self.inside.is_running = false;
        (self.trace, self.hops_left) = (trace, hops_left);
        self.staging.has_batches()
    }

    /// Publishes as a receiver inside does: others are not called before `act` is over, so that it may hold what they would take.
    pub fn within<T>(&mut self, act: impl FnOnce(&mut dyn Publish) -> T) -> T {
        let before = std::mem::replace(&mut self.inside.is_running, true);
        let out = act(self);
        self.inside.is_running = before;
        out
    }

    /// A receiver takes its batch, unless it was closed.
    fn hand_over(&mut self, Delivered { peer, batch }: Delivered) {
        peer.count_out(batch.len() as u64, batch.body_bytes(), self.now);
        if let Some(inlet) = peer.inlet().filter(|_| !peer.is_closing()) {
            inlet.take(&batch, self);
        }
        self.staging.recycle(batch);
    }
}

impl Publish for Turn {
    fn emit(&mut self, account: &Arc<Account>, message: &Message<'_>) -> usize {
        // Requests to the API have filters at their end, so what looks like a wildcard is a token like any other, as clients may publish it.
        if !is_valid_filter(message.subject) {
            return 0;
        }
        let server = self.inside.server.clone();
        self.publish(Origin { peer: &server, account, echo: true }, permission::by_server(message))
    }

    fn emit_stored(&mut self, account: &Arc<Account>, to: &[u8], message: &Message<'_>) -> usize {
        let Some(acknowledgement) = message.reply.filter(|_| is_valid_literal(to)) else { return 0 };
        let mut reply = std::mem::take(&mut self.inside.stored_reply);
        reply.clear();
        reply.extend_from_slice(acknowledgement);
        reply.push(b'@');
        reply.extend_from_slice(message.subject);
        let server = self.inside.server.clone();
        let sent = Message { subject: to, reply: Some(&reply), ..*message };
        self.inside.stored = Some(acknowledgement.len());
        let delivered = self.publish_answer(&Origin { peer: &server, account, echo: true }, &sent);
        self.inside.stored = None;
        self.inside.stored_reply = reply;
        delivered
    }

    fn is_awaited(&mut self, account: &Arc<Account>, subject: &[u8]) -> bool {
        Self::is_awaited(self, account, subject)
    }

    fn hand_on(&mut self) {
        self.staging.enqueue(self.now);
    }

    fn unread(&mut self, account: &Arc<Account>, subject: &[u8]) -> usize {
        let route = self.routes.route(account, subject, Entry::OF_SERVER);
        if !route.relays.is_empty() {
            return 0;
        }
        let targets = route.plain.iter().chain(route.queues.iter().flatten());
        targets.map(|target| target.subscription.peer().unread()).min().unwrap_or(0)
    }

    fn now(&self) -> Instant {
        Self::now(self)
    }
}
