//! Sends lines to a remote system log by TCP, on a thread of its own: a slow log delays nobody.

use super::{Event, Level, syslog};
use dialtone_net::Threads;
use dialtone_net::address::in_order;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that wait. What does not fit is counted, and the count is logged.
const QUEUE_LINES_MAX: usize = 4096;

/// How long the other side may take nothing before the stream is given up.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// How long the end of the program waits for lines to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// How long after a failure it is left alone.
const PAUSE: Duration = Duration::from_secs(5);

/// What is handed to the thread.
enum Item {
    Line(String),
    /// All before it was sent, or lost.
    Flush(SyncSender<()>),
}

/// Hands lines to the thread. Dropping it ends the thread when all lines are sent.
pub(super) struct LogShipper {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

impl LogShipper {
    /// Goes on with an open stream to `host`.
    ///
    /// Errors: the system refuses the thread.
    pub(super) fn start(host: String, stream: TcpStream, threads: &Threads) -> io::Result<Self> {
        let (queue, lines) = sync_channel(QUEUE_LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = dropped.clone();
        let run = move || ship(&host, stream, &lines, &counted);
        threads.spawn("log", run)?;
        Ok(Self { queue, dropped })
    }

    /// Sends a whole line some time, if the queue has room.
    pub(super) fn send(&self, line: String) {
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all lines so far are sent or lost, for a bounded time.
    pub(super) fn flush(&self) {
        let (done, flushed) = sync_channel(1);
        // A full queue holds what will not be sent in time either.
        if self.queue.try_send(Item::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(FLUSH_MAX);
        }
    }
}

/// Connects to the first address of the host that answers within the deadline.
pub(super) fn connect(host: &str) -> io::Result<TcpStream> {
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    for to in in_order(host.to_socket_addrs()?) {
        match TcpStream::connect_timeout(&to, WRITE_DEADLINE) {
            Ok(stream) => return ready(stream),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_write_timeout(Some(WRITE_DEADLINE))?;
    Ok(stream)
}

fn ship(host: &str, stream: TcpStream, lines: &Receiver<Item>, dropped: &AtomicU64) {
    let mut stream = Some(stream);
    let mut pause = Duration::ZERO;
    while let Ok(item) = lines.recv() {
        let line = match item {
            Item::Line(line) => line,
            Item::Flush(done) => {
                // Whoever waited may have given up.
                let _ = done.try_send(());
                continue;
            }
        };
        if stream.is_none() {
            stream = connect(host).ok();
        }
        // Half a line would spoil the next one: a stream that failed is not used again.
        let lost = dropped.swap(0, Ordering::Relaxed);
        let sent = stream.as_mut().is_some_and(|s| {
            let told = lost == 0 || s.write_all(notice(lost).as_bytes()).is_ok();
            told && s.write_all(line.as_bytes()).is_ok()
        });
        if sent {
            pause = Duration::ZERO;
            continue;
        }
        stream = None;
        dropped.fetch_add(lost + 1, Ordering::Relaxed);
        // The first failure is likely a stream that the other side closed: the next line tries at once.
        if !pause.is_zero() && back_off(pause, lines, dropped).is_err() {
            return;
        }
        pause = PAUSE;
    }
}

/// Loses what comes for a while. An error when nothing can come any more.
fn back_off(pause: Duration, lines: &Receiver<Item>, dropped: &AtomicU64) -> Result<(), RecvTimeoutError> {
    let until = std::time::Instant::now() + pause;
    loop {
        match lines.recv_timeout(until.saturating_duration_since(std::time::Instant::now())) {
            Ok(Item::Line(_)) => dropped.fetch_add(1, Ordering::Relaxed),
            Ok(Item::Flush(done)) => {
                let _ = done.try_send(());
                continue;
            }
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(end) => return Err(end),
        };
    }
}

fn notice(lost: u64) -> String {
    let level: Level = Event::LinesDropped.level();
    syslog::remote(level, &format!("{lost} log lines were dropped, the log is too slow")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::accept;
    use std::io::BufRead as _;
    use std::net::TcpListener;

    #[test]
    fn lost_lines_are_told_and_a_broken_stream_is_opened_again() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let host = listener.local_addr().expect("address").to_string();
        let broken = connect(&host).expect("connect");
        broken.shutdown(std::net::Shutdown::Both).expect("shut down");
        drop(accept(&listener));
        let shipper = LogShipper::start(host, broken, &Threads::default()).expect("start");
        shipper.send("lost\n".into());
        shipper.send("found\n".into());
        // Nobody reads yet: what is flushed was sent, not read.
        shipper.flush();
        let stream = accept(&listener);
        drop(shipper);
        let lines: Vec<_> = io::BufReader::new(stream).lines().map(|l| l.expect("read")).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with(": 1 log lines were dropped, the log is too slow"), "{lines:?}");
        assert_eq!(lines[1], "found");
    }
}
