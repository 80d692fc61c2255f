//! Flags about the cluster.

use super::FlagError;
use super::table::port as listening_port;
use crate::blocks::cluster::{NOT_LISTENING, RouteUrl};
use crate::blocks::server_url::{self, Parts};
use crate::error::Location;
use crate::options::{Cluster, Options};

/// The cluster, which a flag alone makes.
pub(super) fn of(options: &mut Options) -> &mut Cluster {
    let at = Location::nowhere("command line");
    options.cluster.get_or_insert_with(|| Cluster { at: at.into(), ..Cluster::default() })
}

/// `--routes`: URLs with commas between them, which take the place of those of the file.
pub(super) fn routes(options: &mut Options, text: &str) -> Result<(), String> {
    let mut routes: Vec<RouteUrl> = Vec::new();
    for text in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        let at = Location::nowhere("command line").into();
        let url = server_url::dialled(text, "route")?;
        if !routes.iter().any(|known| known.url == url) {
            routes.push(RouteUrl { at, url });
        }
    }
    of(options).routes = routes;
    Ok(())
}

/// `--cluster`: where to listen. A user and a password in it take the place of those of the file, and so does their
/// absence. Source: nats-server 2.15.0, asked.
pub(super) fn listen(options: &mut Options, text: &str) -> Result<(), String> {
    let own = of(options);
    if text.is_empty() {
        own.listener.address.port = Some(0);
        return Ok(());
    }
    let parts = Parts::split(text)?;
    let port = parts.port.ok_or("it has no port")?;
    own.listener.address.port = listening_port(port).map_err(|_| format!("{port:?} is no port"))?;
    own.listener.address.host = if parts.host.is_empty() { "0.0.0.0".into() } else { parts.host.to_owned() };
    if parts.user.is_some() && parts.password.is_none() {
        return Err("expected cluster password to be set".into());
    }
    own.authorization.user = parts.user;
    own.authorization.password = parts.password;
    Ok(())
}

/// What the flags and the file mean together, whatever the order of the flags: a cluster that does not listen has no
/// routes. Source: nats-server 2.15.0, asked.
pub(super) fn settle(options: &mut Options, listen: bool, routes: bool) -> Result<(), FlagError> {
    let Some(own) = &mut options.cluster else { return Ok(()) };
    if own.is_on() {
        options.source.doubts.retain(|doubt| doubt.problem != NOT_LISTENING);
        return Ok(());
    }
    if routes && !listen && !own.routes.is_empty() {
        return Err(FlagError("solicited routes require cluster capabilities, e.g. --cluster".into()));
    }
    own.routes.clear();
    Ok(())
}
