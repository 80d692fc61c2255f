//! The end that connects by WebSocket, or through a proxy: any answer is judged the same however it is cut, what is agreed on was asked
//! for, and the frames behind it are read as those of a server.
#![no_main]

use dialtone_wire::http::{ANSWER_BYTES_MAX, AnswerReader, HeadError};
use dialtone_wire::tunnel;
use dialtone_wire::websocket::{Masking, Request, Stream};
use libfuzzer_sys::fuzz_target;

const MESSAGE_BYTES_MAX: usize = 10_000;

/// How long the head is, in pieces of this size.
fn head(input: &[u8], piece: usize) -> Result<Option<usize>, HeadError> {
    let mut reader = AnswerReader::default();
    let cuts = (piece..input.len()).step_by(piece).chain([input.len()]);
    for end in cuts {
        match reader.head(&input[..end]) {
            Ok(None) => {}
            found => return found.map(|head| head.map(<[u8]>::len)),
        }
    }
    Ok(None)
}

// The first byte says what is asked for, and how long the pieces are.
fuzz_target!(|data: &[u8]| {
    let Some((&first, input)) = data.split_first() else { return };
    let request = Request::leaf_node("h:80", "/a", *b"the sample nonce")
        .offer_deflate(first & 1 != 0)
        .ask_no_masking(first & 2 != 0);
    let whole = head(input, input.len().max(1));
    if input.len() < ANSWER_BYTES_MAX {
        assert_eq!(head(input, usize::from(first >> 2) + 1), whole);
    }
    let Ok(Some(end)) = whole else { return };
    assert!(end <= input.len() && end <= ANSWER_BYTES_MAX);
    let _ = tunnel::answered(&input[..end]);
    let Ok(answer) = request.answered(&input[..end]) else { return };
    assert!(answer.masks || first & 2 != 0, "nobody asked not to mask");
    assert!(!answer.agreed.deflate || first & 1 != 0, "nobody offered to compress");
    let masking = if answer.masks { Masking::Keys(|| [1, 2, 3, 4]) } else { Masking::Off };
    let mut stream = Stream::new(answer.agreed, masking, MESSAGE_BYTES_MAX);
    let mut frames = input[end..].to_vec();
    let (mut rest, mut inflated) = (&mut frames[..], Vec::new());
    while !rest.is_empty() {
        let decoded = stream.decode(rest, &mut inflated);
        assert!(inflated.len() <= 4 * MESSAGE_BYTES_MAX + 65536, "more is inflated than may be");
        inflated.clear();
        if decoded.ended.is_some() {
            // Why it ends fits a control frame, masked where masks were agreed on.
            let last = stream.take_farewell(None).expect("a last frame");
            assert!(last.len() <= 2 + 4 + 125 && (last[1] & 0x80 != 0) == answer.masks);
            return;
        }
        assert!(decoded.used > 0, "it stands still");
        rest = &mut rest[decoded.used..];
    }
});
