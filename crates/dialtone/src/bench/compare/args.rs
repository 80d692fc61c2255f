//! The command line of `dialtone bench compare`.

use super::super::args::{put, seconds};
use super::rows::{ROWS, Row};
use super::server::Setup;
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// What the arguments ask for.
pub enum Parsed {
    /// To be told how it works.
    Help,
    /// To be run.
    Compare(Options),
}

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

#[derive(Default)]
struct Given {
    official: Option<PathBuf>,
    ours: Option<PathBuf>,
    rows: Option<String>,
    pairs: Option<usize>,
    duration: Option<Duration>,
    setup: Setup,
    smoke: bool,
    markdown: bool,
    json: bool,
}

struct Opt {
    name: &'static str,
    value: &'static str,
    help: &'static str,
    set: fn(&mut Given, &str) -> Result<()>,
}

#[rustfmt::skip]
const OPTIONS: &[Opt] = &[
    Opt { name: "--official", value: "PATH", help: "official binary ($DIALTONE_OFFICIAL, target/oracle/nats-server)", set: |given, value| put(&mut given.official, value) },
    Opt { name: "--ours", value: "PATH", help: "our binary ($DIALTONE_OURS, target/release/dialtone)", set: |given, value| put(&mut given.ours, value) },
    Opt { name: "--rows", value: "NAME,…", help: "only these rows; `fanout` stands for all that begin so", set: |given, value| put(&mut given.rows, value) },
    Opt { name: "--pairs", value: "N", help: "runs of each row on both servers in turn (5)", set: |given, value| put(&mut given.pairs, value) },
    Opt { name: "--seconds", value: "S", help: "how long each run is measured (1.5)", set: |given, value| seconds(&mut given.duration, value) },
    Opt { name: "--setup", value: "NAME", help: "accounts (with permissions and monitoring; default), users (without accounts), plain", set: |given, value| setup(&mut given.setup, value) },
    Opt { name: "--plain", value: "", help: "the same as --setup plain: no users, no monitoring", set: |given, _| setup(&mut given.setup, "plain") },
    Opt { name: "--smoke", value: "", help: "one short run of each row; only that all messages arrive counts", set: |given, _| on(&mut given.smoke) },
    Opt { name: "--markdown", value: "", help: "print tables for docs/performance.md", set: |given, _| on(&mut given.markdown) },
    Opt { name: "--json", value: "", help: "print every sample as JSON", set: |given, _| on(&mut given.json) },
];

/// Reads the arguments. Errors name the option.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed> {
    let mut given = Given::default();
    let mut arguments = arguments;
    while let Some(word) = arguments.next() {
        if matches!(word.as_str(), "--help" | "-h" | "help") {
            return Ok(Parsed::Help);
        }
        let Some(option) = OPTIONS.iter().find(|option| option.name == word) else {
            bail!("`{word}` is no option of `dialtone bench compare`; see `dialtone bench compare --help`");
        };
        let value = match option.value {
            "" => String::new(),
            what => arguments.next().with_context(|| format!("{word} needs a value: {what}"))?,
        };
        (option.set)(&mut given, &value).with_context(|| format!("{word} {value}"))?;
    }
    given.into_options().map(Parsed::Compare)
}

/// The text of `dialtone bench compare --help`.
pub fn help() -> String {
    let mut text = String::from(
        "Runs two server binaries in turn under the same loads and tells what each message costs them.\n\n\
         dialtone bench compare [options]\n\nOptions:\n",
    );
    for option in OPTIONS {
        let _ = writeln!(text, "  {:18} {}", format!("{} {}", option.name, option.value), option.help);
    }
    text.push_str("\nRows:\n");
    for row in ROWS {
        let _ = writeln!(text, "  {:18} {}", row.name, row.title);
    }
    text
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
        let duration = self.duration.unwrap_or(if self.smoke { SMOKE_DURATION } else { DURATION_DEFAULT });
        Ok(Options {
            official: official.unwrap_or_else(|| "target/oracle/nats-server".into()),
            ours: ours.unwrap_or_else(|| "target/release/dialtone".into()),
            rows: select(self.rows.as_deref())?,
            pairs,
            times: Times { warmup: if self.smoke { SMOKE_WARMUP } else { WARMUP_DEFAULT }, duration },
            setup: self.setup,
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

fn setup(place: &mut Setup, name: &str) -> Result<()> {
    let found = Setup::ALL.into_iter().find(|(known, _)| *known == name);
    *place = found.map(|(_, setup)| setup).context("there are accounts, users and plain")?;
    Ok(())
}

fn on(place: &mut bool) -> Result<()> {
    *place = true;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Parsed::Compare(options) => Ok(options),
            Parsed::Help => bail!("help"),
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
        assert!(options("--setup nosuch").is_err());
    }

    #[test]
    fn a_smoke_run_is_short() {
        let found = options("--smoke --ours b --official a").unwrap();
        assert_eq!((found.pairs, found.times.duration, found.scaled(100)), (1, SMOKE_DURATION, 5));
        assert_eq!((found.official, found.ours), ("a".into(), "b".into()));
    }
}
