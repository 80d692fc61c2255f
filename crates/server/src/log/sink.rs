//! Where lines go.

use super::Level;
use dialtone_config::options::Log;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The facility of lines in a system log: daemons.
const FACILITY: u8 = 3;

enum Target {
    Nowhere,
    Stderr,
    File { path: PathBuf, file: File, bytes: u64 },
    Local(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// An open log.
pub(super) struct Sink {
    target: Target,
    options: Log,
}

impl Sink {
    pub(super) fn open(options: &Log) -> io::Result<Self> {
        Ok(Self { target: Target::open(options)?, options: options.clone() })
    }

    pub(super) fn none() -> Self {
        Self { target: Target::Nowhere, options: Log::default() }
    }

    pub(super) fn write(&mut self, level: Level, line: &str) {
        // There is nowhere to tell that the log itself cannot be written.
        let _ = match &mut self.target {
            Target::Nowhere => Ok(()),
            Target::Stderr => writeln!(io::stderr().lock(), "{line}"),
            Target::File { file, bytes, .. } => {
                *bytes += line.len() as u64 + 1;
                file.write_all(format!("{line}\n").as_bytes())
            }
            Target::Local(socket) => socket.send(syslog_line(level, line).as_bytes()).map(drop),
            Target::Udp(socket) => socket.send(syslog_line(level, line).as_bytes()).map(drop),
            Target::Tcp(stream) => writeln!(stream, "{}", syslog_line(level, line)),
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

    /// Sets the file aside under a name with the time, and begins a new one.
    fn rotate(&mut self, path: &Path) {
        let now = jiff::Zoned::now().strftime("%Y.%m.%d.%H.%M.%S.%9f").to_string();
        let mut aside = path.as_os_str().to_owned();
        aside.push(".");
        aside.push(&now);
        if std::fs::rename(path, &aside).is_ok() {
            self.reopen();
            self.purge(path);
        }
    }

    /// Removes the oldest files that were set aside, so that `files_max` are left with the current one.
    fn purge(&self, path: &Path) {
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
            // A file that cannot be removed is tried again at the next turn.
            let _ = std::fs::remove_file(old);
        }
    }

    pub(super) fn reopen(&mut self) {
        if let Target::File { .. } = self.target
            && let Ok(target) = Target::open(&self.options)
        {
            self.target = target;
        }
    }

    pub(super) fn configure(&mut self, options: &Log) {
        let same =
            |a: &Log, b: &Log| (&a.file, a.syslog, &a.remote_syslog) == (&b.file, b.syslog, &b.remote_syslog);
        if !same(&self.options, options) {
            match Target::open(options) {
                Ok(target) => self.target = target,
                Err(e) => {
                    self.write(Level::Error, &format!("cannot open the new log, going on with the old: {e}"))
                }
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
    fn open(options: &Log) -> io::Result<Self> {
        if let Some(path) = &options.file {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            let bytes = file.metadata()?.len();
            return Ok(Self::File { path: path.clone(), file, bytes });
        }
        if let Some(address) = &options.remote_syslog {
            return Self::remote(address);
        }
        if options.syslog {
            let socket = UnixDatagram::unbound()?;
            socket.connect("/dev/log")?;
            return Ok(Self::Local(socket));
        }
        Ok(Self::Stderr)
    }

    /// `udp://host:514`, `tcp://host:514` or `host:514`.
    fn remote(address: &str) -> io::Result<Self> {
        let (scheme, host) = address.split_once("://").unwrap_or(("udp", address));
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:514") };
        match scheme {
            "udp" => {
                let to = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(from)?;
                socket.connect(to)?;
                Ok(Self::Udp(socket))
            }
            "tcp" => Ok(Self::Tcp(TcpStream::connect(host)?)),
            other => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("remote_syslog scheme {other:?} is unknown; known are udp and tcp"),
            )),
        }
    }
}

/// RFC 3164: priority, tag, text.
fn syslog_line(level: Level, line: &str) -> String {
    let severity = match level {
        Level::Fatal => 2,
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 5,
        Level::Debug | Level::Trace => 7,
    };
    format!("<{}>dialtone[{}]: {line}", FACILITY * 8 + severity, std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_rotate_and_old_ones_go() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("log");
        std::fs::write(folder.path().join("log.notes"), "mine").expect("write");
        let options = Log { file: Some(file), file_bytes_max: 50, files_max: 3, ..Log::default() };
        let mut sink = Sink::open(&options).expect("open");
        for n in 0..40 {
            sink.write(Level::Info, &format!("line number {n:04}"));
        }
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .expect("read")
            .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.contains(&"log".to_owned()) && names.contains(&"log.notes".to_owned()));
    }
}
