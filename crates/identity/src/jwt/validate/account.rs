//! What is wrong with an account's token.

use super::super::account::{
    Account, AccountLimits, Export, ExternalAuthorization, Import, Trace, WeightedMapping,
};
use super::super::claims::{ExportKind, Limit};
use super::super::{Body, DecodedJwt, decode};
use super::{Issues, Severity, Url, ValidationContext, is_key, permissions, subject, validate};
use crate::nkey::Kind;
use std::collections::BTreeMap;

/// Bytes of a text for people, and of a URL.
const INFO_BYTES_MAX: usize = 8 * 1024;

pub(super) fn account(account: &Account, token: &DecodedJwt, issues: &mut Issues) {
    imports(&account.imports, &token.subject.to_string(), issues);
    exports(&account.exports, issues);
    limits(&account.limits, issues);
    permissions(&account.default_permissions, issues);
    mappings(&account.mappings, issues);
    authorization(&account.authorization, issues);
    if let Some(trace) = &account.trace {
        self::trace(trace, issues);
    }
    sharing_limits(account, issues);
    for (key, role) in &account.signing_keys {
        issues.refuse_if(!is_key(key, Kind::Account), || match role {
            Some(_) => format!("{key} is not an account public key"),
            None => format!("{key:?} is not a valid account signing key"),
        });
    }
    info(&account.description, &account.info_url, issues);
    let traffic = &account.cluster_traffic;
    issues.refuse_if(!["", "system", "owner"].contains(&traffic.as_str()), || {
        format!("unknown cluster traffic option: {traffic:?}")
    });
    if token.issuer.kind == Kind::Account && account.limits != AccountLimits::default() {
        issues.warning("self-signed account JWTs shouldn't contain operator limits");
    }
}

fn imports(imports: &[Import], importer: &str, issues: &mut Issues) {
    let mut of_accounts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for import in imports {
        if import.kind == ExportKind::Service {
            let local = [import.to.clone(), subject::renamed(&import.local_subject)];
            let local = local.into_iter().find(|s| !s.is_empty()).unwrap_or_else(|| import.subject.clone());
            let others = of_accounts.entry(&import.account).or_default();
            for other in others.iter() {
                let overlaps = subject::is_contained(&local, other) || subject::is_contained(other, &local);
                issues.refuse_if(overlaps, || {
                    let account = &import.account;
                    format!("overlapping subject namespace for {local:?} and {other:?} in same account {account:?}")
                });
            }
            if others.contains(&local) {
                let account = &import.account;
                issues.error(format!("overlapping subject namespace for {local:?} in account {account:?}"));
            } else {
                others.push(local);
            }
        }
        self::import(import, importer, issues);
    }
}

fn import(import: &Import, importer: &str, issues: &mut Issues) {
    let Import { subject: from, account, kind, .. } = import;
    let is_service = *kind == ExportKind::Service;
    issues
        .refuse_if(is_service && import.allow_trace, || "AllowTrace only valid for stream import".to_owned());
    if account.is_empty() {
        issues.error("account to import from is not specified");
    } else if !is_key(account, Kind::Account) {
        issues.error(format!("{account} is not an account public key"));
    }
    if !import.to.is_empty() {
        issues.warning("the field to has been deprecated (use LocalSubject instead)");
    }
    subject::check(from, issues);
    if !import.local_subject.is_empty() {
        subject::check_renaming(&import.local_subject, from, issues);
        issues.refuse_if(!import.to.is_empty(), || "Local Subject replaces To".to_owned());
    }
    issues.refuse_if(import.share && !is_service, || {
        format!("sharing information (for latency tracking) is only valid for services: {from:?}")
    });
    if !import.token.is_empty() {
        activation(import, importer, issues);
    }
}

