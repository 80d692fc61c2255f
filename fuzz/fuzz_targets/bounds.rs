//! Any stream of bytes, however it is cut: what is kept is bounded, each byte is looked at a constant number of times, and what
//! comes of it is what comes of the whole.
#![no_main]

use dialtone_wire::client::{Limits, Op, Parsed, Unfinished, parse, usual_publish};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { control_line_bytes_max: 64, payload_bytes_max: 100, headers: true };
/// A control line with its verb, a payload, and CRLF behind each.
const KEPT_MAX: usize = 10 + 64 + 100 + 2;
/// Looks at each byte: for the newline, at the line, at the message behind it, at its end, and once more as a whole, by two
/// readers.
const LOOKS_MAX: usize = 8;

/// Reads like a client's loop does; a line for each operation and one for how it ended. Counts the looks.
fn transcript(stream: &[u8], piece: usize) -> Vec<String> {
    let (mut kept, mut unfinished, mut out, mut looks) = (Vec::new(), Unfinished::Unknown, Vec::new(), 0);
    for piece in stream.chunks(piece.max(1)) {
        looks += piece.len();
        kept.extend_from_slice(piece);
        let Some(used) = receive(&kept, &mut unfinished, &mut out, &mut looks) else { break };
        kept.drain(..used);
        assert!(kept.len() <= KEPT_MAX, "{} bytes kept", kept.len());
    }
    assert!(looks <= LOOKS_MAX * (stream.len() + KEPT_MAX), "{looks} looks at {} bytes", stream.len());
    out
}

/// The bytes that were used; `None` after an error.
fn receive(input: &[u8], unfinished: &mut Unfinished, out: &mut Vec<String>, looks: &mut usize) -> Option<usize> {
    if unfinished.awaits(input, &LIMITS) {
        return Some(0);
    }
    let (mut used, op) = unfinished.skip(input);
    if used > 0 && op.is_none() {
        return Some(used);
    }
    *unfinished = Unfinished::Unknown;
    out.extend(op.map(|op| format!("{op:?}")));
    while used < input.len() {
        let rest = &input[used..];
        if let Some((message, bytes)) = usual_publish(rest, &LIMITS) {
            out.push(format!("{:?}", Op::Publish(message)));
            (used, *looks) = (used + bytes, *looks + bytes);
            continue;
        }
        match parse(rest, &LIMITS) {
            Ok(Parsed::Op(op, bytes)) => {
                out.push(format!("{op:?}"));
                (used, *looks) = (used + bytes, *looks + 2 * bytes);
            }
            Ok(Parsed::Partial { total }) => {
                *looks += 2 * rest.len();
                return Some(used + unfinished.note(rest, total));
            }
            Err(problem) => {
                out.push(format!("{:?}", problem.answer()));
                return None;
            }
        }
    }
    Some(used)
}

// The first byte says how long the pieces are that the rest is cut into.
fuzz_target!(|data: &[u8]| {
    let Some((&piece, stream)) = data.split_first() else { return };
    let whole = transcript(stream, stream.len());
    assert_eq!(transcript(stream, usize::from(piece)), whole);
    assert_eq!(transcript(stream, 1), whole);
});
