//! The few packets of MQTT 3.1.1 that loads need: clients' ones encoded, the server's cut out of what was read.

use super::super::target::{Entry, Target};
use anyhow::{Result, ensure};

/// First bytes of packets.
pub const CONNACK: u8 = 0x20;
/// See [`CONNACK`].
pub const PUBACK: u8 = 0x40;
/// See [`CONNACK`].
pub const SUBACK: u8 = 0x90;
/// The four bits of the first byte that say what a packet is.
pub const KIND: u8 = 0xF0;
/// See [`KIND`].
pub const PUBLISH: u8 = 0x30;
/// DISCONNECT, whole.
pub const DISCONNECT: &[u8] = &[0xE0, 0];

/// Largest packet that is waited for.
const PACKET_BYTES_MAX: usize = 64 << 20;
/// Bits that are set where a length goes on.
const MORE: u8 = 0x80;

/// Appends CONNECT. Whoever enters other than as a user, or as nobody, does so as nobody.
pub fn connect(out: &mut Vec<u8>, target: &Target, id: &str, clean: bool) {
    let mut body = Vec::new();
    string(&mut body, b"MQTT");
    body.push(4);
    let user = match &target.entry {
        Entry::User { user, password } => Some((user, password)),
        _ => None,
    };
    body.push(if user.is_some() { 0xC0 } else { 0 } | if clean { 2 } else { 0 });
    // No keep alive: nothing but the load is to be seen.
    body.extend_from_slice(&[0, 0]);
    string(&mut body, id.as_bytes());
    if let Some((user, password)) = user {
        string(&mut body, user.as_bytes());
        string(&mut body, password.as_bytes());
    }
    packet(out, 0x10, &body);
}

/// Appends SUBSCRIBE of one filter.
pub fn subscribe(out: &mut Vec<u8>, filter: &str, qos: u8) {
    let mut body = vec![0, 1];
    string(&mut body, filter.as_bytes());
    body.push(qos);
    packet(out, 0x82, &body);
}

/// Appends PUBLISH of `size` bytes; with quality of service 1 an identifier stands there, which is 0 and to be replaced.
pub fn publish(out: &mut Vec<u8>, topic: &str, qos: u8, size: usize) {
    let mut body = Vec::new();
    string(&mut body, topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&[0, 0]);
    }
    body.resize(body.len() + size, b'.');
    packet(out, PUBLISH | qos << 1, &body);
}

/// Appends PUBACK.
pub fn puback(out: &mut Vec<u8>, id: [u8; 2]) {
    out.extend_from_slice(&[PUBACK, 2]);
    out.extend_from_slice(&id);
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    let bytes = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&bytes.to_be_bytes());
    out.extend_from_slice(text.get(..usize::from(bytes)).unwrap_or(text));
}

fn packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    let mut left = body.len();
    loop {
        let digit = (left % usize::from(MORE)) as u8;
        left /= usize::from(MORE);
        out.push(if left > 0 { digit | MORE } else { digit });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

/// Cuts a stream of bytes into packets.
#[derive(Default)]
pub struct Packets {
    buffer: Vec<u8>,
    used: usize,
}

impl Packets {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The first byte of the next whole packet, and what is behind its length. Errors: it is too large.
    pub fn next(&mut self) -> Result<Option<(u8, &[u8])>> {
        let unread = self.buffer.get(self.used..).unwrap_or_default();
        let Some((first, rest)) = unread.split_first() else { return Ok(None) };
        let (mut length, mut digits) = (0, 0);
        loop {
            let Some(digit) = rest.get(digits) else { return Ok(None) };
            length |= usize::from(digit & !MORE) << (7 * digits);
            digits += 1;
            ensure!(digits <= 4 && length <= PACKET_BYTES_MAX, "the server sent a packet that is too large");
            if digit & MORE == 0 {
                break;
            }
        }
        let Some(body) = rest.get(digits..digits + length) else { return Ok(None) };
        self.used += 1 + digits + length;
        Ok(Some((*first, body)))
    }
}

/// The identifier of a PUBLISH of quality of service 1 or 2, by what is behind its length.
pub fn identifier(publish: &[u8]) -> Option<[u8; 2]> {
    let topic = usize::from(u16::from_be_bytes(*publish.first_chunk()?));
    publish.get(2 + topic..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_packets() {
        let mut bytes = Vec::new();
        publish(&mut bytes, "a/b", 1, 200);
        puback(&mut bytes, [1, 2]);
        publish(&mut bytes, "a/b", 0, 0);
        for cut in 0..bytes.len() {
            let mut packets = Packets::default();
            let mut seen = Vec::new();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                packets.push(piece);
                while let Some((first, body)) = packets.next().unwrap() {
                    seen.push((first, body.len(), identifier(body)));
                }
            }
            assert_eq!(seen, [(0x32, 207, Some([0, 0])), (0x40, 2, None), (0x30, 5, None)], "cut at {cut}");
        }
    }

    #[test]
    fn a_length_without_an_end_is_refused() {
        let mut packets = Packets::default();
        packets.push(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert!(packets.next().is_err());
    }
}
