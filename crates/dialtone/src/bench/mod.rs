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
mod flow;
mod histogram;
mod idle;
mod link;
mod listen;
mod load;
mod operations;
mod process;
mod progress;
mod report;
mod request;
mod scenario;
mod shape;
mod tally;
mod target;
mod ticker;

use anyhow::Result;

/// Runs `dialtone bench` with the arguments that follow the word `bench`.
///
/// Errors: wrong arguments, a server that can't be reached or refuses the connection, and messages that did not arrive.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let mut arguments = arguments.peekable();
    if arguments.next_if(|word| word == "compare").is_some() {
        return compare::run(arguments);
    }
    match args::parse(arguments)? {
        args::Parsed::Help => {
            print!("{}", args::help());
            Ok(())
        }
        args::Parsed::Bench(options) => report::measure_and_print(&options),
    }
}
