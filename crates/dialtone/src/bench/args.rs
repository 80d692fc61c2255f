//! The command line of `dialtone bench`, and the table of modes.

use super::scenario::Scenario;
use super::shape::{Pace, Shape};
use super::stop::Stop;
use super::target::Target;
use super::values;
use crate::command_line::{self, Parsed};
use anyhow::{Result, bail};
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

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

/// Puts load on a NATS server and reports what it carried. Every message must arrive.
#[derive(Parser)]
#[command(name = "dialtone bench", after_help = modes())]
struct Given {
    /// What load: one of the modes below, or `compare`, which sets two server binaries side by side
    #[arg(value_parser = mode(), hide_possible_values = true)]
    mode: Option<&'static Mode>,
    /// The server: nats://USER:PASSWORD@HOST:PORT, nats://TOKEN@HOST:PORT, tls:// or ws://
    #[arg(long, value_name = "URL", default_value = "nats://127.0.0.1:4222")]
    server: String,
    /// Enter as the user of this creds file
    #[arg(long, value_name = "FILE", conflicts_with = "nkey")]
    creds: Option<PathBuf>,
    /// Enter by the NKey whose seed this file holds
    #[arg(long, value_name = "FILE")]
    nkey: Option<PathBuf>,
    /// Use TLS; any certificate is accepted, unless there is a --tls-ca
    #[arg(long)]
    tls: bool,
    /// Use TLS, and verify the server's certificate by those of this file
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Payload of a message, such as 1kb
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = values::bytes)]
    size: usize,
    /// Stop after so many published messages, such as 10k
    #[arg(long, value_name = "N", value_parser = values::count, conflicts_with = "duration")]
    msgs: Option<u64>,
    /// Stop after so long, such as 10s [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    duration: Option<Duration>,
    /// Run for so long before measuring
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    warmup: Option<Duration>,
    /// Messages a second, all publishers together
    #[arg(long, value_name = "N", value_parser = values::count)]
    rate: Option<u64>,
    /// With a rate: messages a publisher sends at once
    #[arg(long, value_name = "N", value_parser = values::count)]
    burst: Option<u64>,
    /// Subjects side by side, each with its own publishers and subscribers
    #[arg(long, value_name = "N", value_parser = values::number)]
    channels: Option<usize>,
    /// Publishers of each subject
    #[arg(long, value_name = "N", value_parser = values::number)]
    publishers: Option<usize>,
    /// Subscribers of each subject
    #[arg(long, value_name = "N", value_parser = values::number)]
    subscribers: Option<usize>,
    /// Connections that send requests
    #[arg(long, value_name = "N", value_parser = values::number)]
    requesters: Option<usize>,
    /// Connections of churn and idle
    #[arg(long, value_name = "N", value_parser = values::number)]
    connections: Option<usize>,
    /// Subscriptions of subs
    #[arg(long, value_name = "N", value_parser = values::number)]
    subscriptions: Option<usize>,
    /// Where to publish
    #[arg(long, value_name = "SUBJECT", default_value = "bench.load")]
    subject: String,
    /// Subscribers form this queue group
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// For request: another program answers
    #[arg(long)]
    no_responder: bool,
    /// Report the CPU time and memory of this local server process, too
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// No progress bar
    #[arg(long)]
    no_progress: bool,
}

const DURATION_DEFAULT: Duration = Duration::from_secs(5);

struct Mode {
    name: &'static str,
    help: &'static str,
    scenario: fn(&Given) -> Scenario,
}

#[rustfmt::skip]
const MODES: &[Mode] = &[
    Mode { name: "pub", help: "publish only", scenario: |given| given.flow(1, 1, 0) },
    Mode { name: "sub", help: "receive what others publish", scenario: |given| Scenario::Listen {
        subject: given.subject.clone(), queue: given.queue.clone(), subscribers: given.subscribers.unwrap_or(1) } },
    Mode { name: "fanout", help: "one publisher, each subscriber (10) gets every message", scenario: |given| given.flow(1, 1, 10) },
    Mode { name: "1:1", help: "one publisher, one subscriber", scenario: |given| given.flow(1, 1, 1) },
    Mode { name: "fanin", help: "several publishers (8), one subscriber", scenario: |given| given.flow(1, 8, 1) },
    Mode { name: "pairs", help: "pairs (8) of one publisher and one subscriber", scenario: |given| given.flow(8, 1, 1) },
    Mode { name: "queue", help: "one publisher, a queue group of subscribers (8)", scenario: |given| given.queue() },
    Mode { name: "chatty", help: "many pairs (100) in small bursts (2) at a total rate (100000)", scenario: |given| given.paced(100, 100_000, 2) },
    Mode { name: "steady", help: "1:1 at a rate (20000), sleeping between bursts; tells latencies", scenario: |given| given.paced(1, 20_000, 1) },
    Mode { name: "latency", help: "1:1, one message at a time at a low rate (1000); tells latencies", scenario: |given| given.paced(1, 1_000, 1) },
    Mode { name: "request", help: "requests, one under way for each requester (1); tells latencies", scenario: |given| Scenario::Request {
        subject: given.subject.clone(), requesters: given.requesters.unwrap_or(1), size: given.size, respond: !given.no_responder } },
    Mode { name: "reply", help: "answer the requests of others", scenario: |given| Scenario::Reply {
        subject: given.subject.clone(), queue: given.queue.clone(), size: given.size } },
    Mode { name: "churn", help: "connections (4) that subscribe, publish to themselves and unsubscribe", scenario: |given| Scenario::Churn {
        connections: given.connections.unwrap_or(4), size: given.size } },
    Mode { name: "connect", help: "connections that come and leave, one after the other, each counted as a message; use --pid", scenario: |_| Scenario::Connect },
    Mode { name: "idle", help: "connections (1000) with a subscription each that do nothing; use --pid", scenario: |given| Scenario::Idle {
        connections: given.connections.unwrap_or(1_000) } },
    Mode { name: "subs", help: "publish over many subscriptions (1000000), a third with wildcards", scenario: |given| Scenario::Spread {
        subscriptions: given.subscriptions.unwrap_or(1_000_000), size: given.size } },
];

