//! The receiving half alone, for messages that another program publishes: subscribers, and a responder.

use super::link::{Link, READ_BYTES};
use super::load::{Carried, Load};
use super::operations::{Operation, Operations};
use super::progress::Progress;
use super::request::Responder;
use super::stop::Stop;
use super::target::Target;
use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(100);

/// Subscribers of one subject.
pub struct Listen {
    poll: Poll,
    subscribers: Vec<Subscriber>,
    buffer: Vec<u8>,
}

struct Subscriber {
    link: Link,
    operations: Operations,
}

impl Listen {
    /// Opens `subscribers` connections.
    pub fn open(target: &Target, subject: &str, queue: Option<&str>, subscribers: usize) -> Result<Listen> {
        let poll = Poll::new()?;
        let subscribe = format!("SUB {subject} {} 1\r\n", queue.unwrap_or_default());
        let mut all = Vec::new();
        for number in 0..subscribers {
            let (mut link, operations) = Link::open(target, subscribe.as_bytes())?;
            link.register(poll.registry(), Token(number), Interest::READABLE)?;
            all.push(Subscriber { link, operations });
        }
        Ok(Listen { poll, subscribers: all, buffer: vec![0; READ_BYTES] })
    }
}

impl Load for Listen {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let mut events = Events::with_capacity(1024);
        let (mut messages, mut payload_bytes) = (0, 0);
        let mut first = None;
        let opened = Instant::now();
        let mut last = opened;
        loop {
            // The clock starts with the first message: the publisher is started by hand.
            let now = Instant::now();
            if stop.left(messages, first.unwrap_or(now), now) == 0 {
                break;
            }
            match self.poll.poll(&mut events, Some(POLL)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Token(number) = event.token();
                if let Some(subscriber) = self.subscribers.get_mut(number) {
                    let (more, bytes) = subscriber.receive(&mut self.buffer)?;
                    messages += more;
                    payload_bytes += bytes;
                    if more > 0 {
                        last = Instant::now();
                        first.get_or_insert(last);
                    }
                }
            }
            progress.tick(now, first.unwrap_or(now), stop, messages, messages);
        }
        let elapsed = last.saturating_duration_since(first.unwrap_or(last));
        Ok(Carried { delivered: messages, messages, payload_bytes, elapsed, ..Carried::default() })
    }
}

impl Subscriber {
    /// Messages and their bytes.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<(u64, u64)> {
        let (mut messages, mut bytes) = (0, 0);
        while let Some(found) = self.link.read(buffer)? {
            self.operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { body, .. } => {
                        messages += 1;
                        bytes += body.len() as u64;
                    }
                    Operation::Ping => {
                        self.link.queue(b"PONG\r\n");
                        self.link.flush()?;
                    }
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Pong | Operation::Info(_) | Operation::Ok => {}
                }
            }
            if !found.more {
                break;
            }
        }
        Ok((messages, bytes))
    }
}

/// A responder that another program's requests come to.
pub struct Reply {
    poll: Poll,
    responder: Responder,
    size: usize,
    buffer: Vec<u8>,
}

impl Reply {
    /// Opens the responder's connection.
    pub fn open(target: &Target, subject: &str, queue: Option<&str>, size: usize) -> Result<Reply> {
        let poll = Poll::new()?;
        let mut responder = Responder::open(target, subject, queue, size)?;
        responder.register(&poll, Token(0))?;
        Ok(Reply { poll, responder, size, buffer: vec![0; READ_BYTES] })
    }
}

impl Load for Reply {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let mut events = Events::with_capacity(64);
        let before = self.responder.answered;
        let started = Instant::now();
        loop {
            let now = Instant::now();
            let answered = self.responder.answered - before;
            if stop.left(answered, started, now) == 0 {
                let payload_bytes = answered * self.size as u64;
                let elapsed = started.elapsed();
                return Ok(Carried {
                    published: answered,
                    delivered: answered,
                    messages: answered,
                    payload_bytes,
                    idle: 0,
                    elapsed,
                    latency: None,
                });
            }
            match self.poll.poll(&mut events, Some(POLL)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            if !events.is_empty() {
                self.responder.answer(&mut self.buffer)?;
            }
            progress.tick(now, started, stop, answered, answered);
        }
    }
}
