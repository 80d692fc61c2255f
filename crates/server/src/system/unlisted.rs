//! What the system account answers beyond the official server.

use dialtone_broker::subscription::Subscription;

/// Asked by PING and by id, as the official requests are. In no figure, since its own are compared with those of the
/// official server.
pub(crate) const UNLISTED: &str = "EXPLAIN";

/// Whether a subscription is for what the official server does not have.
pub(crate) fn is_unlisted(subscription: &Subscription) -> bool {
    let name = subscription.filter().rsplit(|&byte| byte == b'.').next();
    subscription.peer().kind.is_server() && name == Some(UNLISTED.as_bytes())
}
