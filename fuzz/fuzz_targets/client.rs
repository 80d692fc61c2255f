//! A client's bytes: any split gives the same operations and the same end, and no operation holds what it must not.
#![no_main]

use dialtone_wire::client::{Limits, Op, Parsed, parse, usual_publish};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { control_line_bytes_max: 64, payload_bytes_max: 100, headers: true };

/// Takes operations from the bytes up to each end in turn; a line for each, and one for how it ended.
fn transcript(input: &[u8], ends: impl Iterator<Item = usize>) -> Vec<String> {
    let mut out = Vec::new();
    let mut at = 0;
    for end in ends {
        loop {
            let parsed = parse(&input[at..end], &LIMITS);
            if let Some((message, used)) = usual_publish(&input[at..end], &LIMITS) {
                assert_eq!(parsed, Ok(Parsed::Op(Op::Publish(message), used)), "the short cut reads something else");
            }
            match parsed {
                Ok(Parsed::Op(op, used)) => {
                    assert!(used > 0 && used <= end - at);
                    if let Op::Publish(message) = &op {
                        assert!(message.body_bytes() <= LIMITS.payload_bytes_max);
                        assert_eq!(message.headers().len() + message.payload().len(), message.body_bytes());
                    }
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

// The first byte says how long the pieces are that the rest is cut into.
fuzz_target!(|data: &[u8]| {
    let Some((&piece, input)) = data.split_first() else { return };
    let cuts = (0..input.len()).step_by(usize::from(piece).max(1));
    let whole = transcript(input, std::iter::once(input.len()));
    assert_eq!(transcript(input, cuts.chain([input.len()])), whole);
    assert_eq!(transcript(input, 0..=input.len()), whole);
});
