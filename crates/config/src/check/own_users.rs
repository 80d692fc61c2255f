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
    let has_users = names(options).next().is_some();
    if let Some(name) = no_auth_user.filter(|_| !options.access.operator_mode.is_on()) {
        check_name(options, "no_auth_user", name, say);
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

/// The names and NKeys of all users.
fn names(options: &Options) -> impl Iterator<Item = &str> {
    let in_accounts = options.access.accounts.iter().flat_map(|account| &account.users);
    let users = options.access.authorization.users.iter().chain(in_accounts);
    users.map(|user| user.nkey.as_deref().unwrap_or(&user.name))
}

/// Checks that a user is there that is named by a key.
pub(super) fn check_name(options: &Options, key: &str, name: &str, say: &mut impl FnMut(&str)) {
    if names(options).next().is_none() {
        say(&format!("{key}: {name:?} present, but users/nkeys are not defined"));
    } else if !names(options).any(|known| known == name) {
        say(&format!(
            "{key}: {name:?} not present as user or nkey in authorization block or account configuration"
        ));
    }
}
