//! A user of the store with a state of its own: what it must be after any fault is known.

// Each test uses a part of it.
#![allow(dead_code)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dialtone_store::{
    BlockError, Blocks, Captured, CheckpointError, Checkpointed, Cipher, Damage, Disk, Encryption, GroupId,
    Heads, Key, Lost, Moved, Note, OpenError, Options, Place, Plan, ReadError, Recovered, Refused, Store,
    Urgency,
};

/// Bytes of a block, and how many a group has at most.
const BLOCK_BYTES: usize = 16;
const BLOCKS_MAX: usize = 3;
/// What stands for a damaged block instead of a sequence.
pub const BLOCK: u64 = u64::MAX;

/// What an application knows, by the names of its groups: hash of its changes, next sequence, sequences of its messages.
pub type Digest = BTreeMap<Vec<u8>, (u64, u64, Vec<u64>)>;

#[derive(Default)]
pub struct App {
    pub groups: BTreeMap<GroupId, Group>,
    pub damage: Vec<Damage>,
    pub torn_bytes: u64,
}

#[derive(Default, Clone)]
pub struct Group {
    pub name: Vec<u8>,
    pub changes: u64,
    pub next: u64,
    pub messages: BTreeMap<u64, Option<Place>>,
    /// Numbers of blocks, and where they are.
    pub blocks: Vec<(u64, Place)>,
}

#[derive(Debug, Clone)]
pub enum Op {
    NewGroup(u8),
    DeleteGroup(u8),
    /// Group, messages, bytes of each.
    Publish(u8, u8, u16),
    Note(u8, u8),
    /// Group, and which of its messages, counted from the oldest.
    Delete(u8, u8),
    /// Two groups at once.
    Both(u8, u8),
    Checkpoint,
}

thread_local! {
    /// By what stores of this thread are encrypted.
    static ENCRYPTED: Cell<Option<Cipher>> = const { Cell::new(None) };
}

/// Runs a test on stores that are not encrypted, and on stores that are.
pub fn plain_and_sealed(test: impl Fn()) {
    for cipher in [None, Some(Cipher::Aes256Gcm)] {
        ENCRYPTED.set(cipher);
        test();
    }
}

pub fn encryption(cipher: Cipher, key: &str, previous: Option<&str>) -> Encryption {
    let key_of = |text: &str| Key::new(text.as_bytes());
    Encryption { cipher, key: key_of(key), previous: previous.map(key_of) }
}

pub fn options() -> Options {
    Options {
        log_file_bytes: 8 << 10,
        log_ahead_bytes: 1 << 10,
        segment_bytes: 16 << 10,
        reserve_bytes: 4 << 10,
        pending_bytes_max: 1 << 20,
        linger: Duration::ZERO,
        // Marks come at the end only, so that each run makes the same calls.
        mark_delay: Duration::from_secs(3600),
        full_retry_interval: Duration::from_millis(1),
        encryption: ENCRYPTED.get().map(|cipher| encryption(cipher, "key", None)),
    }
}

pub fn body(name: &[u8], seq: u64, bytes: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes + 16);
    body.extend_from_slice(&(bytes as u64).to_le_bytes());
    let mut value = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(name.first().copied().unwrap_or(0));
    while body.len() < bytes + 8 {
        value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        body.push((value >> 56) as u8);
    }
    body
}

fn head(name: &[u8], seq: u64) -> Vec<u8> {
    [name, b".", seq.to_string().as_bytes()].concat()
}

fn note(seq: u64) -> Note {
    let mut note = Note::default();
    note[..8].copy_from_slice(&seq.to_le_bytes());
    note
}

/// Whether a group of this name asks for the heads of its messages, instead of having all of them handed over.
fn is_asking(name: &[u8]) -> bool {
    name.first().is_some_and(|name| name % 2 == 1)
}

impl Group {
    /// Asks for the heads of all messages that it knows, some sequences at a time.
    fn ask(&mut self, heads: &Heads) {
        let name = self.name.clone();
        for from in (0..self.next).step_by(7) {
            let mut before = 0;
            let read = heads.read(from, from + 6, &mut |found| {
                assert!((from..from + 7).contains(&found.seq) && found.seq >= before, "ascending");
                before = found.seq;
                assert_eq!(found.head, head(&name, found.seq));
                if let Some(known) = self.messages.get_mut(&found.seq) {
                    *known = Some(found.place);
                }
                assert!(found.note == note(found.seq) || found.note == Note::default());
            });
            read.expect("it can be read");
        }
    }
}

