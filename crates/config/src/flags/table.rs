//! The table of flags, and how their values are read.

use super::cluster;
use crate::Secret;
use crate::blocks::keys;
use crate::error::Location;
use crate::options::{Options, Tls};

#[derive(Debug)]
pub(super) struct Flag {
    pub names: &'static [&'static str],
    /// What its value is called; empty for a switch.
    pub value: &'static str,
    pub section: &'static str,
    pub help: &'static str,
    /// The block of the configuration that it is about, and the key in it; empty: none.
    pub of: (&'static str, &'static str),
    pub apply: Apply,
}

pub(super) type Set = fn(&mut Options, &str) -> Result<(), String>;

#[derive(Debug)]
pub(super) enum Apply {
    /// It changes an option.
    Option(Set),
    /// It is about the run itself.
    Run,
    /// It is known and refused, for this reason.
    Refused(&'static str),
}

pub(super) const FLAGS: &[Flag] = &[
    flag(&["a", "addr", "net"], "HOST", "Server", "Address to listen on (default: 0.0.0.0)", |o, v| {
        o.clients.host = v.into();
        Ok(())
    }),
    flag(&["p", "port"], "PORT", "Server", "Port for clients (default: 4222; -1: a free one)", |o, v| {
        o.clients.port = port(v)?.map(|p| if p == 0 { 4222 } else { p });
        Ok(())
    }),
    flag(&["n", "name", "server_name"], "NAME", "Server", "Server name (default: its id)", |o, v| {
        o.server.name = Some(v.into());
        Ok(())
    }),
    flag(&["P", "pid"], "FILE", "Server", "File to store the process id in", |o, v| {
        o.server.pid_file = Some(v.into());
        Ok(())
    }),
    flag(&["m", "http_port"], "PORT", "Server", "Port for monitoring by HTTP", |o, v| {
        o.operation.http.port = http_port(v)?;
        Ok(())
    }),
    flag(&["ms", "https_port"], "PORT", "Server", "Port for monitoring by HTTPS", |o, v| {
        o.operation.http.tls_port = http_port(v)?;
        Ok(())
    }),
    run(&["c", "config"], "FILE", "Server", "Configuration file"),
    run(&["t"], "", "Server", "Test the configuration and exit"),
    run(
        &["sl", "signal"],
        "SIGNAL[=PID]",
        "Server",
        "Send a signal to a server: ldm, stop, quit, term, reopen, reload",
    ),
    flag(&["client_advertise"], "ADDRESS", "Server", "Address that clients are told", |o, v| {
        o.clients.advertise = Some(v.into());
        Ok(())
    }),
    flag(&["ports_file_dir"], "FOLDER", "Server", "Folder for a file that lists the ports", |o, v| {
        o.server.ports_file_dir = Some(v.into());
        Ok(())
    }),
    flag(&["l", "log"], "FILE", "Logging", "File to log to", |o, v| {
        o.log.file = Some(v.into());
        Ok(())
    }),
    switch(&["T", "logtime"], "Logging", "Times in log lines (default: true)", |o, v| {
        o.log.time = boolean(v)?;
        Ok(())
    }),
    switch(&["logtime_utc"], "Logging", "Those times in UTC", |o, v| {
        o.log.utc = boolean(v)?;
        Ok(())
    }),
    switch(&["s", "syslog"], "Logging", "Log to the system log", |o, v| {
        o.log.syslog = boolean(v)?;
        Ok(())
    }),
    flag(&["r", "remote_syslog"], "ADDRESS", "Logging", "System log at udp://host:514", |o, v| {
        o.log.remote_syslog = Some(v.into());
        Ok(())
    }),
    switch(&["D", "debug"], "Logging", "Log more", |o, v| {
        o.log.debug = boolean(v)?;
        Ok(())
    }),
    switch(&["V", "trace"], "Logging", "Log the protocol", |o, v| {
        o.log.trace = boolean(v)?;
        Ok(())
    }),
    switch(&["VV"], "Logging", "Log the protocol, the system account's too", |o, v| {
        o.log.trace = boolean(v)?;
        o.log.trace_verbose = o.log.trace;
        Ok(())
    }),
    switch(&["DV"], "Logging", "-D and -V", |o, v| {
        o.log.debug = boolean(v)?;
        o.log.trace = o.log.debug;
        Ok(())
    }),
    switch(&["DVV"], "Logging", "-D and -VV", |o, v| {
        o.log.debug = boolean(v)?;
        o.log.trace = o.log.debug;
        o.log.trace_verbose = o.log.debug;
        Ok(())
    }),
    flag(&["log_size_limit"], "BYTES", "Logging", "Size at which the log file is set aside", |o, v| {
        o.log.file_bytes_max = v.parse().map_err(|_| "it is no size".to_owned())?;
        Ok(())
    }),
    flag(&["max_traced_msg_len"], "BYTES", "Logging", "Bytes of a message that a trace shows", |o, v| {
        o.log.traced_message_bytes_max = v.parse().map_err(|_| "it is no size".to_owned())?;
        Ok(())
    }),
    flag(&["user"], "USER", "Authorization", "User that connections must be", |o, v| {
        o.access.authorization.user = Some(credential(v)?.into());
        Ok(())
    }),
    flag(&["pass"], "PASSWORD", "Authorization", "Its password", |o, v| {
        o.access.authorization.password = Some(Secret::new(v));
        Ok(())
    }),
    flag(&["auth"], "TOKEN", "Authorization", "Token that connections must have", |o, v| {
        o.access.authorization.token = Some(Secret::new(credential(v)?));
        Ok(())
    }),
    switch(&["tls"], "TLS", "TLS for clients", |o, v| {
        if boolean(v)? {
            tls(o);
        }
        Ok(())
    }),
    flag(&["tlscert"], "FILE", "TLS", "Certificate chain", |o, v| {
        tls(o).cert_file = v.into();
        Ok(())
    }),
    flag(&["tlskey"], "FILE", "TLS", "Private key", |o, v| {
        tls(o).key_file = v.into();
        Ok(())
    }),
    switch(&["tlsverify"], "TLS", "Clients need a certificate", |o, v| {
        tls(o).verify = boolean(v)?;
        Ok(())
    }),
    flag(&["tlscacert"], "FILE", "TLS", "Certificates that clients' are verified with", |o, v| {
        tls(o).ca_file = Some(v.into());
        Ok(())
    }),
    JETSTREAM,
    flag(&["sd", "store_dir"], "FOLDER", "JetStream", "Folder for what is kept", |o, v| {
        o.operation.staples.store_dir = Some(v.into());
        // A flag wins over the file.
        if let Some(own) = &mut o.jetstream {
            own.store_dir = None;
        }
        Ok(())
    }),
    of_cluster(
        "routes",
        &["routes"],
        "URLS",
        "URLs of other servers, with commas between them",
        cluster::routes,
    ),
    of_cluster(
        "listen",
        &["cluster", "cluster_listen"],
        "URL",
        "Where to listen for routes, such as nats://0.0.0.0:6222; empty: no routes",
        cluster::listen,
    ),
    of_cluster("name", &["cluster_name"], "NAME", "Name of the cluster", |o, v| {
        cluster::of(o).name = Some(v.to_owned()).filter(|name| !name.is_empty());
        Ok(())
    }),
    of_cluster(
        "cluster_advertise",
        &["cluster_advertise"],
        "ADDRESS",
        "Address that other servers are told",
        |o, v| {
            cluster::of(o).listener.advertise = Some(v.to_owned()).filter(|address| !address.is_empty());
            Ok(())
        },
    ),
    of_cluster(
        "no_advertise",
        &["no_advertise"],
        "",
        "Do not tell clients about the other servers",
        |o, v| {
            cluster::of(o).listener.no_advertise = boolean(v)?;
            Ok(())
        },
    ),
    of_cluster(
        "connect_retries",
        &["connect_retries"],
        "NUMBER",
        "Attempts to reach again a server that another one spoke of (default: 0)",
        |o, v| {
            let attempts: i64 = v.parse().map_err(|_| "parse error".to_owned())?;
            cluster::of(o).dialing.retries = usize::try_from(attempts).unwrap_or(0);
            Ok(())
        },
    ),
    refused(&["profile"], "PORT", "the Go profiler has no counterpart; use a system profiler"),
    run(&["h", "help"], "", "Common", "This text"),
    run(&["v", "version"], "", "Common", "The version"),
    run(&["help_tls"], "", "Common", "Help about TLS"),
];

/// Streams.
const JETSTREAM: Flag = Flag {
    names: &["js", "jetstream"],
    value: "",
    section: "JetStream",
    help: "Keep messages in streams",
    of: ("", "jetstream"),
    apply: Apply::Option(|o, v| {
        let file = o.jetstream.take();
        o.jetstream = boolean(v)?.then(|| file.unwrap_or_default());
        Ok(())
    }),
};

const fn flag(
    names: &'static [&'static str],
    value: &'static str,
    section: &'static str,
    help: &'static str,
    set: Set,
) -> Flag {
    Flag { names, value, section, help, of: ("", ""), apply: Apply::Option(set) }
}

