//! What an account shares, in `/accountz`.

use crate::node::Node;
use crate::system;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_config::sharing::{Export, ExportKind, Latency, Mapping, ResponseType, Sampling};
use dialtone_identity::jwt::Body;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// The number of services among the kinds of imports: with it the official server writes what is owed.
const SERVICE: u8 = 2;

/// Adds mappings, exports and imports to the detail of an account; what is empty is left out.
pub(super) fn insert(node: &Node, account: &Account, out: &mut Map<String, Value>) {
    let verified = node.accounts.jwts.find(&account.name);
    let policy = node.settings.policy();
    let configured = policy.options.accounts.iter().find(|a| *a.name == *account.name);
    let (exports, mappings): (&[Export], &[Mapping]) = match (&verified, configured) {
        (Some(verified), _) => (&verified.claims.exports, &verified.claims.mappings),
        (None, Some(configured)) => (&configured.exports, &configured.mappings),
        (None, None) if *account.name == *node.accounts.global.name => (&[], &policy.options.mappings),
        (None, None) => (&[], &[]),
    };
    if !mappings.is_empty() {
        let mappings: Map<String, Value> = mappings.iter().map(|m| (m.subject.clone(), mapping(m))).collect();
        out.insert("mappings".into(), mappings.into());
    }
    let given = system::exports(&node.accounts, account, exports);
    let given = given.into_iter().map(|(subject, response)| service(subject, response).into());
    let of_token = verified.as_ref().map(|verified| &verified.token.body);
    let exports: Vec<Value> =
        exports.iter().map(|export| with_activations(of_token, export)).chain(given).collect();
    if !exports.is_empty() {
        out.insert("exports".into(), exports.into());
    }
    let imports = imports(account);
    if !imports.is_empty() {
        out.insert("imports".into(), imports.into());
    }
}

/// Until when what was issued is revoked, by key.
pub(super) fn revoked(revocations: &BTreeMap<String, i64>) -> Value {
    let at = |second: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or(0));
    revocations
        .iter()
        .map(|(key, second)| (key.clone(), stamp(at(*second)).into()))
        .collect::<Map<_, _>>()
        .into()
}

/// An export, with what its account's token says of activations.
fn with_activations(token: Option<&Body>, export: &Export) -> Value {
    let mut out = self::export(export);
    if let (Some(Body::Account(account)), Some(object)) = (token, out.as_object_mut())
        && let Some(exported) = account.exports.iter().find(|exported| exported.subject == export.subject)
    {
        if exported.token_req {
            object.insert("token_req".into(), true.into());
        }
        if !exported.revocations.is_empty() {
            object.insert("revoked_activations".into(), revoked(&exported.revocations));
        }
    }
    out
}

/// Adds the answers that the account's services owe, if they owe any.
pub(super) fn insert_responses(account: &Account, out: &mut Map<String, Value>) {
    let owed = account.owed().into_iter().map(|owed| {
        let mut value = json!({
            "subject": owed.reply, "account": owed.requester, "to": owed.subject, "local_subject": owed.subject,
            "type": SERVICE, "invalid": false, "share": false, "tracking": owed.latency.is_some(),
        });
        if let (Some(latency), Some(object)) = (&owed.latency, value.as_object_mut()) {
            object.insert("latency".into(), self::latency(latency));
        }
        (owed.subject, value)
    });
    let owed: Map<String, Value> = owed.collect();
    if !owed.is_empty() {
        out.insert("responses".into(), owed.into());
    }
}

/// Destinations with the weights added up, as they are drawn; what is left keeps its subject.
fn mapping(mapping: &Mapping) -> Value {
    let mut sums: BTreeMap<Option<&str>, u8> = BTreeMap::from([(None, 0)]);
    let mut rows: Vec<Value> = Vec::new();
    let mut row = |subject: &str, weight: u8, cluster: Option<&str>| {
        let mut row = json!({ "subject": subject, "weight": weight });
        if let (Some(cluster), Some(object)) = (cluster, row.as_object_mut()) {
            object.insert("cluster".into(), cluster.into());
        }
        rows.push(row);
    };
    let mut destinations: Vec<_> = mapping.destinations.iter().collect();
    destinations.sort_by_key(|destination| destination.weight);
    for destination in destinations {
        let cluster = destination.cluster.as_deref();
        let sum = sums.get(&cluster).copied().unwrap_or(0u8).saturating_add(destination.weight);
        sums.insert(cluster, sum);
        row(&destination.subject, sum, cluster);
    }
    let lost = mapping.destinations.iter().any(|destination| destination.subject == mapping.subject);
    for (cluster, sum) in sums {
        if sum < 100 && !lost {
            row(&dialtone_subject::transform::number_wildcards(&mapping.subject), 100, cluster);
        }
    }
    rows.into()
}

fn export(export: &Export) -> Value {
    let mut out = match &export.kind {
        ExportKind::Stream => stream(&export.subject),
        ExportKind::Service(exported) => {
            let mut out = service(&export.subject, exported.response);
            if let Some(latency) = &exported.latency {
                out.insert("service_latency".into(), self::latency(latency));
            }
            out
        }
    };
    if !export.accounts.is_empty() {
        out.insert("approved_accounts".into(), export.accounts.clone().into());
    }
    out.into()
}

fn stream(subject: &str) -> Map<String, Value> {
    Map::from_iter([("subject".into(), subject.into()), ("type".into(), "stream".into())])
}

fn service(subject: &str, response: ResponseType) -> Map<String, Value> {
    let response = match response {
        ResponseType::Single => "Singleton",
        ResponseType::Stream => "Streamed",
        ResponseType::Chunked => "Chunked",
    };
    Map::from_iter([
        ("subject".into(), subject.into()),
        ("type".into(), "service".into()),
        ("response_type".into(), response.into()),
    ])
}

fn latency(latency: &Latency) -> Value {
    let sampling = match latency.sampling {
        Sampling::Headers => Value::from("headers"),
        Sampling::Percent(percent) => percent.into(),
    };
    json!({ "sampling": sampling, "results": &*latency.subject })
}

fn imports(account: &Account) -> Vec<Value> {
    let sharing = account.sharing();
    let streams = sharing.streams().iter().map(|stream| {
        json!({
            "subject": *stream.subject, "account": stream.exporter.name, "local_subject": *stream.local,
            "type": "stream", "invalid": false, "share": false, "tracking": false,
        })
    });
    let services = sharing.services().map(|service| {
        let mut value = json!({
            "subject": *service.subject, "account": service.exporter.name, "to": *service.local,
            "local_subject": *service.local, "type": "service", "invalid": false, "share": service.share,
            "tracking": false,
        });
        if let (Some(latency), Some(object)) = (&service.export.latency, value.as_object_mut()) {
            object.insert("latency".into(), self::latency(latency));
        }
        value
    });
    streams.chain(services).collect()
}
