//! From bytes to operations. One call reads one operation, so that the caller decides after each whether to go on.

use crate::message::Message;
use crate::scan::{blanks, size};

/// Arguments that any operation may have, and one more to notice that there are too many.
const ARGS_MAX: usize = 5;

/// What a peer may send at most. Both are checked before the bytes they speak of are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the arguments of a control line. Key `max_control_line`.
    pub control_line_bytes_max: usize,
    /// Bytes of headers and payload together. Key `max_payload`.
    pub payload_bytes_max: usize,
    /// Whether HPUB is understood: the server has headers on and the client said `headers`.
    pub headers: bool,
}

/// One operation of a client. Borrows from the buffer it was read from.
#[derive(Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// PUB or HPUB.
    Publish(Message<'a>),
    /// SUB.
    Subscribe {
        /// The filter as it was sent; not yet validated.
        filter: &'a [u8],
        /// The queue group, if one was named.
        queue: Option<&'a [u8]>,
        /// The client's own name for the subscription.
        sid: &'a [u8],
    },
    /// UNSUB.
    Unsubscribe {
        /// The subscription.
        sid: &'a [u8],
        /// After how many messages in all; `None` at once.
        max: Option<u64>,
    },
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// CONNECT with its JSON, not yet read.
    Connect(&'a [u8]),
    /// INFO, which a client has no business to send; like the official server, ours reads its JSON and ignores it.
    Info,
    /// +OK, ignored.
    Ok,
    /// -ERR with its text: the client gives up.
    Err(&'a [u8]),
}

/// What stands at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole operation and the bytes it took.
    Op(Op<'a>, usize),
    /// The beginning of an operation; `total` is how many bytes it will have as far as is known (0: unknown).
    Partial {
        /// Bytes of the whole operation, or 0 while its control line is not complete.
        total: usize,
    },
}

/// Why the bytes are not an operation. The text goes to the log; what the peer hears is in [`ParseError::answer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Bytes that no verb begins with, or a payload that does not end where it should.
    #[error("Client parser ERROR, proto='{}...'", .0.escape_ascii())]
    UnknownOperation(Box<[u8]>),
    /// A control line longer than the limit.
    #[error("maximum control line exceeded")]
    ControlLine,
    /// A message larger than the limit.
    #[error("maximum payload exceeded: {size} vs {max}")]
    Payload {
        /// The size that was announced.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Too few or too many arguments, or one that is no number. The peer is told nothing, as by the official server.
    #[error("{verb} {problem}: \"{}\"", .args.escape_ascii())]
    Arguments {
        /// Which operation.
        verb: &'static str,
        /// What is wrong.
        problem: &'static str,
        /// The arguments as they came, cut to 64 bytes.
        args: Box<[u8]>,
    },
    /// HPUB by a client that did not ask for headers.
    #[error("message headers not supported")]
    HeadersNotSupported,
}

impl ParseError {
    /// What the peer is told before it is closed; `None` if it is closed without a word.
    pub fn answer(&self) -> Option<crate::ProtocolError> {
        match self {
            Self::UnknownOperation(_) => Some(crate::ProtocolError::UnknownOperation),
            Self::ControlLine => Some(crate::ProtocolError::ControlLineExceeded),
            Self::Payload { .. } => Some(crate::ProtocolError::PayloadExceeded),
            Self::Arguments { .. } | Self::HeadersNotSupported => None,
        }
    }
}

/// Reads the operation at the front of `input`. Never looks further than that operation, so any split of the same
/// bytes gives the same operations. A caller for whom messages matter most asks [`usual_publish`] first.
///
/// # Errors
/// See [`ParseError`]; the connection cannot go on after any of them.
#[inline(never)]
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Result<Parsed<'a>, ParseError> {
    match input {
        [b'P' | b'p', b'U' | b'u', b'B' | b'b', b' ' | b'\t', ..] => publish(input, 4, false, limits),
        [b'H' | b'h', b'P' | b'p', b'U' | b'u', b'B' | b'b', b' ' | b'\t', ..] => {
            publish(input, 5, true, limits)
        }
        [b'P' | b'p', b'I' | b'i', b'N' | b'n', b'G' | b'g', ..] => {
            until_newline(input, 4, |_| Ok(Op::Ping), usize::MAX)
        }
        [b'P' | b'p', b'O' | b'o', b'N' | b'n', b'G' | b'g', ..] => {
            until_newline(input, 4, |_| Ok(Op::Pong), usize::MAX)
        }
        [b'S' | b's', b'U' | b'u', b'B' | b'b', b' ' | b'\t', ..] => {
            until_newline(input, 4, subscribe, limits.control_line_bytes_max)
        }
        [b'U' | b'u', b'N' | b'n', b'S' | b's', b'U' | b'u', b'B' | b'b', b' ' | b'\t', ..] => {
            until_newline(input, 6, unsubscribe, limits.control_line_bytes_max)
        }
        [
            b'C' | b'c',
            b'O' | b'o',
            b'N' | b'n',
            b'N' | b'n',
            b'E' | b'e',
            b'C' | b'c',
            b'T' | b't',
            args @ ..,
        ] => {
            let connect = |args: &'a [u8]| Ok(Op::Connect(args.trim_ascii()));
            until_newline(input, 7 + blank_bytes(args), connect, limits.control_line_bytes_max)
        }
        [b'I' | b'i', b'N' | b'n', b'F' | b'f', b'O' | b'o', args @ ..] => {
            until_newline(input, 4 + blank_bytes(args), info, limits.control_line_bytes_max)
        }
        [b'+', b'O' | b'o', b'K' | b'k', ..] => {
            until_newline(input, 3, |_| Ok(Op::Ok), limits.control_line_bytes_max)
        }
        [b'-', b'E' | b'e', b'R' | b'r', b'R' | b'r', b' ' | b'\t', ..] => {
            until_newline(input, 5, |args| Ok(Op::Err(args.trim_ascii())), limits.control_line_bytes_max)
        }
        _ if begins_a_verb(input) => Ok(Parsed::Partial { total: 0 }),
        _ => Err(unknown(input)),
    }
}

/// Spaces in the arguments of a HPUB with a reply subject, the most there are in an operation that publishes.
const SPACES_MAX: usize = 3;

/// A PUB or HPUB at the front of `input` as client libraries write it, and the bytes it took: whole, in capitals, one space
/// between arguments, CRLF behind them, within the limits. `None` for anything else, of which [`parse`] knows what it is.
///
/// This is asked for every message: it looks at eight bytes at a time, and leaves out what only other input needs.
#[inline(always)]
pub fn usual_publish<'a>(input: &'a [u8], limits: &Limits) -> Option<(Message<'a>, usize)> {
    match input {
        [b'P', b'U', b'B', b' ', args @ ..] => publish_args::<false>(args, limits, 4),
        [b'H', b'P', b'U', b'B', b' ', args @ ..] if limits.headers => publish_args::<true>(args, limits, 5),
        _ => None,
    }
}

