//! Times and durations as the official server writes them.

use std::time::{Duration, SystemTime};

/// RFC 3339 with nanoseconds, UTC.
pub(crate) fn stamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|t| t.to_string()).unwrap_or_default()
}

/// `1d2h3m4s`, without the units that are not needed.
pub(crate) fn uptime(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days, years) =
        (seconds / 60, seconds / 3600, seconds / 86400, seconds / (86400 * 365));
    let (s, m, h, d) = (seconds % 60, minutes % 60, hours % 24, days % 365);
    if years > 0 {
        format!("{years}y{d}d{h}h{m}m{s}s")
    } else if days > 0 {
        format!("{d}d{h}h{m}m{s}s")
    } else if hours > 0 {
        format!("{h}h{m}m{s}s")
    } else if minutes > 0 {
        format!("{m}m{s}s")
    } else {
        format!("{s}s")
    }
}

/// `241µs`, `1.5s`, `2m0s`: Go's notation.
pub(crate) fn duration(span: Duration) -> String {
    let nanos = span.as_nanos();
    let unit = |n: f64, unit: &str| {
        let text = format!("{n:.9}");
        format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanos {
        0 => "0s".into(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => unit(n as f64 / 1e3, "µs"),
        n if n < 1_000_000_000 => unit(n as f64 / 1e6, "ms"),
        _ => {
            let (minutes, seconds) = (span.as_secs() / 60, span.as_secs_f64() % 60.0);
            match (minutes / 60, minutes % 60) {
                (0, 0) => unit(seconds, "s"),
                (0, m) => format!("{m}m{}", unit(seconds, "s")),
                (h, m) => format!("{h}h{m}m{}", unit(seconds, "s")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(uptime(Duration::from_secs(3 * 86400 + 62)), "3d0h1m2s");
        assert_eq!(uptime(Duration::from_secs(59)), "59s");
        for (span, text) in [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(12), "12ns"),
            (Duration::from_nanos(241_500), "241.5µs"),
            (Duration::from_millis(1500), "1.5s"),
            (Duration::from_secs(120), "2m0s"),
            (Duration::from_secs(3661), "1h1m1s"),
        ] {
            assert_eq!(duration(span), text);
        }
    }
}
