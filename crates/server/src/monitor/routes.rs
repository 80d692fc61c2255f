//! `/routez`: the connections to other servers of the cluster, in the official fields and their order.

use super::connections::Row;
use super::source::Subs;
use super::subscriptions::Detail;
use crate::documents::{Head, json};
use crate::node::Node;
use crate::routes::{Route, Share};
use crate::times::{duration, stamp, uptime};
use dialtone_broker::subscription::Subscription;
use serde::Serialize;
use serde_json::Value;
use std::time::SystemTime;

#[derive(Serialize)]
struct Routez<'a> {
    #[serde(flatten)]
    head: Head,
    server_name: &'a str,
    num_routes: usize,
    routes: Vec<Connection>,
}

#[derive(Serialize)]
struct Connection {
    #[serde(flatten)]
    origin: Origin,
    #[serde(flatten)]
    activity: Activity,
    #[serde(flatten)]
    wanted: Wanted,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    compression: &'static str,
}

#[derive(Serialize)]
struct Origin {
    rid: u64,
    remote_id: String,
    remote_name: String,
    did_solicit: bool,
    is_configured: bool,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
}

#[derive(Serialize)]
struct Activity {
    rtt: String,
    uptime: String,
    idle: String,
    pending_size: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
}

/// What the other server is interested in.
#[derive(Default, Serialize)]
struct Wanted {
    subscriptions: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<Detail>,
}

/// The document.
pub(crate) fn routez(node: &Node, subs: Subs) -> Value {
    let settings = &node.settings;
    let now = SystemTime::now();
    let mut open = node.delivery.routes.open().to_vec();
    open.sort_by_cached_key(|route| place(route));
    json(&Routez {
        head: Head::new(settings),
        server_name: &settings.identity.name,
        num_routes: open.len(),
        routes: open.iter().map(|route| connection(route, subs, now)).collect(),
    })
}

/// Those that share accounts first, then those of one account: by the server and the place among its connections.
fn place(route: &Route) -> (bool, String, usize, u64) {
    let number = match &route.share {
        Share::All | Share::Dedicated(_) => 0,
        Share::Pooled(place) => *place,
    };
    let server = route.remote.read().server_id.clone();
    (matches!(route.share, Share::Dedicated(_)), server, number, route.session.peer.id.0)
}

fn connection(route: &Route, subs: Subs, now: SystemTime) -> Connection {
    let row = Row::open(route.session.clone());
    Connection {
        origin: origin(route, &row),
        activity: activity(&row, now),
        wanted: wanted(route, subs),
        account: match &route.share {
            Share::Dedicated(account) => Some(account.name.to_string()),
            Share::All | Share::Pooled(_) => None,
        },
        compression: "off",
    }
}

fn origin(route: &Route, row: &Row) -> Origin {
    let remote = route.remote.read();
    let address = row.profile.shown_remote();
    Origin {
        rid: row.profile.id.0,
        remote_id: remote.server_id.clone(),
        remote_name: remote.server_name.clone(),
        did_solicit: route.is_solicited,
        is_configured: route.is_configured,
        ip: address.map_or_else(String::new, |address| address.ip().to_string()),
        port: address.map_or(0, |address| address.port()),
        start: stamp(row.profile.start),
        last_activity: stamp(row.activity),
    }
}

fn activity(row: &Row, now: SystemTime) -> Activity {
    Activity {
        rtt: duration(row.session.rtt()),
        uptime: uptime(row.uptime(now)),
        idle: uptime(row.idle(now)),
        pending_size: row.pending,
        in_msgs: row.traffic.in_msgs,
        out_msgs: row.traffic.out_msgs,
        in_bytes: row.traffic.in_bytes,
        out_bytes: row.traffic.out_bytes,
    }
}

fn wanted(route: &Route, subs: Subs) -> Wanted {
    let interest = route.interest.lock();
    let own = Wanted { subscriptions: interest.len(), ..Wanted::default() };
    if subs == Subs::No {
        return own;
    }
    let mut all: Vec<(&str, &Subscription)> =
        interest.iter().map(|(account, subscription)| (&*account.name, &**subscription)).collect();
    all.sort_unstable_by_key(|(account, s)| (*account, s.filter(), s.queue()));
    match subs {
        Subs::Details => Wanted {
            subscriptions_list_detail: all.iter().map(|(account, s)| Detail::of(s, Some(account))).collect(),
            ..own
        },
        _ => Wanted {
            subscriptions_list: all
                .iter()
                .map(|(_, s)| String::from_utf8_lossy(s.filter()).into_owned())
                .collect(),
            ..own
        },
    }
}
