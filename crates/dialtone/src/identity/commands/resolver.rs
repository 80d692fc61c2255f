//! The resolvers of running servers: accounts are pushed to them, pulled from them, listed and deleted.

use crate::identity::args::Call;
use crate::identity::args::values::{duration, now};
use crate::identity::client::{Address, Client, Login};
use crate::identity::session::Session;
use crate::identity::store::{Entry, files, parse_token};
use crate::identity::table::Table;
use anyhow::{Context as _, Result, bail, ensure};
use dialtone_identity::creds::{self, Credentials};
use dialtone_identity::jwt::encode::sign_deletion;
use dialtone_identity::jwt::trust::Trust;
use dialtone_identity::jwt::validate::Severity;
use dialtone_identity::jwt::{Body, JwtError};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// A connection to the servers, as a user of the system account.
struct Resolver {
    client: Client,
    timeout: Duration,
}

impl Resolver {
    fn connect(call: &Call, session: &Session) -> Result<Self> {
        let operator = session.store.operator()?.token;
        let Body::Operator(claims) = &operator.body else { bail!("no operator") };
        let known = [&claims.account_server_url].into_iter().chain(&claims.operator_service_urls);
        let known =
            known.map(String::as_str).find(|url| url.starts_with("nats://") || url.starts_with("tls://"));
        let url =
            call.value("--server").or(known).context("the operator knows no server; say --server URL")?;
        let user = match call.value("--creds") {
            Some(file) => creds::parse(&files::read(Path::new(file))?).with_context(|| file.to_owned())?,
            None => system_user(session)?,
        };
        let timeout = call.parsed("--timeout", duration)?.unwrap_or(TIMEOUT_DEFAULT);
        let authorities = call.value("--tls-ca").map(Path::new);
        let user = Login::Signed(Box::new(user));
        let client = Client::connect(&Address::parse(url)?, &user, authorities)?;
        Ok(Self { client, timeout })
    }

    /// What each server answers: its name, and its data or error.
    fn ask(&mut self, subject: &str, payload: &[u8]) -> Result<Vec<ServerReply>> {
        let answers = self.client.request(subject, payload, self.timeout, |_| false)?;
        answers.iter().map(|answer| ServerReply::read(answer)).collect()
    }
}

/// A user of the system account whose secret is in the key store.
fn system_user(session: &Session) -> Result<Credentials> {
    let account =
        session.system_account_name()?.context("the system account is not in the store; say --creds FILE")?;
    for user in session.store.users(&account)? {
        if let Some(text) = session.creds(&account, &user)? {
            return Ok(creds::parse(&text)?);
        }
    }
    bail!("the key store has no secret of a user of the system account `{account}`; say --creds FILE")
}

struct ServerReply {
    server: String,
    data: Result<Value, String>,
}

impl ServerReply {
    fn read(payload: &[u8]) -> Result<Self> {
        let answer: Value = serde_json::from_slice(payload).context("an answer that cannot be read")?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let server = text(answer.pointer("/server/name")).unwrap_or_else(|| "a server".to_owned());
        let error = answer.get("error").filter(|error| !error.is_null());
        let data = match error {
            None => Ok(answer.get("data").cloned().unwrap_or_default()),
            Some(error) => Err(text(error.get("description")).unwrap_or_else(|| error.to_string())),
        };
        Ok(Self { server, data })
    }

    /// Tells what the server says. Whether it was good.
    fn print(&self) -> bool {
        match &self.data {
            Ok(data) => {
                let text = data.get("message").and_then(Value::as_str).unwrap_or("done");
                println!("  {}: {text}", self.server);
            }
            Err(problem) => println!("  {}: ERROR {problem}", self.server),
        }
        self.data.is_ok()
    }
}

/// `push [ACCOUNT...]`
pub fn push(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let names =
        if call.arguments().is_empty() { session.store.accounts()? } else { call.arguments().to_vec() };
    let entries: Vec<Entry> = names.iter().map(|name| session.store.account(name)).collect::<Result<_>>()?;
    if !call.is_on("--force") {
        check(&session, &entries)?;
    }
    let mut resolver = Resolver::connect(call, &session)?;
    let mut failed = 0;
    for entry in &entries {
        println!("account {} ({})", entry.token.name, entry.token.subject);
        for answer in resolver.ask("$SYS.REQ.CLAIMS.UPDATE", entry.text.as_bytes())? {
            failed += usize::from(!answer.print());
        }
    }
    if call.is_on("--prune") {
        let ours: BTreeSet<String> = session
            .store
            .accounts()?
            .iter()
            .map(|name| Ok(session.store.account(name)?.token.subject.to_string()))
            .collect::<Result<_>>()?;
        let listed = resolver.ask("$SYS.REQ.CLAIMS.LIST", b"")?;
        let surplus: BTreeSet<String> =
            listed.iter().flat_map(keys).filter(|key| !ours.contains(key)).collect();
        failed += remove(call, &session, &mut resolver, &surplus.into_iter().collect::<Vec<_>>())?;
    }
    ensure!(failed == 0, "{failed} answers were errors");
    Ok(())
}

