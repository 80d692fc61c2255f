//! A consumer that delivers what a stream has, over and over.

use super::super::link::{Link, READ_BYTES};
use super::super::load::{Carried, Load};
use super::super::operations::{Operation, Operations};
use super::super::progress::Progress;
use super::super::stop::Stop;
use super::super::target::Target;
use super::api::Api;
use super::{FILLED, FLOW, How, STREAM};
use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(100);
/// Without a message for so long a run has failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Messages of a pull request, and how many requests are under way.
const BATCH: u64 = 500;
const REQUESTS: u64 = 2;

/// A consumer.
pub struct Consuming {
    api: Api,
    how: How,
    size: usize,
    poll: Poll,
    link: Link,
    operations: Operations,
    inbox: String,
    buffer: Vec<u8>,
    /// What goes out next.
    out: Vec<u8>,
}

impl Consuming {
    /// Opens the connection that receives.
    pub fn open(target: &Target, api: Api, how: How, size: usize) -> Result<Self> {
        let inbox = format!("_INBOX.{:08x}.consume", std::process::id());
        let (mut link, operations) = Link::open(target, format!("SUB {inbox} 1\r\n").as_bytes())?;
        let poll = Poll::new()?;
        link.register(poll.registry(), Token(0), Interest::READABLE | Interest::WRITABLE)?;
        let buffer = vec![0; READ_BYTES];
        Ok(Self { api, how, size, poll, link, operations, inbox, buffer, out: Vec::new() })
    }

    /// Makes a consumer of all messages; its name.
    fn create(&mut self) -> Result<String> {
        let mut config = json!({ "deliver_policy": "all", "ack_policy": "none", "filter_subject": FLOW });
        match self.how {
            How::Pull => {}
            How::PullAndAcknowledge => {
                config["ack_policy"] = "explicit".into();
                config["max_ack_pending"] = 20_000.into();
            }
            How::Push => config["deliver_subject"] = self.inbox.as_str().into(),
            How::Ordered => {
                config["deliver_subject"] = self.inbox.as_str().into();
                config["flow_control"] = true.into();
                config["idle_heartbeat"] = 5_000_000_000_u64.into();
                config["max_deliver"] = 1.into();
                config["mem_storage"] = true.into();
            }
        }
        let request = json!({ "stream_name": STREAM, "config": config });
        let made = self.api.request(&format!("CONSUMER.CREATE.{STREAM}"), &request)?;
        let name = made.get("name").and_then(Value::as_str).context("the consumer has no name")?;
        Ok(name.to_owned())
    }

    fn pulls(&self) -> bool {
        matches!(self.how, How::Pull | How::PullAndAcknowledge)
    }

    /// Puts a request for messages into what goes out.
    fn ask(&mut self, name: &str) {
        let body = format!("{{\"batch\":{BATCH},\"expires\":30000000000}}");
        let line = format!(
            "PUB $JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name} {} {}\r\n{body}\r\n",
            self.inbox,
            body.len()
        );
        self.out.extend_from_slice(line.as_bytes());
    }

    /// Messages that came.
    fn receive(&mut self) -> Result<u64> {
        let mut messages = 0;
        while let Some(found) = self.link.read(&mut self.buffer)? {
            self.operations.push(self.buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { reply, body, header_bytes } => {
                        if header_bytes > 0 {
                            // Flow control wants an answer; what else a status says is not for us.
                            if let Some(reply) = reply.filter(|_| body.len() == header_bytes) {
                                publish(&mut self.out, reply, b"");
                            }
                            continue;
                        }
                        messages += 1;
                        if let Some(reply) = reply.filter(|_| self.how == How::PullAndAcknowledge) {
                            publish(&mut self.out, reply, b"+ACK");
                        }
                    }
                    Operation::Ping => self.out.extend_from_slice(b"PONG\r\n"),
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Pong | Operation::Info(_) | Operation::Ok => {}
                }
            }
            if !found.more {
                break;
            }
        }
        Ok(messages)
    }

    /// Sends what goes out.
    fn send(&mut self) -> Result<()> {
        self.link.queue(&self.out);
        self.out.clear();
        self.link.flush().map(drop)
    }

    /// One consumer delivers what there is, or until it is time to stop. How many came.
    fn once(
        &mut self,
        stop: Stop,
        (before, started): (u64, Instant),
        progress: &mut Progress,
    ) -> Result<u64> {
        let name = self.create()?;
        let mut events = Events::with_capacity(16);
        let (mut came, mut asked, mut last) = (0, 0, Instant::now());
        loop {
            let now = Instant::now();
            if came >= FILLED || stop.left(before + came, started, now) == 0 {
                break;
            }
            while self.pulls() && asked < came + BATCH * REQUESTS && asked < FILLED {
                self.ask(&name);
                asked += BATCH;
            }
            self.send()?;
            match self.poll.poll(&mut events, Some(POLL)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let more = self.receive()?;
            came += more;
            if more > 0 {
                last = now;
            }
            if now.duration_since(last) > STALL_TIMEOUT {
                bail!("{came} of {FILLED} messages came");
            }
            progress.tick(now, started, stop, before + came, before + came);
        }
        self.api.request(&format!("CONSUMER.DELETE.{STREAM}.{name}"), &json!({}))?;
        // What is still under way is not counted, and must not be taken for what the next one delivers.
        self.send()?;
        self.receive()?;
        Ok(came)
    }
}

impl Load for Consuming {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let started = Instant::now();
        let mut messages = 0;
        while stop.left(messages, started, Instant::now()) > 0 {
            messages += self.once(stop, (messages, started), progress)?;
        }
        Ok(Carried {
            published: 0,
            delivered: messages,
            messages,
            payload_bytes: messages * self.size as u64,
            idle: 0,
            elapsed: started.elapsed(),
            latency: None,
        })
    }
}

/// Appends a publish without headers.
fn publish(out: &mut Vec<u8>, subject: &[u8], payload: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject);
    out.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}
