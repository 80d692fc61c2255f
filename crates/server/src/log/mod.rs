//! Logging: one line an event, in the official format or as JSON, to stderr, a file or a system log.
//!
//! A line is written when it is emitted, so that whoever reads the log after an answer finds there what led to it. Nothing
//! above `trace` is emitted per message. System logs never hold anyone up: what they do not take is lost, and counted by TCP.

mod escape;
mod event;
mod line;
pub mod redact;
mod shipper;
mod sink;
mod syslog;

use dialtone_config::options::Log;
use dialtone_net::Threads;
pub use event::{Event, Level};
use parking_lot::Mutex;
use sink::Sink;
use std::fmt::{Arguments, Display};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the last line of a process waits for the log.
const LAST_MAX: Duration = Duration::from_secs(1);

struct Inner {
    debug: AtomicBool,
    trace: AtomicBool,
    json: AtomicBool,
    time: AtomicBool,
    utc: AtomicBool,
    colours: AtomicBool,
    sink: Mutex<Sink>,
}

/// Where everything is logged. Cheap to clone.
#[derive(Clone)]
pub struct Logger(Arc<Inner>);

impl Logger {
    /// Opens the log. A system log by TCP is written to by a thread.
    ///
    /// Errors: the file or the system log cannot be opened.
    pub fn new(options: &Log, threads: &Threads) -> io::Result<Self> {
        Ok(Self::with(Sink::open(options, threads)?, options))
    }

    /// Logs nothing.
    pub fn silent() -> Self {
        Self::with(Sink::none(), &Log::default())
    }

    fn with(sink: Sink, options: &Log) -> Self {
        let logger = Self(Arc::new(Inner {
            debug: AtomicBool::new(false),
            trace: AtomicBool::new(false),
            json: AtomicBool::new(false),
            time: AtomicBool::new(true),
            utc: AtomicBool::new(false),
            colours: AtomicBool::new(false),
            sink: Mutex::new(sink),
        }));
        logger.set(options);
        logger
    }

    fn set(&self, options: &Log) {
        let inner = &self.0;
        inner.debug.store(options.debug, Ordering::Relaxed);
        inner.trace.store(options.trace, Ordering::Relaxed);
        inner.json.store(options.json, Ordering::Relaxed);
        inner.time.store(options.time, Ordering::Relaxed);
        inner.utc.store(options.utc, Ordering::Relaxed);
        inner.colours.store(options.is_to_stderr() && io::stderr().is_terminal(), Ordering::Relaxed);
    }

    /// Goes on with other options.
    pub fn configure(&self, options: &Log) {
        self.set(options);
        self.0.sink.lock().configure(options);
    }

    /// Closes and opens the file again: it was moved away.
    pub fn reopen(&self) {
        self.0.sink.lock().reopen();
    }

    /// Whether events of this level are logged.
    #[inline]
    pub fn is_on(&self, level: Level) -> bool {
        match level {
            Level::Debug => self.0.debug.load(Ordering::Relaxed),
            Level::Trace => self.0.trace.load(Ordering::Relaxed),
            _ => true,
        }
    }

    /// Logs an event. `who` names the connection it is about; empty for the server.
    pub fn emit(&self, event: Event, who: &str, text: Arguments<'_>) {
        if self.is_on(event.level()) {
            self.put(event, who, text);
        }
    }

    /// Logs an event after which the process may end, and waits until it is written, for a bounded time: the thread that panics may
    /// hold the log.
    pub fn emit_last(&self, event: Event, text: Arguments<'_>) {
        let (line, start) = self.line(event, "", text);
        if let Some(mut sink) = self.0.sink.try_lock_for(LAST_MAX) {
            sink.write(event.level(), &line, start);
            sink.flush();
        }
    }

    /// Waits until what was emitted is written, for a bounded time.
    pub fn flush(&self) {
        self.0.sink.lock().flush();
    }

    /// Logs a problem whose text may have several lines, one event each: an indented line is advice about the one before.
    pub fn emit_problem(&self, event: Event, head: &str, problem: &dyn Display) {
        let problem = problem.to_string().replace("\n  ", "; ");
        for line in problem.lines() {
            self.emit(event, "", format_args!("{head}{line}"));
        }
    }

    #[cold]
    fn put(&self, event: Event, who: &str, text: Arguments<'_>) {
        let (line, start) = self.line(event, who, text);
        self.0.sink.lock().write(event.level(), &line, start);
    }

    fn line(&self, event: Event, who: &str, text: Arguments<'_>) -> (String, usize) {
        let inner = &self.0;
        if inner.json.load(Ordering::Relaxed) {
            (line::json(event, who, text), 0)
        } else {
            let form = line::Form {
                time: inner.time.load(Ordering::Relaxed),
                utc: inner.utc.load(Ordering::Relaxed),
                colours: inner.colours.load(Ordering::Relaxed),
            };
            line::text(form, event.level(), who, text)
        }
    }
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logger")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(options: Log) -> Vec<String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        let logger =
            Logger::new(&Log { file: Some(file.clone()), ..options }, &Threads::default()).expect("log");
        logger.emit(Event::Ready, "", format_args!("Server is ready"));
        logger.emit(Event::ClientCreated, "127.0.0.1:1 - cid:5", format_args!("Client\r\n[1] forged"));
        std::fs::read_to_string(file).expect("read").lines().map(str::to_owned).collect()
    }

    #[test]
    fn lines_have_the_official_form() {
        let lines = logged(Log { debug: true, ..Log::default() });
        let pid = std::process::id();
        assert!(lines[0].starts_with(&format!("[{pid}] 2")) && lines[0].ends_with(" [INF] Server is ready"));
        assert!(lines[1].ends_with("[DBG] 127.0.0.1:1 - cid:5 - Client\\r\\n[1] forged"), "{lines:?}");
        assert_eq!(logged(Log { time: false, ..Log::default() }), [format!("[{pid}] [INF] Server is ready")]);
    }

    #[test]
    fn a_problem_of_several_lines_is_as_many_events() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        let logger = Logger::new(
            &Log { file: Some(file.clone()), time: false, ..Log::default() },
            &Threads::default(),
        )
        .expect("log");
        logger.emit_problem(Event::ReloadFailed, "failed: ", &"a:1:1: x\n  do y\na:2:1: z");
        let pid = std::process::id();
        let lines =
            [format!("[{pid}] [ERR] failed: a:1:1: x; do y"), format!("[{pid}] [ERR] failed: a:2:1: z")];
        assert_eq!(std::fs::read_to_string(file).expect("read").lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn json_has_stable_ids() {
        let lines = logged(Log { json: true, ..Log::default() });
        let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("json");
        assert_eq!(line["event"], "ready");
        assert_eq!(line["level"], "info");
        assert_eq!(line["message"], "Server is ready");
    }
}
