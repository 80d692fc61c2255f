//! `$SYS/broker/…`: what brokers tell of themselves, here of the client's account alone. Only if the configuration asks for it, and nobody
//! publishes there by MQTT.

use super::effects::Effects;
use crate::clock;
use crate::node::{Executor, Node};
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::inlet::Publish as _;
use dialtone_mqtt::streams::Stream;
use dialtone_mqtt::talk::Retained;
use dialtone_subject::set::matches;
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::Qos;
use std::sync::Arc;
use std::time::Duration;

/// What their subjects begin with, and topics that others may use as they like do not, where they are asked for.
const PREFIX: &str = "$SYS.";
/// How often they are published while somebody subscribes to them. Mosquitto's figure.
const INTERVAL: Duration = Duration::from_secs(10);

/// Whether the configuration asks for them.
fn is_wanted(node: &Node) -> bool {
    node.settings.policy().options.mqtt.as_ref().is_some_and(|own| own.broker_topics)
}

/// Messages in a stream of an account, if it is on this server.
fn count(node: &Node, account: &Account, stream: Stream) -> Option<u64> {
    let hosted = node.streams.all.find(account, stream.name())?;
    let count = hosted.lock().state.machine.totals().count;
    Some(count)
}

/// What an account may know, by the last tokens of the subject.
fn figures(node: &Node, account: &Account) -> Vec<(&'static str, String)> {
    let traffic = account.counters.read();
    let connected = node.connections.client_ids.count(account.id);
    let mut out = vec![
        ("version", format!("dialtone {}", env!("CARGO_PKG_VERSION"))),
        ("uptime", format!("{} seconds", node.monitoring.start_instant.elapsed().as_secs())),
        ("clients.connected", connected.to_string()),
        ("messages.received", traffic.in_msgs.to_string()),
        ("messages.sent", traffic.out_msgs.to_string()),
        ("bytes.received", traffic.in_bytes.to_string()),
        ("bytes.sent", traffic.out_bytes.to_string()),
        ("subscriptions.count", account.subscriptions().to_string()),
    ];
    if let Some(kept) = count(node, account, Stream::Sessions) {
        // Sessions that end with their connection have no record.
        out.push(("clients.total", kept.max(connected as u64).to_string()));
    }
    if let Some(retained) = count(node, account, Stream::Retained) {
        out.push(("retained.count", retained.to_string()));
    }
    out
}

fn subject(of: &str) -> String {
    format!("{PREFIX}broker.{of}")
}

impl Effects {
    /// Whether nobody may publish to a subject, since the server tells something there.
    pub(super) fn is_told(&self, subject: &[u8]) -> bool {
        subject.starts_with(PREFIX.as_bytes()) && is_wanted(&self.conduct.node)
    }

    /// What a new subscription gets at once, as if it were retained.
    pub(super) fn told(&self, filters: &[&[u8]]) -> Vec<Retained> {
        let node = &self.conduct.node;
        let begins = |filter: &&[u8]| filter.starts_with(PREFIX.as_bytes());
        let Some(account) = self.conduct.place.account.as_ref().filter(|_| filters.iter().any(begins)) else {
            return Vec::new();
        };
        if !is_wanted(node) {
            return Vec::new();
        }
        if node.connections.client_ids.tell_account(account.id) {
            node.internal.run(|executor| executor.repeat(INTERVAL, publish));
        }
        let published = u64::try_from(clock::now()).unwrap_or_default();
        let told = figures(node, account).into_iter().map(|(of, figure)| Retained {
            subject: subject(of),
            topic: subject(of).replace('.', "/"),
            qos: Qos::AtMostOnce,
            headers: Vec::new(),
            payload: figure.into_bytes(),
            published,
        });
        told.filter(|told| filters.iter().any(|filter| matches(filter, told.subject.as_bytes()))).collect()
    }
}

/// Publishes them in the accounts where somebody subscribes to them.
fn publish(executor: &mut Executor) -> Option<Duration> {
    let (node, turn) = executor.parts();
    let client_ids = &node.connections.client_ids;
    for account in node.accounts.all() {
        if client_ids.is_told(account.id) && (!is_wanted(node) || !publish_in(node, &account, turn)) {
            client_ids.tell_no_more(account.id);
        }
    }
    client_ids.are_told().then_some(INTERVAL)
}

/// Whether anybody gets something.
fn publish_in(node: &Node, account: &Arc<Account>, turn: &mut Turn) -> bool {
    let mut got = 0;
    for (of, figure) in figures(node, account) {
        let (subject, framed) = (subject(of), [figure.as_bytes(), b"\r\n"].concat());
        let message = Message { subject: subject.as_bytes(), reply: None, header_bytes: 0, framed: &framed };
        got += turn.emit(account, &message);
    }
    got > 0
}
