//! Runs flows: publishers send from their rings, subscribers count, all on one thread.

use super::histogram::Histogram;
use super::link::{Link, READ_BYTES};
use super::load::{Carried, Load, Stop};
use super::operations::{Operation, Operations};
use super::progress::Progress;
use super::shape::{Channel, Pace};
use super::tally::{STAMP_BYTES, Tally};
use super::target::Target;
use super::ticker::Ticker;
use anyhow::{Context as _, Result, bail};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

/// Without anything sent or received for so long, a run has failed.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest sleep while something is still expected.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// A generator with a pace sleeps so long; what became due in the meantime is sent together.
const PACE_INTERVAL: Duration = Duration::from_millis(1);
/// Messages granted to a publisher at once are at most this many bytes.
const GRANT_BYTES: usize = 64 * 1024;

/// Open channels.
pub struct Flow {
    poll: Poll,
    epoch: Instant,
    pace: Pace,
    ticker: Option<Ticker>,
    size: usize,
    channels: Vec<Counts>,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    /// Whose turn it is to send where there is a pace.
    turn: usize,
    buffer: Vec<u8>,
}

/// Counts of one channel, in messages, since it was opened.
struct Counts {
    copies: u64,
    ahead_max: u64,
    granted: u64,
    delivered: u64,
}

struct Publisher {
    link: Link,
    operations: Operations,
    channel: usize,
    ring: Vec<u8>,
    message_bytes: usize,
    stamp_at: Option<usize>,
    /// Bytes that may go out and bytes that have, since the beginning.
    granted: u64,
    sent: u64,
    writable: bool,
    /// PING and PONG lines waiting for the end of a message.
    control: Vec<u8>,
    pongs_missing: usize,
}

struct Subscriber {
    link: Link,
    channel: usize,
    tally: Tally,
}

