//! What is sent to other servers. Everything is appended to a `Vec`, so a caller batches as it likes.
//!
//! A message is a letter (the verb's first, [`PLAIN_ROUTE`], [`PLAIN_LEAF`], [`WITH_HEADERS`], [`WITH_ORIGIN`]), a head that depends on
//! account and subject only ([`message_head`]), a middle with the reply, the queue groups and the sizes ([`message_middle`]), and the
//! framed body, which is copied as it came.

use super::{Interest, LeafOrigins, Origin, RoutedMessage};
use crate::middle::Middle;
use std::num::NonZeroU32;

pub use crate::client::encode::{OK, PING, PONG, error};

/// First letter of RMSG.
pub const PLAIN_ROUTE: u8 = b'R';
/// First letter of LMSG to and from leaf nodes.
pub const PLAIN_LEAF: u8 = b'L';
/// First letter of HMSG.
pub const WITH_HEADERS: u8 = b'H';
/// First letter of LMSG on a route: an origin is named first, and there is a header size, even if it is 0.
pub const WITH_ORIGIN: u8 = b'L';

/// What stands behind the letter, `MSG [origin ][account ]subject `, in parts.
pub fn message_head<'a>(
    origin: Option<&'a [u8]>,
    account: Option<&'a [u8]>,
    subject: &'a [u8],
) -> [&'a [u8]; 7] {
    let gap = |word: Option<&[u8]>| if word.is_some() { &b" "[..] } else { b"" };
    [
        b"MSG ",
        origin.unwrap_or_default(),
        gap(origin),
        account.unwrap_or_default(),
        gap(account),
        subject,
        b" ",
    ]
}

/// Appends the middle of a message for these queue groups.
#[inline]
pub fn message_middle<'q>(middle: &Middle<'_>, queues: impl Iterator<Item = &'q [u8]>, out: &mut Vec<u8>) {
    let mut queues = queues.peekable();
    if queues.peek().is_none() {
        return middle.append(out);
    }
    match middle.reply() {
        Some(reply) => [b"+ ", reply, b" "].iter().for_each(|part| out.extend_from_slice(part)),
        None => out.extend_from_slice(b"| "),
    }
    for queue in queues {
        out.extend_from_slice(queue);
        out.push(b' ');
    }
    middle.append_sizes(out);
}

/// Appends a whole message, for what is sent so seldom that nothing of it is kept. `plain` is the first letter if it has no headers.
pub fn message(out: &mut Vec<u8>, routed: &RoutedMessage<'_>, plain: u8) {
    let RoutedMessage { origin, account, message, queues } = routed;
    let has_header_size = origin.is_some() || message.has_headers();
    out.push(match (origin, message.has_headers()) {
        (Some(_), _) => WITH_ORIGIN,
        (None, true) => WITH_HEADERS,
        (None, false) => plain,
    });
    message_head(*origin, *account, message.subject).iter().for_each(|part| out.extend_from_slice(part));
    let header_bytes = has_header_size.then_some(message.header_bytes);
    message_middle(&Middle::new(message.reply, header_bytes, message.body_bytes()), queues.iter(), out);
    out.extend_from_slice(message.framed);
}

/// Appends RS+, or LS+ if it is interest of a leaf node and the other server knows of such.
pub fn route_subscribe(out: &mut Vec<u8>, interest: &Interest<'_>, weight: NonZeroU32, known: LeafOrigins) {
    match known_origin(interest, known) {
        Some(origin) => subscribe(out, b"LS+", Some(origin), interest, weight),
        None => subscribe(out, b"RS+", None, interest, weight),
    }
}

/// Appends RS-, or LS- if it was interest of a leaf node and the other server knows of such.
pub fn route_unsubscribe(out: &mut Vec<u8>, interest: &Interest<'_>, known: LeafOrigins) {
    match known_origin(interest, known) {
        Some(origin) if known >= LeafOrigins::InBoth => unsubscribe(out, b"LS-", Some(origin), interest),
        Some(_) => unsubscribe(out, b"LS-", None, interest),
        None => unsubscribe(out, b"RS-", None, interest),
    }
}

/// Appends LS+ for the other end of a leaf node connection.
pub fn leaf_subscribe(out: &mut Vec<u8>, interest: &Interest<'_>, weight: NonZeroU32) {
    subscribe(out, b"LS+", None, interest, weight);
}

/// Appends LS- for the other end of a leaf node connection.
pub fn leaf_unsubscribe(out: &mut Vec<u8>, interest: &Interest<'_>) {
    unsubscribe(out, b"LS-", None, interest);
}

/// Appends A+: this gateway has interest in an account again.
pub fn account_subscribe(out: &mut Vec<u8>, account: &[u8]) {
    [b"A+ ", account, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
}

/// Appends A-: this gateway has no interest in an account.
pub fn account_unsubscribe(out: &mut Vec<u8>, account: &[u8]) {
    [b"A- ", account, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
}

/// The origin by which interest goes to a server, if that knows what it means.
fn known_origin<'a>(interest: &Interest<'a>, known: LeafOrigins) -> Option<Origin<'a>> {
    interest.origin.filter(|origin| known.knows(*origin))
}

fn subscribe(
    out: &mut Vec<u8>,
    verb: &[u8],
    origin: Option<Origin<'_>>,
    interest: &Interest<'_>,
    weight: NonZeroU32,
) {
    words(out, verb, origin, interest);
    if interest.queue.is_some() {
        out.push(b' ');
        crate::middle::decimal(out, weight.get() as usize);
    }
    out.extend_from_slice(b"\r\n");
}

fn unsubscribe(out: &mut Vec<u8>, verb: &[u8], origin: Option<Origin<'_>>, interest: &Interest<'_>) {
    words(out, verb, origin, interest);
    out.extend_from_slice(b"\r\n");
}

fn words(out: &mut Vec<u8>, verb: &[u8], origin: Option<Origin<'_>>, interest: &Interest<'_>) {
    let Interest { account, filter, queue, .. } = *interest;
    out.extend_from_slice(verb);
    for word in [origin.map(Origin::name), account, Some(filter), queue].into_iter().flatten() {
        out.push(b' ');
        out.extend_from_slice(word);
    }
}
