//! Another server's bytes, in each dialect: any split gives the same operations and the same end, no operation holds what it must not,
//! little is kept, and INFO and CONNECT are read or refused.
#![no_main]

use dialtone_wire::interserver::{
    AccountNames, Dialect, LeafOrigins, Limits, Op, Parsed, Unfinished, parse, usual_message,
};
use dialtone_wire::{gateway, leaf, route};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { control_line_bytes_max: 64, payload_bytes_max: 100 };
/// A control line with its verb, a payload, and CRLF behind each.
const KEPT_MAX: usize = 8 + 64 + 100 + 4;

fn dialect(number: u8) -> Dialect {
    match number % 5 {
        0 => Dialect::route(LIMITS, AccountNames::InLines, LeafOrigins::Unnamed),
        1 => Dialect::route(LIMITS, AccountNames::InLines, LeafOrigins::InSubscribe),
        2 => Dialect::route(LIMITS, AccountNames::Dedicated, LeafOrigins::Unnamed),
        3 => Dialect::gateway(LIMITS),
        _ => Dialect::leaf(LIMITS),
    }
}

/// Reads like a connection's loop does; a line for each operation and one for how it ended.
fn transcript(stream: &[u8], piece: usize, dialect: &Dialect) -> Vec<String> {
    let (mut kept, mut unfinished, mut out) = (Vec::new(), Unfinished::Unknown, Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        kept.extend_from_slice(piece);
        if unfinished.awaits(&kept, dialect) {
            continue;
        }
        unfinished = Unfinished::Unknown;
        let mut used = 0;
        loop {
            let rest = &kept[used..];
            let parsed = parse(rest, dialect);
            if let Some((message, bytes)) = usual_message(rest, dialect) {
                assert_eq!(parsed, Ok(Parsed::Op(Op::Message(message), bytes)), "the short cut reads something else");
            }
            match parsed {
                Ok(Parsed::Op(op, bytes)) => {
                    assert!(bytes > 0 && bytes <= rest.len());
                    look_at(&op);
                    out.push(format!("{op:?}"));
                    used += bytes;
                }
                Ok(Parsed::Partial { total }) => {
                    assert!(total == 0 || total > rest.len(), "a whole operation was not taken");
                    unfinished.note(rest, total);
                    break;
                }
                Err(problem) => {
                    out.push(format!("{:?}", problem.answer()));
                    return out;
                }
            }
        }
        kept.drain(..used);
        assert!(kept.len() <= KEPT_MAX, "{} bytes kept", kept.len());
    }
    out
}

fn look_at(op: &Op<'_>) {
    match op {
        Op::Message(routed) => {
            let message = routed.message;
            assert!(message.body_bytes() <= LIMITS.payload_bytes_max);
            assert_eq!(message.headers().len() + message.payload().len(), message.body_bytes());
            if let Some(reply) = gateway::reply::unwrap(message.subject) {
                assert!(!reply.subject.is_empty() && message.subject.ends_with(reply.subject));
            }
            assert!(!message.subject.is_empty() && routed.queues.iter().all(|queue| !queue.is_empty()));
        }
        Op::Info(json) => {
            let _ = route::Info::parse(json);
            let _ = leaf::Info::parse(json);
            let _ = gateway::Info::parse(json).map(|info| info.command());
        }
        Op::Connect(json) => {
            let _ = route::Connect::parse(json);
            let _ = leaf::Connect::parse(json);
        }
        _ => {}
    }
}

// The first byte is the dialect, the second says how long the pieces are that the rest is cut into.
fuzz_target!(|data: &[u8]| {
    let [number, piece, stream @ ..] = data else { return };
    let dialect = dialect(*number);
    let whole = transcript(stream, stream.len(), &dialect);
    assert_eq!(transcript(stream, usize::from(*piece), &dialect), whole);
    assert_eq!(transcript(stream, 1, &dialect), whole);
});
