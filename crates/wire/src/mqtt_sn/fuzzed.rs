//! What must hold for any bytes of an MQTT-SN datagram: for fuzzing, and for a property test.

use super::{encode, parse};

/// Reads a datagram. What is a message is written so that it is read as it was, in no more bytes; and no part of that is one.
pub fn bytes_hold(input: &[u8]) {
    let datagram = match parse(input) {
        Ok(datagram) => datagram,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let mut written = b"before".to_vec();
    if encode(&mut written, &datagram).is_err() {
        return assert!(written == b"before" && input.len() > super::DATAGRAM_BYTES_MAX);
    }
    let written = written.get(b"before".len()..).unwrap_or_default();
    assert!(written.len() <= input.len());
    assert_eq!(parse(written), Ok(datagram));
    // Only a few lengths of a long one, or this would be quadratic.
    for cut in (0..written.len()).take(300) {
        assert!(parse(written.get(..cut).unwrap_or_default()).is_err(), "cut at {cut}");
    }
}
