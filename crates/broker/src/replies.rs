//! The answers that a peer may give though its rights do not name their subjects (`allow_responses`).

use crate::charged::{Charge, Charged};
use crate::id::{AccountId, ClientId};
use dialtone_identity::permission::ResponseLimits;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Requests that a peer can have open. Beyond it those whose time is over are forgotten, and then the oldest of whoever
/// has most open, so that a flood costs nobody else an answer.
const OPEN_REQUESTS_MAX: usize = 4096;

/// Whom a request is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Requester {
    /// Another account than the peer's.
    Account(AccountId),
    /// A connection of the peer's own account.
    Connection(ClientId),
}

#[derive(Debug)]
struct OpenRequest {
    left: Option<u64>,
    until: Option<Instant>,
    charge: Charge<Requester>,
    number: u64,
}

/// The reply subjects of the requests that a peer received.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    open: HashMap<Arc<[u8]>, OpenRequest, foldhash::fast::RandomState>,
    by_requester: Charged<Requester, Arc<[u8]>>,
    /// Those whose time is limited, by when it is over.
    by_time: BTreeMap<(Instant, u64), Arc<[u8]>>,
    next: u64,
}

impl Replies {
    /// Notes a request that wants its answer at `reply`.
    pub fn expect(&mut self, requester: Requester, reply: &[u8], limits: &ResponseLimits, now: Instant) {
        self.forget(reply);
        while self.open.len() >= OPEN_REQUESTS_MAX && self.forget_one(now) {}
        let reply: Arc<[u8]> = reply.into();
        let charge = self.by_requester.open(requester, reply.clone());
        let until = limits.ttl.and_then(|ttl| now.checked_add(ttl));
        self.next += 1;
        if let Some(until) = until {
            self.by_time.insert((until, self.next), reply.clone());
        }
        self.open.insert(reply, OpenRequest { left: limits.max_msgs, until, charge, number: self.next });
    }

    /// Uses up one answer to `subject`. False if it has no answer left.
    pub fn take(&mut self, subject: &[u8], now: Instant) -> bool {
        let Some(answer) = self.open.get_mut(subject) else { return false };
        let in_time = answer.until.is_none_or(|until| now < until);
        let may = in_time && answer.left != Some(0);
        if let Some(left) = answer.left.as_mut() {
            *left = left.saturating_sub(1);
        }
        if !may || answer.left == Some(0) {
            self.forget(subject);
        }
        may
    }

    /// Makes room for one. False: there is nothing to forget.
    fn forget_one(&mut self, now: Instant) -> bool {
        let late = self.by_time.first_key_value().filter(|((until, _), _)| *until <= now);
        let late = late.map(|(_, reply)| reply.clone());
        let most = || self.by_requester.with_most().and_then(|requester| self.by_requester.oldest(requester));
        let Some(reply) = late.or_else(most) else { return false };
        self.forget(&reply);
        true
    }

    fn forget(&mut self, reply: &[u8]) {
        let Some(answer) = self.open.remove(reply) else { return };
        self.by_requester.close(answer.charge);
        if let Some(until) = answer.until {
            self.by_time.remove(&(until, answer.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const FLOODER: Requester = Requester::Account(AccountId(7));
    const OTHER: Requester = Requester::Account(AccountId(8));
    const FOREVER: ResponseLimits = ResponseLimits { max_msgs: Some(1), ttl: None };

    /// A flood takes from itself alone, with answers that are awaited for ever too.
    #[test]
    fn a_flood_of_requests_costs_nobody_else_an_answer() {
        let now = Instant::now();
        for ttl in [None, Some(Duration::from_secs(60))] {
            let limits = ResponseLimits { ttl, ..FOREVER };
            let mut replies = Replies::default();
            replies.expect(OTHER, b"before", &limits, now);
            for n in 0..2 * OPEN_REQUESTS_MAX {
                replies.expect(FLOODER, format!("flood.{n}").as_bytes(), &limits, now);
            }
            replies.expect(OTHER, b"behind", &limits, now);
            assert!(replies.take(b"before", now) && replies.take(b"behind", now));
            assert!(!replies.take(b"before", now), "once");
            let last = format!("flood.{}", 2 * OPEN_REQUESTS_MAX - 1);
            assert!(replies.take(last.as_bytes(), now) && !replies.take(b"flood.0", now));
            assert_eq!(replies.open.len(), OPEN_REQUESTS_MAX - 3);
            assert_eq!(replies.by_time.len(), if ttl.is_some() { OPEN_REQUESTS_MAX - 3 } else { 0 });
        }
    }

    #[test]
    fn what_is_late_goes_first() {
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        let mut replies = Replies::default();
        replies.expect(OTHER, b"late", &ResponseLimits { ttl: Some(Duration::from_secs(1)), ..FOREVER }, now);
        for n in 0..OPEN_REQUESTS_MAX {
            replies.expect(FLOODER, format!("flood.{n}").as_bytes(), &FOREVER, later);
        }
        assert!(!replies.take(b"late", later) && replies.take(b"flood.0", later));
    }

    #[test]
    fn a_reply_that_is_used_again_is_open_once() {
        let now = Instant::now();
        let mut replies = Replies::default();
        for requester in [FLOODER, OTHER, OTHER] {
            replies.expect(requester, b"same", &FOREVER, now);
        }
        assert_eq!((replies.open.len(), replies.by_requester.count(OTHER)), (1, 1));
        assert_eq!(replies.by_requester.count(FLOODER), 0);
        assert!(replies.take(b"same", now) && !replies.take(b"same", now));
    }
}
