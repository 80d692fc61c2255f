//! The command line of the server: one table gives the parser, the help and the order of precedence.
//!
//! The notation is Go's: one or two dashes, `-name value` or `-name=value`. Flags win over the file.

mod cluster;
mod table;
mod text;

pub(crate) use text::page;
pub use text::{help, help_tls};

use crate::Secret;
use crate::blocks::keys;
use crate::check::check;
use crate::error::{ConfigError, Location};
use crate::options::Options;
use std::path::PathBuf;
use table::{Apply, FLAGS, Flag, boolean};

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

#[cfg(test)]
mod tests;
