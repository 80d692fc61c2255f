//! `/routez`: the connections to other servers of the cluster, in the official fields and their order.

use super::options::RoutezOptions;
use super::secured::TlsSession;
use super::source::Subs;
use super::subscriptions::Detail;
use crate::cluster;
use crate::documents::json;
use crate::node::Node;
use crate::routes::{Route, Share};
use crate::times::{duration, stamp, uptime};
use dialtone_config::Options;
use dialtone_wire::interserver::SubjectRules;
use dialtone_wire::route::Info;
use serde::Serialize;
use serde_json::Value;
use std::time::SystemTime;

#[derive(Serialize)]
struct Routez<'a> {
    server_id: &'a str,
    server_name: &'a str,
    now: String,
    #[serde(flatten)]
    rules: Exchanged,
    num_routes: usize,
    routes: Vec<Row>,
}

/// Which subjects are exchanged.
#[derive(Default, Serialize)]
struct Exchanged {
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<SubjectRules>,
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<SubjectRules>,
}

/// One route.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    remote: Remote,
    #[serde(flatten)]
    times: Times,
    #[serde(flatten)]
    rules: Exchanged,
    #[serde(flatten)]
    load: Load,
    #[serde(flatten)]
    subscribed: Subscribed,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    compression: String,
    /// Beyond the official fields.
    #[serde(flatten)]
    tls: TlsSession,
}

/// Who is at the other end.
#[derive(Serialize)]
struct Remote {
    rid: u64,
    remote_id: String,
    remote_name: String,
    did_solicit: bool,
    is_configured: bool,
    ip: String,
    port: u16,
}

#[derive(Serialize)]
struct Times {
    start: String,
    last_activity: String,
    rtt: String,
    uptime: String,
    idle: String,
}

#[derive(Serialize)]
struct Load {
    pending_size: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: usize,
}

/// What the other server is interested in.
#[derive(Default, Serialize)]
struct Subscribed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<Detail>,
}

/// The document.
pub(crate) fn routez(node: &Node, options: &RoutezOptions) -> Value {
    let policy = node.settings.policy();
    let now = SystemTime::now();
    let rows: Vec<_> =
        node.delivery.routes.listed().iter().map(|route| row(route, options.subs, now)).collect();
    json(&Routez {
        server_id: &node.settings.identity.id,
        server_name: &node.settings.identity.name,
        now: stamp(now),
        rules: own_rules(&policy.options),
        num_routes: rows.len(),
        routes: rows,
    })
}

fn own_rules(options: &Options) -> Exchanged {
    let [import, export] = cluster::exchanged(options);
    Exchanged { import, export }
}

fn row(route: &Route, subs: Subs, now: SystemTime) -> Row {
    let info = route.remote.read().clone();
    let subscriptions = route.interest.lock().len();
    Row {
        remote: remote(route, &info),
        times: times(route, now),
        rules: Exchanged { import: info.import.clone(), export: info.export.clone() },
        load: load(route, subscriptions),
        subscribed: subscribed(route, subs),
        account: route.dedicated_to().map(str::to_owned),
        compression: route.compression.text().into(),
        tls: TlsSession::of(&route.session.profile()),
    }
}

fn remote(route: &Route, info: &Info) -> Remote {
    let profile = route.session.profile();
    Remote {
        rid: profile.id.0,
        remote_id: info.server_id.clone(),
        remote_name: info.server_name.clone(),
        did_solicit: route.is_solicited,
        is_configured: route.is_configured,
        ip: profile.remote.map_or_else(String::new, |remote| remote.ip().to_string()),
        port: profile.remote.map_or(0, |remote| remote.port()),
    }
}

fn times(route: &Route, now: SystemTime) -> Times {
    let (session, profile) = (&route.session, route.session.profile());
    let activity = profile.start + session.peer.activity();
    Times {
        start: stamp(profile.start),
        last_activity: stamp(activity),
        rtt: duration(session.rtt()),
        uptime: uptime(now.duration_since(profile.start).unwrap_or_default()),
        idle: uptime(now.duration_since(activity).unwrap_or_default()),
    }
}

fn load(route: &Route, subscriptions: usize) -> Load {
    let traffic = route.session.peer.counters.read();
    Load {
        pending_size: route.session.peer.pending_bytes(),
        in_msgs: traffic.in_msgs,
        out_msgs: traffic.out_msgs,
        in_bytes: traffic.in_bytes,
        out_bytes: traffic.out_bytes,
        subscriptions,
    }
}

fn subscribed(route: &Route, subs: Subs) -> Subscribed {
    let interest = route.interest.lock();
    match subs {
        Subs::No => Subscribed::default(),
        Subs::Subjects => {
            let subject = |filter: &[u8]| String::from_utf8_lossy(filter).into_owned();
            let list = interest.iter().map(|(_, subscription)| subject(subscription.filter()));
            Subscribed { subscriptions_list: list.collect(), ..Subscribed::default() }
        }
        Subs::Details => {
            let is_named = !matches!(route.share, Share::Dedicated(_));
            let list = interest.iter().map(|(account, subscription)| {
                Detail::of_route(subscription, is_named.then_some(&*account.name))
            });
            Subscribed { subscriptions_list_detail: list.collect(), ..Subscribed::default() }
        }
    }
}
