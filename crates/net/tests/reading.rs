//! What a loop reads of a connection at a time, how often it hands over what is not whole, and when its next turn begins.

use dialtone_net::{
    Accepted, Broken, Closing, DialError, Handler, Link, Loops, Received, Secured, Settings, Socket, Threads,
    Transport,
};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The least that a socket of the system takes before anybody reads is more than this.
const SENT_BYTES: usize = 100_000;

/// Uses nothing of a stranger's bytes, as while a password is checked, and all of a friend's. Reports the sizes of both.
struct Reader {
    known: bool,
    /// Turns at whose end there is more to do. Reports 0 for each.
    busy: usize,
    seen: Sender<usize>,
}

impl Handler for Reader {
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

    fn receive(&mut self, _: &mut Arc<Link>, input: &[u8]) -> Received {
        self.seen.send(input.len()).expect("the test listens");
        let used = if self.known { input.len() } else { 0 };
        Received { used, pause: Some(Instant::now() + PATIENCE), ..Received::default() }
    }

    fn is_authenticated(&self, _: &Arc<Link>) -> bool {
        self.known
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
        let has_more = self.busy > 0;
        if has_more {
            self.busy -= 1;
            self.seen.send(0).expect("the test listens");
        }
        has_more
    }

    fn idle(&mut self) {}
}

/// The sizes that the handler saw until the peer had sent all, and everything had ended.
fn seen(known: bool) -> Vec<usize> {
    let (sender, seen): (_, Receiver<usize>) = channel();
    let handler = move |_| Reader { known, busy: 0, seen: sender.clone() };
    let mut loops = Loops::start(&Threads::default(), Settings { loops: 1 }, handler).expect("loops");
    let (ours, mut theirs) = Socket::pair().expect("sockets");
    theirs.write_all(&[b'x'; SENT_BYTES]).expect("the system takes it");
    loops.take(ours, None, 0);
    let first = seen.recv_timeout(PATIENCE).expect("bytes");
    loops.stop();
    std::iter::once(first).chain(seen.try_iter()).collect()
}

#[test]
fn little_is_kept_of_a_stranger_that_waits() {
    assert_eq!(seen(false), [16 * 1024]);
    assert_eq!(seen(true), [SENT_BYTES]);
}

/// Nothing happens that a loop could wake for, and yet its turns go on.
#[test]
fn a_turn_that_has_more_to_do_is_followed_by_the_next() {
    const TURNS: usize = 50;
    let (sender, seen): (_, Receiver<usize>) = channel();
    let handler = move |_| Reader { known: true, busy: TURNS, seen: sender.clone() };
    let mut loops = Loops::start(&Threads::default(), Settings { loops: 1 }, handler).expect("loops");
    let (ours, _theirs) = Socket::pair().expect("sockets");
    loops.take(ours, None, 0);
    let turns = (0..TURNS).map_while(|_| seen.recv_timeout(PATIENCE).ok());
    assert_eq!(turns.count(), TURNS);
    loops.stop();
}