/// Refuses to push what servers would refuse, or trust no longer.
fn check(session: &Session, entries: &[Entry]) -> Result<()> {
    let trust = Trust::new(&[session.store.operator()?.token], &[])?;
    for entry in entries {
        let name = &entry.token.name;
        trust
            .account(&entry.text, &entry.token.subject.to_string(), now())
            .with_context(|| format!("account {name} (--force pushes it all the same)"))?;
        let bad = crate::identity::check::issues(&entry.token, Some(now()))
            .into_iter()
            .find(|issue| issue.severity > Severity::Warning);
        if let Some(issue) = bad {
            bail!("account {name} is not valid (--force pushes it all the same): {issue}");
        }
    }
    Ok(())
}

fn keys(answer: &ServerReply) -> Vec<String> {
    let list = answer.data.as_ref().ok().and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Asks servers to delete accounts. How many answers were errors.
fn remove(call: &Call, session: &Session, resolver: &mut Resolver, keys: &[String]) -> Result<usize> {
    if keys.is_empty() {
        println!("there is nothing to delete");
        return Ok(0);
    }
    let signer = session.operator_signer(call)?;
    let request = sign_deletion(&signer, keys, now())?;
    println!("deleting {}", keys.join(", "));
    let answers = resolver.ask("$SYS.REQ.CLAIMS.DELETE", request.as_bytes())?;
    Ok(answers.iter().filter(|answer| !answer.print()).count())
}

/// `resolver delete ACCOUNT...`
pub fn delete(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let keys: Vec<String> = call
        .arguments()
        .iter()
        .map(|name| Ok(session.account_key(name)?.to_string()))
        .collect::<Result<_>>()?;
    let mut resolver = Resolver::connect(call, &session)?;
    let failed = remove(call, &session, &mut resolver, &keys)?;
    ensure!(failed == 0, "{failed} answers were errors");
    Ok(())
}

/// `resolver list`
pub fn list(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let mut resolver = Resolver::connect(call, &session)?;
    for answer in resolver.ask("$SYS.REQ.CLAIMS.LIST", b"")? {
        let mut table = Table::new(format!("Accounts of server {}", answer.server));
        if let Err(problem) = &answer.data {
            table.row(["", problem]);
        }
        for key in keys(&answer) {
            let name = session.name_of(&key)?.unwrap_or_else(|| "(not in the store)".to_owned());
            table.row([&name, &key]);
        }
        print!("{}", table.render());
    }
    Ok(())
}

/// `pull [ACCOUNT...]`
pub fn pull(call: &Call) -> Result<()> {
    let session = Session::open(call)?;
    let trust = Trust::new(&[session.store.operator()?.token], &[])?;
    let mut resolver = Resolver::connect(call, &session)?;
    let mut texts = Vec::new();
    if call.arguments().is_empty() {
        // Each server sends what it has, an account a message; the one with no content is its last.
        let answers =
            resolver.client.request("$SYS.REQ.CLAIMS.PACK", b"", resolver.timeout, <[u8]>::is_empty)?;
        for answer in answers.iter().filter(|answer| !answer.is_empty()) {
            let text = String::from_utf8_lossy(answer);
            texts.push(text.split_once('|').map_or_else(|| text.to_string(), |(_, jwt)| jwt.to_owned()));
        }
    }
    for name in call.arguments() {
        let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", session.account_key(name)?);
        let answers =
            resolver.client.request(&subject, b"", resolver.timeout, |answer| !answer.is_empty())?;
        let found = answers.iter().find(|answer| !answer.is_empty());
        let found = found.with_context(|| format!("no server has account `{name}`"))?;
        texts.push(String::from_utf8_lossy(found).into_owned());
    }
    let mut refused = 0;
    for text in &texts {
        match keep(call, &session, &trust, text) {
            Ok(told) => println!("{told}"),
            Err(problem) => {
                refused += 1;
                println!("ERROR {problem:#}");
            }
        }
    }
    ensure!(refused == 0, "{refused} accounts are not taken");
    Ok(())
}

/// Puts an account into the store, if the operator signed it and the store has no newer one.
fn keep(call: &Call, session: &Session, trust: &Trust, text: &str) -> Result<String> {
    let entry = parse_token(text)?;
    let (token, key) = (&entry.token, entry.token.subject.to_string());
    ensure!(matches!(token.body, Body::Account(_)), JwtError::Unknown);
    trust.account(&entry.text, &key, now()).with_context(|| format!("account {} ({key})", token.name))?;
    let name = session
        .name_of(&key)?
        .unwrap_or_else(|| if token.name.is_empty() { key.clone() } else { token.name.clone() });
    if let Ok(known) = session.store.account(&name) {
        ensure!(known.token.subject == token.subject, "account {key}: the store has another `{name}`");
        if known.text == entry.text {
            return Ok(format!("account {name} is the same"));
        }
        if known.token.issued_at > token.issued_at && !call.is_on("--overwrite") {
            return Ok(format!("account {name} is newer in the store; --overwrite takes the server's"));
        }
    }
    session.store.write_account(&name, &entry.text)?;
    Ok(format!("account {name} is taken"))
}
