//! What the parser makes of bytes, whole and cut at every place. The expectations were asked of the official server.

use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits { control_line_bytes_max: 64, payload_bytes_max: 100, headers: true };

/// The operation at the front; the short cut for messages gives the same or nothing.
#[track_caller]
fn first(input: &[u8]) -> Result<Parsed<'_>, ParseError> {
    // It looks at eight bytes at a time, so what is behind a message decides whether it takes it.
    for input in [input, &[input, b"PING\r\nPING\r\n"].concat()] {
        if let Some((message, used)) = usual_publish(input, &LIMITS) {
            let parsed = parse(input, &LIMITS);
            assert_eq!(parsed, Ok(Parsed::Op(Op::Publish(message), used)), "{}", input.escape_ascii());
        }
    }
    parse(input, &LIMITS)
}

/// Everything in `input`, one line an operation, ending with how it ended.
fn transcript(input: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match first(&input[at..]) {
            Ok(Parsed::Op(op, used)) => {
                assert!(used > 0);
                out.push(format!("{op:?}"));
                at += used;
            }
            Ok(Parsed::Partial { .. }) => return out,
            Err(e) => {
                out.push(format!("{:?}", e.answer()));
                return out;
            }
        }
    }
}

/// The same, fed in two pieces: the first is parsed as far as it goes, the rest comes behind it.
fn in_pieces(input: &[u8], cut: usize) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    for end in [cut, input.len()] {
        loop {
            match first(&input[at..end]) {
                Ok(Parsed::Op(op, used)) => {
                    out.push(format!("{op:?}"));
                    at += used;
                }
                Ok(Parsed::Partial { total }) => {
                    assert!(total == 0 || total > end - at, "a whole operation was not taken");
                    break;
                }
                Err(e) => {
                    out.push(format!("{:?}", e.answer()));
                    return out;
                }
            }
        }
    }
    out
}

#[track_caller]
fn check(input: &[u8], expected: &[&str]) {
    assert_eq!(transcript(input), expected, "{}", input.escape_ascii());
    for cut in 0..=input.len() {
        assert_eq!(in_pieces(input, cut), expected, "cut at {cut}: {}", input.escape_ascii());
    }
}

const UNKNOWN: &str = "Some(UnknownOperation)";

#[test]
fn verbs_come_in_any_case_with_blanks_or_tabs() {
    check(b"PING\r\nping\nPoNg x\r\n+ok\r\nPINGX\r\n", &["Ping", "Ping", "Pong", "Ok", "Ping"]);
    let sub =
        |sid: &str| format!("Subscribe {{ filter: {:?}, queue: None, sid: {:?} }}", b"a", sid.as_bytes());
    check(b"SUB\ta\t1\r\nsub  a   2 \r\n", &[&sub("1"), &sub("2")]);
}

#[test]
fn what_is_no_verb_closes() {
    for input in [
        &b"FROB\r\n"[..],
        b"G",
        b"\r\n",
        b" PING\r\n",
        b"PUB\r\n",
        b"MSG a 1 0\r\n",
        b"RS+ a\r\n",
        b"UNSUB\r\n",
    ] {
        check(input, &[UNKNOWN]);
    }
}

/// CVE-2019-13126: sizes around the limits of 32 and 64 bits, and below zero.
#[test]
fn bad_arguments_close_without_a_word() {
    for input in [
        &b"PUB foo\r\n"[..],
        b"PUB \r\n",
        b"PUB foo abc\r\n",
        b"PUB foo -1\r\n",
        b"PUB foo +1\r\n",
        b"PUB foo 0000000001\r\n",
        b"PUB foo 99999999999999999999\r\n",
        b"PUB foo 2147483647\r\n",
        b"PUB foo 2147483648\r\n",
        b"PUB foo 4294967296\r\n",
        b"PUB foo 9223372036854775808\r\n",
        b"HPUB foo 2147483648 2147483648\r\n",
        b"PUB a b c 3\r\n",
        b"SUB foo\r\n",
        b"SUB a b c d\r\n",
        b"UNSUB 1 2 3\r\n",
        b"UNSUB \r\n",
        b"HPUB foo 12\r\n",
        b"HPUB foo 12 5\r\n",
        b"HPUB foo -1 5\r\n",
    ] {
        check(input, &["None"]);
    }
}

#[test]
fn the_info_of_a_client_is_an_object_or_closes() {
    check(b"INFO {}\r\ninfo {\"port\":[1],\"\\u0061\":{}}\r\n", &["Info", "Info"]);
    for input in [b"INFO\r\n".as_slice(), b"INFO x\r\n", b"INFO []\r\n", b"INFO {} {}\r\n"] {
        check(input, &["None"]);
    }
}

