//! Deliveries to clients of MQTT, with quality of service 0. What was published with a higher one comes to subscriptions with a higher one
//! by a stream.

use super::{Delivery, Tracer, Turn};
use crate::route::Target;
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::headers::{marks, published_qos, read_properties};
use dialtone_wire::mqtt::{PropertiesBuf, Property, Qos, SubscriptionId, Version, encode};
use std::sync::Arc;

/// Topics of birth certificates of Sparkplug B, which are sent as they are retained.
const CERTIFICATES: &[u8] = b"$sparkplug/certificates/";

impl Turn {
    /// Stages a message for one target. False if it does not take this one.
    #[inline(never)]
    pub(super) fn stage_mqtt(&mut self, target: &Target, delivery: &Delivery<'_>, version: Version) -> bool {
        let (subscription, message) = (&target.subscription, delivery.message);
        let (peer, options) = (subscription.peer(), subscription.mqtt_options());
        if options.no_local && Arc::ptr_eq(peer, delivery.origin.peer) {
            return false;
        }
        if options.has_stream && message.has_headers() && has_stream(message.headers()) {
            return true;
        }
        subscription.count_mqtt();
        if let Some(reply) = message.reply
            && peer.tracks_replies()
        {
            peer.expect_answer(delivery.origin, reply, self.now);
        }
        let (topic, payload) = (target.head.topic(), message.payload());
        if let Some(tracer) = &self.tracer {
            trace(tracer, target, payload);
        }
        let bytes_max = match options.packet_bytes_max {
            0 => usize::MAX,
            max => max as usize,
        };
        let retain = topic.get(2..).is_some_and(|topic| topic.starts_with(CERTIFICATES))
            || options.retain_as_published && marks(message.headers()).retain;
        let mut kept = std::mem::take(&mut self.staging.properties);
        kept.clear();
        if version == Version::V5 {
            put_properties(&mut kept, message, options.id);
        }
        let properties = kept.properties();
        let stage = self.staging.stage(peer);
        let before = stage.bytes.len();
        let appended =
            encode::at_most_once(&mut stage.bytes, topic, retain, properties, payload, version, bytes_max);
        if appended.is_ok() {
            stage.count(payload.len());
            let staged = stage.bytes.len().wrapping_sub(before);
            self.staging.note(staged);
        }
        self.staging.properties = kept;
        true
    }
}

/// The properties that a message has for a subscription with this number. Those of MQTT 3.1.1 have none.
fn put_properties(out: &mut PropertiesBuf, message: &Message<'_>, id: u32) {
    if message.reply.is_some() || message.has_headers() {
        read_properties(out, message.headers(), message.reply);
    }
    if let Some(id) = SubscriptionId::new(id) {
        // A number is not too long for a packet.
        let _ = out.push(Property::SubscriptionId(id));
    }
}

/// Whether a message with these headers comes by a stream, too.
fn has_stream(headers: &[u8]) -> bool {
    published_qos(headers).is_some_and(|qos| qos > Qos::AtMostOnce)
}

#[cold]
fn trace(tracer: &Tracer, target: &Target, payload: &[u8]) {
    let topic = String::from_utf8_lossy(target.head.topic().get(2..).unwrap_or_default());
    let bytes = payload.len();
    let line = format!("PUBLISH {topic} dup=false QoS=0 retain=false size={bytes}");
    tracer(target.subscription.peer(), line.as_bytes(), payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(headers: &str, reply: Option<&[u8]>, id: u32) -> String {
        let framed = [headers, "x\r\n"].concat();
        let (header_bytes, framed) = (headers.len(), framed.as_bytes());
        let mut out = PropertiesBuf::default();
        put_properties(&mut out, &Message { subject: b"a", reply, header_bytes, framed }, id);
        format!("{:?}", out.properties())
    }

    #[test]
    fn what_nats_says_are_properties() {
        assert_eq!(properties("", None, 0), "[]");
        assert_eq!(properties("", Some(b"_INBOX.a.1"), 0), r#"[ResponseTopic("_INBOX/a/1")]"#);
        let headers = "NATS/1.0\r\nNmqtt-Pub:0\r\nContent-Type: text/plain\r\nb: 2\r\na: 1\r\nb: 3\r\nNats-Msg-Id: 7\r\n\
                       Nmqtt-Correlation: %00a\r\nNmqtt-Payload-Format: 1\r\nNmqtt-Expiry: 30\r\n\r\n";
        assert_eq!(
            properties(headers, None, 7),
            r#"[ContentType("text/plain"), UserProperty(("b", "2")), UserProperty(("a", "1")), UserProperty(("b", "3")), "#
                .to_owned()
                + "CorrelationData([0, 97]), PayloadFormat(true), MessageExpiry(30), SubscriptionId(SubscriptionId(7))]"
        );
    }

    #[test]
    fn only_what_was_published_with_more_comes_by_a_stream() {
        for (value, expected) in [("0", false), ("1", true), ("2", true), ("7", false), ("", false)] {
            assert_eq!(
                has_stream(format!("NATS/1.0\r\nNmqtt-Pub:{value}\r\n\r\n").as_bytes()),
                expected,
                "{value}"
            );
        }
        assert!(!has_stream(b"NATS/1.0\r\na: b\r\n\r\n"));
    }
}
