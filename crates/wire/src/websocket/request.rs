//! The HTTP request that a connection by WebSocket begins with, and what is made of its answer: the end that connects.

use super::frame::Agreed;
use super::upgrade::{self, EXTENSIONS};
use crate::http::{self, HeadError, Headers, StatusLine};
use data_encoding::BASE64;

/// What names the protocol of leaf nodes, behind whatever path is configured.
const LEAF_NODE: &str = "leafnode";

/// What a connection by WebSocket is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// `host:port`.
    host: String,
    path: String,
    key: String,
    deflate: bool,
    no_masking: bool,
}

/// A request that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was agreed about the frames of the other end.
    pub agreed: Agreed,
    /// Whether this end masks what it sends.
    pub masks: bool,
}

/// Why there is no connection. The first words are the official server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It cannot be read.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Another status than 101.
    #[error("invalid websocket connection: the answer is {0}")]
    Status(u16),
    /// A header is missing, or is not what it must be.
    #[error("invalid websocket connection: the answer lacks a valid {0:?}")]
    Header(&'static str),
    /// It has what was not asked for.
    #[error("invalid websocket connection: the answer has {0:?}, which was not asked for")]
    NotAsked(&'static str),
    /// Messages cannot be compressed as it wants.
    #[error("compression negotiation error")]
    Deflate,
}

impl Request {
    /// A request for the protocol of leaf nodes at a host, `host:port`, below a path of its URL. `nonce` is what is drawn at random.
    pub fn leaf_node(host: &str, path: &str, nonce: [u8; 16]) -> Self {
        let (host, path, key) = (host.to_owned(), leaf_node_path(path), BASE64.encode(&nonce));
        Self { host, path, key, deflate: false, no_masking: false }
    }

    /// Offers compression.
    #[must_use]
    pub fn offer_deflate(self, deflate: bool) -> Self {
        Self { deflate, ..self }
    }

    /// Asks not to have to mask.
    #[must_use]
    pub fn ask_no_masking(self, no_masking: bool) -> Self {
        Self { no_masking, ..self }
    }

    /// The bytes of the request.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {}\r\n\
             Sec-WebSocket-Version: 13\r\n",
            self.path, self.host, self.key
        );
        if self.deflate {
            out.push_str(EXTENSIONS);
        }
        if self.no_masking {
            out.push_str("Nats-No-Masking: true\r\n");
        }
        out.push_str("\r\n");
        out.into()
    }

    /// Reads the answer, the head of which is whole.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn answered(&self, head: &[u8]) -> Result<Answer, AnswerError> {
        http::answer(head, |line, headers| self.judge(line, headers))?
    }

    fn judge(&self, line: StatusLine<'_>, headers: &Headers<'_, '_>) -> Result<Answer, AnswerError> {
        if line.status != 101 {
            return Err(AnswerError::Status(line.status));
        }
        if line.minor_version == 0 {
            return Err(HeadError::Malformed.into());
        }
        if !headers.has_token("Upgrade", "websocket") {
            return Err(AnswerError::Header("Upgrade"));
        }
        if !headers.has_token("Connection", "Upgrade") {
            return Err(AnswerError::Header("Connection"));
        }
        if !headers.all("Sec-WebSocket-Accept").eq([upgrade::accept(&self.key).as_str()]) {
            return Err(AnswerError::Header("Sec-WebSocket-Accept"));
        }
        if headers.first("Sec-WebSocket-Protocol").is_some() {
            return Err(AnswerError::NotAsked("Sec-WebSocket-Protocol"));
        }
        let deflate = self.agreed_deflate(headers)?;
        let masks = !(self.no_masking && headers.first("Nats-No-Masking") == Some("true"));
        Ok(Answer { agreed: Agreed { masked: false, deflate }, masks })
    }

    /// Whether messages may be compressed: without what was in those before, as both ends must say.
    fn agreed_deflate(&self, headers: &Headers<'_, '_>) -> Result<bool, AnswerError> {
        let extensions: Vec<&str> =
            headers.all("Sec-WebSocket-Extensions").flat_map(|value| value.split(',')).collect();
        let [extension] = extensions[..] else {
            return if extensions.is_empty() { Ok(false) } else { Err(AnswerError::Deflate) };
        };
        let mut parts = extension.split(';').map(str::trim);
        if !self.deflate || parts.next() != Some("permessage-deflate") {
            return Err(AnswerError::NotAsked("Sec-WebSocket-Extensions"));
        }
        let mut parameters: Vec<&str> = parts.collect();
        // How far back the other end looks in what it compresses is its own affair.
        parameters.retain(|parameter| !parameter.starts_with("server_max_window_bits="));
        parameters.sort_unstable();
        match parameters == ["client_no_context_takeover", "server_no_context_takeover"] {
            true => Ok(true),
            false => Err(AnswerError::Deflate),
        }
    }
}

