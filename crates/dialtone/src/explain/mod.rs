//! `dialtone explain`: the whole path of a subject, and why a message does not arrive.
//!
//! [`args`] is the command line, [`hops`] asks further servers, [`text`] puts an answer into words. The answer itself is worked out by
//! [`dialtone_server::explain`], here from a configuration, or by a running server that [`server`] asks.

mod args;
mod hops;
mod server;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use server::connected;

use crate::serve;
use anyhow::Result;
use args::{Asked, Invocation, Whom};
use dialtone_server::Explainer;
use dialtone_server::explain::Verdict;
use hops::Answer;
use std::path::Path;

/// There is a path.
const FOUND: i32 = 0;
/// There is none.
const NOWHERE: i32 = 1;
/// The question or the configuration is wrong.
const FAILED: i32 = 2;

/// Runs `dialtone explain` with the arguments that follow that word. The process's exit code.
pub fn run(arguments: impl Iterator<Item = String>) -> i32 {
    let words: Vec<String> = arguments.collect();
    match args::parse(&words).and_then(|parsed| answer(&parsed)) {
        Ok((text, code)) => {
            print!("{text}");
            code
        }
        Err(problem) => {
            eprintln!("dialtone explain: {problem:#}");
            FAILED
        }
    }
}

/// What is printed, and the exit code.
fn answer(parsed: &Invocation) -> Result<(String, i32)> {
    let asked = match parsed {
        Invocation::Help(text) => return Ok((text.clone(), FOUND)),
        Invocation::Ask(asked) => asked,
    };
    let answer = ask(asked)?;
    let code = if answer.verdict() == Verdict::Path { FOUND } else { NOWHERE };
    let text = match asked.json {
        true => serde_json::to_string_pretty(&answer)? + "\n",
        false => text::describe(&answer),
    };
    Ok((text, code))
}

fn ask(asked: &Asked) -> Result<Answer> {
    match &asked.whom {
        Whom::Config(file) => {
            let partial = serve::load_partial(Path::new(file))?;
            Ok(Answer::alone(Explainer::new(partial)?.answer(&asked.question)?))
        }
        Whom::Server { url, creds, authorities } => {
            server::ask(url, creds.as_deref(), authorities.as_deref(), &asked.question)
        }
    }
}
