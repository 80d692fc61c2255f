//! What must hold of the cluster together with the rest.

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
    if own.name.as_deref().is_some_and(|name| name.contains(' ')) {
        say("cluster name cannot contain spaces");
    }
    if let Some(tag) = own.zone_tag.as_deref().filter(|_| options.zone().is_none()) {
        say(&format!("zone_tag is {tag:?}, and no tag of server_tags begins with \"{tag}:\""));
    }
    if own.rebalance && options.access.no_system_account {
        say("rebalance needs a system account, in which servers report how many clients they have");
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
