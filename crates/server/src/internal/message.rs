//! Messages as they are seen, and sent, inside the server.

use super::{Domain, Subscribed};
use crate::share::{Lane, Share};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::{Publish as _, Publisher, Received};
use dialtone_broker::sharing::requester::HEADER;
use dialtone_wire::{header, message};
use serde::Deserialize;
use std::borrow::Cow;
use std::sync::Arc;

/// A message that was delivered inside the server.
#[derive(Clone, Debug)]
pub struct Message {
    /// The account in which it was delivered.
    pub account: Arc<Account>,
    /// Who published it.
    pub publisher: Publisher,
    /// The subscription that it is for.
    pub(super) sid: Subscribed,
    /// Its subject.
    pub subject: Box<str>,
    /// Where an answer is expected; empty: nowhere.
    pub reply: Box<str>,
    /// The header block; empty without headers.
    pub headers: Box<[u8]>,
    /// The payload.
    pub payload: Box<[u8]>,
}

impl Message {
    /// `None` if it is not for one of our subscriptions. Bytes in subjects that are not UTF-8 are replaced.
    pub(super) fn of(account: &Arc<Account>, received: &Received<'_>) -> Option<Self> {
        let text = |bytes: &[u8]| Box::from(&*String::from_utf8_lossy(bytes));
        let message = &received.message;
        Some(Self {
            account: account.clone(),
            publisher: received.publisher,
            sid: Subscribed::read(received.subscription.sid())?,
            subject: text(message.subject),
            reply: text(message.reply.unwrap_or_default()),
            headers: message.headers().into(),
            payload: message.payload().into(),
        })
    }

    /// The value of a header, if it is there.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        header::value(&self.headers, name.as_bytes())
    }

    /// The token of the subject at this place, from 0.
    pub fn token(&self, at: usize) -> &str {
        self.subject.split('.').nth(at).unwrap_or_default()
    }

    /// Who looks at it, and how urgently; `None`: nobody does.
    pub(super) fn place(&self) -> Option<(Domain, Lane)> {
        self.sid.place()
    }

    /// Whose it is: of the account that asks, which stands in a header by the server where that is another one.
    pub(super) fn share(&self) -> Share {
        #[derive(Deserialize)]
        struct RequestInfo<'a> {
            #[serde(borrow)]
            acc: Cow<'a, str>,
        }
        let name = std::str::from_utf8(HEADER).unwrap_or_default();
        let info = self.header(name).and_then(|info| serde_json::from_slice::<RequestInfo<'_>>(info).ok());
        info.map_or_else(|| Share::account(&self.account), |info| Share::Account((*info.acc).into()))
    }

    /// Bytes that it takes while it waits, about.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.subject.len() + self.reply.len() + self.headers.len() + self.payload.len()
    }
}

/// A message from inside the server.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Where to: the server's own text, or a reply subject that came with a message.
    pub subject: String,
    /// Where an answer is expected; empty: nowhere.
    pub reply: String,
    /// The header block; empty without headers.
    pub headers: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Outgoing {
    /// A message with a payload alone.
    pub fn new(subject: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { subject: subject.into(), payload: payload.into(), ..Self::default() }
    }

    /// Publishes it in an account, in a turn. How many got it.
    pub fn emit(&self, turn: &mut Turn, account: &Arc<Account>) -> usize {
        let mut framed = Vec::new();
        turn.emit(account, &self.publish(&mut framed))
    }

    /// As the broker takes it; `framed` holds the body meanwhile.
    fn publish<'a>(&'a self, framed: &'a mut Vec<u8>) -> message::Message<'a> {
        *framed = [&self.headers, &self.payload, &b"\r\n"[..]].concat();
        message::Message {
            subject: self.subject.as_bytes(),
            reply: Some(self.reply.as_bytes()).filter(|reply| !reply.is_empty()),
            header_bytes: self.headers.len(),
            framed,
        }
    }
}
