//! The command line of `dialtone explain`, from a table.

use anyhow::{Context as _, Result, bail, ensure};
use dialtone_server::explain::{Action, Question};
use std::fmt::Write as _;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// To be told how it works.
    Help,
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

/// An option: its name, what its value is called (nothing for a switch), and what it is for.
type Opt = (&'static str, &'static str, &'static str);

const OPTIONS: &[Opt] = &[
    ("--config", "FILE", "a configuration file; no server needs to run"),
    ("--account", "NAME", "the account in which it is published or subscribed; $G if left out"),
    ("--user", "NAME", "who does it: a user's name or NKey, or a file with its JWT or credentials"),
    ("--queue", "GROUP", "for sub: in this queue group"),
    ("--to", "ACCOUNT", "for pub: does it arrive in this account?"),
    ("--from", "ACCOUNT", "for sub: does anything come from this account?"),
    (
        "--server",
        "URL",
        "a running server, instead of --config: it tells who listens now, too; nats://USER:PASSWORD@HOST:PORT",
    ),
    ("--creds", "FILE", "for --server: credentials of a user of the system account"),
    ("--tls-ca", "FILE", "for --server: certificates that verify it; else those of the system"),
    ("--json", "", "print JSON"),
];

/// The help text.
pub fn help() -> String {
    let mut out = String::from(
        "The whole path of a subject: rights, mappings, exports and imports, who may receive it, and why not.\n\n\
         Usage: dialtone explain [OPTIONS] pub SUBJECT\n       dialtone explain [OPTIONS] sub SUBJECT\n\nOptions:\n",
    );
    for (name, value, help) in OPTIONS {
        let _ = writeln!(out, "  {:<18} {help}", format!("{name} {value}"));
    }
    out.push_str(
        "\nExit codes: 0 there is a path, 1 it is refused or leads nowhere, 2 the question or the configuration is wrong.\n\n\
         Example:\n  dialtone explain --config server.conf --account SHOP --user web pub orders.new --to BILLING\n",
    );
    out
}

/// Reads the arguments.
///
/// Errors: what is not known, missing or said twice.
pub fn parse(words: &[String]) -> Result<Parsed> {
    let mut given: Vec<(&'static str, String)> = Vec::new();
    let mut plain: Vec<&str> = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if matches!(word, "--help" | "-h" | "help") {
            return Ok(Parsed::Help);
        }
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word, None),
        };
        let name = if name == "-c" { "--config" } else { name };
        if !name.starts_with('-') {
            plain.push(word);
            continue;
        }
        let (name, value, _) = OPTIONS
            .iter()
            .find(|(known, ..)| *known == name)
            .with_context(|| format!("unknown option {name}; see dialtone explain --help"))?;
        ensure!(given.iter().all(|(known, _)| known != name), "{name} is given twice");
        let value = match (value.is_empty(), attached) {
            (true, None) => "",
            (true, Some(_)) => bail!("{name} takes no value"),
            (false, Some(value)) => value,
            (false, None) => words.next().with_context(|| format!("{name} needs a value"))?,
        };
        given.push((name, value.to_owned()));
    }
    let [action, subject] = plain.as_slice() else {
        bail!("say `pub SUBJECT` or `sub SUBJECT`; see dialtone explain --help")
    };
    let mut take = |name: &str| {
        let at = given.iter().position(|(known, _)| *known == name)?;
        Some(given.swap_remove(at).1)
    };
    let (action, others) = match *action {
        "pub" => (Action::Publish, ("--to", "--from")),
        "sub" => (Action::Subscribe, ("--from", "--to")),
        other => bail!("{other} is neither pub nor sub"),
    };
    ensure!(take(others.1).is_none(), "{} does not go with {}", others.1, plain.first().unwrap_or(&""));
    let queue = take("--queue");
    ensure!(queue.is_none() || action == Action::Subscribe, "--queue goes with sub");
    let question = Question {
        account: take("--account").unwrap_or_else(|| "$G".to_owned()),
        user: take("--user").map(user),
        action,
        subject: (*subject).to_owned(),
        queue,
        other: take(others.0),
    };
    let (creds, authorities) = (take("--creds"), take("--tls-ca"));
    let whom = match (take("--config"), take("--server")) {
        (Some(config), None) => {
            ensure!(creds.is_none() && authorities.is_none(), "--creds and --tls-ca go with --server");
            Whom::Config(config)
        }
        (None, Some(url)) => Whom::Server { url, creds, authorities },
        _ => bail!("say --config FILE or --server URL"),
    };
    Ok(Parsed::Ask(Box::new(Asked { question, whom, json: take("--json").is_some() })))
}

/// A user's name, or the JWT in a file of that name.
fn user(name: String) -> String {
    let Ok(text) = std::fs::read_to_string(&name) else { return name };
    let is_jwt = |line: &&str| line.starts_with("ey") && line.matches('.').count() == 2;
    text.lines().map(str::trim).find(is_jwt).map_or(name, str::to_owned)
}
