//! A stream of S2 from another server: any split gives the same bytes and the same end, little comes at once, and what we write of any
//! bytes is read as these.
#![no_main]

use dialtone_wire::s2::{Framed, Level, Reader, S2Error, Scratch, Writer};
use libfuzzer_sys::fuzz_target;

const BLOCK_BYTES_MAX: usize = 100_000;

/// All that comes of a stream in pieces of so many bytes, and how it ended.
fn read(stream: &[u8], piece: usize) -> (Vec<u8>, Option<S2Error>) {
    let (mut reader, mut all) = (Reader::new(BLOCK_BYTES_MAX), Vec::new());
    for mut piece in stream.chunks(piece.max(1)) {
        while !piece.is_empty() {
            let mut out = Vec::new();
            let decoded = reader.decode(piece, &mut out);
            assert!(decoded.used > 0 || decoded.ended.is_some());
            assert!(out.len() < 64 * 1024 + BLOCK_BYTES_MAX, "{} bytes at once", out.len());
            all.append(&mut out);
            if decoded.ended.is_some() {
                return (all, decoded.ended);
            }
            piece = &piece[decoded.used..];
        }
        // What can be fuzzed in time.
        if all.len() > 2_000_000 {
            break;
        }
    }
    (all, None)
}

fn write(mut plain: &[u8], level: Level, cut: usize) -> Vec<u8> {
    let (mut writer, mut scratch, mut out) = (Writer::new(level), Scratch::default(), Vec::new());
    while !plain.is_empty() {
        let (first, second) = plain.split_at(cut.min(plain.len()));
        match writer.frame([first, second].into_iter(), &mut scratch, &mut out) {
            Framed::Head(bytes) => {
                out.extend_from_slice(&plain[..bytes]);
                plain = &plain[bytes..];
            }
            Framed::Whole(bytes) => plain = &plain[bytes..],
        }
    }
    out
}

// The first byte says what is done, and how long the pieces are.
fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let piece = usize::from(first / 4);
    let level = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best][usize::from(first % 4)];
    let written = write(data, level, piece);
    let (out, ended) = read(&written, 1 + piece);
    assert!(ended.is_none() && out == data);
    // As a whole stream, and behind the identifier, so that blocks are reached.
    for stream in [data.to_vec(), [b"\xff\x06\x00\x00S2sTwO", data].concat()] {
        let (whole, end) = read(&stream, stream.len());
        let (cut, cut_end) = read(&stream, 1 + piece);
        let bytes = whole.len().min(cut.len());
        assert_eq!(whole[..bytes], cut[..bytes]);
        if whole.len() < 2_000_000 {
            assert!(whole.len() == cut.len() && end == cut_end);
        }
    }
});
