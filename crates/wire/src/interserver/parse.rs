//! From bytes to operations. One call reads one operation, so that the caller decides after each whether to go on.

use super::dialect::{Dialect, Form, Verb};
use super::error::Problem;
use super::lines::{first_word, last_word, line, trim, verb, words};
use super::{Interest, Op, Origin, ParseError, Parsed, Queues, RoutedMessage};
use crate::message::Message;
use crate::scan::size;
use std::num::NonZeroU32;

/// Words of a line of interest: origin, account, filter, queue group, weight.
const INTEREST_WORDS_MAX: usize = 5;

/// Reads the operation at the front of `input`. Never looks further than that operation, so any split of the same bytes gives the
/// same operations. A caller for whom messages matter most asks [`super::usual_message`] first.
///
/// # Errors
/// See [`ParseError`]; the connection cannot go on after any of them.
#[inline(never)]
pub fn parse<'a>(input: &'a [u8], dialect: &Dialect) -> Result<Parsed<'a>, ParseError> {
    let Some((verb, verb_bytes)) = verb(input, dialect.verbs)? else {
        return Ok(Parsed::Partial { total: 0 });
    };
    let Some((args, next)) = line(input, verb_bytes, dialect.limits.control_line_bytes_max)? else {
        return Ok(Parsed::Partial { total: 0 });
    };
    let op = match verb {
        Verb::Message(form) => return message(input, args, next, form, dialect),
        Verb::Subscribe { name, origins } => subscribe(args, name, origins, dialect.accounts)?,
        Verb::Unsubscribe { name, by_leaf } => {
            let origins = if by_leaf { dialect.unsubscribe_origins } else { 0 };
            unsubscribe(args, name, origins, dialect.accounts)?
        }
        Verb::AccountSubscribe => Op::AccountSubscribe(account("A+", args)?),
        Verb::AccountUnsubscribe => Op::AccountUnsubscribe(account("A-", args)?),
        Verb::Ping => Op::Ping,
        Verb::Pong => Op::Pong,
        Verb::Connect => Op::Connect(args.trim_ascii()),
        Verb::Info => Op::Info(args.trim_ascii()),
        Verb::Ok => Op::Ok,
        Verb::Err => Op::Err(args.trim_ascii()),
    };
    Ok(Parsed::Op(op, next))
}

/// The words of a line of interest, and how many there are.
fn interest_words(args: &[u8]) -> Option<([&[u8]; INTEREST_WORDS_MAX], usize)> {
    let (mut out, mut count) = ([&[][..]; INTEREST_WORDS_MAX], 0);
    for word in words(args) {
        *out.get_mut(count)? = word;
        count += 1;
    }
    Some((out, count))
}

/// The interest that begins a line of `words`, without its queue group, and the words behind it. `None` if there are too few.
fn interest<'a, 'w>(
    words: &'w [&'a [u8]],
    origins: usize,
    accounts: usize,
) -> Option<(Interest<'a>, &'w [&'a [u8]])> {
    let at = |index: usize| words.get(index).copied();
    let origin = if origins > 0 { Some(Origin::from_word(at(0)?)) } else { None };
    let account = if accounts > 0 { Some(at(origins)?) } else { None };
    let filter = at(origins + accounts)?;
    Some((Interest { origin, account, filter, queue: None }, words.get(origins + accounts + 1..)?))
}

fn subscribe<'a>(
    args: &'a [u8],
    name: &'static str,
    origins: usize,
    accounts: usize,
) -> Result<Op<'a>, ParseError> {
    let refused = || ParseError::arguments(name, Problem::Count, args);
    let (words, count) = interest_words(args).ok_or_else(refused)?;
    let words = words.get(..count).unwrap_or_default();
    match interest(words, origins, accounts) {
        Some((interest, [])) => Ok(Op::Subscribe { interest, weight: NonZeroU32::MIN }),
        Some((interest, [queue, weight])) => {
            let weight = size(weight).and_then(|weight| NonZeroU32::new(u32::try_from(weight).ok()?));
            // As lenient as the official server: a weight is no reason to lose a cluster.
            let weight = weight.unwrap_or(NonZeroU32::MIN);
            Ok(Op::Subscribe { interest: Interest { queue: Some(queue), ..interest }, weight })
        }
        _ => Err(refused()),
    }
}

