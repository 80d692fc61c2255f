//! What this server alone is asked in the system account: other servers are not told of interest in it. Some of that the official server
//! does not have; it is in no figure then, since those are compared with its own.

use dialtone_broker::account::Account;
use dialtone_broker::subscription::Subscription;

/// Why a message arrives or does not: asked by PING and by id, as the official requests are.
pub(crate) const EXPLAIN: &str = "EXPLAIN";
/// A command, by id.
pub(crate) const LEAVE: &str = "LEAVE";
/// Whether all servers of the cluster know of what the asker subscribed to; where subscriptions are acknowledged.
pub(crate) const SUBSCRIBED: &str = "$SYS.REQ.USER.*.SUBSCRIBED";

/// What requests to servers begin with, and what those end with that the official server does not have. Whoever is connected here asks them,
/// and where the first answer counts, it must be that of the server that is asked.
const REQUESTS: &[u8] = b"$SYS.REQ.";
const BEYOND: [&str; 2] = [EXPLAIN, LEAVE];

/// What only the server answers whose clients ask: another one knows nothing of them, and the first answer counts. The official server
/// tells others of none of those that it has.
const OF_CLIENTS: [&str; 3] = ["$SYS.REQ.USER.*.INFO", SUBSCRIBED, "$SYS.DEBUG.SUBSCRIBERS"];

/// Whether other servers, of this cluster and of others, are not told of interest in this filter.
pub(crate) fn stays_here(account: &Account, filter: &[u8]) -> bool {
    let is_of_clients = || OF_CLIENTS.iter().any(|own| own.as_bytes() == filter);
    is_asked_here(account, filter) || (account.is_system() && is_of_clients())
}

/// Whether nobody at all is told of it, leaf nodes neither.
pub(crate) fn is_asked_here(account: &Account, filter: &[u8]) -> bool {
    account.is_system() && filter.starts_with(REQUESTS) && BEYOND.iter().any(|name| ends_with(filter, name))
}

/// Whether a subscription is for what the official server does not have.
pub(crate) fn is_unlisted(subscription: &Subscription) -> bool {
    let names = BEYOND.into_iter().chain(SUBSCRIBED.rsplit('.').next());
    subscription.peer().kind().is_server()
        && names.into_iter().any(|name| ends_with(subscription.filter(), name))
}

/// Whether the last token of a filter is this one.
fn ends_with(filter: &[u8], token: &str) -> bool {
    filter.rsplit(|&byte| byte == b'.').next() == Some(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialtone_broker::account::AccountId;

    #[test]
    fn what_each_server_answers_alone_is_kept_from_others() {
        let (system, other) = (Account::new(AccountId(1), "SYS"), Account::new(AccountId(2), "A"));
        system.set_system();
        let local = |account: &Account| {
            let filters: [&[u8]; 6] = [
                b"$SYS.REQ.USER.*.INFO",
                b"$SYS.REQ.USER.*.SUBSCRIBED",
                b"$SYS.REQ.SERVER.PING.EXPLAIN",
                b"$SYS.REQ.SERVER.ID.LEAVE",
                b"$SYS.REQ.SERVER.PING.VARZ",
                b"a",
            ];
            filters.map(|filter| (stays_here(account, filter), is_asked_here(account, filter)))
        };
        let (clients, own) = ((true, false), (true, true));
        let none = (false, false);
        assert_eq!(local(&system), [clients, clients, own, own, none, none]);
        assert_eq!(local(&other), [none; 6]);
    }
}
