//! The simulation itself: who is connected to whom, and what happens next.

use crate::link::{Conditions, End, Touched};
use crate::process::Process;
use crate::random::Random;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

/// A deadline that stays in the past is asked for again after this time, as an event loop would.
const EXPIRE_AGAIN: Duration = Duration::from_millis(1);
/// A process that is called wakes up within this time.
const WAKE_MAX: Duration = Duration::from_micros(50);

/// Something that will happen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A piece arrives at an end.
    Arrives(usize, Vec<u8>),
    /// An end that reads again gets what waited for it.
    Reads(usize),
    /// The last piece has arrived at an end.
    Ends(usize),
    /// An end may write again.
    Writable(usize),
    /// A process wakes up.
    Wakes(usize),
}

struct Connected {
    end: End,
    process: usize,
    /// When the last planned piece arrives at this end.
    last_arrival: Duration,
    /// The end of what arrives here is planned, or waits until all is read.
    ending: bool,
    /// It has come, and waits.
    end_waits: bool,
    /// That it reads what waits is planned.
    will_read: bool,
    /// Not spoken of any more.
    gone: bool,
}

struct Link {
    conditions: Conditions,
    /// Whether nothing arrives at the first end, and at the second.
    is_cut: [bool; 2],
    /// What would have arrived while it is cut.
    held: Vec<Event>,
}

/// When processes want to be looked at.
#[derive(Default)]
struct Deadlines {
    of: Vec<Option<Duration>>,
    /// All of them, the first one first.
    all: BTreeSet<(Duration, usize)>,
    /// A deadline that was in the past is not looked at before this time.
    patience: BTreeMap<usize, Duration>,
}

impl Deadlines {
    fn set(&mut self, process: usize, deadline: Option<Duration>) {
        if self.of.len() <= process {
            self.of.resize(process + 1, None);
        }
        let at = deadline.map(|at| self.patience.get(&process).map_or(at, |patience| at.max(*patience)));
        let Some(known) = self.of.get_mut(process) else { return };
        if let Some(before) = std::mem::replace(known, at) {
            self.all.remove(&(before, process));
        }
        self.all.extend(at.map(|at| (at, process)));
    }
}

/// Processes, the links between them, and virtual time.
pub struct Network<P> {
    now: Duration,
    random: Random,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    planned: u64,
    processes: Vec<P>,
    waking: Vec<bool>,
    deadlines: Deadlines,
    /// Processes whose deadline may have changed.
    handled: Vec<usize>,
    touched: Touched,
    /// Both ends of link `n` are `2n` and `2n + 1`.
    ends: Vec<Connected>,
    links: Vec<Link>,
    digest: u64,
}

