//! What must hold across keys.

use crate::error::{ConfigError, Location};
use crate::options::Options;
use crate::reader::Errors;
use std::collections::BTreeSet;

/// The largest message that any server takes.
const PAYLOAD_BYTES_LIMIT: usize = 64 * 1024 * 1024;

/// Checks options as a whole. `at` is the place for what has none of its own.
pub(crate) fn check(options: &Options, at: &Location, errors: &mut Errors) {
    let mut say = |at: &Location, problem: String| errors.push(ConfigError::new(at, problem));
    let limits = &options.limits;
    if limits.payload_bytes_max > limits.pending_bytes_max {
        let (payload, pending) = (limits.payload_bytes_max, limits.pending_bytes_max);
        say(at, format!("max_payload ({payload}) cannot be higher than max_pending ({pending})"));
    }
    if limits.payload_bytes_max > PAYLOAD_BYTES_LIMIT {
        say(at, format!("max_payload ({}) cannot be higher than 64MB", limits.payload_bytes_max));
    }
    let duck = &options.lame_duck;
    if duck.grace_period >= duck.duration {
        let (grace, duration) = (duck.grace_period, duck.duration);
        say(
            at,
            format!(
                "lame duck grace period ({grace:?}) should be strictly lower than lame duck duration ({duration:?})"
            ),
        );
    }
    if options.server_name.as_deref().is_some_and(|name| name.contains(char::is_whitespace)) {
        say(at, "server name cannot contain spaces".into());
    }
    if options.http.port.is_some() && options.http.tls_port.is_some() {
        say(at, "can not specify both HTTP and HTTPs ports".into());
    }
    if options.http.tls_port.is_some() && options.tls.is_none() {
        say(at, "TLS cert and key required for HTTPS".into());
    }
    check_users(options, at, &mut say);
}

fn check_users(options: &Options, at: &Location, say: &mut impl FnMut(&Location, String)) {
    let mut names = BTreeSet::new();
    let in_accounts = options.accounts.iter().flat_map(|account| &account.users);
    for user in options.authorization.users.iter().chain(in_accounts) {
        let name = user.nkey.as_deref().unwrap_or(&user.name);
        if !names.insert(name) {
            say(&user.at, format!("duplicate user {name:?} detected"));
        }
    }
    if let Some(name) = &options.no_auth_user {
        let authorization = &options.authorization;
        if authorization.token.is_some() {
            say(at, "no_auth_user not compatible with a token".into());
        } else if names.is_empty() {
            say(at, format!("no_auth_user: {name:?} is set, but there are no users"));
        } else if !names.contains(name.as_str()) {
            say(
                at,
                format!(
                    "no_auth_user: {name:?} not present as user or nkey in authorization block or account configuration"
                ),
            );
        }
    }
    let mut accounts = BTreeSet::new();
    for account in &options.accounts {
        if !accounts.insert(account.name.as_str()) {
            say(&account.at, format!("account {:?} is defined twice", account.name));
        }
    }
    if let Some(system) = &options.system_account
        && system != "$SYS"
        && !accounts.contains(system.as_str())
    {
        say(at, format!("system_account in config is set to {system:?}, which is not an account"));
    }
}
