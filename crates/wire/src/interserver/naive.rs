//! The twin of the parser that is easy to believe: takes whole lines as text, and all operations of an input at once.

use super::dialect::Dialect;
use super::*;
use crate::message::Message;
use std::num::NonZeroU32;

/// The operations at the front of `input`, as [`show`] shows them, and "error" if what follows is none.
pub(super) fn read(mut input: &[u8], kind: char, dialect: &Dialect) -> Vec<String> {
    let mut ops = Vec::new();
    loop {
        match one(input, kind, dialect) {
            Ok(Some((op, rest))) => {
                ops.push(op);
                input = rest;
            }
            Ok(None) => return ops,
            Err(()) => {
                ops.push("error".to_owned());
                return ops;
            }
        }
    }
}

/// An operation in text.
pub(super) fn show(op: &Op<'_>) -> String {
    match op {
        Op::Message(RoutedMessage { origin, account, message, queues }) => {
            show_message(*origin, *account, message, &queues.iter().collect::<Vec<_>>())
        }
        op => format!("{op:?}"),
    }
}

fn show_message(
    origin: Option<&[u8]>,
    account: Option<&[u8]>,
    message: &Message<'_>,
    queues: &[&[u8]],
) -> String {
    let text = |word: &[u8]| word.escape_ascii().to_string();
    let word = |word: Option<&[u8]>| word.map_or("-".to_owned(), text);
    let queues: Vec<_> = queues.iter().map(|queue| text(queue)).collect();
    format!(
        "{} {} {} {} {:?} {} {}",
        word(origin),
        word(account),
        text(message.subject),
        word(message.reply),
        queues,
        message.header_bytes,
        text(message.framed),
    )
}

/// One operation and what follows it.
type One<'a> = Result<Option<(String, &'a [u8])>, ()>;

fn one<'a>(input: &'a [u8], kind: char, dialect: &Dialect) -> One<'a> {
    let verbs = match kind {
        'r' => "RMSG |HMSG |LMSG |RS+ |RS- |LS+ |LS- |A+ |A- |PING|PONG|CONNECT|INFO|+OK|-ERR ",
        'g' => "RMSG |HMSG |RS+ |RS- |A+ |A- |PING|PONG|CONNECT|INFO|+OK|-ERR ",
        _ => "LMSG |HMSG |LS+ |LS- |PING|PONG|CONNECT|INFO|+OK|-ERR ",
    };
    let shown: Vec<u8> =
        input.to_ascii_uppercase().iter().map(|&b| if b == b'\t' { b' ' } else { b }).collect();
    let Some(verb) = verbs.split('|').find(|verb| shown.starts_with(verb.as_bytes())) else {
        return if verbs.split('|').any(|verb| verb.as_bytes().starts_with(&shown)) {
            Ok(None)
        } else {
            Err(())
        };
    };
    let blank = usize::from(["CONNECT", "INFO"].contains(&verb) && shown.get(verb.len()) == Some(&b' '));
    let rest = &input[verb.len() + blank..];
    let line = rest.split(|&b| b == b'\n').next().unwrap_or_default();
    let args = line.strip_suffix(b"\r").unwrap_or(line);
    if args.len() > dialect.limits.control_line_bytes_max {
        return Err(());
    }
    if line.len() == rest.len() {
        return Ok(None);
    }
    let rest = &rest[line.len() + 1..];
    let words: Vec<&[u8]> = args.split(|b| b" \t\r".contains(b)).filter(|word| !word.is_empty()).collect();
    let op = match (verb, &words[..]) {
        ("RMSG ", _) => return message(&words, rest, 0, false, dialect),
        ("HMSG ", _) => return message(&words, rest, 0, true, dialect),
        ("LMSG ", _) => return message(&words, rest, usize::from(kind == 'r'), kind == 'r', dialect),
        ("RS+ ", _) => interest(&words, 0, true, dialect)?,
        ("RS- ", _) => interest(&words, 0, false, dialect)?,
        ("LS+ ", _) => interest(&words, usize::from(kind == 'r'), true, dialect)?,
        ("LS- ", _) => interest(&words, dialect.unsubscribe_origins, false, dialect)?,
        ("A+ ", [account]) => Op::AccountSubscribe(account),
        ("A- ", [account]) => Op::AccountUnsubscribe(account),
        ("A+ " | "A- ", _) => return Err(()),
        ("PING", _) => Op::Ping,
        ("PONG", _) => Op::Pong,
        ("+OK", _) => Op::Ok,
        ("CONNECT", _) => Op::Connect(args.trim_ascii()),
        ("INFO", _) => Op::Info(args.trim_ascii()),
        _ => Op::Err(args.trim_ascii()),
    };
    Ok(Some((show(&op), rest)))
}

fn interest<'a>(words: &[&'a [u8]], origins: usize, weighs: bool, dialect: &Dialect) -> Result<Op<'a>, ()> {
    let lead = origins + dialect.accounts;
    let origin = match words.first().copied() {
        Some(b"_") if origins > 0 => Some(Origin::Unnamed),
        Some(name) if origins > 0 => Some(Origin::Cluster(name)),
        _ => None,
    };
    let account = (dialect.accounts > 0).then(|| words.get(origins).copied()).flatten();
    let queue = words.get(lead + 1).copied();
    let filter = *words.get(lead).ok_or(())?;
    let interest = Interest { origin, account, filter, queue };
    match (weighs, words.len() - lead) {
        (true, 1) => Ok(Op::Subscribe { interest, weight: NonZeroU32::MIN }),
        (true, 3) => {
            let weight = number(words[lead + 2]).and_then(|n| NonZeroU32::new(n as u32));
            Ok(Op::Subscribe { interest, weight: weight.unwrap_or(NonZeroU32::MIN) })
        }
        (false, 1 | 2) => Ok(Op::Unsubscribe(interest)),
        _ => Err(()),
    }
}

fn number(word: &[u8]) -> Option<usize> {
    let digits = word.len() <= 9 && word.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(word).ok()?.parse().ok() } else { None }
}

fn message<'a>(
    words: &[&'a [u8]],
    rest: &'a [u8],
    origins: usize,
    sized: bool,
    dialect: &Dialect,
) -> One<'a> {
    let (lead, sizes) = (origins + dialect.accounts + 1, 1 + usize::from(sized));
    if words.len() < lead + sizes {
        return Err(());
    }
    let (optional, sizes) = words[lead..].split_at(words.len() - lead - sizes);
    let (reply, queues) = match optional {
        [] => (None, &[][..]),
        [reply] => (Some(*reply), &[][..]),
        [b"+", reply, queues @ ..] => (Some(*reply), queues),
        [b"|", queues @ ..] => (None, queues),
        _ => return Err(()),
    };
    let header_bytes = if sized { number(sizes[0]).ok_or(())? } else { 0 };
    let body_bytes = number(sizes[sizes.len() - 1]).ok_or(())?;
    if header_bytes > body_bytes || body_bytes > dialect.limits.payload_bytes_max {
        return Err(());
    }
    let end = rest.get(body_bytes..).unwrap_or_default();
    if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
        return Err(());
    }
    if end.len() < 2 {
        return Ok(None);
    }
    let (framed, rest) = rest.split_at(body_bytes + 2);
    let message = Message { subject: words[lead - 1], reply, header_bytes, framed };
    let (origin, account) = match (origins, dialect.accounts) {
        (0, 0) => (None, None),
        (0, _) => (None, Some(words[0])),
        (_, 0) => (Some(words[0]), None),
        (..) => (Some(words[0]), Some(words[1])),
    };
    Ok(Some((show_message(origin, account, &message, queues), rest)))
}
