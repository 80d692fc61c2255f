//! The listener for clients.

use super::block;
use super::rule::{LogForm::Value as Shown, Rule::Reloads, Rule::Restarts, show};
use crate::blocks::keys::Status;
use crate::blocks::reader::{self, Block, Notes};
use crate::blocks::rule::Change;
use crate::error::ConfigError;
use crate::language::Value;
use std::path::PathBuf;

/// The port for clients. The official figure.
const PORT: Option<u16> = Some(4222);
const ANY_HOST: &str = "0.0.0.0";

block! {
    /// The listener for clients.
    pub struct Clients in "" {
        host: String = ANY_HOST.into(),
            host | "net": "Address to listen on. Default: all.", read (host), Restarts("Host", show);
        /// `None` takes a free one.
        port: Option<u16> = PORT,
            port: "Port to listen on. -1 takes a free one. Default 4222.",
            read (|v| reader::port(v).map(known)), Restarts("Port", show_port);
        advertise: Option<String> = None,
            client_advertise: "`host:port` that clients are told instead of the real one.",
            read (reader::optional), Reloads(Change::Presentation, Shown(show));
        unix_socket: Option<PathBuf> = None,
            unix_socket: "Path of a Unix-domain socket to listen on for clients. Not an official key.",
            read (reader::path), Restarts("UnixSocket", show);
        proxy_protocol: bool = false,
            proxy_protocol: "Client connections begin with a PROXY header.",
            read (reader::boolean), Restarts("ProxyProtocol", show);
        /// Clients may connect without TLS although there is TLS.
        allow_non_tls: bool = false,
            allow_non_tls: "Clients may connect without TLS although there is TLS.",
            read (reader::boolean), Restarts("AllowNonTLS", show);
        /// Whether producers that outrun a reader are held back.
        stall_producers: bool = true,
            no_fast_producer_stall: "Do not hold producers back that outrun a reader.",
            read (|v| reader::boolean(v).map(|off| !off)), Reloads(Change::Limits, super::rule::LogForm::Said(stalled));
    }
    first {
        listen: Status::Restarts, "`host:port` to listen on for clients.";
    }
}

impl Clients {
    /// Reads the keys: `listen` wins over the keys that name a host or a port alone.
    pub(crate) fn read_all(&mut self, block: &Block<'_>, notes: &mut Notes) {
        self.read(block, notes);
        block.set_listen(&mut self.host, &mut self.port, &mut notes.errors);
        self.port = known(self.port);
    }
}

fn host(value: &Value) -> Result<String, ConfigError> {
    Ok(reader::optional(value)?.unwrap_or_else(|| ANY_HOST.into()))
}

/// 0 means the default.
fn known(port: Option<u16>) -> Option<u16> {
    if port == Some(0) { PORT } else { port }
}

fn show_port(port: &Option<u16>) -> String {
    port.map_or(-1, i32::from).to_string()
}

fn stalled(stall: &bool) -> String {
    format!("fast producers will {}be stalled", if *stall { "" } else { "not " })
}
