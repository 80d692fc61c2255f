//! Users that a listener has of its own, together with those of the other listener.

use crate::options::Options;
use crate::options::websocket::OwnUsers;

/// Checks those of the listener that is called so.
pub(super) fn check(
    options: &Options,
    listener: &str,
    users: &OwnUsers,
    no_auth_user: Option<&str>,
    say: &mut impl FnMut(&str),
) {
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
    if let Some(name) = no_auth_user.filter(|_| !by_signature) {
        if !has_users {
            say(&format!("no_auth_user: {name:?} present, but users/nkeys are not defined"));
        } else if !names.any(|known| known == name) {
            say(&format!(
                "no_auth_user: {name:?} not present as user or nkey in authorization block or account configuration"
            ));
        }
    }
    for (what, is_there) in [("username", users.user.is_some()), ("token", users.token.is_some())] {
        if has_users && is_there {
            say(&format!("{listener} authentication {what} not compatible with presence of users/nkeys"));
        }
    }
    if users.user.is_some() && users.token.is_some() {
        say("Cannot have a user/pass and token");
    }
    // The official server ignores it, and everybody may connect.
    if users.user.is_none() && users.password.is_some() {
        say("a password needs a user");
    }
}
