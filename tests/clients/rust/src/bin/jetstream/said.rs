//! What a part saw, one line each, without what differs from run to run.

use std::fmt::Display;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::SequenceInfo;
use serde::Serialize;
use serde_json::{Value, json, to_value};

/// Times, ids and rates.
const VOLATILE: &[&str] = &[
    "created",
    "ts",
    "first_ts",
    "last_ts",
    "last_active",
    "time",
    "active",
    "mtime",
    "modified",
    "nuid",
    "pause_remaining",
    "_nats.ver",
    "cluster",
    "id",
    "started",
    "processing_time",
    "average_processing_time",
];

fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(key, value)| !VOLATILE.contains(&key.as_str()) && !value.is_null())
            .map(|(key, value)| (key, plain(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        value => value,
    }
}

/// Prints a value as JSON.
pub fn say(name: &str, value: impl Serialize) {
    println!("{name}: {}", plain(to_value(value).unwrap_or_else(|error| error.to_string().into())));
}

/// Prints the error that something ended with, or that there was none.
pub fn say_error<T, E: Display>(name: &str, result: Result<T, E>) {
    println!("{name}: {}", result.err().map_or("no error".into(), |error| error.to_string()));
}

/// What a delivery says of itself.
pub fn seen(message: &Message) -> Value {
    let info = message.info().expect("a delivery");
    json!([
        message.subject.as_str(),
        text(&message.payload),
        info.stream_sequence,
        info.consumer_sequence,
        info.delivered,
        info.pending
    ])
}

/// How far a consumer is.
pub fn floor(sequences: SequenceInfo) -> Value {
    json!([sequences.consumer_sequence, sequences.stream_sequence])
}

/// A body as text.
pub fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
