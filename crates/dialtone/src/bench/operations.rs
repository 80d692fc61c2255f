//! Reads the server's operations one by one, where they are few enough to be looked at, and encodes the client's.
//!
//! Floods of equal messages are counted by [`super::tally`] instead.

use anyhow::{Context as _, Result, bail, ensure};

/// Longest line of a server that is waited for: INFO with many addresses is the longest.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Largest message that is waited for; the official server allows at most 64 MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One operation from a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// MSG or HMSG.
    Message {
        /// Where an answer is expected.
        reply: Option<&'a [u8]>,
        /// Headers and payload as they came.
        body: &'a [u8],
        /// How many of the body's bytes are headers; none for MSG.
        header_bytes: usize,
    },
    /// PING, which wants a PONG.
    Ping,
    /// PONG.
    Pong,
    /// The text of an -ERR.
    Error(String),
    /// The JSON of an INFO.
    Info(&'a [u8]),
    /// +OK.
    Ok,
}

/// Cuts a stream of bytes into operations.
#[derive(Default)]
pub struct Operations {
    buffer: Vec<u8>,
    used: usize,
}

impl Operations {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete operation; `None` until more bytes come. Errors: the peer does not speak the protocol.
    pub fn next(&mut self) -> Result<Option<Operation<'_>>> {
        let unread = self.buffer.get(self.used..).unwrap_or_default();
        let Some(line_bytes) = unread.iter().position(|byte| *byte == b'\n') else {
            ensure!(
                unread.len() <= LINE_BYTES_MAX,
                "the server sent a line of more than {LINE_BYTES_MAX} bytes"
            );
            return Ok(None);
        };
        let (line, rest) = unread.split_at(line_bytes + 1);
        let line = line.trim_ascii_end();
        let (verb, arguments) = match line.iter().position(|byte| *byte == b' ') {
            Some(space) => line.split_at(space),
            None => (line, &[][..]),
        };
        let arguments = arguments.trim_ascii();
        let (operation, body_bytes) = match verb {
            b"MSG" | b"HMSG" => match message(verb == b"HMSG", arguments, rest)? {
                Some(found) => found,
                None => return Ok(None),
            },
            b"PING" => (Operation::Ping, 0),
            b"PONG" => (Operation::Pong, 0),
            b"+OK" => (Operation::Ok, 0),
            b"INFO" => (Operation::Info(arguments), 0),
            b"-ERR" => (Operation::Error(String::from_utf8_lossy(arguments).into_owned()), 0),
            _ => bail!(
                "not a NATS server: it sent `{}`",
                String::from_utf8_lossy(line.get(..40).unwrap_or(line))
            ),
        };
        self.used += line_bytes + 1 + body_bytes;
        Ok(Some(operation))
    }
}

/// A message whose line has `arguments`, and how many bytes of `rest` it covers; `None` while some are missing.
fn message<'a>(headers: bool, arguments: &'a [u8], rest: &'a [u8]) -> Result<Option<(Operation<'a>, usize)>> {
    let words: Vec<&[u8]> =
        arguments.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    let (reply, header_bytes, total) = match (headers, words.as_slice()) {
        (false, [_, _, total]) => (None, 0, number(total)?),
        (false, [_, _, reply, total]) => (Some(*reply), 0, number(total)?),
        (true, [_, _, header, total]) => (None, number(header)?, number(total)?),
        (true, [_, _, reply, header, total]) => (Some(*reply), number(header)?, number(total)?),
        _ => bail!("a message of the server has the wrong number of arguments"),
    };
    ensure!(
        total <= MESSAGE_BYTES_MAX && header_bytes <= total,
        "a message of the server has impossible sizes"
    );
    Ok(rest
        .get(..total + 2)
        .and_then(|whole| whole.get(..total))
        .map(|body| (Operation::Message { reply, body, header_bytes }, total + 2)))
}

fn number(digits: &[u8]) -> Result<usize> {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .context("a message of the server has a size that is no number")
}

/// Appends a PUB of `size` bytes.
pub fn encode_publish(out: &mut Vec<u8>, subject: &[u8], reply: Option<&[u8]>, size: usize) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject);
    out.push(b' ');
    if let Some(reply) = reply {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    out.extend_from_slice(size.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
    out.resize(out.len() + size, b'.');
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let mut operations = Operations::default();
        let mut seen = Vec::new();
        for piece in pieces {
            operations.push(piece);
            while let Some(operation) = operations.next().unwrap() {
                seen.push(format!("{operation:?}"));
            }
        }
        seen
    }

    #[test]
    fn any_split_gives_the_same_operations() {
        let bytes: &[u8] =
            b"INFO {}\r\nMSG a.b 1 2\r\nhi\r\nHMSG s 2 r 12 13\r\nNATS/1.0\r\n\r\nx\r\nPING\r\nPONG\r\n\
                     +OK\r\n-ERR 'Nope'\r\nMSG e 1 r 0\r\n\r\n";
        let whole = read(&[bytes]);
        assert_eq!(whole.len(), 8);
        assert_eq!(whole[6], format!("{:?}", Operation::Error("'Nope'".into())));
        for cut in 0..bytes.len() {
            assert_eq!(read(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_stranger_is_refused() {
        for bytes in [
            "HTTP/1.1 400\r\n",
            "MSG a 1\r\n",
            "MSG a 1 99999999999\r\n",
            "HMSG a 1 5 3\r\n",
            "MSG a 1 -4\r\n",
        ] {
            let mut operations = Operations::default();
            operations.push(bytes.as_bytes());
            assert!(operations.next().is_err(), "{bytes}");
        }
    }

    #[test]
    fn a_publish_is_as_long_as_it_says() {
        let mut out = Vec::new();
        encode_publish(&mut out, b"a.b", Some(b"r"), 3);
        assert_eq!(out, b"PUB a.b r 3\r\n...\r\n");
    }
}
