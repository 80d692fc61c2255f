//! `/slowz`: which connections are behind, how far, and on which subjects; how the links to other servers are; and which connections
//! their rate limits hold back.

use super::query::Window;
use crate::documents::{Head, json};
use crate::links::{Carried, Link};
use crate::node::Node;
use crate::registry::Session;
use crate::streams::wall;
use crate::times::duration;
use dialtone_jetstream::consumer::Hold;
use serde::Serialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Connections that are listed if no limit is given.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Subjects that are listed of each.
const SUBJECTS_MAX: usize = 32;
/// Nanoseconds without a delivery after which a consumer that has something to deliver stands.
const STANDS_AFTER: i64 = 1_000_000_000;

#[derive(Serialize)]
struct Slowz {
    #[serde(flatten)]
    head: Head,
    slow_consumers_closed: u64,
    stalled_producers: u64,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Vec<Behind>,
    links: Vec<LinkRow>,
    rate_limited: Vec<RateLimited>,
    consumers: Vec<StandingConsumer>,
}

/// A connection that does not read as fast as messages come for it.
#[derive(Serialize)]
struct Behind {
    cid: u64,
    ip: String,
    name: String,
    account: String,
    pending_bytes: usize,
    dropped_msgs: u32,
    blocked_for: String,
    holds_producers_back: bool,
    subjects: Vec<String>,
}

/// A connection to another server.
#[derive(Serialize)]
struct LinkRow {
    kind: &'static str,
    remote: String,
    cid: u64,
    ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    rtt: String,
    #[serde(flatten)]
    load: LinkLoad,
    blocked_for: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression_ratio: Option<f64>,
    subscriptions: usize,
    interest_told: u64,
}

#[derive(Serialize)]
struct LinkLoad {
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
}

/// A connection of which a rate limit refused messages or let them wait.
#[derive(Serialize)]
struct RateLimited {
    cid: u64,
    ip: String,
    name: String,
    account: String,
    user: String,
    refused_msgs: u64,
    delayed_msgs: u64,
}

/// A consumer that does not deliver, though it could.
#[derive(Serialize)]
struct StandingConsumer {
    account: String,
    stream: String,
    consumer: String,
    num_pending: u64,
    num_ack_pending: usize,
    num_redelivered: usize,
    num_waiting: usize,
    paused: bool,
    /// What holds it up; `unknown` is nothing that the server has a name for.
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_delivery_ago: Option<String>,
}

pub(super) fn slowz(node: &Node, window: Window) -> Value {
    let open = node.connections.registry.open().into_iter();
    let mut behind: Vec<_> = open
        .map(|session| (session.peer.pending_bytes(), session))
        .filter(|(pending, _)| *pending > 0)
        .collect();
    behind.sort_by_key(|(pending, _)| Reverse(*pending));
    let now = Instant::now();
    let total = behind.len();
    let rows = window.of(behind).into_iter();
    let failures = &node.connections.failures;
    json(&Slowz {
        head: Head::new(&node.settings),
        slow_consumers_closed: failures.slow.total().saturating_sub(failures.slow_kept.load(Relaxed)),
        stalled_producers: node.connections.failures.stalled.load(Relaxed),
        total,
        offset: window.offset,
        limit: window.limit,
        connections: rows.map(|(pending, session)| self::behind(&session, pending, now)).collect(),
        links: links(node, window, now),
        rate_limited: rate_limited(node),
        consumers: consumers(node, window),
    })
}

/// Consumers of streams with messages to deliver, somebody who waits for them, and no delivery for a while: those with most messages first.
fn consumers(node: &Node, window: Window) -> Vec<StandingConsumer> {
    let now = wall();
    let mut standing = Vec::new();
    for hosted in node.streams.all.all() {
        let account = hosted.account().map(|account| account.name.to_string()).unwrap_or_default();
        for (consumer, info) in hosted.consumer_figures() {
            let idle = info.delivered_at.map(|at| now.saturating_sub(at));
            let stands = info.could_deliver() && idle.is_none_or(|idle| idle >= STANDS_AFTER);
            if stands {
                standing.push(StandingConsumer {
                    account: account.clone(),
                    stream: hosted.name.to_string(),
                    consumer,
                    num_pending: info.num_pending,
                    num_ack_pending: info.num_ack_pending,
                    num_redelivered: info.num_redelivered,
                    num_waiting: info.num_waiting,
                    paused: info.pause_remaining.is_some(),
                    reason: info.held_by.map_or("unknown", Hold::name),
                    last_delivery_ago: idle
                        .and_then(|idle| u64::try_from(idle).ok())
                        .map(|idle| duration(Duration::from_nanos(idle))),
                });
            }
        }
    }
    standing.sort_by_key(|row| Reverse(row.num_pending));
    window.of(standing)
}

