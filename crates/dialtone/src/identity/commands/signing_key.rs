//! Signing keys, and the roles that some give.

use super::{account, operator};
use crate::identity::args::Call;
use crate::identity::changes;
use crate::identity::session::{Session, key_of_role};
use crate::identity::store::Signed;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::account::{Account, Role};
use dialtone_identity::jwt::claims::UserLimits;
use dialtone_identity::nkey::{Kind, Public};

/// `add signing-key [ROLE]`
pub fn add(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let of_operator = call.is_on("--operator-key");
    let kind = if of_operator { Kind::Operator } else { Kind::Account };
    let key = match call.value("--key") {
        Some(key) => {
            Public::parse(key).ok().filter(|key| key.kind == kind).context("--key: no such public key")?
        }
        None => session.keys.generate(kind)?.public(),
    };
    if of_operator {
        ensure!(call.argument(0).is_none(), "a role is of an account's signing key, not of an operator's");
        operator::update(&session, Signed::Stays, |_, operator| {
            changes::add(&mut operator.signing_keys, key.to_string());
            Ok(())
        })?;
    } else {
        let name = session.account_name(call)?;
        account::update(call, &session, &name, |_, account| {
            let role = call.argument(0).map(|role| new_role(call, account, &key, role)).transpose()?;
            account.signing_keys.insert(key.to_string(), role);
            Ok(())
        })?;
    }
    println!("signing key {key}");
    Ok(())
}

fn new_role(call: &Call, account: &Account, key: &Public, name: &str) -> Result<Role> {
    ensure!(key_of_role(account, name).is_none(), "there is a role `{name}`");
    let template = UserLimits::unlimited();
    let mut role = Role { key: key.to_string(), role: name.to_owned(), template, ..Role::default() };
    changes::user(call, &mut role.template)?;
    changes::text(&mut role.description, call.value("--description"));
    Ok(role)
}

/// `edit signing-key ROLE|KEY`
pub fn edit(call: &Call) -> Result<()> {
    let named = call.required(0, "a role or a key")?;
    ensure!(!call.is_on("--operator-key"), "an operator's signing key has no role");
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    account::update(call, &session, &name, |_, account| {
        let key = find(account, named)?;
        let Some(Some(role)) = account.signing_keys.get_mut(&key) else {
            bail!("signing key {key} has no role")
        };
        changes::user(call, &mut role.template)?;
        changes::text(&mut role.description, call.value("--description"));
        Ok(())
    })?;
    println!("role {named} is changed");
    Ok(())
}

/// `remove signing-key ROLE|KEY`
pub fn remove(call: &Call) -> Result<()> {
    let named = call.required(0, "a role or a key")?;
    let session = Session::open(call)?;
    if call.is_on("--operator-key") || named.starts_with('O') && Public::parse(named).is_ok() {
        operator::update(&session, Signed::MayEnd, |_, operator| {
            let before = operator.signing_keys.len();
            operator.signing_keys.retain(|key| key != named);
            ensure!(operator.signing_keys.len() < before, "the operator has no signing key {named}");
            ensure!(
                !operator.strict_signing_key_usage || !operator.signing_keys.is_empty(),
                "it is the operator's last signing key, and only signing keys may sign"
            );
            Ok(())
        })?;
    } else {
        let name = session.account_name(call)?;
        account::update(call, &session, &name, |_, account| {
            let key = find(account, named)?;
            account.signing_keys.remove(&key);
            Ok(())
        })?;
    }
    println!("signing key {named} is removed: what it signed is good no longer");
    Ok(())
}

/// The signing key of an account that is named by its role or itself.
pub fn find(account: &Account, named: &str) -> Result<String> {
    let by_role = key_of_role(account, named);
    let key = by_role.or_else(|| account.signing_keys.contains_key(named).then(|| named.to_owned()));
    key.with_context(|| format!("the account has no signing key or role `{named}`"))
}
