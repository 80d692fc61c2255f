//! Streams with consumers at random on a simulated disk: whatever happens, the next start makes the same of checkpoint and log.

use super::batches::OpenBatches;
use super::checkpoints::Checkpoints;
use super::hosted::Hosted;
use super::recover::Recovery;
use super::registry::All;
use super::shared::{Shared, SubjectForms, wall};
use super::watchdog::Watchdog;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::config::beyond::{DEAD_LETTER, DELAY, ORDER_BY};
use dialtone_jetstream::config::{AckPolicy, ConsumerConfig, DiscardPolicy, Retention, StreamConfig};
use dialtone_jetstream::consumer::{ConsumerId, Hold};
use dialtone_jetstream::messages::Body;
use dialtone_jetstream::stream::{BatchLimits, Proposal, Purge, Whole};
use dialtone_jetstream::time::Nanos;
use dialtone_store::{After, Disk, Fault, Options, SimulatedDisk, Store};
use dialtone_wire::message::Message;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const STREAMS: [&str; 3] = ["LIMITS", "WORK", "INTEREST"];
const CONSUMERS: [&str; 3] = ["C", "D", "E"];
pub(super) const PAYLOAD_MAX: u32 = 1 << 20;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Who gets everything, now and then nobody does.
struct Turn {
    account: Arc<Account>,
    /// The subjects of acknowledgements, of deliveries that are not acknowledged.
    delivered: Vec<Vec<u8>>,
    /// Where it is answered that dead letters are stored.
    letters: Vec<Vec<u8>>,
    /// What publishers were answered last.
    answer: String,
    count: u64,
}

impl Publish for Turn {
    fn emit(&mut self, _: &Arc<Account>, message: &Message<'_>) -> usize {
        let letter = message.reply.filter(|reply| reply.starts_with(b"$DIALTONE.DEAD."));
        self.letters.extend(letter.map(<[u8]>::to_vec));
        if message.subject == b"answers" {
            self.answer = String::from_utf8_lossy(message.payload()).into_owned();
        }
        1
    }

    fn emit_stored(&mut self, _: &Arc<Account>, _: &[u8], message: &Message<'_>) -> usize {
        self.count += 1;
        if self.count.is_multiple_of(13) {
            return 0;
        }
        self.delivered.extend(message.reply.map(<[u8]>::to_vec));
        1
    }

