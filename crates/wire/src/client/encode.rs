//! What a server sends to a client. Everything is appended to a `Vec`, so a caller batches as it likes.
//!
//! A delivery is a prefix that depends on the subscription only (`MSG subject sid `), a middle (reply and sizes) and
//! the framed body, which is copied as it came.

/// The longest decimal that [`decimal`] writes.
const DECIMAL_BYTES_MAX: usize = 20;

/// Appends `n` in decimal.
#[inline]
pub fn decimal(out: &mut Vec<u8>, mut n: usize) {
    let mut digits = [0u8; DECIMAL_BYTES_MAX];
    let mut at = DECIMAL_BYTES_MAX;
    loop {
        at -= 1;
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0' + (n % 10) as u8;
        }
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// `subject sid `, what stands behind the verb, in parts: it is the same for each message of one subject to one
/// subscription.
pub fn delivery_target<'a>(subject: &'a [u8], sid: &'a [u8]) -> [&'a [u8]; 4] {
    [subject, b" ", sid, b" "]
}

/// Appends what stands between target and body: `[reply ][header_bytes ]body_bytes CRLF`.
#[inline]
pub fn delivery_middle(
    out: &mut Vec<u8>,
    reply: Option<&[u8]>,
    header_bytes: Option<usize>,
    body_bytes: usize,
) {
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if let Some(header_bytes) = header_bytes {
        decimal(out, header_bytes);
        out.push(b' ');
    }
    decimal(out, body_bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends `-ERR 'text'`.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// PING.
pub const PING: &[u8] = b"PING\r\n";
/// PONG.
pub const PONG: &[u8] = b"PONG\r\n";
/// +OK.
pub const OK: &[u8] = b"+OK\r\n";
