//! The command line of `dialtone bench`: a table of modes and a table of options, from which the help is made.

use super::load::Stop;
use super::scenario::Scenario;
use super::shape::{Pace, Shape};
use super::target::Target;
use anyhow::{Context as _, Result, bail};
use std::fmt::Write as _;
use std::time::Duration;

/// What the arguments ask for.
pub enum Parsed {
    /// To be told how it works.
    Help,
    /// To be run.
    Bench(Box<Options>),
}

/// A run, as asked for.
pub struct Options {
    /// The mode's name.
    pub mode: &'static str,
    /// Against which server.
    pub target: Target,
    /// What to do.
    pub scenario: Scenario,
    /// For how long.
    pub stop: Stop,
    /// Run for so long before measuring.
    pub warmup: Option<Duration>,
    /// Print JSON instead of a table.
    pub json: bool,
    /// Show a progress bar on a terminal.
    pub progress: bool,
    /// The server's process, if it is on this machine: its CPU time and memory are told too.
    pub pid: Option<u32>,
}

/// What the options set, before a mode makes a scenario of it.
#[derive(Default)]
struct Given {
    server: Option<String>,
    tls: bool,
    size: Option<usize>,
    messages: Option<u64>,
    duration: Option<Duration>,
    warmup: Option<Duration>,
    rate: Option<u64>,
    burst: Option<u64>,
    channels: Option<usize>,
    publishers: Option<usize>,
    subscribers: Option<usize>,
    requesters: Option<usize>,
    connections: Option<usize>,
    subscriptions: Option<usize>,
    subject: Option<String>,
    queue: Option<String>,
    no_responder: bool,
    json: bool,
    no_progress: bool,
    pid: Option<u32>,
}

const DURATION_DEFAULT: Duration = Duration::from_secs(5);
const SIZE_DEFAULT: usize = 128;
const SUBJECT_DEFAULT: &str = "bench.load";

struct Mode {
    name: &'static str,
    help: &'static str,
    scenario: fn(&Given) -> Scenario,
}

#[rustfmt::skip]
const MODES: &[Mode] = &[
    Mode { name: "pub", help: "publish only", scenario: |given| given.flow(1, 1, 0) },
    Mode { name: "sub", help: "receive what others publish", scenario: |given| Scenario::Listen {
        subject: given.subject(), queue: given.queue.clone(), subscribers: given.subscribers.unwrap_or(1) } },
    Mode { name: "fanout", help: "one publisher, each subscriber (10) gets every message", scenario: |given| given.flow(1, 1, 10) },
    Mode { name: "1:1", help: "one publisher, one subscriber", scenario: |given| given.flow(1, 1, 1) },
    Mode { name: "fanin", help: "several publishers (8), one subscriber", scenario: |given| given.flow(1, 8, 1) },
    Mode { name: "pairs", help: "pairs (8) of one publisher and one subscriber", scenario: |given| given.flow(8, 1, 1) },
    Mode { name: "queue", help: "one publisher, a queue group of subscribers (8)", scenario: |given| given.queue() },
    Mode { name: "chatty", help: "many pairs (100) in small bursts (2) at a total rate (100000)", scenario: |given| given.paced(100, 100_000, 2) },
    Mode { name: "steady", help: "1:1 at a rate (20000), sleeping between bursts; tells latencies", scenario: |given| given.paced(1, 20_000, 1) },
    Mode { name: "latency", help: "1:1, one message at a time at a low rate (1000); tells latencies", scenario: |given| given.paced(1, 1_000, 1) },
    Mode { name: "request", help: "requests, one under way for each requester (1); tells latencies", scenario: |given| Scenario::Request {
        subject: given.subject(), requesters: given.requesters.unwrap_or(1), size: given.size(), respond: !given.no_responder } },
    Mode { name: "reply", help: "answer the requests of others", scenario: |given| Scenario::Reply {
        subject: given.subject(), queue: given.queue.clone(), size: given.size() } },
    Mode { name: "churn", help: "connections (4) that subscribe, publish to themselves and unsubscribe", scenario: |given| Scenario::Churn {
        connections: given.connections.unwrap_or(4), size: given.size() } },
    Mode { name: "connect", help: "connections that come and leave, one after the other, each counted as a message; use --pid", scenario: |_| Scenario::Connect },
    Mode { name: "idle", help: "connections (1000) with a subscription each that do nothing; use --pid", scenario: |given| Scenario::Idle {
        connections: given.connections.unwrap_or(1_000) } },
    Mode { name: "subs", help: "publish over many subscriptions (1000000), a third with wildcards", scenario: |given| Scenario::Spread {
        subscriptions: given.subscriptions.unwrap_or(1_000_000), size: given.size() } },
];

