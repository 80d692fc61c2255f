//! What the system account answers beyond the official server: in no figure, since its own are compared with those of the official server.

use dialtone_broker::subscription::Subscription;

/// Asked by PING and by id, as the official requests are.
pub(crate) const EXPLAIN: &str = "EXPLAIN";
/// A command, by id.
pub(crate) const LEAVE: &str = "LEAVE";

/// Asked by users, where subscriptions are acknowledged.
pub(crate) const SUBSCRIBED: &str = "SUBSCRIBED";

/// Whether a subscription is for what the official server does not have.
pub(crate) fn is_unlisted(subscription: &Subscription) -> bool {
    let name = subscription.filter().rsplit(|&byte| byte == b'.').next();
    let is_beyond = |name: &[u8]| [EXPLAIN, LEAVE, SUBSCRIBED].iter().any(|beyond| beyond.as_bytes() == name);
    subscription.peer().kind().is_server() && name.is_some_and(is_beyond)
}
