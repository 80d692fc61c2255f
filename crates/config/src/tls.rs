//! Reading a `tls` block.

use crate::error::ConfigError;
use crate::language::{Kind, Value};
use crate::ocsp;
use crate::options::{CertPair, Tls, TlsFirst};
use crate::reader::{self, Block, Errors, noted};
use std::path::PathBuf;
use std::time::Duration;

/// How long `handshake_first: auto` waits for TLS before INFO is sent. The official figure.
const TLS_FIRST_AUTO: Duration = Duration::from_millis(50);

/// TLS of a listener.
pub(crate) fn tls(value: &Value, ignored: &mut Errors, errors: &mut Errors) -> Option<Tls> {
    let map = noted(reader::map(value), errors)?;
    let block = Block::new("tls", map, errors);
    let mut out = Tls::at(value.at.clone().into());
    let path = |v: &Value| reader::text(v).map(PathBuf::from);
    block.set("cert_file", &mut out.cert_file, errors, path);
    block.set("key_file", &mut out.key_file, errors, path);
    block.set("ca_file", &mut out.ca_file, errors, |v| reader::optional(v).map(|p| p.map(PathBuf::from)));
    block.set("verify", &mut out.verify, errors, reader::boolean);
    block.set("verify_and_map", &mut out.map, errors, reader::boolean);
    out.verify |= out.map;
    block.set("timeout", &mut out.timeout, errors, |v| reader::duration_or_default(v, Tls::TIMEOUT));
    for (key, why) in [
        ("insecure", "a listener verifies no server"),
        ("allow_insecure_cipher_suites", "there are no insecure cipher suites"),
    ] {
        let mut asked = false;
        block.set(key, &mut asked, errors, reader::boolean);
        if let Some(value) = block.get(key).filter(|_| asked) {
            ignored.push(ConfigError::new(&value.at, format!("{key} has no effect: {why}")));
        }
    }
    block.set("handshake_first", &mut out.first, errors, handshake_first);
    block.set("min_version", &mut out.only_1_3, errors, min_version_is_1_3);
    if let Some(value) = block.get("ocsp_peer") {
        out.ocsp_peer = ocsp::peer(value, out.verify, errors);
    }
    block.set("cipher_suites", &mut out.cipher_suites, errors, nonempty);
    block.set("curve_preferences", &mut out.curves, errors, nonempty);
    block.set("pinned_certs", &mut out.pinned_certs, errors, |v| {
        let pins: Vec<String> = reader::texts(v)?.into_iter().map(|p| p.to_ascii_lowercase()).collect();
        let is_pin = |p: &String| p.len() == 64 && p.bytes().all(|b| b.is_ascii_hexdigit());
        match pins.iter().find(|p| !is_pin(p)) {
            None => Ok(pins),
            Some(_) => Err(ConfigError::new(&v.at, "a pinned certificate is no SHA-256 in hex")),
        }
    });
    block.set("connection_rate_limit", &mut out.rate_max, errors, |v| {
        Ok(reader::limit(v)?.min(u32::MAX as usize) as u32)
    });
    let is_empty = |value: &&Value| matches!(&value.kind, Kind::Array(list) if list.is_empty());
    if let Some(value) = block.get("certs").filter(|value| !is_empty(value)) {
        out.certs = certs(value, errors);
        if !out.cert_file.as_os_str().is_empty() {
            let problem = "error parsing tls config, cannot combine 'cert_file' option with 'certs' option";
            errors.push(ConfigError::new(&value.at, problem));
        }
        return Some(out);
    }
    for (key, file) in [("cert_file", &out.cert_file), ("key_file", &out.key_file)] {
        if file.as_os_str().is_empty() {
            errors.push(ConfigError::new(&value.at, format!("missing '{key}' in TLS configuration")));
        }
    }
    Some(out)
}

fn handshake_first(v: &Value) -> Result<TlsFirst, ConfigError> {
    match &v.kind {
        Kind::String(text) if ["auto", "auto_fallback"].contains(&text.to_ascii_lowercase().as_str()) => {
            Ok(TlsFirst::Within(TLS_FIRST_AUTO))
        }
        Kind::String(text) if reader::parse_duration(text).is_some() => match reader::duration(v)? {
            // No time to wait for it: nothing but TLS is spoken.
            wait if wait.is_zero() => Ok(TlsFirst::Yes),
            wait => Ok(TlsFirst::Within(wait)),
        },
        _ => Ok(if reader::boolean(v)? { TlsFirst::Yes } else { TlsFirst::No }),
    }
}

fn min_version_is_1_3(v: &Value) -> Result<bool, ConfigError> {
    match &v.kind {
        Kind::Float(n) if *n == 1.2 => Ok(false),
        Kind::Float(n) if *n == 1.3 => Ok(true),
        Kind::String(text) if text == "1.2" => Ok(false),
        Kind::String(text) if text == "1.3" => Ok(true),
        _ => {
            Err(ConfigError::new(&v.at, "unsupported minimum TLS version").help("known are `1.2` and `1.3`"))
        }
    }
}

/// `[ { cert_file: …, key_file: … }, … ]`
fn certs(value: &Value, errors: &mut Errors) -> Vec<CertPair> {
    let values = noted(reader::array(value), errors).unwrap_or_default();
    let mut pairs = Vec::new();
    for value in values {
        let Some(map) = noted(reader::map(value), errors) else { continue };
        let block = Block::new("cert", map, errors);
        let mut pair = CertPair::default();
        let path = |v: &Value| reader::text(v).map(PathBuf::from);
        block.set("cert_file", &mut pair.cert_file, errors, path);
        block.set("key_file", &mut pair.key_file, errors, path);
        if pair.cert_file.as_os_str().is_empty() || pair.key_file.as_os_str().is_empty() {
            let problem =
                "error parsing certificates config: both 'cert_file' and 'key_file' options are required";
            errors.push(ConfigError::new(&value.at, problem));
        }
        pairs.push(pair);
    }
    pairs
}

fn nonempty(value: &Value) -> Result<Vec<String>, ConfigError> {
    match reader::texts(value)? {
        list if list.is_empty() => Err(ConfigError::new(&value.at, "the list is empty")),
        list => Ok(list),
    }
}
