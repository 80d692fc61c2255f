//! `dialtone bench compare`: the official server and ours, in turn, under the same loads, on the same machine.
//!
//! Absolute figures move by 2x between machines and by a third between minutes, so what counts is the ratio of two runs
//! that follow each other: A B A B …, each on a server started for it, the median of the pairs' ratios.
//!
//! [`rows`] is the table of what is measured and what is to be reached; [`sample`] takes one measurement, [`server`]
//! and [`network`] start what it is taken from, [`table`] prints.

mod args;
mod network;
mod rows;
mod sample;
mod server;
mod table;

use crate::command_line::Parsed;
use anyhow::{Context as _, Result};
use args::Options;
use rows::Row;
use sample::Sample;
use server::Setup;
use std::path::Path;
use std::process::Command;

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
        Parsed::Help(text) => {
            print!("{text}");
            return Ok(());
        }
        Parsed::Run(options) => options,
    };
    let mut all = Vec::new();
    for row in &options.rows {
        let measured = measure(row, &options)?;
        if options.smoke {
            println!("{}: all messages arrived", row.name);
        } else {
            eprint!("{}", table::progress(&measured));
        }
        all.push(measured);
    }
    if options.smoke {
        println!("{} rows passed", all.len());
    } else if options.json {
        println!("{}", table::json(&all));
    } else {
        println!("{}\n", taken(&options));
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

/// How the figures were taken.
fn taken(options: &Options) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("CPU unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{} pairs of {} s, setup {}; {cores} cores, {}, Linux {}; {} beside {}.",
        options.pairs,
        options.times.duration.as_secs_f64(),
        Setup::ALL.iter().find(|(_, setup)| *setup == options.setup).map_or("", |(name, _)| name),
        model.trim_start_matches(['\t', ' ', ':']),
        kernel.trim(),
        version(&options.official),
        version(&options.ours),
    )
}

/// What a binary says its version is.
fn version(binary: &Path) -> String {
    let output = Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().filter(|line| !line.is_empty()).unwrap_or("a server of unknown version").to_owned()
}
