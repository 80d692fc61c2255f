//! Users.

use super::account::update;
use crate::identity::args::Call;
use crate::identity::args::values::now;
use crate::identity::changes;
use crate::identity::session::Session;
use crate::identity::store::Entry;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::claims::{User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Public, Seed};

/// `add user NAME`
pub fn add(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    let session = Session::open(call)?;
    let account_name = session.account_name(call)?;
    let account = session.store.account(&account_name)?;
    ensure!(
        !session.store.users(&account_name)?.iter().any(|known| known == name),
        "account `{account_name}` has a user `{name}`"
    );
    let signer = session.account_signer(call, &account)?;
    let user = change(call, &account, &signer, User { limits: UserLimits::unlimited(), ..User::default() })?;
    let key = match call.value("--public-key") {
        Some(key) => Public::parse(key)
            .ok()
            .filter(|key| key.kind == Kind::User)
            .context("--public-key: no user's key")?,
        None => session.keys.generate(Kind::User)?.public(),
    };
    let mut draft = Draft::new(key, name, user);
    changes::claims(call, &mut draft)?;
    session.store.write_user(&account_name, name, &draft.sign(&signer, now())?)?;
    println!("user {name} of account {account_name}: {key}");
    if let Some(file) = session.write_creds(&account_name, name)? {
        println!("creds {}", file.display());
    }
    Ok(())
}

/// `edit user NAME`
pub fn edit(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    ensure!(call.value("--public-key").is_none(), "a user's key cannot be changed; add another user");
    let session = Session::open(call)?;
    let account_name = session.account_name(call)?;
    let account = session.store.account(&account_name)?;
    let entry = session.store.user(&account_name, name)?;
    let Body::User(user) = entry.token.body.clone() else { bail!("no user") };
    let Body::Account(claims) = &account.token.body else { bail!("no account") };
    // The key that signed it before may give it its role.
    let has_role = matches!(claims.signing_keys.get(&entry.token.issuer.to_string()), Some(Some(_)));
    let signer = match call.value("--sign-with") {
        None if has_role => session.keys.find(&entry.token.issuer)?,
        _ => None,
    };
    let signer = match signer {
        Some(signer) => signer,
        None => session.account_signer(call, &account)?,
    };
    let mut draft = Draft::from(&entry.token);
    draft.body = change(call, &account, &signer, *user)?.into();
    changes::claims(call, &mut draft)?;
    session.store.write_user(&account_name, name, &draft.sign(&signer, now())?)?;
    println!("user {name} is changed; it enters with what it has until it gets the changed JWT");
    if let Some(file) = session.write_creds(&account_name, name)? {
        println!("creds {}", file.display());
    }
    Ok(())
}

/// What a user is to say who is signed by this key. Whose key gives a role says nothing itself.
fn change(call: &Call, account: &Entry, signer: &Seed, mut user: User) -> Result<User> {
    let Body::Account(claims) = &account.token.body else { bail!("no account") };
    let (own, by) = (account.token.subject, signer.public());
    user.issuer_account = if by == own { String::new() } else { own.to_string() };
    if let Some(Some(role)) = claims.signing_keys.get(&by.to_string()) {
        let mut asked = UserLimits::default();
        changes::user(call, &mut asked)?;
        ensure!(
            asked == UserLimits::default(),
            "the signing key gives the role `{}`, so the user has no permissions and limits of its own; change those of \
             the role with `edit signing-key`",
            role.role
        );
        user.limits = UserLimits::default();
    } else {
        if user.limits == UserLimits::default() {
            user.limits = UserLimits::unlimited();
        }
        changes::user(call, &mut user.limits)?;
    }
    Ok(user)
}

/// `remove user NAME`
pub fn remove(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    let session = Session::open(call)?;
    let account = session.account_name(call)?;
    let key = session.store.user(&account, name)?.token.subject.to_string();
    update(call, &session, &account, |_, claims| {
        claims.revocations.insert(key.clone(), now());
        Ok(())
    })?;
    session.store.remove_user(&account, name)?;
    let creds = session.keys.creds_file(&session.store.name, &account, name)?;
    if creds.is_file() {
        crate::identity::store::files::remove(&creds)?;
    }
    println!("user {name} is removed and revoked; push account {account} to tell the servers");
    Ok(())
}
