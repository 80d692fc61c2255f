//! A client as a test plays it.

use dialtone_sim::link::End;
use std::io::IoSlice;
use std::time::Duration;

/// Sends what the test says, keeps what comes, and answers PING unless it is silent.
#[derive(Default)]
pub(super) struct Player {
    pub end: Option<End>,
    /// All that came.
    pub got: Vec<u8>,
    /// Bytes of it that were looked at for PING.
    seen: usize,
    /// It does not answer PING.
    pub is_silent: bool,
    /// When the server closed the connection.
    pub closed_at: Option<Duration>,
    unsent: Vec<u8>,
}

impl Player {
    pub fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        let Some(end) = &self.end else { return };
        while !self.unsent.is_empty() {
            match end.write(&[IoSlice::new(&self.unsent)]) {
                Ok(taken) => drop(self.unsent.drain(..taken)),
                Err(_) => return,
            }
        }
    }

    pub fn opened(&mut self, _now: Duration, end: End) {
        self.end = Some(end);
    }

    pub fn received(&mut self, _now: Duration, _end: usize, bytes: &[u8]) {
        self.got.extend_from_slice(bytes);
        while let Some(length) =
            self.got.get(self.seen..).and_then(|new| new.iter().position(|&b| b == b'\n'))
        {
            let line = self.got.get(self.seen..self.seen + length + 1) == Some(b"PING\r\n");
            self.seen += length + 1;
            if line && !self.is_silent {
                self.send(b"PONG\r\n");
            }
        }
    }

    pub fn writable(&mut self, _now: Duration, _end: usize) {
        self.send(&[]);
    }

    pub fn closed(&mut self, now: Duration, _end: usize) {
        self.closed_at = Some(now);
        if let Some(end) = &self.end {
            end.close();
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        None
    }

    pub fn expire(&mut self, _now: Duration) {}

    pub fn is_called(&self) -> bool {
        false
    }

    pub fn called(&mut self, _now: Duration) {}
}
