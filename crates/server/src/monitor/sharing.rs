//! What an account shares, in `/accountz`, in the official fields and their order. What is empty is left out.

use crate::account_jwts::VerifiedAccount;
use crate::documents::is_default;
use crate::node::Node;
use crate::system;
use crate::times::stamp;
use dialtone_broker::account::Account;
use dialtone_config::sharing::{self, ExportKind, ResponseType, Sampling};
use dialtone_identity::jwt::Body;
use dialtone_jetstream::api::domain_mappings;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// The number of services among the kinds of imports: the official server writes it for responses.
const SERVICE: u8 = 2;

/// Mappings, exports and imports of an account.
#[derive(Serialize)]
pub(super) struct Shared {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    mappings: BTreeMap<String, Vec<Destination>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<Export>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<Import>,
}

pub(super) fn shared(node: &Node, account: &Account, verified: Option<&VerifiedAccount>) -> Shared {
    let policy = node.settings.policy();
    let configured = policy.options.access.accounts.iter().find(|a| *a.name == *account.name);
    let (exports, mappings): (&[sharing::Export], &[sharing::Mapping]) = match (verified, configured) {
        (Some(verified), _) => (&verified.claims.exports, &verified.claims.mappings),
        (None, Some(configured)) => (&configured.exports, &configured.mappings),
        (None, None) if *account.name == *node.accounts.global.name => (&[], &policy.options.access.mappings),
        (None, None) => (&[], &[]),
    };
    let granted = system::exports(&node.accounts, account, exports);
    let granted = granted.into_iter().map(|(subject, response)| Export::service(subject, response));
    let token = verified.map(|verified| &verified.token.body);
    let domain = node.streams.shared().and_then(|shared| shared.domain.clone());
    let of_domain =
        domain.as_deref().map(domain_mappings).unwrap_or_default().into_iter().map(|(from, to)| {
            (from, vec![Destination { subject: to.to_owned(), weight: 100, cluster: None }])
        });
    Shared {
        mappings: of_domain.chain(mappings.iter().map(|m| (m.subject.clone(), destinations(m)))).collect(),
        exports: exports.iter().map(|export| with_activations(token, export)).chain(granted).collect(),
        imports: imports(account),
    }
}

/// Until when what was issued is revoked, by key.
pub(super) fn revoked(revocations: &BTreeMap<String, i64>) -> BTreeMap<String, String> {
    let at = |second: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or(0));
    revocations.iter().map(|(key, second)| (key.clone(), stamp(at(*second)))).collect()
}

/// Where a part of a mapped subject's messages goes.
#[derive(Serialize)]
struct Destination {
    subject: String,
    weight: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// Destinations with the weights added up, as they are drawn; the rest keeps its subject.
fn destinations(mapping: &sharing::Mapping) -> Vec<Destination> {
    let mut sums: BTreeMap<Option<&str>, u8> = BTreeMap::from([(None, 0)]);
    let mut rows: Vec<Destination> = Vec::new();
    let mut row = |subject: &str, weight: u8, cluster: Option<&str>| {
        rows.push(Destination { subject: subject.into(), weight, cluster: cluster.map(str::to_owned) });
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
    rows
}

#[derive(Default, Serialize)]
struct Export {
    subject: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_latency: Option<Latency>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    approved_accounts: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    token_req: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    revoked_activations: BTreeMap<String, String>,
}

impl Export {
    fn stream(subject: &str) -> Self {
        Self { subject: subject.to_owned(), r#type: "stream", ..Self::default() }
    }

    fn service(subject: &str, response: ResponseType) -> Self {
        let response = match response {
            ResponseType::Single => "Singleton",
            ResponseType::Stream => "Streamed",
            ResponseType::Chunked => "Chunked",
        };
        Self {
            subject: subject.to_owned(),
            r#type: "service",
            response_type: Some(response),
            ..Self::default()
        }
    }

    fn of(export: &sharing::Export) -> Self {
        let kind = match &export.kind {
            ExportKind::Stream => Self::stream(&export.subject),
            ExportKind::Service(exported) => Self {
                service_latency: exported.latency.as_ref().map(Latency::of),
                ..Self::service(&export.subject, exported.response)
            },
        };
        Self { approved_accounts: export.accounts.clone(), ..kind }
    }
}

/// An export, with what its account's token has about activations.
fn with_activations(token: Option<&Body>, export: &sharing::Export) -> Export {
    let shown = Export::of(export);
    let Some(Body::Account(account)) = token else { return shown };
    match account.exports.iter().find(|exported| exported.subject == export.subject) {
        Some(exported) => Export {
            token_req: exported.token_req,
            revoked_activations: revoked(&exported.revocations),
            ..shown
        },
        None => shown,
    }
}

/// Where the latency of a service is published.
#[derive(Serialize)]
struct Latency {
    sampling: Sampled,
    results: String,
}

/// Of which requests: a word, or so many of a hundred.
#[derive(Serialize)]
#[serde(untagged)]
enum Sampled {
    Headers(&'static str),
    Percent(u8),
}

impl Latency {
    fn of(latency: &sharing::Latency) -> Self {
        let sampling = match latency.sampling {
            Sampling::Headers => Sampled::Headers("headers"),
            Sampling::Percent(percent) => Sampled::Percent(percent),
        };
        Self { sampling, results: latency.subject.to_string() }
    }
}

#[derive(Serialize)]
struct Import {
    subject: String,
    account: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    local_subject: String,
    r#type: &'static str,
    invalid: bool,
    share: bool,
    tracking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Latency>,
}

fn imports(account: &Account) -> Vec<Import> {
    let sharing = account.sharing();
    let streams = sharing.streams().iter().map(|stream| Import {
        subject: stream.subject.to_string(),
        account: stream.exporter.name.to_string(),
        to: None,
        local_subject: stream.local.to_string(),
        r#type: "stream",
        invalid: false,
        share: false,
        tracking: false,
        latency: None,
    });
    let services = sharing.services().map(|service| Import {
        subject: service.subject.to_string(),
        account: service.exporter.name.to_string(),
        to: Some(service.local.to_string()),
        local_subject: service.local.to_string(),
        r#type: "service",
        invalid: false,
        share: service.share,
        tracking: false,
        latency: service.export.latency.as_ref().map(Latency::of),
    });
    streams.chain(services).collect()
}

/// An answer that a service of the account owes.
#[derive(Serialize)]
pub(super) struct Response {
    subject: String,
    account: String,
    to: String,
    local_subject: String,
    r#type: u8,
    invalid: bool,
    share: bool,
    tracking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Latency>,
}

/// The answers that the account's services owe, by the subject on which they are expected.
pub(super) fn responses(account: &Account) -> BTreeMap<String, Response> {
    let owed = account.owed().into_iter().map(|owed| {
        let response = Response {
            subject: owed.reply,
            account: owed.requester,
            to: owed.subject.clone(),
            local_subject: owed.subject.clone(),
            r#type: SERVICE,
            invalid: false,
            share: false,
            tracking: owed.latency.is_some(),
            latency: owed.latency.as_ref().map(Latency::of),
        };
        (owed.subject, response)
    });
    owed.collect()
}
