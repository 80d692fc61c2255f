//! Streams of others, streams of ours, and streams that are neither.

use super::*;
use crate::interserver::{AccountNames, Dialect, LeafOrigins, Limits, Op, Parsed, parse};
use proptest::prelude::*;

/// The text of the samples: repeats itself a little, and counts.
fn text(bytes: usize) -> Vec<u8> {
    let lines =
        (0u64..).map(|i| format!("RMSG A orders.{}.{} 7\r\nnumber {}\r\n", i % 7, i * i % 101, i % 10));
    lines.flat_map(String::into_bytes).take(bytes).collect()
}

/// All that comes of a stream in pieces of so many bytes, and how it ended.
fn read_in(stream: &[u8], piece: usize, reader: &mut Reader) -> (Vec<u8>, Option<S2Error>) {
    let mut all = Vec::new();
    for mut piece in stream.chunks(piece.max(1)) {
        while !piece.is_empty() {
            let mut out = Vec::new();
            let Decoded { used, ended } = reader.decode(piece, &mut out);
            assert!(used > 0 || ended.is_some());
            assert!(out.len() < 64 * 1024 + BLOCK_BYTES_MAX, "{} bytes at once", out.len());
            all.append(&mut out);
            if ended.is_some() {
                assert_eq!(used, piece.len());
                assert_eq!(reader.decode(b"more", &mut out), Decoded { used: 4, ended: None });
                return (all, ended);
            }
            piece = &piece[used..];
        }
    }
    (all, None)
}

fn read(stream: &[u8], piece: usize) -> (Vec<u8>, Option<S2Error>) {
    read_in(stream, piece, &mut Reader::new(BLOCK_BYTES_MAX))
}

#[test]
fn streams_of_the_official_library_are_read() {
    let flushes = [text(0), text(1), text(63), text(5000)].concat();
    for (name, stream, expected) in [
        ("fast", &include_bytes!("samples/fast.s2")[..], &flushes),
        ("better", include_bytes!("samples/better.s2"), &flushes),
        ("best", include_bytes!("samples/best.s2"), &flushes),
        ("blocks", include_bytes!("samples/blocks.s2"), &flushes),
        ("padded", include_bytes!("samples/padded.s2"), &flushes),
        ("indexed", include_bytes!("samples/indexed.s2"), &flushes),
        (
            "uncompressed",
            include_bytes!("samples/uncompressed.s2"),
            &[text(0), text(1), text(63), text(500)].concat(),
        ),
        ("snappy", include_bytes!("samples/snappy.s2"), &text(5000)),
    ] {
        for piece in [stream.len(), 1, 2, 3, 5, 7, 100, 1000] {
            let (out, ended) = read(stream, piece);
            assert_eq!(ended, None, "{name} in pieces of {piece}");
            assert!(&out == expected, "{name} in pieces of {piece}");
        }
        for cut in 0..stream.len() {
            let mut reader = Reader::new(BLOCK_BYTES_MAX);
            let (mut out, _) = read_in(&stream[..cut], cut, &mut reader);
            assert!(expected.starts_with(&out), "{name} up to {cut}");
            out.extend(read_in(&stream[cut..], stream.len(), &mut reader).0);
            assert!(&out == expected, "{name} cut at {cut}");
        }
    }
}

#[test]
fn an_official_route_is_understood() {
    let sent = include_bytes!("samples/route.bin");
    let begin = sent.windows(IDENTIFIER.len()).position(|bytes| bytes == IDENTIFIER).expect("a stream");
    let (compressed, ended) = read(&sent[begin..], 1000);
    assert_eq!(ended, None);
    let limits = Limits { control_line_bytes_max: 65536, payload_bytes_max: 1 << 20 };
    let dialect = Dialect::route(limits, AccountNames::InLines, LeafOrigins::Unnamed);
    let plain = [&sent[..begin], &compressed].concat();
    let mut rest = &plain[..];
    let (mut infos, mut messages, mut subscribed) = (0, 0, 0);
    while !rest.is_empty() {
        let Ok(Parsed::Op(op, used)) = parse(rest, &dialect) else { panic!("{}", rest.escape_ascii()) };
        match op {
            Op::Info(json) => {
                assert_eq!(crate::route::Info::parse(json).expect("read").compression, "s2_fast");
                infos += 1;
            }
            Op::Message(routed) if routed.account == Some(b"A") => {
                let number = messages % 3;
                assert_eq!(routed.message.subject, format!("foo.{number}").as_bytes());
                assert_eq!(routed.message.payload(), b"abc".repeat(messages));
                messages += 1;
            }
            Op::Subscribe { .. } => subscribed += 1,
            _ => {}
        }
        rest = &rest[used..];
    }
    // INFO comes once more as the first of the stream.
    assert_eq!((infos, messages), (2, 60));
    assert!(subscribed > 40);
}

