//! Who comes and goes: `$SYS.ACCOUNT.*.CONNECT` and its kin. Told in the turn in which it happens.

use super::{about, publish_event, publish_made, usage};
use crate::accounts::Accounts;
use crate::documents::{EventHead, Statistics, Sum, json, nanos};
use crate::internal::Outgoing;
use crate::node::{Executor, Node};
use crate::profile::{ClientDetails, Profile};
use crate::registry::Session;
use crate::times::stamp;
use dialtone_broker::account::{Account, GLOBAL};
use dialtone_broker::deliver::Turn;
use dialtone_wire::CloseReason;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

/// How the account of a leaf node is called that was not let in. The official word.
const NO_ACCOUNT: &str = "N/A";
/// How often an account's connections are published whether they change or not. The official figure.
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
    let event = || {
        json(&Connect {
            head: EventHead::advisory("client_connect", SystemTime::now()),
            server: about::server(node),
            client: client(&node.accounts, &session.profile(), who, None),
        })
    };
    publish_event(node, turn, &format!("$SYS.ACCOUNT.{}.CONNECT", who.account), event);
}

/// A leaf node has come to an account of a server with gateways: other clusters hear of it, as officially.
pub(crate) fn leaf_connected(node: &Node, turn: &mut Turn, account: &Account) {
    if node.delivery.leads.is_some() && node.accounts.has_system() {
        let event = || json(&LeafConnect { server: about::server(node), acc: &account.name });
        let subject = format!("$SYS.ACCOUNT.{}.LEAFNODE.CONNECT", account.name);
        publish_event(node, turn, &subject, event);
    }
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
    let event = json(&disconnect(node, session, &client_details(session), reason.text()));
    let subject = format!("$SYS.SERVER.{}.CLIENT.AUTH.ERR", node.settings.identity.id);
    publish_made(node, turn, &subject, &event);
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
            report_refusal(turn, account, &json(&disconnect(node, session, who, reason.text())));
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
    event.client.acc = &account.name;
    report_refusal(turn, account, &json(&event));
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
    } else if session.peer.kind().is_leaf_connection() {
        // Of a leaf node that was never let in there is no more than that.
        return;
    }
    let who = client_details(session);
    let event = || json(&disconnect(node, session, &who, reason.text()));
    publish_event(node, turn, &format!("$SYS.ACCOUNT.{}.DISCONNECT", who.account), event);
}

/// The server lets its clients go.
pub(crate) fn lame_duck(node: &Node) {
    farewell(node, "LAMEDUCK", about::server);
}

/// The server ends.
pub(crate) fn shutdown(node: &Node) {
    node.internal.run(usage::finish);
    farewell(node, "SHUTDOWN", last_words);
}

/// What is published of a server that ends: a server that leaves for good says so to those that have its URL configured.
fn last_words(node: &Node) -> Value {
    let mut server = about::server(node);
    let configured = node.settings.policy().options.cluster.as_ref().is_some_and(|own| own.leave_at_shutdown);
    if configured || node.connections.leaves_for_good.load(Ordering::Acquire) {
        server["leaves_for_good"] = true.into();
    }
    server
}

fn farewell(node: &Node, what: &'static str, body: fn(&Node) -> Value) {
    node.internal.run(move |executor| {
        let (node, turn) = executor.parts();
        publish_event(node, turn, &format!("$SYS.SERVER.{}.{what}", node.settings.identity.id), || {
            body(node)
        });
    });
}

/// An account's connections changed. There is no event for the account of those who are in no other.
fn changed(node: &Node, turn: &mut Turn, account: &Arc<Account>, connections: u32) {
    if !node.accounts.has_system() || *account.name == *GLOBAL {
        return;
    }
    publish_connections(node, turn, account, connections);
    if connections <= 1 {
        let of = account.clone();
        node.internal.report(account, 0, move |executor| beat(executor, of));
    }
}

