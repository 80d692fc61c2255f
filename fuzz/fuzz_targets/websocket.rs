//! A connection by WebSocket: any split of its frames gives the same bytes and the same end, no message is inflated beyond its bound,
//! and any request is answered.
#![no_main]

use dialtone_wire::http::head_end;
use dialtone_wire::websocket::frame::Agreed;
use dialtone_wire::websocket::upgrade::{self, Terms};
use dialtone_wire::websocket::{Ended, Masking, Stream};
use libfuzzer_sys::fuzz_target;

const MESSAGE_BYTES_MAX: usize = 10_000;

/// What comes out of the bytes, the PONGs, and how it ends.
fn transcript(agreed: Agreed, input: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, Option<Ended>) {
    let mut stream = Stream::new(agreed, Masking::Off, MESSAGE_BYTES_MAX);
    let (mut out, mut pongs, mut inflated) = (Vec::new(), Vec::new(), Vec::new());
    for piece in input.chunks(piece.max(1)) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let decoded = stream.decode(rest, &mut inflated);
            assert!(decoded.plain <= decoded.used && decoded.used <= rest.len());
            assert!(inflated.len() <= 4 * MESSAGE_BYTES_MAX + 65536, "more is inflated than may be");
            out.extend_from_slice(&rest[..decoded.plain]);
            // Of a message that is too large, how much came out before depends on the cut.
            if decoded.ended.is_none() {
                out.append(&mut inflated);
            }
            stream.take_control(&mut pongs);
            if decoded.ended.is_some() {
                return (out, pongs, decoded.ended);
            }
            assert!(decoded.used > 0, "it stands still");
            rest = &mut rest[decoded.used..];
        }
    }
    (out, pongs, None)
}

// The first byte says what was agreed and how long the pieces are that the rest is cut into.
fuzz_target!(|data: &[u8]| {
    let Some((&first, input)) = data.split_first() else { return };
    let agreed = Agreed { masked: first & 1 != 0, deflate: first & 2 != 0 };
    let whole = transcript(agreed, input, usize::MAX);
    if !agreed.deflate {
        assert_eq!(transcript(agreed, input, usize::from(first >> 2)), whole);
    } else {
        transcript(agreed, input, usize::from(first >> 2));
    }
    let end = head_end(input, 0).unwrap_or(input.len());
    let terms = Terms { compression: true, ..Terms::default() };
    if let Err(refusal) = upgrade::decide(&input[..end], &terms) {
        assert!(refusal.response.starts_with(b"HTTP/1.1 "));
    }
});
