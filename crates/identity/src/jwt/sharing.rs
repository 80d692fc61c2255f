//! What an account shares by its token, as the claims that accounts of the configuration have: the broker knows one
//! kind of account.

use super::account::{self, Account, is_revoked};
use super::claims::{ExportKind as Kind, Limit};
use super::trust::{TrustError, activation};
use super::{Body, DecodedJwt};
use crate::nkey::Public;
use dialtone_config::options::{AccountLimits, MsgTrace};
use dialtone_config::sharing::{
    Destination, Export, ExportKind, Import, ImportKind, Latency, Mapping, ResponseType, Sampling,
    ServiceExport,
};
use dialtone_config::{Location, Position};
use dialtone_subject::Literal;
use dialtone_subject::set::{contains, is_valid_filter};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What an account allows itself and shares, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Claims {
    /// Its limits.
    pub limits: AccountLimits,
    /// What it shares.
    pub exports: Vec<Export>,
    /// What it takes from others, as far as they let it.
    pub imports: Vec<Import>,
    /// Subjects whose messages go elsewhere.
    pub mappings: Vec<Mapping>,
    /// Where traces of its messages go.
    pub msg_trace: Option<MsgTrace>,
    /// It may have streams.
    pub jetstream: bool,
    /// Imports that do not hold, with the reason; for the log and for monitoring.
    pub invalid: Vec<(String, String)>,
    /// The last second in which all its imports hold, since 1970. `None`: for ever.
    pub until: Option<i64>,
}

/// The accounts that an account imports from, by public key.
pub fn exporters(token: &DecodedJwt) -> Vec<&str> {
    let Body::Account(account) = &token.body else { return Vec::new() };
    account.imports.iter().map(|import| import.account.as_str()).collect()
}

/// Reads what an account shares. `exporter` finds the believed token of another account; `now` is in seconds since 1970.
///
/// An import without the export that it needs, without a valid activation where one is asked for, or of another
/// subject than that activation, is left out.
pub fn claims(token: &DecodedJwt, exporter: &dyn Fn(&str) -> Option<Arc<DecodedJwt>>, now: i64) -> Claims {
    let Body::Account(account) = &token.body else { return Claims::default() };
    let mut out = Claims {
        limits: AccountLimits {
            connections_max: limit(account.limits.conn),
            subscriptions_max: limit(account.limits.subs),
            payload_bytes_max: limit(account.limits.payload),
            leaf_nodes_max: limit(account.limits.leaf),
        },
        exports: account.exports.iter().filter_map(export).collect(),
        mappings: mappings(account),
        msg_trace: trace(account),
        jetstream: account.limits.allows_streams(),
        ..Claims::default()
    };
    for import in &account.imports {
        match allowed(import, token, exporter, now) {
            Ok((import, until)) => {
                out.imports.push(import);
                out.until = [out.until, until].into_iter().flatten().min();
            }
            Err(why) => out.invalid.push((import.subject.clone(), why)),
        }
    }
    out
}

fn limit(limit: Limit) -> Option<u64> {
    match limit {
        Limit::Unlimited => None,
        Limit::AtMost(max) => Some(max),
    }
}

/// Where it stands: in no file.
fn at() -> Position {
    Location::nowhere("account JWT").into()
}

fn export(export: &account::Export) -> Option<Export> {
    if !is_valid_filter(export.subject.as_bytes()) {
        return None;
    }
    let kind = match export.kind {
        Kind::Stream => ExportKind::Stream,
        Kind::Service => ExportKind::Service(ServiceExport {
            response: match export.response_type.as_str() {
                "Stream" => ResponseType::Stream,
                "Chunked" => ResponseType::Chunked,
                _ => ResponseType::Single,
            },
            threshold: u64::try_from(export.response_threshold)
                .ok()
                .filter(|&n| n > 0)
                .map(Duration::from_nanos),
            latency: export.service_latency.as_ref().and_then(latency),
            allow_trace: export.allow_trace,
        }),
    };
    let position = usize::try_from(export.account_token_position).ok().filter(|&n| n > 0);
    Some(Export {
        at: at(),
        subject: export.subject.clone(),
        accounts: Vec::new(),
        account_token_position: position,
        kind,
    })
}