impl<P: Process> Network<P> {
    /// An empty network. The seed decides all that is random in it.
    pub fn new(seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            random: Random::new(seed),
            events: BinaryHeap::new(),
            planned: 0,
            processes: Vec::new(),
            waking: Vec::new(),
            deadlines: Deadlines::default(),
            handled: Vec::new(),
            touched: Touched::default(),
            ends: Vec::new(),
            links: Vec::new(),
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// The time since the simulation began.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What is random besides the network; of the same seed.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// A digest of all that has arrived so far, where and when: the same for the same seed.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Adds a process; its number.
    pub fn add(&mut self, process: P) -> usize {
        self.processes.push(process);
        self.waking.push(false);
        self.handled.push(self.processes.len() - 1);
        self.processes.len() - 1
    }

    /// A process, to look at and to change. What it writes thereby is sent with the next event, or by [`Network::settle`].
    pub fn process(&mut self, number: usize) -> Option<&mut P> {
        self.handled.push(number);
        self.processes.get_mut(number)
    }

    /// Connects two processes; the number of the link.
    pub fn connect(&mut self, from: usize, to: usize, conditions: Conditions) -> usize {
        let ends = End::pair(self.ends.len(), conditions.window_bytes, &self.touched);
        for (end, process) in ends.iter().zip([from, to]) {
            let end = end.clone();
            self.ends.push(Connected {
                end,
                process,
                last_arrival: self.now,
                ending: false,
                end_waits: false,
                will_read: false,
                gone: false,
            });
        }
        self.links.push(Link { conditions, is_cut: [false; 2], held: Vec::new() });
        for (end, process) in ends.into_iter().zip([from, to]) {
            let now = self.now;
            if let Some(process) = self.process(process) {
                process.opened(now, end);
            }
        }
        self.settle();
        self.links.len() - 1
    }

    /// Nothing arrives by a link until it is mended; nobody is told.
    pub fn cut(&mut self, link: usize) {
        if let Some(link) = self.links.get_mut(link) {
            link.is_cut = [true; 2];
        }
    }

    /// Nothing arrives at this end until its link is mended; nobody is told. What it sends does.
    pub fn cut_toward(&mut self, end: usize) {
        if let Some(is_cut) = self.links.get_mut(end / 2).and_then(|link| link.is_cut.get_mut(end % 2)) {
            *is_cut = true;
        }
    }

    /// What was held back by a cut arrives now.
    pub fn mend(&mut self, link: usize) {
        let Some(link) = self.links.get_mut(link) else { return };
        link.is_cut = [false; 2];
        for event in std::mem::take(&mut link.held) {
            self.plan(self.now, event);
        }
    }

    /// Breaks a connection: what is under way is lost, and both ends see it closed.
    pub fn reset(&mut self, link: usize) {
        for number in [2 * link, 2 * link + 1] {
            let Some(connected) = self.ends.get_mut(number) else { return };
            connected.end.with_outgoing(|outgoing| outgoing.broken = true);
            connected.ending = true;
            self.plan(self.now, Event::Ends(number));
        }
    }

    /// Lets everything happen until this time, which it is then.
    pub fn run_until(&mut self, time: Duration) {
        self.settle();
        while self.next_time().is_some_and(|at| at <= time) {
            self.step();
        }
        self.now = self.now.max(time);
    }

    /// Lets one thing happen. False if nothing will.
    pub fn step(&mut self) -> bool {
        let Some(next) = self.next_time() else { return false };
        self.now = self.now.max(next);
        if self.events.peek().is_some_and(|Reverse((at, ..))| *at <= self.now) {
            if let Some(Reverse((_, _, event))) = self.events.pop() {
                self.happen(event);
            }
        } else if let Some((number, _)) = self.first_deadline() {
            self.deadlines.patience.insert(number, self.now + EXPIRE_AGAIN);
            let now = self.now;
            if let Some(process) = self.process(number) {
                process.expire(now);
            }
        }
        self.settle();
        true
    }

    /// When something happens next, if anything does.
    pub fn next_time(&self) -> Option<Duration> {
        let event = self.events.peek().map(|Reverse((at, ..))| *at);
        event.into_iter().chain(self.first_deadline().map(|(_, at)| at)).min()
    }

    fn first_deadline(&self) -> Option<(usize, Duration)> {
        self.deadlines.all.first().map(|(at, number)| (*number, *at))
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((at, self.planned, event)));
    }

