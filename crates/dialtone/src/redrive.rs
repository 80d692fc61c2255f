//! `dialtone redrive`: puts dead letters back into the streams that they came from.

use crate::command_line::{self, Parsed};
use crate::explain::connected;
use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde::Deserialize;
use std::time::Duration;

/// How long a server may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Put the dead letters of a stream back into the streams that they came from.
#[derive(Parser)]
#[command(name = "dialtone redrive", after_help = AFTER_HELP)]
struct Arguments {
    /// The stream that has the dead letters
    stream: String,
    /// A running server; nats://USER:PASSWORD@HOST:PORT
    #[arg(long, value_name = "URL")]
    server: String,
    /// Only those that this consumer gave up
    #[arg(long, value_name = "NAME", default_value = "")]
    consumer: String,
    /// Only those from this sequence on
    #[arg(long, value_name = "SEQUENCE", default_value_t = 1)]
    from: u64,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = u64::MAX, hide_default_value = true)]
    max: u64,
    /// The domain of JetStream, if it is not that of the server
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// Credentials of a user of the account
    #[arg(long, value_name = "FILE")]
    creds: Option<String>,
    /// Certificates that verify the server; else those of the system
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
}

const AFTER_HELP: &str = "\
Each letter goes back under the subject that it had, as a new message, and is deleted when it is on disk there.

Example:
  dialtone redrive DEAD --server nats://localhost:4222 --consumer workers";

/// What a server answers.
#[derive(Deserialize)]
struct Answer {
    error: Option<Problem>,
    #[serde(default)]
    redriven: u64,
    #[serde(default)]
    kept: u64,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    next: u64,
    #[serde(default)]
    complete: bool,
}

#[derive(Deserialize)]
struct Problem {
    description: String,
}

/// Runs `dialtone redrive` with the arguments that follow that word.
///
/// # Errors
/// The server is not reached, or does not do it; letters that stay where they are.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let given = match command_line::parse::<Arguments>(arguments)? {
        Parsed::Help(text) => {
            print!("{text}");
            return Ok(());
        }
        Parsed::Run(given) => given,
    };
    ensure!(!given.stream.contains(['.', ' ', '*', '>']), "{:?} is no name of a stream", given.stream);
    let mut client = connected(&given.server, given.creds.as_deref(), given.tls_ca.as_deref())?;
    let prefix = given.domain.as_ref().map_or("$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
    let subject = format!("{prefix}.DIALTONE.REDRIVE.{}", given.stream);
    let (mut next, mut redriven, mut kept, mut reason) = (given.from, 0, 0, String::new());
    while redriven < given.max {
        let batch = (given.max - redriven).min(256);
        let question = serde_json::json!({ "consumer": given.consumer, "seq": next, "batch": batch });
        let answers = client.request(&subject, question.to_string().as_bytes(), TIMEOUT, |_| true)?;
        let first = answers.first().context("no answer: has the user JetStream there?")?;
        let answer: Answer = serde_json::from_slice(first).context("an answer that cannot be read")?;
        if let Some(problem) = answer.error {
            bail!("{}", problem.description);
        }
        (redriven, kept) = (redriven + answer.redriven, kept + answer.kept);
        if reason.is_empty() {
            reason = answer.reason;
        }
        if answer.complete || answer.next <= next {
            break;
        }
        next = answer.next;
    }
    println!("{redriven} redriven");
    ensure!(kept == 0, "{kept} stay: {reason}");
    Ok(())
}
