//! What must hold of the gateway for MQTT-SN together with the rest.

use super::own_users;
use crate::error::Location;
use crate::options::Options;
use crate::options::websocket::OwnUsers;

/// Checks it.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.mqtt_sn else { return };
    let mut say = |problem: &str| say(&own.at, problem.to_owned());
    if options.mqtt.is_none() {
        say("mqtt_sn needs the mqtt block, whose sessions and streams its clients have");
    }
    own_users::check(options, "mqtt_sn", &OwnUsers::default(), own.no_auth_user.as_deref(), &mut say);
}
