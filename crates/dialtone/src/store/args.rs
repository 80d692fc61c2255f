//! The command line of `dialtone store`.

use crate::command_line::{self, Parsed};
use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
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
    /// Write all streams as archives that an official server restores, so that there is a way back
    Export(Export),
    /// Make streams of those in the folder of an official server, as a start on that folder does, in another folder
    Import(Import),
}

/// What is checked.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Check {
    /// The store_dir of the configuration, or a folder in it
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    #[command(flatten)]
    pub key: Key,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is exported.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Export {
    /// The store_dir of the configuration, or a folder in it
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where the archives go: OUT/ACCOUNT/STREAM, as `nats backup account` has them
    #[arg(value_name = "OUT")]
    pub out: PathBuf,
    /// The format: archive for servers of 2.15 and later, tar for those before
    #[arg(long, value_enum, default_value_t = ExportFormat::Archive)]
    pub format: ExportFormat,
    #[command(flatten)]
    pub key: Key,
}

/// What is imported.
#[derive(Debug, PartialEq, Eq, Args)]
pub struct Import {
    /// The store_dir of an official server, which does not run; it is only read
    #[arg(value_name = "OFFICIAL_DIR")]
    pub from: PathBuf,
    /// What becomes a store_dir of this server: no streams are there yet
    #[arg(value_name = "NEW_DIR")]
    pub to: PathBuf,
    #[command(flatten)]
    pub key: Key,
}

/// Where the key is.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct Key {
    /// The configuration of the server, whose jetstream block has the key of streams that are encrypted
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The format of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// That of 2.15.
    Archive,
    /// The older one.
    Tar,
}

const AFTER_HELP: &str = "\
A folder that a server uses is refused.
Exit codes: 0 all is well, 1 something cannot be read, 2 it was not done.

Examples:
  dialtone store check /var/lib/dialtone
  dialtone store export /var/lib/dialtone backups
  nats backup restore account 'backups/$G'
  dialtone store import /var/lib/nats /var/lib/dialtone";

/// Reads the arguments.
///
/// Errors: what is not known, missing or given twice.
pub fn parse(words: &[String]) -> Result<Parsed<Command>> {
    Ok(match command_line::parse::<Arguments>(words.iter().cloned())? {
        Parsed::Help(text) => Parsed::Help(text),
        Parsed::Run(given) => Parsed::Run(given.command),
    })
}
