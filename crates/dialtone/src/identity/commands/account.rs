//! Accounts.

use crate::identity::args::Call;
use crate::identity::changes;
use crate::identity::session::Session;
use anyhow::{Result, bail, ensure};
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::{Account, AccountLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::Kind;

/// `add account NAME`
pub fn add(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    let session = Session::open(call)?;
    ensure!(!session.store.accounts()?.iter().any(|known| known == name), "there is an account `{name}`");
    let mut account = Account { limits: AccountLimits::unlimited(), ..Account::default() };
    changes::account(call, &session, &mut account)?;
    let key = session.keys.generate(Kind::Account)?;
    let mut draft = Draft::new(key.public(), name, account);
    changes::claims(call, &mut draft)?;
    session.write_account(call, &draft)?;
    println!("account {name}: {}", key.public());
    Ok(())
}

/// `edit account [NAME]`
pub fn edit(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let name = match call.argument(0) {
        Some(name) => name.to_owned(),
        None => session.account_name(call)?,
    };
    update(call, &session, &name, |draft, account| {
        changes::claims(call, draft)?;
        changes::account(call, &session, account)
    })?;
    println!("account {name} is changed");
    Ok(())
}

/// `remove account NAME`
pub fn remove(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    let session = Session::open(call)?;
    session.store.account(name)?;
    ensure!(
        session.system_account_name()?.as_deref() != Some(name) || call.is_on("--force"),
        "`{name}` is the system account; --force removes it all the same"
    );
    let users = session.store.users(name)?;
    session.store.remove_account(name)?;
    println!("account {name} and its {} users are out of the store; servers may still have it", users.len());
    Ok(())
}

/// Changes what an account says.
pub fn update(
    call: &Call,
    session: &Session,
    name: &str,
    change: impl FnOnce(&mut Draft, &mut Account) -> Result<()>,
) -> Result<()> {
    let entry = session.store.account(name)?;
    let Body::Account(mut account) = entry.token.body.clone() else { bail!("no account") };
    let mut draft = Draft::from(&entry.token);
    change(&mut draft, &mut account)?;
    draft.body = (*account).into();
    session.write_account(call, &draft)
}
