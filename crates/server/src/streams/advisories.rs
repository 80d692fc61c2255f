//! What consumers say to those who want to know: advisories, published in the account of the stream.

use super::emitter::{NotedAdvisory, emit_plain};
use super::hosted::Session;
use dialtone_jetstream::consumer::{Advisory, Handled};
use dialtone_jetstream::time::Time;
use serde_json::{Map, Value, json};

/// Publishes what was noted.
pub(super) fn publish(session: &mut Session<'_>) {
    if session.inner.noted_is_silent() {
        return;
    }
    let stream = session.inner.state.meta.config.name.clone();
    for (id, advisory) in session.inner.take_advisories() {
        let Some(held) = session.inner.state.consumers.about(id) else { continue };
        let names = (stream.as_str(), held.meta.name.clone());
        let (subject, kind, more) = parts(&names.1, names.0, &advisory);
        let body =
            document(kind, session.now, (&stream, &names.1), more, session.hosted.shared.domain.as_deref());
        emit_plain(session.turn, session.account, subject.as_bytes(), body.as_bytes());
    }
}

fn document(
    kind: &str,
    now: i64,
    (stream, consumer): (&str, &str),
    more: Map<String, Value>,
    domain: Option<&str>,
) -> String {
    let mut out = Map::new();
    let id = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 14]>());
    out.insert("type".into(), format!("io.nats.jetstream.{kind}").into());
    out.insert("id".into(), id.get(..22).unwrap_or(&id).into());
    out.insert("timestamp".into(), Time::from_unix_nanos(now).to_string().into());
    out.insert("stream".into(), stream.into());
    out.insert("consumer".into(), consumer.into());
    out.extend(more);
    if let Some(domain) = domain {
        out.insert("domain".into(), domain.into());
    }
    Value::Object(out).to_string()
}

/// The subject, the type and what else stands in it.
fn parts(
    consumer: &str,
    stream: &str,
    advisory: &NotedAdvisory,
) -> (String, &'static str, Map<String, Value>) {
    let at = |kind: &str| format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}");
    let map = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let handled = |of: &Handled| json!({ "consumer_seq": of.consumer_seq, "stream_seq": of.stream_seq, "deliveries": of.deliveries });
    match advisory {
        NotedAdvisory::Plain(Advisory::MaxDeliveries { stream_seq, deliveries }) => (
            at("MAX_DELIVERIES"),
            "advisory.v1.max_deliver",
            map(json!({ "stream_seq": stream_seq, "deliveries": deliveries })),
        ),
        NotedAdvisory::Plain(Advisory::Nak(of)) => (at("MSG_NAKED"), "advisory.v1.nak", map(handled(of))),
        NotedAdvisory::Plain(Advisory::Acknowledged(of, delay)) => {
            let mut more = map(handled(of));
            more.insert("ack_time".into(), (*delay).into());
            (format!("$JS.EVENT.METRIC.CONSUMER.ACK.{stream}.{consumer}"), "metric.v1.consumer_ack", more)
        }
        NotedAdvisory::Terminated(of, reason) => {
            let mut more = map(handled(of));
            if !reason.is_empty() {
                more.insert("reason".into(), String::from_utf8_lossy(reason).into());
            }
            (at("MSG_TERMINATED"), "advisory.v1.terminated", more)
        }
        NotedAdvisory::Pinned(group, id) => (
            at("PINNED"),
            "advisory.v1.consumer_group_pinned",
            map(json!({ "group": group, "pinned_id": id })),
        ),
        NotedAdvisory::Unpinned(group, reason) => (
            at("UNPINNED"),
            "advisory.v1.consumer_group_unpinned",
            map(json!({ "group": group, "reason": reason })),
        ),
        NotedAdvisory::Plain(_) => (at("OTHER"), "advisory.v1.other", Map::new()),
    }
}
