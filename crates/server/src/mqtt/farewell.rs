//! How a client of MQTT 5 is told why it is not let in or has to go, and where else it may go.

use super::effects::Effects;
use crate::policy::ListenerKind;
use dialtone_broker::deliver::Turn;
use dialtone_mqtt::{Connection as Engine, Ended};
use dialtone_wire::mqtt::{PropertiesBuf, Property, Reason, Version};
use dialtone_wire::{CloseReason, ProtocolError};

/// Addresses that a client is told at most.
const REFERENCES_MAX: usize = 16;

/// How a connection ended whose protocol did not say so.
pub(super) fn broken(reason: CloseReason) -> Ended {
    Ended::Refused(match reason {
        CloseReason::DuplicateClientId => Reason::SessionTakenOver,
        CloseReason::ServerShutdown => Reason::ServerShuttingDown,
        CloseReason::AuthenticationExpired | CloseReason::Revocation => Reason::NotAuthorized,
        CloseReason::Kicked | CloseReason::MissingAccount => Reason::AdministrativeAction,
        CloseReason::MaxAccountConnectionsExceeded | CloseReason::MaxConnectionsExceeded => {
            Reason::QuotaExceeded
        }
        _ => Reason::UnspecifiedError,
    })
}

/// What CONNACK says of a login that is refused. `None`: nothing was asked yet that it would answer.
pub(super) fn refusal(error: &ProtocolError, version: Version) -> Option<Reason> {
    Some(match error {
        ProtocolError::Authorization => Reason::NotAuthorized,
        ProtocolError::AccountConnectionsExceeded if version == Version::V5 => Reason::QuotaExceeded,
        ProtocolError::ServerConnectionsExceeded if version == Version::V5 => Reason::ServerBusy,
        ProtocolError::ConnectionThrottled if version == Version::V5 => Reason::ConnectionRateExceeded,
        ProtocolError::ServerConnectionsExceeded
        | ProtocolError::AccountConnectionsExceeded
        | ProtocolError::ConnectionThrottled => Reason::ServerUnavailable,
        _ => return None,
    })
}

impl Effects {
    /// Says why the connection ends. In lame duck mode, where to go instead, if another server of the cluster is known.
    pub(super) fn farewell(&mut self, engine: &Engine, reason: Reason, turn: &mut Turn) {
        let mut more = PropertiesBuf::default();
        let reference = (reason == Reason::ServerShuttingDown).then(|| self.reference()).flatten();
        let reason = if reference.is_some() { Reason::UseAnotherServer } else { reason };
        let reference = reference.as_deref().map(Property::ServerReference);
        let why = self.why.take();
        for property in reference.into_iter().chain(why.as_deref().map(Property::ReasonString)) {
            // What is too long is left out.
            let _ = more.push(property);
        }
        engine.farewell(reason, more.properties(), &mut self.out);
        self.send_out(turn);
    }

    /// Where other servers take clients that came as this one. MQTT 5.0 §4.11.
    fn reference(&self) -> Option<String> {
        let urls = self.conduct.node.connections.go_to.get()?;
        let urls = match self.conduct.session.listener() {
            ListenerKind::MqttWebSocket => &urls.websocket,
            ListenerKind::Mqtt => &urls.mqtt,
            _ => return None,
        };
        let first: Vec<&str> = urls.iter().take(REFERENCES_MAX).map(String::as_str).collect();
        (!first.is_empty()).then(|| first.join(" "))
    }
}
