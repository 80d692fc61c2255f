//! Commands to this server: `$SYS.REQ.SERVER.<id>.RELOAD`, `.KICK` and `.LDM`.

use super::about;
use crate::internal::{Desk, Message};
use crate::lifecycle;
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
    let result = found.ok_or("no such client or leafnode id").map(|session| {
        session.peer.close(CloseReason::Kicked);
    });
    answer(desk, message, result.map_err(str::to_owned));
}

/// Asks one client to go elsewhere: `{cid}`.
pub(super) fn lame_duck(desk: &mut Desk, message: &Message) {
    let Some(found) = client(desk, message) else { return };
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
    let body: Map<String, Value> = serde_json::from_slice(&message.payload).ok()?;
    let cid = match body.get("cid") {
        None | Some(Value::Null) => 0,
        Some(cid) => cid.as_u64()?,
    };
    Some(desk.shared.registry.find(ClientId(cid)))
}

fn answer(desk: &mut Desk, message: &Message, result: Result<(), String>) {
    let server = about::server(&desk.shared);
    let answer = match result {
        Ok(()) => json!({ "server": server }),
        Err(why) => json!({ "server": server, "error": { "code": 500, "description": why } }),
    };
    desk.reply(message, answer.to_string());
}
