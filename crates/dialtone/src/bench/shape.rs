//! What flows are made of: channels with their publishers, subscribers and pre-encoded messages.

use super::operations::encode_publish;
use super::tally::{Frame, STAMP_BYTES};
use anyhow::{Result, ensure};

/// Messages are sent from rings of about this many bytes.
const RING_BYTES: usize = 64 * 1024;
/// At most so many bytes may be under way to one subscriber, and to all of a channel together; a publisher that is
/// further ahead waits, so that no server ends a subscriber for being slow.
const AHEAD_BYTES_PER_SUBSCRIBER: usize = 1 << 20;
const AHEAD_BYTES_PER_CHANNEL: usize = 64 << 20;
/// Largest payload the generator makes: the protocol's largest.
pub const SIZE_BYTES_MAX: usize = 64 << 20;
/// Subjects published to in turn where many subscriptions are measured.
const SPREAD_MESSAGES: usize = 1 << 16;
/// Connections that hold the subscriptions there.
const SPREAD_CONNECTIONS: usize = 16;

/// When publishers send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as the subscribers receive.
    Full,
    /// So many messages a second over all publishers, each sending `burst` at once; the generator sleeps in between.
    Rate {
        /// Messages a second, over all publishers.
        per_second: u64,
        /// Messages a publisher sends at once.
        burst: u64,
    },
}

/// Like channels side by side, each with publishers and subscribers of its own. Each of them has its own connection.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many channels.
    pub channels: usize,
    /// Publishers of each.
    pub publishers: usize,
    /// Subscribers of each; every one gets every message unless they are a queue group.
    pub subscribers: usize,
    /// Name of the queue group the subscribers form.
    pub queue: Option<String>,
    /// The subject; with several channels their number follows it.
    pub subject: String,
    /// Payload bytes of each message.
    pub size: usize,
    /// When the publishers send.
    pub pace: Pace,
}

/// One channel, ready to be opened.
pub struct Channel {
    /// Encoded messages of one length each, sent over and over.
    pub ring: Vec<u8>,
    /// Bytes of one encoded message.
    pub message_bytes: usize,
    /// Where in an encoded message a time stamp goes, if it gets one.
    pub stamp_at: Option<usize>,
    /// How many publishers.
    pub publishers: usize,
    /// What each subscriber sends to subscribe.
    pub subscribers: Vec<Vec<u8>>,
    /// What a subscriber receives.
    pub frame: Frame,
    /// Deliveries of each message.
    pub copies: u64,
    /// Messages that may be published and not yet received.
    pub ahead_max: u64,
}

impl Shape {
    /// One publisher, no subscriber, as fast as it goes.
    pub fn publish(size: usize) -> Shape {
        let subject = "bench.load".to_owned();
        Shape { channels: 1, publishers: 1, subscribers: 0, queue: None, subject, size, pace: Pace::Full }
    }

    /// One publisher and `subscribers` that each get every message.
    pub fn fan_out(subscribers: usize, size: usize) -> Shape {
        Shape { subscribers, ..Shape::publish(size) }
    }

    /// The channels this shape stands for. Errors: sizes beyond the protocol's.
    pub fn channels(&self) -> Result<Vec<Channel>> {
        ensure!(self.size <= SIZE_BYTES_MAX, "--size: at most {SIZE_BYTES_MAX} bytes");
        ensure!(self.channels > 0 && self.publishers > 0, "a flow needs a publisher");
        Ok((0..self.channels).map(|number| self.channel(number)).collect())
    }

    fn channel(&self, number: usize) -> Channel {
        let subject = match self.channels {
            1 => self.subject.clone(),
            _ => format!("{}.{number:05}", self.subject),
        };
        let mut message = Vec::new();
        encode_publish(&mut message, subject.as_bytes(), None, self.size);
        let prefix = format!("MSG {subject} 1 {}\r\n", self.size).into_bytes();
        let subscribe = match &self.queue {
            None => format!("SUB {subject} 1\r\n"),
            Some(queue) => format!("SUB {subject} {queue} 1\r\n"),
        };
        let stamped = self.pace != Pace::Full && self.size >= STAMP_BYTES;
        let copies = if self.queue.is_some() { 1 } else { self.subscribers };
        let ring_messages = (RING_BYTES / message.len()).max(1);
        // A publisher with a pace may fall behind by a ring, whose stamps it must not overwrite: give it some room.
        let ring_messages = if stamped { ring_messages * 8 } else { ring_messages };
        channel(Parts {
            ring: message.repeat(ring_messages),
            message_bytes: message.len(),
            publishers: self.publishers,
            subscribers: vec![subscribe.into_bytes(); self.subscribers],
            prefix,
            size: self.size,
            stamped,
            copies,
        })
    }
}

