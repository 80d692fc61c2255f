//! What consumers say to those who want to know: advisories, published in the account of the stream.

use super::emitter::{NotedAdvisory, emit_plain};
use super::hosted::Session;
use super::shared::wall;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::api::advisories::{Action, ConsumerActed, ConsumerPaused, Event, StreamAction};
use dialtone_jetstream::consumer::{Advisory, Handled};
use dialtone_jetstream::json;
use dialtone_jetstream::time::Time;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Publishes what was noted.
pub(super) fn publish(session: &mut Session<'_>) {
    if session.inner.noted_is_silent() {
        return;
    }
    let stream = session.inner.state.meta.config.name.clone();
    for (id, advisory) in session.inner.take_advisories() {
        let Some(held) = session.inner.state.consumers.about(id) else { continue };
        let names = (stream.as_str(), held.meta.name.clone());
        let (subject, kind, mut more) = parts(&names.1, names.0, &advisory);
        if matches!(advisory, NotedAdvisory::Pinned(..) | NotedAdvisory::Unpinned(..)) {
            more.insert("account".into(), (*session.account.name).into());
        }
        let body =
            document(kind, session.now, (&stream, &names.1), more, session.hosted.shared.domain.as_deref());
        emit_plain(session.turn, session.account, subject.as_bytes(), body.as_bytes());
    }
}

/// A random id, as official servers make them.
fn random_id() -> String {
    let mut id = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 14]>());
    id.truncate(22);
    id
}

fn event(kind: &str, now: i64) -> Event {
    Event::new(kind, random_id(), Time::from_unix_nanos(now))
}

/// The last tokens of the subject of what was done.
fn done(action: Action) -> &'static str {
    match action {
        Action::Create => "CREATED",
        Action::Modify => "UPDATED",
        Action::Delete => "DELETED",
    }
}

/// A stream was made, changed or deleted.
pub(crate) fn stream_acted(
    turn: &mut dyn Publish,
    account: &Arc<Account>,
    (stream, action): (&str, Action),
    domain: Option<&str>,
) {
    let body = StreamAction {
        event: event("advisory.v1.stream_action", wall()),
        stream: stream.to_owned(),
        action,
        domain: domain.unwrap_or_default().to_owned(),
    };
    let subject = format!("$JS.EVENT.ADVISORY.STREAM.{}.{stream}", done(action));
    emit_plain(turn, account, subject.as_bytes(), &json::to_vec(&body));
}

/// A consumer was made or deleted.
pub(super) fn consumer_acted(session: &mut Session<'_>, consumer: &str, action: Action) {
    let stream = &*session.hosted.name;
    let body = ConsumerActed {
        event: event("advisory.v1.consumer_action", session.now),
        stream: stream.to_owned(),
        consumer: consumer.to_owned(),
        action,
        domain: session.hosted.shared.domain.as_deref().unwrap_or_default().to_owned(),
    };
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.{}.{stream}.{consumer}", done(action));
    emit_plain(session.turn, session.account, subject.as_bytes(), &json::to_vec(&body));
}

/// A consumer is paused, or goes on.
pub(super) fn consumer_paused(session: &mut Session<'_>, consumer: &str, pause_until: Option<Time>) {
    let stream = &*session.hosted.name;
    let body = ConsumerPaused {
        event: event("advisory.v1.consumer_pause", session.now),
        stream: stream.to_owned(),
        consumer: consumer.to_owned(),
        paused: pause_until.is_some_and(|until| until.unix_nanos() > session.now),
        pause_until: pause_until.unwrap_or(Time::ZERO),
        domain: session.hosted.shared.domain.as_deref().unwrap_or_default().to_owned(),
    };
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{stream}.{consumer}");
    emit_plain(session.turn, session.account, subject.as_bytes(), &json::to_vec(&body));
}

fn document(
    kind: &str,
    now: i64,
    (stream, consumer): (&str, &str),
    more: Map<String, Value>,
    domain: Option<&str>,
) -> String {
    let mut out = Map::new();
    out.insert("type".into(), format!("io.nats.jetstream.{kind}").into());
    out.insert("id".into(), random_id().into());
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
