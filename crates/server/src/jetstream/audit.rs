//! The audit of the API: who asked what, and what was answered, for whoever listens to it.

use super::api::Request;
use crate::streams::{event_of_now, publish_event};
use dialtone_broker::account::Account;
use dialtone_broker::inlet::Publish;
use dialtone_broker::sharing::requester::{Disclosure, HEADER};
use dialtone_jetstream::api::advisories::{ApiAudit, ClientShown};
use dialtone_jetstream::json::{self, Strictness};
use std::sync::Arc;

/// Where audits are published, in the account whose API was asked.
const SUBJECT: &str = "$JS.EVENT.ADVISORY.API";

/// What was asked, to be published with the answer. `None`: nobody listens.
pub(super) fn of(request: &mut Request<'_>) -> Option<ApiAudit> {
    let (node, account) = (request.node(), request.account.clone());
    let (_, turn) = request.executor.parts();
    if !turn.within(|turn| turn.is_awaited(&account, SUBJECT.as_bytes())) {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let domain = node.streams.shared().and_then(|shared| shared.domain.as_deref()).unwrap_or_default();
    let asked = &*request.message.subject;
    let behind = asked.strip_prefix(&format!("$JS.{domain}.API"));
    Some(ApiAudit {
        event: event_of_now("advisory.v1.api_audit"),
        server: node.settings.identity.name.clone(),
        client: Some(client(request)),
        subject: behind.map_or_else(|| asked.to_owned(), |behind| format!("$JS.API{behind}")),
        request: text(&request.message.payload),
        response: String::new(),
        domain: domain.to_owned(),
    })
}

/// Publishes it with what was answered.
pub(super) fn publish(turn: &mut dyn Publish, account: &Arc<Account>, audit: ApiAudit, response: &[u8]) {
    let response = String::from_utf8_lossy(response).into_owned();
    publish_event(turn, account, SUBJECT, &ApiAudit { response, ..audit });
}

/// Who asked. Whoever asks from another account, as a service, is shown as far as it lets services know.
pub(super) fn client(request: &Request<'_>) -> ClientShown {
    let (node, message) = (request.node(), request.message);
    let session = node.connections.registry.find(message.publisher.id);
    let is_own = |account: &Account| account.id == request.account.id;
    let own = session.filter(|session| session.peer.place().account.is_some_and(|account| is_own(&account)));
    let is_elsewhere = own.is_none();
    let info = match own {
        Some(session) => {
            let info = node.delivery.service_requests.client_info(&session.peer, Disclosure::All);
            info.within(&request.account.name).json()
        }
        None => message.header(std::str::from_utf8(HEADER).unwrap_or_default()).unwrap_or_default().to_vec(),
    };
    let mut shown = ClientShown::default();
    // What a forged header says is at most strange.
    let _ = json::from_slice(&info, ClientShown::GO, Strictness::Lax, &mut shown);
    if is_elsewhere {
        shown.svc = request.account.name.to_string();
        if shown.server.is_empty() {
            shown.server.clone_from(&node.settings.identity.name);
        }
    }
    shown
}
