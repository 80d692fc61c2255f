//! The HTTP request that a connection by WebSocket begins with, and its answer: the end that was connected to.

use super::frame::Agreed;
use super::origin::Origins;
use crate::http::Headers;
use data_encoding::BASE64;
use std::net::IpAddr;

/// Bytes of a request. Cookies with a JWT fit.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// What the key is answered with. RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Methods that requests begin with.
const METHODS: [&[u8]; 5] = [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS "];
const PLAIN_TO_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
/// What is offered and agreed on: compression of each message by itself.
pub(super) const EXTENSIONS: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

/// What a listener asks of requests and says in its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The connection is encrypted.
    pub is_tls: bool,
    /// Messages may be compressed.
    pub compression: bool,
    /// Which pages may connect.
    pub origins: Origins,
    /// More headers of the answer.
    pub headers: Vec<(String, String)>,
    /// Names of cookies that hold credentials; empty: none does.
    pub cookie_names: Cookies,
    /// Whether clients of MQTT may come.
    pub takes_mqtt: bool,
}

/// Credentials in cookies, or the names of these cookies.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Cookies {
    /// A user's JWT.
    pub jwt: String,
    /// A user's name.
    pub user: String,
    /// A password.
    pub password: String,
    /// A token.
    pub token: String,
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies(…)")
    }
}

/// Which protocol is asked for, by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// That of clients.
    Client,
    /// `…/leafnode`: that of leaf nodes.
    LeafNode,
    /// `…/mqtt`: MQTT.
    Mqtt,
}

/// A request that is granted.
#[derive(Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// What speaks.
    pub path: Path,
    /// What was agreed about the peer's frames.
    pub agreed: Agreed,
    /// Whom a proxy names as the other end.
    pub forwarded_for: Option<IpAddr>,
    /// Credentials.
    pub cookies: Cookies,
    /// The answer.
    pub response: Vec<u8>,
}

/// A request that is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why, for the log, in the official words; empty: the log says nothing.
    pub why: String,
    /// The answer; empty: there is none.
    pub response: Vec<u8>,
}

impl Refusal {
    /// The official answer of the handler: a short text, and which version is spoken.
    fn new(status: u16, why: impl Into<String>) -> Self {
        let name = name(status);
        let head = format!(
            "HTTP/1.1 {status} {name}\r\nContent-Type: text/plain; charset=utf-8\r\nSec-Websocket-Version: 13\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}\n",
            name.len() + 1
        );
        Self { why: why.into(), response: head.into() }
    }

    /// What an HTTP server answers to what is no request. The official server does not log it.
    fn no_request(status: u16, detail: &str) -> Self {
        let line = format!("{status} {}{detail}", name(status));
        let head = format!(
            "HTTP/1.1 {line}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{line}"
        );
        Self { why: String::new(), response: head.into() }
    }
}

fn name(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// The answer to what is no request by its first byte, such as TLS where none is spoken: nobody waits for its end.
pub fn no_request(input: &[u8]) -> Option<Refusal> {
    let may_begin = input.first().is_none_or(|byte| byte.is_ascii_alphabetic() || b"\r\n".contains(byte));
    (!may_begin).then(|| Refusal::no_request(400, ""))
}

/// A request that is too large.
pub fn too_large() -> Refusal {
    Refusal::no_request(431, "")
}

/// The answer to a plain request where TLS is spoken, by its first bytes. `None`: they are of no request.
pub fn plain_to_tls(first: &[u8]) -> Option<&'static [u8]> {
    METHODS.iter().any(|method| first.starts_with(method)).then_some(PLAIN_TO_TLS)
}

