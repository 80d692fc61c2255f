//! Building a server: everything that can fail is done before anything is promised.

use crate::driver::Driver;
use crate::internal::Internal;
use crate::lifecycle::Server;
use crate::listeners::{self, CLIENTS, LISTENERS, WEBSOCKET};
use crate::log::{Event, Logger};
use crate::node::Node;
use crate::policy::{COMPATIBLE_VERSION, Identity, Policy, PolicyError};
use crate::process;
use crate::requests;
use crate::resolver::{Resolver, ResolverError};
use crate::system;
use crate::tls::TlsSetup;
use crate::transport::ClientTransport;
use crate::trust::JwtRejection;
use crate::verifier::Verifier;
use dialtone_config::Options;

use dialtone_identity::callout::Keys;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_net::threads::{PANIC_EXIT_CODE, Panic};
use dialtone_net::{Endpoint, ListenError, Listener, Loops, Threads};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sets a server up.
#[derive(Default)]
pub struct Builder {
    options: Options,
    quiet: bool,
    in_process_only: bool,
    at_panic: Option<AtPanic>,
}

type AtPanic = Box<dyn Fn(&Panic) + Send + Sync>;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address means nothing.
    #[error("cannot resolve the address {0:?}")]
    Address(String),
    /// The address cannot be listened on.
    #[error("Error listening on port: {address} for {part}: {cause}")]
    Listen {
        /// What would come there.
        part: &'static str,
        /// The address.
        address: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Certificates, keys or tokens cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The resolver cannot be used.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// The account for system events is not to be had.
    #[error("error resolving system account: {0}")]
    SystemAccount(JwtRejection),
    /// The log cannot be opened.
    #[error("cannot open the {0}")]
    Log(std::io::Error),
    /// The pid file cannot be written.
    #[error("cannot write the pid file {file:?}: {cause}")]
    PidFile {
        /// The file.
        file: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The system refuses threads or polls.
    #[error("cannot start the event loops: {0}")]
    Loops(std::io::Error),
}

impl StartError {
    fn listen(part: &'static str, problem: ListenError) -> Self {
        match problem {
            ListenError::Host(host) => Self::Address(host),
            ListenError::Bind { address, cause } => Self::Listen { part, address, cause },
        }
    }
}

impl Server {
    /// Begins to set a server up.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// The options; without them the official defaults hold.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// The address to listen on.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.options.host = host.into();
        self
    }

    /// The port to listen on; `None` takes a free one.
    pub fn port(mut self, port: Option<u16>) -> Self {
        self.options.port = port;
        self
    }

    /// Nothing is logged to stderr.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// No port is listened on for clients: only [`Server::connect_in_process`] connects, and the Unix-domain socket if
    /// the options name one.
    pub fn in_process_only(mut self) -> Self {
        self.in_process_only = true;
        self
    }

    /// What happens when one of the server's threads panics, behind the line in its log; without it the process ends, with exit code
    /// [`PANIC_EXIT_CODE`]: a server that has lost a thread cannot keep its word, and what the thread was at is half done.
    ///
    /// `then` is called on the thread that panics, before it is unwound. If it returns, the process lives on: the server's `/healthz`
    /// answers 503 from then on, and all that is left to do with it is to drop it. Panics of other threads of the program are not
    /// looked at.
    pub fn at_panic(mut self, then: impl Fn(&Panic) + Send + Sync + 'static) -> Self {
        self.at_panic = Some(Box::new(then));
        self
    }

    /// Starts the server.
    ///
    /// Errors: see [`StartError`]; nothing is left running then. The log has them too, unless it is what failed.
    pub fn start(self) -> Result<Server, StartError> {
        process::raise_file_limit();
        let threads = Threads::default();
        let log = if self.quiet {
            Logger::silent()
        } else {
            Logger::new(&self.options.log, &threads).map_err(StartError::Log)?
        };
        self.start_with(log.clone(), threads).inspect_err(|problem| {
            log.emit_problem(Event::Fatal, "", problem);
            log.flush();
        })
    }

    fn start_with(self, log: Logger, threads: Threads) -> Result<Server, StartError> {
        let options = self.options;
        report_panics(&threads, &log, self.at_panic);
        let clients = if self.in_process_only { None } else { listen(CLIENTS, &options)? };
        let (listener, endpoint) = clients.unzip();
        let unix = options.unix_socket.as_deref().map(listen_unix).transpose()?;
        let (websocket, websocket_endpoint) = listen(WEBSOCKET, &options)?.unzip();
        let port = |endpoint: Option<&Endpoint>| endpoint.map_or(0, Endpoint::port);
        let identity = identity(&options, port(endpoint.as_ref()), port(websocket_endpoint.as_ref()));
        banner(&log, &options, &identity);
        let policy = Policy::new(options, &identity)?;
        if policy.tls.as_ref().is_some_and(TlsSetup::is_stapled) {
            log.emit(Event::Starting, "", format_args!("OCSP Stapling enabled for Client connections"));
        }
        let node = {
            let resolver = Resolver::new(&policy.options, policy.authenticator.operators(), &log)?;
            Node::new(identity, policy, log, threads, resolver)
        };
        Verifier::start(&node).map_err(StartError::Loops)?;
        crate::reload::begin_peer_check(&node);
        node.start_accounts().map_err(StartError::SystemAccount)?;
        Internal::start(&node).map_err(StartError::Loops)?;
        crate::trust::service::start(&node);
        crate::sharing::start(&node);
        crate::queues::start(&node);
        system::start(&node);
        requests::start(&node);
        let for_loops = node.clone();
        let loops =
            Loops::start(&node.threads, dialtone_net::Settings { loops: process::cores() }, move |_| {
                Driver::new(for_loops.clone(), rand::random())
            })
            .map_err(StartError::Loops)?;
        let http =
            crate::monitor::start(&node).map_err(|problem| StartError::listen("monitoring", problem))?;
        let policy = node.settings.policy();
        if let Some(file) = &policy.options.pid_file {
            process::write_pid(file).map_err(|cause| StartError::PidFile { file: file.clone(), cause })?;
        }
        if let Some(folder) = &policy.options.ports_file_dir {
            // Whoever waits for the file will see that it does not come; nobody else needs it.
            let is_tls = policy.tls_of(ClientTransport::WebSocket).is_some();
            let scheme = if is_tls { "wss" } else { "ws" };
            let websocket = websocket_endpoint.as_ref().map(|endpoint| (scheme, endpoint));
            if let Err(cause) = process::write_ports(folder, endpoint.as_ref(), &http, websocket) {
                let file = process::ports_file(folder);
                let problem = format_args!("Error writing ports file ({}): {cause}", file.display());
                node.log.emit(Event::Warning, "", problem);
            }
        }
        if let Some(endpoint) = &websocket_endpoint {
            log_websocket(&node.log, &policy, endpoint);
        }
        if let Some(endpoint) = &endpoint {
            let text = format_args!("Listening for client connections on {endpoint}");
            node.log.emit(Event::Listening, "", text);
            if policy.options.tls.is_some() {
                node.log.emit(Event::Listening, "", format_args!("TLS required for client connections"));
            }
        }
        for listener in listener.into_iter().chain(unix).chain(websocket) {
            loops.listen(listener);
        }
        node.log.emit(Event::Ready, "", format_args!("Server is ready"));
        let addresses = [endpoint, websocket_endpoint].map(|listener| listener.map(|at| at.address()));
        Server::new(node, loops, addresses).map_err(StartError::Loops)
    }
}

