//! Building a server: everything that can fail is done before anything is promised.

use crate::cluster;
use crate::driver::Driver;
use crate::internal::Internal;
use crate::lifecycle::Server;
use crate::log::{Event, Logger};
use crate::mqtt_sn;
use crate::node::Node;
use crate::policy::{
    Address, COMPATIBLE_VERSION, Identity, LISTENERS, ListenerKind, Policy, PolicyError, Row,
};
use crate::process;
use crate::requests;
use crate::resolver::{Resolver, ResolverError};
use crate::supercluster;
use crate::system;
use crate::tls::TlsSetup;
use crate::trust::JwtRejection;
use crate::verifier::Verifier;
use dialtone_config::Options;
use dialtone_identity::callout::Keys;
use dialtone_identity::nkey::{Kind, Seed};
use dialtone_net::threads::{PANIC_EXIT_CODE, Panic};
use dialtone_net::{Endpoint, ListenError, Listener, Loops, Threads, address, proxy};
use std::collections::BTreeMap;
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
    /// JetStream does not start.
    #[error("Can't start JetStream: {0}")]
    JetStream(#[from] crate::jetstream::StartError),
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
        self.options.clients.host = host.into();
        self
    }

    /// The port to listen on; `None` takes a free one.
    pub fn port(mut self, port: Option<u16>) -> Self {
        self.options.clients.port = port;
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
        let listening = listen_all(&options, self.in_process_only)?;
        let datagrams =
            mqtt_sn::listen(&options).map_err(|problem| StartError::listen(mqtt_sn::PART, problem))?;
        let at = |port: fn(&Endpoint) -> _| by_kind(&listening, port);
        let identity = identity(&options, at(Endpoint::port));
        banner(&log, &options, &identity);
        let policy = Policy::new(options, &identity)?;
        if policy.clients().tls.as_ref().is_some_and(TlsSetup::is_stapled) {
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
        // It says what JetStream is at meanwhile.
        if node.settings.policy().options.jetstream.is_some() {
            node.streams.set_starting(Some("JetStream is starting".into()));
        }
        let http =
            crate::monitor::start(&node).map_err(|problem| StartError::listen("monitoring", problem))?;
        crate::jetstream::start(&node, &node.settings.policy())?;
        crate::trust::service::start(&node);
        crate::sharing::start(&node);
        crate::queues::start(&node);
        system::start(&node);
        requests::start(&node);
        begin_network(&node);
        crate::mqtt::start(&node);
        let for_loops = node.clone();
        let loops =
            Loops::start(&node.threads, dialtone_net::Settings { loops: process::cores() }, move |_| {
                Driver::new(for_loops.clone(), rand::random())
            })
            .map_err(StartError::Loops)?;
        let policy = node.settings.policy();
        if let Some(file) = &policy.options.server.pid_file {
            process::write_pid(file).map_err(|cause| StartError::PidFile { file: file.clone(), cause })?;
        }
        if let Some(folder) = &policy.options.server.ports_file_dir {
            write_ports(&node, folder, &listening, &http);
        }
        let mut addresses = by_kind(&listening, Endpoint::address);
        if let Some(bound) = datagrams {
            addresses.insert(ListenerKind::MqttSn, bound.1.address());
            mqtt_sn::start(&node, loops.taker(), bound).map_err(StartError::Loops)?;
        }
        // Clients over the network come last, as officially.
        for Listening { row, listener, endpoint } in listening.into_iter().rev() {
            if let Some(endpoint) = &endpoint {
                (row.announce)(&node.log, endpoint, policy.has_tls(row.kind));
            }
            loops.listen(listener);
        }
        node.log.emit(Event::Ready, "", format_args!("Server is ready"));
        Server::new(node, loops, addresses).map_err(StartError::Loops)
    }
}

/// Begins to connect with other servers.
pub(crate) fn begin_network(node: &Node) {
    let identity = &node.settings.identity;
    if let Some(settings) = supercluster::settings(&node.settings.policy(), identity) {
        node.supercluster.begin(identity, settings);
    }
    if let Some(settings) = cluster::settings(&node.settings.policy(), identity, &node.accounts) {
        node.delivery.routes.set_pools(settings.pool_size, &settings.dedicated);
        let permissions = cluster::permissions(&node.settings.policy().options);
        node.delivery.routes.set_permissions(permissions, &node.delivery.gate);
        node.cluster.begin(identity, settings);
    }
    node.hubs.begin(&node.settings.policy().options);
}