/// Reads a request, the head of which is whole, and decides on it.
///
/// # Errors
/// It is refused.
pub fn decide(head: &[u8], terms: &Terms) -> Result<Upgrade, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refusal::no_request(400, "")),
        Err(httparse::Error::TooManyHeaders) => return Err(too_large()),
        Err(httparse::Error::Version) if head.windows(6).any(|w| w == b" HTTP/") => {
            return Err(Refusal::no_request(505, ": unsupported protocol version"));
        }
        Err(_) => return Err(Refusal::no_request(400, "")),
    }
    let headers = Headers(request.headers);
    let host = host(&headers, request.version)?;
    let path = request.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    // Whatever stands before it: a proxy may have put it there.
    let last = path.rsplit_once('/').map(|(_, last)| last);
    if last == Some("mqtt") && !terms.takes_mqtt {
        return Err(Refusal::new(404, "mqtt websocket endpoint not enabled"));
    }
    if request.method != Some("GET") {
        return Err(Refusal::new(405, "request method must be GET"));
    }
    if host.is_empty() {
        return Err(Refusal::new(400, "'Host' missing in request"));
    }
    if !headers.has_token("Upgrade", "websocket") {
        return Err(Refusal::new(400, "invalid value for header 'Upgrade'"));
    }
    if !headers.has_token("Connection", "Upgrade") {
        return Err(Refusal::new(400, "invalid value for header 'Connection'"));
    }
    let key = headers.first("Sec-WebSocket-Key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Refusal::new(400, "key missing"))?;
    if !headers.has_token("Sec-WebSocket-Version", "13") {
        return Err(Refusal::new(400, "invalid version"));
    }
    let origin = headers.first("Origin").or_else(|| headers.first("Sec-WebSocket-Origin"));
    terms
        .origins
        .check(origin, host, terms.is_tls)
        .map_err(|why| Refusal::new(403, format!("origin not allowed: {why}")))?;
    let deflate = terms.compression && offers_deflate(&headers);
    let masked = headers.first("Nats-No-Masking") != Some("true");
    let agreed = Agreed { masked, deflate };
    let path = match last {
        Some("leafnode") => Path::LeafNode,
        Some("mqtt") => Path::Mqtt,
        _ => Path::Client,
    };
    let subprotocol = (path == Path::Mqtt).then(|| mqtt_subprotocol(&headers));
    Ok(Upgrade {
        path,
        agreed,
        forwarded_for: headers.first("X-Forwarded-For").and_then(|address| address.parse().ok()),
        cookies: cookies(&headers, &terms.cookie_names),
        response: response(key, agreed, subprotocol, terms),
    })
}

/// The host that the request is for; empty: HTTP/1.0, which need not say it.
fn host<'a>(headers: &Headers<'a, '_>, version: Option<u8>) -> Result<&'a str, Refusal> {
    let mut hosts = headers.all("Host");
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) if version == Some(0) => "",
        (None, _) => return Err(Refusal::no_request(400, ": missing required Host header")),
        (Some(_), Some(_)) => return Err(Refusal::no_request(400, "")),
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"!$&'()*+,-.:;=_~%[]".contains(&b);
    if host.bytes().all(is_host) {
        Ok(host)
    } else {
        Err(Refusal::no_request(400, ": malformed Host header"))
    }
}

/// What a key is answered with.
pub(super) fn accept(key: &str) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key.as_bytes());
    digest.update(GUID);
    BASE64.encode(digest.finish().as_ref())
}

/// The name of MQTT that is answered: the official server has one, and clients of 3.1 may know only theirs.
fn mqtt_subprotocol(headers: &Headers<'_, '_>) -> &'static str {
    let asks = |name| headers.has_token("Sec-WebSocket-Protocol", name);
    if !asks("mqtt") && asks("mqttv3.1") { "mqttv3.1" } else { "mqtt" }
}

fn response(key: &str, agreed: Agreed, subprotocol: Option<&str>, terms: &Terms) -> Vec<u8> {
    let accept = accept(key);
    let mut out = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    );
    if agreed.deflate {
        out.push_str(EXTENSIONS);
    }
    if let Some(subprotocol) = subprotocol {
        out.extend(["Sec-WebSocket-Protocol: ", subprotocol, "\r\n"]);
    }
    if !agreed.masked {
        out.push_str("Nats-No-Masking: true\r\n");
    }
    for (name, value) in &terms.headers {
        out.extend([name, ": ", value, "\r\n"]);
    }
    out.push_str("\r\n");
    out.into()
}

/// Whether a client offers compression, whatever parameters it offers: the answer's hold. RFC 7692 §7.1 lets a server add those two.
fn offers_deflate(headers: &Headers<'_, '_>) -> bool {
    let offers = headers.all("Sec-WebSocket-Extensions").flat_map(|value| value.split(','));
    offers
        .filter_map(|offer| offer.split(';').next())
        .any(|one| one.trim().eq_ignore_ascii_case("permessage-deflate"))
}

fn cookies(headers: &Headers<'_, '_>, names: &Cookies) -> Cookies {
    let value = |name: &str| {
        if name.is_empty() {
            return String::new();
        }
        let pairs = headers.all("Cookie").flat_map(|value| value.split(';'));
        let mut found = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(n, _)| *n == name);
        let value = found.next().map(|(_, value)| value).unwrap_or_default();
        value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).to_owned()
    };
    Cookies {
        jwt: value(&names.jwt),
        user: value(&names.user),
        password: value(&names.password),
        token: value(&names.token),
    }
}

#[cfg(test)]
mod tests;
