//! The headers of a published message that mean something to a stream.
//!
//! Names are compared as they are written, values lose the spaces before them, and the first of several counts, as the official server does.

/// What `Nats-Rollup` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollup {
    /// Only this message of its subject stays.
    Subject,
    /// Only this message stays.
    All,
}

macro_rules! marks {
    ($($(#[doc = $doc:literal])* $field:ident $name:literal)*) => {
        /// Values of the headers that a stream looks at. `None`: there is no such header.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Marks<'a> {
            $($(#[doc = $doc])* pub $field: Option<&'a [u8]>,)*
            /// `KV-Operation`: a client's own marker, if it is `PURGE`.
            pub kv_operation: Option<&'a [u8]>,
        }

        impl<'a> Marks<'a> {
            fn set(&mut self, name: &[u8], value: &'a [u8]) {
                let field = match name {
                    $(name if *name == $name.as_bytes()[5..] => &mut self.$field,)*
                    _ => return,
                };
                field.get_or_insert(value);
            }
        }
    };
}

marks! {
    /// Deduplicates.
    msg_id "Nats-Msg-Id"
    /// The name of the stream.
    expected_stream "Nats-Expected-Stream"
    /// The stream's last sequence.
    expected_last_seq "Nats-Expected-Last-Sequence"
    /// The id of the last message.
    expected_last_msg_id "Nats-Expected-Last-Msg-Id"
    /// The last sequence of the subject.
    expected_subject_seq "Nats-Expected-Last-Subject-Sequence"
    /// Of which subject instead.
    expected_subject "Nats-Expected-Last-Subject-Sequence-Subject"
    /// `sub` or `all`.
    rollup "Nats-Rollup"
    /// How long the message lives.
    ttl "Nats-TTL"
    /// What is added to a counter.
    increment "Nats-Incr"
    /// A counter's values by source.
    counter_sources "Nats-Counter-Sources"
    /// An atomic batch.
    batch_id "Nats-Batch-Id"
    /// The place in the batch, from 1.
    batch_seq "Nats-Batch-Sequence"
    /// `1` or `eob` in the last message of a batch.
    batch_commit "Nats-Batch-Commit"
    /// When a message is to be made of this one.
    schedule "Nats-Schedule"
    /// The subject of that message.
    schedule_target "Nats-Schedule-Target"
    /// The subject whose last message is the body of that one.
    schedule_source "Nats-Schedule-Source"
    /// The TTL of that message.
    schedule_ttl "Nats-Schedule-TTL"
    /// The time zone of the schedule.
    schedule_zone "Nats-Schedule-Time-Zone"
    /// The rollup of that message.
    schedule_rollup "Nats-Schedule-Rollup"
    /// The next time of a schedule, or `purge`.
    schedule_next "Nats-Schedule-Next"
    /// The subject of the schedule that made a message.
    scheduler "Nats-Scheduler"
    /// Where a sourced message is from.
    source "Nats-Stream-Source"
    /// Why a subject delete marker stands here.
    marker_reason "Nats-Marker-Reason"
    /// When the message is stored, of streams that allow it (ours alone).
    delay "Nats-Delay"
    /// The API level that the publisher needs.
    api_level "Nats-Required-Api-Level"
    /// Who asks, where it comes from another account. Never stored.
    request_info "Nats-Request-Info"
}

impl<'a> Marks<'a> {
    /// Reads a header block, which may be empty.
    pub fn of(headers: &'a [u8]) -> Self {
        let mut marks = Self::default();
        let mut rest = headers;
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            let line = rest.get(..end).unwrap_or_default();
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some(line) = line.strip_prefix(b"Nats-") {
                marks.add(line);
            } else if let Some(value) = line.strip_prefix(b"KV-Operation:") {
                marks.kv_operation.get_or_insert(value.trim_ascii());
            }
        }
        marks
    }

    /// Whether the message stands for a subject that is gone: when it expires, no delete marker takes its place.
    pub(super) fn is_marker(&self) -> bool {
        given(self.marker_reason).is_some() || self.kv_operation == Some(b"PURGE")
    }

    fn add(&mut self, line: &'a [u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let spaces = value.iter().take_while(|&&byte| byte == b' ').count();
        self.set(name, value.get(spaces..).unwrap_or_default());
    }
}

/// A value that is not empty.
pub(super) fn given(value: Option<&[u8]>) -> Option<&[u8]> {
    value.filter(|value| !value.is_empty())
}

/// A sequence in a header. What is no number is one that no stream has.
pub(super) fn sequence(value: Option<&[u8]>) -> Option<u64> {
    given(value).map(|digits| number(digits).unwrap_or(u64::MAX))
}

/// Digits alone.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| is_number)?;
    text.parse().ok()
}

/// How long `Nats-TTL` lets a message live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TtlValue {
    /// There is none, or it is 0 seconds.
    None,
    /// Whole seconds.
    Seconds(i64),
    /// Neither this nor `max_age` removes it.
    Never,
}

