//! Where lines go.

use super::shipper::{self, LogShipper};
use super::{Event, Level, line, syslog};
use dialtone_config::options::Log;
use dialtone_net::Threads;
use dialtone_net::address::in_order;
use std::fmt::Arguments;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Where a local system log listens, in the order they are tried.
const LOCAL_LOGS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

enum Target {
    Nowhere,
    Stderr,
    File { path: PathBuf, file: File, bytes: u64 },
    Local(UnixDatagram),
    Udp(UdpSocket),
    Tcp(LogShipper),
}

/// An open log.
pub(super) struct Sink {
    target: Target,
    options: Log,
    threads: Threads,
}

impl Sink {
    pub(super) fn open(options: &Log, threads: &Threads) -> io::Result<Self> {
        let target = Target::open(options, threads)?;
        Ok(Self { target, options: options.clone(), threads: threads.clone() })
    }

    pub(super) fn none() -> Self {
        Self { target: Target::Nowhere, options: Log::default(), threads: Threads::default() }
    }

    /// Waits for what goes out by a thread of its own, for a bounded time.
    pub(super) fn flush(&self) {
        if let Target::Tcp(shipper) = &self.target {
            shipper.flush();
        }
    }

    /// Writes a line, whose text begins at `start`.
    pub(super) fn write(&mut self, level: Level, line: &str, start: usize) {
        let text = line.get(start..).unwrap_or_default();
        // There is nowhere to tell that the log itself cannot be written.
        let _ = match &mut self.target {
            Target::Nowhere => Ok(()),
            Target::Stderr => writeln!(io::stderr().lock(), "{line}"),
            Target::File { file, bytes, .. } => {
                *bytes += line.len() as u64 + 1;
                file.write_all(format!("{line}\n").as_bytes())
            }
            Target::Local(socket) => socket.send(syslog::local(level, text).as_bytes()).map(drop),
            Target::Udp(socket) => socket.send(syslog::remote(level, text).as_bytes()).map(drop),
            Target::Tcp(shipper) => {
                shipper.send(syslog::remote(level, text) + "\n");
                Ok(())
            }
        };
        let limit = self.options.file_bytes_max;
        if let Target::File { path, bytes, .. } = &self.target
            && limit > 0
            && *bytes > limit
        {
            let path = path.clone();
            self.rotate(&path);
        }
    }

    /// Logs something about the log itself. Does not set the file aside, so that it ends.
    pub(super) fn emit(&mut self, event: Event, text: Arguments<'_>) {
        let (line, start) = if self.options.json {
            (line::json(event, "", text), 0)
        } else {
            let form = line::Form { time: self.options.time, utc: self.options.utc, colours: false };
            line::text(form, event.level(), "", text)
        };
        let limit = std::mem::take(&mut self.options.file_bytes_max);
        self.write(event.level(), &line, start);
        self.options.file_bytes_max = limit;
    }

    /// Sets the file aside under a name with the time, and begins a new one.
    fn rotate(&mut self, path: &Path) {
        let now = jiff::Zoned::now().strftime("%Y.%m.%d.%H.%M.%S.%9f").to_string();
        let mut aside = path.as_os_str().to_owned();
        aside.push(".");
        aside.push(&now);
        let begun = std::fs::rename(path, &aside).and_then(|()| Target::file(path));
        match begun {
            Ok(target) => {
                self.target = target;
                let aside = Path::new(&aside).display().to_string();
                self.emit(Event::LogRotated, format_args!("Rotated log, backup saved as {aside:?}"));
                self.purge(path);
            }
            Err(e) => {
                // Not with every line again: only when as much has come once more.
                if let Target::File { bytes, .. } = &mut self.target {
                    *bytes = 0;
                }
                self.emit(
                    Event::LogFailed,
                    format_args!("Unable to rotate the logfile {path:?} for rotation ({e})"),
                );
            }
        }
    }

