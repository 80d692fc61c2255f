//! Asking a running server, over its system account.

use super::hops::{self, Answer};
use crate::identity::client::{Address, Client, Login};
use anyhow::{Context as _, Result, bail};
use dialtone_identity::creds;
use dialtone_server::explain::{Question, Report};
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// The server that is asked answers here, or passes the question on to the one that it names.
const SUBJECT: &str = "$SYS.REQ.SERVER.PING.EXPLAIN";
/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The same of one that the first passes the question on to.
const HOP_TIMEOUT: Duration = Duration::from_secs(3);

/// An answer, in the envelope of all answers of the system account.
#[derive(Deserialize)]
struct Envelope {
    data: Option<Report>,
    error: Option<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    description: String,
}

/// What a server answers, and those that the message goes on to.
///
/// Errors: it is not reached, does not let in, or does not answer this question.
pub fn ask(url: &str, creds: Option<&str>, authorities: Option<&str>, question: &Question) -> Result<Answer> {
    let mut client = connected(url, creds, authorities)?;
    let first = ask_one(&mut client, question, TIMEOUT)?;
    Ok(hops::follow(first, |question| ask_one(&mut client, question, HOP_TIMEOUT)))
}

/// A client of a server, by credentials or what the URL says.
///
/// # Errors
/// The server is not reached, or does not let in.
pub fn connected(url: &str, creds: Option<&str>, authorities: Option<&str>) -> Result<Client> {
    let login = match creds {
        Some(file) => {
            let text = Zeroizing::new(std::fs::read_to_string(file).with_context(|| file.to_owned())?);
            Login::Signed(Box::new(creds::parse(&text).with_context(|| file.to_owned())?))
        }
        None => login(url),
    };
    Client::connect(&Address::parse(url)?, &login, authorities.map(Path::new))
}

fn ask_one(client: &mut Client, question: &Question, timeout: Duration) -> Result<Report> {
    let answers = client.request(SUBJECT, &serde_json::to_vec(question)?, timeout, |_| true)?;
    let first = answers.first().context("no answer")?;
    match serde_json::from_slice(first).context("an answer that cannot be read")? {
        Envelope { data: Some(report), .. } => Ok(report),
        Envelope { error: Some(problem), .. } => bail!("{}", problem.description),
        Envelope { .. } => bail!("an answer without data"),
    }
}

/// The user and password of a URL such as `nats://user:password@host`.
fn login(url: &str) -> Login {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let Some((who, _)) = rest.rsplit_once('@') else { return Login::Nobody };
    let (user, password) = who.split_once(':').unwrap_or((who, ""));
    Login::Password(user.to_owned(), Zeroizing::new(password.to_owned()))
}
