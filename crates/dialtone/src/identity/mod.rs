//! `dialtone identity`: operators, accounts and users who trust each other by signatures, from the first key to a
//! running server, with files that `nsc` reads and writes, too.
//!
//! Begin reading at [`parse`] (the table of commands), then [`commands`] (one file a subject). [`session`] says which store and
//! keys a command works with, [`store`] has them on disk, [`changes`] turns options into claims, [`describe`] claims into
//! tables, [`client`] talks to servers.

mod args;
mod changes;
mod check;
pub(crate) mod client;
mod commands;
mod describe;
mod parse;
mod session;
mod store;
mod table;

use anyhow::Result;

/// Runs `dialtone identity` with the arguments that follow the word `identity`.
///
/// Errors: wrong arguments, files that cannot be read or written, keys that are missing, servers that refuse.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let words: Vec<String> = arguments.collect();
    match parse::parse(&words)? {
        parse::Invocation::Help(text) => {
            print!("{text}");
            Ok(())
        }
        parse::Invocation::Run(command, call) => command.run(&call),
    }
}