/// The links to other servers, those first for which most waits.
fn links(node: &Node, window: Window, now: Instant) -> Vec<LinkRow> {
    let mut open = node.delivery.links();
    open.sort_by_key(|link| (Reverse(link.session.peer.pending_bytes()), link.session.peer.id));
    window.of(open).iter().map(|link| link_row(link, now)).collect()
}

fn link_row(link: &Link, now: Instant) -> LinkRow {
    let (peer, profile) = (&link.session.peer, link.session.profile());
    let Carried { traffic, interest_told } = Carried::by(&link.session);
    LinkRow {
        kind: link.kind.link_name(),
        remote: link.remote.clone(),
        cid: peer.id.0,
        ip: profile.host().unwrap_or_default(),
        account: peer.place().account.map(|account| account.name.to_string()),
        rtt: duration(link.session.rtt()),
        load: LinkLoad {
            pending_bytes: peer.pending_bytes(),
            in_msgs: traffic.in_msgs,
            out_msgs: traffic.out_msgs,
            in_bytes: traffic.in_bytes,
            out_bytes: traffic.out_bytes,
        },
        blocked_for: duration(blocked_for(&link.session, now)),
        compression_ratio: link.compression.as_ref().and_then(|state| state.sent().ratio()),
        subscriptions: link.subscriptions,
        interest_told,
    }
}

/// How long its socket has taken nothing, though something waits.
fn blocked_for(session: &Session, now: Instant) -> Duration {
    session.peer.blocked_since().map(|since| now.saturating_duration_since(since)).unwrap_or_default()
}

fn behind(session: &Session, pending_bytes: usize, now: Instant) -> Behind {
    let subscriptions = session.peer.subscriptions();
    let mut subjects: Vec<_> = subscriptions
        .iter()
        .map(|s| (Reverse(s.delivered()), String::from_utf8_lossy(s.filter()).into_owned()))
        .collect();
    drop(subscriptions);
    subjects.sort();
    let profile = session.profile();
    let details = profile.known().cloned().unwrap_or_default();
    Behind {
        cid: session.peer.id.0,
        ip: profile.host().unwrap_or_default(),
        name: details.name.to_string(),
        account: details.account.to_string(),
        pending_bytes,
        dropped_msgs: session.peer.dropped(),
        blocked_for: duration(blocked_for(session, now)),
        holds_producers_back: session.peer.stalls(),
        subjects: subjects.into_iter().take(SUBJECTS_MAX).map(|(_, subject)| subject).collect(),
    }
}

/// The connections that rate limits concerned most, with how many messages were refused and had to wait.
fn rate_limited(node: &Node) -> Vec<RateLimited> {
    let counts = |session: &Session| (session.refused_msgs.load(Relaxed), session.delayed_msgs.load(Relaxed));
    let open = node.connections.registry.open().into_iter();
    let mut limited: Vec<_> = open
        .map(|session| (counts(&session), session))
        .filter(|((refused, delayed), _)| refused + delayed > 0)
        .collect();
    limited.sort_by_key(|((refused, delayed), session)| (Reverse(refused + delayed), session.peer.id));
    limited.truncate(LIMIT_DEFAULT);
    let row = |((refused_msgs, delayed_msgs), session): ((u64, u64), Arc<Session>)| {
        let profile = session.profile();
        let details = profile.connect().cloned().unwrap_or_default();
        RateLimited {
            cid: session.peer.id.0,
            ip: profile.host().unwrap_or_default(),
            name: details.name.to_string(),
            account: details.account.to_string(),
            user: details.user.to_string(),
            refused_msgs,
            delayed_msgs,
        }
    };
    limited.into_iter().map(row).collect()
}
