//! What a consumer of an origin delivers.

use dialtone_wire::header;

/// Names of headers that speak to the origin, by their beginnings: they are not stored a second time.
const OF_THE_ORIGIN: [&[u8]; 3] = [b"Nats-Expected-", b"Nats-Batch-", b"Nats-Stream-Source:"];

/// What a consumer says besides messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// How far is it here? To be answered there.
    FlowControl {
        /// The subject of the answer.
        reply: &'a [u8],
    },
    /// Nothing new.
    Heartbeat {
        /// The number of the last delivery.
        last_delivery: Option<u64>,
        /// It waits for an answer to flow control, there.
        stalled: Option<&'a [u8]>,
    },
}

/// What a message without a payload says, if it is no message of the origin.
pub fn control<'a>(headers: &'a [u8], payload: &[u8], reply: Option<&'a [u8]>) -> Option<Control<'a>> {
    if !payload.is_empty() || !headers.starts_with(b"NATS/1.0 100 ") {
        return None;
    }
    if let Some(reply) = reply.filter(|reply| !reply.is_empty()) {
        return Some(Control::FlowControl { reply });
    }
    let number = |value: &[u8]| std::str::from_utf8(value).ok()?.trim().parse().ok();
    Some(Control::Heartbeat {
        last_delivery: header::value(headers, b"Nats-Last-Consumer").and_then(number),
        stalled: header::value(headers, b"Nats-Consumer-Stalled").filter(|value| !value.is_empty()),
    })
}

/// The headers of a message of an origin as they are stored: without what spoke to the origin alone. `keeps_source`: it is stored as it is in
/// the origin, a mirror's.
pub fn headers_to_store(headers: &[u8], keeps_source: bool) -> Vec<u8> {
    let kept = if keeps_source { 2 } else { 3 };
    let out = crate::stream::without_prefixes(headers, OF_THE_ORIGIN.get(..kept).unwrap_or_default());
    if out == b"NATS/1.0\r\n\r\n" && out.len() < headers.len() { Vec::new() } else { out }
}

/// The headers of a sourced message: those of [`headers_to_store`], and where it is from.
pub fn sourced_headers(headers: &[u8], source: &str) -> Vec<u8> {
    crate::stream::with_source(headers_to_store(headers, false), source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_told_from_messages() {
        let heartbeat =
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\nNats-Last-Stream: 9\r\n\r\n";
        let expected = Control::Heartbeat { last_delivery: Some(7), stalled: None };
        assert_eq!(control(heartbeat, b"", None), Some(expected));
        let flow = b"NATS/1.0 100 FlowControl Request\r\n\r\n";
        assert_eq!(control(flow, b"", Some(b"$JS.FC.x")), Some(Control::FlowControl { reply: b"$JS.FC.x" }));
        assert_eq!(control(flow, b"x", Some(b"$JS.FC.x")), None);
        assert_eq!(control(b"NATS/1.0\r\nA: b\r\n\r\n", b"", None), None);
        let stalled = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Consumer-Stalled: $JS.FC.y\r\n\r\n";
        let expected = Control::Heartbeat { last_delivery: None, stalled: Some(b"$JS.FC.y") };
        assert_eq!(control(stalled, b"", None), Some(expected));
    }

    #[test]
    fn what_spoke_to_the_origin_is_not_stored() {
        let block = b"NATS/1.0\r\nNats-Expected-Last-Sequence: 1\r\nA: b\r\nNats-Batch-Id: x\r\nNats-Stream-Source: A 1\r\n\r\n";
        assert_eq!(headers_to_store(block, false), b"NATS/1.0\r\nA: b\r\n\r\n");
        assert_eq!(headers_to_store(block, true), b"NATS/1.0\r\nA: b\r\nNats-Stream-Source: A 1\r\n\r\n");
        assert_eq!(headers_to_store(b"NATS/1.0\r\nNats-Batch-Id: x\r\n\r\n", false), b"");
        assert_eq!(headers_to_store(b"", false), b"");
    }
}
