//! Command lines of the tools, each declared with `clap`. The server's own is a table in `dialtone_config::flags`, since
//! its notation is Go's.

use anyhow::{Error, Result};
use clap::error::ErrorKind;
use clap::{ArgMatches, Command, Parser};

/// What a tool's command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// To print this help.
    Help(String),
    /// To run with these arguments.
    Run(T),
}

/// Reads the words behind the tool's name. The word `help` in the first place is `--help`.
///
/// Errors: what is unknown, missing, given twice or not to be combined, with a suggestion where one is near.
pub fn parse<T: Parser>(words: impl IntoIterator<Item = String>) -> Result<Parsed<T>> {
    let mut words = words.into_iter().peekable();
    if words.next_if(|word| word == "help").is_some() {
        return Ok(Parsed::Help(help::<T>()));
    }
    Ok(match parse_as(T::command(), words)? {
        Parsed::Help(text) => Parsed::Help(text),
        Parsed::Run(matches) => Parsed::Run(T::from_arg_matches(&matches).map_err(without_prefix)?),
    })
}

/// The same by another declaration.
pub fn parse_as(command: Command, words: impl IntoIterator<Item = String>) -> Result<Parsed<ArgMatches>> {
    match command.no_binary_name(true).try_get_matches_from(words) {
        Ok(matches) => Ok(Parsed::Run(matches)),
        Err(problem) if problem.kind() == ErrorKind::DisplayHelp => Ok(Parsed::Help(problem.to_string())),
        Err(problem) => Err(without_prefix(problem)),
    }
}

fn without_prefix(problem: clap::Error) -> Error {
    let text = problem.to_string();
    Error::msg(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned())
}

/// The text of `--help`.
pub fn help<T: Parser>() -> String {
    T::command().render_help().to_string()
}
