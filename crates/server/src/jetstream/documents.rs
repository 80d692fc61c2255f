//! Responses of the API, in the official order of their fields.

use crate::node::Node;
use crate::streams::{ConsumerMeta, Hosted, Shown, wall};
use dialtone_jetstream::config::{ConsumerConfig, StreamConfig, shown_metadata};
use dialtone_jetstream::error::ApiError;
use dialtone_jetstream::json;
use dialtone_jetstream::messages::Selector;
use dialtone_jetstream::time::{Nanos, Time};
use serde::Serialize;
use std::collections::BTreeMap;

/// Subjects that a page of a stream's information has at most. The official figure.
const SUBJECTS_MAX: usize = 100_000;
/// Deleted messages that are listed at most. The official figure.
const DELETED_MAX: usize = 100_000;

/// A response: what it is, then what stands in it.
#[derive(Serialize)]
struct Response<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ApiError>,
    #[serde(flatten)]
    body: T,
}

/// A response, as it is sent.
pub(super) fn response<T: Serialize>(kind: &str, body: T) -> Vec<u8> {
    json::to_vec(&Response { kind: format!("io.nats.jetstream.api.v1.{kind}"), error: None, body })
}

/// A response that says what is wrong; `body` is what it has all the same.
pub(super) fn failure<T: Serialize>(kind: &str, error: &ApiError, body: T) -> Vec<u8> {
    json::to_vec(&Response { kind: format!("io.nats.jetstream.api.v1.{kind}"), error: Some(error), body })
}

/// Nothing more.
#[derive(Serialize)]
pub(super) struct Empty {}

/// Whether something was done.
#[derive(Serialize)]
pub(super) struct Success {
    /// It was.
    pub success: bool,
}

/// Where a page is.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Page {
    pub total: usize,
    pub offset: usize,
    pub limit: usize,
}

impl Page {
    /// The part of `all` that a request with this offset gets.
    pub fn of<T>(all: Vec<T>, offset: i64, limit: usize) -> (Self, Vec<T>) {
        let total = all.len();
        let offset = usize::try_from(offset).unwrap_or(0).min(total);
        let part = all.into_iter().skip(offset).take(limit).collect();
        (Self { total, offset, limit }, part)
    }
}

/// The figures of a stream.
#[derive(Serialize)]
pub(super) struct StateDoc {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    first_ts: Time,
    last_seq: u64,
    last_ts: Time,
    #[serde(skip_serializing_if = "is_zero")]
    num_subjects: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    subjects: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "is_zero")]
    num_deleted: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<u64>,
    consumer_count: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Who answers.
#[derive(Serialize)]
pub(super) struct Cluster {
    leader: String,
}

/// A stream.
#[derive(Serialize)]
pub(super) struct StreamDoc {
    config: StreamConfig,
    created: Time,
    state: StateDoc,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Cluster>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<Time>,
}

/// What is wanted of a stream beside its figures.
#[derive(Default)]
pub(super) struct Details<'a> {
    pub deleted: bool,
    pub subjects: Option<&'a str>,
    pub offset: i64,
    pub leader: Option<&'a Node>,
    /// A list shows less of the metadata.
    pub is_listed: bool,
}

