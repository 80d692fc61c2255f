//! The will of a client, kept for as long as its connection lasts.

use crate::command::Published;
use dialtone_wire::mqtt::{PropertiesBuf, Property, Qos, Will};

/// A will of its own.
#[derive(Clone, Debug)]
pub struct OwnWill {
    topic: Box<str>,
    payload: Box<[u8]>,
    properties: PropertiesBuf,
    qos: Qos,
    retain: bool,
    /// Seconds that it waits at most.
    pub(crate) delay_seconds: u32,
}

impl OwnWill {
    /// The will of a CONNECT. The delay is not one of the properties that are published. MQTT 5.0 §3.1.3.2.
    pub fn of(will: &Will<'_>) -> Self {
        let (mut properties, mut delay_seconds) = (PropertiesBuf::default(), 0);
        for property in will.properties.iter() {
            match property {
                Property::WillDelay(seconds) => delay_seconds = seconds,
                // What came in a packet is not too long for one.
                property => drop(properties.push(property).ok()),
            }
        }
        let Will { topic, payload, qos, retain, .. } = *will;
        Self { topic: topic.into(), payload: payload.into(), properties, qos, retain, delay_seconds }
    }

    /// One that was kept as this message while it waits.
    pub(crate) fn kept(message: &Published<'_>) -> Self {
        let Published { topic, qos, retain, properties, payload } = *message;
        let mut kept = PropertiesBuf::default();
        for property in properties.iter() {
            // What was kept has come in a packet.
            let _ = kept.push(property);
        }
        Self { topic: topic.into(), payload: payload.into(), properties: kept, qos, retain, delay_seconds: 0 }
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        let Self { topic, payload, properties, .. } = self;
        size_of::<Self>()
            + topic.len()
            + payload.len()
            + properties.properties().iter().map(bytes_of).sum::<usize>()
    }

    /// The message that it is.
    pub fn message(&self) -> Published<'_> {
        let Self { topic, payload, properties, qos, retain, .. } = self;
        Published { topic, qos: *qos, retain: *retain, properties: properties.properties(), payload }
    }
}

/// Bytes of a property that a will may have, about.
fn bytes_of(property: Property<'_>) -> usize {
    size_of::<u64>()
        + match property {
            Property::UserProperty((name, value)) => name.len() + value.len(),
            Property::ContentType(text) | Property::ResponseTopic(text) => text.len(),
            Property::CorrelationData(bytes) => bytes.len(),
            _ => 0,
        }
}
