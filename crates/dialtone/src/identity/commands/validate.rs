//! What is wrong with the tokens of a store, or of files.

use crate::identity::args::Call;
use crate::identity::args::values::{is_time_zone, now};
use crate::identity::session::Session;
use crate::identity::store::{Entry, read_token};
use anyhow::{Result, bail};
use dialtone_identity::jwt::account::is_revoked;
use dialtone_identity::jwt::claims::UserLimits;
use dialtone_identity::jwt::validate::{self, Severity, World};
use dialtone_identity::jwt::{Body, Token};
use std::path::Path;

/// What was found so far.
#[derive(Default)]
struct Report {
    tokens: usize,
    errors: usize,
}

impl Report {
    /// Tells what is wrong with a token, by itself and by `others`, which say it is in its place.
    /// Each of those begins with `error` or `warning`.
    fn token(&mut self, what: &str, entry: &Result<Entry>, others: impl FnOnce(&Token) -> Vec<String>) {
        self.tokens += 1;
        let mut lines = Vec::new();
        match entry {
            Err(problem) => lines.push(format!("error: {problem:#}")),
            Ok(entry) => {
                for issue in issues(&entry.token) {
                    let severity = match issue.severity {
                        Severity::Warning => "warning",
                        Severity::Time | Severity::Error => "error",
                    };
                    lines.push(format!("{severity}: {issue}"));
                }
                lines.extend(others(&entry.token));
            }
        }
        self.errors += lines.iter().filter(|line| line.starts_with("error")).count();
        println!("{what}: {}", if lines.is_empty() { "good" } else { "" });
        for line in lines {
            println!("  {line}");
        }
    }
}

/// All that is wrong with a token by itself.
pub fn issues(token: &Token) -> Vec<validate::Issue> {
    validate::validate(token, &World { now: Some(now()), is_time_zone: &is_time_zone })
}

/// `validate [FILE...]`
pub fn validate(call: &Call) -> Result<()> {
    let mut report = Report::default();
    if call.arguments().is_empty() {
        store(&Session::open(call)?, &mut report)?;
    } else {
        for file in call.arguments() {
            report.token(file, &read_token(Path::new(file)), |_| Vec::new());
        }
    }
    if report.errors > 0 {
        bail!("{} errors in {} JWTs", report.errors, report.tokens);
    }
    Ok(())
}

fn store(session: &Session, report: &mut Report) -> Result<()> {
    let operator = session.store.operator();
    report.token(&format!("operator {}", session.store.name), &operator, signed_by_itself);
    let operator = operator?.token;
    for name in session.store.accounts()? {
        let account = session.store.account(&name);
        report.token(&format!("account {name}"), &account, |token| {
            problems_of_account(session, &operator, token)
        });
        let Ok(account) = account else { continue };
        for user in session.store.users(&name)? {
            let entry = session.store.user(&name, &user);
            report.token(&format!("user {name}/{user}"), &entry, |token| {
                problems_of_user(session, &account.token, token)
            });
        }
    }
    Ok(())
}

fn signed_by_itself(operator: &Token) -> Vec<String> {
    if operator.issuer == operator.subject {
        Vec::new()
    } else {
        vec!["error: the operator is not signed by its own key".into()]
    }
}

fn problems_of_account(session: &Session, operator: &Token, account: &Token) -> Vec<String> {
    let mut problems = Vec::new();
    let Body::Operator(claims) = &operator.body else { return problems };
    let by = account.issuer.to_string();
    if account.issuer == operator.subject {
        if claims.strict_signing_key_usage {
            problems.push(
                "error: signed by the operator's own key, but only its signing keys may sign".to_owned(),
            );
        }
    } else if !claims.signing_keys.contains(&by) {
        problems.push(format!("error: signed by {by}, which does not sign for operator `{}`", operator.name));
    }
    if let Err(problem) = session.keys.find(&account.subject) {
        problems.push(format!("error: {problem:#}"));
    }
    problems
}

fn problems_of_user(session: &Session, account: &Token, user: &Token) -> Vec<String> {
    let mut problems = Vec::new();
    let (Body::Account(of), Body::User(claims)) = (&account.body, &user.body) else { return problems };
    let by = user.issuer.to_string();
    if user.account_key() != Some(account.subject.to_string()) {
        problems.push("error: it is of another account".to_owned());
    } else if user.issuer != account.subject {
        match of.signing_keys.get(&by) {
            None => problems
                .push(format!("error: signed by {by}, which does not sign for account `{}`", account.name)),
            Some(Some(_)) if claims.limits != UserLimits::default() => {
                problems.push("error: scoped users require no permissions or limits set".to_owned());
            }
            Some(_) => {}
        }
    }
    if is_revoked(&of.revocations, &user.subject.to_string(), user.issued_at) {
        problems.push("warning: it is revoked".to_owned());
    }
    if claims.limits.bearer_token && of.limits.disallow_bearer {
        problems.push("error: a bearer token, which the account does not allow".to_owned());
    }
    if let Err(problem) = session.keys.find(&user.subject) {
        problems.push(format!("error: {problem:#}"));
    }
    problems
}
