use super::*;

fn options(mode: CompressionMode) -> Options {
    Options { mode, ..Options::default() }
}

/// Of a connection whose other end wants `theirs`.
fn agreed(ours: CompressionMode, theirs: &str) -> Compression {
    let mut compression = Compression::default();
    compression.agree(&options(ours), theirs).expect("a known mode");
    compression
}

/// What `to` reads of what `from` writes, and how many bytes that were.
fn pass(from: &mut S2Framing, to: &mut S2Framing, text: &[u8]) -> (Vec<u8>, usize) {
    let before = from.state.sent();
    let (mut wire, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let taken = match from.frame(&[IoSlice::new(rest)], &mut wire) {
            Framed::Head(bytes) => {
                wire.extend_from_slice(&rest[..bytes]);
                bytes
            }
            Framed::Whole(bytes) => bytes,
        };
        rest = &rest[taken..];
    }
    let wire_bytes = wire.len();
    let after = from.state.sent();
    let counted = (after.plain_bytes - before.plain_bytes, after.bytes - before.bytes);
    assert_eq!(counted, (text.len() as u64, wire_bytes as u64));
    let (mut out, mut input) = (Vec::new(), wire.as_mut_slice());
    while !input.is_empty() {
        let mut extra = Vec::new();
        let decoded = to.decode(input, &mut extra);
        assert_eq!((decoded.plain, decoded.ended), (0, None));
        out.append(&mut extra);
        input = &mut input[decoded.used..];
    }
    (out, wire_bytes)
}

fn framing(of: &Compression) -> S2Framing {
    S2Framing::new(of.state().clone())
}

#[test]
fn each_end_writes_with_its_own_mode_and_reads_the_other() {
    let text = b"RMSG $G foo 3\r\nabc\r\n".repeat(10_000);
    let modes = [CompressionMode::S2Fast, CompressionMode::S2Better, CompressionMode::S2Best];
    for (ours, theirs) in modes.iter().flat_map(|ours| modes.map(|theirs| (*ours, theirs))) {
        let there = agreed(theirs, wanted(&options(ours)).text());
        let here = agreed(ours, there.agreed().expect("agreed").text());
        assert_eq!(
            [here.state().text(), there.state().text()],
            [ours, theirs].map(|mode| wanted(&options(mode)).text())
        );
        let (mut here, mut there) = (framing(&here), framing(&there));
        assert!(pass(&mut here, &mut there, &text).0 == text, "{ours:?} {theirs:?}");
        assert!(pass(&mut there, &mut here, &text).0 == text, "{theirs:?} {ours:?}");
    }
}

#[test]
fn the_round_trip_changes_what_is_written_in_the_middle_of_a_stream() {
    let compression = agreed(CompressionMode::S2Auto, "s2_auto");
    let text = b"RMSG $G foo 3\r\nabc\r\n".repeat(100);
    let (mut from, mut to) = (framing(&compression), framing(&compression));
    for (ms, expected) in [
        (0, "s2_uncompressed"),
        (20, "s2_fast"),
        (60, "s2_better"),
        (5000, "s2_best"),
        (3, "s2_uncompressed"),
    ] {
        compression.measured(Duration::from_millis(ms));
        assert_eq!(compression.state().text(), expected);
        let (out, wire_bytes) = pass(&mut from, &mut to, &text);
        assert!(out == text, "{expected}");
        assert_eq!(wire_bytes < text.len() / 2, expected != "s2_uncompressed", "{wire_bytes} bytes");
    }
    // Only who compresses by the round trip changes.
    let fixed = agreed(CompressionMode::S2Fast, "s2_auto");
    fixed.measured(Duration::from_secs(1));
    assert_eq!(fixed.state().text(), "s2_fast");
}

