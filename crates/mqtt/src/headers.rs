//! What of a message of MQTT stands in headers of NATS: what streams keep beside the payload, and, from [`dialtone_wire::mqtt::headers`], how it was
//! published and the properties of MQTT 5.

use dialtone_wire::header;
use dialtone_wire::mqtt::headers::{begin, end, is_plain, line, number, put_properties, qos, text};
use dialtone_wire::mqtt::{PacketId, Properties, Qos};

pub use dialtone_wire::mqtt::headers::{
    Marks, PUB, Response, expiry, marks, published_qos, put_published, put_reply, read_kept_properties,
    read_properties,
};

/// The subject of a message that is held for PUBREL.
const SUBJECT: &str = "Nmqtt-Subject";
/// When a will is due that waits; not official.
const WILL_DUE: &str = "Nmqtt-Will-Due";
/// The packet identifier of PUBREL.
const PUBREL: &str = "Nmqtt-PubRel";
/// The topic of a retained message.
const RETAINED_TOPIC: &str = "Nmqtt-RTopic";
/// The flags of its PUBLISH.
const RETAINED_FLAGS: &str = "Nmqtt-RFlags";
/// The hash of the server that it came by.
const RETAINED_ORIGIN: &str = "Nmqtt-ROrigin";
/// The user that published it.
const RETAINED_SOURCE: &str = "Nmqtt-RSource";
/// The flag of PUBLISH that says that the message is retained.
pub const RETAIN: u8 = 1;
const QOS_SHIFT: u8 = 1;
const QOS_MASK: u8 = 3;

/// The flags of a PUBLISH. MQTT 3.1.1 §2.2.2.
pub fn flags(qos: Qos, retain: bool) -> u8 {
    ((qos as u8) << QOS_SHIFT) | u8::from(retain)
}

/// Appends the headers of a message that is held until its PUBREL.
pub fn put_held(out: &mut Vec<u8>, subject: &[u8], flags: u8, properties: Properties<'_>) {
    begin_held(out, subject, flags);
    put_properties(out, properties, Response::Header);
    end(out);
}

fn begin_held(out: &mut Vec<u8>, subject: &[u8], flags: u8) {
    begin(out);
    line(out, PUB, &[b'0' + (flags >> QOS_SHIFT & QOS_MASK), b'0' + (flags & 0x0F)]);
    line(out, SUBJECT, subject);
}

/// Appends the headers of a will that is held until it is due, in seconds since 1970; `source` is who left it, and where.
pub fn put_will(
    out: &mut Vec<u8>,
    subject: &[u8],
    flags: u8,
    (source, due): (Source<'_>, u64),
    properties: Properties<'_>,
) {
    begin_held(out, subject, flags);
    line(out, WILL_DUE, due.to_string().as_bytes());
    put_source(out, source);
    put_properties(out, properties, Response::Header);
    end(out);
}

/// What headers say of a will that is held: who left it, where, and when it is due.
pub fn will(headers: &[u8]) -> Option<(Source<'_>, u64)> {
    let due = header::value(headers, WILL_DUE.as_bytes()).and_then(number)?;
    let origin = text(header::value(headers, RETAINED_ORIGIN.as_bytes())?)?;
    let user = header::value(headers, RETAINED_SOURCE.as_bytes()).and_then(text).unwrap_or_default();
    Some((Source { origin, user }, due))
}

fn put_source(out: &mut Vec<u8>, source: Source<'_>) {
    line(out, RETAINED_ORIGIN, source.origin.as_bytes());
    // A name that no header can hold says nothing.
    if !source.user.is_empty() && is_plain(source.user) {
        line(out, RETAINED_SOURCE, source.user.as_bytes());
    }
}

/// By whom and by which server a retained message or a will came.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The hash of the server's name.
    pub origin: &'a str,
    /// The user; empty: nobody logs in.
    pub user: &'a str,
}

/// Appends the headers of a retained message.
pub fn put_retained(
    out: &mut Vec<u8>,
    topic: &str,
    flags: u8,
    source: Source<'_>,
    properties: Properties<'_>,
) {
    begin(out);
    line(out, RETAINED_TOPIC, topic.as_bytes());
    line(out, RETAINED_FLAGS, flags.to_string().as_bytes());
    put_source(out, source);
    put_properties(out, properties, Response::Header);
    end(out);
}

