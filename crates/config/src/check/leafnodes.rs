//! What must hold of leaf nodes together with the rest.

use crate::error::Location;
use crate::nkey;
use crate::options::{LeafNodes, Options, advertised};

/// Checks it.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.leafnodes else { return };
    if let Some(Err(problem)) = own.listener.advertise.as_deref().map(|text| advertised("advertise", text)) {
        say(&own.at, problem);
    }
    let by_signature = options.access.operator_mode.is_on();
    if own.listens() && options.gateway.is_some() && !by_signature && options.access.system_account.is_none()
    {
        let problem =
            "leaf nodes and gateways (both being defined) require a system account to also be configured";
        say(&own.at, problem.into());
    }
    if by_signature { accounts_by_key(own, say) } else { accounts_by_name(options, own, say) }
}

/// Accounts that are known by signature have keys for names, and users of their own.
fn accounts_by_key(own: &LeafNodes, say: &mut impl FnMut(&Location, String)) {
    let is_account =
        |name: &Option<String>| name.as_deref().is_some_and(|name| nkey::is_public(name, Some('A')));
    if !own.authorization.users.is_empty() {
        say(&own.at, "operator mode does not allow specifying users in leafnode config".into());
    }
    if own.authorization.account.is_some() && !is_account(&own.authorization.account) {
        say(&own.at, "operator mode and non account nkeys are incompatible".into());
    }
    for remote in own.remotes.iter().filter(|remote| !is_account(&remote.account)) {
        let problem = "operator mode requires account nkeys in remotes: an `account` is a public key, which begins \
                       with `A` and has 56 characters";
        say(&remote.at, problem.into());
    }
}

/// Accounts of the configuration.
fn accounts_by_name(options: &Options, own: &LeafNodes, say: &mut impl FnMut(&Location, String)) {
    let is_known = |name: &str| {
        ["$G", "$SYS"].contains(&name) || options.access.accounts.iter().any(|account| account.name == name)
    };
    let authorization = &own.authorization;
    let in_users = authorization.users.iter().map(|user| (&user.at, &user.account));
    let named = in_users.chain([(&own.at, &authorization.account)]).map(|named| (named, "authorization"));
    let in_remotes = own.remotes.iter().map(|remote| ((&remote.at, &remote.account), "remote"));
    for ((at, name), place) in named.chain(in_remotes) {
        if let Some(name) = name.as_deref().filter(|name| !is_known(name)) {
            say(at, format!("cannot find local account {name:?} specified in leafnode {place}"));
        }
    }
}
