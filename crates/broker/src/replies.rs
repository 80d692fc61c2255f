//! The answers that a peer may give though its rights do not name their subjects (`allow_responses`).

use dialtone_identity::permission::ResponseLimits;
use hashbrown::HashMap;
use std::time::Instant;

/// Requests that a peer can have open; beyond it the expired are dropped, and if none are, the new one is not noted.
const OPEN_REQUESTS_MAX: usize = 4096;

#[derive(Debug)]
struct Answer {
    left: Option<u64>,
    until: Option<Instant>,
}

/// The reply subjects that a peer was given by requests it received.
#[derive(Debug, Default)]
pub struct Replies {
    open: HashMap<Box<[u8]>, Answer, foldhash::fast::RandomState>,
}

impl Replies {
    /// Notes a request that wants its answer at `reply`.
    pub fn expect(&mut self, reply: &[u8], limits: &ResponseLimits, now: Instant) {
        if self.open.len() >= OPEN_REQUESTS_MAX {
            self.open.retain(|_, answer| answer.until.is_none_or(|until| now < until));
            if self.open.len() >= OPEN_REQUESTS_MAX {
                return;
            }
        }
        let answer = Answer { left: limits.max_msgs, until: limits.ttl.and_then(|ttl| now.checked_add(ttl)) };
        self.open.insert(reply.into(), answer);
    }

    /// Uses up one answer to `subject`. False if there is none to give.
    pub fn take(&mut self, subject: &[u8], now: Instant) -> bool {
        let Some(answer) = self.open.get_mut(subject) else { return false };
        let in_time = answer.until.is_none_or(|until| now < until);
        let may = in_time && answer.left != Some(0);
        if let Some(left) = answer.left.as_mut() {
            *left = left.saturating_sub(1);
        }
        if !may || answer.left == Some(0) {
            self.open.remove(subject);
        }
        may
    }
}
