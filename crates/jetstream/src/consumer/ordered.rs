//! Key-ordered consumers against a naive twin, which looks at every message each time: random operations, snapshots, and the log played again.

use super::testing::*;
use super::*;
use crate::config::KeyTokens;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The key is the second token; the last subject has none, and is a key of its own.
const SUBJECTS: [&str; 5] = ["s.a.1", "s.a.2", "s.b.1", "s.c", "s"];
const ACK_WAIT: i64 = 30;
const DELIVER_MAX: u32 = 3;
const ACK_PENDING_MAX: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Store(usize),
    Remove(u64),
    Pull(i64),
    Ack(u64),
    Nak(u64, i64),
    Term(u64),
    Pass(i64),
    Refilter(bool),
    Restart,
    Archive,
}

fn op() -> impl Strategy<Value = Op> {
    let seq = || 1_u64..16;
    prop_oneof![
        8 => (0..SUBJECTS.len()).prop_map(Op::Store),
        2 => seq().prop_map(Op::Remove),
        6 => (1_i64..5).prop_map(Op::Pull),
        6 => seq().prop_map(Op::Ack),
        3 => (seq(), prop_oneof![Just(0_i64), 1_i64..50]).prop_map(|(seq, delay)| Op::Nak(seq, delay)),
        1 => seq().prop_map(Op::Term),
        4 => (1_i64..40).prop_map(Op::Pass),
        1 => any::<bool>().prop_map(Op::Refilter),
        1 => Just(Op::Restart),
        1 => Just(Op::Archive),
    ]
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Waits,
    InFlight { due: i64, deliveries: u32 },
    Done,
}

#[derive(Debug, Default)]
struct Twin {
    messages: BTreeMap<u64, (String, Fate)>,
    ready: Vec<u64>,
    requests: Vec<i64>,
}

impl Twin {
    fn key(subject: &str) -> &str {
        subject.split('.').nth(1).unwrap_or(subject)
    }

    fn in_flight(&self) -> impl Iterator<Item = (u64, &str)> {
        let flying = self.messages.iter().filter(|(_, (_, fate))| matches!(fate, Fate::InFlight { .. }));
        flying.map(|(seq, (subject, _))| (*seq, subject.as_str()))
    }

    fn waiting(&self) -> impl Iterator<Item = u64> {
        self.messages.iter().filter(|(_, (_, fate))| *fate == Fate::Waits).map(|(seq, _)| *seq)
    }

    fn finish(&mut self, seq: u64) {
        self.ready.retain(|ready| *ready != seq);
        if let Some((_, fate @ Fate::InFlight { .. })) = self.messages.get_mut(&seq) {
            *fate = Fate::Done;
        }
    }

    fn exhaust(&mut self) {
        for seq in self.ready.clone() {
            if matches!(self.messages[&seq].1, Fate::InFlight { deliveries: DELIVER_MAX.., .. }) {
                self.finish(seq);
            }
        }
    }

    fn expire(&mut self, now: i64) {
        for (seq, (_, fate)) in &self.messages {
            let is_due = matches!(fate, Fate::InFlight { due, .. } if *due <= now);
            if is_due && !self.ready.contains(seq) {
                self.ready.push(*seq);
            }
        }
        self.exhaust();
    }

    /// What is delivered: sequences and how often.
    fn poll(&mut self, now: i64) -> Vec<(u64, u32)> {
        let mut out = vec![];
        while !self.requests.is_empty() {
            let is_full = self.in_flight().count() >= ACK_PENDING_MAX;
            let is_free = |seq: &u64| {
                let key = Self::key(&self.messages[seq].0);
                !self.in_flight().any(|(_, subject)| Self::key(subject) == key)
            };
            let (seq, deliveries) = match self.ready.first().copied() {
                Some(seq) => match self.messages[&seq].1 {
                    Fate::InFlight { deliveries, .. } => (seq, deliveries + 1),
                    _ => unreachable!("what is ready is in flight"),
                },
                None if is_full => break,
                None => match self.waiting().find(is_free) {
                    Some(seq) => (seq, 1),
                    None => break,
                },
            };
            self.ready.retain(|ready| *ready != seq);
            self.messages.get_mut(&seq).unwrap().1 = Fate::InFlight { due: now + ACK_WAIT, deliveries };
            self.requests[0] -= 1;
            self.requests.rotate_left(1);
            self.requests.retain(|left| *left > 0);
            out.push((seq, deliveries));
        }
        out
    }
}

enum Record {
    Stored(u64, String),
    Removed(u64),
    Changes(Vec<u8>),
    Filters(Filters),
}

fn settings() -> Settings {
    Settings {
        retry: Retry { ack_wait: ACK_WAIT, backoff: Box::default(), deliver_max: Some(DELIVER_MAX) },
        ack_pending_max: Some(ACK_PENDING_MAX),
        order_by: Some(KeyTokens::parse("2").unwrap()),
        settles: true,
        ..pull_settings()
    }
}