/// The token in an import. Its times are not looked at: the import is good again when it is renewed.
fn activation(import: &Import, importer: &str, issues: &mut Issues) {
    let from = &import.subject;
    let Ok(token) = decode(&import.token) else {
        issues.error(format!("import {from:?} contains an invalid activation token"));
        return;
    };
    let Body::Activation(claims) = &token.body else {
        issues.error(format!("import {from:?} contains an invalid activation token"));
        return;
    };
    issues.refuse_if(
        token.issuer.to_string() != import.account && claims.issuer_account != import.account,
        || format!("activation token doesn't match account for import {from:?}"),
    );
    issues.refuse_if(token.subject.to_string() != importer, || {
        format!("activation token doesn't match account it is being included in, {from:?}")
    });
    issues.refuse_if(claims.kind != Some(import.kind), || {
        let found = claims.kind.map_or("unknown", ExportKind::name);
        format!("mismatch between token import type {found} and type of import {}", import.kind.name())
    });
    let within = validate(&token, &ValidationContext { now: None, is_time_zone: &|_| true });
    issues.found.extend(within.into_iter().filter(|issue| issue.severity == Severity::Error));
    let imported = match import.kind {
        ExportKind::Service if !import.to.is_empty() => &import.to,
        _ => from,
    };
    issues.refuse_if(!subject::is_contained(imported, &claims.subject), || {
        format!("activation token import subject {:?} doesn't match import {from:?}", claims.subject)
    });
}

fn exports(exports: &[Export], issues: &mut Issues) {
    for export in exports {
        self::export(export, issues);
    }
    for kind in [ExportKind::Service, ExportKind::Stream] {
        let subjects: Vec<&str> =
            exports.iter().filter(|e| e.kind == kind).map(|export| export.subject.as_str()).collect();
        for (at, outer) in subjects.iter().enumerate() {
            if subjects.iter().take(at).any(|earlier| earlier == outer) {
                continue;
            }
            let mut others = subjects.iter().enumerate().filter(|(other, _)| *other != at);
            if let Some((_, inner)) = others.find(|(_, inner)| subject::is_contained(inner, outer)) {
                issues.error(format!("{} export subject {outer:?} already exports {inner:?}", kind.name()));
            }
        }
    }
}

fn export(export: &Export, issues: &mut Issues) {
    let is_service = export.kind == ExportKind::Service;
    let response = &export.response_type;
    if is_service {
        issues.refuse_if(!["", "Singleton", "Stream", "Chunked"].contains(&response.as_str()), || {
            format!("invalid response type for service: {response:?}")
        });
    } else {
        issues.refuse_if(!response.is_empty(), || format!("invalid response type for stream: {response:?}"));
        issues.refuse_if(export.allow_trace, || "AllowTrace only valid for service export".to_owned());
    }
    if let Some(latency) = &export.service_latency {
        issues.refuse_if(!is_service, || "latency tracking only permitted for services".to_owned());
        issues
            .refuse_if(latency.sampling > 100, || "sampling percentage needs to be between 1-100".to_owned());
        subject::check(&latency.results, issues);
        issues.refuse_if(subject::has_wildcards(&latency.results), || {
            "results subject can not contain wildcards".to_owned()
        });
    }
    issues.refuse_if(export.response_threshold < 0, || "negative response threshold is invalid".to_owned());
    issues.refuse_if(export.response_threshold > 0 && !is_service, || {
        "response threshold only valid for services".to_owned()
    });
    subject::check(&export.subject, issues);
    if export.account_token_position > 0 {
        account_token(export, issues);
    }
    info(&export.description, &export.info_url, issues);
}

fn account_token(export: &Export, issues: &mut Issues) {
    let Export { subject, account_token_position: position, .. } = export;
    if !subject::has_wildcards(subject) {
        issues.error(format!("Account Token Position can only be used with wildcard subjects: {subject}"));
        return;
    }
    let at = usize::try_from(*position).unwrap_or(usize::MAX) - 1;
    match subject.split('.').nth(at) {
        None => {
            issues.error(format!("Account Token Position {position} exceeds length of subject '{subject}'"))
        }
        Some("*") => {}
        Some(token) => issues.error(format!(
            "Account Token Position {position} matches '{token}' but must match a * in: {subject}"
        )),
    }
}

fn limits(limits: &AccountLimits, issues: &mut Issues) {
    // Limits beside tiers, which `nsc` leaves there, do not count: a server of the official library does not see them.
    issues.refuse_if(limits.tiered_limits.contains_key(""), || {
        "Tiered JetStream Limits can not contain a blank \"\" tier name".to_owned()
    });
}