#[test]
fn a_bomb_ends_the_stream_before_it_is_expanded() {
    let bomb = include_bytes!("samples/bomb.s2");
    for piece in [1, bomb.len()] {
        let mut out = Vec::new();
        let mut reader = Reader::new(BLOCK_BYTES_MAX);
        let ended = bomb.chunks(piece).find_map(|piece| reader.decode(piece, &mut out).ended);
        assert_eq!(ended, Some(S2Error::TooLarge { bytes: 5 << 20, max: BLOCK_BYTES_MAX }));
        assert_eq!(out.capacity(), 0);
    }
}

#[test]
fn as_long_as_it_is_not_known_who_writes_less_is_taken() {
    let stream = include_bytes!("samples/fast.s2");
    let mut reader = Reader::new(2000);
    let (out, ended) = read_in(stream, 10, &mut reader);
    assert_eq!(ended, Some(S2Error::TooLarge { bytes: 5000, max: 2000 }));
    assert_eq!(out.len(), 64);
    let mut reader = Reader::new(2000);
    let last = stream.windows(4).rposition(|bytes| bytes == &IDENTIFIER[..4]).expect("identifier");
    assert_eq!(read_in(&stream[..last], 10, &mut reader).1, None);
    reader.set_block_bytes_max(BLOCK_BYTES_MAX);
    let (out, ended) = read_in(&stream[last..], 10, &mut reader);
    assert!(ended.is_none() && out == text(5000));
}

/// A chunk.
fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let bytes = (body.len() as u32).to_le_bytes();
    [&[kind, bytes[0], bytes[1], bytes[2]], body].concat()
}

/// A block in a chunk, with the checksum of `plain`.
fn block(kind: u8, body: &[u8], plain: &[u8]) -> Vec<u8> {
    chunk(kind, &[&masked(crc32c::crc32c(plain)).to_le_bytes(), body].concat())
}

#[test]
fn what_is_no_stream_ends_it() {
    let id = IDENTIFIER;
    let too_long = (BLOCK_BYTES_MAX + BLOCK_BYTES_MAX / 6 + 33) as u32;
    let [low, middle, high, _] = (too_long + 4).to_le_bytes();
    for (stream, expected) in [
        (b"INFO {}\r\n".to_vec(), S2Error::Identifier),
        (block(UNCOMPRESSED, b"a", b"a"), S2Error::Identifier),
        (chunk(0xfe, b"abc"), S2Error::Identifier),
        (chunk(0xff, b"S2sTw0"), S2Error::Identifier),
        (chunk(0xff, b"S2sTwO!"), S2Error::Length { kind: 0xff, bytes: 7 }),
        ([id, &chunk(0xff, b"mZlIb!")].concat(), S2Error::Identifier),
        ([id, &chunk(0x02, b"")].concat(), S2Error::Reserved(2)),
        ([id, &chunk(0x7f, b"abcde")].concat(), S2Error::Reserved(0x7f)),
        ([id, &chunk(COMPRESSED, b"abc")].concat(), S2Error::Length { kind: 0, bytes: 3 }),
        ([id, &chunk(UNCOMPRESSED, b"")].concat(), S2Error::Length { kind: 1, bytes: 0 }),
        ([id, &chunk(COMPRESSED, b"abcd")].concat(), S2Error::Corrupt),
        (
            [id, &[0, low, middle, high]].concat(),
            S2Error::TooLarge { bytes: too_long as usize, max: BLOCK_BYTES_MAX },
        ),
        (
            [id, &[1, low, middle, high]].concat(),
            S2Error::TooLarge { bytes: too_long as usize, max: BLOCK_BYTES_MAX },
        ),
        ([id, &block(UNCOMPRESSED, b"a", b"b")].concat(), S2Error::Checksum),
        ([id, &block(COMPRESSED, b"\x01\x00a", b"b")].concat(), S2Error::Checksum),
        // Two bytes are announced, and one comes; a copy from before the beginning; a length without end.
        ([id, &block(COMPRESSED, b"\x02\x00a", b"a")].concat(), S2Error::Corrupt),
        ([id, &block(COMPRESSED, b"\x04\x01\x01", b"")].concat(), S2Error::Corrupt),
        ([id, &block(COMPRESSED, &[0xff; 12], b"")].concat(), S2Error::Corrupt),
        (
            [&chunk(0xff, b"sNaPpY")[..], &block(UNCOMPRESSED, &[b'x'; 65537], &[b'x'; 65537])].concat(),
            S2Error::TooLarge { bytes: 65537, max: 65536 },
        ),
    ] {
        for piece in [stream.len(), 1] {
            let (out, ended) = read(&stream, piece);
            assert_eq!(
                (out.len(), ended),
                (0, Some(expected)),
                "{}",
                stream[..stream.len().min(64)].escape_ascii()
            );
        }
    }
}

