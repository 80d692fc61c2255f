//! The command line of `dialtone store`.

use crate::command_line::{self, Parsed};
use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Check the folder of streams while no server runs, and move streams by hand.
#[derive(Parser)]
#[command(name = "dialtone store", bin_name = "dialtone store", after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What is done.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Read all that is in a store, say what it is, and what cannot be read; nothing changes
    Check(Check),
}

/// What is checked.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Check {
    /// The store_dir of the configuration, or a folder in it
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const AFTER_HELP: &str = "\
A folder that a server uses is refused.
Exit codes: 0 all is well, 1 something cannot be read, 2 it was not done.

Example:
  dialtone store check /var/lib/dialtone";

/// Reads the arguments.
///
/// Errors: what is not known, missing or given twice.
pub fn parse(words: &[String]) -> Result<Parsed<Command>> {
    Ok(match command_line::parse::<Arguments>(words.iter().cloned())? {
        Parsed::Help(text) => Parsed::Help(text),
        Parsed::Run(given) => Parsed::Run(given.command),
    })
}