    fn happen(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Arrives(end, _) | Event::Ends(end) | Event::Writable(end)
                if self.links.get(end / 2).is_some_and(|link| link.is_cut.get(end % 2) == Some(&true)) =>
            {
                if let Some(link) = self.links.get_mut(end / 2) {
                    link.held.push(event);
                }
            }
            Event::Arrives(end, bytes) => self.arrive(end, bytes),
            Event::Reads(end) => self.read(end),
            Event::Ends(end) => {
                let Some(connected) = self.ends.get_mut(end).filter(|connected| !connected.gone) else {
                    return;
                };
                // What nobody reads keeps its end from being seen, unless it is broken.
                let waits =
                    connected.end.with_incoming(|incoming| !incoming.arrived.is_empty() && !incoming.broken);
                if waits {
                    connected.end_waits = true;
                    return;
                }
                connected.gone = true;
                note(&mut self.digest, now, end, b"end");
                let number = connected.process;
                if let Some(process) = self.process(number) {
                    process.closed(now, end);
                }
            }
            Event::Writable(end) => {
                let Some(connected) = self.ends.get(end).filter(|connected| !connected.gone) else { return };
                let number = connected.process;
                if let Some(process) = self.process(number) {
                    process.writable(now, end);
                }
            }
            Event::Wakes(number) => {
                if let Some(waking) = self.waking.get_mut(number) {
                    *waking = false;
                }
                if let Some(process) = self.process(number) {
                    process.called(now);
                }
            }
        }
    }

    fn arrive(&mut self, end: usize, bytes: Vec<u8>) {
        let Some(connected) = self.ends.get(end).filter(|connected| !connected.gone) else { return };
        let at_once = connected.end.with_incoming(|incoming| {
            if !incoming.broken {
                incoming.arrived.push_back(bytes);
            }
            incoming.reading && incoming.arrived.len() == 1
        });
        if at_once {
            self.read(end);
        }
    }

    /// Hands over what has arrived at an end.
    fn read(&mut self, end: usize) {
        let now = self.now;
        let Some(connected) = self.ends.get_mut(end).filter(|connected| !connected.gone) else { return };
        connected.will_read = false;
        self.handled.push(connected.process);
        // Its reading makes room for the other end.
        self.touched.lock().extend([end, end ^ 1]);
        loop {
            let next = connected.end.with_incoming(|incoming| {
                let next =
                    incoming.arrived.front().filter(|_| incoming.reading && !incoming.broken).is_some();
                let next = if next { incoming.arrived.pop_front() } else { None }?;
                incoming.unread_bytes -= next.len();
                Some(next)
            });
            let Some(bytes) = next else { break };
            note(&mut self.digest, now, end, &bytes);
            if let Some(process) = self.processes.get_mut(connected.process) {
                process.received(now, end, &bytes);
            }
        }
        if connected.end_waits {
            self.plan(now, Event::Ends(end));
        }
    }

    /// Sends what was written, and plans what follows from it.
    pub fn settle(&mut self) {
        let mut touched = std::mem::take(&mut *self.touched.lock());
        touched.sort_unstable();
        touched.dedup();
        for number in touched {
            self.read_again(number);
            self.send(number);
            self.handled.extend(self.ends.get(number).map(|connected| connected.process));
        }
        let mut handled = std::mem::take(&mut self.handled);
        handled.sort_unstable();
        handled.dedup();
        for number in handled {
            if let Some(process) = self.processes.get(number) {
                self.deadlines.set(number, process.deadline());
            }
        }
        for number in 0..self.processes.len() {
            let called = self.processes.get(number).is_some_and(Process::is_called);
            if called && self.waking.get(number) == Some(&false) {
                if let Some(waking) = self.waking.get_mut(number) {
                    *waking = true;
                }
                let after = self.random.between(Duration::ZERO, WAKE_MAX);
                self.plan(self.now + after, Event::Wakes(number));
            }
        }
    }

    /// Plans that an end that reads again gets what waited for it.
    fn read_again(&mut self, number: usize) {
        let Some(connected) = self.ends.get_mut(number).filter(|connected| !connected.gone) else { return };
        let may_read =
            connected.end.with_incoming(|incoming| incoming.reading && !incoming.arrived.is_empty());
        if may_read && !connected.will_read {
            connected.will_read = true;
            self.plan(self.now, Event::Reads(number));
        }
    }

    /// Puts what an end has written on its way, and lets it write again when there is room.
    fn send(&mut self, number: usize) {
        let other = number ^ 1;
        let Some(conditions) = self.links.get(number / 2).map(|link| link.conditions) else { return };
        let Some(end) = self.ends.get(number).map(|connected| connected.end.clone()) else { return };
        let (written, closed, room_again) = end.with_outgoing(|outgoing| {
            let written = std::mem::take(&mut outgoing.written);
            outgoing.unread_bytes += written.len();
            let room_again = outgoing.blocked && outgoing.unread_bytes < conditions.window_bytes;
            outgoing.blocked &= !room_again;
            (written, outgoing.closed, room_again)
        });
        let mut rest = written.as_slice();
        while !rest.is_empty() {
            let size = 1 + self.random.below(rest.len().min(conditions.piece_bytes_max));
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            let at = self.arrival(other, conditions);
            self.plan(at, Event::Arrives(other, piece.to_vec()));
            rest = behind;
        }
        let ends =
            closed && self.ends.get(other).is_some_and(|connected| !connected.ending && !connected.gone);
        if ends {
            let at = self.arrival(other, conditions);
            self.plan(at, Event::Ends(other));
            if let Some(connected) = self.ends.get_mut(other) {
                connected.ending = true;
            }
        }
        if room_again {
            let after = self.random.between(conditions.delay_min, conditions.delay_max);
            self.plan(self.now + after, Event::Writable(number));
        }
    }

    /// When the next piece arrives at an end.
    fn arrival(&mut self, end: usize, conditions: Conditions) -> Duration {
        let at = self.now + self.random.between(conditions.delay_min, conditions.delay_max);
        let Some(connected) = self.ends.get_mut(end) else { return at };
        connected.last_arrival = connected.last_arrival.max(at);
        connected.last_arrival
    }
}