    /// Removes the oldest files that were set aside, so that `files_max` are left with the current one.
    fn purge(&mut self, path: &Path) {
        let keep = match self.options.files_max {
            0 => return,
            n => n.saturating_sub(1),
        };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
            return;
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let prefix = format!("{name}.");
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut aside: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| is_set_aside(n, &prefix)))
            .collect();
        aside.sort();
        let surplus = aside.len().saturating_sub(keep);
        for old in aside.into_iter().take(surplus) {
            let name = old.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match std::fs::remove_file(&old) {
                Ok(()) => self.emit(Event::LogPurged, format_args!("Purged log file {name:?}")),
                // It is tried again at the next turn.
                Err(e) => {
                    self.emit(Event::LogFailed, format_args!("Unable to remove old log file {name:?} ({e})"))
                }
            }
        }
    }

    /// Closes and opens the file again: it was moved away.
    pub(super) fn reopen(&mut self) {
        if !matches!(self.target, Target::File { .. }) {
            return self
                .emit(Event::LogReopened, format_args!("File log re-open ignored, not a file logger"));
        }
        match Target::open(&self.options, &self.threads) {
            Ok(target) => {
                self.target = target;
                self.emit(Event::LogReopened, format_args!("File log re-opened"));
            }
            Err(e) => self.emit(Event::LogFailed, format_args!("Unable to re-open the {e}")),
        }
    }

    pub(super) fn configure(&mut self, options: &Log) {
        let same =
            |a: &Log, b: &Log| (&a.file, a.syslog, &a.remote_syslog) == (&b.file, b.syslog, &b.remote_syslog);
        if !same(&self.options, options) {
            match Target::open(options, &self.threads) {
                Ok(target) => self.target = target,
                Err(e) => self.emit(
                    Event::LogFailed,
                    format_args!("cannot open the new log, going on with the old one: {e}"),
                ),
            }
        }
        self.options = options.clone();
    }
}

/// Names that `rotate` gives: the file's own, a dot, and a time of digits and dots.
fn is_set_aside(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|time| time.len() >= 19 && time.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

impl Target {
    fn open(options: &Log, threads: &Threads) -> io::Result<Self> {
        if let Some(path) = &options.file {
            let name = |e: io::Error| io::Error::new(e.kind(), format!("log file {path:?}: {e}"));
            return Self::file(path).map_err(name);
        }
        if let Some(address) = &options.remote_syslog {
            return Self::remote(address, threads);
        }
        if options.syslog {
            return Self::local();
        }
        Ok(Self::Stderr)
    }

    fn file(path: &Path) -> io::Result<Self> {
        // Others do not read it: it shows who connects from where.
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self::File { path: path.to_owned(), file, bytes })
    }

    fn local() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A full system log holds nobody up.
        socket.set_nonblocking(true)?;
        if LOCAL_LOGS.iter().any(|path| socket.connect(path).is_ok()) {
            return Ok(Self::Local(socket));
        }
        let tried = LOCAL_LOGS.join(", ");
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("error connecting to syslog: none of {tried} answers"),
        ))
    }

    /// `udp://host:514`, `tcp://host:514` or `host:514`; the port may be missing.
    fn remote(address: &str, threads: &Threads) -> io::Result<Self> {
        let (scheme, host) = address.split_once("://").unwrap_or(("udp", address));
        let problem =
            |e: io::Error| io::Error::new(e.kind(), format!("error connecting to syslog: {address}: {e}"));
        // A colon inside brackets is an IPv6 address's.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:{SYSLOG_PORT}") };
        match scheme {
            "udp" => {
                let found = in_order(host.to_socket_addrs().map_err(problem)?);
                let to = *found.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(from)?;
                socket.connect(to).map_err(problem)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            "tcp" => {
                let stream = shipper::connect(&host).map_err(problem)?;
                Ok(Self::Tcp(LogShipper::start(host, stream, threads)?))
            }
            other => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("remote_syslog scheme {other:?} is unknown; known are udp and tcp"),
            )),
        }
    }
}

