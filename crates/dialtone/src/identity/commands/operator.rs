//! Operators, and their system accounts.

use crate::identity::args::Call;
use crate::identity::args::values::{now, yes_no};
use crate::identity::changes;
use crate::identity::session::{Places, Session};
use crate::identity::store::{Signed, Store};
use anyhow::{Context as _, Result, bail};
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::{Account, AccountLimits, Export};
use dialtone_identity::jwt::claims::{ExportKind, Operator, User, UserLimits};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::{Kind, Public};
use std::path::PathBuf;

/// The name of the system account's first user.
const SYSTEM_USER: &str = "sys";
/// Where exports of the system account are explained.
const SYSTEM_URL: &str = "https://docs.nats.io/nats-server/configuration/sys_accounts";

/// `add operator NAME`
pub fn add(call: &Call) -> Result<()> {
    let name = call.required(0, "a name")?;
    let places = Places::of(call)?;
    let store = Store::create(&places.stores, name)?;
    let session = Session::new(store, places);
    let key = session.keys.generate(Kind::Operator)?;
    let draft = Draft::new(key.public(), name, Operator::default());
    session.store.write_operator(&draft.sign(&key, now())?, Signed::Stays)?;
    println!("operator {name}: {}", key.public());
    change(call, &session)
}

/// `edit operator`
pub fn edit(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    change(call, &session)?;
    println!("operator {} is changed", session.store.name);
    Ok(())
}

fn change(call: &Call, session: &Session) -> Result<()> {
    if let Some(name) = call.value("--system-account")
        && !session.store.accounts()?.iter().any(|known| known == name)
    {
        let (key, creds) = with_system_account(call, session, name)?;
        println!("system account {name}: {key}, with user {SYSTEM_USER}: {}", creds.display());
    }
    let mut fresh = None;
    update(session, Signed::Stays, |draft, operator| {
        changes::claims(call, draft)?;
        for url in call.list("--service-url") {
            changes::add(&mut operator.operator_service_urls, url);
        }
        let removed = call.list("--remove-service-url");
        operator.operator_service_urls.retain(|url| !removed.contains(url));
        changes::text(&mut operator.account_server_url, call.value("--account-server-url"));
        changes::text(&mut operator.assert_server_version, call.value("--server-version"));
        if let Some(name) = call.value("--system-account") {
            operator.system_account = session.account_key(name)?.to_string();
        }
        if call.is_on("--signing-key") {
            let key = session.keys.generate(Kind::Operator)?.public().to_string();
            changes::add(&mut operator.signing_keys, key.clone());
            fresh = Some(key);
        }
        if let Some(strict) = call.parsed("--strict-signing-keys", yes_no)? {
            if strict && operator.signing_keys.is_empty() {
                bail!("--strict-signing-keys: the operator has no signing key; add --signing-key");
            }
            operator.strict_signing_key_usage = strict;
        }
        Ok(())
    })?;
    if let Some(key) = fresh {
        println!("signing key {key}");
    }
    Ok(())
}

/// Changes what the operator says, signed by its own key: nothing else signs an operator.
pub fn update(
    session: &Session,
    signed: Signed,
    change: impl FnOnce(&mut Draft, &mut Operator) -> Result<()>,
) -> Result<()> {
    let entry = session.store.operator()?;
    let own = entry.token.subject;
    let signer = session
        .keys
        .find(&own)?
        .with_context(|| format!("the key store has no secret of the operator, {own}"))?;
    let Body::Operator(mut operator) = entry.token.body.clone() else { bail!("no operator") };
    let mut draft = Draft::from(&entry.token);
    change(&mut draft, &mut operator)?;
    draft.body = operator.into();
    session.store.write_operator(&draft.sign(&signer, now())?, signed)
}

/// Makes the system account with a signing key, a user, and what it exports to each account about itself. Its key, and
/// where the user's creds are.
pub fn with_system_account(call: &Call, session: &Session, name: &str) -> Result<(Public, PathBuf)> {
    let key = session.keys.generate(Kind::Account)?;
    let signing = session.keys.generate(Kind::Account)?;
    let export = |name: &str, subject: &str, kind, account_token_position, description: &str| Export {
        name: name.to_owned(),
        subject: subject.to_owned(),
        account_token_position,
        response_type: if kind == ExportKind::Service { "Stream".to_owned() } else { String::new() },
        description: description.to_owned(),
        info_url: SYSTEM_URL.to_owned(),
        ..Export::new(kind)
    };
    let claims = Account {
        limits: AccountLimits::unlimited(),
        signing_keys: [(signing.public().to_string(), None)].into(),
        exports: vec![
            export(
                "account-monitoring-streams",
                "$SYS.ACCOUNT.*.>",
                ExportKind::Stream,
                3,
                "Account specific monitoring stream",
            ),
            export(
                "account-monitoring-services",
                "$SYS.REQ.ACCOUNT.*.*",
                ExportKind::Service,
                4,
                "Request account specific monitoring services for: SUBSZ, CONNZ, LEAFZ, JSZ and INFO",
            ),
        ],
        ..Account::default()
    };
    session.write_account(call, &Draft::new(key.public(), name, claims))?;
    let user = session.keys.generate(Kind::User)?;
    let claims = User { limits: UserLimits::unlimited(), issuer_account: key.public().to_string() };
    let text = Draft::new(user.public(), SYSTEM_USER, claims).sign(&signing, now())?;
    session.store.write_user(name, SYSTEM_USER, &text)?;
    let creds = session.write_creds(name, SYSTEM_USER)?.context("the user's key was just made")?;
    update(session, Signed::Stays, |_, operator| {
        operator.system_account = key.public().to_string();
        Ok(())
    })?;
    Ok((key.public(), creds))
}
