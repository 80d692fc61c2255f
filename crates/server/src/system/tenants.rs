//! What anyone may ask in its own account: who is connected there, the account's traffic, and who one is.
//!
//! Each question arrives in an account, and is answered about that account and no other, whatever its body says.

use super::about;
use super::requests::{connz_of, statz_of};
use crate::internal::{Desk, Message};
use crate::registry::Session;
use dialtone_config::options::{Permissions, Rules};
use dialtone_subject::Matches;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The connections of the asker's account.
pub(super) fn connz(desk: &mut Desk, message: &Message) {
    connz_of(desk, message, message.account.name.to_string());
}

/// The traffic of the asker's account.
pub(super) fn statz(desk: &mut Desk, message: &Message) {
    statz_of(desk, message, vec![message.account.name.to_string()]);
}

/// Who asks, and what it may do.
pub(super) fn user_info(desk: &mut Desk, message: &Message) {
    let Some(session) = asker(desk, message) else { return };
    let user = session.introduction.get().map(|i| i.user.clone()).unwrap_or_default();
    let mut data = Map::new();
    data.insert("user".into(), user.into());
    data.insert("account".into(), (*message.account.name).into());
    data.insert("account_name".into(), (*message.account.name).into());
    if let Some(permissions) = session.peer.place().permissions {
        data.insert("permissions".into(), described(permissions.source()));
    }
    answer(desk, message, data.into());
}

/// Asked in the system account about a user of another: of nobody.
pub(super) fn nobody(desk: &mut Desk, message: &Message) {
    answer(desk, message, json!({ "user": "", "account": "" }));
}

fn answer(desk: &mut Desk, message: &Message, data: Value) {
    let answer = json!({ "server": about::server(&desk.shared), "data": data });
    desk.reply(message, answer.to_string());
}

/// Who asks: the connection that gets the answer, so nobody is told about another.
fn asker(desk: &Desk, message: &Message) -> Option<Arc<Session>> {
    let mut matches = Matches::default();
    message.account.interest().matches(message.reply.as_bytes(), &mut matches);
    let ids: Vec<_> = matches.plain.iter().map(|subscriber| subscriber.0.peer().id).collect();
    ids.into_iter().find_map(|id| desk.shared.registry.find(id))
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