fn publish_connections(node: &Node, turn: &mut Turn, account: &Account, connections: u32) {
    let name = &account.name;
    // The same event twice, each with the server's next number.
    let mut told: Option<AccountConnections> = None;
    for subject in [format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"), format!("$SYS.ACCOUNT.{name}.SERVER.CONNS")]
    {
        publish_event(node, turn, &subject, || match &mut told {
            Some(again) => {
                again.server = about::server(node);
                json(again)
            }
            told => json(told.insert(self::connections(node, account, connections))),
        });
    }
}

/// What is published of an account's connections, also when it is asked for.
pub(crate) fn connections(node: &Node, account: &Account, connections: u32) -> AccountConnections {
    AccountConnections {
        head: EventHead::advisory("account_connections", SystemTime::now()),
        server: about::server(node),
        statistics: Statistics::of(&node.accounts, account, connections),
    }
}

/// Publishes an account's connections again and again, as long as it has some.
fn beat(executor: &mut Executor, account: Arc<Account>) {
    if let Some(timer) = executor.state.heartbeats.remove(&account.id) {
        executor.cancel(timer);
    }
    if account.connections() == 0 {
        return;
    }
    let id = account.id;
    let timer = executor.after(HEARTBEAT, move |executor| {
        let connections = account.connections();
        let (node, turn) = executor.parts();
        if connections > 0 {
            publish_connections(node, turn, &account, connections);
        }
        beat(executor, account);
    });
    executor.state.heartbeats.insert(id, timer);
}

fn disconnect<'a>(node: &Node, session: &Session, who: &'a ClientDetails, reason: &'a str) -> Disconnect<'a> {
    let at = SystemTime::now();
    let traffic = session.peer.counters.read();
    let end = End { rtt: Some(nanos(session.rtt())).filter(|&rtt| rtt > 0), stop: stamp(at) };
    Disconnect {
        head: EventHead::advisory("client_disconnect", at),
        server: about::server(node),
        client: client(&node.accounts, &session.profile(), who, Some(end)),
        // Seen from the client: what it sent came in here.
        sent: Sum { msgs: traffic.in_msgs, bytes: traffic.in_bytes },
        received: Sum { msgs: traffic.out_msgs, bytes: traffic.out_bytes },
        reason,
        rejection: session.rejection.get().map(|rejection| rejection.value()),
    }
}

/// Who it is, as far as it said; one that was not let in counts as one of the account for everyone.
fn client_details(session: &Session) -> ClientDetails {
    let mut who = session.profile().known().map(|known| (**known).clone()).unwrap_or_default();
    if who.account.is_empty() {
        let place = session.peer.place();
        let nowhere = if session.peer.kind().is_leaf_connection() { NO_ACCOUNT } else { GLOBAL };
        who.account = place.account.map_or_else(|| nowhere.into(), |account| account.name.clone());
    }
    who
}

#[derive(Serialize)]
struct LeafConnect<'a> {
    server: Value,
    acc: &'a str,
}

/// What is published of an account's connections.
#[derive(Serialize)]
pub(crate) struct AccountConnections {
    #[serde(flatten)]
    head: EventHead,
    server: Value,
    #[serde(flatten)]
    statistics: Statistics,
}

#[derive(Serialize)]
struct Connect<'a> {
    #[serde(flatten)]
    head: EventHead,
    server: Value,
    client: EventClient<'a>,
}

#[derive(Serialize)]
struct Disconnect<'a> {
    #[serde(flatten)]
    head: EventHead,
    server: Value,
    client: EventClient<'a>,
    sent: Sum,
    received: Sum,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<Value>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    name_tag: Option<String>,
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
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

/// `who` may be more than its profile says: a second CONNECT, or what it said before it was refused.
fn client<'a>(
    accounts: &Accounts,
    profile: &Profile,
    who: &'a ClientDetails,
    end: Option<End>,
) -> EventClient<'a> {
    EventClient {
        start: stamp(profile.start),
        host: profile.host(),
        id: profile.id.0,
        acc: &who.account,
        said: Said { user: &who.user, name: &who.name, lang: &who.lang, ver: &who.version },
        end,
        jwt: profile.jwt().unwrap_or_default(),
        issuer_key: profile.issuer_key().unwrap_or_default(),
        tags: profile.tags(),
        name_tag: (*who.account != *NO_ACCOUNT).then(|| accounts.name_of(&who.account)),
        kind: profile.kind.label(),
        client_type: profile.listener.client_type(),
    }
}
