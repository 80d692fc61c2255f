//! Publishers of a stream, each with a number of messages under way.

use super::super::link::{Link, READ_BYTES};
use super::super::load::{Carried, Load};
use super::super::operations::{Operation, Operations, encode_publish};
use super::super::progress::Progress;
use super::super::stop::Stop;
use super::super::target::Target;
use super::api::check_acknowledgement;
use anyhow::{Result, bail};
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(100);
/// Without an acknowledgement for so long a run has failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes handed to the socket at once, about.
const SEND_BYTES: usize = 64 * 1024;

/// Publishers of one subject.
pub struct Publishing {
    poll: Poll,
    size: usize,
    window: u64,
    publishers: Vec<Publisher>,
    buffer: Vec<u8>,
}

struct Publisher {
    link: Link,
    operations: Operations,
    /// Messages, one after the other, and the bytes of one.
    ring: Vec<u8>,
    message_bytes: usize,
    sent: u64,
    acknowledged: u64,
    /// What went out last is not in the socket.
    is_held_up: bool,
}

impl Publishing {
    /// Opens connections that publish messages of `size` bytes, with so many of each under way.
    pub fn open(
        target: &Target,
        subject: &str,
        (publishers, window): (usize, u64),
        size: usize,
    ) -> Result<Self> {
        let poll = Poll::new()?;
        let mut all = Vec::new();
        for number in 0..publishers {
            let inbox = format!("_INBOX.{:08x}.{number:06}", std::process::id());
            let (mut link, operations) = Link::open(target, format!("SUB {inbox} 1\r\n").as_bytes())?;
            link.register(poll.registry(), Token(number), Interest::READABLE | Interest::WRITABLE)?;
            let mut message = Vec::new();
            encode_publish(&mut message, subject.as_bytes(), Some(inbox.as_bytes()), size);
            let message_bytes = message.len();
            let ring = message.repeat((SEND_BYTES / message_bytes).max(1));
            all.push(Publisher {
                link,
                operations,
                ring,
                message_bytes,
                sent: 0,
                acknowledged: 0,
                is_held_up: false,
            });
        }
        Ok(Self { poll, size, window, publishers: all, buffer: vec![0; READ_BYTES] })
    }

    /// Publishes so many, and waits until all are acknowledged.
    pub fn fill(&mut self, messages: u64) -> Result<()> {
        self.run(Stop::Messages(messages), &mut Progress::silent()).map(drop)
    }

    fn sum(&self, of: impl Fn(&Publisher) -> u64) -> u64 {
        self.publishers.iter().map(of).sum()
    }
}

impl Load for Publishing {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let mut events = Events::with_capacity(1024);
        let before = self.sum(|publisher| publisher.sent);
        let started = Instant::now();
        let mut last = started;
        loop {
            let now = Instant::now();
            let published = self.sum(|publisher| publisher.sent) - before;
            let mut left = stop.left(published, started, now);
            let mut can_send = false;
            for publisher in &mut self.publishers {
                left -= publisher.send(self.window, left)?;
                can_send |= left > 0 && publisher.room(self.window) > 0 && !publisher.is_held_up;
            }
            let acknowledged = self.sum(|publisher| publisher.acknowledged) - before;
            let published = self.sum(|publisher| publisher.sent) - before;
            if left == 0 && acknowledged == published {
                return Ok(Carried {
                    published,
                    delivered: acknowledged,
                    messages: acknowledged,
                    payload_bytes: acknowledged * self.size as u64,
                    idle: 0,
                    elapsed: started.elapsed(),
                    latency: None,
                });
            }
            match self.poll.poll(&mut events, Some(if can_send { Duration::ZERO } else { POLL })) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Token(number) = event.token();
                let Some(publisher) = self.publishers.get_mut(number) else { continue };
                publisher.is_held_up &= !event.is_writable();
                if publisher.receive(&mut self.buffer)? {
                    last = now;
                }
            }
            if now.duration_since(last) > STALL_TIMEOUT {
                bail!("{acknowledged} of {published} messages were acknowledged");
            }
            progress.tick(now, started, stop, published, acknowledged);
        }
    }
}

impl Publisher {
    /// Messages that it may send now.
    fn room(&self, window: u64) -> u64 {
        window.saturating_sub(self.sent - self.acknowledged)
    }

    /// Sends what it may, `left` at most; how many.
    fn send(&mut self, window: u64, left: u64) -> Result<u64> {
        self.is_held_up = !self.link.flush()?;
        if self.is_held_up {
            return Ok(0);
        }
        let messages = self.room(window).min(left).min((self.ring.len() / self.message_bytes) as u64);
        if messages > 0 {
            let bytes = messages as usize * self.message_bytes;
            self.link.queue(self.ring.get(..bytes).unwrap_or_default());
            self.is_held_up = !self.link.flush()?;
            self.sent += messages;
        }
        Ok(messages)
    }

    /// Whether acknowledgements came.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let before = self.acknowledged;
        while let Some(found) = self.link.read(buffer)? {
            self.operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { body, .. } => {
                        check_acknowledgement(body)?;
                        self.acknowledged += 1;
                    }
                    Operation::Ping => self.link.queue(b"PONG\r\n"),
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Pong | Operation::Info(_) | Operation::Ok => {}
                }
            }
            if !found.more {
                break;
            }
        }
        Ok(self.acknowledged > before)
    }
}
