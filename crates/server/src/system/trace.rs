//! Traces of messages: what became of one, published to the subject that its headers or its account name (ADR-41).

use super::about;
use crate::internal::Outgoing;
use crate::node::Node;
use crate::registry::Session;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_broker::peer::Peer;
use dialtone_broker::trace::{Arrival, Event, Intake, PassedOn, Trace};
use dialtone_wire::header;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

/// A message that came in and is traced.
pub(crate) struct Ingress {
    /// When.
    pub came: SystemTime,
    /// By whom.
    pub session: Arc<Session>,
    /// Where it was published.
    pub account: Arc<Account>,
    /// As it was published, before it was mapped.
    pub subject: Box<[u8]>,
    /// Its header block.
    pub headers: Box<[u8]>,
    /// Bytes of headers and payload.
    pub size: usize,
}

/// Publishes what became of a message. The control thread does, since a message may come to many thousands of subscriptions,
/// and the event loop has others to serve.
pub(crate) fn traced(node: &Node, ingress: Ingress, trace: Box<Trace>) {
    let account = ingress.account.clone();
    let bytes = ingress.headers.len() + ingress.subject.len() + trace.bytes();
    node.internal.report(&account, bytes, move |executor| {
        let mut events = vec![came_in(&ingress, &trace)];
        let told = trace.events().iter().filter_map(|(at, event)| described(*at, event, &executor.node));
        events.extend(told);
        let mut request = Map::new();
        let headers = headers(&ingress.headers);
        if !headers.is_empty() {
            request.insert("header".into(), json!(headers));
        }
        request.insert("msgsize".into(), ingress.size.into());
        let mut body =
            json!({ "server": about::server(&executor.node), "request": request, "events": events });
        if let Some(body) = body.as_object_mut().filter(|_| trace.hops() > 0) {
            body.insert("hops".into(), trace.hops().into());
        }
        executor.publish(&ingress.account, &Outgoing::new(text(trace.destination()), body.to_string()));
    });
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Headers by name, without those that are empty.
fn headers(block: &[u8]) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in header::lines(block).filter(|(_, value)| !value.is_empty()) {
        out.entry(text(name)).or_default().push(text(value));
    }
    out
}

/// The head of every event of a trace.
fn event(kind: &str, at: SystemTime) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("type".into(), kind.into());
    out.insert("ts".into(), stamp(at).into());
    out
}

/// The message came in.
fn came_in(ingress: &Ingress, trace: &Trace) -> Value {
    let mut out = event("in", ingress.came);
    out.insert("kind".into(), ingress.session.peer.kind().code().into());
    out.insert("cid".into(), ingress.session.peer.id.0.into());
    out.extend(name_of(&ingress.session).map(|name| ("name".into(), name.into())));
    out.insert("acc".into(), (*ingress.account.name).into());
    out.insert("subj".into(), text(&ingress.subject).into());
    if let Some(error) = &trace.error {
        out.insert("error".into(), (**error).into());
    }
    Value::Object(out)
}

/// What a connection calls itself, which for a client of MQTT is its client identifier.
fn name_of(session: &Session) -> Option<String> {
    let profile = session.profile();
    let name = Some(profile.name()).filter(|name| !name.is_empty()).or(profile.mqtt_client.as_deref());
    name.map(str::to_owned)
}

/// What became of it. `None`: it came to the server itself, which does not show that.
fn described(at: SystemTime, what: &Event, node: &Node) -> Option<Value> {
    let with = |kind: &str, fields: &[(&str, Value)]| {
        let mut out = event(kind, at);
        out.extend(fields.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Some(Value::Object(out))
    };
    match what {
        Event::Mapped(to) => with("sm", &[("to", text(to).into())]),
        Event::Stream(account, to) => with("se", &[("acc", (**account).into()), ("to", text(to).into())]),
        Event::Service(account, from, to) => {
            with("si", &[("acc", (**account).into()), ("from", text(from).into()), ("to", text(to).into())])
        }
        Event::Arrival(arrival) if arrival.peer.kind().is_server() => None,
        Event::Arrival(arrival) => with("eg", &egress(arrival, node)),
        Event::Intake(intake) => with("js", &taken_in(intake)),
        Event::PassedOn(passed) => with("eg", &onward(passed, node)),
    }
}

/// The fields that all that a message leaves by has.
fn receiver(peer: &Peer, node: &Node) -> Vec<(&'static str, Value)> {
    let name = peer.connection_info().map(|info| info.name).filter(|name| !name.is_empty());
    let name = name.or_else(|| node.connections.registry.find(peer.id).and_then(|session| name_of(&session)));
    let mut out: Vec<(&str, Value)> = vec![("kind", peer.kind().code().into()), ("cid", peer.id.0.into())];
    out.extend(name.map(|name| ("name", name.into())));
    out
}

fn egress(arrival: &Arrival, node: &Node) -> Vec<(&'static str, Value)> {
    let mut out = receiver(&arrival.peer, node);
    out.extend(arrival.account.as_deref().map(|account| ("acc", account.into())));
    out.push(("sub", text(&arrival.filter).into()));
    out.extend(arrival.queue.as_deref().map(|queue| ("queue", text(queue).into())));
    out.extend(arrival.problem.map(|problem| ("error", problem.to_string().into())));
    out
}

/// What a JetStream stream made of it.
fn taken_in(intake: &Intake) -> Vec<(&'static str, Value)> {
    let mut out: Vec<(&str, Value)> = vec![("stream", (*intake.stream).into())];
    if let Some(outcome) = intake.outcome() {
        out.extend((!outcome.subject.is_empty()).then(|| ("subject", text(&outcome.subject).into())));
        out.extend(outcome.is_unwanted.then(|| ("nointerest", true.into())));
        out.extend(outcome.error.as_deref().map(|error| ("error", error.into())));
    }
    out
}

fn onward(passed: &PassedOn, node: &Node) -> Vec<(&'static str, Value)> {
    let mut out = receiver(&passed.peer, node);
    out.push(("hop", (*passed.hop).into()));
    out.extend(passed.account.as_deref().map(|account| ("acc", account.into())));
    out.extend(passed.problem.map(|problem| ("error", problem.to_string().into())));
    out
}
