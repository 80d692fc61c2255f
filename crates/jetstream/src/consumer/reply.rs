//! The reply subjects of deliveries, by which clients acknowledge, and what they may say there.

use crate::api::NakRequest;
use crate::json::{self, Field as _, Reader, Strictness};

/// What stands in the reply subject of a delivered message. Source: ADR-15 and its second version, which has domain and account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckSubject<'a> {
    /// The stream.
    pub stream: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// How often the message was delivered.
    pub deliveries: u64,
    /// Its sequence in the stream.
    pub seq: u64,
    /// The sequence of the delivery.
    pub consumer_seq: u64,
    /// When the message was stored, nanoseconds since 1970.
    pub time: u64,
    /// Messages that were left for the consumer.
    pub pending: u64,
}

/// Tokens of the first version.
const TOKENS_V1: usize = 9;
/// Tokens of the second version, which may have further ones.
const TOKENS_V2: usize = 11;

impl<'a> AckSubject<'a> {
    /// Reads a reply subject, of either version. `None` if it is not one.
    pub fn parse(subject: &'a [u8]) -> Option<Self> {
        let mut tokens = [&b""[..]; TOKENS_V2];
        let mut count = 0;
        for token in subject.split(|byte| *byte == b'.') {
            if let Some(place) = tokens.get_mut(count) {
                *place = token;
            }
            count += 1;
        }
        if tokens[0] != b"$JS" || tokens[1] != b"ACK" {
            return None;
        }
        let at = match count {
            TOKENS_V1 => 2,
            TOKENS_V2.. => 4,
            _ => return None,
        };
        let number = |offset: usize| number(tokens[at + offset]);
        Some(Self {
            stream: tokens[at],
            consumer: tokens[at + 1],
            deliveries: number(2)?,
            seq: number(3).filter(|seq| *seq > 0)?,
            consumer_seq: number(4)?,
            time: number(5)?,
            pending: number(6)?,
        })
    }
}

/// Digits, and nothing else.
fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// What the subjects have in common that a consumer makes for each message: `<stream>.<consumer>.`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes(Box<[u8]>);

impl Prefixes {
    /// Of the first version.
    pub fn new(stream: &str, consumer: &str) -> Self {
        Self::of(&format!("{stream}.{consumer}."))
    }

    /// Of the second version: `names` are `<domain>.<account>.<stream>.<consumer>`, the account by a hash, and `_` for no domain.
    pub fn with_account(names: &str) -> Self {
        Self::of(&format!("{names}."))
    }

    fn of(names: &str) -> Self {
        Self(names.as_bytes().into())
    }

    /// Writes the reply subject of a delivery to `out`, instead of what it has.
    pub(super) fn write_ack_subject(&self, out: &mut Vec<u8>, numbers: [u64; 5]) {
        out.clear();
        out.extend_from_slice(b"$JS.ACK.");
        out.extend_from_slice(&self.0);
        for (at, value) in numbers.into_iter().enumerate() {
            if at > 0 {
                out.push(b'.');
            }
            write_number(out, value);
        }
    }

    /// What the subject of an answer to flow control begins with.
    pub(super) fn flow_control(&self) -> Vec<u8> {
        [b"$JS.FC.", &*self.0].concat()
    }
}

/// Writes a number in decimal.
pub(super) fn write_number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// What a client says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It is done.
    Ack,
    /// It is done; the rest is a request for more.
    AckAndNext(&'a [u8]),
    /// It is to come again: at once, or after so many nanoseconds.
    Nak {
        /// Nanoseconds to wait. `None`: come again at once.
        delay: Option<i64>,
    },
    /// It is being worked on.
    Progress,
    /// It is not to come again.
    Term {
        /// Why, for the advisory.
        reason: &'a [u8],
    },
    /// Nothing that is known. It is answered all the same.
    Unknown,
}

impl<'a> Verdict<'a> {
    /// Reads the payload of an acknowledgement. A delay that cannot be read is no delay.
    pub fn parse(payload: &'a [u8]) -> Self {
        match payload {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            _ => {
                if let Some(rest) = payload.strip_prefix(b"+NXT") {
                    Self::AckAndNext(rest)
                } else if let Some(rest) = payload.strip_prefix(b"-NAK") {
                    Self::Nak { delay: delay(rest.trim_ascii()) }
                } else if let Some(rest) = payload.strip_prefix(b"+TERM") {
                    Self::Term { reason: rest.trim_ascii() }
                } else {
                    Self::Unknown
                }
            }
        }
    }
}