impl Flow {
    /// Opens a connection for every publisher and subscriber, subscribers first.
    pub fn open(target: &Target, channels: Vec<Channel>, pace: Pace, size: usize) -> Result<Flow> {
        let mut flow = Flow {
            poll: Poll::new()?,
            epoch: Instant::now(),
            pace,
            ticker: None,
            size,
            channels: Vec::new(),
            publishers: Vec::new(),
            subscribers: Vec::new(),
            turn: 0,
            buffer: vec![0; READ_BYTES],
        };
        for channel in channels {
            flow.open_channel(target, channel)?;
        }
        let registry = flow.poll.registry();
        for (number, publisher) in flow.publishers.iter_mut().enumerate() {
            publisher.link.register(registry, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        }
        for (number, subscriber) in flow.subscribers.iter_mut().enumerate() {
            subscriber.link.register(registry, Token(flow.publishers.len() + number), Interest::READABLE)?;
        }
        if pace != Pace::Full {
            let token = Token(flow.publishers.len() + flow.subscribers.len());
            flow.ticker = Some(Ticker::new(registry, token, PACE_INTERVAL)?);
        }
        Ok(flow)
    }

    fn open_channel(&mut self, target: &Target, channel: Channel) -> Result<()> {
        let number = self.channels.len();
        for setup in &channel.subscribers {
            let (link, _) = Link::open(target, setup)?;
            self.subscribers.push(Subscriber {
                link,
                channel: number,
                tally: Tally::new(channel.frame.clone()),
            });
        }
        for _ in 0..channel.publishers {
            let (link, operations) = Link::open(target, b"")?;
            self.publishers.push(Publisher {
                link,
                operations,
                channel: number,
                ring: channel.ring.clone(),
                message_bytes: channel.message_bytes,
                stamp_at: channel.stamp_at,
                granted: 0,
                sent: 0,
                writable: true,
                control: Vec::new(),
                pongs_missing: 0,
            });
        }
        let Channel { copies, ahead_max, .. } = channel;
        self.channels.push(Counts { copies, ahead_max, granted: 0, delivered: 0 });
        Ok(())
    }

    fn granted(&self) -> u64 {
        self.channels.iter().map(|channel| channel.granted).sum()
    }

    fn delivered(&self) -> u64 {
        self.channels.iter().map(|channel| channel.delivered).sum()
    }

    /// Handles one report of the poll; true if something was received.
    fn handle(&mut self, event: &Event, latency: &mut Histogram) -> Result<bool> {
        let Token(number) = event.token();
        if let Some(publisher) = self.publishers.get_mut(number) {
            publisher.writable |= event.is_writable();
            return publisher.receive(&mut self.buffer);
        }
        let Some(subscriber) = self.subscribers.get_mut(number - self.publishers.len()) else {
            return Ok(false);
        };
        let Some(channel) = self.channels.get_mut(subscriber.channel) else { return Ok(false) };
        let before = subscriber.tally.messages();
        let received = subscriber.receive(&mut self.buffer, self.epoch, latency)?;
        channel.delivered += subscriber.tally.messages() - before;
        Ok(received)
    }

    /// Lets publishers send as much as subscribers can take, up to `left` messages in all.
    fn grant_full(&mut self, mut left: u64) {
        for publisher in &mut self.publishers {
            if !publisher.writable || publisher.sent < publisher.granted {
                continue;
            }
            let Some(channel) = self.channels.get_mut(publisher.channel) else { continue };
            let ahead = match channel.copies {
                0 => 0,
                copies => channel.granted - channel.delivered / copies,
            };
            let messages = channel
                .ahead_max
                .saturating_sub(ahead)
                .min((GRANT_BYTES / publisher.message_bytes).max(1) as u64)
                .min(left);
            channel.granted += messages;
            publisher.granted += messages * publisher.message_bytes as u64;
            left -= messages;
        }
    }

    /// Lets publishers in turn send `burst` messages each, until `due` were granted in all.
    fn grant_due(&mut self, mut due: u64, burst: u64, now: Instant) {
        let stamp = now.duration_since(self.epoch).as_nanos() as u64;
        let publishers = self.publishers.len();
        for _ in 0..due.div_ceil(burst.max(1)) {
            let Some(publisher) = self.publishers.get_mut(self.turn) else { return };
            let Some(channel) = self.channels.get_mut(publisher.channel) else { return };
            let messages = burst.min(due).min(publisher.room());
            if messages == 0 {
                return;
            }
            publisher.stamp(messages, stamp);
            publisher.granted += messages * publisher.message_bytes as u64;
            channel.granted += messages;
            due -= messages;
            self.turn = (self.turn + 1) % publishers;
        }
    }

    fn all_arrived(&self) -> bool {
        self.channels.iter().all(|channel| channel.delivered >= channel.granted * channel.copies)
            && self
                .publishers
                .iter()
                .all(|publisher| publisher.sent == publisher.granted && publisher.pongs_missing == 0)
    }

    fn check_counts(&self) -> Result<()> {
        for channel in &self.channels {
            let expected = channel.granted * channel.copies;
            if channel.delivered != expected {
                bail!("{} messages arrived where {expected} were expected", channel.delivered);
            }
        }
        Ok(())
    }
}

impl Load for Flow {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let (granted_before, delivered_before) = (self.granted(), self.delivered());
        let mut latency = Histogram::default();
        let mut events = Events::with_capacity(1024);
        let started = Instant::now();
        let mut last_change = started;
        let mut stopping = false;
        loop {
            let now = Instant::now();
            let published = self.granted() - granted_before;
            let left = stop.left(published, started, now);
            let ticked = self.ticker.as_mut().is_some_and(|ticker| ticker.ticked(now));
            match self.pace {
                Pace::Full => self.grant_full(left),
                Pace::Rate { per_second, burst } if ticked => {
                    let due = (now.duration_since(started).as_secs_f64() * per_second as f64) as u64;
                    let due = due.saturating_sub(published) / burst.max(1) * burst.max(1);
                    self.grant_due(due.min(left), burst, now);
                }
                Pace::Rate { .. } => {}
            }
            if left == 0 && !stopping {
                stopping = true;
                self.publishers.iter_mut().for_each(Publisher::ask_for_pong);
            }
            let mut busy = false;
            for publisher in &mut self.publishers {
                if publisher.send()? {
                    last_change = now;
                }
                busy |= publisher.writable && publisher.sent < publisher.granted;
            }
            busy |= self.pace == Pace::Full && !stopping && self.can_grant();
            if stopping && self.all_arrived() {
                break;
            }
            let timeout = match &self.ticker {
                _ if busy => Duration::ZERO,
                Some(ticker) if !stopping => ticker.timeout(now),
                _ => IDLE_POLL,
            };
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if self.handle(event, &mut latency)? {
                    last_change = now;
                }
            }
            if now.duration_since(last_change) > STALL_TIMEOUT {
                self.check_counts().context("nothing moved any more")?;
                bail!("nothing moved for {} s", STALL_TIMEOUT.as_secs());
            }
            progress.tick(now, started, stop, published, self.delivered() - delivered_before);
        }
        self.check_counts()?;
        let published = self.granted() - granted_before;
        let delivered = self.delivered() - delivered_before;
        let messages = if self.subscribers.is_empty() { published } else { delivered };
        Ok(Carried {
            published,
            delivered,
            messages,
            payload_bytes: messages * self.size as u64,
            elapsed: started.elapsed(),
            latency: (latency.count() > 0).then_some(latency),
        })
    }
}