#[inline(always)]
fn publish_args<'a, const HEADERS: bool>(
    args: &'a [u8],
    limits: &Limits,
    verb_bytes: usize,
) -> Option<(Message<'a>, usize)> {
    let mut spaces = [0; SPACES_MAX];
    let (end, count) = usual_line(args, limits.control_line_bytes_max, &mut spaces)?;
    let [first, second, third] = spaces;
    let (reply, header, size) = match (HEADERS, count) {
        (false, 1) => (None, None, first),
        (false, 2) => (Some(args.get(first + 1..second)?), None, second),
        (true, 2) => (None, Some(args.get(first + 1..second)?), second),
        (true, 3) => (Some(args.get(first + 1..second)?), Some(args.get(second + 1..third)?), third),
        _ => return None,
    };
    let subject = args.get(..first)?;
    if subject.is_empty() || reply.is_some_and(<[u8]>::is_empty) {
        return None;
    }
    let body_bytes = crate::scan::size(args.get(size + 1..end)?)?;
    let header_bytes = match header {
        None => 0,
        Some(digits) => crate::scan::size(digits)?,
    };
    if body_bytes > limits.payload_bytes_max || header_bytes > body_bytes {
        return None;
    }
    let [b'\r', b'\n', behind @ ..] = args.get(end..)? else { return None };
    let framed = behind.get(..body_bytes + 2)?;
    let [.., b'\r', b'\n'] = framed else { return None };
    let bytes = verb_bytes + end + 2 + framed.len();
    Some((Message { subject, reply, header_bytes, framed }, bytes))
}