/// Adds what arrived to the digest (FNV-1a).
fn note(digest: &mut u64, at: Duration, end: usize, bytes: &[u8]) {
    let head = (at.as_nanos() as u64).to_le_bytes().into_iter().chain((end as u64).to_le_bytes());
    for byte in head.chain(bytes.iter().copied()) {
        *digest = (*digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;

    /// Sends numbered bytes by its first connection, and keeps what comes.
    #[derive(Default)]
    struct Counter {
        ends: Vec<End>,
        to_send: usize,
        sent: usize,
        got: Vec<u8>,
        closed: bool,
    }

    impl Counter {
        fn send(&mut self) {
            let Some(end) = self.ends.first() else { return };
            while self.sent < self.to_send {
                let bytes: Vec<u8> = (self.sent..self.to_send).map(|n| n as u8).collect();
                match end.write(&[IoSlice::new(&bytes)]) {
                    Ok(taken) => self.sent += taken,
                    Err(_) => return,
                }
            }
        }
    }

    impl Process for Counter {
        fn opened(&mut self, _now: Duration, end: End) {
            self.ends.push(end);
            self.send();
        }

        fn received(&mut self, _now: Duration, _end: usize, bytes: &[u8]) {
            self.got.extend_from_slice(bytes);
        }

        fn writable(&mut self, _now: Duration, _end: usize) {
            self.send();
        }

        fn closed(&mut self, _now: Duration, _end: usize) {
            self.closed = true;
        }

        fn deadline(&self) -> Option<Duration> {
            None
        }

        fn expire(&mut self, _now: Duration) {}
    }

    fn connected(seed: u64, to_send: usize) -> Network<Counter> {
        let mut network = Network::new(seed);
        let first = network.add(Counter { to_send, ..Counter::default() });
        let second = network.add(Counter { to_send: 10, ..Counter::default() });
        network.connect(
            first,
            second,
            Conditions { window_bytes: 100, piece_bytes_max: 7, ..Conditions::default() },
        );
        network
    }

    fn counted(n: usize) -> Vec<u8> {
        (0..n).map(|n| n as u8).collect()
    }

    #[test]
    fn bytes_arrive_whole_and_in_order_and_the_same_for_a_seed() {
        let run = |seed| {
            let mut network = connected(seed, 1000);
            while network.step() {}
            assert_eq!(network.process(0).expect("there").got, counted(10));
            assert_eq!(network.process(1).expect("there").got, counted(1000));
            network.digest()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn a_window_that_is_full_holds_the_writer_until_the_other_end_reads() {
        let mut network = connected(3, 1000);
        network.process(1).expect("there").ends[0].set_reading(false);
        network.run_until(Duration::from_secs(10));
        assert_eq!(network.process(0).expect("there").sent, 100);
        assert_eq!(network.process(1).expect("there").got, []);
        network.process(1).expect("there").ends[0].set_reading(true);
        network.run_until(Duration::from_secs(20));
        assert_eq!(network.process(1).expect("there").got, counted(1000));
    }

    #[test]
    fn a_cut_holds_everything_and_a_mended_link_loses_nothing() {
        let mut network = connected(4, 1000);
        network.cut(0);
        network.run_until(Duration::from_secs(10));
        assert_eq!(network.process(1).expect("there").got, []);
        network.mend(0);
        network.run_until(Duration::from_secs(20));
        assert_eq!(network.process(1).expect("there").got, counted(1000));
    }

    #[test]
    fn a_close_comes_behind_the_bytes_and_a_reset_at_once() {
        let mut network = connected(5, 50);
        network.process(0).expect("there").ends[0].close();
        network.run_until(Duration::from_secs(1));
        assert!(network.process(1).expect("there").closed && !network.process(0).expect("there").closed);
        assert_eq!(network.process(1).expect("there").got, counted(50));
        let mut network = connected(6, 1000);
        network.reset(0);
        network.run_until(Duration::from_secs(1));
        assert!(network.process(1).expect("there").closed && network.process(0).expect("there").closed);
        assert_eq!(network.process(1).expect("there").got, []);
    }
}