const fn of_cluster(
    key: &'static str,
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
    set: Set,
) -> Flag {
    Flag { names, value, section: "Cluster", help, of: ("cluster", key), apply: Apply::Option(set) }
}

const fn switch(names: &'static [&'static str], section: &'static str, help: &'static str, set: Set) -> Flag {
    Flag { names, value: "", section, help, of: ("", ""), apply: Apply::Option(set) }
}

const fn run(
    names: &'static [&'static str],
    value: &'static str,
    section: &'static str,
    help: &'static str,
) -> Flag {
    Flag { names, value, section, help, of: ("", ""), apply: Apply::Run }
}

const fn refused(names: &'static [&'static str], value: &'static str, why: &'static str) -> Flag {
    Flag { names, value, section: "", help: "", of: ("", ""), apply: Apply::Refused(why) }
}

pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("parse error".into()),
    }
}

pub(super) fn port(value: &str) -> Result<Option<u16>, String> {
    match value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(n) => u16::try_from(n).map(Some).map_err(|_| "it is no port".into()),
        Err(_) => Err("parse error".into()),
    }
}

/// A user or token that is not empty: an empty one would let everybody in.
fn credential(value: &str) -> Result<&str, String> {
    if value.is_empty() {
        Err("it is empty; leave it out if everybody may connect".into())
    } else {
        Ok(value)
    }
}

/// 0 is no port, and -1 a free one, which the options write as 0.
fn http_port(value: &str) -> Result<Option<u16>, String> {
    Ok(match port(value)? {
        Some(0) => None,
        port => Some(port.unwrap_or(0)),
    })
}

pub(super) fn tls(options: &mut Options) -> &mut Tls {
    options
        .clients
        .tls
        .get_or_insert_with(|| Tls::at(Location { file: "command line".into(), line: 1, column: 1 }.into()))
}

impl Flag {
    /// Why it is not carried out, if it is not: for itself, or with the block or the key that it is about.
    pub fn refusal(&self) -> Option<&'static str> {
        match self.apply {
            Apply::Refused(why) => Some(why),
            Apply::Option(_) => keys::refusal("", self.of.0).or_else(|| keys::refusal(self.of.0, self.of.1)),
            Apply::Run => None,
        }
    }
}
