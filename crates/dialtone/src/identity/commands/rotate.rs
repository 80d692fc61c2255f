//! Another signing key in the place of one that may be known to others.

use super::{account, operator, signing_key};
use crate::identity::args::Call;
use crate::identity::args::values::now;
use crate::identity::session::Session;
use crate::identity::store::Signed;
use anyhow::{Context as _, Result, bail};
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Public};

/// `rotate KEY|ROLE`
pub fn rotate(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    if call.is_on("--operator-key") && call.argument(0).is_none() {
        return of_operator(call, &session, &only_key(&session)?);
    }
    let named = call.required(0, "a signing key or role")?;
    match Public::parse(named) {
        Ok(key) if key.kind == Kind::Operator => of_operator(call, &session, named),
        _ => of_account(call, &session, named),
    }
}

/// The operator's signing key, if it has one.
fn only_key(session: &Session) -> Result<String> {
    let Body::Operator(claims) = session.store.operator()?.token.body else { bail!("no operator") };
    match claims.signing_keys.as_slice() {
        [only] => Ok(only.clone()),
        [] => bail!("operator `{}` has no signing key", session.store.name),
        several => bail!("there are several signing keys: {}; say which one", several.join(", ")),
    }
}

/// Accounts that the old key signed are signed by the fresh one.
fn of_operator(call: &Call, session: &Session, old: &str) -> Result<()> {
    let entry = session.store.operator()?;
    let Body::Operator(claims) = &entry.token.body else { bail!("no operator") };
    if entry.token.subject.to_string() == old {
        bail!("{old} is the operator itself; only signing keys can be rotated");
    }
    if !claims.signing_keys.iter().any(|key| key == old) {
        bail!("operator `{}` has no signing key {old}", session.store.name);
    }
    let fresh = session.keys.generate(Kind::Operator)?;
    operator::update(session, Signed::MayEnd, |_, operator| {
        let own = fresh.public().to_string();
        // The fresh key comes first: it signs from here on.
        operator.signing_keys.retain(|key| key != old || call.is_on("--keep"));
        operator.signing_keys.insert(0, own);
        Ok(())
    })?;
    let mut signed = 0;
    for name in session.store.accounts()? {
        let token = session.store.account(&name)?.token;
        if token.issuer.to_string() == old {
            session.store.write_account(&name, &Draft::from(&token).sign(&fresh, now())?)?;
            signed += 1;
        }
    }
    println!("signing key {} instead of {old}; {signed} accounts are signed by it", fresh.public());
    println!(
        "servers need the changed operator (dialtone identity config) and a restart, then the accounts (dialtone identity push)"
    );
    Ok(())
}

/// Users that the old key signed are signed by the fresh one, and their creds files are written.
fn of_account(call: &Call, session: &Session, named: &str) -> Result<()> {
    let name = match call.value("--account") {
        Some(_) => session.account_name(call)?,
        None => owner(session, named)?.map_or_else(|| session.account_name(call), Ok)?,
    };
    let fresh = session.keys.generate(Kind::Account)?;
    let own = fresh.public().to_string();
    let mut old = String::new();
    account::update(&Call::default(), session, &name, |_, account| {
        old = signing_key::find(account, named)?;
        let role = account.signing_keys.get(&old).cloned().context("it was just found")?;
        let role = role.map(|role| dialtone_identity::jwt::account::Role { key: own.clone(), ..role });
        if !call.is_on("--keep") {
            account.signing_keys.remove(&old);
        }
        account.signing_keys.insert(own.clone(), role);
        Ok(())
    })?;
    let mut signed = 0;
    for user in session.store.users(&name)? {
        let token = session.store.user(&name, &user)?.token;
        if token.issuer.to_string() == old {
            session.store.write_user(&name, &user, &Draft::from(&token).sign(&fresh, now())?)?;
            session.write_creds(&name, &user)?;
            signed += 1;
        }
    }
    println!("account {name}: signing key {own} instead of {old}; {signed} users are signed by it");
    println!("push the account to the servers, and give the users their creds files");
    Ok(())
}

/// The account that has this signing key.
fn owner(session: &Session, key: &str) -> Result<Option<String>> {
    for name in session.store.accounts()? {
        let Body::Account(account) = session.store.account(&name)?.token.body else { continue };
        if account.signing_keys.contains_key(key) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
