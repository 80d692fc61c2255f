//! `dialtone` without a subcommand: the server, with the command line of `nats-server`.

use dialtone_config::flags::{self, Command, Flags};
use dialtone_config::language::Files;
use dialtone_config::{ConfigErrors, Location, Options};
use dialtone_server::Server;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use std::io;
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
            print!("{TLS_HELP}");
            0
        }
        Ok(Command::Serve(flags)) => serve(*flags),
        Err(problem) => fail(&problem),
    }
}

const TLS_HELP: &str = "TLS configuration.

On the command line:
    --tls                 TLS, without certificates of clients
    --tlscert FILE        the server's certificate chain, PEM
    --tlskey FILE         its private key, PEM
    --tlsverify           clients need a certificate
    --tlscacert FILE      what clients' certificates are verified with, PEM

In a configuration file:
    tls {
        cert_file: \"./server-cert.pem\"
        key_file:  \"./server-key.pem\"
        ca_file:   \"./ca.pem\"
        verify:    true
        timeout:   2
    }
";

fn fail(problem: &dyn std::fmt::Display) -> i32 {
    eprintln!("dialtone: {problem}");
    FAILED
}

fn serve(flags: Flags) -> i32 {
    if let Some(signal) = &flags.signal {
        return match dialtone_server::signal::send(signal) {
            Ok(()) => 0,
            Err(problem) => fail(&problem),
        };
    }
    if flags.check && flags.config.is_none() {
        return fail(&"must specify [-c, --config] option to check configuration file syntax");
    }
    let options = match options(&flags) {
        Ok(options) => options,
        Err(problem) => return fail(&problem),
    };
    if flags.check {
        let file = flags.config.as_deref().unwrap_or(Path::new("")).display().to_string();
        eprintln!("dialtone: configuration file {file} is valid ({})", options.config_digest);
        return 0;
    }
    // Signals are taken before anything can be promised to anyone.
    let signals = match Signals::new([SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2]) {
        Ok(signals) => signals,
        Err(problem) => return fail(&problem),
    };
    match Server::builder().options(options).start() {
        Ok(server) => wait(&Arc::new(server), signals, &flags),
        Err(problem) => fail(&problem),
    }
}

/// Does what signals ask for, until one asks to end.
fn wait(server: &Arc<Server>, mut signals: Signals, flags: &Flags) -> i32 {
    for signal in signals.forever() {
        match signal {
            SIGHUP => {
                server.note_signal("hangup");
                server.reload(options(flags));
            }
            SIGUSR1 => {
                server.note_signal("user defined signal 1");
                server.reopen_log();
            }
            SIGUSR2 => {
                server.note_signal("user defined signal 2");
                let server = server.clone();
                std::thread::spawn(move || {
                    server.lame_duck();
                    std::process::exit(0);
                });
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
    let here = Location { file: "command line".into(), line: 1, column: 1 };
    let problem = |text: String| ConfigErrors::from(dialtone_config::ConfigError::new(&here, text));
    let mut options = match &flags.config {
        None => Options::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| {
                let why = if e.kind() == io::ErrorKind::NotFound {
                    "no such file or directory".into()
                } else {
                    e.to_string()
                };
                problem(format!("open {}: {why}", path.display()))
            })?;
            dialtone_config::load(&path.display().to_string(), &text, &mut Disk)?
        }
    };
    flags.apply(&mut options).map_err(|e| problem(e.to_string()))?;
    let errors = dialtone_server::policy::check(&options);
    if errors.is_empty() { Ok(options) } else { Err(ConfigErrors(errors)) }
}

/// Files and variables of this machine.
struct Disk;

impl Files for Disk {
    fn read(&mut self, from: &str, path: &str) -> io::Result<(String, String)> {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        let file = folder.join(path);
        Ok((file.display().to_string(), std::fs::read_to_string(file)?))
    }

    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
