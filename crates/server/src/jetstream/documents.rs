//! What there is to say of streams and consumers, as documents of the API.

use crate::node::Node;
use crate::streams::{ConsumerMeta, Hosted, Shown, wall};
use dialtone_jetstream::api::{
    ClusterInfo, ConsumerInfo, Paged, PriorityGroupState, SUBJECTS_MAX, SequenceInfo, StreamInfo, StreamState,
};
use dialtone_jetstream::config::shown_metadata;
use dialtone_jetstream::consumer::{Position, PriorityGroupInfo};
use dialtone_jetstream::messages::{Messages, Selector};
use dialtone_jetstream::time::{Nanos, Time};
use std::collections::{BTreeMap, BinaryHeap};

/// What is wanted of a stream beside its figures.
#[derive(Default)]
pub(crate) struct Details<'a> {
    /// The sequences that are missing.
    pub deleted: bool,
    /// These subjects, from an offset on.
    pub subjects: Option<(&'a str, i64)>,
    /// Who answers.
    pub leader: Option<&'a Node>,
    /// A list shows less of the metadata.
    pub is_listed: bool,
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A time that a stream has; 0 is none.
fn time_of(nanos: i64) -> Time {
    if nanos == 0 { Time::ZERO } else { Time::from_unix_nanos(nanos) }
}

/// The page of a stream's subjects, and how many messages each has.
fn subjects(messages: &Messages, filter: &str, offset: i64) -> (Paged, BTreeMap<String, u64>) {
    let selector = Selector::new([filter.as_bytes()]);
    let first = usize::try_from(offset).unwrap_or(0);
    // No more than those up to the end of the page are kept.
    let (mut all, mut total) = (BinaryHeap::new(), 0);
    for subject in messages.selected(&selector) {
        total += 1;
        all.push((Box::<[u8]>::from(subject.name()), subject.count));
        if all.len() > first.saturating_add(SUBJECTS_MAX) {
            all.pop();
        }
    }
    if total == 0 {
        return Default::default();
    }
    let part = all.into_sorted_vec().into_iter().skip(first);
    let part = part.map(|(name, count)| (String::from_utf8_lossy(&name).into_owned(), count)).collect();
    (Paged { total: count(total), offset: count(first), limit: count(SUBJECTS_MAX) }, part)
}

/// A stream, and where the page of subjects is.
pub(crate) fn stream(hosted: &Hosted, details: &Details<'_>) -> (StreamInfo, Paged) {
    let inner = hosted.lock();
    let state = &inner.state;
    let mut config = (*state.meta.config).clone();
    if !details.is_listed {
        config.metadata = shown_metadata(&config.metadata);
    }
    let (totals, messages) = (state.machine.totals(), state.machine.messages());
    let has_any = totals.count > 0;
    let missing = (totals.last + 1).saturating_sub(totals.first).saturating_sub(totals.count);
    let (page, subjects) =
        details.subjects.map_or_else(Default::default, |(filter, offset)| subjects(messages, filter, offset));
    let deleted = if details.deleted && has_any {
        messages.gaps().flat_map(|(from, to)| from..=to).collect()
    } else {
        Vec::new()
    };
    let shown = StreamState {
        messages: totals.count,
        bytes: totals.bytes,
        first_seq: totals.first,
        first_ts: messages.head(totals.first).map_or(Time::ZERO, |head| time_of(head.time)),
        last_seq: totals.last,
        last_ts: time_of(totals.last_time),
        num_subjects: count(messages.subjects_count()),
        subjects,
        num_deleted: if has_any { i64::try_from(missing).unwrap_or(i64::MAX) } else { 0 },
        deleted,
        lost: None,
        consumer_count: count(state.shown_consumers()),
    };
    let leader =
        |node: &Node| ClusterInfo { leader: node.settings.identity.name.clone(), ..ClusterInfo::default() };
    let (mirror, sources) = state.origins.shown(&state.meta.config);
    let info = StreamInfo {
        config,
        created: Time::from_unix_nanos(state.meta.created),
        state: shown,
        domain: hosted.domain().unwrap_or_default().to_owned(),
        cluster: details.leader.map(leader),
        mirror,
        sources,
        ts: Time::from_unix_nanos(wall()),
        ..StreamInfo::default()
    };
    (info, page)
}

fn sequence(at: Position, last_active: Option<i64>) -> SequenceInfo {
    SequenceInfo {
        consumer_seq: at.consumer,
        stream_seq: at.stream,
        last_active: last_active.map(Time::from_unix_nanos),
    }
}

fn priority_group(group: PriorityGroupInfo) -> PriorityGroupState {
    let (pinned_client_id, pinned_ts) = match group.pinned {
        Some((id, since)) => (id.into(), Time::from_unix_nanos(since)),
        None => (String::new(), Time::ZERO),
    };
    PriorityGroupState { group: group.group.into(), pinned_client_id, pinned_ts }
}

/// A consumer; a list shows less of its metadata.
pub(crate) fn consumer(stream: &str, shown: Shown, is_listed: bool) -> ConsumerInfo {
    let Shown { meta, info } = shown;
    let (mut config, ConsumerMeta { created, name, .. }) = (meta.config(), meta);
    if !is_listed {
        config.metadata = shown_metadata(&config.metadata);
    }
    ConsumerInfo {
        stream_name: stream.to_owned(),
        name: name.to_string(),
        created: Time::from_unix_nanos(created),
        config: Some(config),
        delivered: sequence(info.delivered, info.delivered_at),
        ack_floor: sequence(info.ack_floor, info.acked_at),
        num_ack_pending: count(info.num_ack_pending),
        num_redelivered: count(info.num_redelivered),
        num_waiting: count(info.num_waiting),
        num_pending: info.num_pending,
        cluster: None,
        push_bound: info.push_bound,
        paused: info.pause_remaining.is_some(),
        pause_remaining: Nanos(info.pause_remaining.unwrap_or(0)),
        ts: Time::from_unix_nanos(wall()),
        priority_groups: info.priority_group.into_iter().map(priority_group).collect(),
    }
}
