//! Replies across clusters. The interest in a reply subject may not have come to another cluster yet when a request does, so the server
//! that sends the request there puts in front of the reply what leads back to itself; whoever answers is given the reply without it, and
//! its server puts it back. Here an account keeps both: what it was asked so by others, and which interest in it is that new.

use dialtone_subject::set;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long interest may take to come to all other clusters, and how long an answer that is led back by itself. The official figure.
pub const WAY_TIME: Duration = Duration::from_secs(2);
/// Requests of other clusters that an account remembers. Beyond it the oldest is forgotten: its answer goes by interest. The account's own.
const WAYS_MAX: usize = 64 * 1024;
/// New filters that an account remembers. With more, all are taken for new as long. The account's own.
const NEW_MAX: usize = 64;

/// What leads an answer back.
#[derive(Debug)]
pub struct WayBack {
    /// The reply subject with what leads back in front.
    pub subject: Box<[u8]>,
    /// Until when.
    pub until: Instant,
}

/// By their reply subjects, what requests of other clusters came with.
#[derive(Debug, Default)]
pub struct Ways {
    all: HashMap<Box<[u8]>, Arc<WayBack>, foldhash::fast::RandomState>,
    in_order: VecDeque<(Box<[u8]>, Arc<WayBack>)>,
}

impl Ways {
    /// A request came whose answers to `reply` are led back by `subject`, which ends with it.
    pub fn note(&mut self, reply: &[u8], subject: &[u8], now: Instant) {
        while let Some((_, oldest)) = self.in_order.front()
            && (oldest.until <= now || self.in_order.len() >= WAYS_MAX)
        {
            let Some((reply, oldest)) = self.in_order.pop_front() else { break };
            // There may be a later one.
            if self.all.get(&reply).is_some_and(|way| Arc::ptr_eq(way, &oldest)) {
                self.all.remove(&reply);
            }
        }
        let way = Arc::new(WayBack { subject: subject.into(), until: now + WAY_TIME });
        self.in_order.push_back((reply.into(), way.clone()));
        self.all.insert(reply.into(), way);
    }

    /// What leads answers to `reply` back.
    pub fn find(&self, reply: &[u8]) -> Option<&Arc<WayBack>> {
        self.all.get(reply)
    }
}

/// Interest that other clusters may not know of yet.
#[derive(Debug, Default)]
pub struct NewInterest {
    filters: VecDeque<(Box<[u8]>, Instant)>,
    /// There was more, so until then all counts as new.
    all_until: Option<Instant>,
}

impl NewInterest {
    /// Interest in `filter` begins.
    pub fn note(&mut self, filter: &[u8], now: Instant) {
        self.forget(now);
        if self.filters.len() >= NEW_MAX {
            self.all_until = Some(now + WAY_TIME);
            return;
        }
        self.filters.push_back((filter.into(), now + WAY_TIME));
    }

    /// Whether interest in a subject may be new.
    pub fn covers(&mut self, subject: &[u8], now: Instant) -> bool {
        self.forget(now);
        self.all_until.is_some() || self.filters.iter().any(|(filter, _)| set::overlap(filter, subject))
    }

    fn forget(&mut self, now: Instant) {
        while self.filters.front().is_some_and(|(_, until)| *until <= now) {
            self.filters.pop_front();
        }
        self.all_until = self.all_until.filter(|until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_known_for_a_while() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        ways.note(b"r", b"_GR_.c.s.r", now);
        ways.note(b"r", b"_GR_.c.t.r", now + WAY_TIME / 2);
        ways.note(b"q", b"_GR_.c.s.q", now + WAY_TIME);
        let subject = |ways: &Ways, reply: &[u8]| ways.find(reply).map(|way| way.subject.to_vec());
        assert_eq!(subject(&ways, b"r"), Some(b"_GR_.c.t.r".to_vec()), "the latest");
        ways.note(b"p", b"_GR_.c.s.p", now + WAY_TIME * 3 / 2);
        assert_eq!((subject(&ways, b"r"), ways.all.len(), ways.in_order.len()), (None, 2, 2));
    }

    #[test]
    fn an_account_remembers_only_so_many_ways() {
        let (mut ways, now) = (Ways::default(), Instant::now());
        for n in 0..=WAYS_MAX {
            ways.note(n.to_string().as_bytes(), b"s", now);
        }
        assert_eq!((ways.all.len(), ways.in_order.len()), (WAYS_MAX, WAYS_MAX));
        assert!(ways.find(b"0").is_none() && ways.find(b"1").is_some());
    }

    #[test]
    fn interest_is_new_for_a_while() {
        let (mut new, now) = (NewInterest::default(), Instant::now());
        new.note(b"_INBOX.a.*", now);
        assert!(new.covers(b"_INBOX.a.1", now) && !new.covers(b"_INBOX.b.1", now));
        assert!(!new.covers(b"_INBOX.a.1", now + WAY_TIME));
        for n in 0..=NEW_MAX {
            new.note(n.to_string().as_bytes(), now);
        }
        assert!(new.covers(b"anything", now) && !new.covers(b"anything", now + WAY_TIME));
        assert_eq!(new.filters.len(), 0);
    }
}