/// A listener at work.
struct Listening {
    row: &'static Row,
    listener: Listener,
    /// Where, if it is a port.
    endpoint: Option<Endpoint>,
}

/// Listens on all that is configured.
fn listen_all(options: &Options, in_process_only: bool) -> Result<Vec<Listening>, StartError> {
    let rows = LISTENERS.iter().filter(|row| !in_process_only || row.kind != ListenerKind::Clients);
    rows.filter_map(|row| (row.address)(options).map(|address| listen(row, address))).collect()
}

fn listen(row: &'static Row, address: Address<'_>) -> Result<Listening, StartError> {
    let (part, number) = (row.part, row.kind.number());
    match address {
        Address::Tcp { host, port, is_proxied } => {
            let (socket, endpoint) = address::listen(host, port.unwrap_or(0))
                .map_err(|problem| StartError::listen(part, problem))?;
            let listener = Listener::tcp(number, socket);
            let listener = if is_proxied { listener.proxy_header(proxy::HEADER_TIMEOUT) } else { listener };
            Ok(Listening { row, listener, endpoint: Some(endpoint) })
        }
        Address::Unix(path) => {
            let listener = Listener::unix(number, path).map_err(|cause| StartError::Listen {
                part,
                address: path.display().to_string(),
                cause,
            })?;
            Ok(Listening { row, listener, endpoint: None })
        }
    }
}

/// Something of all ports that are listened on.
fn by_kind<T>(listening: &[Listening], of: impl Fn(&Endpoint) -> T) -> BTreeMap<ListenerKind, T> {
    let ports = listening.iter().filter_map(|one| Some((one.row.kind, of(one.endpoint.as_ref()?))));
    ports.collect()
}

/// Writes the ports file. Whoever waits for it will see that it does not come; nobody else needs it.
fn write_ports(node: &Node, folder: &Path, listening: &[Listening], http: &[(&str, Endpoint)]) {
    let policy = node.settings.policy();
    let ports = listening.iter().filter_map(|Listening { row, endpoint, .. }| {
        let (field, [plain, encrypted]) = row.in_ports_file?;
        let scheme = if policy.has_tls(row.kind) { encrypted } else { plain };
        Some((field, scheme, endpoint.as_ref()?))
    });
    if let Err(cause) = process::write_ports(folder, &ports.collect::<Vec<_>>(), http) {
        let file = process::ports_file(folder);
        let problem = format_args!("Error writing ports file ({}): {cause}", file.display());
        node.log.emit(Event::Warning, "", problem);
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

/// What a server is called that begins.
pub(crate) fn identity(options: &Options, ports: BTreeMap<ListenerKind, u16>) -> Identity {
    let keys = Keys {
        seed: Seed::from_bytes(Kind::Server, rand::random()),
        curve: Seed::from_bytes(Kind::Curve, rand::random()),
    };
    let (id, xkey) = (keys.seed.public().to_string(), keys.curve.public().to_string());
    let name = options.server.name.clone().unwrap_or_else(|| id.clone());
    Identity { id, xkey, keys: Arc::new(keys), name, ports }
}

fn banner(log: &Logger, options: &Options, identity: &Identity) {
    let say = |text: std::fmt::Arguments<'_>| log.emit(Event::Starting, "", text);
    say(format_args!("Starting dialtone"));
    say(format_args!("  Version:  {COMPATIBLE_VERSION} (dialtone {})", env!("CARGO_PKG_VERSION")));
    say(format_args!("  Git:      [{}]", option_env!("DIALTONE_COMMIT").unwrap_or("not set")));
    say(format_args!("  Name:     {}", identity.name));
    say(format_args!("  ID:       {}", identity.id));
    let plain = |secret: &dialtone_config::Secret| !dialtone_identity::password::is_slow(secret);
    let users = options
        .access
        .authorization
        .users
        .iter()
        .chain(options.access.accounts.iter().flat_map(|a| &a.users));
    if users.filter_map(|u| u.password.as_ref()).chain(&options.access.authorization.password).any(plain) {
        log.emit(Event::Warning, "", format_args!("Plaintext passwords detected, use nkeys or bcrypt"));
    }
    if let Some(file) = &options.source.file {
        say(format_args!("Using configuration file: {} ({})", file.display(), options.source.digest));
    }
    for warning in options.warnings() {
        log.emit(Event::Warning, "", format_args!("{warning}"));
    }
}