/// Logs what a thread panicked of, and ends the process, or what the program wants instead.
fn report_panics(threads: &Threads, log: &Logger, then: Option<AtPanic>) {
    let log = log.clone();
    let then = then.unwrap_or_else(|| Box::new(end));
    threads.at_panic(move |panic| {
        log.emit_last(Event::Panicked, format_args!("{panic}"));
        then(panic);
    });
}

/// Ends the process. The text once more: a server that is part of a program may log nothing, and a test's output may be captured.
fn end(panic: &Panic) {
    // Without a stderr there is nobody to report it to.
    let _ = writeln!(std::io::stderr(), "{panic}");
    std::process::exit(PANIC_EXIT_CODE)
}

/// Listens for clients of this machine.
fn listen_unix(path: &Path) -> Result<Listener, StartError> {
    let part = "clients by a Unix-domain socket";
    Listener::unix(CLIENTS, path).map_err(|cause| StartError::Listen {
        part,
        address: path.display().to_string(),
        cause,
    })
}

/// Listens by the listener with this number, if the options ask for it.
fn listen(number: usize, options: &Options) -> Result<Option<(Listener, Endpoint)>, StartError> {
    let part = LISTENERS.get(number).map_or("", |kind| kind.part);
    let listening = listeners::listen(number, options).transpose();
    listening.map_err(|problem| StartError::listen(part, problem))
}

fn log_websocket(log: &Logger, policy: &Policy, endpoint: &Endpoint) {
    let is_tls = policy.tls_of(ClientTransport::WebSocket).is_some();
    let scheme = if is_tls { "wss" } else { "ws" };
    let text = format_args!("Listening for websocket clients on {scheme}://{endpoint}");
    log.emit(Event::Listening, "", text);
    if !is_tls {
        let text = format_args!("Websocket not configured with TLS. DO NOT USE IN PRODUCTION!");
        log.emit(Event::Warning, "", text);
    }
}

/// What a server is called that begins.
pub(crate) fn identity(options: &Options, port: u16, websocket_port: u16) -> Identity {
    let keys = Keys {
        seed: Seed::from_bytes(Kind::Server, rand::random()),
        curve: Seed::from_bytes(Kind::Curve, rand::random()),
    };
    let (id, xkey) = (keys.seed.public().to_string(), keys.curve.public().to_string());
    let name = options.server_name.clone().unwrap_or_else(|| id.clone());
    Identity { id, xkey, keys: Arc::new(keys), name, port, websocket_port }
}

fn banner(log: &Logger, options: &Options, identity: &Identity) {
    let say = |text: std::fmt::Arguments<'_>| log.emit(Event::Starting, "", text);
    say(format_args!("Starting dialtone"));
    say(format_args!("  Version:  {COMPATIBLE_VERSION} (dialtone {})", env!("CARGO_PKG_VERSION")));
    say(format_args!("  Git:      [{}]", option_env!("DIALTONE_COMMIT").unwrap_or("not set")));
    say(format_args!("  Name:     {}", identity.name));
    say(format_args!("  ID:       {}", identity.id));
    let plain = |secret: &dialtone_config::Secret| !dialtone_identity::password::is_slow(secret);
    let users = options.authorization.users.iter().chain(options.accounts.iter().flat_map(|a| &a.users));
    if users.filter_map(|u| u.password.as_ref()).chain(&options.authorization.password).any(plain) {
        log.emit(Event::Warning, "", format_args!("Plaintext passwords detected, use nkeys or bcrypt"));
    }
    if let Some(file) = &options.config_file {
        say(format_args!("Using configuration file: {} ({})", file.display(), options.config_digest));
    }
    for warning in options.warnings() {
        log.emit(Event::Warning, "", format_args!("{warning}"));
    }
}
