//! Properties of MQTT 5, and how a message of MQTT was published, as headers of NATS and back.
//!
//! The names that begin with `Nmqtt-` are official, but for those of MQTT 5, which the official server does not speak. A property of MQTT 5 that the users of
//! NATS have a header for is that header: `Content-Type`, and user properties by their own names, so that services read and write them as always.

use super::subject::{put_subject, put_topic};
use super::topic::is_name;
use super::{Properties, PropertiesBuf, Property, Qos};
use crate::header;

/// Quality of service that a message was published with, and behind it, in what is held for PUBREL, the flags of its PUBLISH.
pub const PUB: &str = "Nmqtt-Pub";
/// Whether the message was published as one to retain; not official.
const RETAIN: &str = "Nmqtt-Retain";
/// The hash of the identifier of the client that published it; not official.
const CLIENT: &str = "Nmqtt-Client";
/// Payload format indicator of MQTT 5.
const FORMAT: &str = "Nmqtt-Payload-Format";
/// Seconds that the message is good for, from when it was published.
const EXPIRY: &str = "Nmqtt-Expiry";
/// Correlation data, with bytes that no header can hold as `%XX`.
const CORRELATION: &str = "Nmqtt-Correlation";
/// Response topic, likewise.
const RESPONSE: &str = "Nmqtt-Response-Topic";
/// A user property that cannot be a header of its own: name and value, likewise, with `=` between them.
const USER: &str = "Nmqtt-User";
/// Content type.
const CONTENT_TYPE: &str = "Content-Type";
/// The context of a distributed trace, by which an account may have messages traced.
const TRACE_CONTEXT: &str = "traceparent";
/// What asks for the trace of a message.
const TRACE: [&str; 2] = ["Nats-Trace-Dest", "Nats-Trace-Only"];

const VERSION: &[u8] = b"NATS/1.0\r\n";
/// Bytes of headers that a message with properties may get: what is above it is left out.
const BYTES_MAX: usize = 64 * 1024;

/// What subscriptions of MQTT 5 may ask for, beside properties. Messages that nobody asks it of are as officially.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks<'a> {
    /// It was published as one to retain.
    pub retain: bool,
    /// Who published it and wants none of its own: the hash of a client identifier.
    pub client: Option<&'a str>,
}

/// Appends the headers of a message that is published with this quality of service.
pub fn put_published(
    out: &mut Vec<u8>,
    qos: Qos,
    marks: Marks<'_>,
    properties: Properties<'_>,
    response: Response,
) {
    begin(out);
    line(out, PUB, &[b'0' + qos as u8]);
    if marks.retain {
        line(out, RETAIN, b"1");
    }
    if let Some(client) = marks.client {
        line(out, CLIENT, client.as_bytes());
    }
    put_properties(out, properties, response);
    end(out);
}

/// Begins headers.
pub fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(VERSION);
}

/// Ends headers.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends a header, without a blank, as officially.
pub fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Where the response topic of a message stands, and user properties that ask for a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// It is the reply subject, see [`put_reply`]. The message is on its way, and traces are asked for by headers of their own names.
    Reply,
    /// It is a header: a message in a stream has no reply subject of its own, and no trace.
    Header,
}

/// Appends properties of a PUBLISH as headers. An alias means nothing to others.
pub fn put_properties(out: &mut Vec<u8>, properties: Properties<'_>, response: Response) {
    let begin = out.len();
    for property in properties.iter() {
        let before = out.len();
        match property {
            Property::PayloadFormat(is_text) => line(out, FORMAT, &[b'0' + u8::from(is_text)]),
            Property::MessageExpiry(seconds) => line(out, EXPIRY, seconds.to_string().as_bytes()),
            Property::ContentType(kind) if is_plain(kind) => line(out, CONTENT_TYPE, kind.as_bytes()),
            Property::ContentType(kind) => line(out, USER, &user(CONTENT_TYPE, kind)),
            Property::CorrelationData(data) => line(out, CORRELATION, &escaped(data)),
            Property::ResponseTopic(topic) if response == Response::Header => {
                line(out, RESPONSE, &escaped(topic.as_bytes()));
            }
            Property::UserProperty((name, value)) if is_own_header(name) && is_plain(value) => {
                line(out, name, value.as_bytes());
            }
            Property::UserProperty((name, value))
                if response == Response::Reply && asks_for_trace(name) && is_plain(value) =>
            {
                line(out, name, value.as_bytes());
            }
            Property::UserProperty((name, value)) => line(out, USER, &user(name, value)),
            _ => {}
        }
        if out.len() - begin > BYTES_MAX {
            out.truncate(before);
        }
    }
}

