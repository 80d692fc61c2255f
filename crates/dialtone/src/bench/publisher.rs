//! A publisher of a flow: sends what it is granted from its ring, and keeps whole what must not be cut.

use super::link::Link;
use super::operations::{Operation, Operations};
use super::shape::Channel;
use super::tally::STAMP_BYTES;
use super::target::Target;
use anyhow::{Result, bail};
use mio::{Interest, Registry, Token};

/// Bytes handed to the socket at once, about.
const SEND_BYTES: u64 = 64 * 1024;

/// One publisher, on its own connection.
pub struct Publisher {
    link: Link,
    operations: Operations,
    /// The channel it belongs to.
    pub channel: usize,
    ring: Vec<u8>,
    message_bytes: u64,
    stamp_at: Option<usize>,
    /// Bytes that may go out and bytes that have, since the beginning.
    granted: u64,
    sent: u64,
    writable: bool,
    /// PING and PONG lines waiting for the end of a message.
    control: Vec<u8>,
    pongs_missing: usize,
}

impl Publisher {
    /// Opens a connection for `channel`, whose number is `number`.
    pub fn open(target: &Target, channel: &Channel, number: usize) -> Result<Publisher> {
        let (link, operations) = Link::open(target, b"")?;
        Ok(Publisher {
            link,
            operations,
            channel: number,
            ring: channel.ring.clone(),
            message_bytes: channel.message_bytes as u64,
            stamp_at: channel.stamp_at,
            granted: 0,
            sent: 0,
            writable: true,
            control: Vec::new(),
            pongs_missing: 0,
        })
    }

    /// Makes the poll report it as `token`.
    pub fn register(&mut self, registry: &Registry, token: Token) -> Result<()> {
        self.link.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The poll reported that the socket takes more.
    pub fn set_writable(&mut self) {
        self.writable = true;
    }

    /// All that was granted is sent, and the socket takes more.
    pub fn wants_grant(&self) -> bool {
        self.writable && self.sent == self.granted
    }

    /// Something granted can be sent at once.
    pub fn can_send(&self) -> bool {
        self.writable && self.sent < self.granted
    }

    /// Everything granted is sent, and the server has answered what it was asked.
    pub fn is_done(&self) -> bool {
        self.sent == self.granted && self.pongs_missing == 0
    }

    /// Messages that are sent with one call.
    pub fn messages_at_once(&self) -> u64 {
        (SEND_BYTES / self.message_bytes).max(1)
    }

    /// Lets so many more messages go out.
    pub fn grant(&mut self, messages: u64) {
        self.granted += messages * self.message_bytes;
    }

    /// Messages that may be stamped and granted before the ring would overwrite what was not sent.
    pub fn room(&self) -> u64 {
        (self.ring.len() as u64 - (self.granted - self.sent)) / self.message_bytes
    }

    /// Writes the time into the next `messages` messages to be granted.
    pub fn stamp(&mut self, messages: u64, nanos: u64) {
        let Some(stamp_at) = self.stamp_at else { return };
        for number in 0..messages {
            let begin = (self.granted + number * self.message_bytes) % self.ring.len() as u64;
            let at = begin as usize + stamp_at;
            if let Some(place) = self.ring.get_mut(at..at + STAMP_BYTES) {
                place.copy_from_slice(&nanos.to_le_bytes());
            }
        }
    }

    /// Sends a PING behind all that is granted; its PONG shows that the server has read everything.
    pub fn ask_for_pong(&mut self) {
        self.control.extend_from_slice(b"PING\r\n");
        self.pongs_missing += 1;
    }

    /// Sends what is granted, as far as the socket takes it; true if some of it went out.
    pub fn send(&mut self) -> Result<bool> {
        let before = self.sent;
        while self.writable {
            if !self.link.flush()? {
                self.writable = false;
                break;
            }
            if self.control_goes_next() {
                self.link.queue(&self.control);
                self.control.clear();
                continue;
            }
            let ring_bytes = self.ring.len() as u64;
            let position = self.sent % ring_bytes;
            let mut bytes = (self.granted - self.sent).min(ring_bytes - position);
            let into = position % self.message_bytes;
            if !self.control.is_empty() && into > 0 {
                bytes = bytes.min(self.message_bytes - into);
            }
            if bytes == 0 {
                break;
            }
            let slice = self.ring.get(position as usize..(position + bytes) as usize).unwrap_or_default();
            let sent = self.link.write(slice)? as u64;
            self.sent += sent;
            self.writable = sent == bytes;
        }
        Ok(self.sent != before)
    }

    /// A line may go out between two messages only, and the PING that asks for the end after all of them.
    fn control_goes_next(&self) -> bool {
        let between_messages = self.sent.is_multiple_of(self.message_bytes);
        let in_order = self.pongs_missing == 0 || self.sent == self.granted;
        !self.control.is_empty() && between_messages && in_order
    }

    /// Reads what the server says besides; true if it said something.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
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
