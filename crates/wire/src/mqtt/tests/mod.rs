//! Packets of the specifications, packets at random, and bytes that are none.

mod bytes;
mod opinion;
mod random;
mod refused;
mod statements;

use super::*;

/// Limits of tests: what is not in question has room.
fn limits(sender: Sender, version: Option<Version>) -> Limits {
    Limits { sender, version, packet_bytes_max: 1 << 20, filters_max: 100, user_properties_max: 100 }
}

/// Reads one packet from the front of `input`, and holds that no cut of it says anything else: the beginning of a packet is
/// unfinished, of as many bytes as the whole is, or is refused for what refuses the whole.
#[track_caller]
fn read<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, DecodeError> {
    let whole = parse(input, limits);
    for cut in 0..input.len() {
        match (parse(&input[..cut], limits), &whole) {
            (Ok(Parsed::Partial { total: 0 }), _) => {}
            (Ok(Parsed::Partial { total }), Ok(Parsed::Packet(_, bytes))) => {
                assert_eq!(total, *bytes, "cut at {cut}")
            }
            (Ok(Parsed::Partial { total }), Ok(Parsed::Partial { total: all })) => assert_eq!(total, *all),
            (Ok(Parsed::Partial { total }), Err(_)) => assert!(total > cut),
            (Ok(packet @ Parsed::Packet(_, bytes)), Ok(whole)) => assert!(packet == *whole && bytes <= cut),
            (Err(error), Err(whole)) => assert_eq!(error, *whole, "cut at {cut}"),
            (early, whole) => panic!("cut at {cut}: {early:?}, and {whole:?}"),
        }
    }
    whole
}

/// The version after CONNECT; CONNECT brings its own.
fn version_before(packet: &[u8], version: Version) -> Option<Version> {
    if packet.first().is_some_and(|first| first >> 4 == 1) { None } else { Some(version) }
}
