//! What must hold of the listener for MQTT together with the rest.

use super::own_users;
use crate::error::Location;
use crate::options::Options;

/// Checks it. The words are official.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.mqtt else { return };
    let mut say = |problem: &str| say(&own.at, problem.to_owned());
    let has_cluster = options.cluster.as_ref().is_some_and(|own| own.is_on());
    // Sessions say by the name of which server they are.
    if options.server.name.is_none() && (has_cluster || options.gateway.is_some()) {
        say("mqtt requires server name to be explicitly set");
    }
    let has_remotes = options.leafnodes.as_ref().is_some_and(|own| !own.remotes.is_empty());
    if options.jetstream.is_none() && !has_cluster && options.gateway.is_none() && !has_remotes {
        say("mqtt requires JetStream to be enabled if running in standalone mode");
    }
    own_users::check(options, "mqtt", &own.users, own.no_auth_user.as_deref(), &mut say);
}
