//! Commands to this server: `$SYS.REQ.SERVER.<id>.RELOAD`, `.KICK` and `.LDM`.

use super::about;
use super::filter::Filter;
use super::requests::refusal;
use crate::internal::{Desk, Message};
use crate::lifecycle;
use crate::monitor::source::{Bad, Body};
use crate::registry::Session;
use crate::reload;
use dialtone_broker::peer::ClientId;
use dialtone_wire::CloseReason;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Reads the configuration again.
pub(super) fn reload(desk: &mut Desk, message: &Message) {
    let result = reload::again(&desk.shared);
    answer(desk, message, result);
}

/// Closes one connection: `{cid}`.
pub(super) fn kick(desk: &mut Desk, message: &Message) {
    let Some(found) = client(desk, message) else { return };
    if !is_meant(desk, message) {
        return;
    }
    let result = found.ok_or("no such client or leafnode id").map(|session| {
        session.peer.close(CloseReason::Kicked);
    });
    answer(desk, message, result.map_err(str::to_owned));
}

/// Asks one client to go elsewhere: `{cid}`.
pub(super) fn lame_duck(desk: &mut Desk, message: &Message) {
    let Some(found) = client(desk, message) else { return };
    if !is_meant(desk, message) {
        return;
    }
    let result = found.ok_or("no such client id").and_then(|session| {
        if !session.peer.takes_info() {
            return Err("client does not support Lame Duck Mode or is not ready to receive the notification");
        }
        lifecycle::send_away(&desk.shared.policy(), &session);
        Ok(())
    });
    answer(desk, message, result.map_err(str::to_owned));
}

/// The client that is meant. `None` for a body that cannot be understood, which is not answered.
fn client(desk: &Desk, message: &Message) -> Option<Option<Arc<Session>>> {
    let body: Option<Map<String, Value>> = serde_json::from_slice(&message.payload).ok()?;
    let body = body.unwrap_or_default();
    let cid = match body.get("cid") {
        None | Some(Value::Null) => 0,
        Some(cid) => cid.as_u64()?,
    };
    Some(desk.shared.registry.find(ClientId(cid)))
}

/// Whether the command's filter admits this server. A filter that cannot be understood is answered.
fn is_meant(desk: &mut Desk, message: &Message) -> bool {
    match Body::read(&message.payload, "", "").and_then(|body| Filter::read(&body)) {
        Ok(filter) => filter.admits(&desk.shared),
        Err(Bad(why)) => {
            let answer = refusal(&about::server(&desk.shared), &why);
            desk.reply(message, answer.to_string());
            false
        }
    }
}

fn answer(desk: &mut Desk, message: &Message, result: Result<(), String>) {
    let server = about::server(&desk.shared);
    let answer = match result {
        Ok(()) => json!({ "server": server }),
        Err(why) => json!({ "server": server, "error": { "code": 500, "description": why } }),
    };
    desk.reply(message, answer.to_string());
}
