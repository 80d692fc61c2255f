//! When a schedule fires: `@at`, `@every`, and six fields as cron has them, in a time zone (ADR-51).

use super::marks::{duration, given};
use super::{Marks, Refusal};
use crate::time::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};

const SECOND: i64 = 1_000_000_000;
/// Years in which a pattern has to fire.
const YEARS_MAX: i16 = 5;

/// When something fires, and whether it does again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Firing {
    /// Nanoseconds since 1970.
    pub(super) at: i64,
    pub(super) repeats: bool,
    /// Seconds by which the time zone is ahead of UTC then.
    offset: i32,
}

impl Firing {
    /// The time as a header says it.
    pub(super) fn text(&self) -> String {
        let zoned = jiff::tz::Offset::from_seconds(self.offset).ok().filter(|_| self.offset != 0);
        let time = Timestamp::from_nanosecond(self.at.into()).ok();
        match (zoned, time) {
            (Some(offset), Some(time)) => {
                time.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
            _ => Time::from_unix_nanos(self.at).to_string(),
        }
    }
}

/// When the schedule of a message fires for the first time behind `after`, where it is `now`. `None`: it has no schedule.
///
/// # Errors
///
/// The pattern or the time zone is none.
pub(super) fn firing(marks: &Marks<'_>, after: i64, now: i64) -> Result<Option<Firing>, Refusal> {
    let zone = match marks.schedule_zone {
        None => None,
        Some(name) => Some(zone(name).ok_or(Refusal::ScheduleZoneInvalid)?),
    };
    let Some(pattern) = given(marks.schedule) else { return Ok(None) };
    let pattern = std::str::from_utf8(pattern).map_err(|_| Refusal::SchedulePatternInvalid)?;
    next(pattern, zone, after, now).map(Some).ok_or(Refusal::SchedulePatternInvalid)
}

fn zone(name: &[u8]) -> Option<TimeZone> {
    match std::str::from_utf8(name).ok()? {
        "" => None,
        "Local" => Some(TimeZone::system()),
        name => TimeZone::get(name).ok(),
    }
}

fn next(pattern: &str, zone: Option<TimeZone>, after: i64, now: i64) -> Option<Firing> {
    if let Some(time) = pattern.strip_prefix("@at ") {
        let at = Time::parse(time).filter(|_| zone.is_none())?.unix_nanos();
        return Some(Firing { at, repeats: false, offset: 0 });
    }
    if let Some(every) = pattern.strip_prefix("@every ") {
        let every = duration(every).filter(|&every| every >= SECOND && zone.is_none())?;
        // What was missed fires once.
        let at = rounded(after).checked_add(every)?;
        let at = if at < now { rounded(now).checked_add(every)? } else { at };
        return Some(Firing { at, repeats: true, offset: 0 });
    }
    let fields = match pattern {
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        "@monthly" => "0 0 0 1 * *",
        "@weekly" => "0 0 0 * * 0",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@hourly" => "0 0 * * * *",
        fields => fields,
    };
    let cron = Cron::parse(fields)?;
    let zone = zone.unwrap_or(TimeZone::UTC);
    let at = cron.next(&zone, after)?;
    let at = if at < now { cron.next(&zone, rounded(now))? } else { at };
    let offset = zone.to_offset(Timestamp::from_nanosecond(at.into()).ok()?).seconds();
    Some(Firing { at, repeats: true, offset })
}

/// To the nearest second.
fn rounded(time: i64) -> i64 {
    time.saturating_add(SECOND / 2).div_euclid(SECOND) * SECOND
}

/// The values that a field may have, a bit each, and whether it is `*`.
#[derive(Clone, Copy, Debug)]
struct Values {
    bits: u64,
    is_any: bool,
}

impl Values {
    fn has(self, value: i8) -> bool {
        self.bits >> value & 1 == 1
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

struct Cron {
    second: Values,
    minute: Values,
    hour: Values,
    day: Values,
    month: Values,
    weekday: Values,
}

impl Cron {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let &[second, minute, hour, day, month, weekday] = &fields[..] else { return None };
        Some(Self {
            second: values(second, 0, 59, &[])?,
            minute: values(minute, 0, 59, &[])?,
            hour: values(hour, 0, 23, &[])?,
            day: values(day, 1, 31, &[])?,
            month: values(month, 1, 12, &MONTHS)?,
            weekday: values(weekday, 0, 6, &DAYS)?,
        })
    }

    /// The first second behind `after` that fits. Where clocks go forward what falls into the gap is left out; where they go back it comes twice.
    fn next(&self, zone: &TimeZone, after: i64) -> Option<i64> {
        let start = Timestamp::from_second(after.div_euclid(SECOND) + 1).ok()?.to_zoned(zone.clone());
        let last_year = start.year().checked_add(YEARS_MAX)?;
        let mut date = start.date();
        while date.year() <= last_year {
            if !self.month.has(date.month()) {
                date = date.first_of_month().checked_add(jiff::Span::new().months(1)).ok()?;
                continue;
            }
            if self.fits_day(date) {
                let from =
                    if date == start.date() { start.clone() } else { date.to_zoned(zone.clone()).ok()? };
                if let Some(found) = self.within_day(from, date) {
                    return found.timestamp().as_nanosecond().try_into().ok();
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Either day fits, or both if one of them is any.
    fn fits_day(&self, date: civil::Date) -> bool {
        let day = self.day.has(date.day());
        let weekday = self.weekday.has(date.weekday().to_sunday_zero_offset());
        if self.day.is_any || self.weekday.is_any { day && weekday } else { day || weekday }
    }

    fn within_day(&self, mut at: Zoned, date: civil::Date) -> Option<Zoned> {
        while at.date() == date {
            let skip = if !self.hour.has(at.hour()) {
                3600 - i64::from(at.minute()) * 60 - i64::from(at.second())
            } else if !self.minute.has(at.minute()) {
                60 - i64::from(at.second())
            } else if !self.second.has(at.second()) {
                1
            } else {
                return Some(at);
            };
            at = at.checked_add(jiff::SignedDuration::from_secs(skip)).ok()?;
        }
        None
    }
}

/// A field: ranges between commas.
fn values(field: &str, min: u64, max: u64, names: &[&str]) -> Option<Values> {
    let mut values = Values { bits: 0, is_any: false };
    for range in field.split(',').filter(|range| !range.is_empty()) {
        let (range, step) = match range.split_once('/') {
            None => (range, None),
            Some((range, step)) => (range, Some(number(step)?)),
        };
        let one = |text: &str| named(text, min, names).or_else(|| number(text));
        let (start, end) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (min, max),
            None => (one(range)?, if step.is_some() { max } else { one(range)? }),
            Some(("*" | "?", _)) => (min, max),
            Some((low, high)) => (one(low)?, one(high)?),
        };
        let is_any = range.starts_with(['*', '?']);
        let step = step.unwrap_or(1);
        if start < min || end > max || start > end || step == 0 {
            return None;
        }
        values.is_any |= is_any && step == 1;
        (start..=end).step_by(usize::try_from(step).ok()?).for_each(|value| values.bits |= 1 << value);
    }
    Some(values)
}

fn named(text: &str, min: u64, names: &[&str]) -> Option<u64> {
    let at = names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
    Some(at as u64 + min)
}

fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(time: &str) -> i64 {
        Time::parse(time).expect("it is a time").unix_nanos()
    }

    #[track_caller]
    fn check(pattern: &str, zone: &str, after: &str, expected: &str) {
        let marks = Marks {
            schedule: Some(pattern.as_bytes()),
            schedule_zone: (!zone.is_empty()).then_some(zone.as_bytes()),
            ..Marks::default()
        };
        let answer = match firing(&marks, nanos(after), nanos(after)) {
            Err(refusal) => refusal.code().to_string(),
            Ok(None) => "none".into(),
            Ok(Some(firing)) => Timestamp::from_nanosecond(firing.at.into()).expect("it is near").to_string(),
        };
        assert_eq!(answer, expected, "{pattern} {zone}");
    }

    #[test]
    fn patterns_fire_when_they_should() {
        let now = "2026-03-01T12:00:00.6Z";
        check("", "", now, "none");
        check("@at 2030-01-01T00:00:00Z", "", now, "2030-01-01T00:00:00Z");
        check("@at 2020-01-01T00:00:00+01:00", "", now, "2019-12-31T23:00:00Z");
        check("@at 2030-01-01T00:00:00Z", "UTC", now, "10189");
        check("@every 1s", "", now, "2026-03-01T12:00:02Z");
        check("@every 1h30m", "", now, "2026-03-01T13:30:01Z");
        check("@every 999ms", "", now, "10189");
        check("@hourly", "", now, "2026-03-01T13:00:00Z");
        check("@yearly", "", now, "2027-01-01T00:00:00Z");
        check("@weekly", "", now, "2026-03-08T00:00:00Z");
        check("*/15 * * * * *", "", now, "2026-03-01T12:00:15Z");
        check("5/20 0 0 29 feb *", "", now, "2028-02-29T00:00:05Z");
        check("0 0 0 13 * fri", "", now, "2026-03-06T00:00:00Z");
        check("0 0 0 30 2 *", "", now, "10189");
        check("0 0 0 * * 7", "", now, "10189");
        check("0 0 * * *", "", now, "10189");
        check("60 0 0 * * *", "", now, "10189");
        check("3-1 0 0 * * *", "", now, "10189");
        check("*/0 0 0 * * *", "", now, "10189");
        check("0 0 0 L * *", "", now, "10189");
        check("@every", "", now, "10189");
        check("0 0 0 * * *", "Nowhere/Land", now, "10223");
        check("", "Nowhere/Land", now, "10223");
    }

    #[test]
    fn a_header_says_when_in_its_zone() {
        let text = |offset| Firing { at: nanos("2026-07-01T13:00:00Z"), repeats: true, offset }.text();
        assert_eq!(
            (text(0), text(-14_400)),
            ("2026-07-01T13:00:00Z".into(), "2026-07-01T09:00:00-04:00".into())
        );
    }

    #[test]
    fn clocks_that_change_leave_out_a_gap_and_repeat_an_overlap() {
        let zone = "America/New_York";
        if TimeZone::get(zone).is_err() {
            return;
        }
        check("0 30 2 * * *", zone, "2026-03-08T05:00:00Z", "2026-03-09T06:30:00Z");
        check("0 30 1 * * *", zone, "2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z");
        check("0 30 1 * * *", zone, "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z");
        check("0 0 9 * * *", zone, "2026-07-01T00:00:00Z", "2026-07-01T13:00:00Z");
    }
}