/// A stream, as the API shows it, and where the page of subjects is.
pub(super) fn stream(hosted: &Hosted, details: &Details<'_>) -> (StreamDoc, Page) {
    let inner = hosted.lock();
    let state = &inner.state;
    let mut config = state.meta.config.clone();
    if !details.is_listed {
        config.metadata = shown_metadata(&config.metadata);
    }
    let (totals, messages) = (state.machine.totals(), state.machine.messages());
    let time_of = |nanos: i64| if nanos == 0 { Time::ZERO } else { Time::from_unix_nanos(nanos) };
    let first_ts = messages.head(totals.first).map_or(Time::ZERO, |head| time_of(head.time));
    let num_deleted = (totals.last + 1).saturating_sub(totals.first).saturating_sub(totals.count);
    let has_any = totals.count > 0;
    let (page, subjects) = details.subjects.map_or_else(Default::default, |filter| {
        let selector = Selector::new([filter.as_bytes()]);
        let all = messages.selected(&selector);
        let mut all: Vec<(String, u64)> = all
            .map(|(_, subject)| (String::from_utf8_lossy(subject.name()).into_owned(), subject.count))
            .collect();
        all.sort();
        let page = Page::of(all, details.offset, SUBJECTS_MAX);
        (page.0, page.1.into_iter().collect())
    });
    let deleted = if details.deleted && has_any {
        messages.gaps().flat_map(|(from, to)| from..=to).take(DELETED_MAX).collect()
    } else {
        Vec::new()
    };
    let doc = StreamDoc {
        config,
        created: Time::from_unix_nanos(state.meta.created),
        state: StateDoc {
            messages: totals.count,
            bytes: totals.bytes,
            first_seq: totals.first,
            first_ts,
            last_seq: totals.last,
            last_ts: time_of(totals.last_time),
            num_subjects: messages.subjects_count(),
            subjects,
            num_deleted: if has_any { usize::try_from(num_deleted).unwrap_or(0) } else { 0 },
            deleted,
            consumer_count: state.consumers.len(),
        },
        cluster: details.leader.map(|node| Cluster { leader: node.settings.identity.name.clone() }),
        ts: Some(Time::from_unix_nanos(wall())),
    };
    (doc, page)
}

/// A stream, and that it was made.
#[derive(Serialize)]
pub(super) struct Created {
    #[serde(flatten)]
    pub stream: StreamDoc,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub did_create: bool,
}

/// A stream, and where a page of its subjects is.
#[derive(Serialize)]
pub(super) struct Paged<T: Serialize> {
    #[serde(flatten)]
    pub page: Page,
    #[serde(flatten)]
    pub body: T,
}

/// Where a consumer is.
#[derive(Serialize)]
struct Sequence {
    consumer_seq: u64,
    stream_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_active: Option<Time>,
}

/// A priority group.
#[derive(Serialize)]
struct Group {
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pinned_client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_ts: Option<Time>,
}

/// The figures of a consumer.
#[derive(Serialize)]
struct Figures {
    delivered: Sequence,
    ack_floor: Sequence,
    num_ack_pending: usize,
    num_redelivered: usize,
    num_waiting: usize,
    num_pending: u64,
}

/// A consumer.
#[derive(Serialize)]
pub(super) struct ConsumerDoc {
    stream_name: String,
    name: String,
    created: Time,
    config: ConsumerConfig,
    #[serde(flatten)]
    figures: Figures,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    push_bound: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_remaining: Option<Nanos>,
    ts: Time,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    priority_groups: Vec<Group>,
}

/// A consumer, as the API shows it.
pub(super) fn consumer(stream: &str, shown: Shown) -> ConsumerDoc {
    let Shown { meta: ConsumerMeta { mut config, created, name, .. }, info } = shown;
    config.metadata = shown_metadata(&config.metadata);
    let at = |at: Option<i64>| at.map(Time::from_unix_nanos);
    ConsumerDoc {
        stream_name: stream.to_owned(),
        name,
        created: Time::from_unix_nanos(created),
        config,
        figures: Figures {
            delivered: Sequence {
                consumer_seq: info.delivered.consumer,
                stream_seq: info.delivered.stream,
                last_active: at(info.delivered_at),
            },
            ack_floor: Sequence {
                consumer_seq: info.ack_floor.consumer,
                stream_seq: info.ack_floor.stream,
                last_active: at(info.acked_at),
            },
            num_ack_pending: info.num_ack_pending,
            num_redelivered: info.num_redelivered,
            num_waiting: info.num_waiting,
            num_pending: info.num_pending,
        },
        push_bound: info.push_bound,
        paused: info.pause_remaining.is_some(),
        pause_remaining: info.pause_remaining.map(Nanos),
        ts: Time::from_unix_nanos(wall()),
        priority_groups: info
            .priority_group
            .into_iter()
            .map(|group| {
                let (pinned_client_id, pinned_ts) = match group.pinned {
                    Some((id, since)) => (id.into(), Some(Time::from_unix_nanos(since))),
                    None => (String::new(), None),
                };
                Group { group: group.group.into(), pinned_client_id, pinned_ts }
            })
            .collect(),
    }
}
