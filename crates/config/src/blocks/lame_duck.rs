//! Lame duck mode: how a server lets its clients go before it stops.

use super::block;
use super::rule::{Rule::Restarts, show};
use crate::blocks::reader;
use crate::blocks::reader::go_duration;
use crate::error::ConfigError;
use crate::language::Value;
use std::time::Duration;

/// The shortest time that it may take. The official figure.
const DURATION_MIN: Duration = Duration::from_secs(30);

block! {
    /// Lame duck mode.
    pub struct LameDuck in "" {
        duration: Duration = Duration::from_secs(120),
            lame_duck_duration: "How long lame duck mode takes to close all clients. Default 2m.",
            read (duration), Restarts("LameDuckDuration", show);
        grace_period: Duration = Duration::from_secs(10),
            lame_duck_grace_period: "How long lame duck mode waits before it begins. Default 10s.",
            read (reader::duration_text), Restarts("LameDuckGracePeriod", show);
    }
}

fn duration(value: &Value) -> Result<Duration, ConfigError> {
    match reader::duration_text(value)? {
        duration if duration < DURATION_MIN => Err(ConfigError::new(
            &value.at,
            format!("invalid lame_duck_duration of {}, minimum is 30 seconds", go_duration(duration)),
        )),
        duration => Ok(duration),
    }
}
