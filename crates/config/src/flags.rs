//! The command line of the server: one table gives the parser, the help and the order of precedence.
//!
//! The notation is Go's: one or two dashes, `-name value` or `-name=value`. Flags win over the file.

mod cluster;

use crate::Secret;
use crate::blocks::keys::{self, KEYS, Status};
use crate::check::check;
use crate::error::{ConfigError, Location};
use crate::options::{Options, Tls};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Commands other than the server, each with a command line of its own.
pub const TOOLS: [(&str, &str); 5] = [
    ("explain", "Explain the path of a subject: who may receive it, and why not"),
    ("identity", "Make and manage operators, accounts, users and their keys"),
    ("store", "Check the folder of streams while no server runs, and move streams by hand"),
    ("redrive", "Put dead letters back into the streams that they came from"),
    ("bench", "Put load on a server and measure what it carries"),
];

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run the server.
    Serve(Box<Flags>),
    /// Check this configuration file and say what is wrong with it.
    CheckConfig(PathBuf),
    /// Send a signal to a running server.
    Signal {
        /// Which.
        signal: Signal,
        /// The process id, or the path of a file that holds it; without it, the only server that runs.
        target: Option<String>,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Print the help about TLS.
    HelpTls,
}

/// What `-sl` may ask of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End at once (KILL).
    Stop,
    /// Stop, as Ctrl-C does (INT).
    Quit,
    /// Stop (TERM).
    Term,
    /// Reopen the log file (USR1).
    Reopen,
    /// Read the configuration again (HUP).
    Reload,
    /// Lame duck mode: send clients away slowly, then stop (USR2).
    LameDuck,
}

const SIGNALS: [(&str, Signal); 6] = [
    ("ldm", Signal::LameDuck),
    ("stop", Signal::Stop),
    ("quit", Signal::Quit),
    ("term", Signal::Term),
    ("reopen", Signal::Reopen),
    ("reload", Signal::Reload),
];

/// Flags of a server that is to be run.
#[derive(Debug, Default)]
pub struct Flags {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Values may be passwords.
    set: Vec<(&'static Flag, Secret)>,
}

/// A flag that cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FlagError(pub String);

#[derive(Debug)]
struct Flag {
    names: &'static [&'static str],
    /// What its value is called; empty for a switch.
    value: &'static str,
    section: &'static str,
    help: &'static str,
    /// The block of the configuration that it is about, and the key in it; empty: none.
    of: (&'static str, &'static str),
    apply: Apply,
}

type Set = fn(&mut Options, &str) -> Result<(), String>;

