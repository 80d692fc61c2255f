use super::*;
use proptest::prelude::*;

const KEY: [u8; 4] = [0x11, 0x80, 0x00, 0xFF];

/// A frame as a client writes it.
fn client_frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut out = vec![first];
    let bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        n @ ..126 => out.push(bit | n as u8),
        n @ 126..65536 => {
            out.push(bit | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(bit | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    if masked {
        out.extend(KEY);
        out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
    } else {
        out.extend(payload);
    }
    out
}

fn stream(masked: bool, deflate: bool, max: usize) -> Stream {
    Stream::new(Agreed { masked, deflate }, Masking::Off, max)
}

/// The other side: it reads what a server frames, and masks what it sends.
fn client(deflate: bool, max: usize) -> Stream {
    Stream::new(Agreed { masked: false, deflate }, Masking::Keys(|| KEY), max)
}

/// Feeds `bytes` in pieces of these sizes: what came out, the PONGs, and how it ended.
fn feed(stream: &mut Stream, bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, Vec<u8>, Option<Ended>) {
    let (mut out, mut pongs, mut ended) = (Vec::new(), Vec::new(), None);
    let (mut at, mut pieces) = (0, pieces.iter().cycle());
    while at < bytes.len() {
        let size = (*pieces.next().expect("a piece")).clamp(1, bytes.len() - at);
        let mut piece = bytes[at..at + size].to_vec();
        at += size;
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let mut inflated = Vec::new();
            let decoded = stream.decode(rest, &mut inflated);
            out.extend_from_slice(&rest[..decoded.plain]);
            out.extend_from_slice(&inflated);
            stream.take_control(&mut pongs);
            ended = ended.or(decoded.ended.clone());
            if decoded.ended.is_some() {
                return (out, pongs, ended);
            }
            assert!(decoded.used > 0, "it stands still");
            rest = &mut rest[decoded.used..];
        }
    }
    (out, pongs, ended)
}

/// Whole, and cut at every byte.
#[track_caller]
fn check(bytes: &[u8], deflate: bool, expected: &[u8], pongs: &[u8], ended: Option<&Ended>) {
    for size in 1..=bytes.len() {
        let got = feed(&mut stream(true, deflate, 1000), bytes, &[size]);
        assert_eq!(got, (expected.to_vec(), pongs.to_vec(), ended.cloned()), "in pieces of {size}");
    }
}

fn invalid(text: &str) -> Option<Ended> {
    Some(Ended::Invalid(text.into()))
}

#[test]
fn control_frames_stand_inside_messages() {
    let mut bytes = client_frame(0x02, b"PI", true);
    bytes.extend(client_frame(0x89, b"there?", true));
    bytes.extend(client_frame(0x00, b"", true));
    bytes.extend(client_frame(0x8A, b"yes", true));
    bytes.extend(client_frame(0x80, b"NG\r\n", true));
    bytes.extend(client_frame(0x81, b"text too", true));
    check(&bytes, false, b"PING\r\ntext too", b"\x8A\x06there?", None);
}

/// What is no frame ends the connection; what came before it counts. CVE-2026-27889 was one of these.
#[test]
fn what_is_no_frame_ends_the_connection() {
    let cases: [(Vec<u8>, &str); 11] = [
        (client_frame(0x82, b"x", false), "mask bit missing"),
        (client_frame(0x80, b"x", true), "invalid continuation frame"),
        (client_frame(0x83, b"x", true), "unknown opcode 3"),
        (client_frame(0x8B, b"x", true), "unknown opcode 11"),
        (client_frame(0x92, b"x", true), "reserved bits set"),
        (client_frame(0xC9, b"x", true), "reserved bits set"),
        (client_frame(0xC2, b"x", true), "compressed message but permessage-deflate was not negotiated"),
        (client_frame(0x09, b"x", true), "control frame does not have final bit set"),
        (
            client_frame(0x89, &[0; 126], true),
            "control frame length bigger than maximum allowed of 125 bytes",
        ),
        (
            [client_frame(0x02, b"", true), client_frame(0x82, b"x", true)].concat(),
            "new message started before final frame for previous message was received",
        ),
        ([&[0x82, 0xFF, 0x80][..], &[0; 7], &KEY, b"x"].concat(), "invalid frame length"),
    ];
    for (bad, why) in cases {
        let bytes = [client_frame(0x82, b"before", true), bad].concat();
        check(&bytes, false, b"before", b"", invalid(why).as_ref());
    }
}

#[test]
fn a_continuation_that_says_it_is_compressed_is_refused() {
    let bytes = [client_frame(0x42, b"", true), client_frame(0xC0, b"x", true)].concat();
    check(&bytes, true, b"", b"", invalid("invalid continuation frame").as_ref());
}

/// A length of 2^63-1 is a promise: nothing is kept for it.
#[test]
fn a_frame_of_any_length_passes_through() {
    let mut stream = stream(false, false, 10);
    let head = [&[0x82, 0x7F, 0x7F][..], &[0xFF; 7]].concat();
    let (out, ..) = feed(&mut stream, &[head, vec![7; 100_000]].concat(), &[1000]);
    assert_eq!(out.len(), 100_000);
}

#[test]
fn a_close_frame_is_answered_by_its_like() {
    let cases: [(&[u8], &[u8]); 4] = [
        (b"", b"\x88\x00"),
        (b"\x03\xE8", b"\x88\x02\x03\xE8"),
        (b"\x03\xE8bye", b"\x88\x05\x03\xE8bye"),
        (b"\x03\xE8\xFF", b"\x88\x22\x03\xEFinvalid utf8 body in close frame"),
    ];
    for (payload, answer) in cases {
        let bytes = [client_frame(0x82, b"x", true), client_frame(0x88, payload, true)].concat();
        check(&bytes, false, b"x", b"", Some(&Ended::Closed));
        let mut stream = stream(true, false, 10);
        feed(&mut stream, &bytes, &[100]);
        let wanted = close::payload(CloseReason::ServerShutdown);
        assert_eq!(stream.take_farewell(Some(&wanted)).as_deref(), Some(answer));
        assert_eq!(stream.take_farewell(Some(&wanted)), None);
        let (out, ..) = feed(&mut stream, &client_frame(0x82, b"late", true), &[100]);
        assert!(out.is_empty());
    }
}

#[test]
fn a_close_frame_says_a_status_that_may_be_said() {
    for payload in [&b"\x03"[..], b"\x03\xED", b"\x00\x01", b"\x03\xF7", b"\xFF\xFF"] {
        check(&client_frame(0x88, payload, true), false, b"", b"", invalid("invalid close status").as_ref());
    }
}

#[test]
fn a_reason_has_its_status() {
    let mut stream = stream(true, false, 10);
    assert_eq!(stream.take_farewell(None), None);
    let said = stream.take_farewell(Some(&close::payload(CloseReason::ServerShutdown)));
    assert_eq!(said.as_deref(), Some(&b"\x88\x11\x03\xE9Server Shutdown"[..]));
    assert_eq!(stream.take_farewell(Some(&close::payload(CloseReason::ClientClosed))), None);
}

/// A client masks all that it sends: messages, compressed or not, PONGs, and why it goes.
#[test]
fn a_client_masks_all_that_it_sends() {
    let mut client = client(true, 1000);
    let mut sent = Vec::new();
    for text in [&b"short"[..], &[b'a'; 300]] {
        assert_eq!(client.frame(std::iter::once(text), &mut sent), Framed::Whole(text.len()));
    }
    client.decode(&mut client_frame(0x89, b"there?", false), &mut Vec::new());
    client.take_control(&mut sent);
    sent.extend(client.take_farewell(Some(&close::payload(CloseReason::ServerShutdown))).expect("a frame"));
    // A server that wants masks takes it all.
    let mut server = stream(true, true, 1000);
    let (read, _, ended) = feed(&mut server, &sent, &[7]);
    assert_eq!((read, ended), ([&b"short"[..], &[b'a'; 300]].concat(), Some(Ended::Closed)));
    assert_eq!(server.take_farewell(None).as_deref(), Some(&b"\x88\x11\x03\xE9Server Shutdown"[..]));
    // Its text is nowhere as it was.
    assert!(!sent.windows(4).any(|four| four == b"shor" || four == b"ther" || four == b"Serv"));
}

/// A server does not mask, and what it would inflate to beyond the bound is not inflated: the dialled side of CVE-2026-27571 and -27889.
#[test]
fn a_hostile_server_is_refused_as_a_hostile_client_is() {
    let refused = feed(&mut client(false, 1000), &client_frame(0x82, b"x", true), &[100]);
    assert_eq!(refused.2, invalid("unexpected mask bit"));
    let mut payload = Vec::new();
    assert!(deflate::deflate(std::iter::once(&vec![0; 16 << 20][..]), &mut payload));
    let (out, _, ended) = feed(&mut client(true, 1 << 20), &client_frame(0xC2, &payload, false), &[65536]);
    assert_eq!(ended, Some(Ended::TooLarge));
    assert!(out.len() < 3 << 20, "{}", out.len());
    let compressed = client_frame(0xC2, b"x", false);
    let why = "compressed message but permessage-deflate was not negotiated";
    assert_eq!(feed(&mut client(false, 1000), &compressed, &[1]).2, invalid(why));
}

#[test]
fn pongs_for_a_peer_that_does_not_read_are_bounded() {
    let mut stream = stream(true, false, 10);
    let ping = client_frame(0x89, &[1; 125], true);
    for _ in 0..1000 {
        stream.decode(&mut ping.clone(), &mut Vec::new());
    }
    let mut pongs = Vec::new();
    stream.take_control(&mut pongs);
    assert!((127..2048).contains(&pongs.len()), "{}", pongs.len());
}

/// CVE-2026-27571: of a message that would be larger than it may be no more is inflated.
#[test]
fn a_bomb_is_stopped_at_the_bound() {
    let mut payload = Vec::new();
    assert!(deflate::deflate(std::iter::once(&vec![0; 64 << 20][..]), &mut payload));
    let bytes = client_frame(0xC2, &payload, true);
    let (out, _, ended) = feed(&mut stream(true, true, 1 << 20), &bytes, &[65536]);
    assert_eq!(ended, Some(Ended::TooLarge));
    assert!(out.len() < 3 << 20, "{}", out.len());
}

#[test]
fn small_messages_go_as_they_are() {
    let mut stream = stream(true, true, 10);
    let mut out = Vec::new();
    assert_eq!(stream.frame(std::iter::once(&[b'a'; 64][..]), &mut out), Framed::Head(64));
    assert_eq!(out, [0x82, 64]);
    out.clear();
    assert_eq!(stream.frame([&[b'a'; 64][..], b"a"].into_iter(), &mut out), Framed::Whole(65));
    assert_eq!(out[0], 0xC2);
}

/// What one end frames, read at the other.
fn read_back(sent: &[u8], masked: bool, pieces: &[usize]) -> Vec<u8> {
    feed(&mut stream(masked, true, usize::MAX - 1), sent, pieces).0
}

proptest! {
    #[test]
    fn what_is_framed_comes_back_however_it_is_cut(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(0u8..5, 0..400), 1..5), 1..5),
        deflate: bool,
        masks: bool,
        pieces in prop::collection::vec(1usize..300, 1..6),
    ) {
        let mut stream = if masks { client(deflate, 10) } else { stream(true, deflate, 10) };
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for batch in batches {
            let flat = batch.concat();
            if flat.is_empty() {
                continue;
            }
            match stream.frame(batch.iter().map(Vec::as_slice), &mut sent) {
                Framed::Head(bytes) => {
                    prop_assert_eq!(bytes, flat.len());
                    sent.extend_from_slice(&flat);
                }
                Framed::Whole(bytes) => prop_assert_eq!(bytes, flat.len()),
            }
            expected.extend(flat);
        }
        prop_assert_eq!(read_back(&sent, masks, &pieces), expected);
    }

    #[test]
    fn any_bytes_give_the_same_whole_and_in_pieces(
        bytes in prop::collection::vec(prop_oneof![Just(0x82u8), Just(0x80), Just(0x89), any::<u8>()], 0..200),
        masked: bool,
        pieces in prop::collection::vec(1usize..20, 1..6),
    ) {
        let whole = feed(&mut stream(masked, false, 1000), &bytes, &[usize::MAX]);
        let cut = feed(&mut stream(masked, false, 1000), &bytes, &pieces);
        prop_assert_eq!(whole, cut);
    }
}
