//! Values of the options of `bench`: counts, sizes and durations, in the notation of the server's configuration.

use std::time::Duration;

/// A count, such as `500` or `10k`.
pub fn count(text: &str) -> Result<u64, String> {
    dialtone_config::parse_size(text)
        .ok_or_else(|| "a number, such as 500, 10k or 2m, is expected".to_owned())
}

/// A count of what is held in memory.
pub fn number(text: &str) -> Result<usize, String> {
    usize::try_from(count(text)?).map_err(|_| "too many".to_owned())
}

/// Bytes, such as `128`, `1kb` or `64k`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let size = dialtone_config::parse_size(text).and_then(|size| usize::try_from(size).ok());
    size.ok_or_else(|| "bytes, such as 128, 10k (10000) or 1kb (1024), are expected".to_owned())
}

/// A duration such as `500ms` or `1m30s`, or a number of seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .or_else(|| dialtone_config::parse_duration(text))
        .ok_or_else(|| "a duration, such as 500ms, 1s or 2m, or a number of seconds, is expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_the_configuration() {
        for (text, expected) in
            [("0", 0), ("128", 128), ("10k", 10_000), ("1kb", 1024), ("1KiB", 1024), ("2M", 2_000_000)]
        {
            assert_eq!((bytes(text), count(text)), (Ok(expected), Ok(expected as u64)), "{text}");
        }
        for text in ["", "k", "1x", "-1", "1 k", "1.5k", "99999999999999999999", "9999999999e", "é", "1é"] {
            assert!(bytes(text).is_err() && count(text).is_err() && number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units_or_are_seconds() {
        for (text, millis) in [("1s", 1000), ("2", 2000), ("0.5", 500), ("250ms", 250), ("1m30s", 90_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "1x", "-1", "nan", "inf", "1 s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
