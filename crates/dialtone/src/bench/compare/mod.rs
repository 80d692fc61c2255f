//! `dialtone bench compare`: the official server and ours, in turn, under the same loads, on the same machine.
//!
//! Absolute figures move by 2x between machines and by a third between minutes, so what counts is the ratio of two runs
//! that follow each other: A B A B …, each on a server started for it, the median of the pairs' ratios.
//!
//! [`rows`] is the table of what is measured and what is to be reached; [`sample`] takes one measurement, [`server`]
//! starts what it is taken from, [`table`] prints.

mod args;
mod rows;
mod sample;
mod server;
mod table;

use anyhow::{Context as _, Result};
use args::{Options, Parsed};
use rows::Row;
use sample::Sample;
use std::path::Path;

/// Both servers' samples of a row: the first of each pair is the official one's.
pub struct Measured {
    /// What was measured.
    pub row: &'static Row,
    /// One entry a pair.
    pub pairs: Vec<[Sample; 2]>,
}

/// Runs `dialtone bench compare` with the arguments that follow it.
///
/// Errors: wrong arguments, a binary that does not start, messages that did not arrive. A missed goal is no error.
pub fn run(arguments: impl Iterator<Item = String>) -> Result<()> {
    let options = match args::parse(arguments)? {
        Parsed::Help => {
            print!("{}", args::help());
            return Ok(());
        }
        Parsed::Compare(options) => options,
    };
    let mut all = Vec::new();
    for row in &options.rows {
        let measured = measure(row, &options)?;
        eprint!("{}", table::progress(&measured));
        all.push(measured);
    }
    if options.smoke {
        println!("{} rows: all messages arrived", all.len());
    } else if options.json {
        println!("{}", table::json(&all));
    } else {
        print!("{}", table::text(&all, options.markdown));
    }
    Ok(())
}

fn measure(row: &'static Row, options: &Options) -> Result<Measured> {
    let take = |binary: &Path, which: &str| {
        sample::take(row, binary, options).with_context(|| format!("row {}, {which} server", row.name))
    };
    let mut pairs = Vec::new();
    for _ in 0..options.pairs {
        pairs.push([take(&options.official, "official")?, take(&options.ours, "our")?]);
    }
    Ok(Measured { row, pairs })
}