#[test]
fn sizes_are_bounded_before_the_payload_comes() {
    check(b"PUB foo 101\r\n", &["Some(PayloadExceeded)"]);
    check(&[b"SUB ".as_slice(), &[b'x'; 65]].concat(), &["Some(ControlLineExceeded)"]);
    check(&[b"PUB ".as_slice(), &[b'x'; 70], b" 0\r\n\r\n"].concat(), &["Some(ControlLineExceeded)"]);
}

/// Found by the fuzz target `client`: cut between its CR and its newline it was refused.
#[test]
fn a_line_as_long_as_the_limit_may_come_in_any_pieces() {
    let subject = [b'x'; 62];
    let sub = format!("Subscribe {{ filter: {subject:?}, queue: None, sid: {:?} }}", b"1");
    check(&[b"SUB ".as_slice(), &subject, b" 1\r\n"].concat(), &[&sub]);
    // The blank behind the verb counts for no operation.
    let connect = [b"CONNECT {".as_slice(), &[b'x'; 62], b"}\r\n"].concat();
    check(&connect, &[&format!("Connect({:?})", &connect[8..72])]);
    let connect = [b"CONNECT {".as_slice(), &[b'x'; 63], b"}\r\n"].concat();
    check(&connect, &["Some(ControlLineExceeded)"]);
    let publish = [b"PUB ".as_slice(), &subject, b" 0\r\n\r\n"].concat();
    assert_eq!(transcript(&publish).len(), 1);
    check(&publish, &[&transcript(&publish)[0]]);
    check(&[b"SUB ".as_slice(), &subject, b"x 1\r\n"].concat(), &["Some(ControlLineExceeded)"]);
    check(&[b"PUB ".as_slice(), &subject, b"x 0\r\n\r\n"].concat(), &["Some(ControlLineExceeded)"]);
}

#[test]
fn a_payload_ends_with_crlf_or_the_connection_does() {
    check(b"PUB foo 2\r\nhixx\r\n", &[UNKNOWN]);
    check(b"PUB foo 2\r\nhi\nPING\r\n", &[UNKNOWN]);
}

#[test]
fn unsubscribe_after_nothing_means_at_once() {
    for max in ["0", "-1", "x"] {
        check(format!("UNSUB 1 {max}\r\n").as_bytes(), &["Unsubscribe { sid: [49], max: None }"]);
    }
    check(b"UNSUB 1 5\r\n", &["Unsubscribe { sid: [49], max: Some(5) }"]);
}

#[test]
fn a_message_has_its_parts() {
    let input = b"HPUB a r 12 15\r\nNATS/1.0\r\n\r\nabc\r\n";
    let Ok(Parsed::Op(Op::Publish(message), used)) = parse(input, &LIMITS) else { panic!("a message") };
    assert_eq!(used, input.len());
    assert_eq!((message.subject, message.reply), (&b"a"[..], Some(&b"r"[..])));
    assert_eq!(message.headers(), b"NATS/1.0\r\n\r\n");
    assert_eq!(message.payload(), b"abc");
    assert_eq!(message.framed, b"NATS/1.0\r\n\r\nabc\r\n");
}

/// Pieces of protocol, right and wrong, so that random inputs get past the first verb.
/// As client libraries write them, so that the short cut is what is measured and tested.
#[test]
fn usual_messages_take_the_short_cut() {
    for message in [
        &b"PUB a 5\r\nhello\r\n"[..],
        b"PUB a 0\r\n\r\nPING\r\n",
        b"PUB orders.eu.1 _INBOX.abc.1 5\r\nhello\r\n",
        b"HPUB a 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
        b"HPUB a reply 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    ] {
        assert!(usual_publish(message, &LIMITS).is_some(), "{}", message.escape_ascii());
        let [op, ..] = &transcript(message)[..] else { panic!("no operation") };
        assert!(op.starts_with("Publish"), "{op}");
    }
    for other in [
        &b"pub a 5\r\nhello\r\n"[..],
        b"PUB a  5\r\nhello\r\n",
        b"PUB a\t5\r\nhello\r\n",
        b"PUB a 5\nhello\r\n",
        b"PUB a 5\r\nhellooooooooo\r\n",
        b"PUB a 101\r\nhello\r\n",
        b"PUB a 5\r\nhel",
        b"HPUB a 6 5\r\nhello\r\n",
    ] {
        let other = [other, b"PING\r\nPING\r\n"].concat();
        assert_eq!(usual_publish(&other, &LIMITS), None, "{}", other.escape_ascii());
    }
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"PING\r\n".to_vec()),
        Just(b"PUB a 3\r\nabc\r\n".to_vec()),
        Just(b"HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n".to_vec()),
        Just(b"SUB a.* q 1\r\n".to_vec()),
        Just(b"UNSUB 1 2\r\n".to_vec()),
        Just(b"CONNECT {}\r\n".to_vec()),
        Just(b"PUB a ".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|p| p.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same(input in pieces(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(input.len() + 1);
        prop_assert_eq!(in_pieces(&input, cut), transcript(&input));
    }
}
