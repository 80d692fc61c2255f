//! HTTP: one thread, one runtime, bounded connections.

use super::lenient::{Lenient, typed};
use super::{Answer, HTML, JSON, Query, answer, query};
use crate::builder::resolve;
use crate::log::Event;
use crate::shared::Shared;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Connections that are served at once; others wait.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send its request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may live.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a request's headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Opens the monitoring ports that are configured, and serves them. Their URLs.
///
/// Errors: the address that cannot be listened on, and why.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<Vec<String>, (String, io::Error)> {
    let policy = shared.policy();
    let http = &policy.options.http;
    let host = if http.host.is_empty() { &policy.options.host } else { &http.host };
    let mut urls = Vec::new();
    for (port, encrypted) in [(http.port, false), (http.tls_port, true)] {
        let Some(port) = port else { continue };
        let fail = |cause: io::Error| (format!("{host}:{port}"), cause);
        let address = resolve(host, port).map_err(|e| fail(io::Error::other(e)))?;
        let listener = TcpListener::bind(address).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let local = listener.local_addr().map_err(fail)?;
        let scheme = if encrypted { "https" } else { "http" };
        shared.monitor_at(local, encrypted);
        shared.log.say(Event::Starting, "", format_args!("Starting {scheme} monitor on {local}"));
        urls.push(format!("{scheme}://{local}"));
        let shared = shared.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(fail)?
        };
        let threads = shared.threads.clone();
        let run = move || runtime.block_on(serve(&shared, listener, encrypted));
        threads.spawn("monitor", run).map_err(fail)?;
    }
    Ok(urls)
}

async fn serve(shared: &Arc<Shared>, listener: tokio::net::TcpListener, encrypted: bool) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let Ok((stream, remote)) = listener.accept().await else {
            // No file descriptors: a moment later there may be.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let served = serve_one(&shared, stream, remote, encrypted);
            // A connection that takes too long is dropped; so is its error, which concerns its peer alone.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
            drop(place);
        });
    }
}

async fn serve_one(shared: &Arc<Shared>, stream: tokio::net::TcpStream, _: SocketAddr, encrypted: bool) {
    let service = |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(&shared, &request)) }
    };
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
    let service = hyper::service::service_fn(service);
    // A peer that breaks off is no concern of ours.
    if encrypted {
        let Some(config) = shared.policy().tls.as_ref().map(|tls| tls.config()) else { return };
        if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
            let _ = builder.serve_connection(TokioIo::new(Lenient(stream)), service).await;
        }
    } else {
        let _ = builder.serve_connection(TokioIo::new(Lenient(stream)), service).await;
    }
}

/// The method does not matter, as with the official server: there is nothing here but to read.
fn respond(shared: &Arc<Shared>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let policy = shared.policy();
    let base = policy.options.http.base_path.trim_end_matches('/');
    let base = if base.is_empty() || base.starts_with('/') { base.to_owned() } else { format!("/{base}") };
    let path = query::decode_path(request.uri().path());
    if let Some(clean) = cleaned(&path) {
        return redirect(&clean, request.uri().query());
    }
    let answer = match path.strip_prefix(&*base) {
        // The first page is at the base path itself; with a slash more there is nothing.
        Some("/") if !base.is_empty() => Answer::nothing_there(),
        Some(path) => answer(shared, path, &Query::parse(&typed(request.uri().query().unwrap_or_default()))),
        None => Answer::nothing_there(),
    };
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if answer.content_type == JSON {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    if answer.status == 404 {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

/// The path without empty parts, `.` and `..`, if it has any.
fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let slash = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    let clean = format!("/{}{slash}", parts.join("/"));
    (path.starts_with('/') && clean != path).then_some(clean)
}

fn redirect(path: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let location = query::encode_path(path) + &query.map(|query| format!("?{query}")).unwrap_or_default();
    let body = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", location.replace('&', "&amp;"));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(HTML));
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned() {
        for (path, clean) in [
            ("/", None),
            ("/varz", None),
            ("/varz/", None),
            ("//varz", Some("/varz")),
            ("/a/../varz", Some("/varz")),
            ("/./varz//", Some("/varz/")),
            ("/../..", Some("/")),
            ("//", Some("/")),
            ("*", None),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }
}
