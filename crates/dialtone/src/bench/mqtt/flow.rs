//! One publisher and its subscribers, on one thread.

use super::super::link::READ_BYTES;
use super::super::load::{Carried, Load};
use super::super::progress::Progress;
use super::super::stop::Stop;
use super::super::target::Target;
use super::STALL_TIMEOUT;
use super::link::{Entering, Link};
use super::packet::{self, KIND, PUBACK, PUBLISH};
use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

const TOPIC: &str = "bench/load";
const POLL: Duration = Duration::from_millis(100);
/// Messages written at once.
const BATCH: u64 = 256;
/// Messages under way: of quality of service 1 they are those without PUBACK, of 0 those that no subscriber has.
const WINDOW: u64 = 1_000;
const WINDOW_UNANSWERED: u64 = 8_192;

/// Open connections.
pub struct Flow {
    poll: Poll,
    qos: u8,
    size: usize,
    publisher: Link,
    subscribers: Vec<Subscriber>,
    /// One message.
    message: Vec<u8>,
    sent: u64,
    acknowledged: u64,
    is_held_up: bool,
    buffer: Vec<u8>,
}

struct Subscriber {
    link: Link,
    received: u64,
}

impl Flow {
    /// Opens the connections, subscribers first. With quality of service 1 their sessions last.
    pub fn open(target: &Target, subscribers: usize, qos: u8, size: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let clean = qos == 0;
        let mut opened = Vec::new();
        for number in 0..subscribers {
            let mut entering = Entering::open(target, &format!("sub{number}"), clean)?;
            entering.subscribe(TOPIC, qos)?;
            let mut link = entering.entered()?;
            poll.registry().register(&mut link.stream, Token(number + 1), Interest::READABLE)?;
            opened.push(Subscriber { link, received: 0 });
        }
        let mut publisher = Entering::open(target, "pub", clean)?.entered()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut publisher.stream, Token(0), both)?;
        let mut message = Vec::new();
        packet::publish(&mut message, TOPIC, qos, size);
        let buffer = vec![0; READ_BYTES];
        let (sent, acknowledged, is_held_up) = (0, 0, false);
        Ok(Self {
            poll,
            qos,
            size,
            publisher,
            subscribers: opened,
            message,
            sent,
            acknowledged,
            is_held_up,
            buffer,
        })
    }

    /// What all subscribers have.
    fn received(&self) -> u64 {
        self.subscribers.iter().map(|subscriber| subscriber.received).sum()
    }

    /// What each of them has.
    fn received_by_all(&self) -> u64 {
        self.subscribers.iter().map(|subscriber| subscriber.received).min().unwrap_or_default()
    }

    /// Messages that may be sent now.
    fn room(&self) -> u64 {
        // What no subscriber has lies in the server, whichever way it is acknowledged.
        let ahead = WINDOW_UNANSWERED.saturating_sub(self.sent - self.received_by_all());
        match self.qos {
            0 => ahead,
            _ => ahead.min(WINDOW.saturating_sub(self.sent - self.acknowledged)),
        }
    }

    /// Sends what it may, `left` at most.
    fn send(&mut self, left: u64) -> Result<()> {
        let messages = self.room().min(left).min(BATCH);
        let out = self.publisher.queue();
        for number in self.sent..self.sent + messages {
            let at = out.len();
            out.extend_from_slice(&self.message);
            if self.qos > 0 {
                // Behind the first byte, its length and the topic; identifiers are never 0.
                let place = at + self.message.len() - self.size - 2;
                let id = (number % u64::from(u16::MAX)) as u16 + 1;
                out.get_mut(place..place + 2)
                    .context("a message is too short")?
                    .copy_from_slice(&id.to_be_bytes());
            }
        }
        self.sent += messages;
        self.is_held_up = !self.publisher.flush()?;
        Ok(())
    }

    /// PUBACKs of the publisher.
    fn receive_answers(&mut self) -> Result<()> {
        loop {
            let bytes = self.publisher.read(&mut self.buffer)?;
            if bytes == 0 {
                return Ok(());
            }
            self.publisher.packets.push(self.buffer.get(..bytes).unwrap_or_default());
            while let Some((first, _)) = self.publisher.packets.next()? {
                ensure!(first == PUBACK, "the server sent a packet {first:#x}");
                self.acknowledged += 1;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.received() == self.sent * self.subscribers.len() as u64
            && (self.qos == 0 || self.acknowledged == self.sent)
    }
}

impl Subscriber {
    fn receive(&mut self, buffer: &mut [u8], qos: u8) -> Result<()> {
        loop {
            let bytes = self.link.read(buffer)?;
            if bytes == 0 {
                break;
            }
            self.link.packets.push(buffer.get(..bytes).unwrap_or_default());
            let mut ids = Vec::new();
            while let Some((first, body)) = self.link.packets.next()? {
                ensure!(first & KIND == PUBLISH, "the server sent a packet {first:#x}");
                if first & 0x08 == 0 {
                    self.received += 1;
                }
                if qos > 0 {
                    ids.push(packet::identifier(body).context("a message has no identifier")?);
                }
            }
            ids.iter().for_each(|id| packet::puback(self.link.queue(), *id));
        }
        self.link.flush()?;
        Ok(())
    }
}

impl Load for Flow {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let mut events = Events::with_capacity(1024);
        let (sent_before, received_before) = (self.sent, self.received());
        let started = Instant::now();
        let mut last = started;
        loop {
            let now = Instant::now();
            let left = stop.left(self.sent - sent_before, started, now);
            if !self.is_held_up {
                self.send(left)?;
            }
            if left == 0 && self.is_done() {
                break;
            }
            let goes_on = left > 0 && !self.is_held_up && self.room() > 0;
            match self.poll.poll(&mut events, Some(if goes_on { Duration::ZERO } else { POLL })) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                last = now;
                match event.token() {
                    Token(0) => {
                        if event.is_writable() {
                            self.is_held_up = !self.publisher.flush()?;
                        }
                        self.receive_answers()?;
                    }
                    Token(number) => {
                        if let Some(subscriber) = self.subscribers.get_mut(number - 1) {
                            subscriber.receive(&mut self.buffer, self.qos)?;
                        }
                    }
                }
            }
            if now.duration_since(last) > STALL_TIMEOUT {
                bail!(
                    "{} messages came, {} were acknowledged, of {}",
                    self.received(),
                    self.acknowledged,
                    self.sent
                );
            }
            progress.tick(now, started, stop, self.sent - sent_before, self.received() - received_before);
        }
        let messages = self.received() - received_before;
        Ok(Carried {
            published: self.sent - sent_before,
            delivered: messages,
            messages,
            payload_bytes: messages * self.size as u64,
            idle: 0,
            elapsed: started.elapsed(),
            latency: None,
        })
    }
}