fn unsubscribe<'a>(
    args: &'a [u8],
    name: &'static str,
    origins: usize,
    accounts: usize,
) -> Result<Op<'a>, ParseError> {
    let refused = || ParseError::arguments(name, Problem::Count, args);
    let (words, count) = interest_words(args).ok_or_else(refused)?;
    match interest(words.get(..count).unwrap_or_default(), origins, accounts) {
        Some((interest, [])) => Ok(Op::Unsubscribe(interest)),
        Some((interest, [queue])) => Ok(Op::Unsubscribe(Interest { queue: Some(queue), ..interest })),
        _ => Err(refused()),
    }
}

/// The one argument of A+ and A-.
fn account<'a>(name: &'static str, args: &'a [u8]) -> Result<&'a [u8], ParseError> {
    match first_word(args) {
        Some((account, rest)) if trim(rest).is_empty() => Ok(account),
        _ => Err(ParseError::arguments(name, Problem::Count, args)),
    }
}

/// A message, whose line ended before `begin`.
fn message<'a>(
    input: &'a [u8],
    args: &'a [u8],
    begin: usize,
    form: Form,
    dialect: &Dialect,
) -> Result<Parsed<'a>, ParseError> {
    let line = MessageLine::read(args, form, dialect.accounts)
        .map_err(|problem| ParseError::arguments(form.name, problem, args))?;
    let max = dialect.limits.payload_bytes_max;
    if line.body_bytes > max {
        return Err(ParseError::Payload { size: line.body_bytes, max });
    }
    let total = begin + line.body_bytes + 2;
    let Some(framed) = input.get(begin..total) else {
        // The CR may already be there, or what should have been one.
        return match input.get(begin + line.body_bytes) {
            Some(b'\r') | None => Ok(Parsed::Partial { total }),
            Some(_) => Err(ParseError::unknown(input.get(begin + line.body_bytes..).unwrap_or_default())),
        };
    };
    if !framed.ends_with(b"\r\n") {
        return Err(ParseError::unknown(framed.get(line.body_bytes..).unwrap_or_default()));
    }
    Ok(Parsed::Op(Op::Message(line.with_body(framed)), total))
}

/// The line of a message in its parts.
struct MessageLine<'a> {
    origin: Option<&'a [u8]>,
    account: Option<&'a [u8]>,
    subject: &'a [u8],
    reply: Option<&'a [u8]>,
    queues: Queues<'a>,
    header_bytes: usize,
    body_bytes: usize,
}

impl<'a> MessageLine<'a> {
    fn read(args: &'a [u8], form: Form, accounts: usize) -> Result<Self, Problem> {
        let (mut rest, mut lead) = (args, [None; 2]);
        for slot in lead.iter_mut().zip([form.origins, accounts]).filter(|(_, there)| *there > 0) {
            let (word, behind) = first_word(rest).ok_or(Problem::Count)?;
            (*slot.0, rest) = (Some(word), behind);
        }
        let [origin, account] = lead;
        let (subject, rest) = first_word(rest).ok_or(Problem::Count)?;
        let (rest, body) = last_word(rest).ok_or(Problem::Count)?;
        let (rest, header) = if form.header_size {
            let (rest, header) = last_word(rest).ok_or(Problem::Count)?;
            (rest, Some(header))
        } else {
            (rest, None)
        };
        let (reply, queues) = reply_and_queues(rest)?;
        let header_bytes = header.map_or(Some(0), size).ok_or(Problem::HeaderSize)?;
        let body_bytes = size(body).ok_or(Problem::Size)?;
        if header_bytes > body_bytes {
            return Err(Problem::HeaderLargerThanBody);
        }
        Ok(Self { origin, account, subject, reply, queues, header_bytes, body_bytes })
    }

    fn with_body(self, framed: &'a [u8]) -> RoutedMessage<'a> {
        let Self { origin, account, subject, reply, queues, header_bytes, .. } = self;
        RoutedMessage { origin, account, message: Message { subject, reply, header_bytes, framed }, queues }
    }
}

/// What stands between the subject and the sizes: nothing, a reply, or a mark with a reply or none and the names of queue groups.
fn reply_and_queues(args: &[u8]) -> Result<(Option<&[u8]>, Queues<'_>), Problem> {
    let Some((first, rest)) = first_word(args) else { return Ok((None, Queues::NONE)) };
    match (first, first_word(rest)) {
        (reply, None) => Ok((Some(reply), Queues::NONE)),
        (b"+", Some((reply, queues))) => Ok((Some(reply), Queues(trim(queues)))),
        (b"|", Some(_)) => Ok((None, Queues(trim(rest)))),
        _ => Err(Problem::ReplyIndicator),
    }
}
