//! The machine against a naive one, which looks at everything each time: random operations, snapshots, and the log played again.

use super::testing::*;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The subjects of messages; the consumer's filters match two of them.
const SUBJECTS: [&str; 3] = ["s.1", "s.2", "t.1"];
const ACK_WAIT: i64 = 30;
const DELIVER_MAX: u32 = 3;
const ACK_PENDING_MAX: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    Store(usize),
    Hidden(usize),
    Commit,
    Remove(u64),
    Pull(i64),
    Ack(u64),
    Nak(u64, i64),
    Progress(u64),
    Lose(u64),
    Term(u64),
    Pass(i64),
    Reset(Option<u64>),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let seq = || 1_u64..14;
    prop_oneof![
        6 => (0..SUBJECTS.len()).prop_map(Op::Store),
        4 => (0..SUBJECTS.len()).prop_map(Op::Hidden),
        3 => Just(Op::Commit),
        2 => seq().prop_map(Op::Remove),
        5 => (1_i64..4).prop_map(Op::Pull),
        6 => seq().prop_map(Op::Ack),
        3 => (seq(), prop_oneof![Just(0_i64), 1_i64..50]).prop_map(|(seq, delay)| Op::Nak(seq, delay)),
        2 => seq().prop_map(Op::Progress),
        1 => seq().prop_map(Op::Term),
        1 => seq().prop_map(Op::Lose),
        4 => (1_i64..40).prop_map(Op::Pass),
        1 => proptest::option::of(seq()).prop_map(Op::Reset),
        1 => Just(Op::Restart),
    ]
}

/// A message that waits, in the model.
#[derive(Clone, Debug)]
struct Waits {
    consumer_seq: u64,
    due: i64,
    deliveries: u32,
}

/// The naive consumer.
#[derive(Debug)]
struct Model {
    filters: Filters,
    ack: AckPolicy,
    next: u64,
    delivered: Position,
    floor: Position,
    pending: BTreeMap<u64, Waits>,
    ready: Vec<u64>,
    exhausted: BTreeMap<u64, u32>,
    requests: Vec<i64>,
}

impl Model {
    fn new(filters: Filters, ack: AckPolicy) -> Self {
        let (delivered, floor) = (Position::default(), Position::default());
        let (pending, exhausted) = (BTreeMap::new(), BTreeMap::new());
        Self { filters, ack, next: 1, delivered, floor, pending, ready: vec![], exhausted, requests: vec![] }
    }

    fn exhaust(&mut self) {
        let over: Vec<u64> =
            self.ready.iter().copied().filter(|seq| self.pending[seq].deliveries >= DELIVER_MAX).collect();
        for seq in over {
            self.ready.retain(|ready| *ready != seq);
            let waits = self.pending.remove(&seq).unwrap();
            self.exhausted.insert(seq, waits.deliveries);
        }
    }

    fn release(&mut self, seq: u64) -> bool {
        let was_exhausted = self.exhausted.remove(&seq).is_some();
        self.ready.retain(|ready| *ready != seq);
        let Some(waits) = self.pending.remove(&seq) else { return was_exhausted };
        match self.pending.iter().next() {
            None => self.floor = self.delivered,
            Some((first, _)) if waits.consumer_seq == self.floor.consumer + 1 => {
                self.floor = Position { consumer: self.pending[first].consumer_seq - 1, stream: first - 1 };
            }
            Some(_) => {}
        }
        true
    }

    fn ack(&mut self, seq: u64) {
        if seq > self.delivered.stream && seq >= self.next || self.ack == AckPolicy::None {
            return;
        }
        if self.ack == AckPolicy::Explicit {
            self.release(seq);
        } else if seq > self.floor.stream {
            let consumer =
                self.pending.get(&seq).map_or(7.min(self.delivered.consumer), |waits| waits.consumer_seq);
            self.pending.retain(|other, _| *other > seq);
            self.exhausted.retain(|other, _| *other > seq);
            self.ready.retain(|other| *other > seq);
            self.floor = Position { consumer: consumer.max(self.floor.consumer), stream: seq };
        }
    }

    fn expire(&mut self, now: i64) {
        let due: Vec<u64> = self
            .pending
            .iter()
            .filter(|(seq, waits)| waits.due <= now && !self.ready.contains(seq))
            .map(|(seq, _)| *seq)
            .collect();
        self.ready.extend(due);
        self.exhaust();
    }