#[derive(Debug)]
enum Apply {
    /// It changes an option.
    Option(Set),
    /// It is about the run itself.
    Run,
    /// It is known and refused, for this reason.
    Refused(&'static str),
}

const FLAGS: &[Flag] = &[
    flag(&["a", "addr", "net"], "HOST", "Server", "Address to listen on (default: 0.0.0.0)", |o, v| {
        o.clients.host = v.into();
        Ok(())
    }),
    flag(&["p", "port"], "PORT", "Server", "Port for clients (default: 4222; -1: a free one)", |o, v| {
        o.clients.port = port(v)?.map(|p| if p == 0 { 4222 } else { p });
        Ok(())
    }),
    flag(&["n", "name", "server_name"], "NAME", "Server", "Server name (default: its id)", |o, v| {
        o.server.name = Some(v.into());
        Ok(())
    }),
    flag(&["P", "pid"], "FILE", "Server", "File to store the process id in", |o, v| {
        o.server.pid_file = Some(v.into());
        Ok(())
    }),
    flag(&["m", "http_port"], "PORT", "Server", "Port for monitoring by HTTP", |o, v| {
        o.http.port = http_port(v)?;
        Ok(())
    }),
    flag(&["ms", "https_port"], "PORT", "Server", "Port for monitoring by HTTPS", |o, v| {
        o.http.tls_port = http_port(v)?;
        Ok(())
    }),
    run(&["c", "config"], "FILE", "Server", "Configuration file"),
    run(&["t"], "", "Server", "Test the configuration and exit"),
    run(
        &["sl", "signal"],
        "SIGNAL[=PID]",
        "Server",
        "Send a signal to a server: ldm, stop, quit, term, reopen, reload",
    ),
    flag(&["client_advertise"], "ADDRESS", "Server", "Address that clients are told", |o, v| {
        o.clients.advertise = Some(v.into());
        Ok(())
    }),
    flag(&["ports_file_dir"], "FOLDER", "Server", "Folder for a file that lists the ports", |o, v| {
        o.server.ports_file_dir = Some(v.into());
        Ok(())
    }),
    flag(&["l", "log"], "FILE", "Logging", "File to log to", |o, v| {
        o.log.file = Some(v.into());
        Ok(())
    }),
    switch(&["T", "logtime"], "Logging", "Times in log lines (default: true)", |o, v| {
        o.log.time = boolean(v)?;
        Ok(())
    }),
    switch(&["logtime_utc"], "Logging", "Those times in UTC", |o, v| {
        o.log.utc = boolean(v)?;
        Ok(())
    }),
    switch(&["s", "syslog"], "Logging", "Log to the system log", |o, v| {
        o.log.syslog = boolean(v)?;
        Ok(())
    }),
    flag(&["r", "remote_syslog"], "ADDRESS", "Logging", "System log at udp://host:514", |o, v| {
        o.log.remote_syslog = Some(v.into());
        Ok(())
    }),
    switch(&["D", "debug"], "Logging", "Log more", |o, v| {
        o.log.debug = boolean(v)?;
        Ok(())
    }),
    switch(&["V", "trace"], "Logging", "Log the protocol", |o, v| {
        o.log.trace = boolean(v)?;
        Ok(())
    }),
    switch(&["VV"], "Logging", "Log the protocol, the system account's too", |o, v| {
        o.log.trace = boolean(v)?;
        o.log.trace_verbose = o.log.trace;
        Ok(())
    }),
    switch(&["DV"], "Logging", "-D and -V", |o, v| {
        o.log.debug = boolean(v)?;
        o.log.trace = o.log.debug;
        Ok(())
    }),
    switch(&["DVV"], "Logging", "-D and -VV", |o, v| {
        o.log.debug = boolean(v)?;
        o.log.trace = o.log.debug;
        o.log.trace_verbose = o.log.debug;
        Ok(())
    }),
    flag(&["log_size_limit"], "BYTES", "Logging", "Size at which the log file is set aside", |o, v| {
        o.log.file_bytes_max = v.parse().map_err(|_| "it is no size".to_owned())?;
        Ok(())
    }),
    flag(&["max_traced_msg_len"], "BYTES", "Logging", "Bytes of a message that a trace shows", |o, v| {
        o.log.traced_message_bytes_max = v.parse().map_err(|_| "it is no size".to_owned())?;
        Ok(())
    }),
    flag(&["user"], "USER", "Authorization", "User that connections must be", |o, v| {
        o.access.authorization.user = Some(credential(v)?.into());
        Ok(())
    }),
    flag(&["pass"], "PASSWORD", "Authorization", "Its password", |o, v| {
        o.access.authorization.password = Some(Secret::new(v));
        Ok(())
    }),
    flag(&["auth"], "TOKEN", "Authorization", "Token that connections must have", |o, v| {
        o.access.authorization.token = Some(Secret::new(credential(v)?));
        Ok(())
    }),
    switch(&["tls"], "TLS", "TLS for clients", |o, v| {
        if boolean(v)? {
            tls(o);
        }
        Ok(())
    }),
    flag(&["tlscert"], "FILE", "TLS", "Certificate chain", |o, v| {
        tls(o).cert_file = v.into();
        Ok(())
    }),
    flag(&["tlskey"], "FILE", "TLS", "Private key", |o, v| {
        tls(o).key_file = v.into();
        Ok(())
    }),
    switch(&["tlsverify"], "TLS", "Clients need a certificate", |o, v| {
        tls(o).verify = boolean(v)?;
        Ok(())
    }),
    flag(&["tlscacert"], "FILE", "TLS", "Certificates that clients' are verified with", |o, v| {
        tls(o).ca_file = Some(v.into());
        Ok(())
    }),
    JETSTREAM,
    flag(&["sd", "store_dir"], "FOLDER", "JetStream", "Folder for what is kept", |o, v| {
        o.staples.store_dir = Some(v.into());
        // A flag wins over the file.
        if let Some(own) = &mut o.jetstream {
            own.store_dir = None;
        }
        Ok(())
    }),
    of_cluster(
        "routes",
        &["routes"],
        "URLS",
        "URLs of other servers, with commas between them",
        cluster::routes,
    ),
    of_cluster(
        "listen",
        &["cluster", "cluster_listen"],
        "URL",
        "Where to listen for routes, such as nats://0.0.0.0:6222; empty: no routes",
        cluster::listen,
    ),
    of_cluster("name", &["cluster_name"], "NAME", "Name of the cluster", |o, v| {
        cluster::of(o).name = Some(v.to_owned()).filter(|name| !name.is_empty());
        Ok(())
    }),
    of_cluster(
        "cluster_advertise",
        &["cluster_advertise"],
        "ADDRESS",
        "Address that other servers are told",
        |o, v| {
            cluster::of(o).listener.advertise = Some(v.to_owned()).filter(|address| !address.is_empty());
            Ok(())
        },
    ),
    of_cluster(
        "no_advertise",
        &["no_advertise"],
        "",
        "Do not tell clients about the other servers",
        |o, v| {
            cluster::of(o).listener.no_advertise = boolean(v)?;
            Ok(())
        },
    ),
    of_cluster(
        "connect_retries",
        &["connect_retries"],
        "NUMBER",
        "Attempts to reach again a server that another one spoke of (default: 0)",
        |o, v| {
            let attempts: i64 = v.parse().map_err(|_| "parse error".to_owned())?;
            cluster::of(o).dialing.retries = usize::try_from(attempts).unwrap_or(0);
            Ok(())
        },
    ),
    refused(&["profile"], "PORT", "the Go profiler has no counterpart; use a system profiler"),
    run(&["h", "help"], "", "Common", "This text"),
    run(&["v", "version"], "", "Common", "The version"),
    run(&["help_tls"], "", "Common", "Help about TLS"),
];

/// Streams.
const JETSTREAM: Flag = Flag {
    names: &["js", "jetstream"],
    value: "",
    section: "JetStream",
    help: "Keep messages in streams",
    of: ("", "jetstream"),
    apply: Apply::Option(|o, v| {
        let file = o.jetstream.take();
        o.jetstream = boolean(v)?.then(|| file.unwrap_or_default());
        Ok(())
    }),
};

const fn flag(
    names: &'static [&'static str],
    value: &'static str,
    section: &'static str,
    help: &'static str,
    set: Set,
) -> Flag {
    Flag { names, value, section, help, of: ("", ""), apply: Apply::Option(set) }
}

