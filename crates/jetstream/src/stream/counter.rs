//! Counters: `Nats-Incr` adds to the value of a subject, which its last message holds (ADR-49).

use super::admit::{append, without};
use super::marks::given;
use super::{Marks, Refusal, Room, Store, Stream};
use crate::messages::Body;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What other streams have added, by stream and subject.
type Sources = BTreeMap<String, BTreeMap<String, String>>;

/// A whole number of any size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Number {
    is_negative: bool,
    /// The lowest first, none of 0.
    digits: Vec<u8>,
}

impl Number {
    /// Digits, with a sign or without.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (is_negative, digits) = match text.split_first()? {
            (b'-', digits) => (true, digits),
            (b'+', digits) => (false, digits),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let digits: Vec<u8> = digits.iter().rev().map(|digit| digit - b'0').collect();
        Some(Self { is_negative, digits }.trimmed())
    }

    fn trimmed(mut self) -> Self {
        let len = self.digits.iter().rposition(|&digit| digit != 0).map_or(0, |last| last + 1);
        self.digits.truncate(len);
        self.is_negative &= len > 0;
        self
    }

    fn negated(mut self) -> Self {
        self.is_negative = !self.is_negative && !self.digits.is_empty();
        self
    }

    fn digit(&self, at: usize) -> u8 {
        self.digits.get(at).copied().unwrap_or(0)
    }

    fn is_less_in_size(&self, other: &Self) -> bool {
        let (here, there) = (self.digits.len(), other.digits.len());
        here < there || here == there && self.digits.iter().rev().lt(other.digits.iter().rev())
    }

    /// The sum.
    pub(super) fn plus(&self, other: &Self) -> Self {
        if self.is_negative != other.is_negative && self.is_less_in_size(other) {
            return other.plus(self);
        }
        let (mut digits, mut carry) = (Vec::new(), 0i8);
        for at in 0..self.digits.len().max(other.digits.len()) + 1 {
            let (here, there) = (self.digit(at) as i8, other.digit(at) as i8);
            let sum = if self.is_negative == other.is_negative {
                here + there + carry
            } else {
                here - there + carry
            };
            digits.push(sum.rem_euclid(10) as u8);
            carry = sum.div_euclid(10);
        }
        Self { is_negative: self.is_negative, digits }.trimmed()
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.is_negative { "-" } else { "" };
        let digits: String = self.digits.iter().rev().map(|&digit| char::from(b'0' + digit)).collect();
        write!(f, "{sign}{}", if digits.is_empty() { "0" } else { &digits })
    }
}

/// What a counter stands at.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter {
    total: Number,
    sources: Sources,
}

impl Counter {
    /// Reads a counter's message.
    fn of(headers: &[u8], payload: &[u8]) -> Result<Self, Refusal> {
        let value: serde_json::Value = serde_json::from_slice(payload).map_err(|_| Refusal::CounterBroken)?;
        let total = match value.as_object().map(|object| object.get("val")) {
            Some(None | Some(serde_json::Value::Null)) => Number::default(),
            Some(Some(serde_json::Value::String(value))) => {
                Number::parse(value.as_bytes()).unwrap_or_default()
            }
            _ => return Err(Refusal::CounterBroken),
        };
        let sources = match given(Marks::of(headers).counter_sources) {
            None => Sources::new(),
            Some(sources) => serde_json::from_slice(sources).map_err(|_| Refusal::CounterBroken)?,
        };
        Ok(Self { total, sources })
    }

    /// Adds, and makes the message that stands for it.
    pub(super) fn add(&mut self, increment: &Number, store: &mut Store<'_>) {
        self.total = self.total.plus(increment);
        store.is_counter = true;
        store.payload = Cow::Owned(format!("{{\"val\":\"{}\"}}", self.total).into_bytes());
        if !self.sources.is_empty() {
            let mut headers = without(&store.headers, b"Nats-Counter-Sources");
            let sources = serde_json::to_string(&self.sources).unwrap_or_default();
            append(&mut headers, "Nats-Counter-Sources", &sources);
            store.headers = Cow::Owned(headers);
        }
    }
}

/// Gives a header that is there another value.
fn set(headers: &mut Vec<u8>, name: &str, value: &str) {
    let prefix = format!("{name}:");
    let mut out = Vec::with_capacity(headers.len());
    for line in headers.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(prefix.as_bytes()) {
            out.extend_from_slice(format!("{prefix} {value}\r\n").as_bytes());
        } else {
            out.extend_from_slice(line);
        }
    }
    *headers = out;
}