    /// Delivers, as lines.
    fn poll(&mut self, log: &MapLog, now: i64) -> Vec<String> {
        let mut lines = vec![];
        while let Some(request) = self.requests.first_mut() {
            let (seq, deliveries) = if self.ready.is_empty() {
                if self.ack != AckPolicy::None && self.pending.len() >= ACK_PENDING_MAX {
                    break;
                }
                let Some(seq) = log.visible(&self.filters, self.next).next() else { break };
                (seq, 1)
            } else {
                let seq = self.ready.remove(0);
                (seq, self.pending[&seq].deliveries + 1)
            };
            *request -= 1;
            self.requests.rotate_left(1);
            self.requests.retain(|left| *left > 0);
            self.delivered.consumer += 1;
            self.delivered.stream = self.delivered.stream.max(seq);
            self.next = self.next.max(seq + 1);
            if self.ack == AckPolicy::None {
                self.floor = Position { stream: seq, ..self.delivered };
            } else {
                let new = Waits { consumer_seq: self.delivered.consumer, due: 0, deliveries: 0 };
                let waits = self.pending.entry(seq).or_insert(new);
                (waits.due, waits.deliveries) = (now + ACK_WAIT, deliveries);
            }
            let left = log.matching(&self.filters, self.next).count();
            lines.push(format!("{seq} {deliveries} {} {left}", self.delivered.consumer));
        }
        lines
    }
}

/// What a delivery says, of the lines of a bench.
fn deliveries(lines: &[String]) -> Vec<String> {
    let numbers = |line: &String| {
        let subject = AckSubject::parse(line.split(' ').nth(3)?.as_bytes())?;
        Some(format!("{} {} {} {}", subject.seq, subject.deliveries, subject.consumer_seq, subject.pending))
    };
    lines.iter().filter_map(numbers).collect()
}

/// What the stream's log holds.
enum Record {
    Stored(u64, String),
    Removed(u64),
    Changes(Vec<u8>),
}

struct World {
    bench: Bench,
    model: Model,
    history: Vec<Record>,
}

impl World {
    fn new(ack: AckPolicy) -> Self {
        let retry = Retry { ack_wait: ACK_WAIT, backoff: Box::default(), deliver_max: Some(DELIVER_MAX) };
        let filters = Filters::new([&b"s.*"[..]]);
        let ack_pending_max = Some(ACK_PENDING_MAX);
        let settings = Settings {
            ack,
            retry,
            ack_pending_max,
            filters: filters.clone(),
            settles: true,
            ..pull_settings()
        };
        let bench = Bench::new(settings, MapLog::default());
        Self { bench, model: Model::new(filters, ack), history: vec![] }
    }

    fn step(&mut self, op: &Op) {
        let lines = self.carry_out(op);
        let expected = self.model.poll(&self.bench.log, self.bench.now);
        assert_eq!(deliveries(&lines), expected, "{op:?}");
        self.history.extend(self.bench.records.drain(..).map(Record::Changes));
        let info = self.bench.consumer.info_at(self.bench.now);
        let model = &self.model;
        assert_eq!((info.delivered, info.ack_floor), (model.delivered, model.floor), "{op:?}");
        assert_eq!(info.num_ack_pending, model.pending.len(), "{op:?}");
        let again = model.pending.values().filter(|waits| waits.deliveries > 1).count();
        assert_eq!(info.num_redelivered, again + model.exhausted.len(), "{op:?}");
        let pending = self.bench.log.matching(&model.filters, model.next).count() as u64;
        assert_eq!(info.num_pending, pending, "{op:?}");
        assert_eq!(self.bench.consumer.state().pending_ready(), model.ready.len(), "{op:?}");
    }

    fn carry_out(&mut self, op: &Op) -> Vec<String> {
        let (bench, model) = (&mut self.bench, &mut self.model);
        match *op {
            Op::Hidden(at) | Op::Store(at) => {
                // What is stored behind what is not committed is not committed either.
                bench.log.hidden += u64::from(bench.log.hidden > 0 || matches!(op, Op::Hidden(_)));
                self.history.push(Record::Stored(bench.log.last + 1, SUBJECTS[at].to_owned()));
                bench.store(SUBJECTS[at])
            }
            Op::Commit => {
                bench.log.hidden = 0;
                bench.work(|_, _| {})
            }
            Op::Remove(seq) => {
                let Some((subject, _)) = bench.log.messages.remove(&seq) else { return vec![] };
                self.history.push(Record::Removed(seq));
                if model.filters.matches(subject.as_bytes()) {
                    bench.consumer.removed(seq);
                    model.release(seq);
                }
                bench.work(|_, _| {})
            }
            Op::Pull(batch) => {
                model.requests.push(batch);
                bench.pull(&batch.to_string())
            }
            Op::Ack(_) | Op::Term(_) | Op::Nak(..) | Op::Progress(_) => self.say(op),
            Op::Lose(seq) => {
                if let Some(waits) = model.pending.get_mut(&seq) {
                    (waits.deliveries, waits.due) = (waits.deliveries.saturating_sub(1), bench.now);
                    if !model.ready.contains(&seq) {
                        model.ready.push(seq);
                    }
                }
                bench.work(|consumer, ctx| consumer.undelivered(ctx, seq))
            }
            Op::Pass(time) => {
                bench.now += time;
                model.expire(bench.now);
                bench.work(|consumer, ctx| consumer.expire(ctx))
            }
            Op::Reset(seq) => {
                let next = seq.unwrap_or(model.floor.stream + 1);
                model.next = next;
                model.delivered = Position { consumer: 0, stream: next - 1 };
                model.floor = model.delivered;
                (model.pending, model.exhausted, model.ready) = (BTreeMap::new(), BTreeMap::new(), vec![]);
                bench.work(|consumer, ctx| assert_eq!(consumer.reset(ctx, seq), Ok(next)))
            }
            Op::Restart => self.restart(),
        }
    }