/// Where the CR of a line of at most `max` bytes is, and where spaces are before it and how many. `None` if there is any
/// other control character, or no CR before the last full eight bytes.
#[inline(always)]
fn usual_line(args: &[u8], max: usize, spaces: &mut [usize; SPACES_MAX]) -> Option<(usize, usize)> {
    let (mut from, mut count) = (0, 0);
    for eight in args.as_chunks::<8>().0 {
        let bytes = u64::from_le_bytes(*eight);
        let mut blanks = blanks(bytes);
        while blanks != 0 {
            let bit = blanks.trailing_zeros() & !7;
            let at = from + (bit / 8) as usize;
            match (bytes >> bit) as u8 {
                b' ' => *spaces.get_mut(count)? = at,
                b'\r' if at <= max => return Some((at, count)),
                _ => return None,
            }
            count += 1;
            blanks &= blanks.wrapping_sub(1);
        }
        from += 8;
        if from > max {
            return None;
        }
    }
    None
}

/// Whether more bytes could still make an operation of these.
fn begins_a_verb(input: &[u8]) -> bool {
    const VERBS: [&[u8]; 9] =
        [b"PUB ", b"HPUB ", b"SUB ", b"UNSUB ", b"PING", b"PONG", b"CONNECT", b"INFO", b"+OK"];
    let begins = |verb: &[u8]| verb.get(..input.len()).is_some_and(|start| start.eq_ignore_ascii_case(input));
    VERBS.into_iter().any(begins) || begins(b"-ERR ")
}

fn unknown(input: &[u8]) -> ParseError {
    ParseError::UnknownOperation(input.get(..input.len().min(32)).unwrap_or_default().into())
}

fn arguments(verb: &'static str, problem: &'static str, args: &[u8]) -> ParseError {
    ParseError::Arguments { verb, problem, args: args.get(..args.len().min(64)).unwrap_or_default().into() }
}

/// The end of the line that begins at `from`: the index of its newline.
///
/// A byte loop: control lines are short, and for those it beats a vectorised search.
#[inline]
fn newline(input: &[u8], from: usize) -> Option<usize> {
    input.get(from..)?.iter().position(|&b| b == b'\n').map(|at| from + at)
}

/// The arguments up to the newline at `end`, without the CR before it.
#[inline]
fn line(input: &[u8], from: usize, end: usize) -> &[u8] {
    let line = input.get(from..end).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A peer's own INFO, which says nothing to a server, and which must be an object all the same.
fn info(args: &[u8]) -> Result<Op<'_>, ParseError> {
    type Fields<'a> = std::collections::HashMap<std::borrow::Cow<'a, str>, serde::de::IgnoredAny>;
    match serde_json::from_slice::<Fields<'_>>(args) {
        Ok(_) => Ok(Op::Info),
        Err(_) => Err(arguments("processInfo", "Parse Error", args)),
    }
}

/// The blank between a verb and its arguments, which does not count as one of their bytes.
pub(super) fn blank_bytes(args: &[u8]) -> usize {
    usize::from(matches!(args, [b' ' | b'\t', ..]))
}

/// An operation that is a single line; `max` bounds what stands behind the verb.
fn until_newline<'a>(
    input: &'a [u8],
    from: usize,
    op: impl FnOnce(&'a [u8]) -> Result<Op<'a>, ParseError>,
    max: usize,
) -> Result<Parsed<'a>, ParseError> {
    let window = input.get(..from.saturating_add(max).saturating_add(2).min(input.len())).unwrap_or(input);
    match newline(window, from) {
        Some(end) => {
            let args = line(input, from, end);
            if args.len() > max {
                return Err(ParseError::ControlLine);
            }
            Ok(Parsed::Op(op(args)?, end + 1))
        }
        None => unfinished(input, from, max),
    }
}

/// A line whose newline is still to come. A CR at its end may be the one before that, which does not count.
fn unfinished(input: &[u8], from: usize, max: usize) -> Result<Parsed<'_>, ParseError> {
    if line(input, from, input.len()).len() > max {
        Err(ParseError::ControlLine)
    } else {
        Ok(Parsed::Partial { total: 0 })
    }
}

/// The arguments from `from` to the newline, how many there are, and where the newline is; in one pass, for this is done
/// for every message. `None` if there is no newline within `max` bytes and its CR.
#[inline]
fn words(input: &[u8], from: usize, max: usize) -> Option<([&[u8]; ARGS_MAX], usize, usize)> {
    let mut out: [&[u8]; ARGS_MAX] = [&[]; ARGS_MAX];
    let mut count = 0;
    let mut begin = from;
    let window = input.get(from..from.saturating_add(max).saturating_add(2).min(input.len()))?;
    for (at, &byte) in (from..).zip(window) {
        if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        if at > begin {
            if let (Some(slot), Some(word)) = (out.get_mut(count), input.get(begin..at)) {
                *slot = word;
            }
            count += 1;
        }
        if byte == b'\n' {
            return Some((out, count, at));
        }
        begin = at + 1;
    }
    None
}

