//! Bytes kept and bytes looked at, for streams of every kind however they are cut.

use super::{Limits, Op, Parsed, Unfinished, parse, usual_publish};
use proptest::prelude::*;

const LIMITS: Limits = Limits { control_line_bytes_max: 64, payload_bytes_max: 100, headers: true };
/// A control line with its verb, a payload, and CRLF behind each.
const KEPT_MAX: usize = 10 + 64 + 100 + 2;
/// Looks at each byte: for the newline, at the line, at the message behind it, at its end, and once more as a whole, by two
/// readers.
const LOOKS_MAX: usize = 8;

/// What came of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    /// Operations, and the error at their end.
    lines: Vec<String>,
    kept_max: usize,
    looked_at: usize,
}

/// Reads like a client's loop does, and counts. A reader that finds an operation looked at its bytes, one that does not at all.
fn read(stream: &[u8], pieces: &[usize]) -> Outcome {
    let mut out = Outcome::default();
    let (mut kept, mut unfinished, mut at) = (Vec::new(), Unfinished::Unknown, 0);
    for piece in pieces.iter().cycle() {
        let end = (at + piece.max(&1)).min(stream.len());
        // What `awaits` and `skip` look at.
        out.looked_at += end - at;
        kept.extend_from_slice(&stream[at..end]);
        at = end;
        match receive(&kept, &mut unfinished, &mut out) {
            Some(used) => drop(kept.drain(..used)),
            None => return out,
        }
        out.kept_max = out.kept_max.max(kept.len());
        if at == stream.len() {
            return out;
        }
    }
    out
}

/// The bytes that were used; `None` after an error.
fn receive(input: &[u8], unfinished: &mut Unfinished, out: &mut Outcome) -> Option<usize> {
    if unfinished.awaits(input, &LIMITS) {
        return Some(0);
    }
    let (mut used, op) = unfinished.skip(input);
    if used > 0 && op.is_none() {
        return Some(used);
    }
    *unfinished = Unfinished::Unknown;
    out.lines.extend(op.map(|op| format!("{op:?}")));
    while used < input.len() {
        let rest = &input[used..];
        if let Some((message, bytes)) = usual_publish(rest, &LIMITS) {
            out.looked_at += bytes;
            out.lines.push(format!("{:?}", Op::Publish(message)));
            used += bytes;
            continue;
        }
        match parse(rest, &LIMITS) {
            Ok(Parsed::Op(op, bytes)) => {
                out.looked_at += 2 * bytes;
                out.lines.push(format!("{op:?}"));
                used += bytes;
            }
            Ok(Parsed::Partial { total }) => {
                out.looked_at += 2 * rest.len();
                return Some(used + unfinished.note(rest, total));
            }
            Err(problem) => {
                out.looked_at += 2 * rest.len().min(KEPT_MAX);
                out.lines.push(format!("{:?}", problem.answer()));
                return None;
            }
        }
    }
    Some(used)
}

#[track_caller]
fn check(stream: &[u8], pieces: &[usize]) {
    let whole = read(stream, &[stream.len()]);
    for pieces in [pieces, &[1]] {
        let cut = read(stream, pieces);
        assert_eq!(cut.lines, whole.lines, "{pieces:?}");
        assert!(cut.kept_max <= KEPT_MAX, "{} bytes kept", cut.kept_max);
        let most = LOOKS_MAX * stream.len() + LOOKS_MAX * KEPT_MAX;
        assert!(cut.looked_at <= most, "{} looks at {} bytes", cut.looked_at, stream.len());
    }
}

#[test]
fn a_line_without_an_end_is_neither_kept_nor_looked_at_again() {
    for verb in ["PING", "PONG", "ping ", "PING x\r"] {
        let stream = [verb.as_bytes(), &vec![b'x'; 100_000], b"\r\nPING\r\nSUB a 1\r\n"].concat();
        check(&stream, &[1000]);
        assert_eq!(read(&stream, &[1000]).lines.len(), 3, "{verb}");
        assert!(read(&stream, &[1000]).kept_max < 16);
    }
    for verb in ["SUB ", "PUB ", "CONNECT ", "INFO ", "-ERR ", "+OK ", "UNSUB ", "HPUB ", "P", " ", "\r"] {
        check(&[verb.as_bytes(), &vec![b'x'; 10_000]].concat(), &[7]);
    }
}

#[test]
fn a_line_that_is_too_long_is_refused_with_the_first_byte_too_many() {
    for verb in ["PUB ", "HPUB ", "SUB ", "UNSUB ", "CONNECT", "CONNECT ", "INFO", "INFO\t", "+OK", "-ERR "] {
        let line = [verb.as_bytes(), &[b'x'; 70]].concat();
        for end in verb.len()..line.len() {
            check(&line[..end], &[7]);
            let refused = !read(&line[..end], &[7]).lines.is_empty();
            assert_eq!(refused, end > verb.len() + LIMITS.control_line_bytes_max, "{verb} {end}");
        }
    }
}

#[test]
fn a_message_in_small_pieces_is_looked_at_a_few_times() {
    let message =
        [&b"PUB subject.of.some.length reply.of.some.length 99\r\n"[..], &[b'x'; 99], b"\r\n"].concat();
    check(&message.repeat(50), &[1, 2, 3, 100]);
    check(&[&b"PUB a 9\r\n123456789"[..], b"x", &[b'y'; 1000]].concat(), &[3]);
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let words = prop::sample::select(vec![
        "PING",
        "PONG",
        "\r\n",
        "\n",
        "\r",
        " ",
        "PUB a 3\r\nabc\r\n",
        "PUB a 3\r\nab",
        "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "SUB a 1\r\n",
        "SUB a",
        "UNSUB 1\r\n",
        "CONNECT {",
        "}\r\n",
        "INFO {}\r\n",
        "+OK\r\n",
        "PUB aaaaaaaaaaaaaaaaaaaaaaaaaaaa 100\r\n",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ]);
    prop::collection::vec(words, 1..60).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_stream_costs_bounded_memory_and_linear_time(
        stream in stream(),
        pieces in prop::collection::vec(1usize..200, 1..5),
    ) {
        check(&stream, &pieces);
    }
}
