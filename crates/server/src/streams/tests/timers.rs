//! Streams in virtual time, against a naive twin: nothing happens a nanosecond before its time, and all of it then. Messages end by their age and
//! TTL, what is delayed or scheduled is stored, and a consumer delivers anew after `ack_wait`, `backoff` and negative acknowledgements, or stands
//! still while it is paused.
//!
//! `TIMERS_RUNS` says how many worlds are played, `TIMERS_SEED` with which one to begin.

use super::hosted::Hosted;
use super::restarts::{PAYLOAD_MAX, open};
use super::shared::{Shared, wall};
use crate::clock;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::config::beyond::DELAY;
use dialtone_jetstream::config::{AckPolicy, ConsumerConfig, Storage, StreamConfig};
use dialtone_jetstream::consumer::ConsumerId;
use dialtone_jetstream::time::{Nanos, Time};
use dialtone_sim::random::Random;
use dialtone_store::SimulatedDisk;
use dialtone_wire::message::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Worlds in an ordinary run.
const RUNS: u64 = 60;
/// What is done in a world.
const STEPS: usize = 120;
const SECOND: i64 = 1_000_000_000;

/// Who gets everything, and is told where he acknowledges it.
struct Turn {
    /// Sequences, and how often.
    delivered: Vec<(u64, u64)>,
    /// The subject of the acknowledgement of the last delivery of each.
    acks: BTreeMap<u64, Vec<u8>>,
}

impl Publish for Turn {
    fn emit(&mut self, _: &Arc<Account>, message: &Message<'_>) -> usize {
        let answer = String::from_utf8_lossy(message.payload());
        assert!(message.subject != b"answers" || !answer.contains("error"), "{answer}");
        1
    }

    fn emit_stored(&mut self, _: &Arc<Account>, _: &[u8], message: &Message<'_>) -> usize {
        let reply = message.reply.expect("it is to be acknowledged");
        let text = std::str::from_utf8(reply).expect("text");
        let mut numbers = text.strip_prefix("$JS.ACK.S.C.").expect("of the consumer").split('.');
        let mut number = || numbers.next().and_then(|text| text.parse().ok()).expect("a number");
        let (deliveries, seq) = (number(), number());
        self.delivered.push((seq, deliveries));
        self.acks.insert(seq, reply.to_vec());
        1
    }

    fn is_awaited(&mut self, _: &Arc<Account>, _: &[u8]) -> bool {
        true
    }

    fn now(&self) -> Instant {
        clock::moment()
    }
}

/// What is delivered, and waits for its acknowledgement.
struct Waiting {
    deliveries: u64,
    /// When it is delivered again; `None`: never.
    due: Option<i64>,
}

/// The twin. Times are nanoseconds since 1970.
#[derive(Default)]
struct Model {
    max_age: Option<i64>,
    waits: Vec<i64>,
    deliveries_max: Option<u64>,
    last: u64,
    /// Until when each message lives, and whether it is one for the consumer.
    messages: BTreeMap<u64, (Option<i64>, bool)>,
    /// When what is delayed is stored.
    delayed: Vec<i64>,
    /// Schedules by subject: when each fires, and its sequence.
    schedules: BTreeMap<&'static str, (i64, u64)>,
    /// The last that was delivered first.
    delivered: u64,
    waiting: BTreeMap<u64, Waiting>,
    paused_until: Option<i64>,
}

impl Model {
    fn store(&mut self, now: i64, ttl: Option<i64>, is_wanted: bool) -> u64 {
        self.last += 1;
        let end = ttl.or(self.max_age).map(|span| now + span);
        self.messages.insert(self.last, (end, is_wanted));
        self.last
    }

    /// A schedule takes the place of the one that its subject had.
    fn schedule(&mut self, now: i64, at: i64, subject: &'static str) {
        let seq = self.store(now, None, false);
        if let Some((_, before)) = self.schedules.insert(subject, (at, seq)) {
            self.messages.remove(&before);
        }
    }

