//! A client that subscribes and publishes, answers all requests, and keeps what it gets.

use super::plan::Sub;
use dialtone_sim::link::End;
use std::collections::BTreeMap;
use std::io::IoSlice;

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    /// Counts the client's connections.
    pub connection: u32,
    pub sid: u32,
    pub subject: String,
    pub body: String,
}

/// Subscriptions to answers have numbers from here on.
const INBOXES: u32 = 1000;

#[derive(Default)]
pub(super) struct Client {
    number: usize,
    user: &'static str,
    /// What it is subscribed to, on every connection anew.
    pub subs: BTreeMap<u32, Sub>,
    next_sid: u32,
    next_inbox: u32,
    end: Option<End>,
    connection: u32,
    input: Vec<u8>,
    unsent: Vec<u8>,
    pub got: Vec<Got>,
    /// What the server refused.
    pub errors: Vec<String>,
}

impl Client {
    pub fn new(number: usize, user: &'static str, subs: &[Sub]) -> Self {
        let subs: BTreeMap<u32, Sub> = (1..).zip(subs.iter().cloned()).collect();
        let next_sid = subs.len() as u32 + 1;
        Self { number, user, next_sid, next_inbox: INBOXES, subs, ..Self::default() }
    }

    pub fn is_connected(&self) -> bool {
        self.end.is_some()
    }

    pub fn opened(&mut self, end: End) {
        self.end = Some(end);
        self.connection += 1;
        (self.input, self.unsent) = (Vec::new(), Vec::new());
        let connect = format!("CONNECT {{\"user\":\"{}\",\"pass\":\"p\",\"verbose\":false}}\r\n", self.user);
        let subs: String = self.subs.iter().map(|(sid, sub)| line(*sid, sub)).collect();
        self.send(&format!("{connect}{subs}"));
    }

    pub fn close(&mut self) {
        if let Some(end) = self.end.take() {
            end.close();
        }
    }

    pub fn subscribe(&mut self, sub: &Sub) {
        let sid = self.next_sid;
        self.next_sid += 1;
        self.subs.insert(sid, sub.clone());
        self.send(&line(sid, sub));
    }

    /// Ends the subscription that has been there for longest.
    pub fn unsubscribe(&mut self) {
        if let Some((sid, _)) = self.subs.pop_first() {
            self.send(&format!("UNSUB {sid}\r\n"));
        }
    }

    pub fn publish(&mut self, subject: &str, body: &str) {
        self.send(&format!("PUB {subject} {}\r\n{body}\r\n", body.len()));
    }

    /// Asks, and subscribes to the answers just before; the number of that subscription.
    pub fn request(&mut self, subject: &str, body: &str) -> u32 {
        let sid = self.next_inbox;
        self.next_inbox += 1;
        let inbox = format!("_INBOX.{}.{sid}", self.number);
        self.send(&format!("SUB {inbox} {sid}\r\nPUB {subject} {inbox} {}\r\n{body}\r\n", body.len()));
        sid
    }

    pub fn send(&mut self, text: &str) {
        if self.end.is_some() {
            self.unsent.extend_from_slice(text.as_bytes());
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        let Some(end) = &self.end else { return };
        while !self.unsent.is_empty() {
            match end.write(&[IoSlice::new(&self.unsent)]) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(_) => return,
            }
        }
    }

    pub fn received(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some(used) = self.take() {
            self.input.drain(..used);
        }
    }

    /// Takes what is whole at the front of the input; how many bytes that were.
    fn take(&mut self) -> Option<usize> {
        let length = self.input.windows(2).position(|two| two == b"\r\n")?;
        let line = String::from_utf8_lossy(&self.input[..length]).into_owned();
        let mut words = line.split(' ');
        match words.next() {
            Some("MSG") => {
                let subject = words.next().expect("a subject").to_owned();
                let sid = words.next().and_then(|sid| sid.parse().ok()).expect("a sid");
                let size: usize = words.next_back().and_then(|size| size.parse().ok()).expect("a size");
                let reply = words.next().map(str::to_owned);
                let end = length + 2 + size;
                let body = self.input.get(length + 2..end)?;
                self.input.get(end..end + 2)?;
                let body = String::from_utf8_lossy(body).into_owned();
                if let Some(reply) = reply {
                    let answer = answer(&body, (self.number, sid));
                    self.publish(&reply, &answer);
                }
                self.got.push(Got { connection: self.connection, sid, subject, body });
                return Some(end + 2);
            }
            Some("PING") => self.send("PONG\r\n"),
            Some("-ERR") => self.errors.push(line),
            _ => {}
        }
        Some(length + 2)
    }

    pub fn closed(&mut self, end: usize) {
        if self.end.as_ref().is_some_and(|own| own.number() == end) {
            self.close();
        }
    }
}

/// What a subscription of a client answers a request.
pub(super) fn answer(request: &str, (client, sid): (usize, u32)) -> String {
    format!("answer to {request} by {client} {sid}")
}

fn line(sid: u32, sub: &Sub) -> String {
    match sub.queue {
        Some(queue) => format!("SUB {} {queue} {sid}\r\n", sub.filter),
        None => format!("SUB {} {sid}\r\n", sub.filter),
    }
}