const fn of_cluster(
    key: &'static str,
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
    set: Set,
) -> Flag {
    Flag { names, value, section: "Cluster", help, of: ("cluster", key), apply: Apply::Option(set) }
}

const fn switch(names: &'static [&'static str], section: &'static str, help: &'static str, set: Set) -> Flag {
    Flag { names, value: "", section, help, of: ("", ""), apply: Apply::Option(set) }
}

const fn run(
    names: &'static [&'static str],
    value: &'static str,
    section: &'static str,
    help: &'static str,
) -> Flag {
    Flag { names, value, section, help, of: ("", ""), apply: Apply::Run }
}

const fn refused(names: &'static [&'static str], value: &'static str, why: &'static str) -> Flag {
    Flag { names, value, section: "", help: "", of: ("", ""), apply: Apply::Refused(why) }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("parse error".into()),
    }
}

fn port(value: &str) -> Result<Option<u16>, String> {
    match value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(n) => u16::try_from(n).map(Some).map_err(|_| "it is no port".into()),
        Err(_) => Err("parse error".into()),
    }
}

/// A user or token that is not empty: an empty one would let everybody in.
fn credential(value: &str) -> Result<&str, String> {
    if value.is_empty() {
        Err("it is empty; leave it out if everybody may connect".into())
    } else {
        Ok(value)
    }
}