/// What an operator allows to share.
fn sharing_limits(account: &Account, issues: &mut Issues) {
    let limits = &account.limits;
    let exceeds = |limit: Limit, count: usize| match limit {
        Limit::Unlimited => false,
        Limit::AtMost(most) => count as u64 > most,
    };
    issues.refuse_if(exceeds(limits.imports, account.imports.len()), || {
        "the account contains more imports than allowed by the operator".to_owned()
    });
    issues.refuse_if(exceeds(limits.exports, account.exports.len()), || {
        "the account contains more exports than allowed by the operator".to_owned()
    });
    if limits.exports != Limit::Unlimited && !limits.wildcards {
        for _ in account.exports.iter().filter(|export| subject::has_wildcards(&export.subject)) {
            issues.error("the account contains wildcard exports that are not allowed by the operator");
        }
    }
}

fn mappings(mappings: &BTreeMap<String, Vec<WeightedMapping>>, issues: &mut Issues) {
    for (from, to) in mappings {
        subject::check(from, issues);
        let mut totals: BTreeMap<&str, u32> = BTreeMap::new();
        for mapping in to {
            subject::check(&mapping.subject, issues);
            let weight = if mapping.weight == 0 { 100 } else { u32::from(mapping.weight) };
            issues.refuse_if(weight > 100, || {
                format!("Mapping {from:?} has a weight {weight} that exceeds 100")
            });
            *totals.entry(&mapping.cluster).or_default() += weight;
        }
        for (cluster, _) in totals.iter().filter(|(_, total)| **total > 100) {
            let place = if cluster.is_empty() { String::new() } else { format!(" in cluster {cluster:?}") };
            issues.error(format!(
                "Mapping {from:?}{place} exceeds 100% among all of it's weighted to mappings"
            ));
        }
    }
}

fn authorization(authorization: &ExternalAuthorization, issues: &mut Issues) {
    let ExternalAuthorization { auth_users, allowed_accounts, xkey } = authorization;
    issues.refuse_if(!allowed_accounts.is_empty() && auth_users.is_empty(), || {
        "External authorization cannot have accounts without users specified".to_owned()
    });
    for user in auth_users {
        issues.refuse_if(!is_key(user, Kind::User), || {
            format!("AuthUser {user:?} is not a valid user public key")
        });
    }
    for account in allowed_accounts {
        if account == "*" {
            issues.refuse_if(allowed_accounts.len() > 1, || {
                "AllowedAccounts can only be a list of accounts or \"*\"".to_owned()
            });
        } else if !is_key(account, Kind::Account) {
            issues.error(format!("Account {account:?} is not a valid account public key"));
        }
    }
    issues.refuse_if(!xkey.is_empty() && !is_key(xkey, Kind::Curve), || {
        format!("XKey {xkey:?} is not a valid public xkey")
    });
}

fn trace(trace: &Trace, issues: &mut Issues) {
    let mut of_subject = Issues { found: Vec::new() };
    subject::check(&trace.dest, &mut of_subject);
    if let Some(first) = of_subject.found.first() {
        issues.error(format!("the account Trace.Destination {first}"));
    }
    issues.refuse_if(subject::has_wildcards(&trace.dest), || {
        format!("the account Trace.Destination subject {:?} is not a valid publish subject", trace.dest)
    });
    let sampling = trace.sampling;
    issues.refuse_if(sampling > 100, || {
        format!("the account Trace.Sampling value '{sampling}' is not valid, should be in the range [1..100]")
    });
}

fn info(description: &str, url: &str, issues: &mut Issues) {
    issues.refuse_if(description.len() > INFO_BYTES_MAX, || "Description is too long".to_owned());
    issues.refuse_if(url.len() > INFO_BYTES_MAX, || "Info URL is too long".to_owned());
    let is_whole = |url: Url<'_>| !url.scheme.is_empty() && !url.host.is_empty();
    issues.refuse_if(!url.is_empty() && !Url::parse(url).is_some_and(is_whole), || {
        "error parsing info url: no hostname or scheme".to_owned()
    });
}
