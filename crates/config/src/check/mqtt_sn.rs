//! What must hold of the gateway for MQTT-SN together with the rest.

use super::own_users;
use crate::error::Location;
use crate::options::Options;
use crate::options::websocket::OwnUsers;

/// Checks it.
pub(super) fn check(options: &Options, say_at: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.mqtt_sn else { return };
    if options.mqtt.is_none() {
        say_at(&own.at, "mqtt_sn needs the mqtt block, whose sessions and streams its clients have".into());
    }
    for client in &own.clients {
        let mut say = |problem: &str| say_at(&client.at, problem.to_owned());
        if options.access.operator_mode.is_on() {
            say("clients of MQTT-SN cannot be users of an operator, who are known by their JWTs");
        } else {
            own_users::check_name(options, "user", &client.user, &mut say);
        }
    }
    let mut say = |problem: &str| say_at(&own.at, problem.to_owned());
    own_users::check(options, "mqtt_sn", &OwnUsers::default(), own.no_auth_user.as_deref(), &mut say);
}
