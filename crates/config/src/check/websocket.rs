//! What must hold of the listener for WebSocket together with the rest.

use crate::error::Location;
use crate::options::{Options, advertised};

/// Checks it.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.websocket else { return };
    let mut say = |problem: &str| say(&own.at, problem.to_owned());
    if own.tls.is_none() && !own.no_tls {
        say("websocket requires TLS configuration");
    }
    if let Some(Err(problem)) = own.advertise.as_deref().map(|text| advertised("advertise", text)) {
        say(&problem);
    }
    let in_accounts = options.access.accounts.iter().flat_map(|account| &account.users);
    let mut names = options
        .access
        .authorization
        .users
        .iter()
        .chain(in_accounts)
        .map(|u| u.nkey.as_deref().unwrap_or(&u.name));
    let by_signature = options.access.operator_mode.is_on();
    let has_users = names.clone().next().is_some();
    if let Some(name) = own.no_auth_user.as_deref().filter(|_| !by_signature) {
        if !has_users {
            say(&format!("no_auth_user: {name:?} present, but users/nkeys are not defined"));
        } else if !names.any(|known| known == name) {
            say(&format!(
                "no_auth_user: {name:?} not present as user or nkey in authorization block or account configuration"
            ));
        }
    }
    if has_users && own.users.user.is_some() {
        say("websocket authentication username not compatible with presence of users/nkeys");
    }
    if has_users && own.users.token.is_some() {
        say("websocket authentication token not compatible with presence of users/nkeys");
    }
    if own.users.user.is_some() && own.users.token.is_some() {
        say("Cannot have a user/pass and token");
    }
    // The official server ignores it, and everybody may connect.
    if own.users.user.is_none() && own.users.password.is_some() {
        say("a password needs a user");
    }
    if !own.cookies.jwt.is_empty() && !by_signature {
        say(&format!(
            "trusted operators or trusted keys configuration is required for JWT authentication via cookie {:?}",
            own.cookies.jwt
        ));
    }
}
