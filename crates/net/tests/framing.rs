//! Framing that begins in the middle of a connection, wherever the bytes are cut.

use dialtone_net::framing::{Decoded, Framed, Framing};
use dialtone_net::{
    Accepted, Broken, Closing, DialError, Handler, Link, Loops, Received, Secured, Settings, Socket, Threads,
    Transport,
};
use std::io::{IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Every byte has its lowest bit turned.
struct Turned;

impl Framing for Turned {
    fn decode(&mut self, input: &mut [u8], extra: &mut Vec<u8>) -> Decoded {
        extra.extend(input.iter().map(|byte| byte ^ 1));
        Decoded { used: input.len(), ..Decoded::default() }
    }

    fn frame(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Framed {
        let before = out.len();
        slices.iter().for_each(|slice| out.extend(slice.iter().map(|byte| byte ^ 1)));
        Framed::Whole(out.len() - before)
    }

    fn take_control(&mut self, _: &mut Vec<u8>) {}

    fn take_farewell(&mut self, _: Option<&[u8]>) -> Option<Vec<u8>> {
        None
    }
}

/// A frame has its length in front, in one byte. One is decoded at a time.
#[derive(Default)]
struct Counted {
    left: usize,
}

impl Framing for Counted {
    fn decode(&mut self, input: &mut [u8], extra: &mut Vec<u8>) -> Decoded {
        let head = usize::from(self.left == 0);
        if head == 1 {
            self.left = usize::from(input[0]);
        }
        let taken = self.left.min(input.len() - head);
        extra.extend_from_slice(&input[head..head + taken]);
        self.left -= taken;
        Decoded { used: head + taken, ..Decoded::default() }
    }

    fn frame(&mut self, slices: &[IoSlice<'_>], out: &mut Vec<u8>) -> Framed {
        let payload = slices.iter().map(|slice| &**slice).collect::<Vec<&[u8]>>().concat();
        out.extend(counted(&payload));
        Framed::Whole(payload.len())
    }

    fn take_control(&mut self, _: &mut Vec<u8>) {}

    fn take_farewell(&mut self, _: Option<&[u8]>) -> Option<Vec<u8>> {
        None
    }
}

/// Takes words that end with a blank, and reports them. Behind the word `turn` all is turned, and behind `frame` it is in frames, which
/// are turned behind `carry`.
struct Words(Sender<String>);

impl Handler for Words {
    type Connection = Arc<Link>;
    type Post = ();

    fn begin(&mut self, _: Instant) {}

    fn open(&mut self, accepted: Accepted) -> Option<(Arc<Link>, Transport)> {
        Some((accepted.link, Transport::Plain))
    }

    fn undialed(&mut self, _: u64, _: DialError) {}

    fn posted(&mut self, (): ()) {}

    fn greet(&mut self, _: &mut Arc<Link>) {}

    fn proxied(&mut self, _: &mut Arc<Link>, _: Option<SocketAddr>) {}

    fn secured(&mut self, _: &mut Arc<Link>, _: Secured) {}

    fn receive(&mut self, link: &mut Arc<Link>, input: &[u8]) -> Received {
        let mut used = 0;
        for word in input.split_inclusive(|&byte| byte == b' ').filter(|word| word.ends_with(b" ")) {
            used += word.len();
            // Once the test is over nobody listens.
            let _ = self.0.send(String::from_utf8_lossy(word).into_owned());
            if word == b"turn " {
                assert!(link.begin_framing_behind(Box::new(Turned), 6));
                let unframed = link.write(&[IoSlice::new(b"plain "), IoSlice::new(b"turned ")]);
                assert_eq!(unframed.expect("written"), 6);
                link.write(&[IoSlice::new(b"turned ")]).expect("written");
                return Received { used, begins_framing: true, ..Received::default() };
            }
            if word == b"frame " {
                assert!(link.begin_framing_behind(Box::<Counted>::default(), 0));
                link.write(&[IoSlice::new(b"framed ")]).expect("written");
                return Received { used, begins_framing: true, ..Received::default() };
            }
            if word == b"carry " {
                assert!(!link.begin_framing_behind(Box::new(Turned), 1), "how many frames would wait?");
                assert!(link.begin_framing_behind(Box::new(Turned), 0));
                assert!(!link.begin_framing_behind(Box::new(Turned), 0), "they are carried already");
                link.write(&[IoSlice::new(b"carried ")]).expect("written");
                return Received { used, begins_framing: true, ..Received::default() };
            }
        }
        Received { used, ..Received::default() }
    }

    fn is_authenticated(&self, _: &Arc<Link>) -> bool {
        true
    }

    fn deadline(&self, _: &Arc<Link>) -> Option<Instant> {
        None
    }

    fn expire(&mut self, _: &mut Arc<Link>) {}

    fn flush(&mut self, _: &mut Arc<Link>) -> bool {
        false
    }

    fn woken(&mut self, _: &mut Arc<Link>) -> bool {
        false
    }

    fn closing(&self, _: &Arc<Link>) -> Option<Closing> {
        None
    }

    fn broken(&mut self, _: &mut Arc<Link>, _: Broken) {}

    fn closed(&mut self, _: Arc<Link>) {}

    fn finish(&mut self) -> bool {
        false
    }

    fn idle(&mut self) {}
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 1).collect()
}

fn counted(payload: &[u8]) -> Vec<u8> {
    [&[payload.len() as u8], payload].concat()
}

/// A loop with a connection by which this came, cut in two: the other end of that, and the words that the handler saw.
fn fed(sent: &[u8], cut: usize) -> (Loops, UnixStream, Receiver<String>) {
    let (sender, seen) = channel();
    let handler = move |_| Words(sender.clone());
    let loops = Loops::start(&Threads::default(), Settings { loops: 1 }, handler).expect("loops");
    let (ours, mut theirs) = Socket::pair().expect("sockets");
    theirs.write_all(&sent[..cut]).expect("written");
    loops.take(ours, None, 0);
    theirs.write_all(&sent[cut..]).expect("written");
    (loops, theirs, seen)
}

#[test]
fn framing_begins_behind_what_was_used() {
    let sent = [b"one turn ".to_vec(), turned(b"two three ")].concat();
    for cut in 0..=sent.len() {
        let (mut loops, mut theirs, seen) = fed(&sent, cut);
        for expected in ["one ", "turn ", "two ", "three "] {
            assert_eq!(seen.recv_timeout(PATIENCE).as_deref(), Ok(expected), "cut at {cut}");
        }
        let mut answer = [0; 13];
        theirs.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer.to_vec(), [b"plain ".to_vec(), turned(b"turned ")].concat());
        loops.stop();
    }
}

/// What carries frames begins behind the frame that says so, wherever the bytes are cut.
#[test]
fn frames_are_carried_by_other_frames_from_one_byte_on() {
    let carried = [counted(b"three four "), counted(b"five ")].concat();
    let sent = [b"one frame ".to_vec(), counted(b"two "), counted(b"carry "), turned(&carried)].concat();
    for cut in 0..=sent.len() {
        let (mut loops, mut theirs, seen) = fed(&sent, cut);
        for expected in ["one ", "frame ", "two ", "carry ", "three ", "four ", "five "] {
            assert_eq!(seen.recv_timeout(PATIENCE).as_deref(), Ok(expected), "cut at {cut}");
        }
        let expected = [counted(b"framed "), turned(&counted(b"carried "))].concat();
        let mut answer = vec![0; expected.len()];
        theirs.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer, expected);
        loops.stop();
    }
}
