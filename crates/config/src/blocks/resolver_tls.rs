//! TLS to a resolver's address, where the server is a client.

use super::block;
use super::rule::Rule::Within;
use crate::blocks::keys::Status::{Refused, Restarts};
use crate::blocks::reader::{self, Block, Notes, noted};
use crate::error::ConfigError;
use crate::language::Value;
use std::path::PathBuf;

block! {
    /// TLS to a resolver's address.
    pub struct ResolverTls in "resolver_tls" {
        cert_file: Option<PathBuf> = None,
            cert_file: "Certificate chain, PEM.", read (reader::path), Within(Restarts);
        key_file: Option<PathBuf> = None,
            key_file: "Private key, PEM.", read (reader::path), Within(Restarts);
        ca_file: Option<PathBuf> = None,
            ca_file: "Certificates that the resolver's is verified with, PEM. Default: the system's.",
            read (reader::path), Within(Restarts);
    }
    also {
        insecure: Refused("account JWTs are not fetched from a server that is not verified"), "Do not verify the server.";
    }
}

/// Reads the block.
pub(crate) fn resolver_tls(value: &Value, notes: &mut Notes) -> ResolverTls {
    let mut out = ResolverTls::default();
    let Some(map) = noted(reader::map(value), &mut notes.errors) else { return out };
    out.read(&Block::new("resolver_tls", map, &mut notes.errors), notes);
    for (key, file, other) in
        [("cert_file", &out.cert_file, &out.key_file), ("key_file", &out.key_file, &out.cert_file)]
    {
        if file.is_none() && other.is_some() {
            let problem = format!("missing '{key}' in TLS configuration");
            notes.errors.push(ConfigError::new(&value.at, problem));
        }
    }
    out
}
