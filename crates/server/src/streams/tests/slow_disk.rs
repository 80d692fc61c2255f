//! A disk that takes its time to read: who asked for what is there waits, and nobody else does.

use super::checkpoints::Checkpoints;
use super::direct;
use super::hosted::Hosted;
use super::registry::All;
use super::restarts::{PAYLOAD_MAX, open, shared};
use super::shared::Shared;
use dialtone_broker::account::{Account, AccountId};
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::config::{AckPolicy, ConsumerConfig, StreamConfig};
use dialtone_jetstream::memory::Part;
use dialtone_jetstream::stream::Proposal;
use dialtone_store::{Access, After, Disk, File, Lock, SimulatedDisk};
use dialtone_wire::message::Message;
use parking_lot::{Condvar, Mutex};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Every wait ends by then, with a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// The only thread that may wait for the disk.
const READER: &str = "reader";

/// Lets nobody read while it is closed.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    is_closed: bool,
    /// The reader waits at it.
    is_waited_for: bool,
    /// Reads of other threads while it was closed.
    others: usize,
}

impl Gate {
    fn set(&self, is_closed: bool) {
        self.state.lock().is_closed = is_closed;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        if !state.is_closed {
            return;
        }
        if thread::current().name() != Some(READER) {
            state.others += 1;
            return;
        }
        state.is_waited_for = true;
        self.changed.notify_all();
        let end = Instant::now() + PATIENCE;
        while state.is_closed && !self.changed.wait_until(&mut state, end).timed_out() {}
        state.is_waited_for = false;
    }

    fn wait_for_reader(&self) {
        let mut state = self.state.lock();
        let end = Instant::now() + PATIENCE;
        while !state.is_waited_for {
            assert!(!self.changed.wait_until(&mut state, end).timed_out(), "the reader asks the disk");
        }
    }
}

struct SlowDisk(SimulatedDisk, Arc<Gate>);

struct SlowFile(Box<dyn File>, Arc<Gate>);

impl Disk for SlowDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        Ok(Box::new(SlowFile(self.0.open(path, access)?, self.1.clone())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
}

impl File for SlowFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.1.pass();
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.0.forget_cached()
    }
}

/// What was sent, in order: where to, and what it says.
#[derive(Default)]
struct Sent {
    lines: Mutex<Vec<(String, String)>>,
    changed: Condvar,
}

impl Sent {
    fn to(&self, to: &str) -> Vec<String> {
        let lines = self.lines.lock();
        lines.iter().filter(|(at, _)| at == to).map(|(_, text)| text.clone()).collect()
    }

    fn wait_for(&self, to: &str, count: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock();
        while lines.iter().filter(|(at, _)| at == to).count() < count {
            assert!(!self.changed.wait_until(&mut lines, end).timed_out(), "{count} to {to}: {lines:?}");
        }
        drop(lines);
        self.to(to)
    }
}

/// Everybody listens to everything.
struct Turn(Arc<Sent>);

impl Turn {
    fn add(&mut self, to: &[u8], message: &Message<'_>) -> usize {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.lines.lock().push((text(to), text(message.payload())));
        self.0.changed.notify_all();
        1
    }
}

impl Publish for Turn {
    fn emit(&mut self, _: &Arc<Account>, message: &Message<'_>) -> usize {
        self.add(message.subject, message)
    }

    fn emit_stored(&mut self, _: &Arc<Account>, to: &[u8], message: &Message<'_>) -> usize {
        self.add(to, message)
    }

