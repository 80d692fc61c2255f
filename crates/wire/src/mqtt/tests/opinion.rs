//! A second opinion: what we write is a packet for another codec (`mqtt-proto`), too, and what that writes of it is the same for us.

use super::random::{parts, with_packet};
use super::*;
use mqtt_proto::{v3, v5};
use proptest::prelude::*;

/// What the other codec makes of a packet and writes anew; what it refuses as text.
fn written_by_another(bytes: &[u8], version: Version) -> Result<Vec<u8>, String> {
    let told = |error: &dyn std::fmt::Debug| format!("{error:?}");
    match version {
        Version::V5 => {
            let packet = v5::Packet::decode(bytes).map_err(|error| told(&error))?.ok_or("unfinished")?;
            packet.encode().map(|bytes| bytes.as_ref().to_vec()).map_err(|error| told(&error))
        }
        _ => {
            let packet = v3::Packet::decode(bytes).map_err(|error| told(&error))?.ok_or("unfinished")?;
            packet.encode().map(|bytes| bytes.as_ref().to_vec()).map_err(|error| told(&error))
        }
    }
}

/// Properties may be written in another order, so these are the bytes without theirs.
fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes
}

/// What the other codec refuses on purpose, and ours does not: filters and topics of wills, on which the session decides; the official
/// server's own return code; payloads that are not what they say (a receiver may look, §3.3.2.3.2); a code that stands in §2.4 for
/// DISCONNECT, but not in §3.14; a message for several subscriptions of one client (§3.3.4).
const STRICTER: [&str; 6] = [
    "InvalidTopicFilter",
    "InvalidTopicName",
    "InvalidConnectReturnCode(16)",
    "InvalidPayloadFormat",
    "InvalidReasonCode(Disconnect, 140)",
    "DuplicatedProperty(SubscriptionIdentifier)",
];

proptest! {
    #[test]
    fn another_codec_reads_what_we_write(
        parts in parts(), version in prop::sample::select(vec![Version::V31, Version::V311, Version::V5]),
    ) {
        with_packet(&parts, version, |sender, packet| {
            let mut ours = Vec::new();
            encode::packet(&mut ours, &packet, version, usize::MAX).unwrap();
            let theirs = written_by_another(&ours, version);
            let theirs = match theirs {
                Ok(theirs) => theirs,
                Err(error) if STRICTER.iter().any(|known| error.trim_start_matches("Common(").starts_with(known)) => return,
                Err(error) => panic!("{error}: {packet:?} {}", ours.escape_ascii()),
            };
            // It reads a refused filter of 3.1.1 (0x80), and writes it as 0x03.
            if version != Version::V5 && matches!(packet, Packet::SubAck(_)) {
                return;
            }
            assert_eq!(sorted(&theirs), sorted(&ours), "{packet:?} {} {}", ours.escape_ascii(), theirs.escape_ascii());
            let limits = limits(sender, version_before(&theirs, version));
            assert!(matches!(parse(&theirs, &limits), Ok(Parsed::Packet(_, bytes)) if bytes == theirs.len()));
        });
    }
}
