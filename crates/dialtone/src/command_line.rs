//! Command lines of the tools, each declared with `clap`. The server's own is a table in `dialtone_config::flags`, since
//! its notation is Go's.

use anyhow::{Error, Result};
use clap::Parser;
use clap::error::ErrorKind;

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
    // The name of the program comes first, as in the arguments of a process.
    match T::try_parse_from(std::iter::once(String::new()).chain(words)) {
        Ok(arguments) => Ok(Parsed::Run(arguments)),
        Err(problem) if problem.kind() == ErrorKind::DisplayHelp => Ok(Parsed::Help(problem.to_string())),
        Err(problem) => {
            let text = problem.to_string();
            Err(Error::msg(text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()))
        }
    }
}

/// The text of `--help`.
pub fn help<T: Parser>() -> String {
    T::command().render_help().to_string()
}