    fn is_awaited(&mut self, _: &Arc<Account>, _: &[u8]) -> bool {
        true
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

struct World {
    shared: Arc<Shared>,
    all: All,
    account: Arc<Account>,
    turn: Turn,
    gate: Arc<Gate>,
    disk: SimulatedDisk,
}

impl World {
    /// Messages `S.old` on disk, of which nothing is in memory, then `others` messages that nobody asks for; consumers `C` of the old
    /// ones, `D` of those that come.
    fn new(old: usize, others: u64) -> Self {
        let (disk, gate) = (SimulatedDisk::new(), Arc::<Gate>::default());
        let account = Account::new(AccountId(1), "A");
        let (simulated, closed) = (disk.clone(), gate.clone());
        let slow = move || Arc::new(SlowDisk(simulated.clone(), closed.clone()));
        let (begun, all) = open(slow(), &account);
        let turn = Turn(Arc::default());
        let mut world = Self { shared: begun, all, account, turn, gate, disk };
        let config = StreamConfig {
            name: "S".into(),
            subjects: vec!["S.*".into()],
            allow_direct: true,
            ..StreamConfig::default()
        };
        let made = world.all.create(&world.account, config, (&world.shared, PAYLOAD_MAX));
        let hosted = made.expect("the store takes it").0;
        for (name, filter) in [("C", "S.old"), ("D", "S.new")] {
            let config = ConsumerConfig {
                durable_name: name.into(),
                filter_subject: filter.into(),
                ack_policy: AckPolicy::None,
                ..ConsumerConfig::default()
            };
            let put = hosted.put_consumer(name, config, &mut world.turn);
            put.expect("an account").expect("the store takes it");
        }
        for number in 1..=old {
            world.publish(&hosted, "S.old", &format!("old {number}"));
        }
        let skipped = hosted.with(&mut world.turn, |session| {
            let last = session.inner.state.machine.totals().last;
            session.carry_out(&Proposal::SkipTo(last + others)).map(|_| ())
        });
        skipped.expect("an account").expect("the store takes it");
        world.publish(&hosted, "S.last", "last");
        let store = world.shared.store().expect("it is open");
        Checkpoints::new(&world.shared, &world.all).checkpoint(store).expect("it works");
        drop(hosted);
        world.shared.close();
        (world.shared, world.all) = (shared(), All::default());
        world.disk.restart(After::Kill);
        (world.shared, world.all) = open(slow(), &world.account);
        world.turn.0.lines.lock().clear();
        world.gate.set(true);
        world
    }

    fn hosted(&self) -> Arc<Hosted> {
        self.all.find(&self.account, "S").expect("it is there")
    }

    /// Publishes, and does what a commit brings.
    fn publish(&mut self, hosted: &Hosted, subject: &str, payload: &str) {
        let framed = format!("{payload}\r\n");
        let (subject, framed) = (subject.as_bytes(), framed.as_bytes());
        let message = Message { subject, reply: Some(b"stored"), header_bytes: 0, framed };
        hosted.with(&mut self.turn, |session| session.store(&message, None));
        self.shared.store().expect("it is open").step();
        hosted.work(&mut self.turn);
    }

    /// Consumer `C` is the first, `D` the second.
    fn pull(&mut self, hosted: &Hosted, (id, to): (u64, &str)) {
        let framed = b"{\"batch\":3,\"expires\":60000000000}\r\n";
        let message = Message { subject: b"next", reply: Some(to.as_bytes()), header_bytes: 0, framed };
        hosted.with(&mut self.turn, |session| session.pull(id, &message));
    }

    fn acknowledge(&mut self, hosted: &Hosted, (id, subject): (u64, &str), reply: Option<&[u8]>) {
        let message = Message { subject: subject.as_bytes(), reply, header_bytes: 0, framed: b"+ACK\r\n" };
        hosted.with(&mut self.turn, |session| session.acknowledge(id, &message));
    }

    fn get(&mut self, hosted: &Hosted, body: &str) {
        let framed = format!("{body}\r\n");
        let (subject, reply) = (&b"$JS.API.DIRECT.GET.S"[..], Some(&b"got"[..]));
        let message = Message { subject, reply, header_bytes: 0, framed: framed.as_bytes() };
        hosted.with(&mut self.turn, |session| direct::answer(session, &message));
    }

    fn read_elsewhere(&self) -> thread::JoinHandle<()> {
        let (shared, mut turn) = (self.shared.clone(), Turn(self.turn.0.clone()));
        let run = move || {
            while let Some(next) = shared.next_read(false) {
                if let Some(hosted) = next {
                    hosted.read_later(&mut turn);
                }
            }
        };
        thread::Builder::new().name(READER.into()).spawn(run).expect("a thread")
    }
}

fn play(others: u64) {
    let mut world = World::new(3, others);
    let (hosted, sent) = (world.hosted(), world.turn.0.clone());
    let reader = world.read_elsewhere();
    world.pull(&hosted, (1, "old"));
    world.gate.wait_for_reader();
    for asked in [r#"{"seq":2}"#, r#"{"last_by_subj":"S.old"}"#, r#"{"seq":1,"batch":2}"#] {
        world.get(&hosted, asked);
    }
    world.pull(&hosted, (2, "new"));
    for number in 1..=2 {
        world.publish(&hosted, "S.new", &format!("new {number}"));
    }
    // All this was done by this thread while the reader waits.
    assert_eq!(sent.to("stored").len(), 2);
    assert_eq!(sent.to("new"), ["new 1", "new 2"]);
    assert_eq!((sent.to("old").len(), sent.to("got").len()), (0, 0));
    world.gate.set(false);
    assert_eq!(sent.wait_for("old", 3), ["old 1", "old 2", "old 3"]);
    let mut got = sent.wait_for("got", 5);
    got.sort();
    assert_eq!(got, ["", "old 1", "old 2", "old 2", "old 3"]);
    assert_eq!(world.gate.state.lock().others, 0, "reads by who has to go on");
    world.shared.close();
    reader.join().expect("it ends");
    assert!(!world.disk.files().is_empty());
}

#[test]
fn nobody_waits_for_a_body_but_who_asked_for_it() {
    play(0);
}

#[test]
fn what_is_known_of_messages_is_left_to_the_disk_before_more_comes() {
    let mut world = World::new(0, 0);
    world.gate.set(false);
    let (hosted, shared) = (world.hosted(), world.shared.clone());
    shared.set_memory(1 << 20);
    let fill = |world: &mut World| {
        let mut published = 0;
        while !shared.is_index_full() {
            world.publish(&hosted, "S.new", "");
            published += 1;
        }
        assert!(shared.is_index_due(), "a checkpoint begins before somebody waits");
        published
    };
    let first = fill(&mut world);
    assert!((5000..9000).contains(&first), "{first} messages of 48 bytes each are more than a quarter of it");
    let checkpoints = Checkpoints::new(&world.shared, &world.all);
    // Before a checkpoint nothing can go; where none comes to pass, publishers go on for a while.
    checkpoints.page_out();
    assert!(shared.is_index_full());
    checkpoints.note_index_left();
    assert!(!shared.is_index_full() && !shared.is_index_due());
    checkpoints.checkpoint(shared.store().expect("it is open")).expect("it works");
    checkpoints.page_out();
    checkpoints.note_index_left();
    let left = shared.memory().used(Part::Index);
    assert!(left <= shared.memory().share(Part::Index) / 4 * 3 + (64 << 10), "{left}");
    assert!(fill(&mut world) < first, "a part of them is kept");
    world.shared.close();
}

#[test]
fn an_acknowledgement_is_confirmed_when_it_is_on_disk_though_it_came_before() {
    let mut world = World::new(0, 0);
    world.gate.set(false);
    let (hosted, sent) = (world.hosted(), world.turn.0.clone());
    let config = ConsumerConfig {
        durable_name: "E".into(),
        filter_subject: "S.new".into(),
        ack_policy: AckPolicy::Explicit,
        ..ConsumerConfig::default()
    };
    let put = hosted.put_consumer("E", config, &mut world.turn);
    put.expect("an account").expect("the store takes it");
    world.publish(&hosted, "S.new", "one");
    world.pull(&hosted, (3, "one"));
    assert_eq!(sent.to("one"), ["one"]);
    let seq = hosted.lock().state.machine.totals().last;
    let subject = format!("$JS.ACK.S.E.1.{seq}.1.1.0");
    world.acknowledge(&hosted, (3, &subject), None);
    world.acknowledge(&hosted, (3, &subject), Some(b"confirmed"));
    assert!(sent.to("confirmed").is_empty());
    world.shared.store().expect("it is open").step();
    hosted.work(&mut world.turn);
    assert_eq!(sent.to("confirmed"), [""]);
    // Nothing is on its way any more.
    world.acknowledge(&hosted, (3, &subject), Some(b"again"));
    assert_eq!(sent.to("again"), [""]);
    world.shared.close();
}
