//! Time as the JetStream API writes it: RFC 3339 with nanoseconds as Go prints it, and durations in nanoseconds.

use crate::json::{Abort, Empty, Field, Kind, Node, Reader};
use std::fmt;

const NANOS_A_SECOND: i64 = 1_000_000_000;
const SECONDS_A_DAY: i64 = 86_400;
/// Seconds from the year 1, where Go's time begins, to 1970.
const SECONDS_BEFORE_1970: i64 = 62_135_596_800;

/// A Go duration: nanoseconds, of either sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub i64);

impl Nanos {
    /// None.
    pub const ZERO: Self = Self(0);

    /// That many whole seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_A_SECOND))
    }

    /// That many milliseconds.
    pub const fn millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Whether it is none.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// As one of the standard library; nothing if it is negative.
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0).unwrap_or(0))
    }
}

impl From<std::time::Duration> for Nanos {
    fn from(duration: std::time::Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// As Go prints it: `2m0s`, `1.5ms`, `0s`.
impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let decimal = |f: &mut fmt::Formatter<'_>, unit: u64, name: &str| {
            let width = unit.ilog10() as usize;
            let fraction = format!("{:0width$}", nanos % unit);
            let fraction = if unit == 1 { "" } else { fraction.trim_end_matches('0') };
            let dot = if fraction.is_empty() { "" } else { "." };
            write!(f, "{}{dot}{fraction}{name}", nanos / unit % (60 * 1_000_000_000 / unit).max(1))
        };
        match nanos {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{nanos}ns"),
            1_000..1_000_000 => decimal(f, 1_000, "µs"),
            1_000_000..1_000_000_000 => decimal(f, 1_000_000, "ms"),
            _ => {
                let minutes = nanos / 1_000_000_000 / 60;
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                decimal(f, 1_000_000_000, "s")
            }
        }
    }
}

impl Empty for Nanos {
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl serde::Serialize for Nanos {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl Field for Nanos {
    fn read(&mut self, node: &Node<'_>, go: &str, reader: &mut Reader) -> Result<(), Abort> {
        self.0.read(node, go, reader)
    }
}

/// A moment, with the offset from UTC that it was written with. Go's zero time, at the beginning of the year 1, is [`Time::ZERO`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Time {
    /// Seconds since 1970.
    seconds: i64,
    nanos: u32,
    offset_minutes: i16,
}

impl Time {
    /// Go's zero time.
    pub const ZERO: Self = Self { seconds: -SECONDS_BEFORE_1970, nanos: 0, offset_minutes: 0 };

    /// The moment that many nanoseconds after 1970 began, in UTC.
    pub const fn from_unix_nanos(nanos: i64) -> Self {
        Self {
            seconds: nanos.div_euclid(NANOS_A_SECOND),
            nanos: nanos.rem_euclid(NANOS_A_SECOND) as u32,
            offset_minutes: 0,
        }
    }

    /// Nanoseconds since 1970; what does not fit becomes the first or last that does.
    pub fn unix_nanos(self) -> i64 {
        self.seconds.saturating_mul(NANOS_A_SECOND).saturating_add(i64::from(self.nanos))
    }

    /// Whether it is Go's zero time.
    pub fn is_zero(self) -> bool {
        self.seconds == Self::ZERO.seconds && self.nanos == 0
    }

    /// The same moment, in UTC.
    #[must_use]
    pub fn utc(self) -> Self {
        Self { offset_minutes: 0, ..self }
    }

