//! The short cut for messages.

use super::{Dialect, Queues, RoutedMessage};
use crate::message::Message;
use crate::scan::{blanks, size};

/// Blanks in a line that are looked at: behind account, subject, mark, reply, header size, and the names of eleven queue groups.
const SPACES_MAX: usize = 16;
/// Bytes of a line that are looked at, so that a place in it fits 16 bits.
const LINE_BYTES_MAX: usize = u16::MAX as usize;

/// A message at the front of `input` as servers write it, and the bytes it took: whole, in capitals, without an origin, one space between
/// arguments, CRLF behind them, within the limits. `None` for anything else, of which [`super::parse`] knows what it is.
///
/// This is asked for every message: it looks at eight bytes at a time, and leaves out what only other input needs.
#[inline(always)]
pub fn usual_message<'a>(input: &'a [u8], dialect: &Dialect) -> Option<(RoutedMessage<'a>, usize)> {
    match input {
        [b'H', b'M', b'S', b'G', b' ', args @ ..] => message::<true>(args, dialect),
        [letter, b'M', b'S', b'G', b' ', args @ ..] if *letter == dialect.plain => {
            message::<false>(args, dialect)
        }
        _ => None,
    }
}

#[inline(always)]
fn message<'a, const HEADERS: bool>(args: &'a [u8], dialect: &Dialect) -> Option<(RoutedMessage<'a>, usize)> {
    // The letter that differs, MSG and a blank.
    const VERB_BYTES: usize = 5;
    let mut spaces = [0; SPACES_MAX];
    let (end, count) = line(args, dialect.limits.control_line_bytes_max, &mut spaces)?;
    let space = |index: usize| spaces.get(index).map(|&at| usize::from(at));
    let (account, subject_begin) = match dialect.accounts {
        0 => (None, 0),
        _ => (Some(args.get(..space(0)?)?), space(0)? + 1),
    };
    let sizes = 1 + usize::from(HEADERS);
    // Words that are neither account, subject nor sizes, and the blank before the first of them.
    let optional = count.checked_sub(dialect.accounts + sizes)?;
    let subject_end = space(dialect.accounts)?;
    let subject = args.get(subject_begin..subject_end)?;
    let optional_end = space(count.checked_sub(sizes)?)?;
    let (reply, queues) = match optional {
        0 => (None, Queues::NONE),
        1 => (Some(args.get(subject_end + 1..optional_end)?), Queues::NONE),
        _ => match args.get(subject_end + 1..subject_end + 3)? {
            b"+ " => {
                let reply_end = space(dialect.accounts + 2)?;
                let queues = args.get((reply_end + 1).min(optional_end)..optional_end)?;
                (Some(args.get(subject_end + 3..reply_end)?), Queues(queues))
            }
            b"| " => (None, Queues(args.get(subject_end + 3..optional_end)?)),
            _ => return None,
        },
    };
    let body_begin = space(count - 1)? + 1;
    let body_bytes = size(args.get(body_begin..end)?)?;
    let header_bytes = if HEADERS { size(args.get(optional_end + 1..body_begin - 1)?)? } else { 0 };
    if body_bytes > dialect.limits.payload_bytes_max || header_bytes > body_bytes {
        return None;
    }
    let [b'\r', b'\n', behind @ ..] = args.get(end..)? else { return None };
    let framed = behind.get(..body_bytes + 2)?;
    let [.., b'\r', b'\n'] = framed else { return None };
    let message = Message { subject, reply, header_bytes, framed };
    Some((RoutedMessage { origin: None, account, message, queues }, VERB_BYTES + end + 2 + framed.len()))
}

/// Where the CR of a line of at most `max` bytes is, and where spaces are before it and how many. `None` if there is any other control
/// character, no CR before the last full eight bytes, or nothing before or between two spaces.
#[inline(always)]
fn line(args: &[u8], max: usize, spaces: &mut [u16; SPACES_MAX]) -> Option<(usize, usize)> {
    let max = max.min(LINE_BYTES_MAX);
    let (mut from, mut count, mut word) = (0, 0, 0);
    for eight in args.as_chunks::<8>().0 {
        let bytes = u64::from_le_bytes(*eight);
        let mut blanks = blanks(bytes);
        while blanks != 0 {
            let bit = blanks.trailing_zeros() & !7;
            let at = from + (bit / 8) as usize;
            if at == word || at > max {
                return None;
            }
            match (bytes >> bit) as u8 {
                b' ' => *spaces.get_mut(count)? = at as u16,
                b'\r' => return Some((at, count)),
                _ => return None,
            }
            count += 1;
            word = at + 1;
            blanks &= blanks.wrapping_sub(1);
        }
        from += 8;
        if from > max {
            return None;
        }
    }
    None
}