/// 0 is no port, and -1 a free one, which the options write as 0.
fn http_port(value: &str) -> Result<Option<u16>, String> {
    Ok(match port(value)? {
        Some(0) => None,
        port => Some(port.unwrap_or(0)),
    })
}

fn tls(options: &mut Options) -> &mut Tls {
    options
        .clients
        .tls
        .get_or_insert_with(|| Tls::at(Location { file: "command line".into(), line: 1, column: 1 }.into()))
}

/// Reads the command line, without the program's name.
///
/// # Errors
///
/// An unknown or refused flag, a missing or wrong value, an argument that is no flag.
pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, FlagError> {
    let mut flags = Flags::default();
    let (mut asked, mut check, mut signal) = (None, false, None);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        // Behind `--` there are no flags, and the server takes nothing else.
        let arg = match arg.as_str() {
            "--" => match args.next() {
                Some(arg) => return Err(unrecognized(&arg)),
                None => break,
            },
            _ => arg,
        };
        let Some((name, inline)) = split(&arg) else {
            asked = Some(match arg.to_ascii_lowercase().as_str() {
                "version" => Command::Version,
                "help" => Command::Help,
                _ => return Err(unrecognized(&arg)),
            });
            break;
        };
        let Some(flag) = FLAGS.iter().find(|flag| flag.names.contains(&name)) else {
            let known = FLAGS.iter().flat_map(|flag| flag.names).copied();
            // To a short name everything is near.
            let near = keys::near(name, known.filter(|known| known.len() > 2));
            return Err(FlagError(format!(
                "flag provided but not defined: -{name}{}",
                suggestion(near, "-")
            )));
        };
        let value = match inline {
            Some(value) => value.to_owned(),
            None if flag.value.is_empty() => "true".into(),
            None => args.next().ok_or_else(|| FlagError(format!("flag needs an argument: -{name}")))?,
        };
        let wrong = |value: &str, why: &str| {
            let kind = if flag.value.is_empty() { "boolean value" } else { "value" };
            FlagError(format!("invalid {kind} {value:?} for flag -{name}: {why}"))
        };
        let run = |command| match boolean(&value) {
            Ok(true) => Ok(Some(command)),
            Ok(false) => Ok(None),
            Err(why) => Err(wrong(&value, &why)),
        };
        if let Some(why) = flag.refusal() {
            // Switching off what is not there is what happens anyway.
            if flag.value.is_empty() && boolean(&value) == Ok(false) {
                continue;
            }
            return Err(FlagError(format!("flag -{name} cannot be carried out: {why}")));
        }
        match (flag.names, &flag.apply) {
            (_, Apply::Refused(_)) => {}
            (_, Apply::Option(set)) => {
                // Tried at once, so that a wrong value is told with its flag.
                set(&mut Options::default(), &value).map_err(|why| wrong(&value, &why))?;
                flags.set.push((flag, Secret::new(value)));
            }
            (["h", ..], Apply::Run) => asked = run(Command::Help)?.or(asked),
            (["v", ..], Apply::Run) => asked = asked.or(run(Command::Version)?),
            (["help_tls"], Apply::Run) => asked = asked.or(run(Command::HelpTls)?),
            (["c", ..], Apply::Run) => flags.config = Some(value.into()),
            (["t"], Apply::Run) => check = boolean(&value).map_err(|why| wrong(&value, &why))?,
            (_, Apply::Run) => signal = Some(value),
        }
    }
    match (asked, signal, check, flags.config.take()) {
        (Some(command), ..) => Ok(command),
        (None, Some(signal), ..) => parse_signal(&signal),
        (None, None, true, Some(config)) => Ok(Command::CheckConfig(config)),
        (None, None, true, None) => {
            Err(FlagError("must specify [-c, --config] option to check configuration file syntax".into()))
        }
        (None, None, false, config) => Ok(Command::Serve(Box::new(Flags { config, ..flags }))),
    }
}

