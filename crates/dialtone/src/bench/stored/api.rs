//! Requests to the API of JetStream, one after the other.

use super::super::link::{Link, READ_BYTES};
use super::super::operations::{Operation, Operations};
use super::super::target::Target;
use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use serde_json::Value;
use std::time::Duration;

/// A request without an answer for so long fails.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of an answer that are told when it is an error.
const TOLD_BYTES_MAX: usize = 300;

/// A connection for requests.
pub struct Api {
    link: Link,
    operations: Operations,
    poll: Poll,
    inbox: String,
    buffer: Vec<u8>,
}

impl Api {
    /// Connects.
    pub fn open(target: &Target) -> Result<Self> {
        let inbox = format!("_INBOX.{:08x}.api", std::process::id());
        let (mut link, operations) = Link::open(target, format!("SUB {inbox} 1\r\n").as_bytes())?;
        let poll = Poll::new()?;
        link.register(poll.registry(), Token(0), Interest::READABLE)?;
        Ok(Self { link, operations, poll, inbox, buffer: vec![0; READ_BYTES] })
    }

    /// Asks, and waits for the answer. Errors: none comes, or it is an error.
    pub fn request(&mut self, endpoint: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let line = format!("PUB $JS.API.{endpoint} {} {}\r\n{body}\r\n", self.inbox, body.len());
        self.link.queue(line.as_bytes());
        self.link.flush()?;
        let mut events = Events::with_capacity(4);
        loop {
            while let Some(found) = self.link.read(&mut self.buffer)? {
                self.operations.push(self.buffer.get(..found.bytes).unwrap_or_default());
                if !found.more {
                    break;
                }
            }
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { body, .. } => return answer(endpoint, body),
                    Operation::Ping => self.link.queue(b"PONG\r\n"),
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Pong | Operation::Info(_) | Operation::Ok => {}
                }
            }
            self.link.flush()?;
            self.poll.poll(&mut events, Some(ANSWER_TIMEOUT))?;
            if events.is_empty() {
                bail!("{endpoint}: no answer");
            }
        }
    }
}

fn answer(endpoint: &str, body: &[u8]) -> Result<Value> {
    let told = || String::from_utf8_lossy(body.get(..TOLD_BYTES_MAX).unwrap_or(body)).into_owned();
    match serde_json::from_slice::<Value>(body) {
        Ok(answer) if answer.get("error").is_none() => Ok(answer),
        _ => bail!("{endpoint}: the server answered {}", told()),
    }
}

/// Errors: what came is no acknowledgement of a publish.
pub fn check_acknowledgement(body: &[u8]) -> Result<()> {
    match body.starts_with(b"{\"stream\"") {
        true => Ok(()),
        false => answer("publish", body).map(drop),
    }
}
