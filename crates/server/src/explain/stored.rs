//! Which streams store a message that arrives in an account, and which consumers get it.

use super::Facts;
use super::context::ExplainContext;
use super::report::{StreamConsumer, What};
use crate::jetstream::has_jetstream;
use dialtone_broker::account::Account;

/// Consumers of a stream that are listed.
const CONSUMERS_MAX: usize = 20;
/// What begins so is published to servers and to who asked, and not to streams.
const NOT_FOR_STREAMS: [&str; 3] = ["$JS.", "$SYS.", "_INBOX."];

/// The steps of a subject in an account, of a running server; `is_origin` says that the publisher is in it.
pub(super) fn steps(
    context: &ExplainContext<'_>,
    account: &Account,
    subject: &str,
    is_origin: bool,
) -> Vec<What> {
    let node = context.node;
    let has_store = context.facts == Facts::Living && node.streams.shared().is_some();
    if !has_store {
        return Vec::new();
    }
    let mut out = Vec::new();
    for hosted in node.streams.all.of(account) {
        let Some(storing) = hosted.would_store(subject.as_bytes()) else { continue };
        let count = storing.consumers.len();
        let consumer = |one: crate::streams::Consuming| StreamConsumer {
            name: one.name,
            delivers_to: one.delivers_to,
            idle: one.idle.map(str::to_owned),
        };
        out.push(What::Stored {
            stream: hosted.name.to_string(),
            stored_as: Some(storing.subject).filter(|kept| kept != subject),
            refused: storing.refusal,
            notes: storing.notes.into_iter().map(str::to_owned).collect(),
            consumers: storing.consumers.into_iter().take(CONSUMERS_MAX).map(consumer).collect(),
            more: count.saturating_sub(CONSUMERS_MAX),
        });
    }
    let is_for_streams = !NOT_FOR_STREAMS.iter().any(|prefix| subject.starts_with(prefix));
    if out.is_empty() && is_origin && is_for_streams && has_jetstream(node, account) {
        let note =
            "no stream of the account stores it: who waits for an acknowledgement of a stream gets none";
        out.push(What::Note { note: note.into(), at: None });
    }
    out
}
