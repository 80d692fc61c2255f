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
    let by_signature = options.access.operator_mode.is_on();
    const OPERATOR: &str = "clients of MQTT-SN cannot be users of an operator, who are known by their JWTs";
    let keys = own.dtls.iter().flat_map(|dtls| &dtls.psk).map(|key| (&key.at, &key.user));
    for (at, user) in own.clients.iter().map(|client| (&client.at, &client.user)).chain(keys) {
        let mut say = |problem: &str| say_at(at, problem.to_owned());
        if by_signature {
            say(OPERATOR);
        } else {
            own_users::check_name(options, "user", user, &mut say);
        }
    }
    if let Some(dtls) = own.dtls.as_ref().filter(|dtls| dtls.map && by_signature) {
        say_at(&dtls.at, OPERATOR.into());
    }
    let mut say = |problem: &str| say_at(&own.at, problem.to_owned());
    own_users::check(options, "mqtt_sn", &OwnUsers::default(), own.no_auth_user.as_deref(), &mut say);
}
