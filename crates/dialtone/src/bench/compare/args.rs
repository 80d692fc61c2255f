//! The command line of `dialtone bench compare`.

use super::super::values;
use super::rows::{ROWS, Row};
use super::server::Setup;
use crate::command_line::{self, Parsed};
use anyhow::{Result, bail};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// A comparison, as asked for.
pub struct Options {
    /// The binary that ours is set beside.
    pub official: PathBuf,
    /// Our binary.
    pub ours: PathBuf,
    /// The rows, in their order.
    pub rows: Vec<&'static Row>,
    /// How often each row is taken from both.
    pub pairs: usize,
    /// How long loads run.
    pub times: Times,
    /// Who the servers' clients are.
    pub setup: Setup,
    /// Only see that everything arrives.
    pub smoke: bool,
    /// Print tables for docs/performance.md.
    pub markdown: bool,
    /// Print JSON.
    pub json: bool,
}

/// How long a load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Before it is measured.
    pub warmup: Duration,
    /// While it is measured.
    pub duration: Duration,
}

impl Times {
    /// Measured `factor` times as long.
    pub fn longer(self, factor: u32) -> Times {
        Times { duration: self.duration.saturating_mul(factor), ..self }
    }
}

const PAIRS_DEFAULT: usize = 5;
const PAIRS_MAX: usize = 1_000;
const DURATION_DEFAULT: Duration = Duration::from_millis(1500);
const WARMUP_DEFAULT: Duration = Duration::from_millis(300);
const SMOKE_DURATION: Duration = Duration::from_millis(100);
const SMOKE_WARMUP: Duration = Duration::from_millis(20);
/// A smoke run opens so many fewer connections and subscriptions where only their number costs time.
const SMOKE_DIVISOR: usize = 20;

/// Runs two server binaries in turn under the same loads and reports what each message costs them.
#[derive(Parser)]
#[command(name = "dialtone bench compare", after_help = rows())]
struct Given {
    /// Official binary [default: $DIALTONE_OFFICIAL, or target/oracle/nats-server]
    #[arg(long, value_name = "PATH")]
    official: Option<PathBuf>,
    /// Our binary [default: $DIALTONE_OURS, or target/release/dialtone]
    #[arg(long, value_name = "PATH")]
    ours: Option<PathBuf>,
    /// Only these rows; `fanout` stands for all that begin so
    #[arg(long, value_name = "NAME,…")]
    rows: Option<String>,
    /// Runs of each row on both servers in turn [default: 5]
    #[arg(long, value_name = "N", value_parser = values::number)]
    pairs: Option<usize>,
    /// How long each run is measured, such as 1s [default: 1.5]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    seconds: Option<Duration>,
    /// accounts (with permissions and monitoring), users (without accounts), plain
    #[arg(long, value_name = "NAME", default_value = "accounts", value_parser = setup())]
    setup: Setup,
    /// The same as --setup plain: no users, no monitoring
    #[arg(long, conflicts_with = "setup")]
    plain: bool,
    /// One short run of each row; only that all messages arrive counts
    #[arg(long)]
    smoke: bool,
    /// Print tables for docs/performance.md
    #[arg(long)]
    markdown: bool,
    /// Print every sample as JSON
    #[arg(long)]
    json: bool,
}

fn setup() -> impl TypedValueParser<Value = Setup> {
    let names = PossibleValuesParser::new(Setup::ALL.iter().map(|(name, _)| *name));
    // The parser before has refused other names.
    names.try_map(|name| {
        Setup::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, setup)| setup).ok_or("no setup")
    })
}

fn rows() -> String {
    let mut text = String::from("Rows:\n");
    for row in ROWS {
        // Writing to a String has no way to fail.
        let _ = writeln!(text, "  {:18} {}", row.name, row.title);
    }
    text
}

/// Reads the arguments. Errors name the option.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed<Options>> {
    match command_line::parse::<Given>(arguments)? {
        Parsed::Help(text) => Ok(Parsed::Help(text)),
        Parsed::Run(given) => given.into_options().map(Parsed::Run),
    }
}

impl Given {
    fn into_options(self) -> Result<Options> {
        let from_environment = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let official = self.official.or_else(|| from_environment("DIALTONE_OFFICIAL"));
        let ours = self.ours.or_else(|| from_environment("DIALTONE_OURS"));
        let pairs = self.pairs.unwrap_or(if self.smoke { 1 } else { PAIRS_DEFAULT });
        if !(1..=PAIRS_MAX).contains(&pairs) {
            bail!("--pairs: from 1 to {PAIRS_MAX}");
        }
        let duration = self.seconds.unwrap_or(if self.smoke { SMOKE_DURATION } else { DURATION_DEFAULT });
        Ok(Options {
            official: official.unwrap_or_else(|| "target/oracle/nats-server".into()),
            ours: ours.unwrap_or_else(|| "target/release/dialtone".into()),
            rows: select(self.rows.as_deref())?,
            pairs,
            times: Times { warmup: if self.smoke { SMOKE_WARMUP } else { WARMUP_DEFAULT }, duration },
            setup: if self.plain { Setup::Plain } else { self.setup },
            smoke: self.smoke,
            markdown: self.markdown,
            json: self.json,
        })
    }
}

impl Options {
    /// A number of connections or subscriptions, fewer in a smoke run.
    pub fn scaled(&self, count: usize) -> usize {
        if self.smoke { (count / SMOKE_DIVISOR).max(1) } else { count }
    }
}

/// The rows of these names, or whose names begin with one of them.
fn select(names: Option<&str>) -> Result<Vec<&'static Row>> {
    let Some(names) = names else { return Ok(ROWS.iter().collect()) };
    let mut rows = Vec::new();
    for name in names.split(',') {
        let before = rows.len();
        if let Some(row) = ROWS.iter().find(|row| row.name == name) {
            rows.push(row);
        } else {
            rows.extend(ROWS.iter().filter(|row| !name.is_empty() && row.name.starts_with(name)));
        }
        if rows.len() == before {
            let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            bail!("--rows: there is no row `{name}`; there are {}", known.join(", "));
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Parsed::Run(options) => Ok(options),
            Parsed::Help(_) => bail!("help"),
        }
    }

    #[test]
    fn rows_are_selected_by_name_or_by_its_beginning() {
        let names = |line: &str| options(line).unwrap().rows.iter().map(|row| row.name).collect::<Vec<_>>();
        assert_eq!(names("--rows pub-128,fanout"), ["pub-128", "fanout-10", "fanout-100", "fanout-1000"]);
        assert_eq!(names("").len(), ROWS.len());
        assert!(options("--rows pub,nosuch").is_err());
        assert!(options("--rows pub,").is_err());
        assert_eq!(options("--setup users").unwrap().setup, Setup::Users);
        assert_eq!(options("--plain --seconds 2s").unwrap().setup, Setup::Plain);
        assert!(options("--setup nosuch").is_err());
    }

    #[test]
    fn a_smoke_run_is_short() {
        let found = options("--smoke --ours b --official a").unwrap();
        assert_eq!((found.pairs, found.times.duration, found.scaled(100)), (1, SMOKE_DURATION, 5));
        assert_eq!((found.official, found.ours), ("a".into(), "b".into()));
    }
}
