//! What must hold across keys.

use crate::error::{ConfigError, Location};
use crate::options::Options;
use crate::reader::Errors;
use crate::sharing;
use std::collections::BTreeSet;
use std::time::Duration;

/// Checks options as a whole. `place` says where a top-level key stands, for what has no place of its own.
pub(crate) fn check(options: &Options, place: &dyn Fn(&str) -> Location, errors: &mut Errors) {
    let mut say = |at: &Location, problem: String| errors.push(ConfigError::new(at, problem));
    let limits = &options.limits;
    if limits.payload_bytes_max > limits.pending_bytes_max {
        let (payload, pending) = (limits.payload_bytes_max, limits.pending_bytes_max);
        let problem = format!("max_payload ({payload}) cannot be higher than max_pending ({pending})");
        say(&place("max_payload"), problem);
    }
    let duck = &options.lame_duck;
    if duck.grace_period >= duck.duration {
        let (grace, duration) = (go_duration(duck.grace_period), go_duration(duck.duration));
        let problem = format!(
            "lame duck grace period ({grace}) should be strictly lower than lame duck duration ({duration})"
        );
        say(&place("lame_duck_grace_period"), problem);
    }
    if options.server_name.as_deref().is_some_and(|name| name.contains(' ')) {
        say(&place("server_name"), "server name cannot contain spaces".into());
    }
    if options.http.port.is_some() && options.http.tls_port.is_some() {
        say(&place("https_port"), "can't specify both HTTP and HTTPs ports".into());
    }
    if options.http.tls_port.is_some() && options.tls.is_none() {
        say(&place("https_port"), "TLS cert and key required for HTTPS".into());
    }
    check_users(options, place, &mut say);
    let system_account = options.system_account.as_deref().unwrap_or("$SYS");
    sharing::check(&options.accounts, system_account, &mut say);
}

fn check_users(options: &Options, place: &dyn Fn(&str) -> Location, say: &mut impl FnMut(&Location, String)) {
    let mut names = BTreeSet::new();
    let in_accounts = options.accounts.iter().flat_map(|account| &account.users);
    for user in options.authorization.users.iter().chain(in_accounts) {
        let name = user.nkey.as_deref().unwrap_or(&user.name);
        if !names.insert(name) {
            say(
                &user.at,
                format!("Duplicate {} {name:?} detected", if user.nkey.is_some() { "nkey" } else { "user" }),
            );
        }
    }
    if let Some(name) = &options.no_auth_user {
        if names.is_empty() {
            let problem = format!("no_auth_user: {name:?} present, but users/nkeys are not defined");
            say(&place("no_auth_user"), problem);
        } else if !names.contains(name.as_str()) {
            let problem = format!(
                "no_auth_user: {name:?} not present as user or nkey in authorization block or account configuration"
            );
            say(&place("no_auth_user"), problem);
        }
    }
    let mut accounts = BTreeSet::new();
    for account in &options.accounts {
        if !accounts.insert(account.name.as_str()) {
            say(&account.at, format!("Duplicate Account Entry: {}", account.name));
        }
    }
    if let Some(system) = &options.system_account
        && system != "$SYS"
        && !accounts.contains(system.as_str())
    {
        say(
            &place("system_account"),
            format!("system_account is {system:?}, which is no account of this configuration"),
        );
    }
}

/// A duration in the notation of Go, such as `2m0s`, to the millisecond.
pub(crate) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = format!("{}", (seconds % 60) as f64 + f64::from(duration.subsec_millis()) / 1000.0);
    match (hours, minutes) {
        (0, 0) if seconds == 0 && duration.subsec_millis() > 0 => format!("{}ms", duration.subsec_millis()),
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}