fn user(name: &str, value: &str) -> Vec<u8> {
    let mut out = escaped(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(&escaped(value.as_bytes()));
    out
}

/// Whether a text is the same when it comes back as the value of a header.
pub fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control()) && text.trim_ascii().len() == text.len()
}

/// Whether a user property may be a header by its own name: it is a token, and none of those that mean something to servers.
fn is_own_header(name: &str) -> bool {
    let begins =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    let is_known = [CONTENT_TYPE, TRACE_CONTEXT].iter().any(|known| name.eq_ignore_ascii_case(known));
    !name.is_empty() && name.bytes().all(is_token) && !begins("Nats-") && !begins("Nmqtt-") && !is_known
}

/// Whether a header of this name asks for a trace.
fn asks_for_trace(name: &str) -> bool {
    TRACE.contains(&name) || name.eq_ignore_ascii_case(TRACE_CONTEXT)
}

/// With all bytes but visible ones that have no meaning here as `%XX`.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b'=' {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// What [`escaped`] made it of; a `%` that it did not write stands for itself.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let code = behind.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

/// Appends the reply subject that the response topic among properties is. Whether there is one that can be one.
pub fn put_reply(out: &mut Vec<u8>, properties: Properties<'_>) -> bool {
    let topic = properties.find(|property| match property {
        Property::ResponseTopic(topic) => Some(topic),
        _ => None,
    });
    topic.is_some_and(|topic| put_subject(out, topic).is_ok())
}

/// Appends the properties of MQTT 5 that headers and reply of a message are. What is too long for a packet is left out, and of what is said twice the first counts.
pub fn read_properties(out: &mut PropertiesBuf, headers: &[u8], reply: Option<&[u8]>) {
    read(out, headers, reply, 0);
}

/// The same for a message that has been in a stream for so many seconds, by which its expiry has become less. [MQTT-3.3.2-6]
///
/// Whether anybody shall still get it. [MQTT-3.3.2-5]
pub fn read_kept_properties(out: &mut PropertiesBuf, headers: &[u8], age_seconds: u64) -> bool {
    let is_good = expiry(headers).is_none_or(|seconds| u64::from(seconds) > age_seconds);
    if is_good {
        read(out, headers, None, u32::try_from(age_seconds).unwrap_or(u32::MAX));
    }
    is_good
}

fn read(out: &mut PropertiesBuf, headers: &[u8], reply: Option<&[u8]>, age_seconds: u32) {
    let (mut has_format, mut has_expiry, mut has_kind, mut has_correlation) = (false, false, false, false);
    let mut topic = String::new();
    let mut has_response = reply.is_some_and(|reply| put_topic(&mut topic, reply).is_ok());
    if has_response {
        let _ = out.push(Property::ResponseTopic(&topic));
    }
    for (name, value) in header::lines(headers) {
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let first = |seen: &mut bool| !std::mem::replace(seen, true);
        // What is too long is left out.
        if is(FORMAT) && first(&mut has_format) {
            let _ = out.push(Property::PayloadFormat(value == b"1"));
        } else if is(EXPIRY) && first(&mut has_expiry) {
            if let Some(seconds) = number::<u32>(value) {
                let _ = out.push(Property::MessageExpiry(seconds.saturating_sub(age_seconds)));
            }
        } else if is(CORRELATION) && first(&mut has_correlation) {
            let _ = out.push(Property::CorrelationData(&unescaped(value)));
        } else if is(CONTENT_TYPE) && first(&mut has_kind) {
            if let Some(kind) = text(value) {
                let _ = out.push(Property::ContentType(kind));
            }
        } else if is(RESPONSE) && first(&mut has_response) {
            let topic = unescaped(value);
            if let Some(topic) = text(&topic).filter(|topic| is_name(topic)) {
                let _ = out.push(Property::ResponseTopic(topic));
            }
        } else if is(USER) {
            read_user(out, value);
        } else if (is_own_header(name) || is(TRACE_CONTEXT))
            && let Some(value) = text(value)
        {
            let _ = out.push(Property::UserProperty((name, value)));
        }
    }
}