    /// The next moment at which something happens by itself.
    fn next(&self) -> Option<i64> {
        let ends = self.messages.values().filter_map(|(end, _)| *end);
        let dues = self.waiting.values().filter_map(|waiting| waiting.due);
        let dues = dues.map(|due| due.max(self.paused_until.unwrap_or(due)));
        let schedules = self.schedules.values().map(|(at, _)| *at);
        ends.chain(dues).chain(self.delayed.iter().copied()).chain(schedules).chain(self.paused_until).min()
    }

    fn wait_of(&self, deliveries: u64) -> i64 {
        self.waits[(deliveries as usize).min(self.waits.len()) - 1]
    }

    /// What happens at this moment: what is delivered, ascending.
    fn happens(&mut self, now: i64) -> Vec<(u64, u64)> {
        let before = self.delayed.len();
        self.delayed.retain(|at| *at > now);
        for _ in self.delayed.len()..before {
            self.store(now, None, true);
        }
        let fire: Vec<u64> =
            self.schedules.values().filter(|(at, _)| *at <= now).map(|(_, seq)| *seq).collect();
        self.schedules.retain(|_, (at, _)| *at > now);
        for seq in fire {
            self.store(now, None, true);
            self.messages.remove(&seq);
        }
        self.messages.retain(|_, (end, _)| end.is_none_or(|end| end > now));
        self.waiting.retain(|seq, _| self.messages.contains_key(seq));
        self.paused_until = self.paused_until.filter(|until| *until > now);
        if self.paused_until.is_some() {
            return Vec::new();
        }
        let mut out = Vec::new();
        let due = |waiting: &Waiting| waiting.due.is_some_and(|due| due <= now);
        let again: Vec<u64> =
            self.waiting.iter().filter(|(_, waiting)| due(waiting)).map(|(seq, _)| *seq).collect();
        for seq in again {
            let deliveries = self.waiting[&seq].deliveries + 1;
            if self.deliveries_max.is_some_and(|max| deliveries > max) {
                self.waiting.insert(seq, Waiting { deliveries: deliveries - 1, due: None });
            } else {
                self.deliver(seq, deliveries, now, &mut out);
            }
        }
        let new: Vec<u64> = self
            .messages
            .range(self.delivered + 1..)
            .filter(|(_, (_, is_wanted))| *is_wanted)
            .map(|(seq, _)| *seq)
            .collect();
        for seq in new {
            self.delivered = seq;
            self.deliver(seq, 1, now, &mut out);
        }
        out.sort_unstable();
        out
    }

    fn deliver(&mut self, seq: u64, deliveries: u64, now: i64, out: &mut Vec<(u64, u64)>) {
        let due = Some(now + self.wait_of(deliveries));
        self.waiting.insert(seq, Waiting { deliveries, due });
        out.push((seq, deliveries));
    }
}

/// A stream `S` with a consumer `C` that is always asked for more, and their twin.
struct World {
    random: Random,
    begin: Instant,
    /// Since `begin`.
    now: Duration,
    shared: Arc<Shared>,
    /// The stream does not hold its account.
    _account: Arc<Account>,
    hosted: Arc<Hosted>,
    turn: Turn,
    model: Model,
}

