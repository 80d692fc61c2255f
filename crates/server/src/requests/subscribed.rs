//! `$SYS.REQ.USER.SUBSCRIBED`: acknowledges what the account has subscribed to, once all servers of the cluster know of it.

use super::tenants::Asker;
use crate::internal::Message;
use crate::node::Publisher;
use crate::routes::{Answer, Full};
use crate::system::about;
use serde_json::json;

const SUBSCRIBED: &[u8] = b"NATS/1.0 200 Subscribed\r\n\r\n";
const TOO_MANY: &[u8] = b"NATS/1.0 429 Too Many Requests\r\n\r\n";

/// Answers when each server that there is a route to has taken what was subscribed to before the question.
pub(super) fn answer(publisher: &mut Publisher, message: &Message) {
    if message.reply.is_empty() {
        return;
    }
    let asker = Asker::of(message);
    let account = publisher.node.accounts.find(asker.text("acc")).unwrap_or_else(|| message.account.clone());
    let server = about::server(&publisher.node);
    let (node, turn) = publisher.parts();
    let to = || (message.account.clone(), message.reply.clone());
    let answer = |servers: usize| {
        let payload = json!({ "server": server, "data": { "servers": servers } }).to_string().into_bytes();
        Answer { asker: account.id, to: to(), headers: SUBSCRIBED, payload }
    };
    if node.delivery.routes.answer_on_arrival(&account, turn, answer) == Err(Full) {
        Answer { asker: account.id, to: to(), headers: TOO_MANY, payload: Vec::new() }.send(turn);
    }
}
