//! Limits of connections.

use super::block;
use super::rule::{LogForm, Rule, show};
use crate::blocks::reader::{self, Notes};
use crate::blocks::rule::Change;
use crate::error::ConfigError;
use crate::language::Value;
use LogForm::Value as Shown;
use Rule::{Reloads, Restarts};
use std::time::Duration;

/// Tokens that a subscription's subject may be limited to.
const SUBJECT_TOKENS_MAX: i64 = 255;

block! {
    /// Limits of connections.
    pub struct Limits in "" {
        /// The arguments of the line count, without its name and end.
        control_line_bytes_max: usize = 4096,
            max_control_line: "Bytes of a control line. Default 4096.",
            or_default (|v, _| size(v, "max_control_line")), Reloads(Change::Limits, Shown(show));
        payload_bytes_max: usize = 1024 * 1024,
            max_payload: "Bytes of a message's headers and payload. Default 1 MiB.",
            or_default (|v, _| size(v, "max_payload")), Reloads(Change::Limits, Shown(show));
        pending_bytes_max: usize = 64 * 1024 * 1024,
            max_pending: "Bytes that may wait for a connection. Default 64 MiB.",
            or_default (|v, _| reader::count(v)), Restarts("MaxPending", show);
        /// 0: any number.
        connections_max: usize = 65536,
            max_connections | "max_conn": "Connections of the server. Default 65536.",
            read (reader::limit), Reloads(Change::Limits, Shown(show));
        /// 0: any number.
        subscriptions_max: usize = 0,
            max_subscriptions | "max_subs": "Subscriptions of a connection. Default: any number.",
            read (reader::limit), Restarts("MaxSubs", show);
        /// 0: any number.
        subject_tokens_max: usize = 0,
            max_sub_tokens | "max_subscription_tokens": "Tokens of a subscription's subject. Default: any number.",
            read (subject_tokens), Restarts("MaxSubTokens", show);
        closed_clients_max: usize = 10_000,
            max_closed_clients: "Connections remembered after they closed. Default 10000.",
            or_default (|v, _| reader::count(v)), Restarts("MaxClosedClients", show);
        write_deadline: Duration = Duration::from_secs(10),
            write_deadline: "How long a connection may take nothing. Default 10s.",
            or_default (|v, notes: &mut Notes| reader::duration_doubted(v, "write_deadline", &mut notes.doubts)),
            Reloads(Change::Limits, Shown(show));
        /// Whether such a connection is kept.
        write_retry: bool = false,
            write_timeout: "What happens then: `default` or `close`; `retry` keeps the connection.",
            read (|v| reader::write_timeout(v).map(|retry| retry == Some(true))), Restarts("WriteTimeout", |retry| if *retry { "retry" } else { "" }.to_owned());
        ping_interval: Duration = Duration::from_secs(120),
            ping_interval: "How often a silent connection is pinged. Default 2m.",
            or_default (|v, notes: &mut Notes| reader::duration_doubted(v, "ping_interval", &mut notes.doubts)),
            Reloads(Change::Limits, Shown(show));
        pings_out_max: u32 = 2,
            ping_max: "PINGs that may stay unanswered. Default 2.",
            or_default (|v, _| Ok(u32::try_from(reader::count(v)?).unwrap_or(u32::MAX))),
            Reloads(Change::Limits, Shown(show));
    }
}

/// Bytes that fit the protocol's 32 bits.
fn size(value: &Value, key: &str) -> Result<usize, ConfigError> {
    match reader::count(value)? {
        n if n > i32::MAX as usize => Err(ConfigError::new(&value.at, format!("{key} value is too big"))),
        n => Ok(n),
    }
}

fn subject_tokens(value: &Value) -> Result<usize, ConfigError> {
    let wrong = |problem, help| Err(ConfigError::new(&value.at, problem).help(help));
    match reader::integer(value)? {
        n @ 1..=SUBJECT_TOKENS_MAX => Ok(n as usize),
        n if n > SUBJECT_TOKENS_MAX => wrong("max_sub_tokens value is too big", "it is at most 255"),
        _ => wrong("max_sub_tokens value can not be negative", "it is at least 1"),
    }
}
