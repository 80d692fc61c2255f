//! Logging: one line an event, in the official format or as JSON, to stderr, a file or a system log.
//!
//! A line is written when it is said, so that whoever reads the log after an answer finds there what led to it. Nothing
//! above `trace` is said per message.

mod event;
mod sink;

use dialtone_config::options::Log;
pub use event::{Event, Level};
use parking_lot::Mutex;
use sink::Sink;
use std::fmt::{Arguments, Write as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

struct Inner {
    debug: AtomicBool,
    trace: AtomicBool,
    json: AtomicBool,
    time: AtomicBool,
    utc: AtomicBool,
    sink: Mutex<Sink>,
}

/// Where everything is logged. Cheap to clone.
#[derive(Clone)]
pub struct Logger(Arc<Inner>);

impl Logger {
    /// Opens the log.
    ///
    /// Errors: the file or the system log cannot be opened.
    pub fn new(options: &Log) -> io::Result<Self> {
        Ok(Self::with(Sink::open(options)?, options))
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
    pub fn say(&self, event: Event, who: &str, text: Arguments<'_>) {
        if self.is_on(event.level()) {
            self.put(event, who, text);
        }
    }

    #[cold]
    fn put(&self, event: Event, who: &str, text: Arguments<'_>) {
        let line = if self.0.json.load(Ordering::Relaxed) {
            json_line(event, who, text)
        } else {
            self.text_line(event, who, text)
        };
        self.0.sink.lock().write(event.level(), &line);
    }

    /// `[pid] 2006/01/02 15:04:05.000000 [INF] who - text`
    fn text_line(&self, event: Event, who: &str, text: Arguments<'_>) -> String {
        let mut line = String::with_capacity(128);
        // Writing to a String has no way to fail.
        let _ = write!(line, "[{}] ", std::process::id());
        if self.0.time.load(Ordering::Relaxed) {
            let zone = if self.0.utc.load(Ordering::Relaxed) {
                jiff::tz::TimeZone::UTC
            } else {
                jiff::tz::TimeZone::system()
            };
            let now = jiff::Timestamp::now().to_zoned(zone);
            let _ = write!(line, "{} ", now.strftime("%Y/%m/%d %H:%M:%S.%6f"));
        }
        let _ = write!(line, "[{}] ", event.level().label());
        if !who.is_empty() {
            let _ = write!(line, "{who} - ");
        }
        let start = line.len();
        let _ = write!(line, "{text}");
        one_line(&mut line, start);
        line
    }
}

impl std::fmt::Debug for Logger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logger")
    }
}

/// What comes from outside must not begin a line of its own.
fn one_line(line: &mut String, start: usize) {
    if line.get(start..).is_some_and(|text| text.contains(['\n', '\r'])) {
        let clean = line.get(start..).unwrap_or_default().replace('\r', "\\r").replace('\n', "\\n");
        line.truncate(start);
        line.push_str(&clean);
    }
}

fn json_line(event: Event, who: &str, text: Arguments<'_>) -> String {
    let mut object = serde_json::Map::new();
    let mut set = |key: &str, value: String| object.insert(key.into(), value.into());
    set("time", jiff::Timestamp::now().to_string());
    set("level", event.level().name().into());
    set("event", event.id().into());
    if !who.is_empty() {
        set("connection", who.into());
    }
    set("message", text.to_string());
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(options: Log) -> Vec<String> {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        let logger = Logger::new(&Log { file: Some(file.clone()), ..options }).expect("log");
        logger.say(Event::Ready, "", format_args!("Server is ready"));
        logger.say(Event::ClientCreated, "127.0.0.1:1 - cid:5", format_args!("Client\r\n[1] forged"));
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
    fn json_has_stable_ids() {
        let lines = logged(Log { json: true, ..Log::default() });
        let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("json");
        assert_eq!(line["event"], "ready");
        assert_eq!(line["level"], "info");
        assert_eq!(line["message"], "Server is ready");
    }
}
