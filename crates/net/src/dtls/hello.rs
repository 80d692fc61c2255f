//! What of ClientHello has to be known before anything is kept of who sent it, and the answer that asks for a cookie. RFC 6347 §4.2.1

/// Bytes of the header of a record, and of that of a message of the handshake.
const RECORD_HEADER_BYTES: usize = 13;
const HANDSHAKE_HEADER_BYTES: usize = 12;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// Version 1.0, as which the request for a cookie always comes.
const VERSION_1_0: [u8; 2] = [0xFE, 0xFF];
/// `TLS_PSK_WITH_AES_128_CCM_8`
const PSK_SUITE: [u8; 2] = [0xC0, 0xA8];

/// Bytes of a cookie.
pub(super) const COOKIE_BYTES: usize = 32;
/// Bytes of the request for one.
pub(super) const REQUEST_BYTES: usize = RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES + 3 + COOKIE_BYTES;

/// What a client says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// Its record alone.
    pub(super) record: &'a [u8],
    /// The number of its record.
    sequence: [u8; 6],
    pub(super) random: &'a [u8; 32],
    pub(super) cookie: &'a [u8],
    /// Whether it can show itself with a key that both ends know.
    pub(super) offers_psk: bool,
}

/// Takes so many bytes off the front.
fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (front, back) = rest.split_at_checked(bytes)?;
    *rest = back;
    Some(front)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Takes as many bytes as the number says that stands before them in `width` bytes.
fn take_counted<'a>(rest: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let bytes = number(take(rest, width)?);
    take(rest, bytes)
}

impl<'a> Hello<'a> {
    /// Reads the first record of a datagram. `None`: it is no ClientHello in one piece, or has more behind it.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut rest = datagram;
        let [HANDSHAKE, _, _, 0, 0, sequence @ ..] = take(&mut rest, RECORD_HEADER_BYTES - 2)? else {
            return None;
        };
        let sequence = sequence.try_into().ok()?;
        let mut record = take_counted(&mut rest, 2)?;
        let whole = datagram.get(..RECORD_HEADER_BYTES + record.len())?;
        let kind = number(take(&mut record, 1)?);
        let length = number(take(&mut record, 3)?);
        let _message_sequence = take(&mut record, 2)?;
        let (offset, piece) = (number(take(&mut record, 3)?), number(take(&mut record, 3)?));
        if kind != usize::from(CLIENT_HELLO) || offset != 0 || piece != length {
            return None;
        }
        let mut body = take(&mut record, length)?;
        if !record.is_empty() {
            return None;
        }
        let _version = take(&mut body, 2)?;
        let random = take(&mut body, 32)?.try_into().ok()?;
        let _session = take_counted(&mut body, 1)?;
        let cookie = take_counted(&mut body, 1)?;
        let suites = take_counted(&mut body, 2)?;
        let offers_psk = suites.chunks_exact(2).any(|suite| suite == PSK_SUITE);
        Some(Self { record: whole, sequence, random, cookie, offers_psk })
    }

    /// The request for a cookie.
    pub(super) fn request(&self, cookie: &[u8; COOKIE_BYTES]) -> [u8; REQUEST_BYTES] {
        let body = [&VERSION_1_0[..], &[COOKIE_BYTES as u8], cookie].concat();
        let length = (body.len() as u32).to_be_bytes();
        let length = &length[1..];
        let message = [&[HELLO_VERIFY_REQUEST], length, &[0; 5], length, &body].concat();
        let record_length = (message.len() as u16).to_be_bytes();
        let record =
            [&[HANDSHAKE], &VERSION_1_0[..], &[0, 0], &self.sequence, &record_length, &message].concat();
        record.try_into().expect("the parts have this length")
    }
}

/// The same ClientHello as if it were the first message of its client.
pub(super) fn as_first(hello: &[u8]) -> Vec<u8> {
    let mut first = hello.to_vec();
    let at = RECORD_HEADER_BYTES + 4;
    if let Some(message_sequence) = first.get_mut(at..at + 2) {
        message_sequence.fill(0);
    }
    first
}