impl Flow {
    /// Whether a publisher could be granted more right away.
    fn can_grant(&self) -> bool {
        self.publishers.iter().any(|publisher| {
            publisher.writable
                && publisher.sent == publisher.granted
                && self.channels.get(publisher.channel).is_some_and(|channel| {
                    channel.copies == 0
                        || channel.granted - channel.delivered / channel.copies < channel.ahead_max
                })
        })
    }
}

impl Publisher {
    /// Messages that may become due before the ring would overwrite what was not sent.
    fn room(&self) -> u64 {
        (self.ring.len() as u64 - (self.granted - self.sent)) / self.message_bytes as u64
    }

    /// Writes the time into the next `messages` messages.
    fn stamp(&mut self, messages: u64, nanos: u64) {
        let Some(stamp_at) = self.stamp_at else { return };
        for number in 0..messages {
            let begin = (self.granted + number * self.message_bytes as u64) % self.ring.len() as u64;
            let at = begin as usize + stamp_at;
            if let Some(place) = self.ring.get_mut(at..at + STAMP_BYTES) {
                place.copy_from_slice(&nanos.to_le_bytes());
            }
        }
    }

    fn ask_for_pong(&mut self) {
        self.control.extend_from_slice(b"PING\r\n");
        self.pongs_missing += 1;
    }

    /// Sends what is granted, as far as the socket takes it; true if something went out.
    fn send(&mut self) -> Result<bool> {
        let before = self.sent;
        while self.writable {
            if !self.link.flush()? {
                self.writable = false;
                break;
            }
            let position = (self.sent % self.ring.len() as u64) as usize;
            let into = position % self.message_bytes;
            if !self.control.is_empty()
                && (into == 0)
                && (self.pongs_missing == 0 || self.sent == self.granted)
            {
                self.link.queue(&self.control);
                self.control.clear();
                continue;
            }
            let mut bytes = ((self.granted - self.sent) as usize).min(self.ring.len() - position);
            if !self.control.is_empty() && into > 0 {
                bytes = bytes.min(self.message_bytes - into);
            }
            if bytes == 0 {
                break;
            }
            let sent = self.link.write(self.ring.get(position..position + bytes).unwrap_or_default())?;
            self.sent += sent as u64;
            self.writable = sent == bytes;
        }
        Ok(self.sent != before)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let mut received = false;
        while let Some(found) = self.link.read(buffer)? {
            received = true;
            self.operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Ping => self.control.extend_from_slice(b"PONG\r\n"),
                    Operation::Pong => self.pongs_missing = self.pongs_missing.saturating_sub(1),
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Message { .. } | Operation::Info(_) | Operation::Ok => {}
                }
            }
            if !found.more {
                break;
            }
        }
        Ok(received)
    }
}

impl Subscriber {
    fn receive(&mut self, buffer: &mut [u8], epoch: Instant, latency: &mut Histogram) -> Result<bool> {
        let mut received = false;
        while let Some(found) = self.link.read(buffer)? {
            received = true;
            let chunk = buffer.get(..found.bytes).unwrap_or_default();
            if self.tally.stamped() {
                self.tally.receive_stamped(chunk, epoch.elapsed().as_nanos() as u64, latency)?;
            } else {
                self.tally.receive(chunk)?;
            }
            for _ in 0..self.tally.pings_taken() {
                self.link.queue(b"PONG\r\n");
                // Six bytes into a socket that is only read: what does not fit now goes with the next one.
                self.link.flush()?;
            }
            if !found.more {
                break;
            }
        }
        Ok(received)
    }
}
