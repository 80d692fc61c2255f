//! OCSP: staples for the server's certificates, the check of clients' certificates, and what is kept for that.

use super::block;
use super::rule::Rule::Within;
use crate::blocks::keys::Status::Reloads;
use crate::blocks::reader::{self, Block, Notes, noted};
use crate::error::ConfigError;
use crate::language::{Kind, Value};
use std::path::PathBuf;
use std::time::Duration;

/// The shortest time between two saves of the cache. The official figure.
const SAVE_INTERVAL_MIN: Duration = Duration::from_secs(1);

block! {
    /// OCSP stapling.
    pub struct Ocsp in "ocsp" {
        mode: OcspMode = OcspMode::Auto,
            mode: "`auto` staples certificates that demand it, `must` also stops the server if they are revoked, `always` does both for all, `never` nothing.",
            read (mode), Within(Reloads);
        /// With those of `urls`; empty: the certificate's own.
        urls: Vec<String> = Vec::new(),
            url: "Responder to ask instead of the certificate's.",
            read (|v| responders(v, reader::one_text(v)?)), Within(Reloads);
    }
    also {
        urls: Reloads, "Responders to ask instead of the certificate's, in order.";
    }
}

block! {
    /// How clients' certificates are checked. The defaults are the official ones.
    pub struct OcspPeer in "ocsp_peer" {
        is_on: bool = false,
            verify: "Check them.", read (reader::boolean), Within(Reloads);
        /// For each responder.
        ca_timeout: Duration = Duration::from_secs(2),
            ca_timeout: "How long a responder may take. Default 2s.",
            or_default (|v, _| reader::duration(v)), Within(Reloads);
        clock_skew: Duration = Duration::from_secs(30),
            allowed_clockskew: "How far a responder's clock may differ. Default 30s.",
            or_default (|v, _| reader::duration(v)), Within(Reloads);
        warn_only: bool = false,
            warn_only: "Let certificates in that are not good, with a warning.", read (reader::boolean), Within(Reloads);
        unknown_is_good: bool = false,
            unknown_is_good: "So is a certificate that its responder does not know.", read (reader::boolean), Within(Reloads);
        allow_when_ca_unreachable: bool = false,
            allow_when_ca_unreachable: "So is one whose responders do not answer, unless it is known to be revoked.",
            read (reader::boolean), Within(Reloads);
        ttl_when_next_update_unset: Duration = Duration::from_secs(3600),
            cache_ttl_when_next_update_unset: "How long a response counts that does not say it. Default 1h.",
            or_default (|v, _| reader::duration(v)), Within(Reloads);
    }
}

block! {
    /// Where responses about clients' certificates are kept. The defaults are the official ones.
    pub struct OcspCache in "ocsp_cache" {
        is_on: bool = true,
            type: "`local` keeps them in memory and in a file, `none` not at all.", read (is_local), Within(Reloads);
        local_store: PathBuf = PathBuf::from("_rc_"),
            local_store: "Folder of the file. Default `_rc_`.",
            or_default (|v, _| reader::text(v).map(PathBuf::from)), Within(Reloads);
        preserve_revoked: bool = false,
            preserve_revoked: "Keep responses that a certificate is revoked when their time is over.",
            read (reader::boolean), Within(Reloads);
        save_interval: Duration = Duration::from_secs(300),
            save_interval: "How often the file is written. Default 5m, at least 1s.",
            or_default (|v, _| reader::duration(v)), Within(Reloads);
    }
}

/// Which certificates are shown with a staple, and what happens if one is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OcspMode {
    /// Those that demand it.
    #[default]
    Auto,
    /// The same; the server stops if one is revoked.
    Must,
    /// All; the server stops if one is revoked.
    Always,
    /// None.
    Never,
}

fn mode(value: &Value) -> Result<OcspMode, ConfigError> {
    match reader::text(value)?.to_ascii_lowercase().as_str() {
        "auto" => Ok(OcspMode::Auto),
        "must" => Ok(OcspMode::Must),
        "always" => Ok(OcspMode::Always),
        "never" => Ok(OcspMode::Never),
        _ => Err(ConfigError::new(&value.at, "error parsing ocsp config: unsupported ocsp mode")
            .help("known are `auto`, `must`, `always` and `never`")),
    }
}

fn responders(value: &Value, urls: Vec<String>) -> Result<Vec<String>, ConfigError> {
    match urls.iter().find(|url| !url.is_empty() && !url.starts_with("http://")) {
        None => Ok(urls.into_iter().filter(|url| !url.is_empty()).collect()),
        Some(url) => Err(ConfigError::new(&value.at, format!("{url:?} is no address of an OCSP responder"))
            .help("it begins with `http://`; what responders say is signed")),
    }
}

fn is_local(value: &Value) -> Result<bool, ConfigError> {
    match reader::text(value)?.to_ascii_lowercase().as_str() {
        "local" => Ok(true),
        "none" => Ok(false),
        other => Err(ConfigError::new(&value.at, format!("unknown OCSP response cache type {other:?}"))
            .help("known are `local` and `none`")),
    }
}

/// `true`, `false`, or a block.
pub(crate) fn stapling(value: &Value, notes: &mut Notes) -> Ocsp {
    let mut out = Ocsp::default();
    match &value.kind {
        Kind::Bool(on) => out.mode = if *on { OcspMode::Auto } else { OcspMode::Never },
        Kind::Map(map) => {
            let block = Block::new("ocsp", map, &mut notes.errors);
            out.read(&block, notes);
            let mut more = Vec::new();
            block.set("urls", &mut more, &mut notes.errors, |v| responders(v, reader::text_list(v)?));
            out.urls.append(&mut more);
        }
        other => {
            let problem = format!("error parsing ocsp config: unsupported type {}", other.name());
            let error = ConfigError::new(&value.at, problem);
            notes.errors.push(error.help("`true`, `false` or a block is expected"));
        }
    }
    out
}

/// `true`, `false`, or a block that says `verify: true`. `None`: clients' certificates are not checked.
pub(crate) fn peer(value: &Value, verify: bool, notes: &mut Notes) -> Option<OcspPeer> {
    let mut out = OcspPeer::default();
    match &value.kind {
        Kind::Bool(is_on) => out.is_on = *is_on,
        _ => {
            let map = noted(reader::map(value), &mut notes.errors)?;
            out.read(&Block::new("ocsp_peer", map, &mut notes.errors), notes);
        }
    }
    if out.is_on && !verify {
        let problem =
            "OCSP peer verification for client connections requires TLS verify (mTLS) to be enabled";
        notes.errors.push(ConfigError::new(&value.at, problem));
    }
    out.is_on.then_some(out)
}

/// `true`, `false`, or a block. `None`: nothing is kept.
pub(crate) fn cache(value: &Value, notes: &mut Notes) -> Option<OcspCache> {
    let mut out = OcspCache::default();
    match &value.kind {
        Kind::Bool(is_on) => out.is_on = *is_on,
        _ => {
            let map = noted(reader::map(value), &mut notes.errors)?;
            out.read(&Block::new("ocsp_cache", map, &mut notes.errors), notes);
            out.save_interval = out.save_interval.max(SAVE_INTERVAL_MIN);
        }
    }
    out.is_on.then_some(out)
}
