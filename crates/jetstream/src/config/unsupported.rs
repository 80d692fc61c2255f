//! Fields that are read and checked but not carried out: they are refused by name, never ignored.

use super::{ConsumerConfig, StreamConfig};
use crate::error::{self, ApiError};

/// A field, and whether a configuration uses it.
type Use<C> = (&'static str, fn(&C) -> bool);

/// Fields of streams. A name goes when what it says is carried out.
pub const STREAM: &[Use<StreamConfig>] = &[];

/// Fields of consumers.
pub const CONSUMER: &[Use<ConsumerConfig>] = &[];

/// # Errors
/// The first field that is used and not carried out.
pub fn check_stream(config: &StreamConfig) -> Result<(), ApiError> {
    check(STREAM, config, "stream")
}

/// # Errors
/// The first field that is used and not carried out.
pub fn check_consumer(config: &ConsumerConfig) -> Result<(), ApiError> {
    check(CONSUMER, config, "consumer")
}

fn check<C>(fields: &[Use<C>], config: &C, what: &str) -> Result<(), ApiError> {
    match fields.iter().find(|(_, uses)| uses(config)) {
        None => Ok(()),
        Some((name, _)) => {
            Err(error::STREAM_INVALID_CONFIG
                .with(format!("{what} configuration: {name} is not supported yet")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        assert_eq!(check_stream(&StreamConfig::default()), Ok(()));
        assert_eq!(check_consumer(&ConsumerConfig::default()), Ok(()));
        let config = StreamConfig { allow_atomic: true, ..StreamConfig::default() };
        if STREAM.iter().any(|(name, _)| *name == "allow_atomic") {
            let error = check_stream(&config).expect_err("it is in the list");
            assert_eq!(error.description, "stream configuration: allow_atomic is not supported yet");
        }
        for (name, _) in STREAM {
            assert!(StreamConfig::FIELDS.contains(name), "{name} is a field");
        }
        for (name, _) in CONSUMER {
            let field = name.split(' ').next().unwrap_or_default();
            assert!(ConsumerConfig::FIELDS.contains(&field), "{name} is a field");
        }
    }
}
