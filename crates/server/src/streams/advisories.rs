//! What streams and consumers say to those who want to know: advisories, published in the account of the stream.

use super::emitter::{NotedAdvisory, emit_plain};
use super::session::Session;
use super::shared::wall;
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::api::advisories::{
    AbandonReason, Acknowledged, Action, BatchAbandoned, ConsumerActed, ConsumerPaused, Event, MaxDeliveries,
    Naked, Pinned, StreamAction, Terminated, Unpinned,
};
use dialtone_jetstream::consumer::{Advisory, Handled};
use dialtone_jetstream::json;
use dialtone_jetstream::time::Time;
use std::sync::Arc;

/// Publishes what was noted.
pub(super) fn publish(session: &mut Session<'_>) {
    if session.inner.noted_is_silent() {
        return;
    }
    for (id, advisory) in session.inner.take_advisories() {
        let Some(held) = session.inner.state.consumers.about(id) else { continue };
        let consumer = held.meta.name().to_owned();
        if let Some((kind, body)) = said(session, &consumer, advisory) {
            let subject = format!("$JS.EVENT.{kind}.{}.{consumer}", session.hosted.name);
            emit_plain(session.turn, session.account, subject.as_bytes(), &body);
        }
    }
}

/// Publishes that batches were given up.
pub(super) fn publish_abandoned(session: &mut Session<'_>) {
    for (batch, why) in session.inner.batches.atomic.take_abandoned() {
        let stream = session.hosted.name.to_string();
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{stream}");
        let body = BatchAbandoned {
            event: event("advisory.v1.stream_batch_abandoned", session.now),
            stream,
            domain: domain(session),
            batch: String::from_utf8_lossy(&batch).into_owned(),
            reason: AbandonReason::from_name(why.name()).unwrap_or_default(),
            ..BatchAbandoned::default()
        };
        emit_plain(session.turn, session.account, subject.as_bytes(), &json::to_vec(&body));
    }
}

/// Publishes an event in an account.
pub(crate) fn publish_event(
    turn: &mut dyn Publish,
    account: &Arc<Account>,
    subject: &str,
    body: &impl serde::Serialize,
) {
    emit_plain(turn, account, subject.as_bytes(), &json::to_vec(body));
}

/// The beginning of an event of this moment.
pub(crate) fn event_of_now(kind: &str) -> Event {
    event(kind, wall())
}

/// How long the id of an event is. The official figure.
const EVENT_ID_BYTES: usize = 22;

/// The beginning of an event, with a random id as official servers make them.
fn event(kind: &str, now: i64) -> Event {
    Event::new(kind, crate::random::name(EVENT_ID_BYTES), Time::from_unix_nanos(now))
}

fn domain(session: &Session<'_>) -> String {
    session.hosted.shared.domain.as_deref().unwrap_or_default().to_owned()
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
        domain: domain(session),
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
        domain: domain(session),
    };
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.{stream}.{consumer}");
    emit_plain(session.turn, session.account, subject.as_bytes(), &json::to_vec(&body));
}

/// The subject behind `$JS.EVENT.` of what a consumer says, and its document.
fn said(session: &Session<'_>, consumer: &str, advisory: NotedAdvisory) -> Option<(&'static str, Vec<u8>)> {
    let (stream, consumer) = (session.hosted.name.to_string(), consumer.to_owned());
    let (domain, now) = (domain(session), session.now);
    let account = || session.account.name.to_string();
    Some(match advisory {
        NotedAdvisory::Plain(Advisory::MaxDeliveries { stream_seq, deliveries }) => {
            let event = event("advisory.v1.max_deliver", now);
            let body = MaxDeliveries { event, stream, consumer, stream_seq, deliveries, domain };
            ("ADVISORY.CONSUMER.MAX_DELIVERIES", json::to_vec(&body))
        }
        NotedAdvisory::Plain(Advisory::Nak(Handled { consumer_seq, stream_seq, deliveries })) => {
            let event = event("advisory.v1.nak", now);
            let body = Naked { event, stream, consumer, consumer_seq, stream_seq, deliveries, domain };
            ("ADVISORY.CONSUMER.MSG_NAKED", json::to_vec(&body))
        }
        NotedAdvisory::Plain(Advisory::Acknowledged(
            Handled { consumer_seq, stream_seq, deliveries },
            ack_time,
        )) => {
            let event = event("metric.v1.consumer_ack", now);
            let body = Acknowledged {
                event,
                stream,
                consumer,
                consumer_seq,
                stream_seq,
                ack_time,
                deliveries,
                domain,
            };
            ("METRIC.CONSUMER.ACK", json::to_vec(&body))
        }
        NotedAdvisory::Terminated(Handled { consumer_seq, stream_seq, deliveries }, reason) => {
            let event = event("advisory.v1.terminated", now);
            let reason = String::from_utf8_lossy(&reason).into_owned();
            let body =
                Terminated { event, stream, consumer, consumer_seq, stream_seq, deliveries, reason, domain };
            ("ADVISORY.CONSUMER.MSG_TERMINATED", json::to_vec(&body))
        }
        NotedAdvisory::Pinned(group, id) => {
            let event = event("advisory.v1.consumer_group_pinned", now);
            let (group, pinned_id) = (group.into(), id.into());
            let body = Pinned { event, account: account(), stream, consumer, domain, group, pinned_id };
            ("ADVISORY.CONSUMER.PINNED", json::to_vec(&body))
        }
        NotedAdvisory::Unpinned(group, reason) => {
            let event = event("advisory.v1.consumer_group_unpinned", now);
            let (group, reason) = (group.into(), reason.into());
            let body = Unpinned { event, account: account(), stream, consumer, domain, group, reason };
            ("ADVISORY.CONSUMER.UNPINNED", json::to_vec(&body))
        }
        // The others are noted under kinds of their own.
        NotedAdvisory::Plain(_) => return None,
    })
}
