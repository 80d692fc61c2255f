//! Exports, imports, activations and mappings.

use super::{account, write_out};
use crate::identity::args::Call;
use crate::identity::args::values::{nanoseconds, now, percent};
use crate::identity::changes;
use crate::identity::session::Session;
use crate::identity::store::{files, parse_token};
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::jwt::Body;
use dialtone_identity::jwt::account::{Account, Export, Import, ServiceLatency, WeightedMapping};
use dialtone_identity::jwt::claims::{Activation, ExportKind};
use dialtone_identity::jwt::encode::Draft;
use dialtone_identity::nkey::Public;
use std::path::Path;

fn kind(call: &Call) -> ExportKind {
    if call.is_on("--service") { ExportKind::Service } else { ExportKind::Stream }
}

/// `add export SUBJECT`
pub fn add_export(call: &Call) -> Result<()> {
    let subject = call.required(0, "a subject")?;
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    let kind = kind(call);
    let sampling = call.parsed("--sampling", |text| if text == "headers" { Ok(0) } else { percent(text) })?;
    let latency = match (call.value("--latency"), sampling) {
        (Some(results), sampling) => {
            Some(ServiceLatency { sampling: sampling.unwrap_or(100), results: results.to_owned() })
        }
        (None, Some(_)) => bail!("--sampling needs --latency"),
        (None, None) => None,
    };
    let mut export = Export {
        name: call.value("--name").unwrap_or(subject).to_owned(),
        subject: subject.to_owned(),
        token_req: call.is_on("--private"),
        response_threshold: call.parsed("--response-threshold", nanoseconds)?.unwrap_or(0),
        service_latency: latency,
        account_token_position: call
            .parsed("--account-token", |n| n.parse().context("a number"))?
            .unwrap_or(0),
        advertise: call.is_on("--advertise"),
        allow_trace: call.is_on("--allow-trace"),
        ..Export::new(kind)
    };
    changes::text(&mut export.response_type, call.value("--response-type"));
    changes::text(&mut export.description, call.value("--description"));
    changes::text(&mut export.info_url, call.value("--info-url"));
    account::update(call, &session, &name, |_, account| {
        let same = |known: &Export| known.subject == subject && known.kind == kind;
        ensure!(!account.exports.iter().any(same), "account `{name}` exports {subject}");
        account.exports.push(export);
        Ok(())
    })?;
    println!("account {name} exports the {} {subject}", kind.name());
    Ok(())
}

/// `remove export SUBJECT`
pub fn remove_export(call: &Call) -> Result<()> {
    let subject = call.required(0, "a subject")?;
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    account::update(call, &session, &name, |_, account| {
        let before = account.exports.len();
        account.exports.retain(|export| {
            export.subject != subject || call.is_on("--service") && export.kind != kind(call)
        });
        ensure!(account.exports.len() < before, "account `{name}` does not export {subject}");
        Ok(())
    })?;
    println!("account {name} exports {subject} no longer");
    Ok(())
}

/// `add import SUBJECT`
pub fn add_import(call: &Call) -> Result<()> {
    let subject = call.required(0, "a subject")?;
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    let importer = session.store.account(&name)?.token.subject;
    let from = call.value("--from").context("--from: which account exports it?")?;
    let exporter = session.account_key(from)?;
    let kind = kind(call);
    let token = match call.value("--token") {
        Some(file) => parse_token(&files::read(Path::new(file))?).with_context(|| file.to_owned())?.text,
        None => made_activation(&session, from, &importer, subject, kind)?,
    };
    let import = Import {
        name: call.value("--name").unwrap_or(subject).to_owned(),
        subject: subject.to_owned(),
        account: exporter.to_string(),
        token,
        local_subject: call.value("--local").unwrap_or_default().to_owned(),
        share: call.is_on("--share"),
        allow_trace: call.is_on("--allow-trace"),
        ..Import::new(kind)
    };
    account::update(call, &session, &name, |_, account| {
        let same = |known: &Import| {
            known.subject == subject
                && known.account == import.account
                && known.local_subject == import.local_subject
        };
        ensure!(!account.imports.iter().any(same), "account `{name}` imports {subject} from {from}");
        account.imports.push(import.clone());
        Ok(())
    })?;
    println!("account {name} imports the {} {subject} from {from}", kind.name());
    Ok(())
}

