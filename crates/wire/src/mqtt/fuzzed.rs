//! What must hold for any bytes of an MQTT client or server: for fuzzing, and for a property test.

use super::{DecodeError, Limits, Packet, Parsed, Sender, Version, encode, parse};

const PACKET_BYTES_MAX: usize = 4096;

/// Reads packet after packet, each time from as many bytes as have come. What they are, written anew, and how it ends.
fn transcript(
    input: &[u8],
    piece: usize,
    sender: Sender,
    first: Option<Version>,
) -> (Vec<u8>, Option<DecodeError>) {
    let mut limits = Limits {
        sender,
        version: first,
        packet_bytes_max: PACKET_BYTES_MAX,
        filters_max: 50,
        user_properties_max: 50,
    };
    let (mut begin, mut have, mut out) = (0, 0, Vec::new());
    while have < input.len() {
        have = input.len().min(have + piece.max(1));
        loop {
            let rest = input.get(begin..have).unwrap_or_default();
            match parse(rest, &limits) {
                Ok(Parsed::Packet(packet, used)) => {
                    assert!(used > 0 && used <= rest.len() && used <= PACKET_BYTES_MAX);
                    begin += used;
                    if let Packet::Connect(connect) = packet {
                        limits.version = Some(connect.version);
                    }
                    write_and_read_again(&packet, &limits, &mut out);
                }
                Ok(Parsed::Partial { total }) => {
                    assert!(total == 0 && rest.len() < 5 || total > rest.len() && total <= PACKET_BYTES_MAX);
                    break;
                }
                Err(error) => {
                    assert!(error.reason().is_error() && !error.to_string().is_empty());
                    return (out, Some(error));
                }
            }
        }
    }
    (out, None)
}

/// Appends a packet, which must be read as it was.
fn write_and_read_again(packet: &Packet<'_>, limits: &Limits, out: &mut Vec<u8>) {
    let begin = out.len();
    let version = limits.version.unwrap_or(Version::V311);
    encode::packet(out, packet, version, usize::MAX).expect("what was read can be written");
    let before_connect = Limits { version: None, ..*limits };
    let limits = if matches!(packet, Packet::Connect(_)) { &before_connect } else { limits };
    let written = out.get(begin..).unwrap_or_default();
    // It may be longer than it was: an empty reason may have been left out, and 3.1 may leave out credentials.
    let limits = Limits { packet_bytes_max: usize::MAX, ..*limits };
    assert_eq!(parse(written, &limits), Ok(Parsed::Packet(*packet, written.len())));
}

/// Plays bytes: the first says who sends them, in which version, and how they are cut.
pub fn bytes_hold(input: &[u8]) {
    let Some((&how, input)) = input.split_first() else { return };
    let sender = if how & 1 == 0 { Sender::Client } else { Sender::Server };
    let version = match how >> 1 & 0b11 {
        0 => None,
        1 => Some(Version::V31),
        2 => Some(Version::V311),
        _ => Some(Version::V5),
    };
    let whole = transcript(input, usize::MAX, sender, version);
    assert_eq!(transcript(input, usize::from(how >> 3), sender, version), whole);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_hold(input in proptest::collection::vec(any::<u8>(), 0..80)) {
            bytes_hold(&input);
        }

        /// Packets that begin as packets do.
        #[test]
        fn bytes_like_packets_hold(
            how in any::<u8>(), first in any::<u8>(), body in proptest::collection::vec(0_u8..48, 0..40), more in any::<[u8; 3]>(),
        ) {
            let packet = [&[how, first, body.len() as u8][..], &body, &more].concat();
            bytes_hold(&packet);
        }
    }

    #[test]
    fn a_conversation_holds() {
        let connect = b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x0A\x00\x00\x01c";
        let rest = b"\x30\x05\x00\x01a\x00x\x82\x07\x00\x01\x00\x00\x01a\x2D\x62\x02\x00\x01\xC0\x00\xE0\x00";
        for how in (0..=255).step_by(8) {
            bytes_hold(&[&[how][..], connect, rest].concat());
        }
        let (out, error) = transcript(&[&connect[..], rest].concat(), 3, Sender::Client, None);
        assert_eq!((out.len(), error), (connect.len() + rest.len(), None));
    }
}
