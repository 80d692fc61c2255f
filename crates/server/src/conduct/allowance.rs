//! What a client may have: the limits of the server, of its account and of its user, of which the least counts.

use super::Conduct;
use dialtone_identity::operator::Claimed;

/// What a client may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Bytes of headers and payload of a message.
    pub(crate) payload_bytes_max: usize,
    /// Subscriptions at a time.
    pub(crate) subscriptions_max: usize,
}

impl Conduct {
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
