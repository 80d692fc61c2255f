//! How a connection by WebSocket ends: the status and the reason of a close frame.

use super::frame::CONTROL_BYTES_MAX;
use crate::CloseReason;

/// The peer sent a text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The peer sent a message that is too large.
pub const TOO_BIG: u16 = 1009;

/// The status that goes with a reason, as by the official server.
pub fn status(reason: CloseReason) -> u16 {
    use CloseReason as R;
    match reason {
        R::ClientClosed => 1000,
        R::AuthenticationTimeout
        | R::AuthenticationViolation
        | R::SlowConsumerPendingBytes
        | R::SlowConsumerWriteDeadline
        | R::MaxAccountConnectionsExceeded
        | R::MaxConnectionsExceeded
        | R::MaxControlLineExceeded
        | R::MaxSubscriptionsExceeded
        | R::MissingAccount
        | R::AuthenticationExpired
        | R::Revocation => 1008,
        R::ParseError | R::ProtocolViolation | R::BadClientProtocolVersion => PROTOCOL_ERROR,
        R::MaxPayloadExceeded => TOO_BIG,
        // The official server says 1006 for the last three, which no frame may hold (RFC 6455 §7.4.1).
        R::ServerShutdown | R::WriteError | R::ReadError | R::StaleConnection => 1001,
        _ => 1011,
    }
}

/// Whether a status may stand in a close frame. RFC 6455 §7.4, and what was registered since.
pub fn is_valid(status: u16) -> bool {
    matches!(status, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// What the close frame for a reason holds.
pub fn payload(reason: CloseReason) -> Vec<u8> {
    encode(status(reason), reason.text())
}

/// The payload of a close frame. A text that does not fit is cut, and ends with `...` then.
pub fn encode(status: u16, text: &str) -> Vec<u8> {
    const ROOM: usize = CONTROL_BYTES_MAX - 2;
    const CUT: &str = "...";
    let (text, rest) = if text.len() > ROOM {
        let end = (0..=ROOM - CUT.len()).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        (text.get(..end).unwrap_or_default(), CUT)
    } else {
        (text, "")
    };
    [&status.to_be_bytes()[..], text.as_bytes(), rest.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let out = encode(1002, &"ä".repeat(100));
        assert_eq!((out.len(), &out[..2]), (CONTROL_BYTES_MAX, &[0x03, 0xEA][..]));
        assert_eq!(out[2..], *format!("{}...", "ä".repeat(60)).as_bytes());
    }

    #[test]
    fn every_reason_has_a_status_that_may_stand_in_a_frame() {
        for reason in CloseReason::ALL {
            let status = status(*reason);
            assert!(is_valid(status), "{reason:?}");
        }
    }
}
