//! Keys and tokens that come from elsewhere, or go there.

use crate::identity::args::Call;
use crate::identity::session::{Places, Session};
use crate::identity::store::keys::read_seed;
use crate::identity::store::{Signed, Store, files, read_token};
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::Body;
use dialtone_identity::nkey::{Kind, Public, Seed};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use std::path::Path;
use zeroize::Zeroizing;

/// `export keys [KEY...]`
pub fn export(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let keys =
        if call.arguments().is_empty() { of_store(call, &session)? } else { call.arguments().to_vec() };
    let mut missing = 0;
    for key in keys {
        let public = Public::parse(&key).with_context(|| format!("`{key}` is no public key"))?;
        let Some(seed) = session.keys.find(&public)? else {
            println!("{key}: its secret is not here");
            missing += 1;
            continue;
        };
        match call.value("--output") {
            Some(folder) => {
                let file = Path::new(folder).join(format!("{key}.nk"));
                files::write(&file, seed.reveal().as_bytes())?;
                println!("{}", file.display());
            }
            None if call.is_on("--show-secret") => println!("{key} {}", seed.reveal().as_str()),
            None => bail!("say --output FOLDER, or --show-secret to print secrets"),
        }
    }
    ensure!(missing == 0 || call.arguments().is_empty(), "{missing} secrets are not here");
    Ok(())
}

/// The keys of the operator, or with `--account` of an account and its users.
fn of_store(call: &Call, session: &Session) -> Result<Vec<String>> {
    let entry = session.store.operator()?.token;
    if !call.is_on("--account") {
        let Body::Operator(operator) = entry.body else { bail!("no operator") };
        return Ok([entry.subject.to_string()].into_iter().chain(operator.signing_keys).collect());
    }
    let name = session.account_name(call)?;
    let entry = session.store.account(&name)?.token;
    let Body::Account(account) = entry.body else { bail!("no account") };
    let mut keys: Vec<String> =
        [entry.subject.to_string()].into_iter().chain(account.signing_keys.into_keys()).collect();
    for user in session.store.users(&name)? {
        keys.push(session.store.user(&name, &user)?.token.subject.to_string());
    }
    Ok(keys)
}

/// `import keys FILE...`
pub fn import(call: &Call) -> Result<()> {
    let places = Places::of(call)?;
    for file in call.arguments() {
        let seed = read_seed(Path::new(file))?;
        places.keys.keep(&seed)?;
        println!("{} ({})", seed.public(), seed.public().kind.name());
    }
    Ok(())
}

/// `import jwt FILE...`
pub fn import_jwt(call: &Call) -> Result<()> {
    for file in call.arguments() {
        let entry = read_token(Path::new(file))?;
        let name = entry.token.name.as_str();
        ensure!(!name.is_empty(), "{file}: the JWT has no name, and so no place in the store");
        match &entry.token.body {
            Body::Operator(_) => {
                let places = Places::of(call)?;
                let store = match Store::open(&places.stores, name) {
                    Ok(store) => store,
                    Err(_) => Store::create(&places.stores, name)?,
                };
                let known = store.operator().map(|entry| entry.token.subject);
                check_same(call, file, known, entry.token.subject)?;
                store.write_operator(&entry.text, Signed::MayEnd)?;
            }
            Body::Account(_) => {
                let session = Session::open(call)?;
                check_same(
                    call,
                    file,
                    session.store.account(name).map(|entry| entry.token.subject),
                    entry.token.subject,
                )?;
                session.store.write_account(name, &entry.text)?;
            }
            Body::User(_) => {
                let session = Session::open(call)?;
                let key = entry.token.account_key().unwrap_or_default();
                let account = session
                    .name_of(&key)?
                    .with_context(|| format!("{file}: account {key} is not in the store"))?;
                let known = session.store.user(&account, name).map(|entry| entry.token.subject);
                check_same(call, file, known, entry.token.subject)?;
                session.store.write_user(&account, name, &entry.text)?;
            }
            body => bail!("{file}: a JWT of kind {} has no place in the store", body.kind()),
        }
        println!("{} {name}", entry.token.body.kind());
    }
    Ok(())
}

/// A token must not take the place of another one's by its name alone.
fn check_same(call: &Call, file: &str, known: Result<Public>, imported: Public) -> Result<()> {
    match known {
        Ok(known) if known != imported && !call.is_on("--force") => {
            bail!("{file}: there is another of this name, {known}; --force replaces it")
        }
        _ => Ok(()),
    }
}

/// `keygen KIND`
pub fn generate(call: &Call) -> Result<()> {
    let kind = call.required(0, "a kind")?;
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind);
    let kind = kind.context("the kinds are operator, account, user, server, cluster and curve")?;
    ensure!(
        call.is_on("--keep") || call.is_on("--show-secret"),
        "say --keep, --show-secret or both: else the key is lost"
    );
    let seed = if call.is_on("--keep") {
        Places::of(call)?.keys.generate(kind)?
    } else {
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.try_fill_bytes(&mut *bytes).context("the operating system gives no random bytes")?;
        Seed::from_bytes(kind, *bytes)
    };
    if call.is_on("--show-secret") {
        println!("{}", seed.reveal().as_str());
    }
    println!("{}", seed.public());
    Ok(())
}
