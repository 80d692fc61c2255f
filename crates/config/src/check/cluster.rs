//! What must hold of the cluster together with the rest.

use crate::Secret;
use crate::error::Location;
use crate::options::{Options, advertised};
use std::collections::BTreeSet;

/// Checks it.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.cluster else { return };
    let mut say = |problem: &str| say(&own.at, problem.to_owned());
    if let Some(Err(problem)) =
        own.listener.advertise.as_deref().map(|text| advertised("cluster_advertise", text))
    {
        say(&problem);
    }
    // The official server ignores it, and every server may connect.
    if own.authorization.user.is_none() && own.authorization.password.is_some() {
        say("a password needs a user");
    }
    // It is checked where connections are read, and bcrypt takes long.
    let is_bcrypt = |password: &Secret| password.expose().starts_with("$2");
    if own.authorization.password.as_ref().is_some_and(is_bcrypt) {
        say(
            "a password by bcrypt is not part of this version for routes: write it in plain, in a file that only the server reads",
        );
    }
    if own.name.as_deref().is_some_and(|name| name.contains(' ')) {
        say("cluster name cannot contain spaces");
    }
    let mut names = BTreeSet::new();
    for name in &own.pool.accounts {
        if !names.insert(name) {
            say(&format!("found duplicate account name {name:?} in the accounts with routes of their own"));
        }
    }
    if own.pool.size.is_none() && !own.pool.accounts.is_empty() {
        say("pool_size cannot be negative if pinned accounts are specified");
    }
}
