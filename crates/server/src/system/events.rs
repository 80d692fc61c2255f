//! Who comes and goes: `$SYS.ACCOUNT.*.CONNECT` and its kin. Told in the turn in which it happens.

use super::{about, publish_event, usage};
use crate::accounts::Accounts;
use crate::figures::statistics;
use crate::internal::Outgoing;
use crate::node::{Executor, Node};
use crate::registry::{ClientDetails, Session};
use crate::times::stamp;
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_broker::connection_info::ConnectionInfoSource as _;
use dialtone_broker::deliver::Turn;
use dialtone_wire::CloseReason;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often an account's connections are published while nothing changes. The official figure.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// A connection took its place in an account; it has so many with it.
pub(crate) fn joined(node: &Node, turn: &mut Turn, account: &Arc<Account>, connections: u32) {
    changed(node, turn, account, connections);
}

/// A connection that is in an account showed again that it may be there: it leaves and comes back.
pub(crate) fn rejoined(node: &Node, turn: &mut Turn, account: &Arc<Account>) {
    let connections = account.connections();
    changed(node, turn, account, connections.saturating_sub(1));
    changed(node, turn, account, connections);
}

/// A connection has shown that it may be in the account.
pub(crate) fn connected(node: &Node, turn: &mut Turn, session: &Session, who: &ClientDetails) {
    if !node.accounts.has_system() {
        return;
    }
    let mut event = about::event("client_connect", SystemTime::now());
    event.insert("server".into(), about::server(&node.settings, &node.monitoring));
    event.insert("client".into(), client(&node.accounts, session, who, None));
    publish_event(&node.accounts, turn, &format!("$SYS.ACCOUNT.{}.CONNECT", who.account), &event.into());
}

/// A connection was refused for what it presented: `account` is where it was, that for everyone if it was not let in.
pub(crate) fn refused(
    node: &Node,
    turn: &mut Turn,
    session: &Session,
    account: &Arc<Account>,
    reason: CloseReason,
) {
    if !node.accounts.has_system() {
        return;
    }
    let event = Value::from(disconnect(node, session, &client_details(session), reason.text()));
    publish_event(
        &node.accounts,
        turn,
        &format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", node.settings.identity.id),
        &event,
    );
    report_refusal(turn, account, &event);
}

/// By what a connection was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// What the configuration compares, if anything.
    Password,
    /// A signature, or the answer of an authorization service.
    Nkey,
    /// A token that an operator's account signed.
    Jwt,
}

/// An account had no room for one more connection. With a password it counts as let in first, otherwise as not let in, as
/// officially: then the account gets it, and the system account where the configuration decides.
pub(crate) fn refused_for_room(
    node: &Node,
    turn: &mut Turn,
    session: &Session,
    who: &ClientDetails,
    account: &Arc<Account>,
    proof: Proof,
) {
    let reason = CloseReason::AuthenticationViolation;
    match proof {
        Proof::Password => connected(node, turn, session, who),
        Proof::Nkey => refused(node, turn, session, account, reason),
        Proof::Jwt if node.accounts.has_system() => {
            report_refusal(turn, account, &disconnect(node, session, who, reason.text()).into());
        }
        Proof::Jwt => {}
    }
}

fn report_refusal(turn: &mut Turn, account: &Arc<Account>, event: &Value) {
    let message = Outgoing::new("$SYS.ACCOUNT.CLIENT.AUTH.ERR", event.to_string());
    message.emit(turn, account);
}

/// The authorization service of an account did not let a connection in. Told in that account, whose owners see no other
/// event of it.
pub(crate) fn refused_by_service(
    node: &Node,
    turn: &mut Turn,
    session: &Session,
    who: &ClientDetails,
    account: &Arc<Account>,
    reason: &str,
) {
    if !node.accounts.has_system() {
        return;
    }
    let mut event = disconnect(node, session, who, reason);
    if let Some(Value::Object(client)) = event.get_mut("client") {
        client.insert("acc".into(), (*account.name).into());
    }
    report_refusal(turn, account, &event.into());
}

/// A connection is gone; `account` has so many left, unless it was never in one.
pub(crate) fn left(
    node: &Node,
    turn: &mut Turn,
    session: &Session,
    account: Option<(&Arc<Account>, u32)>,
    reason: CloseReason,
) {
    if !node.accounts.has_system() {
        return;
    }
    if let Some((account, connections)) = account {
        changed(node, turn, account, connections);
    }
    let who = client_details(session);
    let event = disconnect(node, session, &who, reason.text());
    publish_event(&node.accounts, turn, &format!("$SYS.ACCOUNT.{}.DISCONNECT", who.account), &event.into());
}

/// The server lets its clients go.
pub(crate) fn lame_duck(node: &Node) {
    farewell(node, "LAMEDUCK");
}

/// The server ends.
pub(crate) fn shutdown(node: &Node) {
    node.internal.run(usage::finish);
    farewell(node, "SHUTDOWN");
}