fn latency(latency: &account::ServiceLatency) -> Option<Latency> {
    let sampling = match latency.sampling {
        0 => Sampling::Headers,
        percent => Sampling::Percent(percent),
    };
    Some(Latency { subject: Literal::parse(&latency.results).ok()?, sampling })
}

fn trace(account: &Account) -> Option<MsgTrace> {
    let trace = account.trace.as_ref()?;
    let sampling = if (1..=100).contains(&trace.sampling) { trace.sampling } else { 100 };
    Some(MsgTrace { destination: Literal::parse(&trace.dest).ok()?, sampling })
}

/// Mappings. One that names a destination twice is none, as for the official server.
fn mappings(account: &Account) -> Vec<Mapping> {
    let is_good = |(_, destinations): &(&String, &Vec<account::WeightedMapping>)| {
        let mut seen = BTreeSet::new();
        destinations.iter().all(|to| seen.insert(&to.subject))
    };
    let one = |(subject, destinations): (&String, &Vec<account::WeightedMapping>)| Mapping {
        at: at(),
        subject: subject.clone(),
        destinations: destinations
            .iter()
            .map(|to| Destination {
                subject: to.subject.clone(),
                // 0 is what is not said: everything.
                weight: if to.weight == 0 { 100 } else { to.weight.min(100) },
                cluster: Some(to.cluster.clone()).filter(|cluster| !cluster.is_empty()),
            })
            .collect(),
    };
    account.mappings.iter().filter(is_good).map(one).collect()
}

/// The import, if the exporting account lets this one have it, and the last second that it does.
fn allowed(
    import: &account::Import,
    importer: &DecodedJwt,
    exporter: &dyn Fn(&str) -> Option<Arc<DecodedJwt>>,
    now: i64,
) -> Result<(Import, Option<i64>), String> {
    if !is_valid_filter(import.subject.as_bytes()) {
        return Err("the subject is not valid".into());
    }
    let there = exporter(&import.account).ok_or("the exporting account is not known")?;
    let Body::Account(shared) = &there.body else { return Err("the exporter is no account".into()) };
    let fits = |export: &&account::Export| {
        export.kind == import.kind && contains(export.subject.as_bytes(), import.subject.as_bytes())
    };
    let mut refused = "the account does not export it".to_owned();
    for export in shared.exports.iter().filter(fits) {
        match admits(export, import, &importer.subject, &there, now) {
            Ok(until) => return Ok((converted(import), until)),
            Err(why) => refused = why,
        }
    }
    Err(refused)
}

/// Whether an export lets an importer have it; the last second that it does.
fn admits(
    export: &account::Export,
    import: &account::Import,
    importer: &Public,
    exporter: &DecodedJwt,
    now: i64,
) -> Result<Option<i64>, String> {
    let key = importer.to_string();
    if export.account_token_position > 0 {
        let position = usize::try_from(export.account_token_position).unwrap_or(usize::MAX);
        return match import.subject.split('.').nth(position.saturating_sub(1)) {
            Some(token) if token == key => Ok(None),
            _ => Err("the subject does not name the importing account".into()),
        };
    }
    if !export.token_req {
        // Who is revoked may not import even what needs no activation; its issue is its own token's.
        return Ok(None);
    }
    if import.token.is_empty() {
        return Err("it needs an activation".into());
    }
    let token = activation(import, &export.revocations, importer, exporter, now)
        .map_err(|e: TrustError| e.to_string())?;
    if is_revoked(&export.revocations, &key, token.issued_at) {
        return Err(TrustError::Revoked.to_string());
    }
    Ok(token.expires)
}