impl App {
    pub fn open(disk: &Arc<dyn Disk>, options: Options) -> Result<(Store, App), OpenError> {
        let mut app = App::default();
        let mut dropped = Vec::new();
        let store = Store::open(Arc::clone(disk), Path::new("/store"), options, &mut |found| {
            app.recovered(found, &mut dropped);
        })?;
        for (group, place) in dropped {
            store.dropped(group, place);
        }
        app.check_in_use(&store);
        Ok((store, app))
    }

    fn recovered(&mut self, found: Recovered<'_>, dropped: &mut Vec<(GroupId, Place)>) {
        match found {
            Recovered::Group { id, meta, state, heads, is_asked_for } => {
                let mut group = Group { name: meta.to_vec(), next: 1, ..Group::default() };
                if let Some(state) = state {
                    let mut numbers = state
                        .chunks_exact(8)
                        .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
                    group.changes = numbers.next().expect("a state");
                    group.next = numbers.next().expect("a state");
                    let count = numbers.next().expect("a state") as usize;
                    group.messages = numbers.by_ref().take(count).map(|seq| (seq, None)).collect();
                    while let (Some(no), Some(one), Some(two)) =
                        (numbers.next(), numbers.next(), numbers.next())
                    {
                        let place: Vec<u8> = [one, two].into_iter().flat_map(u64::to_le_bytes).collect();
                        let place = place.try_into().expect("16 bytes");
                        group.blocks.push((no, Place::from_bytes(place)));
                    }
                    if is_asking(meta) {
                        is_asked_for.set(true);
                        group.ask(heads);
                    }
                }
                assert!(self.groups.insert(id, group).is_none(), "each group comes once");
            }
            Recovered::Message { group: id, seq, head: found, place, body_bytes } => {
                let group = self.groups.get_mut(&id).expect("groups come before their messages");
                assert_eq!(found, head(&group.name, seq));
                assert!(body_bytes >= 8);
                if place.lsn().is_some() {
                    group.messages.insert(seq, Some(place));
                    assert!(seq >= group.next, "sequences grow");
                    group.next = seq + 1;
                } else {
                    match group.messages.get_mut(&seq) {
                        Some(known) => *known = Some(place),
                        None => dropped.push((id, place)),
                    }
                }
            }
            Recovered::Record { group: id, bytes } => {
                let group = self.groups.get_mut(&id).expect("groups come before their records");
                if let Some((_, place)) = group.apply(bytes) {
                    dropped.extend(place.map(|place| (id, place)));
                }
            }
            Recovered::Deleted { group } => {
                self.groups.remove(&group).expect("a group is deleted once");
            }
            Recovered::Damage(damage) => self.damage.push(damage),
            Recovered::TornTail { bytes } => self.torn_bytes += bytes,
        }
    }

    /// The store knows how many messages in segments are in use, where nothing is damaged.
    pub fn check_in_use(&self, store: &Store) {
        if !self.damage.is_empty() {
            return;
        }
        for (id, group) in &self.groups {
            let in_use =
                group.messages.values().filter(|place| place.is_some_and(|place| place.lsn().is_none()));
            assert_eq!(store.in_use(*id), in_use.count() as u64, "{id:?}");
        }
    }

    pub fn digest(&self) -> Digest {
        let line = |group: &Group| (group.changes, group.next, group.messages.keys().copied().collect());
        self.groups.values().map(|group| (group.name.clone(), line(group))).collect()
    }

    /// Reads every message and every block; those that are damaged, by group and sequence, blocks as [`BLOCK`].
    pub fn read_all(&self, store: &Store) -> Vec<(GroupId, u64)> {
        let mut damaged = Vec::new();
        for (id, group) in &self.groups {
            for (no, place) in &group.blocks {
                let mut found = Vec::new();
                match store.heads(*id).block(*no, *place, &mut found) {
                    Ok(()) => assert_eq!(found, body(&group.name, *no, BLOCK_BYTES), "{id:?} block {no}"),
                    Err(ReadError::Damaged(damage)) => {
                        assert_eq!(damage.what, Lost::Block { group: *id });
                        damaged.push((*id, BLOCK));
                    }
                    // A file that is gone as a whole, and named.
                    Err(ReadError::Moved) if !self.damage.is_empty() => damaged.push((*id, BLOCK)),
                    Err(error) => panic!("{id:?} block {no} at {place:?}: {error}"),
                }
            }
            let mut reader = store.reader();
            for (&seq, place) in &group.messages {
                let mut found = Vec::new();
                let read = match place {
                    Some(place) => store.read(*id, seq, *place, &mut found),
                    None => {
                        damaged.push((*id, seq));
                        continue;
                    }
                };
                let in_turn = place.map(|place| reader.read(*id, seq, place));
                match (&read, in_turn) {
                    (Ok(()), Some(Ok(bytes))) => assert_eq!(bytes, found, "{id:?} {seq}"),
                    (Err(ReadError::Damaged(one)), Some(Err(ReadError::Damaged(other)))) => {
                        assert_eq!(*one, other, "{id:?} {seq}");
                    }
                    (read, other) => panic!("{id:?} {seq} at {place:?}: {read:?}, by the reader {other:?}"),
                }
                match read {
                    Ok(()) => assert_eq!(found, body(&group.name, seq, found.len() - 8), "{id:?} {seq}"),
                    Err(ReadError::Damaged(damage)) => {
                        assert_eq!(damage.what, Lost::Message { group: *id, seq });
                        damaged.push((*id, seq));
                    }
                    Err(error) => panic!("{id:?} {seq} at {place:?}: {error}"),
                }
            }
        }
        damaged
    }