/// Appends the headers of what stands for PUBREL.
pub fn put_pubrel(out: &mut Vec<u8>, packet: PacketId) {
    begin(out);
    line(out, PUBREL, packet.get().to_string().as_bytes());
    end(out);
}

/// What headers say of a message that is held: its subject, quality of service, and whether it is retained.
pub fn held(headers: &[u8]) -> Option<(&[u8], Qos, bool)> {
    let subject = header::value(headers, SUBJECT.as_bytes()).filter(|subject| !subject.is_empty())?;
    let published = header::value(headers, PUB.as_bytes())?;
    let flags = number::<u8>(published.get(1..)?).unwrap_or_default();
    Some((subject, published_qos(headers)?, flags & RETAIN != 0))
}

/// The packet identifier of PUBREL.
pub fn pubrel(headers: &[u8]) -> Option<PacketId> {
    PacketId::new(header::value(headers, PUBREL.as_bytes()).and_then(number)?)
}

/// What headers say of a retained message: its topic and quality of service.
pub fn retained(headers: &[u8]) -> Option<(&str, Qos)> {
    let topic = text(header::value(headers, RETAINED_TOPIC.as_bytes())?).filter(|topic| !topic.is_empty())?;
    let flags: u8 = header::value(headers, RETAINED_FLAGS.as_bytes()).and_then(number).unwrap_or_default();
    Some((topic, flags_qos(flags)))
}

/// The quality of service among the flags of a PUBLISH.
pub(crate) fn flags_qos(flags: u8) -> Qos {
    qos((flags >> QOS_SHIFT) & QOS_MASK).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(put: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// As the official server writes them.
    #[test]
    fn headers_are_official() {
        let none = Properties::NONE;
        let published =
            put(|out| put_published(out, Qos::AtLeastOnce, Marks::default(), none, Response::Reply));
        assert_eq!(published, "NATS/1.0\r\nNmqtt-Pub:1\r\n\r\n");
        assert_eq!(published_qos(published.as_bytes()), Some(Qos::AtLeastOnce));
        let text = put(|out| put_held(out, b"t.b", flags(Qos::ExactlyOnce, false), none));
        assert_eq!(text, "NATS/1.0\r\nNmqtt-Pub:24\r\nNmqtt-Subject:t.b\r\n\r\n");
        assert_eq!(held(text.as_bytes()), Some((&b"t.b"[..], Qos::ExactlyOnce, false)));
        let text = put(|out| put_held(out, b"t", flags(Qos::ExactlyOnce, true), none));
        assert_eq!(held(text.as_bytes()), Some((&b"t"[..], Qos::ExactlyOnce, true)));
        let text = put(|out| {
            put_retained(
                out,
                "t",
                flags(Qos::AtLeastOnce, true),
                Source { origin: "NUmM6cRx", user: "" },
                none,
            )
        });
        assert_eq!(text, "NATS/1.0\r\nNmqtt-RTopic:t\r\nNmqtt-RFlags:3\r\nNmqtt-ROrigin:NUmM6cRx\r\n\r\n");
        assert_eq!(retained(text.as_bytes()), Some(("t", Qos::AtLeastOnce)));
        let packet = PacketId::new(7).unwrap();
        let text = put(|out| put_pubrel(out, packet));
        assert_eq!(text, "NATS/1.0\r\nNmqtt-PubRel:7\r\n\r\n");
        assert_eq!(pubrel(text.as_bytes()), Some(packet));
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        for block in [
            "",
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nNmqtt-Pub:\r\nNmqtt-PubRel:0\r\nNmqtt-RTopic:\r\nNmqtt-Expiry:-1\r\n\r\n",
            "NATS/1.0\r\nNmqtt-Pub:7\r\n\r\n",
        ] {
            let block = block.as_bytes();
            assert_eq!(
                (published_qos(block), held(block), pubrel(block), expiry(block)),
                (None, None, None, None)
            );
            assert_eq!(retained(block), None);
        }
    }
}