/// Splits arguments at blanks and tabs. More than [`ARGS_MAX`] are counted, not kept.
#[inline]
fn split(args: &[u8]) -> ([&[u8]; ARGS_MAX], usize) {
    let mut out: [&[u8]; ARGS_MAX] = [&[]; ARGS_MAX];
    let mut count = 0;
    let mut start = None;
    for (at, &byte) in args.iter().enumerate() {
        if matches!(byte, b' ' | b'\t' | b'\r') {
            if let Some(begin) = start.take() {
                if let (Some(slot), Some(arg)) = (out.get_mut(count), args.get(begin..at)) {
                    *slot = arg;
                }
                count += 1;
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(arg) = start.and_then(|begin| args.get(begin..)) {
        if let Some(slot) = out.get_mut(count) {
            *slot = arg;
        }
        count += 1;
    }
    (out, count)
}

fn publish<'a>(
    input: &'a [u8],
    from: usize,
    with_headers: bool,
    limits: &Limits,
) -> Result<Parsed<'a>, ParseError> {
    let max = limits.control_line_bytes_max;
    let Some((words, count, end)) = words(input, from, max) else {
        return unfinished(input, from, max);
    };
    let args = line(input, from, end);
    if args.len() > max {
        return Err(ParseError::ControlLine);
    }
    let (subject, reply, header_digits, total_digits) = match (with_headers, count, words) {
        (false, 2, [subject, total, ..]) => (subject, None, None, total),
        (false, 3, [subject, reply, total, ..]) => (subject, Some(reply), None, total),
        (true, 3, [subject, header, total, ..]) => (subject, None, Some(header), total),
        (true, 4, [subject, reply, header, total, ..]) => (subject, Some(reply), Some(header), total),
        (false, ..) => return Err(arguments("processPub", "Parse Error", args)),
        (true, ..) if !limits.headers => return Err(ParseError::HeadersNotSupported),
        (true, ..) => return Err(arguments("processHeaderPub", "Parse Error", args)),
    };
    let verb = if with_headers { "processHeaderPub" } else { "processPub" };
    if with_headers && !limits.headers {
        return Err(ParseError::HeadersNotSupported);
    }
    // An empty header block is none.
    let header_bytes = match header_digits {
        None => 0,
        Some(digits) => size(digits).ok_or_else(|| arguments(verb, "Bad or Missing Header Size", args))?,
    };
    let body = size(total_digits).ok_or_else(|| {
        arguments(verb, if with_headers { "Bad or Missing Total Size" } else { "Bad or Missing Size" }, args)
    })?;
    if header_bytes > body {
        return Err(arguments(verb, "Header Size larger then TotalSize", args));
    }
    if body > limits.payload_bytes_max {
        return Err(ParseError::Payload { size: body, max: limits.payload_bytes_max });
    }
    let begin = end + 1;
    let total = begin + body + 2;
    let Some(framed) = input.get(begin..total) else {
        // The CR may already be there, or what should have been one.
        return match input.get(begin + body) {
            Some(b'\r') | None => Ok(Parsed::Partial { total }),
            Some(_) => Err(unknown(input.get(begin + body..).unwrap_or_default())),
        };
    };
    if !framed.ends_with(b"\r\n") {
        return Err(unknown(framed.get(body..).unwrap_or_default()));
    }
    Ok(Parsed::Op(Op::Publish(Message { subject, reply, header_bytes, framed }), total))
}

fn subscribe(args: &[u8]) -> Result<Op<'_>, ParseError> {
    match split(args) {
        ([filter, sid, ..], 2) => Ok(Op::Subscribe { filter, queue: None, sid }),
        ([filter, queue, sid, ..], 3) => Ok(Op::Subscribe { filter, queue: Some(queue), sid }),
        _ => Err(arguments("processSub", "Parse Error", args)),
    }
}

fn unsubscribe(args: &[u8]) -> Result<Op<'_>, ParseError> {
    match split(args) {
        ([sid, ..], 1) => Ok(Op::Unsubscribe { sid, max: None }),
        // Zero, negative and what is no number at all mean "at once", as to the official server.
        ([sid, max, ..], 2) => {
            Ok(Op::Unsubscribe { sid, max: size(max).filter(|&n| n > 0).map(|n| n as u64) })
        }
        _ => Err(arguments("processUnsub", "Parse Error", args)),
    }
}
