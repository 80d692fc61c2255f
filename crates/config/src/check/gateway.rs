//! What must hold of the gateway together with the rest.

use crate::error::Location;
use crate::options::{Options, advertised};

/// Checks it.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.gateway else { return };
    let mut say = |problem: String| say(&own.at, problem);
    match (&own.name, own.listener.address.port) {
        (None, _) => say("gateway has no name".into()),
        (Some(name), Some(0)) => {
            say(format!("gateway {name:?} has no port specified (select -1 for random port)"));
        }
        (Some(_), _) => {}
    }
    let cluster = options.cluster.as_ref().and_then(|cluster| cluster.name.as_ref());
    if cluster.is_some_and(|cluster| own.name.as_ref().is_some_and(|name| name != cluster)) {
        say("cluster name conflicts between cluster and gateway definitions".into());
    }
    if let Some(Err(problem)) = own.listener.advertise.as_deref().map(|text| advertised("advertise", text)) {
        say(problem);
    }
    // The official server ignores it, and every cluster may connect.
    if own.authorization.user.is_none() && own.authorization.password.is_some() {
        say("a password needs a user".into());
    }
}