/// `{"delay": nanoseconds}`, or a duration such as `1m30s`.
fn delay(text: &[u8]) -> Option<i64> {
    if text.first() == Some(&b'{') {
        let (node, _) = json::parse(text).ok()?;
        let mut reader = Reader::new(Strictness::Lax);
        let mut request = NakRequest::default();
        request.read(&node, NakRequest::GO, &mut reader).ok()?;
        return reader.error().is_none().then_some(request.delay.0);
    }
    let text = std::str::from_utf8(text).ok().filter(|text| !text.is_empty())?;
    duration(text)
}

/// A duration as Go writes it: `1h30m`, `1.5s`, `-3ms`. Nanoseconds; `None` if it is not one or too long.
fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let value: f64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let nanoseconds = match rest.get(..unit)? {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        rest = &rest[unit..];
        total += value * nanoseconds;
    }
    if total > i64::MAX as f64 {
        return None;
    }
    let total = total as i64;
    Some(if negative { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reply_subjects_of_both_versions_are_read() {
        let info = AckSubject {
            stream: b"S",
            consumer: b"C",
            deliveries: 1,
            seq: 22,
            consumer_seq: 3,
            time: 1700000000000000000,
            pending: 5,
        };
        for subject in [
            "$JS.ACK.S.C.1.22.3.1700000000000000000.5",
            "$JS.ACK._.hash.S.C.1.22.3.1700000000000000000.5",
            "$JS.ACK._.hash.S.C.1.22.3.1700000000000000000.5.random.more",
        ] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), Some(info), "{subject}");
        }
        for subject in [
            "",
            "$JS.ACK",
            "$JS.ACK.S.C.1.22.3.1700000000000000000",
            "$JS.ACK.S.C.1.22.3.1700000000000000000.5.6",
            "$JS.ACK.S.C.1.0.3.1700000000000000000.5",
            "$JS.ACK.S.C.1.-2.3.1700000000000000000.5",
            "$JS.ACK.S.C.1..3.1700000000000000000.5",
            "$JS.ACK.S.C.1.99999999999999999999.3.1700000000000000000.5",
            "$JS.NAK.S.C.1.22.3.1700000000000000000.5",
        ] {
            assert_eq!(AckSubject::parse(subject.as_bytes()), None, "{subject}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let first = Prefixes::new("S", "C");
        first.write_ack_subject(&mut out, [1, 22, 3, u64::MAX, 0]);
        assert_eq!(out, b"$JS.ACK.S.C.1.22.3.18446744073709551615.0");
        assert_eq!(first.flow_control(), b"$JS.FC.S.C.");
        let second = Prefixes::with_account("_.acc.S.C");
        second.write_ack_subject(&mut out, [1, 22, 3, 4, 5]);
        assert_eq!(out, b"$JS.ACK._.acc.S.C.1.22.3.4.5");
        assert_eq!(AckSubject::parse(&out).map(|s| (s.stream, s.pending)), Some((&b"S"[..], 5)));
    }

    #[test]
    fn verdicts_are_read() {
        let nak = |delay| Verdict::Nak { delay };
        for (payload, verdict) in [
            ("", Verdict::Ack),
            ("+ACK", Verdict::Ack),
            ("+OK", Verdict::Ack),
            ("+ACK ", Verdict::Unknown),
            ("+WPI", Verdict::Progress),
            ("+NXT", Verdict::AckAndNext(b"")),
            ("+NXT 5", Verdict::AckAndNext(b" 5")),
            ("+NXT{\"batch\":5}", Verdict::AckAndNext(b"{\"batch\":5}")),
            ("-NAK", nak(None)),
            ("-NAK  ", nak(None)),
            ("-NAK {\"delay\": 1500}", nak(Some(1500))),
            ("-NAK {}", nak(Some(0))),
            ("-NAK {\"delay\": \"x\"}", nak(None)),
            ("-NAK 1m1.5s", nak(Some(61_500_000_000))),
            ("-NAK 10", nak(None)),
            ("-NAK -3ms", nak(Some(-3_000_000))),
            ("-NAK 999999999h", nak(None)),
            ("+TERM", Verdict::Term { reason: b"" }),
            ("+TERM no good ", Verdict::Term { reason: b"no good" }),
            ("what", Verdict::Unknown),
        ] {
            assert_eq!(Verdict::parse(payload.as_bytes()), verdict, "{payload}");
        }
    }
}
