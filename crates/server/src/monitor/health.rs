//! `/healthz`: whether the server can do its work.

use super::{Answer, BadQuery, JSON, Query};
use crate::shared::Shared;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn healthz(shared: &Arc<Shared>, query: &Query) -> Result<Answer, BadQuery> {
    let mut flags = Vec::new();
    for name in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only", "details"] {
        flags.push(query.flag(name)?);
    }
    let (account, stream, consumer) = (query.text("account"), query.text("stream"), query.text("consumer"));
    let problem = if !stream.is_empty() && account.is_empty() {
        Some((400, "\"account\" must not be empty when checking stream health"))
    } else if !consumer.is_empty() && stream.is_empty() {
        Some((400, "\"stream\" must not be empty when checking consumer health"))
    } else if shared.lame_duck.load(Ordering::Relaxed) {
        Some((503, "server is in lame duck mode"))
    } else {
        None
    };
    let (status, body) = match problem {
        None => (200, json!({ "status": "ok" })),
        Some((400, why)) => (400, json!({ "status": "error", "error": why })),
        Some((status, why)) => (status, json!({ "status": "unavailable", "error": why })),
    };
    Ok(Answer { status, content_type: JSON, body: body.to_string().into_bytes() })
}