/// A token for what is private, made where the exporter is in this store with a key that signs for it. Empty: none is needed.
fn made_activation(
    session: &Session,
    from: &str,
    importer: &Public,
    subject: &str,
    kind: ExportKind,
) -> Result<String> {
    let named = if Public::parse(from).is_ok() { session.name_of(from)? } else { Some(from.to_owned()) };
    let Some(exporter) = named else { return Ok(String::new()) };
    let entry = session.store.account(&exporter)?;
    let Body::Account(claims) = &entry.token.body else { bail!("no account") };
    match export_of(claims, subject, kind) {
        None => bail!("account `{exporter}` does not export the {} {subject}", kind.name()),
        Some(export) if !export.token_req => Ok(String::new()),
        Some(_) => {
            let signer = session.account_signer(&Call::default(), &entry)?;
            let issuer_account = of_signing_key(&signer.public(), &entry.token.subject);
            let claims = Activation { subject: subject.to_owned(), kind: Some(kind), issuer_account };
            Ok(Draft::new(*importer, subject, claims).sign(&signer, now())?)
        }
    }
}

fn of_signing_key(signer: &Public, account: &Public) -> String {
    if signer == account { String::new() } else { account.to_string() }
}

/// The export that these subjects are of.
fn export_of<'a>(account: &'a Account, subject: &str, kind: ExportKind) -> Option<&'a Export> {
    let holds = |export: &&Export| dialtone_identity::jwt::validate::is_contained(subject, &export.subject);
    account.exports.iter().filter(|export| export.kind == kind).find(holds)
}

/// `remove import SUBJECT`
pub fn remove_import(call: &Call) -> Result<()> {
    let subject = call.required(0, "a subject")?;
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    let from =
        call.value("--from").map(|from| session.account_key(from)).transpose()?.map(|key| key.to_string());
    account::update(call, &session, &name, |_, account| {
        let before = account.imports.len();
        let other = |import: &Import| from.as_ref().is_some_and(|from| *from != import.account);
        account.imports.retain(|import| import.subject != subject || other(import));
        ensure!(account.imports.len() < before, "account `{name}` does not import {subject}");
        Ok(())
    })?;
    println!("account {name} imports {subject} no longer");
    Ok(())
}

/// `activate ACCOUNT|KEY SUBJECT`
pub fn activate(call: &Call) -> Result<()> {
    let importer = call.required(0, "an account")?;
    let subject = call.required(1, "a subject")?;
    let session = Session::open(call)?;
    let importer = session.account_key(importer)?;
    let name = session.account_name(call)?;
    let entry = session.store.account(&name)?;
    let Body::Account(claims) = &entry.token.body else { bail!("no account") };
    let kind = kind(call);
    let export = export_of(claims, subject, kind);
    let Some(export) = export else {
        bail!("account `{name}` does not export the {} {subject}", kind.name())
    };
    ensure!(export.token_req, "the export {} is open to all: nothing needs to be activated", export.subject);
    let signer = session.account_signer(call, &entry)?;
    let issuer_account = of_signing_key(&signer.public(), &entry.token.subject);
    let claims = Activation { subject: subject.to_owned(), kind: Some(kind), issuer_account };
    let mut draft = Draft::new(importer, call.value("--name").unwrap_or(subject), claims);
    changes::claims(call, &mut draft)?;
    let text = draft.sign(&signer, now())?;
    write_out(
        call,
        &format!("-----BEGIN NATS ACTIVATION JWT-----\n{text}\n------END NATS ACTIVATION JWT------\n"),
    )
}

/// `add mapping FROM TO`
pub fn add_mapping(call: &Call) -> Result<()> {
    let (from, to) = (call.required(0, "a subject")?, call.required(1, "a second subject")?);
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    let weight = call.parsed("--weight", percent)?.unwrap_or(100);
    let mut cluster = String::new();
    changes::text(&mut cluster, call.value("--cluster"));
    account::update(call, &session, &name, |_, account| {
        let list = account.mappings.entry(from.to_owned()).or_default();
        list.retain(|mapping| mapping.subject != to || mapping.cluster != cluster);
        list.push(WeightedMapping { subject: to.to_owned(), weight, cluster: cluster.clone() });
        Ok(())
    })?;
    println!("account {name}: {weight} % of {from} are published to {to}");
    Ok(())
}

/// `remove mapping FROM [TO]`
pub fn remove_mapping(call: &Call) -> Result<()> {
    let from = call.required(0, "a subject")?;
    let session = Session::open(call)?;
    let name = session.account_name(call)?;
    account::update(call, &session, &name, |_, account| {
        let list = account
            .mappings
            .get_mut(from)
            .with_context(|| format!("account `{name}` has no mapping of {from}"))?;
        match call.argument(1) {
            Some(to) => list.retain(|mapping| mapping.subject != to),
            None => list.clear(),
        }
        if list.is_empty() {
            account.mappings.remove(from);
        }
        Ok(())
    })?;
    println!("account {name}: the mapping of {from} is removed");
    Ok(())
}
