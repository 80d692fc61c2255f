//! `/connz`: who is connected, and who was.

use super::connection::describe;
use super::options::ConnzOptions;
use super::query::Window;
use super::source::Subs;
use crate::documents::json;
use crate::leafs::Leaf;
use crate::node::Node;
use crate::profile::Profile;
use crate::registry::{Closed, Session};
use crate::times::stamp;
use dialtone_broker::account::GLOBAL;
use dialtone_broker::peer::ClientId;
use dialtone_broker::stats::Traffic;
use dialtone_broker::subscription::Subscription;
use dialtone_subject::set;
use dialtone_wire::CloseReason;
use serde::Serialize;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Which connections are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Any,
    /// No state that there is.
    None,
}

/// A connection as it stands in the list.
pub(super) struct Row {
    pub session: Arc<Session>,
    /// What is connected by it, if that is a leaf node.
    leaf: Option<Arc<Leaf>>,
    /// Who it was when the list was made.
    pub profile: Arc<Profile>,
    pub end: Option<(SystemTime, CloseReason)>,
    pub traffic: Traffic,
    pub pending: usize,
    /// Its subscriptions, when it ended or now; empty if nobody asks for them.
    pub subscribed: Arc<[Arc<Subscription>]>,
    pub subscriptions: usize,
    pub activity: SystemTime,
}

impl Row {
    fn open(session: Arc<Session>, leaf: Option<Arc<Leaf>>) -> Self {
        let subscriptions = match &leaf {
            Some(leaf) => leaf.interest.lock().len(),
            None => session.peer.subscriptions().len(),
        };
        Self { leaf, ..Self::new(session, None, Arc::default(), subscriptions) }
    }

    /// Lists the subscriptions, too, of a connection that is open; of a leaf node, what the other end is interested in.
    fn list(&mut self) {
        if self.end.is_none() {
            self.subscribed = match &self.leaf {
                Some(leaf) => leaf.interest.lock().iter().map(|(_, own)| Arc::clone(own)).collect(),
                None => self.session.peer.subscriptions().iter().cloned().collect(),
            };
            self.subscriptions = self.subscribed.len();
        }
    }

    fn closed(closed: Closed) -> Self {
        let end = Some((closed.stop, closed.reason));
        Self::new(closed.session, end, closed.subscribed, closed.subscriptions)
    }

    fn new(
        session: Arc<Session>,
        end: Option<(SystemTime, CloseReason)>,
        subscribed: Arc<[Arc<Subscription>]>,
        subscriptions: usize,
    ) -> Self {
        let traffic = session.peer.counters.read();
        let pending = session.peer.pending_bytes();
        let profile = session.profile();
        let activity = profile.start + session.peer.activity();
        Self { session, leaf: None, profile, end, traffic, pending, subscribed, subscriptions, activity }
    }

    pub fn user(&self) -> String {
        self.profile.known().map(|known| known.user.to_string()).unwrap_or_default()
    }

    /// Its account. One that has not said who it is counts as one of the account for everyone, as long as it is there.
    pub fn account(&self) -> String {
        match (self.profile.known(), &self.end) {
            (Some(details), _) => details.account.to_string(),
            (None, Some(_)) => String::new(),
            (None, None) => {
                let place = self.session.peer.place();
                place.account.map_or_else(|| GLOBAL.to_owned(), |account| account.name.to_string())
            }
        }
    }

    /// Whether it has a subscription that gets some message that this filter would get.
    fn is_subscribed(&self, filter: &[u8]) -> bool {
        self.subscribed.iter().any(|s| set::overlap(filter, s.filter()))
    }

    pub fn uptime(&self, now: SystemTime) -> Duration {
        let end = self.end.map_or(now, |(stop, _)| stop);
        end.duration_since(self.profile.start).unwrap_or_default()
    }

