//! Tells whoever wants to know of atomic batches that came to nothing.

use super::emitter::emit_plain;
use super::hosted::Session;
use dialtone_jetstream::time::Time;
use serde_json::{Map, Value};

/// Publishes an advisory for each batch that was given up.
pub(super) fn publish(session: &mut Session<'_>) {
    let abandoned = session.inner.batches.take_abandoned();
    for (batch, why) in abandoned {
        let stream = &*session.hosted.name;
        let random = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 14]>());
        let mut out = Map::new();
        let mut put = |name: &str, value: &str| drop(out.insert(name.into(), value.into()));
        put("type", "io.nats.jetstream.advisory.v1.stream_batch_abandoned");
        put("id", random.get(..22).unwrap_or(&random));
        put("timestamp", &Time::from_unix_nanos(session.now).to_string());
        put("account", &session.account.name);
        put("stream", stream);
        if let Some(domain) = session.hosted.shared.domain.as_deref() {
            put("domain", domain);
        }
        put("batch", &String::from_utf8_lossy(&batch));
        put("reason", why.name());
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{stream}");
        let body = Value::Object(out).to_string();
        emit_plain(session.turn, session.account, subject.as_bytes(), body.as_bytes());
    }
}
