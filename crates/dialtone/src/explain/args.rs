//! The command line of `dialtone explain`.

use crate::command_line::{self, Parsed};
use anyhow::{Result, ensure};
use clap::{Args, Parser, ValueEnum};
use dialtone_server::explain::{Action, Question};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// To be told how it works.
    Help(String),
    /// An answer.
    Ask(Box<Asked>),
}

/// A question, and to whom.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// What.
    pub question: Question,
    /// Who is asked.
    pub whom: Whom,
    /// Print JSON.
    pub json: bool,
}

/// Who is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Whom {
    /// A configuration file; no server needs to run.
    Config(String),
    /// A running server.
    Server {
        /// Its address, perhaps with a user and a password.
        url: String,
        /// A file with the credentials of a user of the system account.
        creds: Option<String>,
        /// A file with the certificates that verify the server.
        authorities: Option<String>,
    },
}

/// The whole path of a subject: rights, mappings, exports and imports, who may receive it, and why not.
#[derive(Parser)]
#[command(name = "dialtone explain", after_help = AFTER_HELP)]
struct Arguments {
    /// What is done with the subject
    #[arg(value_enum)]
    action: Word,
    /// The subject
    subject: String,
    #[command(flatten)]
    whom: Source,
    /// The account in which it is published or subscribed
    #[arg(long, value_name = "NAME", default_value = "$G")]
    account: String,
    /// Who does it: a user's name or NKey, or a file with its JWT or credentials; any user of the account if left out
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// For sub: in this queue group
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,
    /// For pub: does it arrive in this account?
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "from")]
    to: Option<String>,
    /// For sub: does anything come from this account?
    #[arg(long, value_name = "ACCOUNT")]
    from: Option<String>,
    /// For --server: credentials of a user of the system account
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    creds: Option<String>,
    /// For --server: certificates that verify it; else those of the system
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    tls_ca: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A configuration file; no server needs to run
    #[arg(short, long, value_name = "FILE")]
    config: Option<String>,
    /// A running server: its answer holds who listens now, too; nats://USER:PASSWORD@HOST:PORT
    #[arg(long, value_name = "URL")]
    server: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    Pub,
    Sub,
}

const AFTER_HELP: &str = "\
Exit codes: 0 there is a path, 1 it is refused or leads nowhere, 2 the question or the configuration is wrong.

Example:
  dialtone explain --config server.conf --account SHOP --user web pub orders.new --to BILLING";

/// Reads the arguments.
///
/// Errors: what is not known, missing, given twice or not to be combined.
pub fn parse(words: &[String]) -> Result<Invocation> {
    let given = match command_line::parse::<Arguments>(words.iter().cloned())? {
        Parsed::Help(text) => return Ok(Invocation::Help(text)),
        Parsed::Run(given) => given,
    };
    let (action, other) = match given.action {
        Word::Pub => {
            ensure!(given.from.is_none(), "--from does not go with pub");
            ensure!(given.queue.is_none(), "--queue goes with sub");
            (Action::Publish, given.to)
        }
        Word::Sub => {
            ensure!(given.to.is_none(), "--to does not go with sub");
            (Action::Subscribe, given.from)
        }
    };
    let question = Question {
        user: given.user.map(user),
        queue: given.queue,
        other,
        ..Question::new(&given.account, action, &given.subject)
    };
    let whom = match (given.whom.config, given.whom.server) {
        (Some(config), _) => Whom::Config(config),
        (None, url) => {
            Whom::Server { url: url.unwrap_or_default(), creds: given.creds, authorities: given.tls_ca }
        }
    };
    Ok(Invocation::Ask(Box::new(Asked { question, whom, json: given.json })))
}

/// A user's name, or the JWT in a file of that name.
fn user(name: String) -> String {
    let Ok(text) = std::fs::read_to_string(&name) else { return name };
    let is_jwt = |line: &&str| line.starts_with("ey") && line.matches('.').count() == 2;
    text.lines().map(str::trim).find(is_jwt).map_or(name, str::to_owned)
}
