//! Requesters with one request under way each, and a responder that answers each request where it wants it.

use super::histogram::Histogram;
use super::link::{Link, READ_BYTES};
use super::load::{Carried, Load};
use super::operations::{Operation, Operations, encode_publish};
use super::progress::Progress;
use super::stop::Stop;
use super::target::Target;
use anyhow::{Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};
use std::time::{Duration, Instant};

/// A request without an answer for so long fails the run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Requesters, and a responder unless someone else answers.
pub struct Request {
    poll: Poll,
    size: usize,
    requesters: Vec<Requester>,
    responder: Option<Responder>,
    buffer: Vec<u8>,
}

struct Requester {
    link: Link,
    operations: Operations,
    request: Vec<u8>,
    asked: Option<Instant>,
}

/// Answers requests.
pub struct Responder {
    link: Link,
    operations: Operations,
    size: usize,
    /// Requests answered.
    pub answered: u64,
}

impl Request {
    /// Opens `requesters` connections that send requests of `size` bytes to `subject`.
    pub fn open(
        target: &Target,
        subject: &str,
        requesters: usize,
        size: usize,
        responder: Option<Responder>,
    ) -> Result<Request> {
        ensure!(requesters > 0, "--requesters: at least 1");
        let poll = Poll::new()?;
        let mut responder = responder;
        if let Some(responder) = &mut responder {
            responder.link.register(
                poll.registry(),
                Token(requesters),
                Interest::READABLE | Interest::WRITABLE,
            )?;
        }
        let mut all = Vec::new();
        for number in 0..requesters {
            // The process id keeps the answers of several generators apart.
            let inbox = format!("_INBOX.{:08x}.{number:06}", std::process::id());
            let (mut link, operations) = Link::open(target, format!("SUB {inbox} 1\r\n").as_bytes())?;
            link.register(poll.registry(), Token(number), Interest::READABLE | Interest::WRITABLE)?;
            let mut request = Vec::new();
            encode_publish(&mut request, subject.as_bytes(), Some(inbox.as_bytes()), size);
            all.push(Requester { link, operations, request, asked: None });
        }
        Ok(Request { poll, size, requesters: all, responder, buffer: vec![0; READ_BYTES] })
    }
}

impl Load for Request {
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried> {
        let mut events = Events::with_capacity(1024);
        let mut latency = Histogram::default();
        let started = Instant::now();
        let mut last_answer = started;
        let (mut asked, mut answered) = (0, 0);
        for requester in &mut self.requesters {
            if stop.left(asked, started, started) > 0 {
                requester.ask(started)?;
                asked += 1;
            }
        }
        while answered < asked {
            match self.poll.poll(&mut events, Some(POLL)) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let Token(number) = event.token();
                let Some(requester) = self.requesters.get_mut(number) else {
                    if let Some(responder) = &mut self.responder {
                        responder.answer(&mut self.buffer)?;
                    }
                    continue;
                };
                let came = requester.receive(&mut self.buffer, &mut latency)?;
                answered += came;
                let now = Instant::now();
                if came > 0 {
                    last_answer = now;
                    if stop.left(asked, started, now) > 0 {
                        requester.ask(now)?;
                        asked += 1;
                    }
                }
            }
            let now = Instant::now();
            if now.duration_since(last_answer) > ANSWER_TIMEOUT {
                bail!("{answered} answers came to {asked} requests");
            }
            progress.tick(now, started, stop, asked, answered);
        }
        Ok(Carried {
            published: asked,
            delivered: answered,
            messages: answered,
            payload_bytes: answered * self.size as u64,
            idle: 0,
            elapsed: started.elapsed(),
            latency: Some(latency),
        })
    }
}

impl Requester {
    fn ask(&mut self, now: Instant) -> Result<()> {
        self.asked = Some(now);
        self.link.queue(&self.request);
        self.link.flush()?;
        Ok(())
    }

    /// How many answers came: one, if any.
    fn receive(&mut self, buffer: &mut [u8], latency: &mut Histogram) -> Result<u64> {
        self.link.flush()?;
        let mut answers = 0;
        while let Some(found) = self.link.read(buffer)? {
            self.operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { body, header_bytes, .. } => {
                        if body.len() == header_bytes && body.starts_with(b"NATS/1.0 503") {
                            bail!("nobody answers requests on this subject; start `dialtone bench reply`");
                        }
                        if body.starts_with(b"{\"error\"") || body.starts_with(b"NATS/1.0 404") {
                            bail!("the server answered {}", String::from_utf8_lossy(body));
                        }
                        let Some(asked) = self.asked.take() else {
                            bail!("a second answer came to one request")
                        };
                        latency.record(asked.elapsed().as_nanos() as u64);
                        answers += 1;
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
        Ok(answers)
    }
}

impl Responder {
    /// Subscribes to `subject`, in the queue group `queue` if it names one; answers have `size` bytes.
    pub fn open(target: &Target, subject: &str, queue: Option<&str>, size: usize) -> Result<Responder> {
        let subscribe = format!("SUB {subject} {} 1\r\n", queue.unwrap_or_default());
        let (link, operations) = Link::open(target, subscribe.as_bytes())?;
        Ok(Responder { link, operations, size, answered: 0 })
    }

    /// Makes `poll` report it.
    pub fn register(&mut self, poll: &Poll, token: Token) -> Result<()> {
        self.link.register(poll.registry(), token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Answers all requests that are there, together.
    pub fn answer(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut answers = Vec::new();
        while let Some(found) = self.link.read(buffer)? {
            self.operations.push(buffer.get(..found.bytes).unwrap_or_default());
            while let Some(operation) = self.operations.next()? {
                match operation {
                    Operation::Message { reply: Some(reply), .. } => {
                        encode_publish(&mut answers, reply, None, self.size);
                        self.answered += 1;
                    }
                    Operation::Ping => answers.extend_from_slice(b"PONG\r\n"),
                    Operation::Error(text) => bail!("the server reported {text}"),
                    Operation::Message { .. } | Operation::Pong | Operation::Info(_) | Operation::Ok => {}
                }
            }
            if !found.more {
                break;
            }
        }
        self.link.queue(&answers);
        self.link.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Fake;
    use super::*;

    #[test]
    fn every_request_is_answered_and_timed() {
        let target = Fake::start().target();
        for requesters in [1, 5] {
            let responder = Responder::open(&target, "service", None, 3).unwrap();
            let mut load = Request::open(&target, "service", requesters, 8, Some(responder)).unwrap();
            let carried = load.run(Stop::Messages(100), &mut Progress::silent()).unwrap();
            assert_eq!((carried.published, carried.messages), (100, 100));
            assert_eq!(carried.latency.unwrap().count(), 100);
        }
    }
}
