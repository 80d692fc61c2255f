//! One connection as `/connz` lists it, in the official fields and their order.

use super::connections::Row;
use super::secured::TlsSession;
use super::source::Subs;
use super::subscriptions::Detail;
use crate::documents;
use crate::times::{duration, stamp, uptime};
use dialtone_broker::account::GLOBAL;
use dialtone_broker::subscription::Subscription;
use dialtone_identity::certificate;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

#[derive(Serialize)]
struct Connection {
    #[serde(flatten)]
    origin: Origin,
    #[serde(flatten)]
    end: End,
    #[serde(flatten)]
    activity: Activity,
    #[serde(flatten)]
    client: ClientSaid,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_key: Option<String>,
    #[serde(flatten)]
    login: Login,
    #[serde(flatten)]
    tls: Tls,
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt_client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Value>,
    #[serde(flatten)]
    subscribed: Subscribed,
}

/// A row of the list. `auth`: with who it is in.
pub(super) fn describe(row: &Row, auth: bool, subs: Subs, now: SystemTime) -> Value {
    let profile = &row.profile;
    let connection = Connection {
        origin: origin(row),
        end: end(row),
        activity: activity(row, now),
        client: client_said(row),
        // Of closed connections it is shown whether or not it is asked for, as officially.
        issuer_key: profile.issuer_key().filter(|_| auth || row.end.is_some()),
        login: if auth { login(row) } else { Login::default() },
        tls: tls(row, auth),
        mqtt_client: profile.mqtt_client.as_deref().map(str::to_owned),
        proxy: profile.proxy.as_ref().map(|key| json!({ "key": &**key })),
        subscribed: subscribed(row, subs),
    };
    documents::json(&connection)
}

fn non_empty(text: impl Into<String>) -> Option<String> {
    Some(text.into()).filter(|text| !text.is_empty())
}

#[derive(Serialize)]
struct Origin {
    cid: u64,
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'static str,
    ip: String,
    port: u16,
    start: String,
    last_activity: String,
}

fn origin(row: &Row) -> Origin {
    let profile = &row.profile;
    let remote = profile.shown_remote();
    Origin {
        cid: profile.id.0,
        kind: profile.kind.label(),
        r#type: profile.listener.client_type(),
        ip: remote.map_or_else(|| "local".into(), |remote| remote.ip().to_string()),
        port: remote.map_or(0, |remote| remote.port()),
        start: stamp(profile.start),
        last_activity: stamp(row.activity),
    }
}

#[derive(Default, Serialize)]
struct End {
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<Value>,
}

fn end(row: &Row) -> End {
    let Some((stop, reason)) = row.end else { return End::default() };
    End {
        stop: Some(stamp(stop)),
        reason: Some(reason.text()),
        rejection: row.session.rejection.get().map(|rejection| rejection.value()),
    }
}

#[derive(Serialize)]
struct Activity {
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    subscriptions: usize,
}

fn activity(row: &Row, now: SystemTime) -> Activity {
    Activity {
        rtt: duration(row.session.rtt()),
        uptime: uptime(row.uptime(now)),
        idle: uptime(row.idle(now)),
        pending_bytes: row.pending,
        in_msgs: row.traffic.in_msgs,
        out_msgs: row.traffic.out_msgs,
        in_bytes: row.traffic.in_bytes,
        out_bytes: row.traffic.out_bytes,
        subscriptions: row.subscriptions,
    }
}

/// What the client said of itself.
#[derive(Default, Serialize)]
struct ClientSaid {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lang: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

fn client_said(row: &Row) -> ClientSaid {
    let Some(said) = row.profile.known() else { return ClientSaid::default() };
    ClientSaid {
        name: non_empty(&*said.name),
        lang: non_empty(&*said.lang),
        version: non_empty(&*said.version),
    }
}

#[derive(Default, Serialize)]
struct Login {
    #[serde(skip_serializing_if = "Option::is_none")]
    authorized_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

fn login(row: &Row) -> Login {
    let account = row.account();
    let claimed = row.profile.claimed.as_ref();
    let is_named = !account.is_empty() && (row.end.is_none() || account != GLOBAL);
    let name = claimed.map_or_else(|| account.clone(), |claimed| claimed.account_name.clone());
    Login {
        authorized_user: non_empty(row.user()),
        account: non_empty(account.as_str()).filter(|account| account != GLOBAL),
        name_tag: is_named.then_some(name),
        jwt: row.profile.jwt(),
        tags: row.profile.tags(),
    }
}

#[derive(Default, Serialize)]
struct Tls {
    #[serde(flatten)]
    session: TlsSession,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_peer_certs: Vec<Certificate>,
}

/// A client's certificate, as far as it is shown.
#[derive(Serialize)]
struct Certificate {
    subject: String,
    spki_sha256: String,
    cert_sha256: String,
}

fn tls(row: &Row, auth: bool) -> Tls {
    let Some(secured) = &row.profile.secured else { return Tls::default() };
    let shown = secured.certificates.first().filter(|_| auth);
    let certificate = shown
        .and_then(|der| certificate::summary(der))
        .map(|(subject, cert_sha256, spki_sha256)| Certificate { subject, spki_sha256, cert_sha256 });
    Tls { session: TlsSession::of(&row.profile), tls_peer_certs: certificate.into_iter().collect() }
}

#[derive(Default, Serialize)]
struct Subscribed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<Detail>,
}

fn subscribed(row: &Row, subs: Subs) -> Subscribed {
    let mut table: Vec<&Arc<Subscription>> = row.subscribed.iter().collect();
    // Numbers, as clients give them, in their order.
    table.sort_unstable_by_key(|s| (s.sid().len(), s.sid()));
    match subs {
        Subs::No => Subscribed::default(),
        Subs::Subjects => {
            let subjects = table.iter().map(|s| String::from_utf8_lossy(s.filter()).into_owned());
            Subscribed { subscriptions_list: subjects.collect(), ..Subscribed::default() }
        }
        Subs::Details => {
            // A closed connection is shown with its account and without a maximum, as by the official server.
            let of_account = row.end.map(|_| row.account());
            let details = table.iter().map(|s| Detail::of(s, of_account.as_deref()));
            let details = if row.end.is_some() {
                details.map(Detail::without_max).collect()
            } else {
                details.collect()
            };
            Subscribed { subscriptions_list_detail: details, ..Subscribed::default() }
        }
    }
}
