//! A running server: how it reloads, lets its clients go, and ends.

use crate::client;
use crate::dialer;
use crate::jetstream;
use crate::log::{Event, Logger};
use crate::mqtt_sn;
use crate::node::Node;
use crate::policy::{LISTENERS, ListenerKind};
use crate::process;
use crate::reload;
use crate::system;
use crate::tls::Stop;
use dialtone_config::{ConfigErrors, Options};
use dialtone_mesh::Event as MeshEvent;
use dialtone_net::{Loops, Socket, Threads};
use dialtone_wire::CloseReason;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often certificates are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);

/// A running server. It stops by [`Server::stop`], or when it is dropped.
///
/// ```
/// use std::io::{BufRead, BufReader, Write};
///
/// // No configuration: the official defaults, on a port that is free.
/// let server = dialtone_server::Server::builder().host("127.0.0.1").port(None).quiet().start()?;
/// println!("clients connect to {:?}", server.client_address());
///
/// // The program that the server is part of needs no port at all.
/// let mut connection = server.connect_in_process()?;
/// connection.write_all(b"CONNECT {\"verbose\":false}\r\nSUB greet 1\r\nPUB greet 5\r\nhello\r\n")?;
/// let mut lines = BufReader::new(connection).lines();
/// let info = lines.next().expect("the server speaks first")?;
/// assert!(info.starts_with("INFO {"));
/// assert_eq!(lines.next().expect("a message")?, "MSG greet 1 5");
/// assert_eq!(lines.next().expect("its payload")?, "hello");
///
/// server.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    node: Arc<Node>,
    loops: Arc<Mutex<Loops>>,
    addresses: BTreeMap<ListenerKind, SocketAddr>,
}

impl Server {
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn new(
        node: Arc<Node>,
        loops: Loops,
        addresses: BTreeMap<ListenerKind, SocketAddr>,
    ) -> io::Result<Self> {
        let loops = Arc::new(Mutex::new(loops));
        dialer::start(&node, &loops)?;
        let (watched, its_loops) = (Arc::downgrade(&node), Arc::downgrade(&loops));
        // Certificates are renewed by others; their files are looked at as long as there is a server, and the word of
        // their authority is renewed.
        let watch = move || {
            let mut fault = None;
            while let Some(node) = watched.upgrade() {
                fault = note_fault(&node.threads, &node.log, fault);
                reload::certificates(&node);
                if reload::staples(&node) == Stop::Yes {
                    if let Some(loops) = its_loops.upgrade() {
                        stop(&node, &loops);
                    }
                    return;
                }
                drop(node);
                std::thread::sleep(CERTIFICATE_INTERVAL);
            }
        };
        node.threads.spawn("certificates", watch)?;
        let (ending, its_loops) = (Arc::downgrade(&node), Arc::downgrade(&loops));
        let end = move || {
            let (Some(node), Some(loops)) = (ending.upgrade(), its_loops.upgrade()) else { return };
            let threads = node.clone();
            let run = move || lame_duck(&node, &loops);
            if let Err(why) = threads.threads.spawn("lame-duck", run) {
                threads.log.emit(Event::Warning, "", format_args!("lame duck mode cannot begin: {why}"));
            }
        };
        let _ = node.settings.end.set(Box::new(end));
        Ok(Self { node, loops, addresses })
    }

    /// Where clients connect; `None` if no port is listened on.
    pub fn client_address(&self) -> Option<SocketAddr> {
        self.addresses.get(&ListenerKind::Clients).copied()
    }

    /// Where clients connect by WebSocket; `None` if there is no listener for it.
    pub fn websocket_address(&self) -> Option<SocketAddr> {
        self.addresses.get(&ListenerKind::WebSocket).copied()
    }

    /// Where clients of MQTT-SN send datagrams; `None` if there is no gateway for them.
    pub fn mqtt_sn_address(&self) -> Option<SocketAddr> {
        self.addresses.get(&ListenerKind::MqttSn).copied()
    }

    /// A connection to the server from this very program: no other can see it, and it needs no port. It speaks the
    /// client protocol in plain, counts like any other against limits, and is of the type `IN_PROCESS` for
    /// `allowed_connection_types`. Reading and writing block; `set_read_timeout`, `set_nonblocking` and `try_clone` do what
    /// they do for sockets.
    ///
    /// Errors: there are no more file descriptors, or the server is stopping (`NotConnected`).
    pub fn connect_in_process(&self) -> io::Result<UnixStream> {
        let loops = self.loops.lock();
        if !loops.are_running() || self.node.connections.lame_duck.load(Ordering::Acquire) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let (ours, theirs) = Socket::pair()?;
        loops.take(ours, None, ListenerKind::InProcess.number());
        Ok(theirs)
    }