    /// A client says something about a message.
    fn say(&mut self, op: &Op) -> Vec<String> {
        let (bench, model) = (&mut self.bench, &mut self.model);
        match *op {
            Op::Ack(seq) => {
                model.ack(seq);
                bench.ack(&format!("1.{seq}.7"), "+ACK")
            }
            Op::Term(seq) => {
                model.ack(seq);
                bench.ack(&format!("1.{seq}.7"), "+TERM")
            }
            Op::Nak(seq, delay) => {
                let now = bench.now;
                let is_known = model.floor.consumer < 7 && model.delivered.consumer >= 7;
                if let Some(waits) = model.pending.get_mut(&seq).filter(|_| is_known) {
                    waits.due = now + delay;
                    if delay > 0 {
                        model.ready.retain(|ready| *ready != seq);
                    } else if !model.ready.contains(&seq) {
                        model.ready.push(seq);
                    }
                    model.exhaust();
                }
                bench.ack(&format!("1.{seq}.7"), &format!("-NAK {{\"delay\":{delay}}}"))
            }
            Op::Progress(seq) => {
                if let Some(waits) = model.pending.get_mut(&seq) {
                    waits.due = bench.now + ACK_WAIT;
                    model.ready.retain(|ready| *ready != seq);
                }
                bench.ack(&format!("1.{seq}.7"), "+WPI")
            }
            _ => vec![],
        }
    }

    /// Goes on from a snapshot.
    fn restart(&mut self) -> Vec<String> {
        let (bench, model) = (&mut self.bench, &mut self.model);
        let mut snapshot = vec![];
        bench.consumer.snapshot(&mut snapshot);
        let (id, settings) = (bench.consumer.id(), bench.consumer.settings());
        let restore = |bytes: &[u8]| {
            let prefixes = Prefixes::new("S", "C");
            Consumer::restore(id, prefixes, settings.clone(), bytes, &bench.log, bench.now)
        };
        for cut in 0..snapshot.len() {
            assert!(restore(&snapshot[..cut]).is_err(), "cut at {cut}");
        }
        let restored = restore(&snapshot).unwrap();
        assert_eq!(restored.state(), bench.consumer.state());
        bench.consumer = restored;
        model.requests.clear();
        model.ready.clear();
        model.expire(bench.now);
        bench.work(|consumer, ctx| consumer.expire(ctx))
    }

    /// The log alone makes the same state, and the same messages are no longer needed.
    fn replay(self) {
        let mut again = Self::new(self.model.ack).bench;
        let mut settled = vec![];
        for record in &self.history {
            match record {
                Record::Stored(seq, subject) => {
                    assert_eq!(again.log.store(subject, 0), *seq);
                    if again.consumer.filters().matches(subject.as_bytes()) {
                        again.consumer.stored(*seq);
                    }
                }
                Record::Removed(seq) => {
                    let (subject, _) = again.log.messages.remove(seq).unwrap();
                    if again.consumer.filters().matches(subject.as_bytes()) {
                        again.consumer.removed(*seq);
                    }
                }
                Record::Changes(bytes) => {
                    let (consumer, log) = (&mut again.consumer, &again.log);
                    read_changes(bytes, |_, at, change| consumer.apply(change, at, log, &mut settled))
                        .unwrap();
                }
            }
        }
        assert_eq!(again.consumer.state(), self.bench.consumer.state());
        assert_eq!(settled, self.bench.settled);
    }
}

fn policy() -> impl Strategy<Value = AckPolicy> {
    prop_oneof![4 => Just(AckPolicy::Explicit), 2 => Just(AckPolicy::All), 1 => Just(AckPolicy::None)]
}

proptest! {
    // `PROPTEST_CASES=100000` plays more.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2000), ..ProptestConfig::default() })]

    #[test]
    fn the_machine_does_what_the_model_does(ack in policy(), ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new(ack);
        for op in &ops {
            world.step(op);
        }
        world.replay();
    }

    #[test]
    fn any_snapshot_is_read_or_refused(bytes: Vec<u8>) {
        let log = MapLog::default();
        let _ = Consumer::restore(ConsumerId(1), Prefixes::new("S", "C"), pull_settings(), &bytes, &log, 0);
    }
}