/// Reads `Nats-TTL`: whole seconds, a duration of at least a second as Go writes it, or `never` (ADR-43). `None`: it is none of these.
pub(super) fn ttl(value: Option<&[u8]>) -> Option<TtlValue> {
    let Some(value) = given(value) else { return Some(TtlValue::None) };
    if value.eq_ignore_ascii_case(b"never") {
        return Some(TtlValue::Never);
    }
    let text = std::str::from_utf8(value).ok()?;
    let seconds = match duration(text) {
        // `0` is a duration, and less than a second.
        Some(nanos) if nanos < 1_000_000_000 => return None,
        Some(nanos) => nanos / 1_000_000_000,
        None => i64::try_from(number(value)?).ok()?,
    };
    Some(if seconds == 0 { TtlValue::None } else { TtlValue::Seconds(seconds) })
}

/// A duration such as `1h30m`, in nanoseconds, as Go reads it: a sign, then numbers with fractions and units; `0` alone.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0i128;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, behind) = rest.split_at(end);
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        if whole.is_empty() && fraction.is_empty() || whole.len() > 18 || fraction.contains('.') {
            return None;
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        nanos += whole * unit;
        let mut scale = unit;
        for digit in fraction.bytes() {
            scale /= 10;
            nanos += i128::from(digit - b'0') * scale;
        }
        rest = behind;
    }
    let nanos = if negative { -nanos } else { nanos };
    i64::try_from(nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_header_of_a_name_counts() {
        let block = b"NATS/1.0\r\nNats-Msg-Id:  a b \r\nnats-msg-id: x\r\nNats-Msg-Id: c\r\nNats-Rollup:\r\nOther: 1\r\n\r\n";
        let marks = Marks::of(block);
        assert_eq!(marks.msg_id, Some(&b"a b "[..]));
        assert_eq!(marks.rollup, Some(&b""[..]));
        assert_eq!(marks.ttl, None);
        for end in 0..block.len() {
            let _ = Marks::of(&block[..end]);
        }
    }

    #[test]
    fn a_ttl_is_seconds_a_duration_or_never() {
        #[track_caller]
        fn check(value: &str, expected: Option<TtlValue>) {
            assert_eq!(ttl(Some(value.as_bytes())), expected, "{value}");
        }
        check("", Some(TtlValue::None));
        check("5", Some(TtlValue::Seconds(5)));
        check("1h30m", Some(TtlValue::Seconds(5400)));
        check("1.5s", Some(TtlValue::Seconds(1)));
        check("Never", Some(TtlValue::Never));
        check("500ms", None);
        check("0", None);
        check("00", Some(TtlValue::None));
        check("-1", None);
        check("-2s", None);
        check("1x", None);
        check("s", None);
        check(".s", None);
        check("99999999999999999999s", None);
    }
}