    fn is_awaited(&mut self, _: &Arc<Account>, _: &[u8]) -> bool {
        true
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// A server's streams, and the disk that they are on.
struct World {
    random: Random,
    disk: SimulatedDisk,
    shared: Arc<Shared>,
    all: All,
    turn: Turn,
    published: u64,
    /// What each message holds, by stream and sequence.
    bodies: BTreeMap<(String, u64), Vec<u8>>,
}

fn options() -> Options {
    Options {
        log_file_bytes: 16 << 10,
        log_ahead_bytes: 1 << 10,
        segment_bytes: 16 << 10,
        reserve_bytes: 4 << 10,
        mark_delay: Duration::from_secs(3600),
        ..Options::default()
    }
}

/// Bodies by stream and sequence.
type Bodies = BTreeMap<(String, u64), Vec<u8>>;

pub(super) fn shared() -> Arc<Shared> {
    Shared::new(
        (None, SubjectForms::default()),
        (OpenBatches::new(BatchLimits::default(), None), false),
        Arc::default(),
        Arc::default(),
    )
}

/// Opens the store with all its streams.
pub(super) fn open(disk: Arc<dyn Disk>, account: &Arc<Account>) -> (Arc<Shared>, All) {
    let (shared, all) = (shared(), All::default());
    let mut recovery = Recovery::new(wall(), PAYLOAD_MAX, shared.index());
    let store = Store::open(disk, Path::new("/store"), options(), &mut |found| recovery.take(found));
    shared.opened(store.expect("the store opens"));
    assert_eq!(recovery.problems, [] as [String; 0]);
    for found in recovery.streams() {
        let store = shared.store().expect("it is open");
        found.unused.drop_all(store, found.group);
        all.put(account, &shared, Some(found.group), found.state.expect("it can be read"));
    }
    (shared, all)
}

fn stream_config(name: &str, random: &mut Random) -> StreamConfig {
    StreamConfig {
        name: name.into(),
        subjects: vec![format!("{name}.>")],
        retention: match name {
            "WORK" => Retention::WorkQueue,
            "INTEREST" => Retention::Interest,
            _ => Retention::Limits,
        },
        discard: random.pick(&[DiscardPolicy::Old, DiscardPolicy::Old, DiscardPolicy::New]),
        max_msgs: random.pick(&[-1, -1, 60]),
        max_msgs_per_subject: random.pick(&[-1, -1, 1, 5]),
        max_bytes: random.pick(&[-1, -1, 9000]),
        allow_rollup_hdrs: true,
        allow_msg_ttl: true,
        metadata: [(DELAY.to_owned(), "true".to_owned())].into_iter().collect(),
        ..StreamConfig::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let account = Account::new(AccountId(1), "A");
        let disk = SimulatedDisk::new();
        let (shared, all) = open(Arc::new(disk.clone()), &account);
        let turn =
            Turn { account, delivered: Vec::new(), letters: Vec::new(), answer: String::new(), count: 0 };
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { random, disk, shared, all, turn, published: 0, bodies: BTreeMap::new() }
    }

    fn store(&self) -> &Store {
        self.shared.store().expect("it is open")
    }

    fn hosted(&mut self) -> Arc<Hosted> {
        let name = self.random.pick(&STREAMS);
        if let Some(hosted) = self.all.find(&self.turn.account, name) {
            return hosted;
        }
        let config = stream_config(name, &mut self.random);
        self.bodies.retain(|(stream, _), _| stream != name);
        let made = self.all.create(&self.turn.account, config, (&self.shared, PAYLOAD_MAX));
        made.expect("the store takes it").0
    }

    fn step(&mut self) {
        let hosted = self.hosted();
        match self.random.below(40) {
            0..22 => self.act(&hosted),
            22..26 => {
                self.store().step();
                hosted.work(&mut self.turn);
                hosted.read_later(&mut self.turn);
            }
            26 => self.purge(&hosted),
            27 | 28 => {
                let first = hosted.lock().state.machine.totals().first;
                let seq = first + self.random.below(12);
                let _ = hosted.delete_message(seq, false, &mut self.turn);
            }
            29 | 30 => self.put_consumer(&hosted),
            31 if self.random.below(4) == 0 => {
                let name = self.random.pick(&CONSUMERS);
                let _ = hosted.delete_consumer(name, &mut self.turn);
            }
            32 if self.random.below(3) == 0 => {
                let config = stream_config(&hosted.name, &mut self.random);
                let done = hosted.reconfigure(config, &mut self.turn);
                done.expect("an account").expect("the store takes it");
            }
            33 if self.random.below(12) == 0 => {
                hosted.end(&mut self.turn);
                self.all.forget(&self.turn.account, &hosted.name);
                let mut batch = self.store().batch(dialtone_store::Urgency::FreesRoom).expect("a batch");
                batch.delete_group(hosted.group.expect("it is in a file"));
                batch.submit();
            }
            34 | 35 => self.check_point(),
            36 => self.restart(),
            37 => self.read_all(),
            38 => {
                // Sequences are far apart, so that there are many chunks of them.
                let more = self.random.pick(&[1, 300, 900]);
                let _ = hosted.with(&mut self.turn, |session| {
                    let last = session.inner.state.machine.totals().last;
                    session.carry_out(&Proposal::SkipTo(last + more)).map(|_| ())
                });
            }
            _ => {}
        }
    }

    /// Several things that come in one turn.
    fn act(&mut self, hosted: &Arc<Hosted>) {
        let Self { random, turn, published, bodies, .. } = self;
        let delivered = std::mem::take(&mut turn.delivered);
        let (mut acks, rest): (Vec<_>, Vec<_>) = delivered.into_iter().partition(|_| random.below(3) == 0);
        turn.delivered = rest;
        let prefix = format!("$JS.ACK.{}.", hosted.name);
        let letters = std::mem::take(&mut turn.letters);
        let _ = hosted.with(turn, |session| {
            for to in letters.iter().filter(|_| random.below(2) == 0) {
                let text = std::str::from_utf8(to).expect("text");
                let Some(rest) = text.strip_prefix(&format!("$DIALTONE.DEAD.{}.", session.hosted.name))
                else {
                    continue;
                };
                let name = rest.split('.').next().unwrap_or_default();
                let Some(ConsumerId(id)) = session.inner.state.consumer_id(name) else { continue };
                let framed = b"{\"stream\":\"DEAD\",\"seq\":1}\r\n";
                let message = Message { subject: to, reply: None, header_bytes: 0, framed };
                super::letters::answered(session, id, &message);
            }
            for _ in 0..=random.below(6) {
                match random.below(4) {
                    0 | 1 => publish(session, (random, published, bodies)),
                    2 => {
                        let all = session.inner.state.consumers_by_name();
                        let ids: Vec<u64> = all.map(|held| held.meta.id).collect();
                        if !ids.is_empty() {
                            let request = br#"{"batch":3,"expires":60000000000}"#;
                            let framed = [request, &b"\r\n"[..]].concat();
                            let message = Message {
                                subject: b"next",
                                reply: Some(b"inbox"),
                                header_bytes: 0,
                                framed: &framed,
                            };
                            session.pull(random.pick(&ids), &message);
                        }
                    }
                    _ => {
                        let Some(to) = acks.pop().filter(|to| to.starts_with(prefix.as_bytes())) else {
                            continue;
                        };
                        let name = to[prefix.len()..].split(|byte| *byte == b'.').next().unwrap_or(b"");
                        let name = std::str::from_utf8(name).expect("text");
                        let Some(ConsumerId(id)) = session.inner.state.consumer_id(name) else { continue };
                        let what: &[u8] = random.pick(&[
                            &b"+ACK\r\n"[..],
                            b"+ACK\r\n",
                            b"-NAK\r\n",
                            b"+TERM\r\n",
                            b"+WPI\r\n",
                        ]);
                        let message =
                            Message { subject: &to, reply: Some(b"inbox"), header_bytes: 0, framed: what };
                        session.acknowledge(id, &message);
                    }
                }
            }
        });
    }

    fn purge(&mut self, hosted: &Hosted) {
        let last = hosted.lock().state.machine.totals().last;
        let filter = (self.random.below(3) > 0).then(|| format!("{}.{}", hosted.name, self.random.below(4)));
        let before = self.random.pick(&[0, 0, last, last + 1]);
        let keep = if before == 0 { self.random.below(3) } else { 0 };
        let filter = filter.map(|filter| filter.into_bytes().into());
        let _ = hosted.purge(Purge { filter, before, keep }, &mut self.turn);
    }

    fn put_consumer(&mut self, hosted: &Hosted) {
        let random = &mut self.random;
        let name = random.pick(&CONSUMERS);
        let filter = format!("{}.{}", hosted.name, random.below(4));
        let config = ConsumerConfig {
            durable_name: name.into(),
            ack_policy: random.pick(&[
                AckPolicy::Explicit,
                AckPolicy::Explicit,
                AckPolicy::All,
                AckPolicy::None,
            ]),
            max_deliver: random.pick(&[-1, 2]),
            max_ack_pending: random.pick(&[1000, 5]),
            filter_subject: if random.below(2) == 0 { filter } else { String::new() },
            ..ConsumerConfig::default()
        };
        let has_more = |random: &mut Random| config.ack_policy == AckPolicy::Explicit && random.below(2) == 0;
        let more = [(ORDER_BY, "2"), (DEAD_LETTER, "dead")].into_iter().filter(|_| has_more(random));
        let metadata = more.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let config = ConsumerConfig { metadata, ..config };
        // What may change of a consumer is not looked at here, so one that is there stays as it is, but for its filter.
        let config = match hosted.consumer_config(name) {
            Some(known) => ConsumerConfig { filter_subject: config.filter_subject, ..known },
            None => config,
        };
        let put = hosted.put_consumer(name, config, &mut self.turn);
        put.expect("an account").expect("the store takes it");
    }

    fn check_point(&mut self) {
        Checkpoints::new(&self.shared, &self.all).checkpoint(self.store()).expect("it works");
        assert_eq!(self.shared.damages.found().0, 0);
        for hosted in self.all.all() {
            if self.random.below(2) == 0 {
                hosted.page_out(0);
            }
            let (inner, store) = (hosted.lock(), self.store());
            let messages = inner.state.machine.messages();
            let places = messages.places(0, u64::MAX);
            let settled =
                places.filter(|(_, place)| dialtone_store::Place::from_bytes(place.0).lsn().is_none());
            assert_eq!(
                store.in_use(hosted.group.expect("it is in a file")),
                settled.count() as u64,
                "{}",
                hosted.name
            );
        }
    }

    /// All that is to be the same, by stream.
    fn states(&self) -> BTreeMap<String, Vec<u8>> {
        let state = |hosted: Arc<Hosted>| {
            let mut bytes = Vec::new();
            hosted.lock().state.capture_as(Whole::Sequences, &mut bytes);
            (hosted.name.to_string(), bytes)
        };
        self.all.all().into_iter().map(state).collect()
    }

    /// A stream in words, for a test that fails.
    fn described(&self, name: &str) -> String {
        let Some(hosted) = self.all.find(&self.turn.account, name) else { return String::new() };
        let inner = hosted.lock();
        let machine = &inner.state.machine;
        let consumers: Vec<_> =
            inner.state.consumers.iter().map(|(one, _)| (one.id(), one.state())).collect();
        format!("{:?} {:?} {consumers:?}", machine.totals(), machine.messages().runs())
    }

    /// How many messages each consumer has before it, which is not kept but counted.
    fn pending(&self) -> Vec<(String, ConsumerId, u64)> {
        let mut out = Vec::new();
        for hosted in self.all.all() {
            for (machine, _) in hosted.lock().state.consumers.iter() {
                out.push((hosted.name.to_string(), machine.id(), machine.info_at(0).num_pending));
            }
        }
        out.sort();
        out
    }

    fn restart(&mut self) {
        self.store().step();
        // What a start forgets on purpose.
        self.all.all().iter().for_each(|hosted| hosted.lock().state.recovered());
        let (states, pending) = (self.states(), self.pending());
        let described: BTreeMap<_, _> = STREAMS.map(|name| (name.to_owned(), self.described(name))).into();
        let (shared, all) = (shared(), All::default());
        // The store ends with the last stream.
        (self.shared, self.all) = (shared, all);
        let after = if self.random.below(2) == 0 { After::Kill } else { After::PowerLoss(self.random.0) };
        self.disk.restart(after);
        (self.shared, self.all) = open(Arc::new(self.disk.clone()), &self.turn.account);
        self.turn.delivered.clear();
        for (name, state) in self.states() {
            let now = self.described(&name);
            assert!(states[&name] == state, "{name} is another one:\n{}\n{now}", described[&name]);
        }
        assert_eq!(self.states().len(), states.len());
        assert_eq!(self.pending(), pending);
        self.read_all();
    }

    fn read_all(&mut self) {
        for hosted in self.all.all() {
            let inner = hosted.lock();
            for head in inner.state.machine.messages().iter_from(0) {
                let mut found = Vec::new();
                match inner.state.machine.messages().body(head.seq) {
                    Some(Body::Hot(bytes)) => found.extend_from_slice(bytes),
                    Some(Body::Cold(place)) => {
                        hosted.try_read(head.seq, (place, head.body_bytes), &mut found).expect("it is read")
                    }
                    None => panic!("{} has no body", head.seq),
                }
                let body = self.bodies.get(&(hosted.name.to_string(), head.seq));
                assert_eq!(Some(&found), body, "{} {}", hosted.name, head.seq);
            }
        }
    }
}

fn publish(
    session: &mut super::session::Session<'_>,
    (random, published, bodies): (&mut Random, &mut u64, &mut Bodies),
) {
    *published += 1;
    let name = session.hosted.name.to_string();
    let subject = format!("{name}.{}", random.below(4));
    let headers = match random.below(9) {
        0 => format!("NATS/1.0\r\nNats-Msg-Id: {}\r\n\r\n", random.below(9)),
        1 if random.below(4) == 0 => "NATS/1.0\r\nNats-Rollup: sub\r\n\r\n".to_owned(),
        2 => "NATS/1.0\r\nNats-TTL: 1h\r\n\r\n".to_owned(),
        3 => "NATS/1.0\r\nNats-Delay: 1h\r\n\r\n".to_owned(),
        _ => String::new(),
    };
    let payload = format!("{published}").repeat(random.pick(&[1, 1, 20, 400]));
    let framed = format!("{headers}{payload}\r\n");
    let before = session.inner.state.machine.totals().last;
    let message = Message {
        subject: subject.as_bytes(),
        reply: Some(b"inbox"),
        header_bytes: headers.len(),
        framed: framed.as_bytes(),
    };
    session.store(&message, None);
    let last = session.inner.state.machine.totals().last;
    if last > before {
        bodies.insert((name, last), format!("{headers}{payload}").into_bytes());
    }
}

/// A stream of some messages on disk, none of which is in memory; and the file that has them.
fn cold(payload: &str) -> (World, Arc<Hosted>, std::path::PathBuf) {
    let mut world = World::new(1);
    let account = world.turn.account.clone();
    let config = StreamConfig { name: "S".into(), subjects: vec!["S".into()], ..StreamConfig::default() };
    let made = world.all.create(&account, config, (&world.shared, PAYLOAD_MAX));
    let hosted = made.expect("the store takes it").0;
    let config = ConsumerConfig { durable_name: "C".into(), ..ConsumerConfig::default() };
    let ack_wait = Nanos(30_000_000_000);
    let config = ConsumerConfig { ack_policy: AckPolicy::Explicit, ack_wait, ..config };
    hosted.put_consumer("C", config, &mut world.turn).expect("an account").expect("the store takes it");
    for number in 1..=3 {
        world.publish(&hosted, &format!("{payload} {number}"));
    }
    world.check_point();
    drop(hosted);
    world.restart();
    let hosted = world.all.find(&account, "S").expect("it is there");
    let files = world.disk.files();
    let is_segment = |path: &&std::path::PathBuf| path.extension().is_some_and(|name| name == "seg");
    let path = files.iter().map(|(path, _)| path).find(is_segment).expect("a segment").clone();
    (world, hosted, path)
}

#[test]
fn a_consumer_that_stands_is_named_once() {
    let mut world = World::new(3);
    let account = world.turn.account.clone();
    let config = StreamConfig { name: "S".into(), subjects: vec!["S".into()], ..StreamConfig::default() };
    let hosted = world.all.create(&account, config, (&world.shared, PAYLOAD_MAX)).expect("it is made").0;
    let config = ConsumerConfig { durable_name: "C".into(), ..ConsumerConfig::default() };
    let config = ConsumerConfig { ack_policy: AckPolicy::Explicit, max_ack_pending: 1, ..config };
    hosted.put_consumer("C", config, &mut world.turn).expect("an account").expect("the store takes it");
    world.publish(&hosted, "1");
    world.publish(&hosted, "2");
    let id = hosted.lock().state.consumer_id("C").expect("it is there").0;
    let framed = b"{\"batch\":1,\"expires\":600000000000}\r\n";
    let message = Message { subject: b"next", reply: Some(b"inbox"), header_bytes: 0, framed };
    let mut watchdog = Watchdog::new(Instant::now());
    let (began, mut seconds) = (Instant::now(), 0);
    let mut named = |world: &World| {
        seconds += 5;
        watchdog.look(&world.all, began + Duration::from_secs(seconds)).len()
    };
    // A fault: somebody waits, and nobody looks after the consumer.
    let _ = hosted.with(&mut world.turn, |session| {
        session.pull(id, &message);
        while session.inner.state.consumers.next_ready().is_some() {}
    });
    assert_eq!([named(&world), named(&world), named(&world), named(&world)], [0, 0, 1, 0]);
    // Where one message waits for its acknowledgement, and no more may, there is no fault.
    for _ in 0..2 {
        let _ = hosted.with(&mut world.turn, |session| session.pull(id, &message));
    }
    let figures = hosted.consumer_figures();
    assert_eq!(figures[0].1.held_by, Some(Hold::AckPending));
    assert_eq!([named(&world), named(&world), named(&world)], [0, 0, 0]);
}

#[test]
fn a_delayed_message_is_stored_once_whenever_the_server_stops() {
    for is_checkpointed in [false, true] {
        for is_due_before in [false, true] {
            let mut world = World::new(7);
            let account = world.turn.account.clone();
            let config = StreamConfig { subjects: vec!["S.>".into()], ..stream_config("S", &mut Random(1)) };
            let config = StreamConfig { max_bytes: -1, max_msgs_per_subject: -1, ..config };
            let made = world.all.create(&account, config, (&world.shared, PAYLOAD_MAX));
            let hosted = made.expect("the store takes it").0;
            let headers = "NATS/1.0\r\nNats-Delay: 1ns\r\n\r\n";
            let framed = format!("{headers}body\r\n").into_bytes();
            let message =
                Message { subject: b"S.1", reply: None, header_bytes: headers.len(), framed: &framed };
            let _ = hosted.with(&mut world.turn, |session| session.store(&message, None));
            world.store().step();
            if is_due_before {
                hosted.work(&mut world.turn);
                world.store().step();
            }
            if is_checkpointed {
                world.check_point();
            }
            drop(hosted);
            world.bodies.insert(("S".into(), 1), b"body".to_vec());
            world.restart();
            let hosted = world.all.find(&account, "S").expect("it is there");
            for _ in 0..3 {
                hosted.work(&mut world.turn);
                world.store().step();
            }
            let (totals, delayed) = {
                let inner = hosted.lock();
                (inner.state.machine.totals(), inner.state.machine.delayed_totals())
            };
            assert_eq!((totals.last, totals.count, delayed), (1, 1, (0, 0)));
            world.read_all();
        }
    }
}

impl World {
    /// Publishes to `S`, and does what a commit brings. The answer, empty if there is none.
    fn publish(&mut self, hosted: &Hosted, payload: &str) -> String {
        self.turn.answer.clear();
        let framed = format!("{payload}\r\n");
        let reply = Some(&b"answers"[..]);
        let message = Message { subject: b"S", reply, header_bytes: 0, framed: framed.as_bytes() };
        hosted.with(&mut self.turn, |session| session.store(&message, None));
        let last = hosted.lock().state.machine.totals().last;
        self.bodies.insert(("S".into(), last), payload.as_bytes().to_vec());
        self.store().step();
        hosted.work(&mut self.turn);
        self.turn.answer.clone()
    }
}

#[test]
fn a_device_that_fails_has_nothing_acknowledged_any_more() {
    let (mut world, hosted, _) = cold("before");
    world.disk.fail_at(1, Fault::Error);
    assert_eq!(world.publish(&hosted, "never"), "");
    let refused = world.publish(&hosted, "nor this");
    assert!(refused.contains("the store has failed") && refused.contains("10077"), "{refused}");
    assert!(world.shared.failure().is_some());
    drop(hosted);
    (world.shared, world.all) = (shared(), All::default());
    world.disk.restart(After::Kill);
    (world.shared, world.all) = open(Arc::new(world.disk.clone()), &world.turn.account);
    let hosted = world.all.find(&world.turn.account, "S").expect("it is there");
    assert_eq!(hosted.lock().state.machine.totals().count, 3);
}

fn position(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

#[test]
fn a_message_that_cannot_be_read_is_named_and_the_others_come() {
    let (mut world, hosted, path) = cold("what it says");
    let at = position(&world.disk.read(&path), "what it says 2").expect("it is in the segment");
    world.disk.flip(&path, at, 1);
    hosted.with(&mut world.turn, |session| {
        let framed = b"{\"batch\":3,\"expires\":60000000000}\r\n";
        let message = Message { subject: b"next", reply: Some(b"inbox"), header_bytes: 0, framed };
        session.pull(1, &message);
    });
    hosted.read_later(&mut world.turn);
    assert_eq!(world.turn.delivered.len(), 2, "{:?}", world.turn.delivered);
    let (count, names) = world.shared.damages.found();
    assert_eq!(count, 1, "{names:?}");
    assert!(names[0].contains("stream \"S\": message 2 cannot be read"), "{names:?}");
    {
        let inner = hosted.lock();
        let (machine, _) = inner.state.consumers.iter().next().expect("a consumer");
        let info = machine.info_at(0);
        // It waits for nobody, and stays where it is.
        assert_eq!((info.num_ack_pending, inner.state.machine.totals().count), (2, 3));
    }
    let mut body = Vec::new();
    assert!(!hosted.read_body(2, &mut body));
    assert!(hosted.read_body(3, &mut body));
    assert_eq!(body, b"what it says 3");
}

#[test]
fn what_is_deleted_for_good_is_erased_also_after_a_crash() {
    for crashes in [false, true] {
        let (mut world, hosted, path) = cold("a secret");
        let deleted = hosted.delete_message(2, true, &mut world.turn);
        deleted.expect("an account").expect("it is there");
        world.store().step();
        if crashes {
            drop(hosted);
            world.bodies.remove(&("S".into(), 2));
            world.restart();
        }
        assert!(position(&world.disk.read(&path), "a secret 2").is_some());
        world.shared.care.erase_all(world.store(), &world.shared);
        let bytes = world.disk.read(&path);
        assert_eq!(position(&bytes, "a secret 2"), None);
        assert!(position(&bytes, "a secret 1").is_some() && position(&bytes, "a secret 3").is_some());
        assert_eq!(world.shared.damages.found().0, 0);
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_start_makes_the_same_of_checkpoint_and_log() {
    let first = number("RESTARTS_SEED", 1);
    for seed in first..first + number("RESTARTS_RUNS", 12) {
        let played = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..400).for_each(|_| world.step());
            world.restart();
        });
        assert!(played.is_ok(), "RESTARTS_SEED={seed} RESTARTS_RUNS=1 plays it again");
    }
}