fn unrecognized(command: &str) -> FlagError {
    let known = TOOLS.iter().map(|(name, _)| *name).chain(["help", "version"]);
    FlagError(format!("unrecognized command: {command:?}{}", suggestion(keys::near(command, known), "")))
}

fn suggestion(near: Option<&str>, dash: &str) -> String {
    near.map(|near| format!("; did you mean {dash}{near}?")).unwrap_or_default()
}

/// `-name` or `--name`, with `=value` or without. `None`: it is no flag.
fn split(arg: &str) -> Option<(&str, Option<&str>)> {
    let name = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')).filter(|n| !n.is_empty())?;
    Some(match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    })
}

/// `signal` or `signal=target`.
fn parse_signal(text: &str) -> Result<Command, FlagError> {
    let (name, target) = match text.split_once('=') {
        Some((name, target)) => (name, Some(target.to_owned())),
        None => (text, None),
    };
    let found = SIGNALS.iter().find(|(known, _)| *known == name);
    let &(_, signal) = found.ok_or_else(|| FlagError(format!("unknown signal {name:?}")))?;
    Ok(Command::Signal { signal, target })
}

impl Flag {
    /// Why it is not carried out, if it is not: for itself, or with the block or the key that it is about.
    fn refusal(&self) -> Option<&'static str> {
        match self.apply {
            Apply::Refused(why) => Some(why),
            Apply::Option(_) => keys::refusal("", self.of.0).or_else(|| keys::refusal(self.of.0, self.of.1)),
            Apply::Run => None,
        }
    }
}

impl Flags {
    /// Whether a flag is set, by its first name.
    fn has(&self, name: &str) -> bool {
        self.set.iter().any(|(flag, _)| flag.names.first() == Some(&name))
    }

    /// Puts the flags over the options of a file.
    ///
    /// # Errors
    ///
    /// Flags that do not go together.
    pub fn apply(&self, options: &mut Options) -> Result<(), FlagError> {
        for (flag, value) in &self.set {
            if let Apply::Option(set) = flag.apply {
                set(options, value.expose()).map_err(FlagError)?;
            }
        }
        if self.set.iter().any(|(flag, value)| flag.names == ["tls"] && boolean(value.expose()) == Ok(false))
        {
            options.clients.tls = None;
        }
        if let Some(tls) = options.clients.tls.as_ref().filter(|tls| tls.certs.is_empty()) {
            let missing = [("certificate", &tls.cert_file), ("private key", &tls.key_file)];
            if let Some((what, _)) = missing.iter().find(|(_, file)| file.as_os_str().is_empty()) {
                return Err(FlagError(format!(
                    "TLS Server {what} must be present and valid; see --help_tls"
                )));
            }
        }
        // A list of users in the file goes before a user of the command line. Source: nats-server 2.15.0, asked.
        if !options.access.authorization.users.is_empty() && self.has("user") {
            (options.access.authorization.user, options.access.authorization.password) = (None, None);
            let at = Location::nowhere("command line");
            let problem = "--user and --pass are ignored: the file has a list of users".to_owned();
            options.source.doubts.push(ConfigError::new(&at, problem));
        }
        cluster::settle(options, self.has("cluster"), self.has("routes"))?;
        // What the file says held together; what does not now, does not because of a flag.
        let mut errors = Vec::new();
        check(options, &|_| Location::nowhere("command line"), &mut errors);
        errors.into_iter().next().map_or(Ok(()), |error| Err(FlagError(error.problem)))
    }
}

