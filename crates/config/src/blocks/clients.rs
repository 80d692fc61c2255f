//! The listener for clients.

use super::block;
use super::rule::{LogForm, LogForm::Value as Shown, Rule::Reloads, Rule::Restarts, show};
use super::tls::{self, Context, Tls, TlsFirst};
use crate::blocks::keys::Status;
use crate::blocks::reader::{self, Block, Notes, go_duration};
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
            read (|v| reader::boolean(v).map(|off| !off)), Reloads(Change::Limits, LogForm::Said(stalled));
        /// Whether headers are on.
        headers: bool = true,
            no_header_support: "Turn headers off.",
            read (|v| reader::boolean(v).map(|off| !off)), Restarts("NoHeaderSupport", |headers| (!headers).to_string());
        tls: Option<Tls> = None,
            tls: "TLS for clients.",
            block (|v, notes| tls::tls(v, Context::Client, notes)), Reloads(Change::Tls, LogForm::Lines(tls_lines));
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

/// What changed about TLS: what has a line of its own in the official log, or else that it is on.
fn tls_lines(old: &Option<Tls>, new: &Option<Tls>) -> Vec<String> {
    let Some(new) = new else { return vec!["tls = disabled".into()] };
    let mut lines = Vec::new();
    let mut told = new.clone();
    if let Some(old) = old {
        if old.timeout != new.timeout {
            lines.push(format!("tls timeout = {}", new.timeout.as_secs_f64()));
        }
        if old.pinned_certs != new.pinned_certs {
            lines.push(format!("{} pinned_certs", new.pinned_certs.len()));
        }
        if old.first != new.first {
            let first = match new.first {
                TlsFirst::No => "false".into(),
                TlsFirst::Yes => "true".into(),
                TlsFirst::Within(delay) => format!("auto ({})", go_duration(delay)),
            };
            lines.push(format!("Client TLS handshake first: {first}"));
        }
        (told.timeout, told.first) = (old.timeout, old.first);
        told.pinned_certs.clone_from(&old.pinned_certs);
        told.at.clone_from(&old.at);
    }
    if old.as_ref() != Some(&told) {
        lines.insert(0, "tls = enabled".into());
    }
    lines
}
