//! `dialtone bench`: a load generator for any NATS server, and `bench compare`, which sets two servers side by side.
//!
//! The generator runs on one thread and costs little itself: it publishes from pre-encoded rings and counts received
//! messages by their bytes, so that on a small machine the server is what is measured. Every message published must
//! arrive; a run that loses one fails.
//!
//! Begin reading at [`scenario`] (what a load is made of), then [`flow`] (who publishes what to whom, and when) and
//! [`link`] (one connection). [`compare`] has the table of rows and the running of two servers in turn.

mod args;
mod churn;
pub mod compare;
mod connect;
#[cfg(test)]
mod fake;
mod flow;
mod histogram;
mod idle;
mod link;
mod listen;
mod load;
mod mqtt;
mod operations;
mod process;
mod progress;
mod publisher;
mod report;
mod request;
mod scenario;
mod shape;
mod stop;
mod stored;
mod tally;
mod target;
mod ticker;
mod values;
mod websocket;

use crate::command_line::Parsed;
use anyhow::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Runs `dialtone bench` with the arguments that follow the word `bench`.
///
/// Errors: wrong arguments, a server that can't be reached or refuses the connection, and messages that did not arrive.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    allow_many_connections();
    let mut arguments = arguments.peekable();
    if arguments.next_if(|word| word == "compare").is_some() {
        return compare::run(arguments);
    }
    match args::parse(arguments)? {
        Parsed::Help(text) => {
            print!("{text}");
            Ok(())
        }
        Parsed::Run(options) => report::measure_and_print(&options),
    }
}

/// Raises the bound on open files as far as this user may; servers started from here inherit it.
fn allow_many_connections() {
    let limit = getrlimit(Resource::Nofile);
    // Where it can't be raised, opening too many connections says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
