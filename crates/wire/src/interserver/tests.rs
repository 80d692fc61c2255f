//! What the parser makes of bytes, whole and cut at every place, and what the encoder makes of operations.

use super::naive::show;
use super::*;
use crate::message::Message;
use proptest::prelude::*;
use std::num::NonZeroU32;

const LIMITS: Limits = Limits { control_line_bytes_max: 64, payload_bytes_max: 100 };
const ROUTE: Dialect = Dialect::route(LIMITS, AccountNames::InLines, LeafOrigins::Unnamed);
const OLD_ROUTE: Dialect = Dialect::route(LIMITS, AccountNames::InLines, LeafOrigins::InSubscribe);
const DEDICATED: Dialect = Dialect::route(LIMITS, AccountNames::Dedicated, LeafOrigins::Unnamed);
const GATEWAY: Dialect = Dialect::gateway(LIMITS);
const LEAF: Dialect = Dialect::leaf(LIMITS);
/// All of them, and what the naive twin calls them.
const DIALECTS: [(Dialect, char); 5] =
    [(ROUTE, 'r'), (OLD_ROUTE, 'r'), (DEDICATED, 'r'), (GATEWAY, 'g'), (LEAF, 'l')];

/// The operation at the front; the short cut for messages gives the same or nothing.
#[track_caller]
fn first<'a>(input: &'a [u8], dialect: &Dialect) -> Result<Parsed<'a>, ParseError> {
    // It looks at eight bytes at a time, so what is behind a message decides whether it takes it.
    for input in [input, &[input, b"PING\r\nPING\r\n"].concat()] {
        if let Some((message, used)) = usual_message(input, dialect) {
            let parsed = parse(input, dialect);
            assert_eq!(parsed, Ok(Parsed::Op(Op::Message(message), used)), "{}", input.escape_ascii());
        }
    }
    parse(input, dialect)
}

/// Everything in `input`, fed up to each end in turn; a line for each operation and one for an error.
#[track_caller]
fn transcript(input: &[u8], dialect: &Dialect, ends: &[usize]) -> (Vec<String>, Option<ParseError>) {
    let (mut out, mut at) = (Vec::new(), 0);
    for &end in ends {
        loop {
            match first(&input[at..end], dialect) {
                Ok(Parsed::Op(op, used)) => {
                    assert!(used > 0);
                    out.push(show(&op));
                    at += used;
                }
                Ok(Parsed::Partial { total }) => {
                    assert!(total == 0 || total > end - at, "a whole operation was not taken");
                    break;
                }
                Err(problem) => {
                    out.push("error".to_owned());
                    return (out, Some(problem));
                }
            }
        }
    }
    (out, None)
}

/// The operations are these, however the bytes are cut, and to the naive twin too.
#[track_caller]
fn check(dialect: &Dialect, input: &[u8], expected: &[&str]) {
    let end = input.len();
    assert_eq!(transcript(input, dialect, &[end]).0, expected, "{}", input.escape_ascii());
    for cut in 0..=end {
        assert_eq!(
            transcript(input, dialect, &[cut, end]).0,
            expected,
            "cut at {cut}: {}",
            input.escape_ascii()
        );
    }
    for (each, kind) in DIALECTS.iter().filter(|(each, _)| each == dialect) {
        assert_eq!(naive::read(input, *kind, each), expected, "naive: {}", input.escape_ascii());
    }
}

/// Nothing but an error comes of it, and what the other server hears is this.
#[track_caller]
fn refused(dialect: &Dialect, input: &[u8], answer: Option<crate::ProtocolError>) {
    check(dialect, input, &["error"]);
    let (_, problem) = transcript(input, dialect, &[input.len()]);
    assert_eq!(problem.expect("an error").answer(), answer, "{}", input.escape_ascii());
}

const UNKNOWN: Option<crate::ProtocolError> = Some(crate::ProtocolError::UnknownOperation);

