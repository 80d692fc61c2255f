//! What is in the store.

use crate::identity::args::Call;
use crate::identity::args::values::show_time;
use crate::identity::session::{Places, Session};
use crate::identity::store::{Entry, Store};
use crate::identity::table::Table;
use anyhow::{Result, bail};

/// `list [operators|accounts|users|keys]`
pub fn list(call: &Call) -> Result<()> {
    match call.argument(0) {
        None => {
            operators(call)?;
            let session = Session::open(call)?;
            accounts(&session)?;
            for account in session.store.accounts()? {
                users(&session, &account)?;
            }
            Ok(())
        }
        Some("operators") => operators(call),
        Some("accounts") => accounts(&Session::open(call)?),
        Some("users") => {
            let session = Session::open(call)?;
            match call.value("--account") {
                Some(account) => {
                    session.store.account(account)?;
                    users(&session, account)
                }
                None => session.store.accounts()?.iter().try_for_each(|account| users(&session, account)),
            }
        }
        Some("keys") => keys(&Session::open(call)?),
        Some(other) => bail!("`{other}`: operators, accounts, users or keys"),
    }
}

fn row(table: &mut Table, name: &str, entry: Result<Entry>) {
    match entry {
        Ok(Entry { token, .. }) => {
            let expires = token.expires.map_or_else(|| "never".to_owned(), show_time);
            table.row([name, &token.subject.to_string(), &expires]);
        }
        Err(problem) => table.row([name, &format!("{problem:#}"), ""]),
    }
}

fn operators(call: &Call) -> Result<()> {
    let places = Places::of(call)?;
    let mut table = Table::new("Operators");
    table.row(["Name", "Operator ID", "Expires"]);
    table.line();
    for name in Store::list(&places.stores)? {
        row(&mut table, &name, Store::open(&places.stores, &name).and_then(|store| store.operator()));
    }
    print!("{}", table.render());
    Ok(())
}

fn accounts(session: &Session) -> Result<()> {
    let mut table = Table::new("Accounts");
    table.row(["Name", "Account ID", "Expires"]);
    table.line();
    for name in session.store.accounts()? {
        row(&mut table, &name, session.store.account(&name));
    }
    print!("{}", table.render());
    Ok(())
}

fn users(session: &Session, account: &str) -> Result<()> {
    let mut table = Table::new(format!("Users of {account}"));
    table.row(["Name", "User ID", "Expires"]);
    table.line();
    for name in session.store.users(account)? {
        row(&mut table, &name, session.store.user(account, &name));
    }
    print!("{}", table.render());
    Ok(())
}

/// The keys of the operator, its accounts and users, and whether their secrets are here.
fn keys(session: &Session) -> Result<()> {
    use dialtone_identity::jwt::Body;
    use dialtone_identity::nkey::Public;
    let mut table = Table::new("Keys");
    table.row(["Name", "Key", "Signing key", "Secret"]);
    table.line();
    let mut add = |name: &str, key: &str, is_signing: bool| -> Result<()> {
        let stored = match Public::parse(key) {
            Ok(key) => session.keys.find(&key)?.is_some(),
            Err(_) => false,
        };
        table.row([name, key, if is_signing { "*" } else { "" }, if stored { "here" } else { "" }]);
        Ok(())
    };
    let operator = session.store.operator()?.token;
    add(&operator.name, &operator.subject.to_string(), false)?;
    if let Body::Operator(claims) = &operator.body {
        for key in &claims.signing_keys {
            add("", key, true)?;
        }
    }
    for account in session.store.accounts()? {
        let token = session.store.account(&account)?.token;
        add(&account, &token.subject.to_string(), false)?;
        if let Body::Account(claims) = &token.body {
            for (key, role) in &claims.signing_keys {
                add(
                    &role.as_ref().map_or_else(String::new, |role| format!("  role {}", role.role)),
                    key,
                    true,
                )?;
            }
        }
        for user in session.store.users(&account)? {
            add(
                &format!("  {user}"),
                &session.store.user(&account, &user)?.token.subject.to_string(),
                false,
            )?;
        }
    }
    print!("{}", table.render());
    Ok(())
}
