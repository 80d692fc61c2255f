//! Building and running a server.

use crate::driver::Driver;
use crate::settings::Settings;
use crate::shared::Shared;
use dialtone_broker::account::{Account, AccountId, GLOBAL};
use dialtone_net::{Listener, Loops};
use dialtone_wire::Info;
use std::net::SocketAddr;
use std::time::Duration;

/// Sets a server up.
#[derive(Debug, Default)]
pub struct Builder {
    port: u16,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen for client connections on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The system refuses threads or polls.
    #[error("cannot start the event loops")]
    Loops(#[source] std::io::Error),
}

/// A running server.
pub struct Server {
    loops: Loops,
}

impl Server {
    /// Begins to set a server up.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Stops it and waits for its threads.
    pub fn stop(mut self) {
        self.loops.stop();
    }
}

impl Builder {
    /// The port to listen on.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server.
    pub fn start(self) -> Result<Server, StartError> {
        let settings = Settings {
            control_line_bytes_max: 4096,
            payload_bytes_max: 1024 * 1024,
            pending_bytes_max: 64 * 1024 * 1024,
            subscriptions_max: 0,
            subject_tokens_max: 0,
            connections_max: 65536,
            ping_interval: Duration::from_secs(120),
            pings_out_max: 2,
            write_deadline: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(2),
            headers: true,
            auth_required: false,
            nonce_required: false,
        };
        let info = Info {
            server_id: "X".into(),
            server_name: "X".into(),
            version: "2.15.0".into(),
            proto: 1,
            go: "rust".into(),
            host: "0.0.0.0".into(),
            port: self.port,
            headers: true,
            max_payload: 1024 * 1024,
            api_lvl: 5,
            ..Info::default()
        };
        let shared = Shared::new(settings, info, Account::new(AccountId(0), GLOBAL));
        let address = SocketAddr::from(([0, 0, 0, 0], self.port));
        let listener = Listener::tcp(0, address).map_err(|cause| StartError::Listen { address, cause })?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let settings = dialtone_net::Settings { loops: cores };
        let loops = Loops::start(settings, move |index| Driver::new(shared.clone(), index))
            .map_err(StartError::Loops)?;
        loops.listen(listener);
        Ok(Server { loops })
    }
}
