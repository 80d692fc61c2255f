//! What publishes from inside: the server and a turn, on whatever thread has them.

use super::Host;
use super::message::{Message, Outgoing};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::Publish as _;
use dialtone_wire::message;
use std::sync::Arc;
use std::time::Instant;

/// Publishes in accounts, and answers messages. What was published is written when the turn is finished.
pub struct Publisher<N> {
    /// The server.
    pub node: Arc<N>,
    pub(super) turn: Turn,
}

impl<N: Host> Publisher<N> {
    pub(super) fn new(node: Arc<N>) -> Self {
        let delivery = node.delivery();
        let turn = delivery.turn(rand::random(), Instant::now());
        Self { node, turn }
    }

    /// The server, and the turn that messages are published in.
    pub(crate) fn parts(&mut self) -> (&Arc<N>, &mut Turn) {
        (&self.node, &mut self.turn)
    }

    /// When this turn began.
    pub fn now(&self) -> Instant {
        self.turn.now()
    }

    /// Publishes in an account. How many got it.
    pub fn publish(&mut self, account: &Arc<Account>, message: &Outgoing) -> usize {
        message.emit(&mut self.turn, account)
    }

    /// Answers a message, if it wants an answer.
    pub fn reply(&mut self, message: &Message, payload: impl Into<Vec<u8>>) {
        self.reply_with_headers(message, &[], payload);
    }

    /// The same with a header block before the payload, which may be empty.
    pub fn reply_with_headers(&mut self, message: &Message, headers: &[u8], payload: impl Into<Vec<u8>>) {
        self.answer(&message.account, &message.reply, headers, payload);
    }

    /// Answers where an answer is expected, in an account; nothing where that is nowhere.
    pub fn answer(
        &mut self,
        account: &Arc<Account>,
        reply: &str,
        headers: &[u8],
        payload: impl Into<Vec<u8>>,
    ) {
        if reply.is_empty() {
            return;
        }
        // Documents are large: what is sent is the payload itself.
        let mut framed = payload.into();
        if !headers.is_empty() {
            framed.splice(..0, headers.iter().copied());
        }
        framed.extend_from_slice(b"\r\n");
        let (subject, framed) = (reply.as_bytes(), framed.as_slice());
        let answer = message::Message { subject, reply: None, header_bytes: headers.len(), framed };
        self.turn.emit(account, &answer);
    }

    /// Writes what was published so far, in the midst of something that publishes much.
    pub fn write(&mut self) {
        self.turn.finish();
    }

    /// Whether somebody still waits for the answer of a message. One without a reply subject is wanted for its effect.
    pub(super) fn is_awaited(&mut self, message: &Message) -> bool {
        message.reply.is_empty() || self.turn.is_awaited(&message.account, message.reply.as_bytes())
    }
}
