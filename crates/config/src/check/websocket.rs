//! What must hold of the listener for WebSocket together with the rest.

use super::own_users;
use crate::error::Location;
use crate::options::{Options, advertised};

/// Checks it.
pub(super) fn check(options: &Options, say: &mut impl FnMut(&Location, String)) {
    let Some(own) = &options.websocket else { return };
    let mut say = |problem: &str| say(&own.at, problem.to_owned());
    if own.tls.is_none() && !own.no_tls {
        say("websocket requires TLS configuration");
    }
    if let Some(Err(problem)) = own.advertise.as_deref().map(|text| advertised("advertise", text)) {
        say(&problem);
    }
    own_users::check(options, "websocket", &own.users, own.no_auth_user.as_deref(), &mut say);
    let by_signature = options.access.operator_mode.is_on();
    if !own.cookies.jwt.is_empty() && !by_signature {
        say(&format!(
            "trusted operators or trusted keys configuration is required for JWT authentication via cookie {:?}",
            own.cookies.jwt
        ));
    }
}
