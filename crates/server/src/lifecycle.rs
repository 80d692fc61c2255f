//! A running server: how it reloads, lets its clients go, and ends.

use crate::builder::{Builder, CLIENTS};
use crate::log::Event;
use crate::process;
use crate::reload;
use crate::shared::Shared;
use dialtone_config::{ConfigErrors, Options};
use dialtone_net::Loops;
use dialtone_wire::CloseReason;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often certificates are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);

/// A running server. It stops when it is told to, or dropped.
///
/// ```
/// let server = dialtone_server::Server::builder().host("127.0.0.1").port(None).quiet().start()?;
/// println!("clients connect to {}", server.client_address());
/// server.stop();
/// # Ok::<(), dialtone_server::StartError>(())
/// ```
pub struct Server {
    shared: Arc<Shared>,
    loops: Mutex<Loops>,
    address: SocketAddr,
}

impl Server {
    /// Begins to set a server up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(shared: Arc<Shared>, loops: Loops, address: SocketAddr) -> Self {
        let watched = Arc::downgrade(&shared);
        // Certificates are renewed by others; their files are looked at as long as there is a server.
        let watch = move || {
            while let Some(shared) = watched.upgrade() {
                reload::certificates(&shared);
                drop(shared);
                std::thread::sleep(CERTIFICATE_INTERVAL);
            }
        };
        if shared.policy().tls.is_some() {
            // Without the thread certificates are read again by a reload only.
            let _ = std::thread::Builder::new().name("certificates".into()).spawn(watch);
        }
        Self { shared, loops: Mutex::new(loops), address }
    }

    /// Where clients connect.
    pub fn client_address(&self) -> SocketAddr {
        self.address
    }

    /// What all its threads share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Logs that a signal came.
    pub fn note_signal(&self, name: &str) {
        self.shared.log.say(Event::Signal, "", format_args!("Trapped {name:?} signal"));
    }

    /// Opens the log file again.
    pub fn reopen_log(&self) {
        self.shared.log.reopen();
    }

    /// Takes over other options, all or none of them.
    pub fn reload(&self, options: Result<Options, ConfigErrors>) {
        reload::reload(&self.shared, options);
    }

    /// Lets clients go one by one over the configured time, and ends. Returns when all are gone.
    pub fn lame_duck(&self) {
        let shared = &self.shared;
        if shared.lame_duck.swap(true, Ordering::AcqRel) {
            return;
        }
        shared.log.say(
            Event::LameDuck,
            "",
            format_args!("Entering lame duck mode, stop accepting new clients"),
        );
        self.loops.lock().unlisten(CLIENTS);
        let mut info = shared.policy().info.clone();
        info.lame_duck = true;
        for session in shared.registry.open() {
            if session.peer.takes_info() {
                info.client_id = session.peer.id.0;
                info.client_ip = session.remote().map(|r| r.ip().to_string()).unwrap_or_default();
                let mut bytes = Vec::new();
                info.encode(&mut bytes);
                session.peer.send(&bytes, Instant::now());
            }
        }
        let duck = shared.policy().options.lame_duck.clone();
        let sessions = shared.registry.open();
        if !sessions.is_empty() {
            std::thread::sleep(duck.grace_period);
            let span = duck.duration.saturating_sub(duck.grace_period);
            shared.log.say(Event::LameDuck, "", format_args!("Closing existing clients"));
            let sessions = shared.registry.open();
            // The last second is for those that came last.
            let pause = span / (sessions.len() as u32 + 1);
            for session in sessions {
                session.peer.close(CloseReason::ServerShutdown);
                std::thread::sleep(pause.min(Duration::from_secs(1)));
            }
        }
        self.stop();
    }

    /// Stops the server and waits for its threads.
    pub fn stop(&self) {
        let shared = &self.shared;
        shared.log.say(Event::Stopping, "", format_args!("Initiating Shutdown..."));
        shared.internal.stop();
        for session in shared.registry.open() {
            session.peer.close(CloseReason::ServerShutdown);
        }
        self.loops.lock().stop();
        let options = &shared.policy().options;
        if let Some(file) = &options.pid_file {
            process::remove(file);
        }
        if let Some(folder) = &options.ports_file_dir {
            process::remove(&process::ports_file(folder));
        }
        if let Some(path) = &options.unix_socket {
            process::remove(path);
        }
        shared.log.say(Event::Stopped, "", format_args!("Server Exiting.."));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.internal.stop();
    }
}
