//! Commands to this server: `$SYS.REQ.SERVER.<id>.RELOAD`, `.KICK`, `.LDM` and `.LEAVE`.

use super::answer::refusal;
use super::filter::Filter;
use crate::client::send_away;
use crate::internal::Message;
use crate::monitor::source::{Bad, Body};
use crate::node::Executor;
use crate::registry::Session;
use crate::reload;
use crate::system::about;
use dialtone_broker::peer::ClientId;
use dialtone_wire::CloseReason;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Reads the configuration again.
pub(super) fn reload(executor: &mut Executor, message: &Message) {
    let result = reload::reread(&executor.node);
    answer(executor, message, result);
}

/// Closes one connection: `{cid}`.
pub(super) fn kick(executor: &mut Executor, message: &Message) {
    let Some(found) = client(executor, message) else { return };
    if !is_meant(executor, message) {
        return;
    }
    let result = found.ok_or("no such client or leafnode id").map(|session| {
        session.peer.close(CloseReason::Kicked);
    });
    answer(executor, message, result.map_err(str::to_owned));
}

/// Asks one client to go elsewhere: `{cid}`.
pub(super) fn lame_duck(executor: &mut Executor, message: &Message) {
    let Some(found) = client(executor, message) else { return };
    if !is_meant(executor, message) {
        return;
    }
    let result = found.ok_or("no such client id").and_then(|session| {
        if !session.peer.takes_info() {
            return Err("client does not support Lame Duck Mode or is not ready to receive the notification");
        }
        send_away(&session, &executor.node);
        Ok(())
    });
    answer(executor, message, result.map_err(str::to_owned));
}

/// Leaves the cluster for good: clients go as in lame duck mode, the server ends, and the others forget it.
pub(super) fn leave(executor: &mut Executor, message: &Message) {
    let node = executor.node.clone();
    let Some(end) = node.settings.end.get() else {
        return answer(executor, message, Err("the server has not started yet".to_owned()));
    };
    node.connections.leaves_for_good.store(true, Ordering::Release);
    answer(executor, message, Ok(()));
    // It is written before connections end, which another thread does.
    executor.write();
    end();
}

/// The client that is meant. `None` for a body that cannot be understood, which is not answered.
fn client(executor: &Executor, message: &Message) -> Option<Option<Arc<Session>>> {
    let body: Option<Map<String, Value>> = serde_json::from_slice(&message.payload).ok()?;
    let body = body.unwrap_or_default();
    let cid = match body.get("cid") {
        None | Some(Value::Null) => 0,
        Some(cid) => cid.as_u64()?,
    };
    Some(executor.node.connections.registry.find(ClientId(cid)))
}

/// Whether the command's filter admits this server. A filter that cannot be understood is answered.
fn is_meant(executor: &mut Executor, message: &Message) -> bool {
    match Body::read(&message.payload, "", "").and_then(|body| Filter::read(&body)) {
        Ok(filter) => filter.admits(&executor.node),
        Err(Bad(why)) => {
            let answer = refusal(&about::server(&executor.node), &why);
            executor.reply(message, answer.to_string());
            false
        }
    }
}

fn answer(executor: &mut Executor, message: &Message, result: Result<(), String>) {
    let server = about::server(&executor.node);
    let answer = match result {
        Ok(()) => json!({ "server": server }),
        Err(why) => json!({ "server": server, "error": { "code": 500, "description": why } }),
    };
    executor.reply(message, answer.to_string());
}
