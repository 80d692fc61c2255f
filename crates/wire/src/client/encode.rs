//! What a server sends to a client. Everything is appended to a `Vec`, so a caller batches as it likes.
//!
//! A delivery is a prefix that depends on the subscription only (`MSG subject sid `), a middle (reply and sizes) and
//! the framed body, which is copied as it came. The middle is [`crate::middle::Middle`].

/// `subject sid `, what stands behind the verb, in parts: it is the same for each message of one subject to one
/// subscription.
pub fn delivery_target<'a>(subject: &'a [u8], sid: &'a [u8]) -> [&'a [u8]; 4] {
    [subject, b" ", sid, b" "]
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
