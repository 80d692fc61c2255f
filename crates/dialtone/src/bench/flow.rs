//! Runs flows: publishers send from their rings, subscribers count, all on one thread.

use super::histogram::Histogram;
use super::link::{Link, READ_BYTES};
use super::load::{Carried, Load};
use super::progress::Progress;
use super::publisher::Publisher;
use super::shape::{Channel, Pace};
use super::stop::Stop;
use super::tally::Tally;
use super::target::Target;
use super::ticker::Ticker;
use anyhow::{Context as _, Result, bail};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

/// Without anything sent or received for so long, a run has failed.
const STALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(20);
/// Longest sleep while something is still expected.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// A generator with a pace sleeps so long; what became due in the meantime is sent together.
const PACE_INTERVAL: Duration = Duration::from_millis(1);

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
    stall_timeout: Duration,
    buffer: Vec<u8>,
}

/// Counts of one channel, in messages, since it was opened.
struct Counts {
    copies: u64,
    ahead_max: u64,
    granted: u64,
    delivered: u64,
}

impl Counts {
    /// Messages that may be granted before subscribers have received more.
    fn room(&self) -> u64 {
        match self.copies {
            0 => self.ahead_max,
            copies => self.ahead_max.saturating_sub(self.granted - self.delivered / copies),
        }
    }
}

