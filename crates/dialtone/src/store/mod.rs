//! `dialtone store`: the folder of streams while no server runs.
//!
//! [`args`] is the command line, [`text`] puts what was found into words. What is done is done by [`dialtone_server::offline`].

mod args;
mod text;

use crate::command_line::Parsed;
use crate::serve;
use anyhow::Result;
use args::{Command, ExportFormat, Key};
use dialtone_config::Options;
use dialtone_server::offline::{self, Format};

/// All is well.
const WELL: i32 = 0;
/// Something cannot be read.
const DAMAGED: i32 = 1;
/// It was not done.
const FAILED: i32 = 2;

/// Runs `dialtone store` with the arguments that follow that word. The process's exit code.
pub fn run(arguments: impl Iterator<Item = String>) -> i32 {
    let words: Vec<String> = arguments.collect();
    match args::parse(&words).and_then(|parsed| done(&parsed)) {
        Ok((text, code)) => {
            print!("{text}");
            code
        }
        Err(problem) => {
            eprintln!("dialtone store: {problem:#}");
            FAILED
        }
    }
}

/// What is printed, and the exit code.
fn done(parsed: &Parsed<Command>) -> Result<(String, i32)> {
    let command = match parsed {
        Parsed::Help(text) => return Ok((text.clone(), WELL)),
        Parsed::Run(command) => command,
    };
    match command {
        Command::Check(asked) => {
            let found = offline::check(&asked.dir, options(&asked.key)?.jetstream.as_ref())?;
            let code = if found.is_whole() { WELL } else { DAMAGED };
            let text = match asked.json {
                true => serde_json::to_string_pretty(&found)? + "\n",
                false => text::checked(&found),
            };
            Ok((text, code))
        }
        Command::Export(asked) => {
            let format = match asked.format {
                ExportFormat::Archive => Format::Archive,
                ExportFormat::Tar => Format::Tar,
            };
            let exported =
                offline::export((&asked.dir, options(&asked.key)?.jetstream.as_ref()), &asked.out, format)?;
            let is_whole = exported.iter().all(|one| one.folder.is_some() && one.unreadable == 0);
            Ok((text::exported(&exported), if is_whole { WELL } else { DAMAGED }))
        }
        Command::Import(asked) => {
            let imported = offline::import(&asked.from, &asked.to, options(&asked.key)?)?;
            Ok((text::imported(&imported, &asked.to), WELL))
        }
    }
}

/// The options that have the key; without a file those without one.
fn options(key: &Key) -> Result<Options> {
    Ok(match &key.config {
        Some(file) => serve::load_partial(file)?.options,
        None => Options::default(),
    })
}
