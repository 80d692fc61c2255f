//! What comes of a login, and what JWTs are judged by on the way to it.

use crate::jwt::DecodedJwt;
use crate::permission::Permissions;
use std::sync::Arc;

/// What tokens are judged by that is known elsewhere.
pub trait JwtContext {
    /// The token of an account, believed, if it is at hand.
    fn account(&self, key: &str) -> Option<Arc<DecodedJwt>>;
    /// Now, in seconds since 1970.
    fn now(&self) -> i64;
    /// Seconds since midnight, now, in a time zone (`""`: the server's). `None`: there is no such zone.
    fn time_of_day(&self, zone: &str) -> Option<i64>;
    /// Whether there is an account of this name.
    fn has_account(&self, name: &str) -> bool;
}

/// Who the connection is.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The account; `None` for the default one.
    pub account: Option<Arc<str>>,
    /// The user as monitoring shows it: a name, an NKey, or `[REDACTED]` for a token.
    pub user: Arc<str>,
    /// Its rights; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// What its token says, if it came by one.
    pub claimed: Option<Arc<Claimed>>,
}

/// A user's token and what came of it: what a connection is as long as its account says so.
#[derive(Clone)]
pub struct Claimed {
    /// The token, verified.
    pub token: Arc<DecodedJwt>,
    /// As it was presented. A bearer token is a secret.
    pub jwt: Arc<str>,
    /// The account's public key.
    pub account: Arc<str>,
    /// The account's name, for people.
    pub account_name: String,
    /// The user's name, for people.
    pub name: String,
    /// Subscriptions; `None`: any number.
    pub subscriptions_max: Option<u64>,
    /// Bytes of a message; `None`: any number.
    pub payload_bytes_max: Option<u64>,
    /// What it may do; `None`: everything.
    pub permissions: Option<Arc<Permissions>>,
    /// Whether the token alone lets in.
    pub bearer: bool,
    /// The last second that it may stay, since 1970. `None`: for ever.
    pub until: Option<i64>,
    /// The last second that its account is one. `None`: for ever.
    pub account_until: Option<i64>,
}

impl std::fmt::Debug for Claimed {
    /// Without the token, which may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claimed")
            .field("account", &self.account)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