struct Opt {
    name: &'static str,
    /// What its value is called; empty for a switch, which takes none.
    value: &'static str,
    help: &'static str,
    set: fn(&mut Given, &str) -> Result<()>,
}

#[rustfmt::skip]
const OPTIONS: &[Opt] = &[
    Opt { name: "--server", value: "URL", help: "nats://user:pass@host:port (nats://127.0.0.1:4222), or tls://", set: |given, value| put(&mut given.server, value) },
    Opt { name: "--tls", value: "", help: "use TLS; any certificate is accepted", set: |given, _| on(&mut given.tls) },
    Opt { name: "--size", value: "BYTES", help: "payload of a message (128)", set: |given, value| put(&mut given.size, value) },
    Opt { name: "--msgs", value: "N", help: "stop after so many published messages", set: |given, value| put(&mut given.messages, value) },
    Opt { name: "--duration", value: "SECONDS", help: "stop after so long (5)", set: |given, value| seconds(&mut given.duration, value) },
    Opt { name: "--warmup", value: "SECONDS", help: "run for so long before measuring", set: |given, value| seconds(&mut given.warmup, value) },
    Opt { name: "--rate", value: "N", help: "messages a second, all publishers together", set: |given, value| put(&mut given.rate, value) },
    Opt { name: "--burst", value: "N", help: "with a rate: messages a publisher sends at once", set: |given, value| put(&mut given.burst, value) },
    Opt { name: "--channels", value: "N", help: "subjects side by side, each with its own publishers and subscribers", set: |given, value| put(&mut given.channels, value) },
    Opt { name: "--publishers", value: "N", help: "publishers of each subject", set: |given, value| put(&mut given.publishers, value) },
    Opt { name: "--subscribers", value: "N", help: "subscribers of each subject", set: |given, value| put(&mut given.subscribers, value) },
    Opt { name: "--requesters", value: "N", help: "connections that send requests", set: |given, value| put(&mut given.requesters, value) },
    Opt { name: "--connections", value: "N", help: "connections of churn and idle", set: |given, value| put(&mut given.connections, value) },
    Opt { name: "--subscriptions", value: "N", help: "subscriptions of subs", set: |given, value| put(&mut given.subscriptions, value) },
    Opt { name: "--subject", value: "SUBJECT", help: "where to publish (bench.load)", set: |given, value| put(&mut given.subject, value) },
    Opt { name: "--queue", value: "NAME", help: "subscribers form this queue group", set: |given, value| put(&mut given.queue, value) },
    Opt { name: "--no-responder", value: "", help: "request: another program answers", set: |given, _| on(&mut given.no_responder) },
    Opt { name: "--pid", value: "PID", help: "tell the CPU time and memory of this local server process", set: |given, value| put(&mut given.pid, value) },
    Opt { name: "--json", value: "", help: "print JSON", set: |given, _| on(&mut given.json) },
    Opt { name: "--no-progress", value: "", help: "no progress bar", set: |given, _| on(&mut given.no_progress) },
];

/// Reads the arguments. Errors name the option.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed> {
    let mut given = Given::default();
    let mut mode = None;
    let mut arguments = arguments;
    while let Some(word) = arguments.next() {
        if matches!(word.as_str(), "--help" | "-h" | "help") {
            return Ok(Parsed::Help);
        }
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        if let Some(option) = OPTIONS.iter().find(|option| option.name == name) {
            let value = match (option.value, inline) {
                ("", None) => String::new(),
                ("", Some(_)) => bail!("{name} takes no value"),
                (_, Some(value)) => value,
                (what, None) => arguments.next().with_context(|| format!("{name} needs a value: {what}"))?,
            };
            (option.set)(&mut given, &value).with_context(|| format!("{name} {value}"))?;
        } else if let Some(found) = MODES.iter().find(|mode| mode.name == word) {
            if mode.replace(found).is_some() {
                bail!("one mode at a time; `{word}` is a second one");
            }
        } else {
            bail!("`{word}` is no mode and no option of `dialtone bench`; see `dialtone bench --help`");
        }
    }
    match mode {
        Some(mode) => Ok(Parsed::Bench(Box::new(given.into_options(mode)?))),
        None => Ok(Parsed::Help),
    }
}