/// As two official servers of 2.15 wrote them.
#[test]
fn messages_of_a_route() {
    for (line, expected) in [
        ("RMSG A bar 2", r"- A bar - [] 0 hi\r\n"),
        ("RMSG A bar r.x 2", r"- A bar r.x [] 0 hi\r\n"),
        ("RMSG A bar | q1 q2 2", r#"- A bar - ["q1", "q2"] 0 hi\r\n"#),
        ("RMSG A bar + rep q1 q2 2", r#"- A bar rep ["q1", "q2"] 0 hi\r\n"#),
        ("HMSG A bar | q1 1 2", r#"- A bar - ["q1"] 1 hi\r\n"#),
        ("HMSG A bar rep 1 2", r"- A bar rep [] 1 hi\r\n"),
        ("LMSG leafs A bar 0 2", r"leafs A bar - [] 0 hi\r\n"),
        ("LMSG leafs A bar + rep q1 1 2", r#"leafs A bar rep ["q1"] 1 hi\r\n"#),
        ("RMSG A bar | 2", r"- A bar | [] 0 hi\r\n"),
        ("RMSG A bar + rep 2", r"- A bar rep [] 0 hi\r\n"),
        ("rmsg  A\tbar  +  rep  q1 2 ", r#"- A bar rep ["q1"] 0 hi\r\n"#),
    ] {
        check(&ROUTE, format!("{line}\r\nhi\r\n").as_bytes(), &[expected]);
        check(&ROUTE, format!("{line}\nhi\r\n").as_bytes(), &[expected]);
    }
}

#[test]
fn messages_where_no_account_is_named() {
    for (dialect, line, expected) in [
        (&DEDICATED, "RMSG bar 2", r"- - bar - [] 0 hi\r\n"),
        (&DEDICATED, "RMSG bar + rep q1 2", r#"- - bar rep ["q1"] 0 hi\r\n"#),
        (&DEDICATED, "HMSG bar | q1 1 2", r#"- - bar - ["q1"] 1 hi\r\n"#),
        (&DEDICATED, "LMSG leafs bar rep 0 2", r"leafs - bar rep [] 0 hi\r\n"),
        (&LEAF, "LMSG bar 2", r"- - bar - [] 0 hi\r\n"),
        (&LEAF, "LMSG bar rep 2", r"- - bar rep [] 0 hi\r\n"),
        (&LEAF, "HMSG bar + rep q1 q2 1 2", r#"- - bar rep ["q1", "q2"] 1 hi\r\n"#),
    ] {
        check(dialect, format!("{line}\r\nhi\r\n").as_bytes(), &[expected]);
    }
}

/// As two official servers of 2.15 wrote them.
#[test]
fn interest() {
    let shown = |op: &str, origin: &str, account: Option<&str>, queue: Option<&str>, weight: u32| {
        let word = |word: Option<&str>| format!("{:?}", word.map(str::as_bytes));
        let interest = format!(
            "Interest {{ origin: {origin}, account: {}, filter: {:?}, queue: {} }}",
            word(account),
            b"bar",
            word(queue)
        );
        match op {
            "+" => format!("Subscribe {{ interest: {interest}, weight: {weight} }}"),
            _ => format!("Unsubscribe({interest})"),
        }
    };
    let cluster = format!("Some(Cluster({:?}))", b"leafs");
    for (dialect, line, expected) in [
        (&ROUTE, "RS+ A bar", shown("+", "None", Some("A"), None, 1)),
        (&ROUTE, "RS+ A bar q1 2", shown("+", "None", Some("A"), Some("q1"), 2)),
        (&ROUTE, "RS- A bar", shown("-", "None", Some("A"), None, 1)),
        (&ROUTE, "RS- A bar q1", shown("-", "None", Some("A"), Some("q1"), 1)),
        (&ROUTE, "LS+ leafs A bar q1 2", shown("+", &cluster, Some("A"), Some("q1"), 2)),
        (&ROUTE, "LS- leafs A bar q1", shown("-", &cluster, Some("A"), Some("q1"), 1)),
        (&ROUTE, "LS+ _ A bar", shown("+", "Some(Unnamed)", Some("A"), None, 1)),
        (&OLD_ROUTE, "LS- A bar q1", shown("-", "None", Some("A"), Some("q1"), 1)),
        (&DEDICATED, "RS+ bar", shown("+", "None", None, None, 1)),
        (&DEDICATED, "LS+ leafs bar q1 2", shown("+", &cluster, None, Some("q1"), 2)),
        (&DEDICATED, "LS- leafs bar", shown("-", &cluster, None, None, 1)),
        (&GATEWAY, "RS+ A bar q1 2", shown("+", "None", Some("A"), Some("q1"), 2)),
        (&LEAF, "LS+ bar q1 2", shown("+", "None", None, Some("q1"), 2)),
        (&LEAF, "LS- bar q1", shown("-", "None", None, Some("q1"), 1)),
        (&ROUTE, "RS+ A bar q1 0", shown("+", "None", Some("A"), Some("q1"), 1)),
        (&ROUTE, "RS+ A bar q1 x", shown("+", "None", Some("A"), Some("q1"), 1)),
        (&ROUTE, "RS+ A bar q1 9999999999", shown("+", "None", Some("A"), Some("q1"), 1)),
    ] {
        check(dialect, format!("{line}\r\n").as_bytes(), &[&expected]);
    }
}

#[test]
fn what_all_dialects_have() {
    let input = b"PING\r\npong\r\n+OK\r\nINFO {\"a\":1} \r\nCONNECT {}\r\n-ERR 'Stale Connection'\r\n";
    let expected = [
        "Ping",
        "Pong",
        "Ok",
        &format!("Info({:?})", b"{\"a\":1}"),
        &format!("Connect({:?})", b"{}"),
        &format!("Err({:?})", b"'Stale Connection'"),
    ];
    for (dialect, _) in DIALECTS {
        check(&dialect, input, &expected);
    }
    let account = [&*format!("AccountSubscribe({:?})", b"A"), &*format!("AccountUnsubscribe({:?})", b"A")];
    check(&GATEWAY, b"A+ A\r\na-\tA\r\n", &account);
}

#[test]
fn what_is_no_verb_of_the_dialect_closes() {
    for input in [
        &b"FROB\r\n"[..],
        b"G",
        b"\r\n",
        b" PING\r\n",
        b"PUB a 0\r\n\r\n",
        b"SUB a 1\r\n",
        b"RS+\r\n",
        b"RS*",
        b"MSG",
    ] {
        for (dialect, _) in DIALECTS {
            refused(&dialect, input, UNKNOWN);
        }
    }
    refused(&GATEWAY, b"LMSG o A bar 0 0\r\n\r\n", UNKNOWN);
    refused(&GATEWAY, b"LS+ A bar\r\n", UNKNOWN);
    refused(&LEAF, b"RMSG A bar 0\r\n\r\n", UNKNOWN);
    refused(&LEAF, b"A+ A\r\n", UNKNOWN);
}

/// Sizes around the limits of 32 and 64 bits, and below zero; too few and too many arguments.
#[test]
fn bad_arguments_close_without_a_word() {
    for line in [
        "RMSG ",
        "RMSG A",
        "RMSG A bar",
        "RMSG A bar x",
        "RMSG A bar -1",
        "RMSG A bar +1",
        "RMSG A bar 0000000001",
        "RMSG A bar 2147483648",
        "RMSG A bar 4294967296",
        "RMSG A bar 99999999999999999999",
        "RMSG A bar x y 1",
        "RMSG A bar ++ y q 1",
        "RMSG A bar + y q x",
        "HMSG A bar 1",
        "HMSG A bar 2 1",
        "HMSG A bar -1 1",
        "HMSG A bar 2147483648 2147483648",
        "HMSG A bar x r 1 1",
        "LMSG o A bar 1",
        "LMSG o A bar r 2 1",
        "RS+ ",
        "RS+ A",
        "RS+ A bar q",
        "RS+ A bar q 1 2",
        "RS- A",
        "RS- A bar q 1",
        "LS+ o A",
        "LS+ o A bar q",
        "LS- o A",
        "LS- o A bar q 1",
        "A+ ",
        "A+ A B",
        "A- ",
        "A- A B",
    ] {
        refused(&ROUTE, format!("{line}\r\n").as_bytes(), None);
    }
    for line in ["RS+ ", "RS+ bar q", "RMSG bar", "LS+ o", "LS- o"] {
        refused(&DEDICATED, format!("{line}\r\n").as_bytes(), None);
    }
    for line in
        ["LMSG bar", "LMSG bar x y 1", "HMSG bar 1", "LS+ ", "LS+ bar q", "LS+ bar q 1 2", "LS- bar q 1"]
    {
        refused(&LEAF, format!("{line}\r\n").as_bytes(), None);
    }
}

#[test]
fn sizes_are_bounded_before_the_payload_comes() {
    let payload = Some(crate::ProtocolError::PayloadExceeded);
    refused(&ROUTE, b"RMSG A bar 101\r\n", payload);
    refused(&ROUTE, b"HMSG A bar 1 999999999\r\n", payload);
    let line = Some(crate::ProtocolError::ControlLineExceeded);
    for verb in ["RS+ ", "RMSG ", "INFO ", "CONNECT ", "-ERR ", "A+ ", "PING"] {
        refused(&ROUTE, format!("{verb}{}", "x".repeat(65)).as_bytes(), line);
        refused(&ROUTE, format!("{verb}{}\r\n", "x".repeat(65)).as_bytes(), line);
    }
}

#[test]
fn a_line_as_long_as_the_limit_may_come_in_any_pieces() {
    for line in ["PING", "INFO ", "RMSG A bar 0 ", "RS+ A bar "] {
        let blanks = " ".repeat(64 - (line.len() - line.find(' ').map_or(4, |blank| blank + 1)));
        let body = if line.starts_with("RMSG") { "\r\n" } else { "" };
        let input = format!("{line}{blanks}\r\n{body}");
        let (ops, _) = transcript(input.as_bytes(), &ROUTE, &[input.len()]);
        assert_eq!(ops.len(), 1, "{ops:?}");
        check(&ROUTE, input.as_bytes(), &[&ops[0]]);
        assert_ne!(ops[0], "error");
        refused(
            &ROUTE,
            format!("{line} {blanks}\r\n").as_bytes(),
            Some(crate::ProtocolError::ControlLineExceeded),
        );
    }
}

#[test]
fn a_payload_ends_with_crlf_or_the_connection_does() {
    refused(&ROUTE, b"RMSG A bar 2\r\nhixx\r\n", UNKNOWN);
    refused(&ROUTE, b"RMSG A bar 2\r\nhi\nPING\r\n", UNKNOWN);
    refused(&ROUTE, b"RMSG A bar 2\r\nhi\rx", UNKNOWN);
}

/// As servers write them, so that the short cut is what is measured and tested.
#[test]
fn usual_messages_take_the_short_cut() {
    for (dialect, message) in [
        (&ROUTE, &b"RMSG A bar 2\r\nhi\r\n"[..]),
        (&ROUTE, b"RMSG A bar rep 2\r\nhi\r\n"),
        (&ROUTE, b"RMSG A bar + rep q1 q2 2\r\nhi\r\n"),
        (&ROUTE, b"RMSG A bar + rep 2\r\nhi\r\n"),
        (&ROUTE, b"RMSG A bar | 1 2 3 4 5 6 7 8 9 0 1 2\r\nhi\r\n"),
        (&ROUTE, b"HMSG A bar | q1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        (&ROUTE, b"HMSG A bar rep 12 12\r\nNATS/1.0\r\n\r\n\r\n"),
        (&DEDICATED, b"RMSG bar 2\r\nhi\r\n"),
        (&DEDICATED, b"HMSG bar + r q 12 14\r\nNATS/1.0\r\n\r\nhi\r\n"),
        (&LEAF, b"LMSG bar 2\r\nhi\r\n"),
        (&LEAF, b"LMSG bar + rep q1 2\r\nhi\r\n"),
    ] {
        assert!(usual_message(message, dialect).is_some(), "{}", message.escape_ascii());
        let (ops, _) = transcript(message, dialect, &[message.len()]);
        check(dialect, message, &[&ops[0]]);
    }
    for other in [
        &b"rmsg A bar 2\r\nhi\r\n"[..],
        b"RMSG A  bar 2\r\nhi\r\n",
        b"RMSG  A bar 2\r\nhi\r\n",
        b"RMSG A bar 2 \r\nhi\r\n",
        b"RMSG A\tbar 2\r\nhi\r\n",
        b"RMSG A bar 2\nhi\r\n",
        b"RMSG A bar 2\r\nhiii",
        b"RMSG A bar x q 2\r\nhi\r\n",
        b"RMSG A bar 101\r\nhi\r\n",
        b"RMSG A 2\r\nhi\r\n",
        b"HMSG A bar 3 2\r\nhi\r\n",
        b"LMSG o A bar 0 2\r\nhi\r\n",
    ] {
        let other = [other, b"PING\r\nPING\r\n"].concat();
        assert_eq!(usual_message(&other, &ROUTE), None, "{}", other.escape_ascii());
    }
}

#[test]
fn what_the_log_shows_of_errors() {
    let text = |input: &[u8]| parse(input, &ROUTE).expect_err("refused").to_string();
    assert_eq!(text(b"RMSG A bar x\r\n"), r#"RMSG: bad or missing size: "A bar x""#);
    assert_eq!(text(b"FR\nOB"), r"unknown protocol operation 'FR\nOB...'");
}

/// Pieces of protocol, right and wrong, so that random inputs get past the first verb.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(
        "PING\r\n|RMSG |HMSG |LMSG |RS+ |RS- |LS+ |LS- |A+ |A- |INFO {}\r\n|A |bar |+ |_ |rep |q1 |0 |1 |2 |3|\r\n|\n|\r\nhi\r\n|\r\n\r\n| |\t"
            .split('|')
            .chain(["| "])
            .collect::<Vec<_>>(),
    );
    let piece = prop_oneof![
        12 => words.prop_map(|word| word.as_bytes().to_vec()),
        4 => prop::sample::select(vec![
            "RMSG A bar 2\r\nhi\r\n", "RMSG bar | q 2\r\nhi\r\n", "HMSG A bar + rep q 1 2\r\nhi\r\n", "LMSG bar 2\r\nhi\r\n",
            "LMSG o A bar 1 2\r\nhi\r\n", "RS+ A bar\r\n", "RS+ A bar q 2\r\n", "LS+ o A bar\r\n", "LS- A bar q\r\n",
        ]).prop_map(|line| line.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    "[!-~]{1,12}".prop_map(String::into_bytes)
}

/// A message's parts: origin, account, subject, reply, queue groups, header bytes and body.
type Parts = (Option<Vec<u8>>, Vec<u8>, Vec<u8>, Option<Vec<u8>>, Vec<Vec<u8>>, usize, Vec<u8>);

fn parts() -> impl Strategy<Value = Parts> {
    let body = prop::collection::vec(any::<u8>(), 0..100);
    let queues = prop::collection::vec(word(), 0..14);
    (prop::option::of(word()), word(), word(), prop::option::of(word()), queues, 0usize..100, body)
}

/// The only operation of these bytes.
#[track_caller]
fn only<'a>(bytes: &'a [u8], dialect: &Dialect) -> Op<'a> {
    match first(bytes, dialect) {
        Ok(Parsed::Op(op, used)) if used == bytes.len() => op,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

proptest! {
    #[test]
    fn any_split_gives_what_the_naive_twin_gives(input in pieces(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(input.len() + 1);
        for (dialect, kind) in DIALECTS {
            let expected = naive::read(&input, kind, &dialect);
            prop_assert_eq!(&transcript(&input, &dialect, &[input.len()]).0, &expected);
            prop_assert_eq!(&transcript(&input, &dialect, &[cut, input.len()]).0, &expected);
        }
    }

    #[test]
    fn messages_come_back_as_they_were_sent(parts in parts()) {
        let (origin, account, subject, reply, queues, header_bytes, body) = parts;
        let limits = Limits { control_line_bytes_max: 400, payload_bytes_max: 100 };
        let framed = [&body[..], b"\r\n"].concat();
        let message = Message {
            subject: &subject, reply: reply.as_deref(), header_bytes: header_bytes.min(body.len()), framed: &framed,
        };
        let names = queues.join(&b' ');
        let all = RoutedMessage {
            origin: origin.as_deref(), account: Some(&account), message, queues: Queues(&names),
        };
        for accounts in [AccountNames::InLines, AccountNames::Dedicated] {
            let account = all.account.filter(|_| accounts == AccountNames::InLines);
            let sent = RoutedMessage { account, ..all };
            let mut out = Vec::new();
            encode::message(&mut out, &sent, encode::PLAIN_ROUTE);
            prop_assert_eq!(only(&out, &Dialect::route(limits, accounts, LeafOrigins::Unnamed)), Op::Message(sent));
        }
        let (mut out, sent) = (Vec::new(), RoutedMessage { origin: None, account: None, ..all });
        encode::message(&mut out, &sent, encode::PLAIN_LEAF);
        prop_assert_eq!(only(&out, &Dialect::leaf(limits)), Op::Message(sent));
        let (mut out, sent) = (Vec::new(), RoutedMessage { origin: None, ..all });
        encode::message(&mut out, &sent, encode::PLAIN_ROUTE);
        prop_assert_eq!(only(&out, &Dialect::gateway(limits)), Op::Message(sent));
    }

    #[test]
    fn interest_comes_back_as_it_was_sent(
        origin in prop::option::of(word()), account in word(), filter in word(), queue in prop::option::of(word()), weight in 1u32..1_000_000_000,
    ) {
        let origin = origin.as_deref().map(Origin::from_word);
        let weight = if queue.is_some() { NonZeroU32::new(weight).expect("not 0") } else { NonZeroU32::MIN };
        let all = Interest { origin, account: Some(&account), filter: &filter, queue: queue.as_deref() };
        for (accounts, known) in [
            (AccountNames::InLines, LeafOrigins::Unnamed), (AccountNames::InLines, LeafOrigins::InBoth),
            (AccountNames::InLines, LeafOrigins::InSubscribe), (AccountNames::InLines, LeafOrigins::Unknown),
            (AccountNames::Dedicated, LeafOrigins::Unnamed), (AccountNames::Dedicated, LeafOrigins::InSubscribe),
        ] {
            let dialect = Dialect::route(Limits { control_line_bytes_max: 100, ..LIMITS }, accounts, known);
            let account = all.account.filter(|_| accounts == AccountNames::InLines);
            let known_from = |origin: &Origin<'_>| match origin {
                Origin::Cluster(_) => LeafOrigins::InSubscribe,
                Origin::Unnamed => LeafOrigins::Unnamed,
            };
            let origin = all.origin.filter(|origin| known >= known_from(origin));
            let sent = Interest { account, ..all };
            let mut out = Vec::new();
            encode::route_subscribe(&mut out, &sent, weight, known);
            prop_assert_eq!(only(&out, &dialect), Op::Subscribe { interest: Interest { origin, ..sent }, weight });
            let mut out = Vec::new();
            encode::route_unsubscribe(&mut out, &sent, known);
            let origin = origin.filter(|_| known >= LeafOrigins::InBoth);
            prop_assert_eq!(only(&out, &dialect), Op::Unsubscribe(Interest { origin, ..sent }));
        }
        let dialect = Dialect::leaf(Limits { control_line_bytes_max: 100, ..LIMITS });
        let sent = Interest { origin: None, account: None, ..all };
        let mut out = Vec::new();
        encode::leaf_subscribe(&mut out, &sent, weight);
        prop_assert_eq!(only(&out, &dialect), Op::Subscribe { interest: sent, weight });
        out.clear();
        encode::leaf_unsubscribe(&mut out, &sent);
        prop_assert_eq!(only(&out, &dialect), Op::Unsubscribe(sent));
        out.clear();
        encode::account_subscribe(&mut out, &account);
        prop_assert_eq!(only(&out, &GATEWAY), Op::AccountSubscribe(&account));
        out.clear();
        encode::account_unsubscribe(&mut out, &account);
        prop_assert_eq!(only(&out, &GATEWAY), Op::AccountUnsubscribe(&account));
    }

    /// Whatever comes and however it is cut: what is kept is bounded, each byte is looked at a constant number of times, and the
    /// operations are those of the whole.
    #[test]
    fn little_is_kept_and_looked_at(input in pieces(), line in 0usize..200, piece in 1usize..40) {
        // Half of them end as they end, the others with a long line.
        let stream = if line < 100 { input } else { [&input, &b"INFO "[..], &vec![b'x'; line - 100]].concat() };
        let (mut kept, mut unfinished, mut out, mut looks) = (Vec::new(), Unfinished::Unknown, Vec::new(), 0);
        'stream: for piece in stream.chunks(piece) {
            looks += piece.len();
            kept.extend_from_slice(piece);
            if unfinished.awaits(&kept, &ROUTE) {
                continue;
            }
            unfinished = Unfinished::Unknown;
            loop {
                match first(&kept, &ROUTE) {
                    Ok(Parsed::Op(op, used)) => {
                        looks += 2 * used;
                        out.push(show(&op));
                        kept.drain(..used);
                    }
                    Ok(Parsed::Partial { total }) => {
                        looks += 2 * kept.len();
                        unfinished.note(&kept, total);
                        break;
                    }
                    Err(_) => {
                        out.push("error".to_owned());
                        break 'stream;
                    }
                }
            }
            // A control line with its verb, a payload, and CRLF behind each.
            prop_assert!(kept.len() <= 8 + 64 + 100 + 4, "{} bytes kept", kept.len());
        }
        prop_assert!(looks <= 8 * (stream.len() + 200), "{} looks at {} bytes", looks, stream.len());
        prop_assert_eq!(out, transcript(&stream, &ROUTE, &[stream.len()]).0);
    }
}