/// What came of sending.
struct Sent {
    /// Something went out.
    moved: bool,
    /// More can go out at once.
    busy: bool,
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
            stall_timeout: STALL_TIMEOUT_DEFAULT,
            buffer: vec![0; READ_BYTES],
        };
        for channel in channels {
            flow.open_channel(target, channel)?;
        }
        let registry = flow.poll.registry();
        for (number, publisher) in flow.publishers.iter_mut().enumerate() {
            publisher.register(registry, Token(number))?;
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
        let receivers = target.for_receivers();
        for setup in &channel.subscribers {
            let (link, _) = Link::open(receivers, setup)?;
            self.subscribers.push(Subscriber {
                link,
                channel: number,
                tally: Tally::new(channel.frame.clone()),
            });
        }
        for _ in 0..channel.publishers {
            self.publishers.push(Publisher::open(target, &channel, number)?);
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
            if event.is_writable() {
                publisher.set_writable();
            }
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
            if !publisher.wants_grant() {
                continue;
            }
            let Some(channel) = self.channels.get_mut(publisher.channel) else { continue };
            let messages = channel.room().min(publisher.messages_at_once()).min(left);
            channel.granted += messages;
            publisher.grant(messages);
            left -= messages;
        }
    }

    /// Lets publishers in turn send `burst` messages each, until `due` were sent in all; a single publisher sends all
    /// that are due at once. Each is stamped right before it goes out.
    fn send_due(&mut self, mut due: u64, burst: u64) -> Result<bool> {
        let mut moved = false;
        let publishers = self.publishers.len();
        let burst = if publishers == 1 { due } else { burst };
        while due > 0 {
            let Some(publisher) = self.publishers.get_mut(self.turn) else { break };
            let Some(channel) = self.channels.get_mut(publisher.channel) else { break };
            let messages = burst.min(due).min(publisher.room());
            if messages == 0 {
                break;
            }
            publisher.stamp(messages, self.epoch.elapsed().as_nanos() as u64);
            publisher.grant(messages);
            moved |= publisher.send()?;
            channel.granted += messages;
            due -= messages;
            self.turn = (self.turn + 1) % publishers;
        }
        Ok(moved)
    }

    /// Sends what may be sent at the time `now` of a run that began at `started` and has published `published` messages,
    /// of which `left` more are wanted.
    fn publish(&mut self, published: u64, left: u64, started: Instant, now: Instant) -> Result<Sent> {
        let mut sent = Sent { moved: false, busy: false };
        match self.pace {
            Pace::Full => self.grant_full(left),
            Pace::Rate { per_second, burst } => {
                if self.ticker.as_mut().is_some_and(|ticker| ticker.ticked(now)) {
                    let due = (now.duration_since(started).as_secs_f64() * per_second as f64) as u64;
                    let due = due.saturating_sub(published).min(left);
                    sent.moved = self.send_due(due - due % burst.min(left).max(1), burst)?;
                }
            }
        }
        for publisher in &mut self.publishers {
            sent.moved |= publisher.send()?;
            sent.busy |= publisher.can_send();
        }
        sent.busy |= self.pace == Pace::Full && left > 0 && self.can_grant();
        Ok(sent)
    }

    /// Whether a publisher could be granted more right away.
    fn can_grant(&self) -> bool {
        self.publishers.iter().any(|publisher| {
            let channel = self.channels.get(publisher.channel);
            publisher.wants_grant() && channel.is_some_and(|channel| channel.room() > 0)
        })
    }

    fn all_arrived(&self) -> bool {
        self.channels.iter().all(|channel| channel.delivered >= channel.granted * channel.copies)
            && self.publishers.iter().all(Publisher::is_done)
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
            if left == 0 && !stopping {
                stopping = true;
                self.publishers.iter_mut().for_each(Publisher::ask_for_pong);
            }
            let sent = self.publish(published, left, started, now)?;
            if sent.moved {
                last_change = now;
            }
            if stopping && self.all_arrived() {
                break;
            }
            let timeout = match &self.ticker {
                _ if sent.busy => Duration::ZERO,
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
            if now.duration_since(last_change) > self.stall_timeout {
                self.check_counts().context("nothing moved any more")?;
                bail!("nothing moved for {} s", self.stall_timeout.as_secs());
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
            idle: 0,
            elapsed: started.elapsed(),
            latency: (latency.count() > 0).then_some(latency),
        })
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

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::super::shape::Shape;
    use super::*;

    #[track_caller]
    fn check(fake: &Fake, shape: Shape, messages: u64, delivered: u64) -> Carried {
        let mut flow = Flow::open(&fake.target(), shape.channels().unwrap(), shape.pace, shape.size).unwrap();
        for _ in 0..2 {
            let carried = flow.run(Stop::Messages(messages), &mut Progress::silent()).unwrap();
            assert_eq!((carried.published, carried.delivered), (messages, delivered));
        }
        flow.run(Stop::Messages(messages), &mut Progress::silent()).unwrap()
    }

    #[test]
    fn every_copy_of_every_message_is_counted() {
        let fake = Fake::start();
        assert_eq!(check(&fake, Shape::publish(16), 5_000, 0).messages, 5_000);
        check(&fake, Shape::fan_out(1, 16), 5_000, 5_000);
        check(&fake, Shape::fan_out(3, 128), 2_000, 6_000);
        check(&fake, Shape { queue: Some("q".into()), ..Shape::fan_out(3, 0) }, 1_000, 1_000);
        check(&fake, Shape { channels: 2, publishers: 2, ..Shape::fan_out(1, 100_000) }, 40, 40);
    }

    #[test]
    fn a_flow_with_a_pace_tells_each_latency() {
        let pace = Pace::Rate { per_second: 50_000, burst: 2 };
        let shape = Shape { channels: 3, pace, ..Shape::fan_out(1, 16) };
        let carried = check(&Fake::start(), shape, 600, 600);
        assert_eq!(carried.latency.unwrap().count(), 600);
    }

    #[test]
    fn a_lost_message_fails_the_run() {
        let fake = Fake::start_losing(700);
        let shape = Shape::fan_out(1, 16);
        let mut flow = Flow::open(&fake.target(), shape.channels().unwrap(), shape.pace, shape.size).unwrap();
        flow.stall_timeout = Duration::from_millis(50);
        let error = flow.run(Stop::Messages(1_000), &mut Progress::silent()).err().unwrap();
        assert!(format!("{error:#}").contains("999 messages arrived where 1000 were expected"), "{error:#}");
    }
}
