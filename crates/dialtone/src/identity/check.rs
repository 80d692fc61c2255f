//! What a server would refuse of the JWTs of a store: asked when one is written, and by `validate`.

use super::args::values::is_time_zone;
use anyhow::{Result, bail};
use dialtone_identity::jwt::account::{Role, is_revoked};
use dialtone_identity::jwt::claims::UserLimits;
use dialtone_identity::jwt::trust::{self, Trust};
use dialtone_identity::jwt::validate::{self, Severity, ValidationContext};
use dialtone_identity::jwt::{Body, DecodedJwt};

/// Problems that are named of those that a change makes.
const NAMED_MAX: usize = 3;

/// All that is wrong with a token by itself. Without a time, times are not looked at.
pub fn issues(token: &DecodedJwt, now: Option<i64>) -> Vec<validate::Issue> {
    validate::validate(token, &ValidationContext { now, is_time_zone: &is_time_zone })
}

/// Whether a token may be written: the first things that a server would refuse. A time that is over can come from
/// before, and is no reason.
pub fn refuse(what: &str, token: &DecodedJwt, in_its_place: Vec<String>) -> Result<()> {
    let issues = issues(token, None).into_iter().filter(|issue| issue.severity == Severity::Error);
    let mut problems: Vec<String> = issues.map(|issue| issue.to_string()).collect();
    problems.extend(in_its_place);
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(NAMED_MAX);
    problems.truncate(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    bail!("{what} would be refused by a server: {}{more}", problems.join("; "))
}

/// What is wrong with an operator in its place.
pub fn operator(operator: &DecodedJwt) -> Vec<String> {
    match Trust::new(std::slice::from_ref(operator), &[]) {
        Ok(_) if operator.issuer == operator.subject => Vec::new(),
        Ok(_) => vec!["the operator is not signed by its own key".into()],
        Err(problem) => vec![problem.to_string()],
    }
}

/// What is wrong with an account under its operator. What it says itself is [`issues`]' question.
pub fn account(operator: &DecodedJwt, account: &DecodedJwt) -> Vec<String> {
    let Body::Operator(claims) = &operator.body else { return Vec::new() };
    let Ok(trust) = Trust::new(std::slice::from_ref(operator), &[]) else { return Vec::new() };
    if trust.is_operator(&account.issuer) {
        return roles(account);
    }
    if account.issuer == operator.subject && claims.strict_signing_key_usage {
        return vec!["signed by the operator's own key, but only its signing keys may sign".to_owned()];
    }
    vec![format!("signed by {}, which does not sign for operator `{}`", account.issuer, operator.name)]
}

/// Roles that no user can have, whatever fills their places.
fn roles(account: &DecodedJwt) -> Vec<String> {
    let Body::Account(claims) = &account.body else { return Vec::new() };
    let filled = |list: &[String]| list.iter().map(|text| without_places(text)).collect();
    let problem = |role: &Role| {
        let mut permissions = role.template.permissions.clone();
        for list in [&mut permissions.publish, &mut permissions.subscribe] {
            (list.allow, list.deny) = (filled(&list.allow), filled(&list.deny));
        }
        let problem = trust::permissions(&permissions).err()?;
        Some(format!("role {}: {problem}", role.role))
    };
    claims.signing_keys.values().flatten().filter_map(problem).collect()
}

/// A text of a role with a token in each place that a user fills in, such as `{{name()}}`.
fn without_places(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once("}}") {
            Some((_, rest)) => out.extend(["x", rest]),
            None => out.extend(["{{", part]),
        }
    }
    out
}

/// What is wrong with a user in its account.
pub fn user(operator: &DecodedJwt, account: &DecodedJwt, user: &DecodedJwt) -> Vec<String> {
    let (Body::Account(of), Body::User(claims)) = (&account.body, &user.body) else { return Vec::new() };
    let is_strict =
        Trust::new(std::slice::from_ref(operator), &[]).is_ok_and(|trust| trust.is_strict(account));
    if user.account_key() != Some(account.subject.to_string()) {
        return vec!["it is of another account".to_owned()];
    }
    if user.issuer == account.subject && is_strict {
        return vec![
            "signed by the account's own key, but the operator lets only signing keys sign".to_owned(),
        ];
    }
    let by = user.issuer.to_string();
    match of.signing_keys.get(&by) {
        None if user.issuer != account.subject => {
            return vec![format!("signed by {by}, which does not sign for account `{}`", account.name)];
        }
        Some(Some(_)) if claims.limits != UserLimits::default() => {
            return vec!["scoped users require no permissions or limits set".to_owned()];
        }
        _ => {}
    }
    if claims.limits.bearer_token && of.limits.disallow_bearer {
        return vec!["a bearer token, which the account does not allow".to_owned()];
    }
    // What the token says by itself is named already, in other words.
    let is_good = issues(user, None).iter().all(|issue| issue.severity != Severity::Error);
    match trust::rights(user, account) {
        Err(problem) if is_good => vec![problem.to_string()],
        _ => Vec::new(),
    }
}

/// Whether a user's token was taken back.
pub fn is_taken_back(account: &DecodedJwt, user: &DecodedJwt) -> bool {
    let Body::Account(of) = &account.body else { return false };
    is_revoked(&of.revocations, &user.subject.to_string(), user.issued_at)
}
