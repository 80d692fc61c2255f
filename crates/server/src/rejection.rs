//! What is reported of a connection that others than the configuration did not let in, namely who signed its token or the
//! authorization service: by the log, in system events and by monitoring.
//!
//! The peer itself learns nothing of it: it gets the same error in every case.

use dialtone_identity::authenticator::Refusal;
use serde_json::{Map, Value};
use std::fmt;

/// Bytes of a reason that are kept: a service may send as many as fit in a message, and closed connections are remembered.
const REASON_BYTES_MAX: usize = 512;

/// Why a connection was not let in, and whose it is by the token that it presented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    reason: String,
    token: Option<Holder>,
}

/// The user that a token is of. Only where a service was asked has its account vouched for it; otherwise this is what the
/// connection claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) account_name: String,
}

impl Rejection {
    /// `token` is the user of the token that was presented, if one was.
    pub(crate) fn new(refusal: &Refusal, token: Option<Holder>) -> Self {
        Self { reason: cut(&refusal.text()), token }
    }

    /// For events and monitoring.
    pub(crate) fn value(&self) -> Value {
        let mut out = Map::new();
        let mut set = |key: &str, text: &str| {
            if !text.is_empty() {
                out.insert(key.into(), text.into());
            }
        };
        set("reason", &self.reason);
        if let Some(Holder { user, name, account, account_name }) = &self.token {
            set("user", user);
            set("user_name", name);
            set("account", account);
            set("account_name", if account_name == account { "" } else { account_name });
        }
        Value::Object(out)
    }
}

/// For the log, behind what the connection says of itself.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Holder { user, name, account, account_name }) = &self.token {
            write!(f, " (token of user {user} {name:?}, account {account} {account_name:?})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

pub(crate) fn cut(text: &str) -> String {
    if text.len() <= REASON_BYTES_MAX {
        return text.to_owned();
    }
    let fits =
        text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= REASON_BYTES_MAX);
    format!("{}...", text.get(..fits.last().unwrap_or(0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = cut(&"é".repeat(REASON_BYTES_MAX));
        assert_eq!(long, format!("{}...", "é".repeat(REASON_BYTES_MAX / 2)));
        let odd = cut(&format!("x{}", "é".repeat(REASON_BYTES_MAX)));
        assert_eq!(odd.len(), REASON_BYTES_MAX - 1 + 3);
    }
}