    fn named(&self, name: u8) -> Option<GroupId> {
        self.groups.iter().find(|(_, group)| group.name == [name]).map(|(id, _)| *id)
    }

    /// Does what the operation says, if it can be done; and waits until it is durable. `None`: the store has failed.
    pub fn run(&mut self, store: &Store, op: &Op) -> Option<()> {
        if matches!(op, Op::Checkpoint) {
            return self.checkpoint(store);
        }
        let mut attempts = 0;
        let mut batch = loop {
            match store.batch(Urgency::Ordinary) {
                Ok(batch) => break batch,
                Err(Refused::Failed(_)) => return None,
                Err(Refused::Busy) => panic!("nothing waits"),
                Err(Refused::Full) => self.checkpoint(store)?,
            }
            attempts += 1;
            assert!(attempts < 100, "there is room again in the end");
        };
        let mut dropped = Vec::new();
        match *op {
            Op::NewGroup(name) if self.named(name).is_none() => {
                let id = batch.new_group(&[name]);
                self.groups.insert(id, Group { name: vec![name], next: 1, ..Group::default() });
            }
            Op::DeleteGroup(name) => {
                if let Some(id) = self.named(name) {
                    batch.delete_group(id);
                    self.groups.remove(&id);
                }
            }
            Op::Publish(name, count, bytes) => {
                if let Some(id) = self.named(name) {
                    let group = self.groups.get_mut(&id).expect("it was found");
                    for _ in 0..count {
                        let seq = group.next;
                        let body = body(&group.name, seq, usize::from(bytes));
                        let place =
                            batch.message(id, seq, &head(&group.name, seq), &[&body[..3], &body[3..]]);
                        group.messages.insert(seq, Some(place));
                        group.next += 1;
                    }
                }
            }
            Op::Note(name, value) => {
                if let Some(id) = self.named(name) {
                    batch.record(id, &[b'n', value]);
                    self.groups.get_mut(&id).expect("it was found").apply(&[b'n', value]);
                }
            }
            Op::Delete(name, index) => {
                if let Some(id) = self.named(name) {
                    let group = self.groups.get_mut(&id).expect("it was found");
                    if let Some(seq) = group.messages.keys().nth(usize::from(index)).copied() {
                        let record = [b"d".as_slice(), &seq.to_le_bytes()].concat();
                        batch.record(id, &record);
                        dropped.extend(group.apply(&record).and_then(|(_, place)| Some((id, place?))));
                    }
                }
            }
            Op::Both(one, other) => {
                for name in [one, other] {
                    if let Some(id) = self.named(name) {
                        batch.record(id, b"nB");
                        self.groups.get_mut(&id).expect("it was found").apply(b"nB");
                    }
                }
            }
            Op::NewGroup(_) | Op::Checkpoint => {}
        }
        let end = batch.submit();
        for (group, place) in dropped {
            store.dropped(group, place);
        }
        store.wait(end).ok()
    }

    pub fn checkpoint(&mut self, store: &Store) -> Option<()> {
        self.checkpoint_of(store, false)
    }

    pub fn checkpoint_of(&mut self, store: &Store, late: bool) -> Option<()> {
        let mut user = User { app: self, late, store, written: BTreeMap::new() };
        match store.checkpoint(&mut user) {
            Ok(done) => {
                self.damage.extend(done.damage);
                Some(())
            }
            Err(CheckpointError::Full) => Some(()),
            Err(CheckpointError::Failed(_)) => None,
            // A simulated crash.
            Err(CheckpointError::Read(_)) => None,
        }
    }
}

impl Group {
    /// A record's change; the message that it deleted.
    fn apply(&mut self, record: &[u8]) -> Option<(u64, Option<Place>)> {
        match record {
            [b'n', value] => {
                self.changes = self.changes.wrapping_mul(31).wrapping_add(u64::from(*value) + 1);
                None
            }
            [b'd', seq @ ..] => {
                let seq = u64::from_le_bytes(seq.try_into().expect("a sequence"));
                self.changes = self.changes.wrapping_mul(37).wrapping_add(seq);
                self.messages.remove(&seq).map(|place| (seq, place))
            }
            _ => panic!("a record that was never written: {record:?}"),
        }
    }
}