/// The text of `dialtone bench --help`.
pub fn help() -> String {
    let mut text = String::from(
        "Puts load on a NATS server and tells what it carried. Every message must arrive.\n\n\
         dialtone bench MODE [options]\n\
         dialtone bench compare [options]    sets two server binaries side by side\n\nModes:\n",
    );
    for mode in MODES {
        let _ = writeln!(text, "  {:10} {}", mode.name, mode.help);
    }
    text.push_str("\nOptions:\n");
    for option in OPTIONS {
        let _ = writeln!(text, "  {:24} {}", format!("{} {}", option.name, option.value), option.help);
    }
    text
}

impl Given {
    fn size(&self) -> usize {
        self.size.unwrap_or(SIZE_DEFAULT)
    }

    fn subject(&self) -> String {
        self.subject.clone().unwrap_or_else(|| SUBJECT_DEFAULT.to_owned())
    }

    /// A flow of this form where the options say nothing else.
    fn shape(&self, channels: usize, publishers: usize, subscribers: usize, pace: Pace) -> Shape {
        Shape {
            channels: self.channels.unwrap_or(channels),
            publishers: self.publishers.unwrap_or(publishers),
            subscribers: self.subscribers.unwrap_or(subscribers),
            queue: self.queue.clone(),
            subject: self.subject(),
            size: self.size(),
            pace,
        }
    }

    fn flow(&self, channels: usize, publishers: usize, subscribers: usize) -> Scenario {
        let pace = match self.rate {
            None => Pace::Full,
            Some(per_second) => Pace::Rate { per_second, burst: self.burst.unwrap_or(1) },
        };
        Scenario::Flow(self.shape(channels, publishers, subscribers, pace))
    }

    fn queue(&self) -> Scenario {
        let queue = Some(self.queue.clone().unwrap_or_else(|| "workers".to_owned()));
        match self.flow(1, 1, 8) {
            Scenario::Flow(shape) => Scenario::Flow(Shape { queue, ..shape }),
            other => other,
        }
    }

    fn paced(&self, channels: usize, rate: u64, burst: u64) -> Scenario {
        let pace = Pace::Rate { per_second: self.rate.unwrap_or(rate), burst: self.burst.unwrap_or(burst) };
        Scenario::Flow(self.shape(channels, 1, 1, pace))
    }

    fn into_options(self, mode: &'static Mode) -> Result<Options> {
        if self.rate == Some(0) || self.burst == Some(0) {
            bail!("--rate and --burst: at least 1");
        }
        let mut target = Target::parse(self.server.as_deref().unwrap_or("nats://127.0.0.1:4222"))?;
        target.tls |= self.tls;
        let stop = match (self.messages, self.duration) {
            (Some(_), Some(_)) => bail!("--msgs and --duration: one of them ends the run"),
            (Some(messages), None) => Stop::Messages(messages),
            (None, duration) => Stop::After(duration.unwrap_or(DURATION_DEFAULT)),
        };
        Ok(Options {
            mode: mode.name,
            target,
            scenario: (mode.scenario)(&self),
            stop,
            warmup: self.warmup,
            json: self.json,
            progress: !self.no_progress,
            pid: self.pid,
        })
    }
}

/// Reads any value that has a text form.
pub fn put<T>(place: &mut Option<T>, value: &str) -> Result<()>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    *place = Some(value.parse()?);
    Ok(())
}

/// Reads a duration in seconds.
pub fn seconds(place: &mut Option<Duration>, value: &str) -> Result<()> {
    let seconds: f64 = value.parse()?;
    *place = Some(Duration::try_from_secs_f64(seconds)?);
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
            Parsed::Bench(options) => Ok(*options),
            Parsed::Help => bail!("help"),
        }
    }

    #[test]
    fn every_mode_is_read() {
        for mode in MODES {
            assert_eq!(options(mode.name).unwrap().mode, mode.name);
            assert!(help().contains(mode.help));
        }
    }

    #[test]
    fn options_reach_the_scenario() {
        let found =
            options("chatty --server tls://u:p@h:1 --size=16 --rate 5 --msgs 9 --json --pid 3").unwrap();
        let Scenario::Flow(shape) = found.scenario else { panic!("a flow") };
        assert_eq!(
            (shape.channels, shape.size, shape.pace),
            (100, 16, Pace::Rate { per_second: 5, burst: 2 })
        );
        assert_eq!(
            (found.stop, found.json, found.pid, found.target.tls),
            (Stop::Messages(9), true, Some(3), true)
        );
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for line in [
            "pub sub",
            "pub --size",
            "pub --size x",
            "pub --msgs 1 --duration 1",
            "nosuch",
            "pub --json=1",
            "pub --rate 0",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
