//! OCSP: staples for the server's certificates, the check of clients' certificates, and what is kept for that.

use crate::error::ConfigError;
use crate::language::{Kind, Value};
pub use crate::options::ocsp::{OcspCache, OcspPeer};
use crate::options::{Ocsp, OcspMode};
use crate::reader::{self, Block, Errors, noted};
use std::path::PathBuf;
use std::time::Duration;

/// The shortest time between two saves of the cache. The official figure.
const SAVE_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// `true`, `false`, or a block.
pub(crate) fn stapling(value: &Value, errors: &mut Errors) -> Ocsp {
    let mut out = Ocsp::default();
    let map = match &value.kind {
        Kind::Bool(on) => {
            out.mode = if *on { OcspMode::Auto } else { OcspMode::Never };
            return out;
        }
        Kind::Map(map) => map,
        other => {
            let problem = format!("error parsing ocsp config: unsupported type {}", other.name());
            errors.push(ConfigError::new(&value.at, problem).help("`true`, `false` or a block is expected"));
            return out;
        }
    };
    let block = Block::new("ocsp", map, errors);
    block.set("mode", &mut out.mode, errors, |v| match reader::text(v)?.to_ascii_lowercase().as_str() {
        "auto" => Ok(OcspMode::Auto),
        "must" => Ok(OcspMode::Must),
        "always" => Ok(OcspMode::Always),
        "never" => Ok(OcspMode::Never),
        _ => Err(ConfigError::new(&v.at, "error parsing ocsp config: unsupported ocsp mode")
            .help("known are `auto`, `must`, `always` and `never`")),
    });
    for (key, read) in [("url", reader::one_text as fn(&Value) -> _), ("urls", reader::text_list)] {
        let mut urls = Vec::new();
        block.set(key, &mut urls, errors, |v| {
            let urls = read(v)?;
            match urls.iter().find(|url| !url.is_empty() && !url.starts_with("http://")) {
                None => Ok(urls),
                Some(url) => {
                    Err(ConfigError::new(&v.at, format!("{url:?} is no address of an OCSP responder"))
                        .help("it begins with `http://`; what responders say is signed"))
                }
            }
        });
        out.urls.extend(urls.into_iter().filter(|url| !url.is_empty()));
    }
    out
}

/// `true`, `false`, or a block that says `verify: true`. `None`: clients' certificates are not checked.
pub(crate) fn peer(value: &Value, verify: bool, errors: &mut Errors) -> Option<OcspPeer> {
    let (mut out, defaults) = (OcspPeer::default(), OcspPeer::default());
    let mut on = false;
    match &value.kind {
        Kind::Bool(value) => on = *value,
        _ => {
            let block = Block::new("ocsp_peer", noted(reader::map(value), errors)?, errors);
            let duration = |default| move |v: &Value| reader::duration_or_default(v, default);
            block.set("verify", &mut on, errors, reader::boolean);
            block.set("ca_timeout", &mut out.ca_timeout, errors, duration(defaults.ca_timeout));
            block.set("allowed_clockskew", &mut out.clock_skew, errors, duration(defaults.clock_skew));
            block.set("warn_only", &mut out.warn_only, errors, reader::boolean);
            block.set("unknown_is_good", &mut out.unknown_is_good, errors, reader::boolean);
            let unreachable = &mut out.allow_when_ca_unreachable;
            block.set("allow_when_ca_unreachable", unreachable, errors, reader::boolean);
            let unset = duration(defaults.ttl_when_next_update_unset);
            let ttl = &mut out.ttl_when_next_update_unset;
            block.set("cache_ttl_when_next_update_unset", ttl, errors, unset);
        }
    }
    if on && !verify {
        let problem =
            "OCSP peer verification for client connections requires TLS verify (mTLS) to be enabled";
        errors.push(ConfigError::new(&value.at, problem));
    }
    on.then_some(out)
}

/// `true`, `false`, or a block. `None`: nothing is kept.
pub(crate) fn cache(value: &Value, errors: &mut Errors) -> Option<OcspCache> {
    let mut out = OcspCache::default();
    let mut local = true;
    match &value.kind {
        Kind::Bool(on) => local = *on,
        _ => {
            let block = Block::new("ocsp_cache", noted(reader::map(value), errors)?, errors);
            block.set("type", &mut local, errors, |v| match reader::text(v)?.to_ascii_lowercase().as_str() {
                "local" => Ok(true),
                "none" => Ok(false),
                other => Err(ConfigError::new(&v.at, format!("unknown OCSP response cache type {other:?}"))
                    .help("known are `local` and `none`")),
            });
            let default = out.local_store.clone();
            block.set("local_store", &mut out.local_store, errors, |v| {
                Ok(reader::optional(v)?.map_or(default, PathBuf::from))
            });
            block.set("preserve_revoked", &mut out.preserve_revoked, errors, reader::boolean);
            let default = out.save_interval;
            block.set("save_interval", &mut out.save_interval, errors, |v| {
                Ok(reader::duration_or_default(v, default)?.max(SAVE_INTERVAL_MIN))
            });
        }
    }
    local.then_some(out)
}