fn consumer_config(random: &mut Random, model: &mut Model) -> ConsumerConfig {
    let backoff: &[i64] =
        [&[][..], &[SECOND, 3 * SECOND], &[SECOND / 2, SECOND, 9 * SECOND]][random.below(3)];
    let ack_wait = [SECOND, 5 * SECOND][random.below(2)];
    model.waits = if backoff.is_empty() { vec![ack_wait] } else { backoff.to_vec() };
    model.deliveries_max = [None, Some(4)][random.below(2)];
    ConsumerConfig {
        durable_name: "C".into(),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Nanos(model.waits[0]),
        backoff: backoff.iter().map(|nanos| Nanos(*nanos)).collect(),
        max_deliver: model.deliveries_max.map_or(-1, |max| max as i64),
        max_ack_pending: 100_000,
        max_waiting: 512,
        filter_subject: "S.t".into(),
        ..ConsumerConfig::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let (mut random, mut model) = (Random::new(seed), Model::default());
        let begin = Instant::now();
        clock::simulate(Some(begin));
        let account = Account::new(AccountId(1), "A");
        let (shared, all) = open(Arc::new(SimulatedDisk::new()), &account);
        model.max_age = [None, Some(20 * SECOND)][random.below(2)];
        let config = StreamConfig {
            name: "S".into(),
            subjects: vec!["S.>".into()],
            storage: [Storage::Memory, Storage::File][random.below(2)],
            max_age: Nanos(model.max_age.unwrap_or(0)),
            allow_msg_ttl: model.max_age.is_none(),
            allow_msg_schedules: true,
            allow_rollup_hdrs: true,
            metadata: [(DELAY.to_owned(), "true".to_owned())].into_iter().collect(),
            ..StreamConfig::default()
        };
        let hosted = all.create(&account, config, (&shared, PAYLOAD_MAX)).expect("the store takes it").0;
        let mut turn = Turn { delivered: Vec::new(), acks: BTreeMap::new() };
        let consumer = consumer_config(&mut random, &mut model);
        hosted.put_consumer("C", consumer, &mut turn).expect("an account").expect("the store takes it");
        let now = Duration::ZERO;
        let mut world = Self { random, begin, now, shared, _account: account, hosted, turn, model };
        world.ask();
        world
    }

    /// Somebody wants more than there will be.
    fn ask(&mut self) {
        let framed = b"{\"batch\":1000000}\r\n";
        let message = Message { subject: b"next", reply: Some(b"inbox"), header_bytes: 0, framed };
        let _ = self.hosted.with(&mut self.turn, |session| {
            let ConsumerId(id) = session.inner.state.consumer_id("C").expect("it is there");
            session.pull(id, &message);
        });
    }

    /// All that is to be done by now is done; what was delivered.
    fn work(&mut self) -> Vec<(u64, u64)> {
        loop {
            self.shared.store().expect("it is open").step();
            let ready = self.shared.next(true).expect("it goes on");
            ready.iter().for_each(|hosted| hosted.work(&mut self.turn));
            let read = self.shared.next_read(true).expect("it goes on");
            read.iter().for_each(|hosted| hosted.read_later(&mut self.turn));
            if ready.is_empty() && read.is_none() {
                break;
            }
        }
        let mut delivered = std::mem::take(&mut self.turn.delivered);
        delivered.sort_unstable();
        delivered
    }

    /// Goes to a moment, past all at which something is to happen.
    fn go_to(&mut self, at: i64) {
        while let Some(next) = self.model.next().filter(|next| *next <= at) {
            self.set(next - 1);
            let early = self.work();
            assert_eq!(early, [], "nothing happens before {next}");
            self.set(next);
            let expected = self.model.happens(next);
            self.compare(&expected);
        }
        self.set(at);
        self.compare(&[]);
    }

    fn set(&mut self, at: i64) {
        let more = at - wall();
        self.now += Duration::from_nanos(more.max(0).unsigned_abs());
        clock::simulate(Some(self.begin + self.now));
    }

    /// Works, and looks whether the stream is what its twin is.
    fn compare(&mut self, expected: &[(u64, u64)]) {
        assert_eq!(self.work(), expected, "what is delivered at {}", wall());
        let inner = self.hosted.lock();
        let there: Vec<u64> = inner.state.machine.messages().iter_from(0).map(|head| head.seq).collect();
        let kept: Vec<u64> = self.model.messages.keys().copied().collect();
        assert_eq!((inner.state.machine.totals().last, there), (self.model.last, kept));
    }

    /// Does something at this moment, and what follows from it.
    fn step(&mut self) {
        match self.random.below(10) {
            0..4 => self.publish(),
            4..7 => self.acknowledge(),
            7 if self.random.chance(30) => self.pause(),
            _ => {
                let most = Duration::from_secs([1, 4, 30][self.random.below(3)]);
                let more = self.random.between(Duration::ZERO, most);
                self.go_to(wall() + more.as_nanos() as i64);
            }
        }
        let expected = self.model.happens(wall());
        self.compare(&expected);
    }

    fn publish(&mut self) {
        let now = wall();
        let span = self.random.between(Duration::from_secs(1), Duration::from_secs(20)).as_nanos() as i64;
        let (mut subject, mut header) = ("S.t", String::new());
        match self.random.below(6) {
            0 if self.model.max_age.is_none() => {
                let seconds = span / SECOND;
                self.model.store(now, Some(seconds * SECOND), true);
                header = format!("Nats-TTL: {seconds}");
            }
            1 => {
                self.model.delayed.push(now + span);
                header = format!("Nats-Delay: {span}ns");
            }
            2 if self.model.max_age.is_none() => {
                subject = ["S.a", "S.b", "S.c"][self.random.below(3)];
                self.model.schedule(now, now + span, subject);
                let at = Time::from_unix_nanos(now + span);
                header = format!("Nats-Schedule: @at {at}\r\nNats-Schedule-Target: S.t");
            }
            _ => {
                self.model.store(now, None, true);
            }
        }
        let headers = if header.is_empty() { header } else { format!("NATS/1.0\r\n{header}\r\n\r\n") };
        let framed = format!("{headers}body\r\n");
        let (header_bytes, framed) = (headers.len(), framed.as_bytes());
        let reply = Some(&b"answers"[..]);
        let message = Message { subject: subject.as_bytes(), reply, header_bytes, framed };
        let _ = self.hosted.with(&mut self.turn, |session| session.store(&message, None));
    }

    /// Acknowledges one that waits, in one of the ways.
    fn acknowledge(&mut self) {
        let all: Vec<u64> = self.model.waiting.keys().copied().collect();
        let Some(&seq) = self.random.pick(&all) else { return };
        let (now, delay) = (wall(), 1 + self.random.below(9_000_000_000) as i64);
        let waiting = self.model.waiting.get_mut(&seq).expect("it waits");
        let what = match self.random.below(6) {
            0 if waiting.due.is_some() => {
                waiting.due = Some(now);
                "-NAK".to_owned()
            }
            1 if waiting.due.is_some() => {
                waiting.due = Some(now + delay);
                format!("-NAK {{\"delay\":{delay}}}")
            }
            2 if waiting.due.is_some() => {
                let at = (waiting.deliveries as usize).min(self.model.waits.len()) - 1;
                waiting.due = Some(now + self.model.waits[at]);
                "+WPI".to_owned()
            }
            3 => {
                self.model.waiting.remove(&seq);
                "+TERM".to_owned()
            }
            _ => {
                self.model.waiting.remove(&seq);
                "+ACK".to_owned()
            }
        };
        let to = self.turn.acks[&seq].clone();
        let framed = format!("{what}\r\n");
        let message = Message { subject: &to, reply: None, header_bytes: 0, framed: framed.as_bytes() };
        let _ = self.hosted.with(&mut self.turn, |session| {
            let ConsumerId(id) = session.inner.state.consumer_id("C").expect("it is there");
            session.acknowledge(id, &message);
        });
    }

    fn pause(&mut self) {
        let span = self.random.between(Duration::from_secs(1), Duration::from_secs(20)).as_nanos() as i64;
        let until = wall() + span;
        self.model.paused_until = Some(until);
        let known = self.hosted.consumer_config("C").expect("it is there");
        let config = ConsumerConfig { pause_until: Some(Time::from_unix_nanos(until)), ..known };
        let put = self.hosted.put_consumer("C", config, &mut self.turn);
        put.expect("an account").expect("the store takes it");
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn everything_happens_at_its_time() {
    let first = number("TIMERS_SEED", 1);
    for seed in first..first + number("TIMERS_RUNS", RUNS) {
        let played = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..STEPS).for_each(|_| world.step());
        });
        clock::simulate(None);
        assert!(played.is_ok(), "TIMERS_SEED={seed} TIMERS_RUNS=1 plays it again");
    }
}
