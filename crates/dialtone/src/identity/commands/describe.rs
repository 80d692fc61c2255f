//! A token as a table, wherever it comes from.

use crate::identity::args::Call;
use crate::identity::args::values::now;
use crate::identity::describe;
use crate::identity::session::Session;
use crate::identity::store::{Entry, parse_token, read_token};
use anyhow::{Context as _, Result};
use dialtone_identity::jwt::{self, JWT_BYTES_MAX};
use std::io::Read as _;
use std::path::Path;

/// `describe [WHAT]`
pub fn describe(call: &Call) -> Result<()> {
    // A token from elsewhere needs no store.
    let session = Session::open(call);
    let entry = find(call, &session)?;
    if call.is_on("--raw") {
        println!("{}", entry.text);
        return Ok(());
    }
    if call.is_on("--json") {
        println!("{}", serde_json::to_string_pretty(&jwt::payload(&entry.text)?)?);
        return Ok(());
    }
    let names = |key: &str| session.as_ref().ok().map(|session| name_of(session, key)).unwrap_or_default();
    print!("{}", describe::describe(&entry.token, &names));
    for issue in crate::identity::check::issues(&entry.token, Some(now())) {
        println!("! {issue}");
    }
    Ok(())
}

/// A file, standard input, the operator, an account, or a user.
fn find(call: &Call, session: &Result<Session>) -> Result<Entry> {
    let store = || session.as_ref().map_err(|problem| anyhow::anyhow!("{problem:#}"));
    let Some(what) = call.argument(0) else {
        return store()?.store.operator();
    };
    if what == "-" {
        let mut text = String::new();
        std::io::stdin()
            .take(2 * JWT_BYTES_MAX as u64)
            .read_to_string(&mut text)
            .context("standard input")?;
        return parse_token(&text);
    }
    if Path::new(what).is_file() {
        return read_token(Path::new(what));
    }
    let session =
        store().with_context(|| format!("`{what}` is no file, and there is no store to look into"))?;
    if let Some((account, user)) = what.split_once('/') {
        return session.store.user(account, user);
    }
    if let Some(account) = call.value("--account") {
        return session.store.user(account, what);
    }
    if session.store.accounts()?.iter().any(|known| known == what) {
        return session.store.account(what);
    }
    let account = session.account_name(call)?;
    session.store.user(&account, what).with_context(|| format!("`{what}` is no file, account or user"))
}

fn name_of(session: &Session, key: &str) -> String {
    let operator = session.store.operator().map(|entry| entry.token);
    match operator {
        Ok(operator) if operator.subject.to_string() == key => operator.name,
        _ => session.name_of(key).ok().flatten().unwrap_or_default(),
    }
}
