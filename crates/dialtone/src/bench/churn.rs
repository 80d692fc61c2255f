//! Connections that subscribe, publish to themselves and unsubscribe, over and over.

use super::link::{Link, READ_BYTES};
use super::load::{Carried, Load};
use super::operations::{Operation, Operations, encode_publish};
use super::progress::Progress;
use super::stop::Stop;
use super::target::Target;
use anyhow::{Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

/// Cycles sent at once; the next ones follow when these have come back.
const CYCLES: u64 = 16;
/// Subjects a connection goes through before it begins again.
const SUBJECTS: u64 = 4096;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Open connections.
pub struct Churn {
    poll: Poll,
    size: usize,
    peers: Vec<Peer>,
    buffer: Vec<u8>,
}

struct Peer {
    link: Link,
    operations: Operations,
    number: usize,
    next: u64,
    messages_missing: u64,
    pong_missing: bool,
    batch: Vec<u8>,
}

impl Churn {
    /// Opens the connections.
    pub fn open(target: &Target, connections: usize, size: usize) -> Result<Churn> {
        ensure!(connections > 0, "--connections: at least 1");
        let poll = Poll::new()?;
        let mut peers = Vec::new();
        for number in 0..connections {
            let (mut link, operations) = Link::open(target, b"")?;
            link.register(poll.registry(), Token(number), Interest::READABLE | Interest::WRITABLE)?;
            peers.push(Peer {
                link,
                operations,
                number,
                next: 0,
                messages_missing: 0,
                pong_missing: false,
                batch: Vec::new(),
            });
        }
        Ok(Churn { poll, size, peers, buffer: vec![0; READ_BYTES] })
    }
}

impl Load for Churn {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let mut events = Events::with_capacity(64);
        let started = Instant::now();
        let mut last_answer = started;
        let (mut sent, mut returned) = (0, 0);
        loop {
            let now = Instant::now();
            for peer in &mut self.peers {
                let cycles = CYCLES.min(stop.left(sent, started, now));
                if peer.is_idle() && cycles > 0 {
                    peer.send(cycles, self.size)?;
                    sent += cycles;
                }
            }
            if self.peers.iter().all(Peer::is_idle) {
                break;
            }
            match self.poll.poll(&mut events, Some(POLL)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Token(number) = event.token();
                if let Some(peer) = self.peers.get_mut(number) {
                    returned += peer.receive(&mut self.buffer)?;
                    last_answer = now;
                }
            }
            ensure!(
                now.duration_since(last_answer) < ANSWER_TIMEOUT,
                "{returned} messages came back of {sent}"
            );
            progress.tick(now, started, stop, sent, returned);
        }
        ensure!(returned == sent, "{returned} messages came back of {sent}");
        Ok(Carried {
            published: sent,
            delivered: returned,
            messages: returned,
            payload_bytes: returned * self.size as u64,
            idle: 0,
            elapsed: started.elapsed(),
            latency: None,
        })
    }
}

impl Peer {
    fn is_idle(&self) -> bool {
        self.messages_missing == 0 && !self.pong_missing
    }

    /// Sends `cycles` of SUB, PUB and UNSUB, and a PING whose PONG shows that the last UNSUB was carried out.
    fn send(&mut self, cycles: u64, size: usize) -> Result<()> {
        self.batch.clear();
        for _ in 0..cycles {
            let sid = self.next % SUBJECTS + 1;
            let subject = format!("churn.{:03}.{sid:04}", self.number);
            self.batch.extend_from_slice(format!("SUB {subject} {sid}\r\n").as_bytes());
            encode_publish(&mut self.batch, subject.as_bytes(), None, size);
            self.batch.extend_from_slice(format!("UNSUB {sid}\r\n").as_bytes());
            self.next += 1;
        }
        self.batch.extend_from_slice(b"PING\r\n");
        self.messages_missing = cycles;
        self.pong_missing = true;
        self.link.queue(&self.batch);
        self.link.flush()?;
        Ok(())
    }

    /// How many messages came back.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<u64> {
        self.link.flush()?;
        let before = self.messages_missing;
        while let Some(found) = self.link.read(buffer)? {
            self.operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { .. } => match self.messages_missing.checked_sub(1) {
                        Some(missing) => self.messages_missing = missing,
                        None => bail!("a message came after its UNSUB, or twice"),
                    },
                    Operation::Pong => self.pong_missing = false,
                    Operation::Ping => self.link.queue(b"PONG\r\n"),
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Info(_) | Operation::Ok => {}
                }
            }
            if !found.more {
                break;
            }
        }
        self.link.flush()?;
        Ok(before - self.messages_missing)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn every_cycle_brings_its_message_back() {
        let mut churn = Churn::open(&Fake::start().target(), 2, 16).unwrap();
        for cycles in [1, 100, 5_000] {
            let carried = churn.run(Stop::Messages(cycles), &mut Progress::silent()).unwrap();
            assert_eq!((carried.published, carried.messages), (cycles, cycles));
        }
    }
}