/// The flags as a section of docs/configuration.md.
pub(crate) fn page() -> String {
    let mut out = String::from(
        "\n## Flags\n\n\
         The notation is Go's: one dash or two, `-name value` or `-name=value`; a switch is on without a value and takes `=false`.\n\
         A flag wins over the file, at a reload too. A flag that is unknown or not carried out is an error.\n\n\
         | flag | meaning |\n|---|---|\n",
    );
    let dashed = |name: &&str| if name.len() == 1 { format!("`-{name}`") } else { format!("`--{name}`") };
    let names = |flag: &Flag| flag.names.iter().map(dashed).collect::<Vec<_>>().join(", ");
    for flag in FLAGS.iter().filter(|flag| flag.refusal().is_none()) {
        let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
        let _ = writeln!(out, "| {}{value} | {} |", names(flag), flag.help.replace('|', "\\|"));
    }
    out.push_str("\nRefused:\n\n");
    for flag in FLAGS {
        if let Some(why) = flag.refusal() {
            let _ = writeln!(out, "- {}: {why}", names(flag));
        }
    }
    out
}

/// The text of `--help`.
pub fn help() -> String {
    let mut out = String::from(
        "Usage: dialtone [options]             runs the server\n       dialtone COMMAND --help        explains another command\n\nCommands:\n",
    );
    for (name, help) in TOOLS {
        let _ = writeln!(out, "    {name:<38} {help}");
    }
    for section in ["Server", "Logging", "Authorization", "TLS", "Cluster", "Common"] {
        let flags = || FLAGS.iter().filter(|flag| flag.section == section && flag.refusal().is_none());
        if flags().next().is_none() {
            continue;
        }
        let _ = write!(out, "\n{section} options:\n");
        for flag in flags() {
            let names =
                flag.names.iter().map(|n| if n.len() == 1 { format!("-{n}") } else { format!("--{n}") });
            let names = names.collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "    {:<38} {}", format!("{names} {}", flag.value).trim_end(), flag.help);
        }
    }
    out
}