    /// What all its threads share.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Runs something on a thread of the server's: if it panics, what [`Builder::at_panic`] says happens.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn spawn(&self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.node.threads.spawn(name, run).map(drop)
    }

    /// The calling thread is one of the server's from here on, as those are that it started itself.
    pub fn adopt_thread(&self) {
        self.node.threads.adopt();
    }

    /// Logs that a signal came.
    pub fn note_signal(&self, name: &str) {
        self.node.log.emit(Event::Signal, "", format_args!("Trapped {name:?} signal"));
    }

    /// Opens the log file again.
    pub fn reopen_log(&self) {
        self.node.log.reopen();
    }

    /// Says how options are read again when a request asks for a reload. Only the first call counts.
    pub fn read_options_by(&self, read: impl Fn() -> Result<Options, ConfigErrors> + Send + Sync + 'static) {
        let _ = self.node.settings.reader.set(Box::new(read));
    }

    /// Says what is to be done when the server has ended, whoever ended it. Only the first call counts.
    pub fn at_end(&self, then: impl Fn() + Send + Sync + 'static) {
        let _ = self.node.settings.at_end.set(Box::new(then));
    }

    /// Takes over other options, all or none of them.
    pub fn reload(&self, options: Result<Options, ConfigErrors>) {
        // The log says what is wrong.
        let _ = reload::reload(&self.node, options);
    }

    /// Lets clients go one by one over the configured time, and ends. Returns when all are gone.
    pub fn lame_duck(&self) {
        lame_duck(&self.node, &self.loops);
    }

    /// Stops the server and waits for its threads. Does nothing the second time.
    pub fn stop(&self) {
        stop(&self.node, &self.loops);
    }
}

/// Logs that a thread has come to stand still, or that none does any more; `before` is what was found last.
fn note_fault(threads: &Threads, log: &Logger, before: Option<String>) -> Option<String> {
    let fault = threads.fault(Instant::now());
    match (&before, &fault) {
        (None, Some(fault)) => log.emit(Event::Stalled, "", format_args!("{fault}")),
        (Some(_), None) => log.emit(Event::Stalled, "", format_args!("all threads make progress again")),
        _ => {}
    }
    fault
}

/// Lets clients go one by one over the configured time, and ends.
fn lame_duck(node: &Arc<Node>, loops: &Mutex<Loops>) {
    if node.connections.lame_duck.swap(true, Ordering::AcqRel) {
        return;
    }
    node.log.emit(Event::LameDuck, "", format_args!("Entering lame duck mode, stop accepting new clients"));
    system::lame_duck(node);
    node.cluster.handle(MeshEvent::LameDuck);
    for row in &LISTENERS {
        loops.lock().unlisten(row.kind.number());
    }
    let policy = node.settings.policy();
    for session in node.connections.registry.open() {
        client::send_away(&session, node);
    }
    let duck = policy.options.operation.lame_duck.clone();
    let sessions = node.connections.registry.open();
    if !sessions.is_empty() {
        std::thread::sleep(duck.grace_period);
        let span = duck.duration.saturating_sub(duck.grace_period);
        node.log.emit(Event::LameDuck, "", format_args!("Closing existing clients"));
        let sessions = node.connections.registry.open();
        // Before the server leaves its cluster, and knows no others.
        let _ = node.connections.go_to.set(node.cluster.client_urls());
        // The last second is for those that came last.
        let pause = (span / (sessions.len() as u32 + 1)).min(Duration::from_secs(1));
        for (number, session) in sessions.iter().enumerate() {
            if number > 0 {
                std::thread::sleep(pause);
            }
            session.peer.close(CloseReason::ServerShutdown);
        }
    }
    stop(node, loops);
}

fn stop(node: &Arc<Node>, loops: &Mutex<Loops>) {
    if !loops.lock().are_running() {
        return;
    }
    node.log.emit(Event::Stopping, "", format_args!("Initiating Shutdown..."));
    system::shutdown(node);
    jetstream::say_stop(node);
    node.cluster.stop();
    node.hubs.stop();
    node.supercluster.stop();
    // Other servers hear that this one ends before their routes do.
    node.internal.finish();
    for route in node.delivery.routes.open().iter() {
        route.session.peer.close(CloseReason::ServerShutdown);
    }
    for gateway in node.delivery.gateways.open().iter() {
        gateway.session.peer.close(CloseReason::ServerShutdown);
    }
    node.internal.stop();
    system::end(&node.accounts);
    if let Err(cause) = node.connections.peer_cache.save() {
        node.log.emit(Event::Warning, "", format_args!("OCSP peer cache cannot be written: {cause}"));
    }
    mqtt_sn::stop(node);
    for session in node.connections.registry.open() {
        session.peer.close(CloseReason::ServerShutdown);
    }
    loops.lock().stop();
    jetstream::stop(node);
    let options = &node.settings.policy().options;
    if let Some(file) = &options.server.pid_file {
        process::remove(file);
    }
    if let Some(folder) = &options.server.ports_file_dir {
        process::remove(&process::ports_file(folder));
    }
    if let Some(path) = &options.clients.unix_socket {
        process::remove(path);
    }
    node.log.emit(Event::Stopped, "", format_args!("Server Exiting.."));
    node.log.flush();
    if let Some(then) = node.settings.at_end.get() {
        then();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
