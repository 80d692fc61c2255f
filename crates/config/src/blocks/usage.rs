//! How much may be published, and what is reported of it. The official server has no keys for that.

use super::block;
use super::rate_limits::{RateLimit, rate_limits};
use super::rule::{LogForm::Value as Shown, LogForm::Words, Rule::Reloads, show};
use crate::blocks::reader;
use crate::blocks::rule::Change;
use crate::error::ConfigError;
use crate::language::Value;
use std::time::Duration;

/// How often use can be reported.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

block! {
    /// How much may be published, and what is reported of it.
    pub struct Usage in "" {
        /// Of the connections of each account together that has none of its own.
        rate_limits: Vec<RateLimit> = Vec::new(),
            rate_limits: "How much the connections of each account may publish together that has no `rate_limits`. Not an official key.",
            block (rate_limits), Reloads(Change::Limits, Words("rate limits"));
        /// Of each user that neither itself nor its account has any.
        default_rate_limits: Vec<RateLimit> = Vec::new(),
            default_rate_limits: "How much each user may publish that has no `rate_limits` and whose account has no `default_rate_limits`. Not an official key.",
            block (rate_limits), Reloads(Change::Limits, Words("rate limits"));
        /// `None`: never.
        interval: Option<Duration> = None,
            usage_interval: "How often is told what accounts and users used, on `$SYS.ACCOUNT.<id>.USAGE`. Default: never. Not an official key.",
            read (interval), Reloads(Change::Limits, Shown(show));
        /// Whether a request that is denied is answered, by a status.
        answers_denied: bool = false,
            denied_publish_status: "A request that is denied is answered at once, by status 403 or 429. Default false. Not an official key.",
            read (reader::boolean), Reloads(Change::Limits, Shown(show));
    }
}

fn interval(value: &Value) -> Result<Option<Duration>, ConfigError> {
    match reader::duration(value)? {
        off if off.is_zero() => Ok(None),
        span if span < INTERVAL_MIN => {
            Err(ConfigError::new(&value.at, "usage_interval is too short").help("it is at least 1s"))
        }
        span => Ok(Some(span)),
    }
}
