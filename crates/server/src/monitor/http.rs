//! HTTP: one thread a port, one runtime, bounded connections. Documents are built by the threads for questions, so that
//! `/healthz` answers whatever else is asked for.

use super::connected::{Connected, Place};
use super::lenient::{Lenient, typed};
use super::{Answer, HTML, JSON, Query, answer, is_quick, query};
use crate::log::Event;
use crate::monitoring::Scheme;
use crate::node::Node;
use crate::share::Share;
use dialtone_net::{Endpoint, ListenError, address};
use dialtone_wire::websocket::upgrade;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

/// Connections that are open at once; for one more another one is closed.
const CONNECTIONS_MAX: usize = 256;
/// How long a client may take to send its request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may live.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// What a request takes while it waits for its answer, about.
const REQUEST_BYTES: usize = 4096;
/// Bytes of a request's headers.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Opens the monitoring ports that are configured, and serves them. Where they are, with their scheme.
///
/// Errors: the address that cannot be listened on, and why.
pub(crate) fn start(node: &Arc<Node>) -> Result<Vec<(&'static str, Endpoint)>, ListenError> {
    let policy = node.settings.policy();
    let http = &policy.options.operation.http;
    let host = if http.host.is_empty() { &policy.options.clients.host } else { &http.host };
    let mut endpoints = Vec::new();
    for (port, scheme) in [(http.port, Scheme::Http), (http.tls_port, Scheme::Https)] {
        let Some(port) = port else { continue };
        let (listener, endpoint) = address::listen(host, port)?;
        let fail = |cause: io::Error| ListenError::Bind { address: endpoint.to_string(), cause };
        node.monitoring.listens_at(scheme, endpoint.port());
        let text = format_args!("Starting {} monitor on {endpoint}", scheme.name());
        node.log.emit(Event::Starting, "", text);
        let node = node.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(fail)?
        };
        let threads = node.threads.clone();
        let run = move || runtime.block_on(serve(&node, listener, scheme));
        threads.spawn("monitor", run).map_err(fail)?;
        endpoints.push((scheme.name(), endpoint));
    }
    Ok(endpoints)
}

async fn serve(node: &Arc<Node>, listener: tokio::net::TcpListener, scheme: Scheme) {
    let connected = Arc::new(Connected::default());
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // No file descriptors: a moment later there may be.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let node = node.clone();
        let share = Share::address(remote.ip());
        let place = connected.admit(share.clone(), CONNECTIONS_MAX, Instant::now());
        let number = place.number();
        let task = tokio::spawn(async move {
            let served = serve_one(&node, stream, &place, &share, scheme);
            // A connection that takes too long is dropped; so is its error, which concerns its peer alone.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
        });
        connected.served_by(number, task.abort_handle());
    }
}

async fn serve_one(
    node: &Arc<Node>,
    mut stream: tokio::net::TcpStream,
    place: &Place,
    share: &Share,
    scheme: Scheme,
) {
    let service = |request| async move {
        place.answering(Instant::now());
        let response = respond(node, share, &request).await;
        place.idle(Instant::now());
        Ok::<_, Infallible>(response)
    };
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEADER_BYTES_MAX);
    let service = hyper::service::service_fn(service);
    // A peer that breaks off concerns nobody else.
    if scheme == Scheme::Https {
        let Some(config) = node.settings.policy().clients().tls.as_ref().map(|tls| tls.config()) else {
            return;
        };
        if let Some(answer) = plain_to_tls(&stream).await {
            let _ = stream.write_all(answer).await;
        } else if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
            let _ = builder.serve_connection(TokioIo::new(Lenient(stream)), service).await;
        }
    } else {
        let _ = builder.serve_connection(TokioIo::new(Lenient(stream)), service).await;
    }
}

/// The answer to who does not know that TLS is spoken here. `None`: it begins with TLS, or with something else.
async fn plain_to_tls(stream: &tokio::net::TcpStream) -> Option<&'static [u8]> {
    let mut first = [0; 8];
    let got = stream.peek(&mut first).await.ok()?;
    upgrade::plain_to_tls(first.get(..got)?)
}

/// The method does not matter, as with the official server: there is nothing here but to read.
async fn respond(node: &Arc<Node>, share: &Share, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let policy = node.settings.policy();
    let base = policy.options.operation.http.base_path.trim_end_matches('/');
    let base = if base.is_empty() || base.starts_with('/') { base.to_owned() } else { format!("/{base}") };
    let path = query::decode_path(request.uri().path());
    if let Some(clean) = cleaned(&path) {
        return redirect(&clean, request.uri().query());
    }
    let answer = match path.strip_prefix(&*base) {
        // The first page is at the base path itself; with a slash more there is nothing.
        Some("/") if !base.is_empty() => Answer::nothing_there(),
        Some(path) => {
            let query = Query::parse(&typed(request.uri().query().unwrap_or_default()));
            answer_in_turn(node, share, path, query).await
        }
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

/// The answer for a path: at once if it is quick to make, otherwise when the turn of whoever asks has come.
async fn answer_in_turn(node: &Arc<Node>, share: &Share, path: &str, query: Query) -> Answer {
    if is_quick(path) {
        return answer(node, path, &query);
    }
    let (sender, receiver) = oneshot::channel();
    let path = path.to_owned();
    node.internal.ask_server(share.clone(), REQUEST_BYTES, move |publisher| {
        // Who has left gets nothing made.
        if !sender.is_closed() {
            let _ = sender.send(answer(&publisher.node, &path, &query));
        }
    });
    receiver.await.unwrap_or_else(|_| Answer::text(503, "too many requests wait\n"))
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