    /// Reads RFC 3339 as Go's JSON does: `2006-01-02T15:04:05.999999999Z07:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, len: usize| {
            let digits = bytes.get(from..from + len)?;
            digits
                .iter()
                .all(u8::is_ascii_digit)
                .then(|| digits.iter().fold(0_i64, |number, digit| number * 10 + i64::from(digit - b'0')))
        };
        let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
        if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
        let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
        if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let mut at = 19;
        let mut nanos = 0;
        if is(at, b'.') {
            let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            // What is finer than a nanosecond is cut off.
            let kept = digits.min(9);
            nanos = number(at + 1, kept)? * 10_i64.pow(9 - kept as u32);
            at += 1 + digits;
        }
        let offset_minutes = match bytes.get(at..)? {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), rest @ ..] if rest.len() == 5 && rest[2] == b':' => {
                let (hours, minutes) = (number(at + 1, 2)?, number(at + 4, 2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let offset = hours * 60 + minutes;
                if *sign == b'-' { -offset } else { offset }
            }
            _ => return None,
        };
        let of_day = hour * 3600 + minute * 60 + second;
        let seconds = days_since_1970(year, month, day) * SECONDS_A_DAY + of_day - offset_minutes * 60;
        Some(Self { seconds, nanos: nanos as u32, offset_minutes: offset_minutes as i16 })
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

/// As Go prints RFC 3339 with nanoseconds: zeros at the end are cut off.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.offset_minutes) * 60;
        let (days, second) = (local.div_euclid(SECONDS_A_DAY), local.rem_euclid(SECONDS_A_DAY));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        if self.offset_minutes == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let offset = self.offset_minutes.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", offset / 60, offset % 60)
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Empty for Time {
    /// Go leaves out no struct.
    fn is_empty(&self) -> bool {
        false
    }
}

impl Field for Time {
    fn read(&mut self, node: &Node<'_>, _: &str, _: &mut Reader) -> Result<(), Abort> {
        let text = match &node.kind {
            Kind::Null => return Ok(()),
            Kind::Text(text) => text,
            _ => return Err(Abort("Time.UnmarshalJSON: input is not a JSON string".to_owned())),
        };
        match Self::parse(text) {
            Some(time) => *self = time,
            None => return Err(Abort(refusal(text))),
        }
        Ok(())
    }
}

/// What Go says of a text that is no time.
fn refusal(text: &str) -> String {
    let layout = "2006-01-02T15:04:05Z07:00";
    let mut parts =
        [("2006", 4, ""), ("01", 2, "-"), ("02", 2, "-"), ("15", 2, "T"), ("04", 2, ":"), ("05", 2, ":")]
            .iter();
    let mut rest = text;
    loop {
        let Some((element, width, before)) = parts.next() else {
            return format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as \"Z07:00\"");
        };
        let Some(behind) = rest.strip_prefix(before) else {
            return format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {before:?}");
        };
        let digits = behind.get(..*width).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        let Some(digits) = digits else {
            return format!("parsing time {text:?} as {layout:?}: cannot parse {behind:?} as {element:?}");
        };
        let value: i64 = digits.parse().unwrap_or(0);
        let out_of_range = match *element {
            "01" => (!(1..=12).contains(&value)).then_some("month"),
            "15" => (value > 23).then_some("hour"),
            "04" => (value > 59).then_some("minute"),
            "05" => (value > 59).then_some("second"),
            _ => None,
        };
        if let Some(what) = out_of_range {
            return format!("parsing time {text:?}: {what} out of range");
        }
        rest = &behind[*width..];
        if *element == "05" && Time::parse(&format!("2000-01-01T00:00:00{rest}")).is_some() {
            return format!("parsing time {text:?}: day out of range");
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar: years begin in March here, so that the leap day is their last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse of [`days_since_1970`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_prints_times_like_this() {
        let shown = |text: &str| Time::parse(text).map(|time| time.to_string());
        for text in [
            "2026-11-29T21:00:00Z",
            "2026-11-29T21:00:00.123456789Z",
            "2024-02-29T00:00:00.5+05:30",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-11:00",
        ] {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        assert_eq!(shown("2026-01-02T03:04:05.1200Z").as_deref(), Some("2026-01-02T03:04:05.12Z"));
        for text in
            ["", "2026-02-29T00:00:00Z", "2026-01-01", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "x"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
        assert!(Time::parse("0001-01-01T00:00:00Z").is_some_and(Time::is_zero));
    }

    #[test]
    fn go_prints_durations_like_this() {
        let shown = |nanos: i64| Nanos(nanos).to_string();
        assert_eq!(shown(0), "0s");
        assert_eq!(shown(999), "999ns");
        assert_eq!(shown(1_500), "1.5µs");
        assert_eq!(shown(100_000_000), "100ms");
        assert_eq!(shown(1_000_000_001), "1.000000001s");
        assert_eq!(shown(120_000_000_000), "2m0s");
        assert_eq!(shown(-3_661_500_000_000), "-1h1m1.5s");
        assert_eq!(shown(3_600_000_000_000), "1h0m0s");
    }

    proptest::proptest! {
        #[test]
        fn a_moment_comes_back(nanos: i64) {
            let time = Time::from_unix_nanos(nanos);
            proptest::prop_assert_eq!(time.unix_nanos(), nanos);
            proptest::prop_assert_eq!(Time::parse(&time.to_string()), Some(time));
            let jiff = jiff::Timestamp::from_nanosecond(i128::from(nanos)).expect("in its range");
            proptest::prop_assert_eq!(jiff.to_string(), time.to_string());
        }
    }
}
