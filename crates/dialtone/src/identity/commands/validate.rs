//! What is wrong with the tokens of a store, or of files.

use crate::identity::args::Call;
use crate::identity::args::values::now;
use crate::identity::check;
use crate::identity::session::Session;
use crate::identity::store::{Entry, read_token};
use anyhow::{Result, bail};
use dialtone_identity::jwt::DecodedJwt;
use dialtone_identity::jwt::validate::Severity;
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
    fn token(&mut self, what: &str, entry: &Result<Entry>, others: impl FnOnce(&DecodedJwt) -> Vec<String>) {
        self.tokens += 1;
        let mut lines = Vec::new();
        match entry {
            Err(problem) => lines.push(format!("error: {problem:#}")),
            Ok(entry) => {
                for issue in check::issues(&entry.token, Some(now())) {
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
    report.token(&format!("operator {}", session.store.name), &operator, |token| {
        errors(check::operator(token))
    });
    let operator = operator?.token;
    for name in session.store.accounts()? {
        let account = session.store.account(&name);
        report.token(&format!("account {name}"), &account, |token| {
            let mut lines = errors(check::account(&operator, token));
            lines.extend(problem_of_key(session, token));
            lines
        });
        let Ok(account) = account else { continue };
        for user in session.store.users(&name)? {
            let entry = session.store.user(&name, &user);
            report.token(&format!("user {name}/{user}"), &entry, |token| {
                let mut lines = errors(check::user(&operator, &account.token, token));
                if check::is_taken_back(&account.token, token) {
                    lines.push("warning: it is revoked".to_owned());
                }
                lines.extend(problem_of_key(session, token));
                lines
            });
        }
    }
    Ok(())
}

fn errors(problems: Vec<String>) -> Vec<String> {
    problems.into_iter().map(|problem| format!("error: {problem}")).collect()
}

/// What is wrong with the secret of a token's subject.
fn problem_of_key(session: &Session, token: &DecodedJwt) -> Option<String> {
    session.keys.find(&token.subject).err().map(|problem| format!("error: {problem:#}"))
}