#[test]
fn what_is_kept_is_let_go() {
    let mut reader = Reader::new(BLOCK_BYTES_MAX);
    let body = vec![b'x'; 100_000];
    let stream = [IDENTIFIER, &block(UNCOMPRESSED, &body, &body)].concat();
    assert!(read_in(&stream, 1000, &mut reader) == (body, None));
    assert!(reader.kept_room() <= 4096, "{} bytes", reader.kept_room());
    // A chunk that means nothing is not kept at all.
    assert_eq!(read_in(&chunk(0xfe, &vec![0; 1 << 20]), 1000, &mut reader), (Vec::new(), None));
    assert!(reader.kept_room() <= 4096, "{} bytes", reader.kept_room());
}

/// Writes all of it, as a connection does.
fn write(plain: &[&[u8]], level: Level, scratch: &mut Scratch) -> Vec<u8> {
    let (mut writer, mut out) = (Writer::new(level), Vec::new());
    let mut slices: Vec<&[u8]> = plain.to_vec();
    while slices.iter().any(|slice| !slice.is_empty()) {
        let framed = writer.frame(slices.iter().copied(), scratch, &mut out);
        let (Framed::Head(mut taken) | Framed::Whole(mut taken)) = framed;
        assert!(taken > 0, "no progress");
        for slice in &mut slices {
            let (piece, rest) = slice.split_at(taken.min(slice.len()));
            if matches!(framed, Framed::Head(_)) {
                out.extend_from_slice(piece);
            }
            (taken, *slice) = (taken - piece.len(), rest);
        }
        assert_eq!(taken, 0, "more was taken than there is");
    }
    out
}

#[test]
fn compressing_makes_it_smaller_and_what_is_random_little_larger() {
    let text = text(200_000);
    let mut scratch = Scratch::default();
    let sizes = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best].map(|level| {
        let stream = write(&[&text[..100], &text[100..100_000], &text[100_000..]], level, &mut scratch);
        assert!(read(&stream, 1000) == (text.clone(), None), "{level:?}");
        stream.len()
    });
    assert!(sizes[0] < text.len() + 100 && sizes[1] < text.len() / 2, "{sizes:?}");
    assert!(sizes.is_sorted_by(|more, less| more >= less), "{sizes:?}");
    let random: Vec<u8> =
        (0u32..50_000).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_pow(3) >> 13) as u8).collect();
    let stream = write(&[&random], Level::Fast, &mut scratch);
    assert!(stream.len() <= random.len() + 18, "{}", stream.len());
    assert!(read(&stream, 777) == (random, None));
}

/// The twin that is easy to believe: a whole stream at once, up to where it is none.
fn naive(stream: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut max) = (Vec::new(), stream, None);
    while let [kind, low, middle, high, behind @ ..] = rest {
        let bytes = u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
        let Some(body) = behind.get(..bytes) else { break };
        rest = &behind[bytes..];
        match (kind, body) {
            (0xff, b"S2sTwO") => max = Some(BLOCK_BYTES_MAX),
            (0xff, b"sNaPpY") => max = Some(65536),
            (0x80..=0xfe, _) if max.is_some() => {}
            (0 | 1, [a, b, c, d, block @ ..]) if max.is_some() => {
                let plain = match kind {
                    0 if minlz::s2::decode_len(block).is_ok_and(|(bytes, _)| Some(bytes) <= max) => {
                        minlz::s2::decode(block)
                    }
                    1 => Ok(block.to_vec()),
                    _ => break,
                };
                match plain {
                    Ok(plain) if masked(crc32c::crc32c(&plain)) == u32::from_le_bytes([*a, *b, *c, *d]) => {
                        out.extend(plain)
                    }
                    _ => break,
                }
            }
            _ => break,
        }
    }
    out
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        pieces in prop::collection::vec((0usize..5000, 0usize..3000), 0..8), level in 0usize..4, piece in 1usize..3000,
    ) {
        let text = text(10_000);
        let slices: Vec<&[u8]> = pieces.iter().map(|&(from, bytes)| &text[from..from + bytes]).collect();
        let level = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best][level];
        let stream = write(&slices, level, &mut Scratch::default());
        prop_assert!(read(&stream, piece) == (slices.concat(), None));
        prop_assert!(naive(&stream) == slices.concat());
    }

    #[test]
    fn a_changed_stream_is_read_as_by_the_naive_twin(
        sample in 0usize..4, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(), piece in 1usize..3000,
    ) {
        let samples: [&[u8]; 4] = [
            include_bytes!("samples/fast.s2"), include_bytes!("samples/uncompressed.s2"), include_bytes!("samples/padded.s2"),
            include_bytes!("samples/snappy.s2"),
        ];
        let mut stream = samples[sample].to_vec();
        let at = at.index(stream.len());
        stream[at] = byte;
        stream.truncate(cut.index(stream.len() + 1));
        prop_assert!(read(&stream, piece).0 == naive(&stream));
    }
}
