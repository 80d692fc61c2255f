//! A delivery read back: MSG and HMSG as a client sees them, for those who live inside the server.

/// A message as it was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// The receiver's name for its subscription.
    pub sid: &'a [u8],
    /// Where an answer is expected.
    pub reply: Option<&'a [u8]>,
    /// The header block; empty for MSG.
    pub headers: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// What stands at the front of a buffer that a server wrote.
#[derive(Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A whole delivery and the bytes it took.
    Delivery(Delivery<'a>, usize),
    /// A whole line that is none (PING, INFO), and the bytes it took.
    Other(usize),
    /// More is to come.
    Partial,
}

/// Reads what [`super::encode`] wrote.
pub fn read(bytes: &[u8]) -> Read<'_> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return Read::Partial };
    let line = bytes.get(..end).unwrap_or_default();
    let body_at = end + 2;
    let mut words = line.split(|&b| b == b' ');
    let with_headers = match words.next() {
        Some(b"MSG") => false,
        Some(b"HMSG") => true,
        _ => return Read::Other(body_at),
    };
    let (Some(subject), Some(sid)) = (words.next(), words.next()) else { return Read::Other(body_at) };
    let rest: Vec<&[u8]> = words.collect();
    let (reply, sizes) = match rest.as_slice() {
        [reply, sizes @ ..] if sizes.len() == 1 + usize::from(with_headers) => (Some(*reply), sizes),
        sizes => (None, sizes),
    };
    let (header_bytes, body_bytes) = match (with_headers, sizes) {
        (false, [size]) => (Some(0), number(size)),
        (true, [headers, size]) => (number(headers), number(size)),
        _ => (None, None),
    };
    let (Some(header_bytes), Some(body_bytes)) = (header_bytes, body_bytes) else {
        return Read::Other(body_at);
    };
    let end = body_at.saturating_add(body_bytes);
    let used = end.saturating_add(2);
    if bytes.len() < used {
        return Read::Partial;
    }
    let body = bytes.get(body_at..end).unwrap_or_default();
    let (headers, payload) = body.split_at(header_bytes.min(body.len()));
    Read::Delivery(Delivery { subject, sid, reply, headers, payload }, used)
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    fn written(delivery: Delivery<'_>) -> Vec<u8> {
        let with_headers = !delivery.headers.is_empty();
        let mut out = if with_headers { b"HMSG ".to_vec() } else { b"MSG ".to_vec() };
        out.extend(encode::delivery_target(delivery.subject, delivery.sid).concat());
        let header_bytes = with_headers.then_some(delivery.headers.len());
        let body_bytes = delivery.headers.len() + delivery.payload.len();
        encode::DeliveryMiddle::new(delivery.reply, header_bytes, body_bytes).append(&mut out);
        out.extend_from_slice(&[delivery.headers, delivery.payload, b"\r\n"].concat());
        out
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read(
            subject in "[a-z.]{1,9}", sid in "[0-9]{1,3}", reply in proptest::option::of("[a-z0-9]{1,9}"),
            headers in proptest::collection::vec(0u8.., 0..20), payload in proptest::collection::vec(0u8.., 0..20),
        ) {
            let delivery = Delivery {
                subject: subject.as_bytes(),
                sid: sid.as_bytes(),
                reply: reply.as_ref().map(String::as_bytes),
                headers: &headers,
                payload: &payload,
            };
            let bytes = written(delivery);
            proptest::prop_assert_eq!(read(&bytes), Read::Delivery(delivery, bytes.len()));
            for cut in 0..bytes.len() {
                proptest::prop_assert_eq!(read(&bytes[..cut]), Read::Partial);
            }
        }
    }

    #[test]
    fn other_lines_are_passed_over() {
        assert_eq!(read(b"PING\r\nMSG"), Read::Other(6));
        assert_eq!(read(b"MSG a\r\n"), Read::Other(7));
        assert_eq!(read(b"MSG a 1 x\r\n"), Read::Other(11));
    }
}
