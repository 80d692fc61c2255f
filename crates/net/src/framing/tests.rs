use super::*;
use proptest::prelude::*;

/// Frames are `<length>:` and the bytes, or `!length:` where they are copied; control frames are `*`.
struct Lengths {
    max: usize,
    copies: bool,
    control: usize,
}

impl Framing for Lengths {
    fn decode(&mut self, _: &mut [u8], _: &mut Vec<u8>) -> Decoded {
        Decoded::default()
    }

    fn frame(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Framed {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let bytes = all.len().min(self.max);
        if self.copies {
            out.extend_from_slice(format!("!{bytes}:").as_bytes());
            out.extend_from_slice(&all[..bytes]);
            return Framed::Whole(bytes);
        }
        out.extend_from_slice(format!("{bytes}:").as_bytes());
        Framed::Head(bytes)
    }

    fn take_control(&mut self, out: &mut Vec<u8>) {
        out.extend(std::iter::repeat_n(b'*', std::mem::take(&mut self.control)));
    }

    fn take_farewell(&mut self, wanted: Option<&[u8]>) -> Option<Vec<u8>> {
        wanted.map(<[u8]>::to_vec)
    }
}

/// Reads such frames: the bytes in them, and how many control frames stood between.
fn read(mut bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut out, mut control) = (Vec::new(), 0);
    while let Some((&first, rest)) = bytes.split_first() {
        if first == b'*' {
            (control, bytes) = (control + 1, rest);
            continue;
        }
        let rest = if first == b'!' { rest } else { bytes };
        let colon = rest.iter().position(|b| *b == b':').expect("a head");
        let length: usize = std::str::from_utf8(&rest[..colon]).expect("digits").parse().expect("a length");
        out.extend_from_slice(&rest[colon + 1..colon + 1 + length]);
        bytes = &rest[colon + 1 + length..];
    }
    (out, control)
}

proptest! {
    /// However little the socket takes, frames are whole, bytes come in order, and control frames stand between frames.
    #[test]
    fn frames_leave_whole_and_in_order(
        message in prop::collection::vec(b'a'..=b'z', 1..300),
        cut in 1usize..40,
        max in 1usize..100,
        copies: bool,
        rooms in prop::collection::vec(0usize..30, 1..40),
        control_at in prop::collection::vec(0usize..60, 0..5),
    ) {
        let mut framer = Framer::new(Box::new(Lengths { max, copies, control: 0 }), b"*".to_vec());
        let (mut sent, mut at, mut rooms) = (Vec::new(), 0, rooms.into_iter().cycle());
        let below = |room: usize, sent: &mut Vec<u8>, slices: &[IoSlice<'_>]| {
            let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            match all.len().min(room) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                taken => { sent.extend_from_slice(&all[..taken]); Ok(taken) }
            }
        };
        let mut asked = 1;
        for turn in 0..20_000 {
            if at == message.len() {
                break;
            }
            if control_at.contains(&turn) {
                framer.framing = Box::new(Lengths { max, copies, control: 1 });
                asked += 1;
            }
            let slices: Vec<_> = message[at..].chunks(cut).map(IoSlice::new).collect();
            let room = rooms.next().expect("a room") + usize::from(turn % 7 == 0);
            match framer.write(&slices, &mut |slices| below(room, &mut sent, slices)) {
                Ok(taken) => at += taken,
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
        }
        framer.set_farewell(b"3:end".to_vec());
        framer.goodbye(&mut |slices| below(usize::MAX, &mut sent, slices));
        let (bytes, control) = read(&sent);
        prop_assert_eq!(&bytes[..message.len()], &message[..]);
        prop_assert_eq!(&bytes[message.len()..], b"end");
        prop_assert!(control <= asked);
    }
    /// However little the socket takes, so many bytes leave as they are, and frames begin behind them.
    #[test]
    fn what_waits_when_frames_begin_leaves_as_it_is(
        message in prop::collection::vec(b'a'..=b'z', 1..300),
        unframed in 0usize..300,
        cut in 1usize..40,
        copies: bool,
        rooms in prop::collection::vec(1usize..30, 1..40),
    ) {
        let unframed = unframed.min(message.len());
        let mut framer = Framer::behind(Box::new(Lengths { max: 50, copies, control: 1 }), unframed);
        let (mut sent, mut at, mut rooms) = (Vec::new(), 0, rooms.into_iter().cycle());
        while at < message.len() {
            let slices: Vec<_> = message[at..].chunks(cut).map(IoSlice::new).collect();
            let room = rooms.next().expect("a room");
            let mut below = |slices: &[IoSlice<'_>]| {
                let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                let taken = all.len().min(room);
                sent.extend_from_slice(&all[..taken]);
                Ok(taken)
            };
            match framer.write(&slices, &mut below) {
                Ok(taken) => at += taken,
                Err(e) => prop_assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
        }
        prop_assert_eq!(&sent[..unframed], &message[..unframed]);
        prop_assert_eq!(read(&sent[unframed..]), (message[unframed..].to_vec(), usize::from(unframed < message.len())));
    }
}
