//! `dialtone` without a subcommand: the server, with the command line of `nats-server`.

use dialtone_config::flags::{self, Command, Flags};
use dialtone_config::{ConfigErrors, Location, Options, Partial};
use dialtone_server::Server;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::sync::Arc;

/// The exit code of what did not work.
const FAILED: i32 = 1;

/// Does what the command line asks for. The process's exit code.
pub fn run(args: impl Iterator<Item = String>) -> i32 {
    match flags::parse(args) {
        Ok(Command::Help) => {
            print!("{}", flags::help());
            0
        }
        Ok(Command::Version) => {
            println!(
                "dialtone: v{} (dialtone {})",
                dialtone_server::policy::COMPATIBLE_VERSION,
                env!("CARGO_PKG_VERSION")
            );
            0
        }
        Ok(Command::HelpTls) => {
            print!("{}", flags::help_tls());
            0
        }
        Ok(Command::Signal { signal, target }) => {
            match dialtone_server::signal::send(signal, target.as_deref()) {
                Ok(()) => 0,
                Err(problem) => fail(&problem),
            }
        }
        Ok(Command::CheckConfig(file)) => check(&file),
        Ok(Command::Serve(flags)) => serve(&Arc::new(*flags)),
        Err(problem) => fail(&problem),
    }
}

fn fail(problem: &dyn std::fmt::Display) -> i32 {
    eprintln!("dialtone: {problem}");
    FAILED
}

/// Says whether a configuration file is good. What a start would only doubt is not.
fn check(file: &Path) -> i32 {
    let strict = |options: Options| match options.source.doubts.as_slice() {
        [] => Ok(options),
        doubts => Err(ConfigErrors(doubts.to_vec())),
    };
    match load(file).and_then(checked).and_then(strict) {
        Ok(options) => {
            eprintln!("dialtone: configuration file {} is valid ({})", file.display(), options.source.digest);
            0
        }
        Err(problem) => fail(&problem),
    }
}

fn serve(flags: &Arc<Flags>) -> i32 {
    let options = match options(flags) {
        Ok(options) => options,
        Err(problem) => return fail(&problem),
    };
    // Signals are taken before anything can be promised to anyone.
    let signals = match Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2]) {
        Ok(signals) => signals,
        Err(problem) => return fail(&problem),
    };
    let log_to_stderr = options.log.is_to_stderr();
    match Server::builder().options(options).start() {
        Ok(server) => {
            // This thread reloads.
            server.adopt_thread();
            let again = flags.clone();
            server.read_options_by(move || options_again(&again));
            // A server that ends by itself, as with a revoked certificate, is waited for no longer.
            let handle = signals.handle();
            server.at_end(move || handle.close());
            wait(&Arc::new(server), signals, flags)
        }
        // There it stands already, in the log.
        Err(_) if log_to_stderr => FAILED,
        Err(problem) => fail(&problem),
    }
}

/// Does what signals ask for, until one asks to end.
fn wait(server: &Arc<Server>, mut signals: Signals, flags: &Flags) -> i32 {
    for signal in signals.forever() {
        match signal {
            SIGHUP => {
                server.note_signal("hangup");
                server.reload(options_again(flags));
            }
            SIGUSR1 => {
                server.note_signal("user defined signal 1");
                server.reopen_log();
            }
            SIGUSR2 => {
                server.note_signal("user defined signal 2");
                let duck = server.clone();
                let run = move || {
                    duck.lame_duck();
                    std::process::exit(0);
                };
                if let Err(problem) = server.spawn("lame-duck", run) {
                    return fail(&problem);
                }
            }
            SIGINT => {
                server.note_signal("interrupt");
                server.stop();
                return 0;
            }
            _ => {
                server.note_signal("terminated");
                server.stop();
                return 0;
            }
        }
    }
    0
}

/// The options: the file's, with the flags over them.
fn options(flags: &Flags) -> Result<Options, ConfigErrors> {
    let here = Location::nowhere("command line");
    let problem = |text: String| ConfigErrors::from(dialtone_config::ConfigError::new(&here, text));
    let mut options = match &flags.config {
        None => Options::default(),
        Some(path) => load(path)?,
    };
    flags.apply(&mut options).map_err(|e| problem(e.to_string()))?;
    checked(options)
}

/// The options when they are to be read again: without a file there is nothing to read.
fn options_again(flags: &Flags) -> Result<Options, ConfigErrors> {
    if flags.config.is_none() {
        let here = Location::nowhere("command line");
        let text = "can only reload config when a file is provided using -c or --config".to_owned();
        return Err(dialtone_config::ConfigError::new(&here, text).into());
    }
    options(flags)
}

/// Reads a file of this machine, and what it includes.
pub(crate) fn load(path: &Path) -> Result<Options, ConfigErrors> {
    dialtone_config::load(path, &mut |file: &Path| std::fs::read(file), &|name| std::env::var(name).ok())
}

/// The same, without what a server would refuse and the rest can be understood without.
pub(crate) fn load_partial(path: &Path) -> Result<Partial, ConfigErrors> {
    let env = |name: &str| std::env::var(name).ok();
    dialtone_config::load_partial(path, &mut |file: &Path| std::fs::read(file), &env)
}

/// Keys and certificates are good too.
pub(crate) fn checked(options: Options) -> Result<Options, ConfigErrors> {
    let errors = dialtone_server::policy::check(&options);
    if errors.is_empty() { Ok(options) } else { Err(ConfigErrors(errors)) }
}
