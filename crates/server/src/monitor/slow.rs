//! `/slowz`: which connections are behind, how far, and on which subjects; and which ones their rate limits hold back.

use super::query::Window;
use crate::node::Node;
use crate::registry::Session;
use crate::times::{duration, stamp};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Instant, SystemTime};

/// Connections that are listed if no limit is given.
pub(super) const LIMIT_DEFAULT: usize = 100;
/// Subjects that are listed of each.
const SUBJECTS_MAX: usize = 32;

pub(super) fn slowz(node: &Node, window: Window) -> Value {
    let mut behind: Vec<_> = node
        .connections
        .registry
        .open()
        .into_iter()
        .map(|session| (session.peer.pending_bytes(), session))
        .filter(|(pending, _)| *pending > 0)
        .collect();
    behind.sort_by_key(|(pending, _)| Reverse(*pending));
    let now = Instant::now();
    let total = behind.len();
    let rows: Vec<Value> = window
        .of(behind)
        .into_iter()
        .map(|(pending, session)| {
            let mut subjects: Vec<_> = session
                .peer
                .subscriptions()
                .iter()
                .map(|s| (Reverse(s.delivered()), String::from_utf8_lossy(s.filter()).into_owned()))
                .collect();
            subjects.sort();
            let blocked = session.peer.blocked_since().map(|since| now.saturating_duration_since(since));
            let client_details = session.known().unwrap_or_default();
            json!({
                "cid": session.peer.id.0,
                "ip": session.shown_remote().map(|r| r.ip().to_string()).unwrap_or_default(),
                "name": client_details.name,
                "account": client_details.account,
                "pending_bytes": pending,
                "dropped_msgs": session.peer.dropped(),
                "blocked_for": duration(blocked.unwrap_or_default()),
                "holds_producers_back": session.peer.stalls(),
                "subjects": subjects.into_iter().take(SUBJECTS_MAX).map(|(_, s)| s).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "server_id": node.settings.identity.id,
        "now": stamp(SystemTime::now()),
        "slow_consumers_closed": node.connections.failures.slow.load(Relaxed),
        "stalled_producers": node.connections.failures.stalled.load(Relaxed),
        "total": total,
        "offset": window.offset,
        "limit": window.limit,
        "connections": rows,
        "rate_limited": rate_limited(node),
    })
}

/// The connections that rate limits concerned most, with how many messages were refused and had to wait.
fn rate_limited(node: &Node) -> Vec<Value> {
    let counts = |session: &Session| (session.refused_msgs.load(Relaxed), session.delayed_msgs.load(Relaxed));
    let open = node.connections.registry.open().into_iter();
    let mut limited: Vec<_> = open
        .map(|session| (counts(&session), session))
        .filter(|((refused, delayed), _)| refused + delayed > 0)
        .collect();
    limited.sort_by_key(|((refused, delayed), session)| (Reverse(refused + delayed), session.peer.id));
    limited.truncate(LIMIT_DEFAULT);
    let row = |((refused, delayed), session): ((u64, u64), Arc<Session>)| {
        let client_details = session.client_details().unwrap_or_default();
        json!({
            "cid": session.peer.id.0,
            "ip": session.shown_remote().map(|r| r.ip().to_string()).unwrap_or_default(),
            "name": client_details.name,
            "account": client_details.account,
            "user": &*client_details.user,
            "refused_msgs": refused,
            "delayed_msgs": delayed,
        })
    };
    limited.into_iter().map(row).collect()
}