struct User<'a> {
    app: &'a mut App,
    /// Each group gets another message when it is about to be captured.
    late: bool,
    store: &'a Store,
    /// Blocks of groups, if the checkpoint becomes durable.
    written: BTreeMap<GroupId, Vec<(u64, Place)>>,
}

impl Checkpointed for User<'_> {
    fn capture(&mut self, group: GroupId, plan: &Plan<'_>, captured: &mut Captured) -> bool {
        let Some(found) = self.app.groups.get_mut(&group) else { return false };
        if self.late {
            // Somebody was quicker than the checkpoint, as threads are.
            let mut batch = self.store.batch(Urgency::Ordinary).expect("it works");
            let (seq, bytes) = (found.next, body(&found.name, found.next, 30));
            let place = batch.message(group, seq, &head(&found.name, seq), &[&bytes]);
            batch.submit();
            found.messages.insert(seq, Some(place));
            found.next += 1;
        }
        plan.begin(captured);
        assert_eq!(captured.upto, self.store.position());
        let count = found.messages.len() as u64;
        let numbers = [found.changes, found.next, count].into_iter().chain(found.messages.keys().copied());
        captured.state.extend(numbers.flat_map(u64::to_le_bytes));
        for (seq, place) in &found.messages {
            let Some(place) = place.filter(|place| plan.moves(*place)) else { continue };
            let ranges = plan.sequences();
            assert!(ranges.iter().any(|range| range.contains(seq)), "{seq} is not in {ranges:?}");
            captured.moves.push((*seq, place, note(*seq)));
        }
        true
    }

    fn write_blocks(
        &mut self,
        group: GroupId,
        plan: &Plan<'_>,
        blocks: &mut Blocks<'_, '_>,
        state: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        let found = self.app.groups.get(&group).expect("it was captured");
        let mut kept = found.blocks.clone();
        if kept.len() == BLOCKS_MAX {
            kept.remove(0);
        }
        kept.push((
            found.next + 1000 * kept.last().map_or(1, |(no, _)| no / 1000 + 1),
            Place::from_bytes([0; 16]),
        ));
        let is_new = kept.len() - 1;
        blocks.begin(BLOCK_BYTES as u64)?;
        for (index, (no, place)) in kept.iter_mut().enumerate() {
            if index == is_new || plan.moves(*place) {
                *place = blocks.add(*no, &body(&found.name, *no, BLOCK_BYTES))?;
            }
            blocks.uses(*place, u64::from(place.bytes()));
            state.extend(no.to_le_bytes());
            state.extend(place.to_bytes());
        }
        self.written.insert(group, kept);
        Ok(())
    }

    fn settled(&mut self, group: GroupId) {
        let found = self.app.groups.get_mut(&group).expect("it was captured");
        found.blocks = self.written.remove(&group).expect("its blocks were written");
    }

    fn moved(&mut self, group: GroupId, moved: &[Moved], gone: &mut Vec<Place>) {
        let found = self.app.groups.get_mut(&group).expect("it was captured");
        for one in moved {
            match found.messages.get_mut(&one.seq) {
                Some(place) => {
                    assert_eq!(*place, Some(one.from));
                    *place = Some(one.to);
                }
                None => gone.push(one.to),
            }
        }
    }
}

/// Operations by a seed: groups come and go, messages too, and checkpoints move them.
pub fn script(seed: u64, length: usize) -> Vec<Op> {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut below = move |bound: u64| {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        value % bound
    };
    let mut ops = vec![Op::NewGroup(1), Op::Publish(1, 3, 100)];
    while ops.len() < length {
        let group = below(3) as u8 + 1;
        ops.push(match below(16) {
            0 => Op::NewGroup(group),
            1 => Op::NewGroup(below(3) as u8 + 1),
            2 if below(3) == 0 => Op::DeleteGroup(group),
            3..=7 => Op::Publish(group, below(5) as u8 + 1, [0, 20, 300, 1500][below(4) as usize]),
            8 => Op::Note(group, below(200) as u8),
            9..=11 => Op::Delete(group, below(6) as u8),
            12 => Op::Both(1, 2),
            13 | 14 => Op::Checkpoint,
            _ => Op::Publish(1, 1, 50),
        });
    }
    ops
}

/// The sequences of all messages that are named as damaged or lost.
pub fn named(damage: &[Damage]) -> BTreeSet<(GroupId, u64)> {
    let names = damage.iter().filter_map(|damage| match damage.what {
        Lost::Message { group, seq } => Some((group, seq)),
        _ => None,
    });
    names.collect()
}
