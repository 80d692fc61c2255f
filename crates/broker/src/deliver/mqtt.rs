//! Deliveries to clients of MQTT, with quality of service 0. What was published with a higher one comes to subscriptions with a higher one
//! by a stream.

use super::{Delivery, Tracer, Turn};
use crate::route::Target;
use dialtone_wire::header;
use dialtone_wire::mqtt::{Property, SubscriptionId, Version, encode};
use std::sync::Arc;

/// Topics of birth certificates of Sparkplug B, which are sent as they are retained.
const CERTIFICATES: &[u8] = b"$sparkplug/certificates/";
/// The header by which messages that were published by MQTT say with which quality of service. The official name.
const PUBLISHED: &[u8] = b"Nmqtt-Pub";

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
        let retain = topic.get(2..).is_some_and(|topic| topic.starts_with(CERTIFICATES));
        let mut kept = std::mem::take(&mut self.staging.properties);
        kept.clear();
        if let (Version::V5, Some(id)) = (version, SubscriptionId::new(options.id)) {
            // A number is not too long for a packet.
            let _ = kept.push(Property::SubscriptionId(id));
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

/// Whether a message with these headers comes by a stream, too.
fn has_stream(headers: &[u8]) -> bool {
    header::value(headers, PUBLISHED).is_some_and(|value| matches!(value.first(), Some(b'1' | b'2')))
}

#[cold]
fn trace(tracer: &Tracer, target: &Target, payload: &[u8]) {
    let topic = String::from_utf8_lossy(target.head.topic().get(2..).unwrap_or_default());
    let bytes = payload.len();
    let line = format!("PUBLISH {topic} dup=false QoS=0 retain=false size={bytes}");
    tracer(target.subscription.peer(), line.as_bytes(), payload);
}
