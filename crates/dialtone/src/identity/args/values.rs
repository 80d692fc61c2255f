//! Values of options: limits, sizes, times.

use anyhow::{Context as _, Result, bail};
use dialtone_identity::jwt::claims::Limit;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use std::time::Duration;

/// A number, or `unlimited`.
pub fn limit(text: &str) -> Result<Limit> {
    if is_unlimited(text) {
        return Ok(Limit::Unlimited);
    }
    text.parse().map(Limit::AtMost).context("a number, or `unlimited`")
}

/// A number of bytes, such as `10MB`, or `unlimited`. Units are those of `nsc`: `K` and `KB` are 1000, `KIB` is 1024.
pub fn bytes(text: &str) -> Result<Limit> {
    if is_unlimited(text) {
        return Ok(Limit::Unlimited);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => bail!("bytes, such as 500, 10MB or 1GiB, or `unlimited`"),
    };
    let number: u64 = number.parse().context("bytes, such as 500, 10MB or 1GiB, or `unlimited`")?;
    number.checked_mul(factor).map(Limit::AtMost).context("too many bytes")
}

fn is_unlimited(text: &str) -> bool {
    ["unlimited", "-1"].contains(&text)
}

/// `yes` or `no`.
pub fn yes_no(text: &str) -> Result<bool> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => bail!("yes or no"),
    }
}

/// A percentage.
pub fn percent(text: &str) -> Result<u8> {
    let number = text.trim_end_matches('%').parse().ok().filter(|number| (1..=100).contains(number));
    number.context("a percentage from 1 to 100")
}

/// Seconds since 1970 of a time to come; `None` for `never`.
pub fn time(text: &str, now: i64) -> Result<Option<i64>> {
    if ["never", "none", "0"].contains(&text) {
        return Ok(None);
    }
    instant(text, now, 1).map(Some)
}

/// Seconds since 1970 of a time gone by.
pub fn past(text: &str, now: i64) -> Result<i64> {
    instant(text, now, -1)
}

fn instant(text: &str, now: i64, direction: i64) -> Result<i64> {
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_second());
    }
    if let Ok(date) = text.parse::<Date>() {
        return Ok(date.to_zoned(TimeZone::UTC).context("not a time")?.timestamp().as_second());
    }
    let form = "a time, such as 30d, 12h, 1y, 2027-01-01 or 2027-01-01T12:00:00Z";
    let digits = text.find(|c: char| !c.is_ascii_digit()).context(form)?;
    let (number, unit) = text.split_at(digits);
    let number: i64 = number.parse().context(form)?;
    let span = match unit {
        "s" => Span::new().try_seconds(number),
        "m" => Span::new().try_minutes(number),
        "h" => Span::new().try_hours(number),
        "d" => Span::new().try_days(number),
        "w" => Span::new().try_weeks(number),
        "M" => Span::new().try_months(number),
        "y" => Span::new().try_years(number),
        _ => bail!(form),
    };
    let span = span.context("too far away")?;
    let now = Timestamp::from_second(now).context("not a time")?.to_zoned(TimeZone::UTC);
    let then = if direction > 0 { now.checked_add(span) } else { now.checked_sub(span) };
    Ok(then.context("too far away")?.timestamp().as_second())
}

/// A duration, such as `5s` or `2m`.
pub fn duration(text: &str) -> Result<Duration> {
    let form = "a duration, such as 500ms, 5s or 2m";
    let digits = text.find(|c: char| !c.is_ascii_digit()).context(form)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().context(form)?;
    Ok(match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60).context("too long")?),
        "h" => Duration::from_secs(number.checked_mul(3600).context("too long")?),
        _ => bail!(form),
    })
}

/// Nanoseconds, as tokens have durations.
pub fn nanoseconds(text: &str) -> Result<i64> {
    i64::try_from(duration(text)?.as_nanos()).context("too long")
}

/// Now, in seconds since 1970.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Seconds since 1970 as a text.
pub fn show_time(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => Zoned::new(time, TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => seconds.to_string(),
    }
}

/// Whether there is a time zone of this name.
pub fn is_time_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_bytes() {
        assert_eq!(limit("5").ok(), Some(Limit::AtMost(5)));
        assert_eq!(limit("unlimited").ok(), Some(Limit::Unlimited));
        for (text, expected) in [("0", 0), ("10MB", 10_000_000), ("1 KiB", 1024), ("2g", 2_000_000_000)] {
            assert_eq!(bytes(text).ok(), Some(Limit::AtMost(expected)), "{text}");
        }
        for text in ["", "x", "MB", "1XB", "-2", "99999999999TB"] {
            assert!(limit(text).is_err() && bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let now = 1_700_000_000;
        for (text, expected) in [
            ("never", None),
            ("30d", Some(now + 30 * 86_400)),
            ("1970-01-02", Some(86_400)),
            ("1970-01-01T00:00:07Z", Some(7)),
            ("2h", Some(now + 7200)),
        ] {
            assert_eq!(time(text, now).expect(text), expected);
        }
        assert_eq!(past("1h", now).expect("past"), now - 3600);
        assert_eq!(show_time(7), "1970-01-01 00:00:07 UTC");
        for text in ["", "d", "5", "5x", "2027", "99999999999999999999d", "9999999999y"] {
            assert!(time(text, now).is_err(), "{text}");
        }
        assert_eq!(nanoseconds("500ms").expect("short"), 500_000_000);
        assert!(duration("5").is_err() && duration("9999999999999999999m").is_err());
    }
}