/// The importer's subject: `local_subject`, in which `$1` stands for a wildcard, or `to`, which is a prefix of
/// streams, or another subject of services.
fn converted(import: &account::Import) -> Import {
    let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let local = named(&import.local_subject);
    let kind = match import.kind {
        Kind::Stream => ImportKind::Stream {
            prefix: if local.is_none() { named(&import.to) } else { None },
            to: local,
            allow_trace: import.allow_trace,
        },
        Kind::Service => ImportKind::Service {
            to: local.or_else(|| named(&import.to)).unwrap_or_else(|| import.subject.clone()),
            share: import.share,
        },
    };
    Import { at: at(), account: import.account.clone(), subject: import.subject.clone(), kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::decode;
    use crate::jwt::tests::{account, account_token, seed, signed};
    use crate::nkey::Kind as KeyKind;
    use serde_json::{Value, json};

    const NOW: i64 = 1_700_000_000;

    /// What an account may import that says this, from the account that exports that.
    fn imports(exports: Value, import: Value) -> Result<Import, String> {
        let exporter =
            Arc::new(decode(&account_token(json!({ "exports": exports, "limits": {} }))).expect("exporter"));
        let importer = seed(KeyKind::Account, 5);
        let mut whole = json!({ "account": account().public().to_string() });
        if let (Some(whole), Value::Object(more)) = (whole.as_object_mut(), import) {
            whole.extend(more);
        }
        let token =
            signed(&account(), &importer, json!({ "type": "account", "imports": [whole] }), json!({}));
        let token = decode(&token).expect("importer");
        let key = account().public().to_string();
        let mut claims = claims(&token, &|k| (k == key).then(|| exporter.clone()), NOW);
        claims.imports.pop().ok_or_else(|| claims.invalid.pop().map(|(_, why)| why).unwrap_or_default())
    }

    fn activation_for(subject: &str, to: u8) -> String {
        let nats = json!({ "type": "activation", "subject": subject, "kind": "stream" });
        signed(&account(), &seed(KeyKind::Account, to), nats, json!({}))
    }

    #[test]
    fn what_is_not_exported_is_not_imported() {
        let public = json!([{ "subject": "a.>", "type": "stream" }]);
        let import = |subject: &str, kind: &str| json!({ "subject": subject, "type": kind });
        assert!(imports(public.clone(), import("a.b", "stream")).is_ok());
        for (subject, kind) in [("b", "stream"), ("a.b", "service"), (">", "stream"), ("a..b", "stream")] {
            assert!(imports(public.clone(), import(subject, kind)).is_err(), "{subject} {kind}");
        }
        let other = json!({ "subject": "a.b", "type": "stream", "account": "A" });
        assert_eq!(imports(public, other), Err("the exporting account is not known".into()));
    }

    /// A private export without token, and with another's (CVE-2021-3127).
    #[test]
    fn private_exports_need_an_activation_of_their_own() {
        let private = json!([{ "subject": "a.>", "type": "stream", "token_req": true }]);
        let import = |token: &str| json!({ "subject": "a.b", "type": "stream", "token": token });
        assert_eq!(imports(private.clone(), import("")), Err("it needs an activation".into()));
        assert!(imports(private.clone(), import(&activation_for("a.*", 5))).is_ok());
        assert!(imports(private.clone(), import(&activation_for("a.*", 6))).is_err());
        assert!(imports(private.clone(), import(&activation_for("b.*", 5))).is_err());
        let key = seed(KeyKind::Account, 5).public().to_string();
        for who in [&*key, "*"] {
            let revoked = json!([{ "subject": "a.>", "type": "stream", "token_req": true, "revocations": { who: NOW } }]);
            assert!(imports(revoked, import(&activation_for("a.*", 5))).is_err());
        }
    }

    #[test]
    fn a_token_of_the_subject_names_the_importer() {
        let by_token = json!([{ "subject": "a.*", "type": "service", "account_token_position": 2 }]);
        let key = seed(KeyKind::Account, 5).public().to_string();
        let import = |last: &str| json!({ "subject": format!("a.{last}"), "type": "service", "to": "x" });
        let got = imports(by_token.clone(), import(&key)).expect("import");
        assert_eq!(got.kind, ImportKind::Service { to: "x".into(), share: false });
        assert!(imports(by_token.clone(), import(&account().public().to_string())).is_err());
        assert!(imports(by_token, import("*")).is_err());
    }

    #[test]
    fn local_subjects_and_prefixes() {
        let public = json!([{ "subject": "a.>", "type": "stream" }]);
        let stream = |prefix: Option<&str>, to: Option<&str>| ImportKind::Stream {
            prefix: prefix.map(Into::into),
            to: to.map(Into::into),
            allow_trace: false,
        };
        for (import, expected) in [
            (json!({ "subject": "a.b", "type": "stream", "to": "p" }), stream(Some("p"), None)),
            (
                json!({ "subject": "a.*", "type": "stream", "local_subject": "x.$1" }),
                stream(None, Some("x.$1")),
            ),
            (json!({ "subject": "a.b", "type": "stream" }), stream(None, None)),
        ] {
            assert_eq!(imports(public.clone(), import).expect("import").kind, expected);
        }
    }
}
