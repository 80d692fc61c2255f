//! Events about clients' certificates that OCSP finds bad: `$SYS.SERVER.*.OCSP.PEER.>`.

use super::{about, publish_made};
use crate::documents::{EventHead, json};
use crate::node::Node;
use data_encoding::BASE64;
use dialtone_broker::deliver::Turn;
use dialtone_identity::certificate;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::time::SystemTime;

/// A link of a client's chain is not good.
pub(crate) fn link_invalid(node: &Node, turn: &mut Turn, link: &[u8], peer: &[u8], reason: &str) {
    if !node.accounts.has_system() {
        return;
    }
    let event = LinkInvalid {
        head: EventHead::advisory("ocsp_peer_link_invalid", SystemTime::now()),
        link: Certificate::of(link),
        peer: Certificate::of(peer),
        server: about::server(node),
        reason,
    };
    let subject = format!("$SYS.SERVER.{}.OCSP.PEER.LINK.INVALID", node.settings.identity.id);
    publish_made(node, turn, &subject, &json(&event));
}

/// A client does not come in for its certificate.
pub(crate) fn certificate_rejected(node: &Node, turn: &mut Turn, kind: &str, peer: &[u8]) {
    if !node.accounts.has_system() {
        return;
    }
    let event = Rejected {
        head: EventHead::advisory("ocsp_peer_reject", SystemTime::now()),
        kind,
        peer: Certificate::of(peer),
        server: about::server(node),
        reason: "client not OCSP valid",
    };
    let subject = format!("$SYS.SERVER.{}.OCSP.PEER.CONN.REJECT", node.settings.identity.id);
    publish_made(node, turn, &subject, &json(&event));
}

#[derive(Serialize)]
struct LinkInvalid<'a> {
    #[serde(flatten)]
    head: EventHead,
    link: Certificate,
    peer: Certificate,
    server: Value,
    reason: &'a str,
}

#[derive(Serialize)]
struct Rejected<'a> {
    #[serde(flatten)]
    head: EventHead,
    kind: &'a str,
    peer: Certificate,
    server: Value,
    reason: &'static str,
}

#[derive(Serialize)]
struct Certificate {
    subject: String,
    issuer: String,
    fingerprint: String,
    raw: String,
}

impl Certificate {
    fn of(der: &[u8]) -> Self {
        let (subject, issuer) = certificate::parties(der).unwrap_or_default();
        Self { subject, issuer, fingerprint: BASE64.encode(&Sha256::digest(der)), raw: BASE64.encode(der) }
    }
}
