//! Logging.

use super::block;
use super::rule::{LogForm::Value as Shown, Rule::Reloads, Rule::Restarts, show};
use crate::blocks::reader::{self, Block, Notes};
use crate::blocks::rule::Change;
use crate::error::ConfigError;
use crate::language::Value;
use std::path::PathBuf;

block! {
    /// Logging.
    pub struct Log in "" {
        debug: bool = false,
            debug: "Log more.", read (reader::boolean), Reloads(Change::Log, Shown(show));
        trace: bool = false,
            trace: "Log the protocol.", read (reader::boolean), Reloads(Change::Log, Shown(show));
        trace_verbose: bool = false,
            trace_verbose: "Log the protocol of the system account too.",
            read (reader::boolean), Reloads(Change::Log, Shown(show));
        trace_headers: bool = false,
            trace_headers: "Log only headers of traced messages.",
            read (reader::boolean), Reloads(Change::Log, Shown(show));
        time: bool = true,
            logtime: "Times in log lines. Default true.", read (reader::boolean), Reloads(Change::Log, Shown(show));
        utc: bool = false,
            logtime_utc: "Those times in UTC.", read (reader::boolean), Reloads(Change::Log, Shown(show));
        file: Option<PathBuf> = None,
            log_file | "logfile": "File to log to.",
            read (reader::path), Reloads(Change::Log, Shown(show));
        /// 0: never.
        file_bytes_max: u64 = 0,
            log_size_limit | "logfile_size_limit": "Bytes after which the log file is set aside and begun anew.",
            read (|v| reader::limit(v).map(|n| n as u64)), Restarts("LogSizeLimit", show);
        /// 0: all.
        files_max: usize = 0,
            log_max_num | "logfile_max_num": "Log files that are kept, the current one included.",
            read (reader::limit), Restarts("LogMaxFiles", show);
        json: bool = false,
            log_format: "`text` or `json`. Not an official key.",
            read (format), Reloads(Change::Log, Shown(|json| if *json { "json" } else { "text" }.to_owned()));
        syslog: bool = false,
            syslog: "Log to the system log.", read (reader::boolean), Reloads(Change::Log, Shown(show));
        remote_syslog: Option<String> = None,
            remote_syslog: "Address of a system log, such as `udp://host:514`.",
            read (reader::optional), Reloads(Change::Log, Shown(show));
        /// 0: all.
        traced_message_bytes_max: usize = 0,
            max_traced_msg_len: "Bytes of a message that a trace shows. Default: all.",
            read (reader::limit), Reloads(Change::Log, Shown(show));
        /// Which failures to connect are logged.
        connect_errors: ConnectErrors = ConnectErrors::default();
    }
}

block! {
    /// Which failures to connect to other servers are logged.
    pub struct ConnectErrors in "" {
        /// Of so many one is logged, before the first success.
        connect_error_reports: usize = 3600,
            connect_error_reports: "How often failed connects to other servers are logged.",
            read (reader::limit), Reloads(Change::Log, Shown(show));
        /// Of so many one is logged, after a loss.
        reconnect_error_reports: usize = 1,
            reconnect_error_reports: "How often failed reconnects to other servers are logged.",
            read (reader::limit), Reloads(Change::Log, Shown(show));
    }
}

impl Log {
    /// Reads the keys. Verbose traces and traces of headers are traces.
    pub(crate) fn read_all(&mut self, block: &Block<'_>, notes: &mut Notes) {
        self.read(block, notes);
        self.connect_errors.read(block, notes);
        self.trace |= self.trace_verbose || self.trace_headers;
    }

    /// Whether nothing else is named to log to.
    pub fn is_to_stderr(&self) -> bool {
        self.file.is_none() && !self.syslog && self.remote_syslog.is_none()
    }
}

fn format(value: &Value) -> Result<bool, ConfigError> {
    match reader::text(value)?.as_str() {
        "json" => Ok(true),
        "text" => Ok(false),
        other => Err(ConfigError::new(&value.at, format!("log_format {other:?} is unknown"))
            .help("known are `text` and `json`")),
    }
}