/// The path of a URL with the name of the protocol behind it, as a request has it: whatever is configured, it breaks no line.
fn leaf_node_path(configured: &str) -> String {
    let path = configured.split(['?', '#']).next().unwrap_or_default();
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.push(LEAF_NODE);
    let mut out = String::new();
    for name in names {
        out.push('/');
        for byte in name.bytes() {
            match byte {
                b if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&b) => {
                    out.push(char::from(b))
                }
                b => out.push_str(&format!("%{b:02X}")),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::upgrade::{Path, Terms, decide};
    use proptest::prelude::*;

    /// The example of RFC 6455 §1.3.
    const NONCE: &[u8; 16] = b"the sample nonce";
    const GOOD: [&str; 4] = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: WebSocket",
        "Connection: keep-alive, upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ];

    fn request() -> Request {
        Request::leaf_node("h:80", "", *NONCE)
    }

    /// A good answer with the line of this name replaced, or one more.
    fn answer(line: &str) -> Vec<u8> {
        let name = |line: &str| line.split([':', '/']).next().unwrap_or_default().to_owned();
        let (mut first, mut rest) = (GOOD[0], GOOD[1..].to_vec());
        if line.starts_with("HTTP/") {
            first = line;
        } else if !line.is_empty() {
            rest.retain(|good| name(good) != name(line));
            rest.push(line);
        }
        (format!("{first}\r\n{}\r\n\r\n", rest.join("\r\n"))).into()
    }

    #[track_caller]
    fn refused(request: &Request, line: &str, why: &str) {
        let found = request.answered(&answer(line)).map_err(|why| why.to_string());
        assert_eq!(found, Err(why.to_owned()), "{line}");
    }

    #[test]
    fn the_request_says_what_is_wanted() {
        let request = Request::leaf_node("h:80", "/a", *NONCE).offer_deflate(true).ask_no_masking(true);
        expect_test::expect![[r#"
            GET /a/leafnode HTTP/1.1
            Host: h:80
            Upgrade: websocket
            Connection: Upgrade
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            Sec-WebSocket-Version: 13
            Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover
            Nats-No-Masking: true

        "#]]
        .assert_eq(&String::from_utf8(request.encode()).expect("text").replace('\r', ""));
    }

    /// What the other side of this codec answers is what was asked for, with each choice at each end.
    #[test]
    fn both_ends_agree() {
        for choice in 0..8 {
            let (offers, compresses, asks) = (choice & 1 != 0, choice & 2 != 0, choice & 4 != 0);
            let request = request().offer_deflate(offers).ask_no_masking(asks);
            let terms = Terms { compression: compresses, ..Terms::default() };
            let upgrade = decide(&request.encode(), &terms).expect("granted");
            assert_eq!(upgrade.path, Path::LeafNode);
            let answer = request.answered(&upgrade.response).expect("understood");
            assert_eq!((answer.agreed.deflate, answer.masks), (offers && compresses, !asks), "{choice}");
            assert_eq!(
                (upgrade.agreed.deflate, upgrade.agreed.masked),
                (answer.agreed.deflate, answer.masks)
            );
        }
    }

    #[test]
    fn the_path_is_kept_and_breaks_no_line() {
        for (configured, expected) in [
            ("", "/leafnode"),
            ("/", "/leafnode"),
            ("/a/", "/a/leafnode"),
            ("/a//b", "/a/b/leafnode"),
            ("/a/../b/./c", "/b/c/leafnode"),
            ("/../..", "/leafnode"),
            ("/leafnode", "/leafnode/leafnode"),
            ("/a?b=c", "/a/leafnode"),
            ("/a#b", "/a/leafnode"),
            ("?a/b", "/leafnode"),
            ("/a%20b", "/a%20b/leafnode"),
            ("/a b", "/a%20b/leafnode"),
            ("/ä", "/%C3%A4/leafnode"),
            ("/x HTTP/1.1\r\nX: y", "/x%20HTTP/1.1%0D%0AX:%20y/leafnode"),
        ] {
            assert_eq!(leaf_node_path(configured), expected, "{configured:?}");
        }
    }

    #[test]
    fn what_is_no_upgrade_is_refused() {
        let request = request();
        assert_eq!(
            request.answered(&answer("")),
            Ok(Answer { agreed: Agreed { masked: false, deflate: false }, masks: true })
        );
        refused(&request, "HTTP/1.1 200 OK", "invalid websocket connection: the answer is 200");
        refused(&request, "HTTP/1.1 302 Found", "invalid websocket connection: the answer is 302");
        refused(&request, "HTTP/1.1 404 Not Found", "invalid websocket connection: the answer is 404");
        refused(&request, "HTTP/1.0 101 Switching Protocols", "malformed HTTP response");
        for line in
            ["Upgrade: h2c", "Connection: close", "Sec-WebSocket-Accept: AAAA", "Sec-WebSocket-Accept: "]
        {
            let name = line.split(':').next().unwrap_or_default();
            let why = format!("invalid websocket connection: the answer lacks a valid {name:?}");
            refused(&request, line, &why);
        }
        let twice = format!("{}\r\nX: y\r\n{}", GOOD[3], GOOD[3]);
        refused(
            &request,
            &twice,
            "invalid websocket connection: the answer lacks a valid \"Sec-WebSocket-Accept\"",
        );
        for text in [&b"FROB\r\n\r\n"[..], b"INFO {\"server_id\":\"H\"}\r\n\r\n", b"", b"HTTP/1.1 101 x\r\n"]
        {
            assert_eq!(request.answered(text), Err(HeadError::Malformed.into()));
        }
        let many: String = (0..70).map(|n| format!("X-{n}: a\r\n")).collect();
        assert_eq!(request.answered(&answer(many.trim_end())), Err(HeadError::TooLarge.into()));
    }

    /// What the other end says to have agreed on was offered, and can be done: each message is compressed by itself.
    #[test]
    fn nothing_is_agreed_on_that_was_not_offered() {
        let both = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";
        let extension = |text: &str| format!("Sec-WebSocket-Extensions: {text}");
        let (plain, deflating) = (request(), request().offer_deflate(true));
        let not_asked = |name: &str| {
            format!("invalid websocket connection: the answer has {name:?}, which was not asked for")
        };
        refused(&plain, &extension(both), &not_asked("Sec-WebSocket-Extensions"));
        refused(&deflating, &extension("x-other"), &not_asked("Sec-WebSocket-Extensions"));
        refused(&plain, "Sec-WebSocket-Protocol: nats", &not_asked("Sec-WebSocket-Protocol"));
        for text in [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
            &format!("{both}; client_max_window_bits=9"),
            &format!("{both}; server_no_context_takeover"),
            &format!("{both}, {both}"),
        ] {
            refused(&deflating, &extension(text), "compression negotiation error");
        }
        for text in [both, &format!("{both}; server_max_window_bits=9")] {
            let agreed = deflating.answered(&answer(&extension(text))).expect(text);
            assert!(agreed.agreed.deflate, "{text}");
        }
        let said = answer("Nats-No-Masking: true");
        assert!(plain.answered(&said).expect("granted").masks);
        assert!(!request().ask_no_masking(true).answered(&said).expect("granted").masks);
        let other = answer("Nats-No-Masking: yes");
        assert!(request().ask_no_masking(true).answered(&other).expect("granted").masks);
    }

    proptest! {
        #[test]
        fn a_request_is_one_request_whatever_the_path(path: String) {
            let bytes = Request::leaf_node("h:80", &path, *NONCE).encode();
            prop_assert_eq!(http::head_end(&bytes, 0), Some(bytes.len()));
            let granted = decide(&bytes, &Terms::default());
            prop_assert!(granted.is_ok_and(|upgrade| upgrade.path == Path::LeafNode));
        }

        #[test]
        fn any_answer_is_judged(head in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..200, junk: [u8; 3]) {
            let _ = request().answered(&head);
            let mut near = answer("");
            for (offset, byte) in junk.into_iter().enumerate() {
                let place = (at + offset) % near.len();
                near[place] = byte;
            }
            let _ = request().offer_deflate(true).answered(&near);
        }
    }
}