fn mode() -> impl TypedValueParser<Value = &'static Mode> {
    let names = PossibleValuesParser::new(MODES.iter().map(|mode| mode.name));
    // The parser before has refused other names.
    names.try_map(|name| MODES.iter().find(|mode| mode.name == name).ok_or("no mode"))
}

fn modes() -> String {
    let mut text = String::from("Modes:\n");
    for mode in MODES {
        // Writing to a String has no way to fail.
        let _ = writeln!(text, "  {:10} {}", mode.name, mode.help);
    }
    text + "\n`dialtone bench compare --help` explains the comparison of two servers."
}

/// Reads the arguments. Errors name the option. Without a mode the help is asked for.
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Parsed<Box<Options>>> {
    match command_line::parse::<Given>(arguments)? {
        Parsed::Help(text) => Ok(Parsed::Help(text)),
        Parsed::Run(given) => match given.mode {
            Some(mode) => given.into_options(mode).map(|options| Parsed::Run(Box::new(options))),
            None => Ok(Parsed::Help(command_line::help::<Given>())),
        },
    }
}

impl Given {
    /// A flow of this form where the options say nothing else.
    fn shape(&self, channels: usize, publishers: usize, subscribers: usize, pace: Pace) -> Shape {
        Shape {
            channels: self.channels.unwrap_or(channels),
            publishers: self.publishers.unwrap_or(publishers),
            subscribers: self.subscribers.unwrap_or(subscribers),
            queue: self.queue.clone(),
            subject: self.subject.clone(),
            size: self.size,
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
        let mut target = Target::parse(&self.server)?;
        target.tls |= self.tls;
        if let Some(file) = &self.tls_ca {
            target = target.with_authorities(file)?;
        }
        if let Some(file) = &self.creds {
            target = target.with_creds(file)?;
        }
        if let Some(file) = &self.nkey {
            target = target.with_nkey(file)?;
        }
        let stop = match self.msgs {
            Some(messages) => Stop::Messages(messages),
            None => Stop::After(self.duration.unwrap_or(DURATION_DEFAULT)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Parsed::Run(options) => Ok(*options),
            Parsed::Help(_) => bail!("help"),
        }
    }

    #[test]
    fn every_mode_is_read() {
        for mode in MODES {
            assert_eq!(options(mode.name).unwrap().mode, mode.name);
            assert!(command_line::help::<Given>().contains(mode.help));
        }
    }

    #[test]
    fn options_reach_the_scenario() {
        let found =
            options("--server tls://u:p@h:1 chatty --size=1kb --rate 5 --msgs 10k --json --pid 3").unwrap();
        let Scenario::Flow(shape) = found.scenario else { panic!("a flow") };
        assert_eq!(
            (shape.channels, shape.size, shape.pace),
            (100, 1024, Pace::Rate { per_second: 5, burst: 2 })
        );
        assert_eq!(
            (found.stop, found.json, found.pid, found.target.tls),
            (Stop::Messages(10_000), true, Some(3), true)
        );
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(options("pub --duration 1500ms").unwrap().stop, Stop::After(Duration::from_millis(1500)));
        assert_eq!(options("pub --duration 2 --warmup 1s").unwrap().warmup, Some(Duration::from_secs(1)));
        assert_eq!(options("pub").unwrap().stop, Stop::After(DURATION_DEFAULT));
    }

    #[test]
    fn a_mistyped_mode_gets_a_suggestion() {
        let problem = options("fanuot").err().unwrap().to_string();
        assert!(problem.contains("'fanout'"), "{problem}");
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
            "pub --creds a --nkey b",
            "pub --creds /missing/file",
            "pub --tls-ca /missing/file",
        ] {
            assert!(options(line).is_err(), "{line}");
        }
    }
}