/// The text of `--help_tls`.
pub fn help_tls() -> String {
    let mut out = String::from(
        "TLS for clients, by flags:\n\n    dialtone --tls --tlscert server.pem --tlskey key.pem [--tlsverify --tlscacert ca.pem]\n\n\
         or in the configuration file:\n\n    tls {\n        cert_file: server.pem\n        key_file: key.pem\n    }\n\nKeys of that block:\n\n",
    );
    for key in KEYS.iter().filter(|key| key.block == "tls" && !matches!(key.status, Status::Refused(_))) {
        let _ = writeln!(out, "    {:<24} {}", key.name, key.doc);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cluster;

    fn options(line: &str) -> Result<Options, FlagError> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Command::Serve(flags) => {
                let mut options = Options::default();
                flags.apply(&mut options)?;
                Ok(options)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn notations_of_go() {
        for line in ["-p 99", "--port 99", "-p=99", "--port=99"] {
            assert_eq!(options(line).expect(line).clients.port, Some(99));
        }
        let log = options("-DVV -T=false").expect("read").log;
        assert!(log.debug && log.trace_verbose && !log.time);
        assert_eq!(options("-p -1").expect("read").clients.port, None);
        let off = options("-p 5 -js=false --").expect("read");
        assert_eq!((off.clients.port, off.jetstream), (Some(5), None));
        let on = options("-js -sd /x").expect("read");
        assert!(on.jetstream.is_some_and(|own| own.enabled && own.store_dir.is_none()));
        assert_eq!(on.staples.store_dir, Some("/x".into()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, expected) in [
            ("--nosuchflag", "flag provided but not defined: -nosuchflag"),
            ("-z", "flag provided but not defined: -z"),
            ("--prot 1", "flag provided but not defined: -prot; did you mean -port?"),
            ("explian", "unrecognized command: \"explian\"; did you mean explain?"),
            ("identiy list", "unrecognized command: \"identiy\"; did you mean identity?"),
            ("-p 1 -- bnech", "unrecognized command: \"bnech\"; did you mean bench?"),
            ("verzion", "unrecognized command: \"verzion\"; did you mean version?"),
            ("xyz", "unrecognized command: \"xyz\""),
            ("-p", "flag needs an argument: -p"),
            ("-p x", "invalid value \"x\" for flag -p: parse error"),
            (
                "-js --cluster nats://h:1",
                "`jetstream` cannot be carried out together with `cluster`: replication of streams is not part of this version",
            ),
            ("-p 70000", "invalid value \"70000\" for flag -p: it is no port"),
            ("-T=x", "invalid boolean value \"x\" for flag -T: parse error"),
            ("-t", "must specify [-c, --config] option to check configuration file syntax"),
            ("-sl foo", "unknown signal \"foo\""),
            ("-m 1 -ms 2", "can't specify both HTTP and HTTPs ports"),
            ("-ms 2", "TLS cert and key required for HTTPS"),
            ("--user a --auth b", "Cannot have a user/pass and token"),
            ("--pass b", "a password needs a user"),
            (
                "--auth=",
                "invalid value \"\" for flag -auth: it is empty; leave it out if everybody may connect",
            ),
            ("-- -v", "unrecognized command: \"-v\""),
            ("stray", "unrecognized command: \"stray\""),
            ("--tls", "TLS Server certificate must be present and valid; see --help_tls"),
        ] {
            assert_eq!(options(line).expect_err(line).to_string(), expected);
        }
    }

    #[test]
    fn what_is_to_be_done() {
        let parsed = |line: &str| match parse(line.split_whitespace().map(str::to_owned)).expect(line) {
            Command::CheckConfig(path) => format!("check {}", path.display()),
            Command::Signal { signal, target } => format!("{signal:?} {target:?}"),
            Command::Serve(flags) => format!("serve {:?}", flags.config),
            other => format!("{other:?}"),
        };
        assert_eq!(parsed("-t -c x"), "check x");
        assert_eq!(parsed("-c x -t=false"), "serve Some(\"x\")");
        assert_eq!(parsed("--signal ldm=12"), "LameDuck Some(\"12\")");
        assert_eq!(parsed("-sl reload"), "Reload None");
        assert_eq!(parsed("-v"), "Version");
        assert_eq!(parsed("-p 1 HELP"), "Help");
        assert_eq!(parsed("--help_tls"), "HelpTls");
    }

    #[test]
    fn flags_win_over_the_file() {
        let mut options = Options::default();
        (options.clients.host, options.clients.port) = ("a".into(), Some(1));
        let Ok(Command::Serve(flags)) = parse(["-p".to_owned(), "2".to_owned(), "--tls=false".to_owned()])
        else {
            panic!("no server");
        };
        tls(&mut options).cert_file = "x".into();
        flags.apply(&mut options).expect("applied");
        assert_eq!(
            (options.clients.host.as_str(), options.clients.port, options.clients.tls),
            ("a", Some(2), None)
        );
    }

    #[test]
    fn a_list_of_users_goes_before_a_user_of_the_command_line() {
        let Ok(Command::Serve(flags)) = parse(["--user=a", "--pass=b"].map(str::to_owned)) else { panic!() };
        let mut options = Options::default();
        options.access.authorization.users.push(crate::options::User::default());
        flags.apply(&mut options).expect("applied");
        assert!(
            options.access.authorization.user.is_none() && options.access.authorization.password.is_none()
        );
        assert!(options.source.doubts[0].to_string().contains("--user and --pass are ignored"));
    }

    /// Flags of the cluster, as if it were carried out.
    fn of_cluster(file: &str, flags: &[(&str, &str)]) -> Result<Option<Cluster>, String> {
        let mut files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let partial = crate::load_partial_text(file, "t.conf", &mut files, &|_| None).expect(file);
        let mut options = partial.options;
        let of = |name: &str| FLAGS.iter().find(|flag| flag.names.contains(&name)).expect("a flag");
        let set = flags.iter().map(|(name, value)| (of(name), Secret::new(*value))).collect();
        let flags = Flags { config: None, set };
        flags.apply(&mut options).map_err(|error| error.to_string())?;
        Ok(options.cluster)
    }

    /// Asked of the official server.
    #[test]
    fn flags_of_the_cluster_win_over_the_file() {
        const FILE: &str = "cluster { listen: 'h:5', name: c, no_advertise: true, routes: ['nats://a:1'], authorization { user: u, password: p } }";
        let cluster = |flags: &[(&str, &str)]| of_cluster(FILE, flags).expect("applied").expect("a cluster");
        let routes = |own: &Cluster| own.routes.iter().map(|route| route.url.to_string()).collect::<Vec<_>>();
        let own = cluster(&[("cluster_name", "d"), ("no_advertise", "false"), ("connect_retries", "7")]);
        assert_eq!(
            (own.name.as_deref(), own.listener.no_advertise, own.dialing.retries),
            (Some("d"), false, 7)
        );
        assert_eq!((&*own.listener.host, own.authorization.user.as_deref()), ("h", Some("u")));
        let own = cluster(&[("routes", "nats://u:p@b:2, nats://c:3,"), ("cluster_advertise", "x:9")]);
        assert_eq!(routes(&own), ["nats://u:xxxxx@b:2", "nats://c:3"]);
        assert_eq!(own.listener.advertise.as_deref(), Some("x:9"));
        assert!(cluster(&[("routes", "")]).routes.is_empty());
        let own = cluster(&[("cluster", "nats://:-1")]);
        assert_eq!((&*own.listener.host, own.listener.port), ("0.0.0.0", None));
        assert_eq!((own.authorization.user, own.authorization.password), (None, None));
        let own = cluster(&[("cluster_listen", "nats://x:y@i:7")]);
        assert_eq!((&*own.listener.host, own.listener.port), ("i", Some(7)));
        assert_eq!(own.authorization.password.as_ref().map(Secret::expose), Some("y"));
        let silent = "cluster { name: c, routes: ['nats://a:1'] }";
        assert!(of_cluster(silent, &[]).expect("applied").expect("a cluster").routes.is_empty());
        let heard = of_cluster(silent, &[("cluster", "nats://h:5")]).expect("applied").expect("a cluster");
        assert_eq!(routes(&heard), ["nats://a:1"]);
        // In either order: no listener, no routes.
        for flags in
            [[("cluster", ""), ("routes", "nats://b:2")], [("routes", "nats://b:2"), ("cluster", "")]]
        {
            let own = cluster(&flags);
            assert!(!own.is_on() && own.routes.is_empty());
        }
    }

    /// A flag goes with its key: it is refused as long as the key is.
    #[test]
    fn flags_of_the_cluster_are_those_of_its_keys() {
        for flag in FLAGS.iter().filter(|flag| flag.section == "Cluster") {
            let (block, key) = flag.of;
            assert!(keys::find(block, key).is_some(), "{:?}", flag.names);
            let refusal = keys::refusal("", block).or(keys::refusal(block, key));
            assert_eq!(flag.refusal(), refusal, "{:?}", flag.names);
        }
    }

    #[test]
    fn flags_of_the_cluster_that_mean_nothing_are_refused() {
        for (flags, expected) in [
            (("routes", "nats://a:1"), "solicited routes require cluster capabilities, e.g. --cluster"),
            (("routes", "nats://u:secret@a"), "route url nats://u:xxxxx@a has no port"),
            (("cluster", "nats://u@a:1"), "expected cluster password to be set"),
            (("cluster", "127.0.0.1:5"), "it has no scheme such as `nats://`"),
            (("cluster", "nats://a"), "it has no port"),
            (("cluster", "nats://a:70000"), "\"70000\" is no port"),
            (("cluster_name", "a b"), "cluster name cannot contain spaces"),
            (
                ("cluster_advertise", "x:y"),
                "cluster_advertise is \"x:y\", which is no `host:port`: \"y\" is no port",
            ),
            (("connect_retries", "x"), "parse error"),
        ] {
            assert_eq!(of_cluster("", &[flags]).expect_err(flags.1), expected);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let command = parse(["--user=a", "--pass=hunter2"].map(str::to_owned)).expect("read");
        assert!(!format!("{command:?}").contains("hunter2"));
    }

    /// The official server knows 64 spellings.
    #[test]
    fn every_official_spelling_is_known() {
        assert_eq!(FLAGS.iter().map(|flag| flag.names.len()).sum::<usize>(), 64);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = FLAGS.iter().flat_map(|f| f.names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