fn read_user(out: &mut PropertiesBuf, value: &[u8]) {
    let Some(equals) = value.iter().position(|byte| *byte == b'=') else { return };
    let (name, value) = value.split_at(equals);
    let (name, value) = (unescaped(name), unescaped(value.get(1..).unwrap_or_default()));
    if let (Some(name), Some(value)) = (text(&name), text(&value)) {
        let _ = out.push(Property::UserProperty((name, value)));
    }
}

/// A string that MQTT can hold.
pub fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The number that a value is.
pub fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Seconds that a message is good for, from when it was published.
pub fn expiry(headers: &[u8]) -> Option<u32> {
    header::value(headers, EXPIRY.as_bytes()).and_then(number)
}

/// The marks of a message that was published.
pub fn marks(headers: &[u8]) -> Marks<'_> {
    let retain = header::value(headers, RETAIN.as_bytes()).is_some_and(|value| value == b"1");
    Marks { retain, client: header::value(headers, CLIENT.as_bytes()).and_then(text) }
}

/// The quality of service of a message that a client of MQTT published; `None`: a client of NATS did.
pub fn published_qos(headers: &[u8]) -> Option<Qos> {
    qos(header::value(headers, PUB.as_bytes())?.first()?.wrapping_sub(b'0'))
}

/// The quality of service with this number.
pub fn qos(number: u8) -> Option<Qos> {
    [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().find(|qos| *qos as u8 == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// A service of NATS sees what it knows, and nothing that means something to servers.
    #[test]
    fn properties_are_headers_that_services_know() {
        let mut buf = PropertiesBuf::default();
        for property in [
            Property::ContentType("text/plain"),
            Property::UserProperty(("Trace-Id", "5")),
            Property::UserProperty(("Nats-Msg-Id", "x")),
            Property::UserProperty(("a b", "c\r\nNats-Rollup: all")),
            Property::CorrelationData(b"a\0%"),
            Property::MessageExpiry(30),
            Property::PayloadFormat(true),
        ] {
            buf.push(property).unwrap();
        }
        assert_eq!(
            put(|out| put_published(
                out,
                Qos::AtMostOnce,
                Marks::default(),
                buf.properties(),
                Response::Header
            )),
            "NATS/1.0\r\nNmqtt-Pub:0\r\nContent-Type:text/plain\r\nTrace-Id:5\r\nNmqtt-User:Nats-Msg-Id=x\r\n\
             Nmqtt-User:a%20b=c%0D%0ANats-Rollup:%20all\r\nNmqtt-Correlation:a%00%25\r\nNmqtt-Expiry:30\r\nNmqtt-Payload-Format:1\r\n\r\n"
        );
    }

    #[test]
    fn marks_come_back_and_are_no_properties() {
        for (retain, client) in
            [(false, None), (true, None), (false, Some("NUmM6cRx")), (true, Some("NUmM6cRx"))]
        {
            let own = Marks { retain, client };
            let block =
                put(|out| put_published(out, Qos::AtLeastOnce, own, Properties::NONE, Response::Header));
            assert_eq!(marks(block.as_bytes()), own);
            assert_eq!(published_qos(block.as_bytes()), Some(Qos::AtLeastOnce));
            assert_eq!(block.lines().count(), 3 + usize::from(retain) + usize::from(client.is_some()));
            let mut back = PropertiesBuf::default();
            read_properties(&mut back, block.as_bytes(), None);
            assert!(back.properties().is_empty());
        }
        assert_eq!(marks(b"NATS/1.0\r\nNmqtt-Retain: 0\r\n\r\n"), Marks::default());
    }

    #[test]
    fn a_response_topic_is_the_reply() {
        let mut buf = PropertiesBuf::default();
        buf.push(Property::ResponseTopic("answers/1")).unwrap();
        let mut reply = Vec::new();
        assert!(put_reply(&mut reply, buf.properties()));
        assert_eq!(reply, b"answers.1");
        let mut back = PropertiesBuf::default();
        read_properties(&mut back, b"", Some(&reply));
        assert_eq!(back.properties(), buf.properties());
        assert!(!put_reply(&mut Vec::new(), Properties::NONE));
        // In a stream it is a header.
        let block = put(|out| {
            put_published(out, Qos::AtLeastOnce, Marks::default(), buf.properties(), Response::Header)
        });
        let mut back = PropertiesBuf::default();
        read_properties(&mut back, block.as_bytes(), None);
        assert_eq!(back.properties(), buf.properties());
    }

    #[test]
    fn what_is_kept_becomes_older_and_is_nobodys_at_last() {
        let mut buf = PropertiesBuf::default();
        buf.push(Property::MessageExpiry(30)).unwrap();
        let block = put(|out| {
            put_published(out, Qos::AtLeastOnce, Marks::default(), buf.properties(), Response::Header)
        });
        let kept = |age| {
            let mut back = PropertiesBuf::default();
            let is_good = read_kept_properties(&mut back, block.as_bytes(), age);
            (is_good, back.properties().iter().next().map(|property| format!("{property:?}")))
        };
        assert_eq!(kept(0), (true, Some("MessageExpiry(30)".to_owned())));
        assert_eq!(kept(29), (true, Some("MessageExpiry(1)".to_owned())));
        assert_eq!(kept(30), (false, None));
        assert_eq!(kept(u64::MAX), (false, None));
        assert!(read_kept_properties(&mut PropertiesBuf::default(), b"", u64::MAX));
    }

    /// What is on its way asks for its trace as messages of NATS do, and what is kept does not, whoever gets it.
    #[test]
    fn traces_are_asked_for_on_the_way_alone() {
        let mut buf = PropertiesBuf::default();
        for (name, value) in [
            ("Nats-Trace-Dest", "t"),
            ("nats-trace-dest", "u"),
            ("TraceParent", "00-a-b-01"),
            ("Nats-Trace-Hop", "1"),
        ] {
            buf.push(Property::UserProperty((name, value))).unwrap();
        }
        let block = |response| {
            put(|out| put_published(out, Qos::AtMostOnce, Marks::default(), buf.properties(), response))
        };
        assert_eq!(
            block(Response::Reply),
            "NATS/1.0\r\nNmqtt-Pub:0\r\nNats-Trace-Dest:t\r\nNmqtt-User:nats-trace-dest=u\r\nTraceParent:00-a-b-01\r\n\
             Nmqtt-User:Nats-Trace-Hop=1\r\n\r\n"
        );
        let kept = block(Response::Header);
        assert_eq!(kept.matches("Nmqtt-User:").count(), 4, "{kept}");
        // Who gets it sees the context, from either.
        for block in [block(Response::Reply), kept] {
            let mut back = PropertiesBuf::default();
            read_properties(&mut back, block.as_bytes(), None);
            let context = Property::UserProperty(("TraceParent", "00-a-b-01"));
            assert!(back.properties().iter().any(|property| property == context), "{block}");
        }
    }

    proptest! {
        /// User properties come back as they were and in their order, and no line of the block is of their making.
        #[test]
        fn user_properties_come_back(
            properties in proptest::collection::vec(("[A-Za-z:=% \r\n-]{0,8}|Nats-[a-z]{1,3}|content-type", "[ -~\r\n\té]{0,8}"), 0..5),
        ) {
            let mut buf = PropertiesBuf::default();
            for (name, value) in &properties {
                buf.push(Property::UserProperty((name, value))).unwrap();
            }
            let block = put(|out| put_published(out, Qos::AtMostOnce, Marks::default(), buf.properties(), Response::Header));
            prop_assert_eq!(header::lines(block.as_bytes()).count(), properties.len() + 1);
            prop_assert!(!header::lines(block.as_bytes()).any(|(name, _)| name.to_ascii_lowercase().starts_with(b"nats-")));
            let mut back = PropertiesBuf::default();
            read_properties(&mut back, block.as_bytes(), None);
            prop_assert_eq!(back.properties(), buf.properties());
        }

        #[test]
        fn any_correlation_data_comes_back(data in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut buf = PropertiesBuf::default();
            buf.push(Property::CorrelationData(&data)).unwrap();
            let block = put(|out| put_published(out, Qos::AtMostOnce, Marks::default(), buf.properties(), Response::Header));
            let mut back = PropertiesBuf::default();
            read_properties(&mut back, block.as_bytes(), None);
            prop_assert_eq!(back.properties(), buf.properties());
        }
    }
}