#[test]
fn a_connection_follows_the_configuration_if_its_ends_need_not_agree_again() {
    use CompressionMode::{Accept, Off, S2Auto, S2Best, S2Fast};
    let far = Duration::from_millis(60);
    for (before, theirs, after, expected) in [
        (S2Fast, "s2_fast", S2Best, Some("s2_best")),
        (S2Fast, "accept", S2Auto, Some("s2_better")),
        (S2Auto, "accept", S2Fast, Some("s2_fast")),
        (Accept, "s2_best", S2Best, Some("s2_best")),
        (S2Fast, "s2_fast", Off, None),
        (S2Fast, "s2_fast", Accept, None),
        (Off, "s2_fast", S2Fast, None),
        (Accept, "accept", Off, Some("off")),
        (S2Fast, "off", S2Best, None),
        (S2Fast, "", S2Best, Some("not supported")),
    ] {
        let mut compression = agreed(before, theirs);
        let unchanged = compression.state().text();
        assert_eq!(compression.follow(&options(before), far), Followed::Yes);
        assert_eq!(compression.state().text(), unchanged, "nothing has changed");
        let followed = compression.follow(&options(after), far);
        let shown = (followed == Followed::Yes).then(|| compression.state().text());
        assert_eq!(shown, expected, "{before:?} with {theirs:?} to {after:?}");
    }
    // Before the ends have agreed there is nothing to follow.
    assert_eq!(Compression::default().follow(&options(Off), far), Followed::Yes);
}

#[test]
fn what_is_no_stream_ends_it_with_nothing_kept() {
    let compression = agreed(CompressionMode::S2Fast, "accept");
    // A block that says that it has 5 MiB, and one without an identifier.
    let bomb = include_bytes!("../../../wire/src/s2/samples/bomb.s2");
    for (wire, expected) in [
        (&bomb[..], FramingError::TooLarge),
        (b"RS+ $G foo\r\n", FramingError::Invalid("no stream of S2".into())),
    ] {
        let mut extra = Vec::new();
        let decoded = framing(&compression).decode(&mut wire.to_vec(), &mut extra);
        assert_eq!(decoded.ended, Some(Ended::Broken(expected)));
        assert_eq!((decoded.used, extra.capacity()), (wire.len(), 0));
    }
}

#[test]
fn who_does_not_compress_says_so() {
    for (ours, theirs, said, shown) in [
        (CompressionMode::Accept, "accept", "off", "off"),
        (CompressionMode::Off, "s2_fast", "off", "off"),
        (CompressionMode::S2Fast, "", "", "not supported"),
    ] {
        let mut compression = Compression::default();
        assert_eq!(compression.agree(&options(ours), theirs), Ok(false));
        assert_eq!((compression.agreed().map(Mode::text), compression.state().text()), (Some(said), shown));
    }
}

/// A block of 100,000 bytes by its own words, of which nothing else is right: larger than a stranger's may be, and looked into otherwise.
#[test]
fn of_a_stranger_little_is_expanded_at_a_time() {
    let compression = agreed(CompressionMode::S2Fast, "s2_fast");
    let mut largest = Vec::new();
    let (mut writer, mut scratch) = (Writer::new(Level::Fast), Scratch::default());
    writer.frame(std::iter::once(&[b'x'; STRANGE_BLOCK_BYTES_MAX][..]), &mut scratch, &mut largest);
    let large = b"\x00\x08\x00\x00\x00\x00\x00\x00\xa0\x8d\x06\x00";
    let looked_into = FramingError::Invalid("corrupt block".into());
    for (is_strange, expected) in [(true, FramingError::TooLarge), (false, looked_into)] {
        let mut framing = framing(&compression);
        compression.state().set_strange(true);
        assert_eq!(framing.decode(&mut largest.clone(), &mut Vec::new()).ended, None);
        compression.state().set_strange(is_strange);
        let ended = framing.decode(&mut large.to_vec(), &mut Vec::new()).ended;
        assert_eq!(ended, Some(Ended::Broken(expected)));
    }
}

#[test]
fn who_says_connect_without_agreeing_goes_on_without() {
    for (ours, theirs, shown) in [
        (CompressionMode::S2Auto, "off", "off"),
        (CompressionMode::S2Auto, "s2_fast", "off"),
        (CompressionMode::S2Auto, "", "not supported"),
        (CompressionMode::Off, "off", "off"),
    ] {
        let mut compression = Compression::default();
        compression.leave_out(&options(ours), theirs);
        assert_eq!(compression.state().text(), shown);
    }
}
