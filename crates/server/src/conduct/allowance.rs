//! What a client may have: the limits of the server, of its account and of its user, of which the least counts.

use super::Conduct;
use dialtone_broker::rate::{Admission, RateLimits};
use dialtone_identity::operator::Claimed;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Bytes of headers and payload of a message.
    pub(crate) payload_bytes_max: usize,
    /// Subscriptions at a time.
    pub(crate) subscriptions_max: usize,
}

impl Conduct {
    /// The rate limits of its account and its user.
    pub(crate) fn rate_limits(&self, now: Instant) -> Vec<Arc<RateLimits>> {
        let rules = &self.policy.rates;
        let Some(account) = self.place.account.as_ref().filter(|_| !rules.are_empty()) else {
            return Vec::new();
        };
        let defaults_hold = self.node.accounts.system().is_none_or(|system| !Arc::ptr_eq(&system, account));
        // Users of tokens may be called like one of the configuration.
        let configured = if self.session.claimed().is_none() { &*self.user } else { "" };
        let rates = &self.node.connections.rates;
        let of_account = rules.of_account(&account.name, defaults_hold);
        let of_user = rules.of_user(&account.name, configured, defaults_hold);
        let of_account = rates.find(&account.name, None, of_account, now);
        let of_user = rates.find(&account.name, Some(&self.user), of_user, now);
        of_account.into_iter().chain(of_user).collect()
    }

    /// Counts what waits for rate limits, or is refused by them.
    pub(crate) fn count_admission(&self, admission: Admission) {
        let (session, account) = (&self.session, self.place.account.as_ref());
        let (own, of_account) = match admission {
            Admission::Pass => return,
            Admission::Wait(_) => (&session.delayed_msgs, account.map(|account| &account.delayed_msgs)),
            Admission::Refuse => (&session.refused_msgs, account.map(|account| &account.refused_msgs)),
        };
        std::iter::once(own).chain(of_account).for_each(|count| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// What its client may have as its account and user are now.
    pub(crate) fn allowance(&self) -> Allowance {
        let server = &self.policy.options.limits;
        let account = self.place.account.as_ref();
        let account = account.map(|a| self.node.accounts.limits(&a.name, &self.policy)).unwrap_or_default();
        let claimed = self.session.claimed();
        let of_user = |limit: fn(&Claimed) -> Option<u64>| claimed.as_deref().and_then(limit);
        let least = |max: usize, of: [Option<u64>; 2]| {
            of.into_iter().flatten().fold(max, |max, own| (max as u64).min(own) as usize)
        };
        let subscriptions_max =
            if server.subscriptions_max > 0 { server.subscriptions_max } else { usize::MAX };
        Allowance {
            payload_bytes_max: least(
                server.payload_bytes_max,
                [account.payload_bytes_max, of_user(|claimed| claimed.payload_bytes_max)],
            ),
            subscriptions_max: least(
                subscriptions_max,
                [account.subscriptions_max, of_user(|claimed| claimed.subscriptions_max)],
            ),
        }
    }
}