    pub fn idle(&self, now: SystemTime) -> Duration {
        let end = self.end.map_or(now, |(stop, _)| stop);
        end.duration_since(self.activity).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Connz<'a> {
    server_id: &'a str,
    now: String,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Option<Vec<Value>>,
}

impl<'a> Connz<'a> {
    fn new(
        server_id: &'a str,
        now: SystemTime,
        connections: Option<Vec<Value>>,
        total: usize,
        Window { offset, limit }: Window,
    ) -> Self {
        let num_connections = connections.as_ref().map_or(0, Vec::len);
        Self { server_id, now: stamp(now), num_connections, total, offset, limit, connections }
    }
}

/// Lists connections: sorted, filtered, a window of them.
///
/// # Errors
///
/// An unknown order, or one that does not go with the state that is asked for.
pub(crate) fn connz(node: &Node, options: &ConnzOptions) -> Result<Value, String> {
    let state = match options.state {
        1 => State::Closed,
        2 => State::Any,
        0 => State::Open,
        _ => State::None,
    };
    let now = SystemTime::now();
    let order = order(&options.sort, state, now)?;
    let mut window = options.window;
    if options.cid > 0 {
        window.limit = 1;
    }
    let account = options.account.as_str();
    let Some(mut rows) = rows(node, state, account) else {
        // The official server does not even say who it is then.
        return Ok(json(&Connz::new("", now, None, 0, window)));
    };
    let total = rows.len();
    if options.cid > 0 {
        rows.retain(|row| row.session.peer.id == ClientId(options.cid));
    } else if !options.user.is_empty() {
        rows.retain(|row| row.user() == options.user);
    }
    if !options.filter_subject.is_empty() {
        rows.iter_mut().for_each(Row::list);
        rows.retain(|row| row.is_subscribed(options.filter_subject.as_bytes()));
    }
    if !options.mqtt_client.is_empty() {
        rows.retain(|row| row.profile.mqtt_client.as_deref() == Some(options.mqtt_client.as_str()));
    }
    order(&mut rows);
    let mut shown = window.of(rows);
    if options.subs != Subs::No {
        shown.iter_mut().for_each(Row::list);
    }
    let connections = shown.iter().map(|row| describe(row, options.auth, options.subs, now)).collect();
    Ok(json(&Connz::new(&node.settings.identity.id, now, Some(connections), total, window)))
}

/// The connections of an account, or of all if it is empty. `None`: there is no such account.
fn rows(node: &Node, state: State, account: &str) -> Option<Vec<Row>> {
    let only = match account {
        "" => None,
        name => Some(node.accounts.find(name)?),
    };
    let registry = &node.connections.registry;
    let mut rows = Vec::new();
    if matches!(state, State::Open | State::Any) {
        let open = match &only {
            None => registry.open(),
            Some(account) if *account.name == *GLOBAL => {
                let mut sessions = registry.open_in(Some(account.id));
                sessions.extend(registry.open_in(None));
                sessions.sort_by_key(|session| session.peer.id);
                sessions
            }
            Some(account) => registry.open_in(Some(account.id)),
        };
        let leafs = node.delivery.leafs.open().into_iter();
        let mut leafs: HashMap<_, _> = leafs.map(|leaf| (leaf.session.peer.id, leaf)).collect();
        rows.extend(open.into_iter().map(|session| {
            let leaf = leafs.remove(&session.peer.id);
            Row::open(session, leaf)
        }));
    }
    if matches!(state, State::Closed | State::Any) {
        let is_in = |closed: &Closed| {
            closed.session.profile().known().is_some_and(|known| *known.account == *account)
        };
        rows.extend(registry.closed(|closed| only.is_none() || is_in(closed)).into_iter().map(Row::closed));
    }
    if only.is_some() {
        // One that was refused and is about to close is in none.
        rows.retain(|row| row.account() == account);
    }
    Some(rows)
}

type Order = Box<dyn Fn(&mut Vec<Row>)>;

fn order(sort: &str, state: State, now: SystemTime) -> Result<Order, String> {
    fn by<K: Ord>(key: impl Fn(&Row) -> K + 'static) -> Order {
        Box::new(move |rows| rows.sort_by_key(|row| key(row)))
    }
    fn most<K: Ord>(key: impl Fn(&Row) -> K + 'static) -> Order {
        by(move |row| Reverse(key(row)))
    }
    if matches!(sort, "stop" | "reason") && state != State::Closed {
        return Err(format!("sort by {sort} only valid on closed connections"));
    }
    Ok(match sort {
        "" | "cid" => by(|row| row.session.peer.id),
        "start" => by(|row| row.profile.start),
        "subs" => most(|row| row.subscriptions),
        "pending" => most(|row| row.pending),
        "msgs_to" => most(|row| row.traffic.out_msgs),
        "msgs_from" => most(|row| row.traffic.in_msgs),
        "bytes_to" => most(|row| row.traffic.out_bytes),
        "bytes_from" => most(|row| row.traffic.in_bytes),
        "last" => most(|row| row.activity),
        // Also a closed one is counted as idle until now.
        "idle" => by(|row| row.activity),
        "uptime" => by(move |row| row.uptime(now)),
        "stop" => most(|row| row.end.map(|(stop, _)| stop)),
        "reason" => by(|row| row.end.map(|(_, reason)| reason.text())),
        "rtt" => most(|row| row.session.rtt()),
        other => return Err(format!("invalid sorting option: {other}")),
    })
}