struct World {
    bench: Bench,
    twin: Twin,
    history: Vec<Record>,
    filters: Filters,
}

impl World {
    fn new() -> Self {
        let (bench, twin) = (Bench::new(settings(), MapLog::default()), Twin::default());
        Self { bench, twin, history: vec![], filters: Filters::default() }
    }

    fn step(&mut self, op: &Op) {
        let lines = self.carry_out(op);
        let delivered: Vec<(u64, u32)> = lines
            .iter()
            .filter_map(|line| {
                AckSubject::parse(line.split(' ').nth(3)?.as_bytes()).map(|s| (s.seq, s.deliveries as u32))
            })
            .collect();
        assert_eq!(delivered, self.twin.poll(self.bench.now), "{op:?}");
        self.history.extend(self.bench.records.drain(..).map(Record::Changes));
        let info = self.bench.consumer.info_at(self.bench.now);
        assert_eq!(info.num_pending, self.twin.waiting().count() as u64, "{op:?}");
        assert_eq!(info.num_ack_pending, self.twin.in_flight().count(), "{op:?}");
        let mut keys: Vec<&str> = self.twin.in_flight().map(|(_, subject)| Twin::key(subject)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), info.num_ack_pending, "one in flight of each key");
        // What is not done is above the floor, and is needed.
        let open = self.twin.in_flight().map(|(seq, _)| seq).chain(self.twin.waiting());
        for seq in open {
            assert!(seq > info.ack_floor.stream && self.bench.consumer.needs(seq), "{op:?} {seq}");
        }
        assert!(self.bench.consumer.state().parked_len() <= self.twin.waiting().count());
    }

    fn carry_out(&mut self, op: &Op) -> Vec<String> {
        let (bench, twin) = (&mut self.bench, &mut self.twin);
        match *op {
            Op::Store(at) => {
                let seq = bench.log.last + 1;
                self.history.push(Record::Stored(seq, SUBJECTS[at].to_owned()));
                if self.filters.matches(SUBJECTS[at].as_bytes()) {
                    twin.messages.insert(seq, (SUBJECTS[at].to_owned(), Fate::Waits));
                }
                bench.store(SUBJECTS[at])
            }
            Op::Remove(seq) => {
                // What the filters no longer match is noticed when it is due.
                let matches = |(subject, _): &(String, i64)| self.filters.matches(subject.as_bytes());
                if !bench.log.messages.get(&seq).is_some_and(matches) {
                    return vec![];
                }
                let Some((subject, _)) = bench.log.messages.remove(&seq) else { return vec![] };
                self.history.push(Record::Removed(seq));
                if self.filters.matches(subject.as_bytes()) {
                    bench.consumer.removed(seq);
                    twin.ready.retain(|ready| *ready != seq);
                    twin.messages.remove(&seq);
                }
                bench.work(|_, _| {})
            }
            Op::Pull(batch) => {
                twin.requests.push(batch);
                bench.pull(&batch.to_string())
            }
            Op::Ack(seq) => {
                twin.finish(seq);
                bench.ack(&format!("1.{seq}.1"), "+ACK")
            }
            Op::Term(seq) => {
                twin.finish(seq);
                bench.ack(&format!("1.{seq}.1"), "+TERM")
            }
            Op::Nak(seq, delay) => {
                let Some(entry) = bench.consumer.state().pending_entry(seq) else { return vec![] };
                if let Some((_, Fate::InFlight { due, .. })) = twin.messages.get_mut(&seq) {
                    *due = bench.now + delay;
                    twin.ready.retain(|ready| *ready != seq || delay == 0);
                    if delay == 0 && !twin.ready.contains(&seq) {
                        twin.ready.push(seq);
                    }
                    twin.exhaust();
                }
                let payload = format!("-NAK {{\"delay\":{delay}}}");
                bench.ack(&format!("1.{seq}.{}", entry.consumer_seq), &payload)
            }
            Op::Pass(time) => {
                bench.now += time;
                twin.expire(bench.now);
                bench.work(|consumer, ctx| consumer.expire(ctx))
            }
            Op::Refilter(all) => self.refilter(all),
            Op::Restart | Op::Archive => self.restart(matches!(op, Op::Archive)),
        }
    }

    /// Only messages of the key `a`, or all that come from here on.
    fn refilter(&mut self, all: bool) -> Vec<String> {
        let filters = if all { Filters::default() } else { Filters::new([&b"s.a.*"[..]]) };
        let (bench, twin) = (&mut self.bench, &mut self.twin);
        let settings = Settings { filters: filters.clone(), ..bench.consumer.settings() };
        let lines = bench.work(|consumer, ctx| consumer.update(ctx, settings));
        self.history.extend(bench.records.drain(..).map(Record::Changes));
        self.history.push(Record::Filters(filters.clone()));
        let parked =
            |seq: &u64| bench.consumer.state().is_parked(*seq) || *seq >= bench.consumer.state().next_seq();
        twin.messages.retain(|seq, (subject, fate)| {
            *fate != Fate::Waits || filters.matches(subject.as_bytes()) && parked(seq)
        });
        for (seq, (subject, _)) in bench.log.messages.range(bench.consumer.state().next_seq()..) {
            if filters.matches(subject.as_bytes()) {
                twin.messages.entry(*seq).or_insert((subject.clone(), Fate::Waits));
            }
        }
        self.filters = filters;
        lines
    }

    /// Goes on from a snapshot, or from what an archive has.
    fn restart(&mut self, is_archive: bool) -> Vec<String> {
        let (bench, twin) = (&mut self.bench, &mut self.twin);
        let (id, settings) = (bench.consumer.id(), bench.consumer.settings());
        let prefixes = Prefixes::new("S", "C");
        let mut snapshot = vec![];
        bench.consumer.snapshot(&mut snapshot);
        let restored =
            Consumer::restore(id, prefixes.clone(), settings.clone(), &snapshot, &bench.log, bench.now);
        let restored = restored.unwrap();
        assert_eq!(restored.state(), bench.consumer.state());
        bench.consumer = restored;
        if is_archive {
            // The rest of what is parked is looked at again.
            let archived = bench.consumer.archived(bench.log.last);
            let other = Consumer::of_archive(id, prefixes, settings, &archived, &bench.log, bench.now);
            let matches = |seq: &u64| bench.log.matching(&self.filters, *seq).next() == Some(*seq);
            let open = |consumer: &Consumer| {
                (1..=bench.log.last).filter(|seq| matches(seq) && consumer.needs(*seq)).collect::<Vec<_>>()
            };
            let others = open(&other);
            assert!(open(&bench.consumer).iter().all(|seq| others.contains(seq)), "{others:?}");
        }
        twin.requests.clear();
        twin.ready.clear();
        twin.expire(bench.now);
        bench.work(|consumer, ctx| consumer.expire(ctx))
    }

    /// The log alone makes the same state.
    fn replay(self) {
        let mut again = Self::new().bench;
        let mut settled = vec![];
        for record in &self.history {
            let (consumer, log) = (&mut again.consumer, &mut again.log);
            match record {
                Record::Stored(seq, subject) => {
                    assert_eq!(log.store(subject, 0), *seq);
                    if consumer.filters().matches(subject.as_bytes()) {
                        consumer.stored(*seq);
                    }
                }
                Record::Removed(seq) => {
                    let (subject, _) = log.messages.remove(seq).unwrap();
                    if consumer.filters().matches(subject.as_bytes()) {
                        consumer.removed(*seq);
                    }
                }
                Record::Changes(bytes) => {
                    read_changes(bytes, |_, at, change| consumer.apply(change, at, log, &mut settled))
                        .unwrap();
                }
                Record::Filters(filters) => {
                    let settings = Settings { filters: filters.clone(), ..consumer.settings() };
                    consumer.apply_update(settings, log);
                }
            }
        }
        assert_eq!(again.consumer.state(), self.bench.consumer.state());
        assert_eq!(settled, self.bench.settled);
    }
}