impl Stream {
    /// Counts what another stream's counter stands at: the difference to what it stood at before is added.
    pub(super) fn add_sourced(
        &self,
        marks: &Marks<'_>,
        store: &mut Store<'_>,
        room: &impl Room,
    ) -> Result<(), Refusal> {
        let increment = given(marks.increment).ok_or(Refusal::CounterMissing)?;
        Number::parse(increment).ok_or(Refusal::CounterInvalid)?;
        let theirs = Counter::of(&[], &store.payload)?.total;
        let source = given(marks.source).unwrap_or_default();
        let fields: Vec<&[u8]> = source.split(|&byte| byte == b' ').collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let origin = text(fields.first().copied().unwrap_or_default());
        let subject = text(fields.get(4).copied().unwrap_or(&store.subject));
        let mut counter = self.counter(&store.subject, room)?;
        let before = counter.sources.entry(origin).or_default().insert(subject, theirs.to_string());
        let before = before.and_then(|before| Number::parse(before.as_bytes())).unwrap_or_default();
        let more = theirs.plus(&before.negated());
        let mut headers = store.headers.to_vec();
        set(&mut headers, "Nats-Incr", &more.to_string());
        store.headers = Cow::Owned(headers);
        counter.add(&more, store);
        self.check_grown(store)?;
        *store = std::mem::take(store).measured();
        Ok(())
    }

    /// What `Nats-Incr` adds; `None`: there is no such header.
    pub(super) fn increment(&self, marks: &Marks<'_>, payload: &[u8]) -> Result<Option<Number>, Refusal> {
        let Some(value) = given(marks.increment) else { return Ok(None) };
        let increment = Number::parse(value).ok_or(Refusal::CounterInvalid)?;
        if !self.settings.features.counter {
            return Err(Refusal::CounterDisabled);
        }
        if !payload.is_empty() {
            return Err(Refusal::CounterPayload);
        }
        let others = [
            marks.rollup,
            marks.expected_stream,
            marks.expected_last_msg_id,
            marks.expected_subject,
            marks.expected_last_seq,
            marks.expected_subject_seq,
        ];
        if others.into_iter().any(|value| given(value).is_some()) {
            return Err(Refusal::CounterInvalid);
        }
        Ok(Some(increment))
    }

    /// What the counter of a subject stands at.
    pub(super) fn counter(&self, subject: &[u8], room: &impl Room) -> Result<Counter, Refusal> {
        let Some(id) = self.messages.subject_id(subject) else { return Ok(Counter::default()) };
        let last = self.messages.subject(id).last;
        let Some((head, body)) = self.get(last) else { return Ok(Counter::default()) };
        let mut cold = Vec::new();
        let body = match body {
            Body::Hot(body) => body,
            Body::Cold(place) => {
                if !room.read(last, (place, head.body_bytes), &mut cold) {
                    return Err(Refusal::StoreFailed("message cannot be read"));
                }
                &cold
            }
        };
        let (headers, payload) =
            body.split_at_checked(usize::from(head.header_bytes)).ok_or(Refusal::CounterBroken)?;
        Counter::of(headers, payload)
    }

    /// Whether a counter's message is still one that may be published.
    pub(super) fn check_grown(&self, store: &Store<'_>) -> Result<(), Refusal> {
        let bytes = store.headers.len() + store.payload.len();
        if bytes > self.settings.payload_max as usize { Err(Refusal::MessageTooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_as_on_paper() {
        #[track_caller]
        fn check(a: &str, b: &str, sum: &str) {
            let parse = |text: &str| Number::parse(text.as_bytes()).expect("it is a number");
            assert_eq!(parse(a).plus(&parse(b)).to_string(), sum);
            assert_eq!(parse(b).plus(&parse(a)).to_string(), sum);
        }
        check("1", "1", "2");
        check("-1", "1", "0");
        check("+007", "-0", "7");
        check("-10", "1", "-9");
        check("99999999999999999999999", "1", "100000000000000000000000");
        check("-99999999999999999999999", "-1", "-100000000000000000000000");
        check("100000000000000000000000", "-1", "99999999999999999999999");
        for a in -120..120i64 {
            for b in [-101, -100, -99, -10, -9, -1, 0, 1, 9, 10, 11, 99, 100, 101] {
                check(&a.to_string(), &b.to_string(), &(a + b).to_string());
            }
        }
        for bad in ["", "-", "1.5", "x", "1_0", " 1"] {
            assert_eq!(Number::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