fn farewell(node: &Node, what: &'static str) {
    node.internal.run(move |executor| {
        let (node, turn) = executor.parts();
        publish_event(
            &node.accounts,
            turn,
            &format!("$SYS.SERVER.{}.{what}", node.settings.identity.id),
            &about::server(&node.settings, &node.monitoring),
        );
    });
}

/// An account's connections changed. The account of those who are in no other is not told of.
fn changed(node: &Node, turn: &mut Turn, account: &Arc<Account>, connections: u32) {
    if !node.accounts.has_system() || *account.name == *GLOBAL {
        return;
    }
    publish_connections(node, turn, account, connections);
    let of = account.clone();
    node.internal.report(account, 0, move |executor| beat(executor, of, connections > 0));
}

fn publish_connections(node: &Node, turn: &mut Turn, account: &Account, connections: u32) {
    let name = &account.name;
    let mut event = self::connections(node, account, connections);
    publish_event(&node.accounts, turn, &format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"), &event.clone().into());
    event.insert("server".into(), about::server(&node.settings, &node.monitoring));
    publish_event(&node.accounts, turn, &format!("$SYS.ACCOUNT.{name}.SERVER.CONNS"), &event.into());
}

/// What is published of an account's connections, also when it is asked for.
pub(crate) fn connections(node: &Node, account: &Account, connections: u32) -> Map<String, Value> {
    let mut event = about::event("account_connections", SystemTime::now());
    event.insert("server".into(), about::server(&node.settings, &node.monitoring));
    event.extend(statistics(&node.accounts, account, connections));
    event
}

/// Publishes an account's connections again when nothing has changed for a while, as long as it has some.
fn beat(executor: &mut Executor, account: Arc<Account>, on: bool) {
    if let Some(timer) = executor.state.heartbeats.remove(&account.id) {
        executor.cancel(timer);
    }
    if !on {
        return;
    }
    let id = account.id;
    let timer = executor.after(HEARTBEAT, move |executor| {
        let connections = account.connections();
        let (node, turn) = executor.parts();
        if connections > 0 {
            publish_connections(node, turn, &account, connections);
        }
        beat(executor, account, connections > 0);
    });
    executor.state.heartbeats.insert(id, timer);
}

fn disconnect(node: &Node, session: &Session, who: &ClientDetails, reason: &str) -> Map<String, Value> {
    let at = SystemTime::now();
    let traffic = session.peer.counters.read();
    let mut event = about::event("client_disconnect", at);
    event.insert("server".into(), about::server(&node.settings, &node.monitoring));
    event.insert("client".into(), client(&node.accounts, session, who, Some(at)));
    // Seen from the client: what it sent came in here.
    event.insert("sent".into(), json!({ "msgs": traffic.in_msgs, "bytes": traffic.in_bytes }));
    event.insert("received".into(), json!({ "msgs": traffic.out_msgs, "bytes": traffic.out_bytes }));
    event.insert("reason".into(), reason.into());
    if let Some(rejection) = session.rejection.get() {
        event.insert("rejection".into(), rejection.value());
    }
    event
}

/// Who it is, as far as it said; one that was not let in counts as one of the account for everyone.
fn client_details(session: &Session) -> ClientDetails {
    let mut who = session.known().map(Arc::unwrap_or_clone).unwrap_or_default();
    if who.account.is_empty() {
        let place = session.peer.place();
        who.account = place.account.map_or_else(|| GLOBAL.into(), |account| account.name.clone());
    }
    who
}

/// A connection as events describe it, in the official fields and their order.
#[derive(Serialize)]
struct EventClient<'a> {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    id: u64,
    acc: &'a str,
    #[serde(flatten)]
    said: Said<'a>,
    #[serde(flatten)]
    end: Option<End>,
    #[serde(skip_serializing_if = "String::is_empty")]
    jwt: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer_key: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    name_tag: String,
    kind: &'static str,
    client_type: &'static str,
}

#[derive(Serialize)]
struct Said<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: &'a str,
}

#[derive(Serialize)]
struct End {
    /// Nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    stop: String,
}

fn client(accounts: &Accounts, session: &Session, who: &ClientDetails, stop: Option<SystemTime>) -> Value {
    let info = session.connection_info();
    let rtt = session.rtt().as_nanos() as u64;
    let client = EventClient {
        start: info.start,
        host: session.shown_remote().map(|remote| remote.ip().to_string()),
        id: session.peer.id.0,
        acc: &who.account,
        said: Said { user: &who.user, name: &who.name, lang: &who.lang, ver: &who.version },
        end: stop.map(|stop| End { rtt: Some(rtt).filter(|&rtt| rtt > 0), stop: stamp(stop) }),
        jwt: info.jwt,
        issuer_key: info.issuer_key,
        tags: info.tags,
        name_tag: accounts.name_of(&who.account).to_string(),
        kind: info.kind,
        client_type: info.client_type,
    };
    serde_json::to_value(client).unwrap_or_default()
}