proptest! {
    // `PROPTEST_CASES=100000` plays more.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_twin_does(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        for op in &ops {
            world.step(op);
        }
        world.replay();
    }
}

#[test]
fn one_of_a_key_is_in_flight_and_its_order_is_kept() {
    let mut world = World::new();
    for subject in [0, 1, 2, 0] {
        world.step(&Op::Store(subject));
    }
    world.step(&Op::Pull(10));
    let parked = |world: &World| [2, 4].map(|seq| world.bench.consumer.state().is_parked(seq));
    assert_eq!(parked(&world), [true, true]);
    // What is to come again later holds its key up, and no other.
    world.step(&Op::Nak(1, 10));
    world.step(&Op::Ack(3));
    world.step(&Op::Store(2));
    assert_eq!(world.bench.consumer.state().pending_entry(5).map(|entry| entry.deliveries), Some(1));
    assert_eq!(parked(&world), [true, true]);
    world.step(&Op::Pass(10));
    world.step(&Op::Ack(1));
    assert_eq!(parked(&world), [false, true]);
    world.step(&Op::Restart);
    world.step(&Op::Pull(10));
    world.step(&Op::Term(2));
    assert_eq!(parked(&world), [false, false]);
    world.replay();
}

#[test]
fn what_is_parked_has_a_bound() {
    let mut bench = Bench::new(settings(), MapLog::default());
    for _ in 0..PARKED_MAX + 10 {
        bench.log.store("s.a.1", 0);
    }
    bench.log.store("s.b.1", 0);
    bench.pull("3");
    assert_eq!(bench.consumer.state().parked_len(), PARKED_MAX);
    // Each that is done lets one more in, until the other key is in sight.
    let mut lines = vec![];
    for seq in 1..=10 {
        lines = bench.ack(&format!("1.{seq}.1"), "+ACK");
        bench.pull("1");
    }
    assert!(lines.iter().any(|line| line.contains("s.a.1")), "{lines:?}");
    assert!(bench.consumer.state().parked_len() <= PARKED_MAX);
}
