//! Monitoring by HTTP.

use super::block;
use super::rule::{Rule::Restarts, show};
use crate::blocks::keys::Status;
use crate::blocks::reader::{self, Block, Notes};
use crate::error::ConfigError;
use crate::language::Value;

block! {
    /// Monitoring by HTTP.
    pub struct Http in "" {
        /// Empty: as clients'.
        host: String = String::new(),
            http: "`host:port` of monitoring.", by_hand (), Restarts("HTTPHost", show);
        /// `Some(0)` takes a free one.
        port: Option<u16> = None,
            http_port | "monitor_port": "Port of monitoring.", read (port), Restarts("HTTPPort", show_port);
        /// `Some(0)` takes a free one.
        tls_port: Option<u16> = None,
            https_port: "Port of monitoring by TLS.", read (port), Restarts("HTTPSPort", show_port);
        base_path: String = String::new(),
            http_base_path: "Path that monitoring stands under.", read (reader::text), Restarts("HTTPBasePath", show);
    }
    also {
        https: Status::Restarts, "`host:port` of monitoring by TLS.";
    }
}

impl Http {
    /// Reads the keys: `http` and `https` win over the keys that name a port alone.
    pub(crate) fn read_all(&mut self, block: &Block<'_>, notes: &mut Notes) {
        self.read(block, notes);
        for (key, is_tls) in [("http", false), ("https", true)] {
            let Some(value) = block.get(key) else { continue };
            match reader::address(value) {
                Ok((host, port)) => {
                    self.host = host.unwrap_or_default();
                    let slot = if is_tls { &mut self.tls_port } else { &mut self.port };
                    *slot = listened(port);
                }
                Err(error) => notes.errors.push(error),
            }
        }
    }
}

fn port(value: &Value) -> Result<Option<u16>, ConfigError> {
    reader::port(value).map(listened)
}

/// 0 is no port, -1 (which is read as `None`) a free one.
fn listened(port: Option<u16>) -> Option<u16> {
    match port {
        Some(0) => None,
        port => Some(port.unwrap_or(0)),
    }
}

fn show_port(port: &Option<u16>) -> String {
    match port {
        None => "0".into(),
        Some(0) => "-1".into(),
        Some(port) => port.to_string(),
    }
}
