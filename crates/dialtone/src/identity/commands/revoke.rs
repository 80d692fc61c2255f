//! Revocations.

use super::account;
use crate::identity::args::Call;
use crate::identity::args::values::{now, past};
use crate::identity::session::Session;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::account::Account;
use dialtone_identity::nkey::{Kind, Public};
use std::collections::BTreeMap;

/// `revoke user USER|KEY|*`
pub fn revoke_user(call: &Call) -> Result<()> {
    change(call, user_key, |_, account| Ok(&mut account.revocations), set)
}

/// `unrevoke user USER|KEY|*`
pub fn unrevoke_user(call: &Call) -> Result<()> {
    change(call, user_key, |_, account| Ok(&mut account.revocations), unset)
}

/// `revoke activation ACCOUNT|KEY|*`
pub fn revoke_activation(call: &Call) -> Result<()> {
    change(call, importer_key, export_revocations, set)
}

/// `unrevoke activation ACCOUNT|KEY|*`
pub fn unrevoke_activation(call: &Call) -> Result<()> {
    change(call, importer_key, export_revocations, unset)
}

type Revocations = BTreeMap<String, i64>;

fn change(
    call: &Call,
    key: fn(&Session, &str, &str) -> Result<String>,
    of: for<'a> fn(&Call, &'a mut Account) -> Result<&'a mut Revocations>,
    how: fn(&Call, &mut Revocations, &str) -> Result<String>,
) -> Result<()> {
    let named = call.required(0, "whom")?;
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    let key = if named == "*" { "*".to_owned() } else { key(&session, &name, named)? };
    let mut told = String::new();
    account::update(call, &session, &name, |_, account| {
        told = how(call, of(call, account)?, &key)?;
        Ok(())
    })?;
    println!("account {name}: {named} {told}; push the account to tell the servers");
    Ok(())
}

fn set(call: &Call, revocations: &mut Revocations, key: &str) -> Result<String> {
    let at = call.parsed("--at", |text| past(text, now()))?.unwrap_or_else(now);
    let place = revocations.entry(key.to_owned()).or_insert(at);
    // A revocation is taken back by `unrevoke`, not by a second one.
    *place = at.max(*place);
    Ok(format!("is revoked, if issued by {}", crate::identity::args::values::show_time(*place)))
}

fn unset(_: &Call, revocations: &mut Revocations, key: &str) -> Result<String> {
    revocations.remove(key).with_context(|| format!("{key} is not revoked"))?;
    Ok("is revoked no longer".to_owned())
}

fn user_key(session: &Session, account: &str, named: &str) -> Result<String> {
    match Public::parse(named) {
        Ok(key) => {
            ensure!(key.kind == Kind::User, "{named} is no key of a user");
            Ok(named.to_owned())
        }
        Err(_) => Ok(session.store.user(account, named)?.token.subject.to_string()),
    }
}

fn importer_key(session: &Session, _: &str, named: &str) -> Result<String> {
    Ok(session.account_key(named)?.to_string())
}

/// The revocations of the export that the call means.
fn export_revocations<'a>(call: &Call, account: &'a mut Account) -> Result<&'a mut Revocations> {
    let wanted = call.value("--export");
    let mut found = account
        .exports
        .iter_mut()
        .filter(|export| export.token_req && wanted.is_none_or(|wanted| wanted == export.subject));
    match (found.next(), found.next()) {
        (Some(export), None) => Ok(&mut export.revocations),
        (Some(_), Some(_)) => bail!("the account has several private exports; say --export SUBJECT"),
        (None, _) => bail!("the account has no such private export"),
    }
}