/// `subscriptions` different ones, a third of them with wildcards, and one publisher that picks among them at random;
/// every message has exactly one receiver.
pub fn spread(subscriptions: usize, size: usize) -> Channel {
    let connections = SPREAD_CONNECTIONS.min(subscriptions.max(1));
    let mut subscribers = vec![Vec::new(); connections];
    for (number, lines) in (0..subscriptions).zip((0..connections).cycle()) {
        if let Some(lines) = subscribers.get_mut(lines) {
            lines.extend_from_slice(format!("SUB {} {:07}\r\n", spread_filter(number), number).as_bytes());
        }
    }
    let mut ring = Vec::new();
    // A multiplicative walk: all over the table, the same for every server.
    for step in 0..SPREAD_MESSAGES {
        let number = (step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let subject = spread_subject((number % subscriptions.max(1) as u64) as usize);
        encode_publish(&mut ring, subject.as_bytes(), None, size);
    }
    let message_bytes = ring.len() / SPREAD_MESSAGES;
    let delivered_bytes = format!("MSG {} 0000000 {size}\r\n", spread_subject(0)).len();
    let mut channel = channel(Parts {
        ring,
        message_bytes,
        publishers: 1,
        subscribers,
        prefix: vec![b'.'; delivered_bytes],
        size,
        stamped: false,
        copies: 1,
    });
    channel.frame.prefix = b"MSG r.".to_vec();
    channel
}

fn spread_filter(number: usize) -> String {
    let (group, member) = (number / 1000, number % 1000);
    match number % 6 {
        0 => format!("r.w{group:04}.{member:03}.*"),
        3 => format!("r.v{group:04}.{member:03}.>"),
        _ => format!("r.l{group:04}.{member:03}.x"),
    }
}

fn spread_subject(number: usize) -> String {
    let filter = spread_filter(number);
    format!("{}x", filter.get(..filter.len() - 1).unwrap_or_default())
}

struct Parts {
    ring: Vec<u8>,
    message_bytes: usize,
    publishers: usize,
    subscribers: Vec<Vec<u8>>,
    prefix: Vec<u8>,
    size: usize,
    stamped: bool,
    copies: usize,
}

fn channel(parts: Parts) -> Channel {
    let line_end = 2;
    let delivered_bytes = parts.prefix.len() + parts.size + line_end;
    let ahead_bytes = AHEAD_BYTES_PER_SUBSCRIBER.min(AHEAD_BYTES_PER_CHANNEL / parts.copies.max(1));
    Channel {
        stamp_at: parts.stamped.then(|| parts.message_bytes - parts.size - line_end),
        frame: Frame {
            stamp_at: parts.stamped.then_some(parts.prefix.len()),
            message_bytes: delivered_bytes,
            prefix: parts.prefix,
        },
        ring: parts.ring,
        message_bytes: parts.message_bytes,
        publishers: parts.publishers,
        subscribers: parts.subscribers,
        copies: parts.copies as u64,
        ahead_max: (ahead_bytes / delivered_bytes).max(1) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_holds_whole_messages_with_room_for_stamps() {
        let pace = Pace::Rate { per_second: 10, burst: 1 };
        let shape = Shape { channels: 2, pace, ..Shape::fan_out(1, 16) };
        let channels = shape.channels().unwrap();
        let [first, _] = channels.as_slice() else { panic!("two channels") };
        assert!(first.ring.starts_with(b"PUB bench.load.00000 16\r\n................\r\n"));
        assert_eq!(first.ring.len() % first.message_bytes, 0);
        assert_eq!(first.stamp_at, Some(25));
        assert_eq!(first.frame.prefix, b"MSG bench.load.00000 1 16\r\n");
        assert_eq!(first.frame.message_bytes, 27 + 18);
    }

    #[test]
    fn spread_messages_have_one_length_and_one_receiver_each() {
        for subscriptions in [1, 7, 1_000] {
            let channel = spread(subscriptions, 16);
            assert_eq!(channel.ring.len(), channel.message_bytes * SPREAD_MESSAGES);
            let lines: usize =
                channel.subscribers.iter().map(|lines| lines.iter().filter(|b| **b == b'\n').count()).sum();
            assert_eq!(lines, subscriptions);
        }
        let wildcards = (0..600).filter(|number| !spread_filter(*number).ends_with('x')).count();
        assert_eq!(wildcards, 200);
        assert_eq!(spread_subject(3), "r.v0000.003.x");
    }
}
