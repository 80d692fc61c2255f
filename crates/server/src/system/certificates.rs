//! Events about clients' certificates that OCSP finds bad: `$SYS.SERVER.*.OCSP.PEER.>`.

use super::{about, publish_event};
use crate::node::Node;
use data_encoding::BASE64;
use dialtone_broker::deliver::Turn;
use dialtone_identity::certificate;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::SystemTime;

/// A link of a client's chain is not good.
pub(crate) fn link_invalid(node: &Node, turn: &mut Turn, link: &[u8], peer: &[u8], reason: &str) {
    if !node.accounts.has_system() {
        return;
    }
    let mut event = about::event("ocsp_peer_link_invalid", SystemTime::now());
    event.insert("link".into(), certificate_info(link));
    event.insert("peer".into(), certificate_info(peer));
    event.insert("server".into(), about::server(&node.settings, &node.monitoring));
    event.insert("reason".into(), reason.into());
    let subject = format!("$SYS.SERVER.{}.OCSP.PEER.LINK.INVALID", node.settings.identity.id);
    publish_event(&node.accounts, turn, &subject, &event.into());
}

/// A client does not come in for its certificate.
pub(crate) fn certificate_rejected(node: &Node, turn: &mut Turn, kind: &str, peer: &[u8]) {
    if !node.accounts.has_system() {
        return;
    }
    let mut event = about::event("ocsp_peer_reject", SystemTime::now());
    event.insert("kind".into(), kind.into());
    event.insert("peer".into(), certificate_info(peer));
    event.insert("server".into(), about::server(&node.settings, &node.monitoring));
    event.insert("reason".into(), "client not OCSP valid".into());
    let subject = format!("$SYS.SERVER.{}.OCSP.PEER.CONN.REJECT", node.settings.identity.id);
    publish_event(&node.accounts, turn, &subject, &event.into());
}

fn certificate_info(der: &[u8]) -> Value {
    let (subject, issuer) = certificate::parties(der).unwrap_or_default();
    json!({
        "subject": subject,
        "issuer": issuer,
        "fingerprint": BASE64.encode(&Sha256::digest(der)),
        "raw": BASE64.encode(der),
    })
}