/// The port of a system log that names none (RFC 3164).
const SYSLOG_PORT: u16 = 514;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::{NextLine as _, accept};

    #[test]
    fn files_rotate_and_old_ones_go() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        std::fs::write(folder.path().join("log.notes"), "mine").expect("write");
        let options = Log { file: Some(file), file_bytes_max: 50, files_max: 3, ..Log::default() };
        let mut sink = Sink::open(&options, &Threads::default()).expect("open");
        for n in 0..40 {
            sink.write(Level::Info, &format!("line number {n:04}"), 0);
        }
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("read")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.contains(&"log".to_owned()) && names.contains(&"log.notes".to_owned()));
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).expect("read")
    }

    #[test]
    fn what_happens_to_the_file_is_told_in_it() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        let options = Log { file: Some(file.clone()), file_bytes_max: 20, files_max: 2, ..Log::default() };
        let mut sink = Sink::open(&options, &Threads::default()).expect("open");
        sink.write(Level::Info, "this line fills the file", 0);
        assert!(read(&file).contains("[INF] Rotated log, backup saved as \""), "{}", read(&file));
        sink.write(Level::Info, "and so does this", 0);
        assert!(read(&file).contains("[INF] Purged log file \"log.2"), "{}", read(&file));
        std::fs::rename(&file, folder.path().join("moved")).expect("rename");
        sink.reopen();
        assert!(read(&file).ends_with("[INF] File log re-opened\n"), "{}", read(&file));
    }

    #[test]
    fn others_do_not_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        Sink::open(&Log { file: Some(file.clone()), ..Log::default() }, &Threads::default()).expect("open");
        assert_eq!(file.metadata().expect("metadata").permissions().mode() & 0o007, 0);
    }

    #[test]
    fn a_remote_log_gets_the_text_with_its_own_head() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let remote_syslog = Some(format!("udp://{}", udp.local_addr().expect("address")));
        let mut sink =
            Sink::open(&Log { remote_syslog, ..Log::default() }, &Threads::default()).expect("open");
        sink.write(Level::Error, "[1] [ERR] broken", "[1] [ERR] ".len());
        let mut bytes = [0; 500];
        let size = udp.recv(&mut bytes).expect("receive");
        let line = String::from_utf8_lossy(&bytes[..size]).into_owned();
        assert!(
            line.starts_with("<3>2") && line.ends_with(&format!("[{}]: broken", std::process::id())),
            "{line}"
        );
    }

    #[test]
    fn a_remote_log_by_tcp_gets_lines_and_may_go_away() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let remote_syslog = Some(format!("tcp://{}", listener.local_addr().expect("address")));
        let mut sink =
            Sink::open(&Log { remote_syslog, ..Log::default() }, &Threads::default()).expect("open");
        let stream = accept(&listener);
        sink.write(Level::Info, "one", 0);
        let line = io::BufReader::new(stream).next_line();
        assert!(line.starts_with("<5>") && line.ends_with(": one\n"), "{line}");
        drop(listener);
        for _ in 0..3 {
            sink.write(Level::Info, "nobody reads this", 0);
        }
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named_once() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("missing/log");
        let error = Sink::open(&Log { file: Some(file.clone()), ..Log::default() }, &Threads::default())
            .err()
            .expect("an error");
        assert_eq!(error.to_string().matches(&*file.to_string_lossy()).count(), 1, "{error}");
    }

    #[test]
    fn what_is_no_remote_log_is_told() {
        let error = |address: &str| {
            let options = Log { remote_syslog: Some(address.into()), ..Log::default() };
            Sink::open(&options, &Threads::default()).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(error("http://x"), "remote_syslog scheme \"http\" is unknown; known are udp and tcp");
        assert!(error("tcp://127.0.0.1:0").starts_with("error connecting to syslog: tcp://127.0.0.1:0: "));
    }
}
