//! What users and accounts ask of themselves: who one is, and how many subscriptions there are.
//!
//! Such a question comes by a service of the system account, so a header written by the server says who asks.

use super::answer::count;
use crate::internal::Message;
use crate::node::Publisher;
use crate::registry::Session;
use crate::system::about;
use dialtone_broker::peer::ClientId;
use dialtone_broker::sharing::requester::HEADER;
use dialtone_config::options::{Permissions, Rules};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Who asks, and what it may do: of nobody, if the question comes from the system account itself.
pub(super) fn user_info(publisher: &mut Publisher, message: &Message) {
    let asker = Asker::of(message);
    let mut data = Map::new();
    let mut set = |key: &str, value: Value| {
        data.insert(key.into(), value);
    };
    set("user", asker.text("user").into());
    set("account", asker.text("acc").into());
    if !asker.text("acc").is_empty() {
        set("account_name", publisher.node.accounts.name_of(asker.text("acc")).into());
    }
    if let Some(session) = asker.session(publisher) {
        let claimed = session.claimed();
        if let Some(name) = claimed.as_ref().map(|claimed| &claimed.name).filter(|name| !name.is_empty()) {
            set("user_name", name.as_str().into());
        }
        if let Some(permissions) = session.peer.place().permissions {
            set("permissions", described(permissions.source()));
        }
        if let Some(left) = claimed.and_then(|claimed| claimed.token.expires).and_then(nanoseconds_until) {
            set("expires", left.into());
        }
    }
    let answer = json!({ "server": about::server(&publisher.node), "data": data });
    publisher.reply(message, answer.to_string());
}

/// How many subscriptions there are in the asker's account: `subject [queue]`.
pub(super) fn subscribers(publisher: &mut Publisher, message: &Message) {
    let asker = Asker::of(message);
    let account = publisher.node.accounts.find(asker.text("acc")).unwrap_or_else(|| message.account.clone());
    let text = String::from_utf8_lossy(&message.payload).into_owned();
    let mut words = text.split_whitespace();
    let (subject, queue) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let count =
        if words.next().is_some() { 0 } else { count(&account, subject.as_bytes(), queue.as_bytes()) };
    publisher.reply(message, count.to_string());
}

/// What a question says of who asks.
pub(super) struct Asker(Value);

impl Asker {
    pub(super) fn of(message: &Message) -> Self {
        let header = std::str::from_utf8(HEADER).ok().and_then(|name| message.header(name));
        Self(header.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default())
    }

    pub(super) fn text(&self, field: &str) -> &str {
        self.0.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Its connection to this server.
    fn session(&self, publisher: &Publisher) -> Option<Arc<Session>> {
        let id = self.0.get("id").and_then(Value::as_u64)?;
        let session = publisher.node.connections.registry.find(ClientId(id))?;
        let account = session.peer.place().account?;
        let here = *publisher.node.delivery.service_requests.server == *self.text("server");
        (here && *account.name == *self.text("acc")).then_some(session)
    }
}

fn nanoseconds_until(second: i64) -> Option<u64> {
    let end = UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(second).ok()?);
    let left = end.duration_since(SystemTime::now()).ok()?;
    Some(left.as_nanos() as u64)
}

fn described(permissions: &Permissions) -> Value {
    let side = |rules: &Rules| {
        let mut out = Map::new();
        if let Some(allow) = rules.allow.as_ref().filter(|allow| !allow.is_empty()) {
            out.insert("allow".into(), allow.clone().into());
        }
        if !rules.deny.is_empty() {
            out.insert("deny".into(), rules.deny.clone().into());
        }
        Value::Object(out)
    };
    let mut out = json!({ "publish": side(&permissions.publish), "subscribe": side(&permissions.subscribe) });
    if let (Some(object), Some(responses)) = (out.as_object_mut(), permissions.responses) {
        let max = responses.max_msgs.map_or(-1, |max| max as i64);
        let ttl = responses.expires.map_or(-1, |span| span.as_nanos() as i64);
        object.insert("responses".into(), json!({ "max": max, "ttl": ttl }));
    }
    out
}
