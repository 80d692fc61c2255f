//! Random operations on a stream, against a naive twin: a map of messages and the rules as they are written down. At random moments the stream
//! becomes what its snapshot, or its snapshot and the log behind it, make of it.
//!
//! `STREAM_RUNS` says how many worlds are played, `STREAM_SEED` with which one to begin.

use super::*;
use crate::memory::Budget;
use crate::messages::{BlockSink, Found, Heads, Links, NotWritten, Resumed, Selector, TooMany, Unread};
use dialtone_subject::set;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Worlds in an ordinary run.
const RUNS: u64 = 300;
/// Operations of a world.
const OPERATIONS: usize = 150;
const SECOND: i64 = 1_000_000_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % bound
    }

    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

struct Interest(bool);

impl Room for Interest {
    fn is_wanted(&self, _: &[u8]) -> bool {
        self.0
    }
}

const SUBJECTS: [&str; 6] = ["a", "a.b", "a.c", "b", "b.c.d", "kv.x"];
const FILTERS: [&str; 8] = [">", "a", "a.*", "*", "b.>", "kv.x", "none", "*.c.*"];

#[derive(Clone, Debug, PartialEq)]
struct Message {
    time: i64,
    subject: String,
    headers: String,
    payload: Vec<u8>,
    deadline: Option<i64>,
    never: bool,
    marker: bool,
}

/// What a publish asks for, from which its headers are written.
#[derive(Clone, Debug, Default)]
struct Asked {
    msg_id: Option<u64>,
    last_seq: Option<u64>,
    subject_seq: Option<u64>,
    other_subject: Option<&'static str>,
    last_id: Option<u64>,
    rollup: Option<&'static str>,
    ttl: Option<&'static str>,
    stream: Option<&'static str>,
}

impl Asked {
    /// Seconds, -1 for never; the outer `None`: it is none.
    fn ttl(&self) -> Option<Option<i64>> {
        match self.ttl {
            None => Some(None),
            Some("never") => Some(Some(-1)),
            Some("2s") => Some(Some(2)),
            Some("30") => Some(Some(30)),
            Some(_) => None,
        }
    }

    fn headers(&self) -> String {
        let mut lines = String::new();
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                lines += &format!("Nats-{name}: {value}\r\n");
            }
        };
        line("Msg-Id", self.msg_id.map(|id| id.to_string()));
        line("Expected-Last-Sequence", self.last_seq.map(|seq| seq.to_string()));
        line("Expected-Last-Subject-Sequence", self.subject_seq.map(|seq| seq.to_string()));
        line("Expected-Last-Subject-Sequence-Subject", self.other_subject.map(String::from));
        line("Expected-Last-Msg-Id", self.last_id.map(|id| id.to_string()));
        line("Rollup", self.rollup.map(String::from));
        line("TTL", self.ttl.map(String::from));
        line("Expected-Stream", self.stream.map(String::from));
        if lines.is_empty() { lines } else { format!("NATS/1.0\r\n{lines}\r\n") }
    }
}

/// The twin.
#[derive(Debug)]
struct Model {
    settings: Settings,
    messages: BTreeMap<u64, Message>,
    first: u64,
    last: u64,
    ids: Vec<(u64, u64, i64)>,
    last_id: String,
    last_time: i64,
}

impl Model {
    fn size(&self, message: &Message) -> u64 {
        let own = match (self.settings.storage, message.headers.is_empty()) {
            (Storage::Memory, _) => 16,
            (Storage::File, true) => 30,
            (Storage::File, false) => 34,
        };
        own + (message.subject.len() + message.headers.len() + message.payload.len()) as u64
    }

    fn bytes(&self) -> u64 {
        self.messages.values().map(|message| self.size(message)).sum()
    }

    fn of_subject(&self, subject: &str) -> Vec<u64> {
        self.selected(subject).into_iter().filter(|seq| self.messages[seq].subject == subject).collect()
    }

    fn selected(&self, filter: &str) -> Vec<u64> {
        let all = self.messages.iter();
        all.filter(|(_, message)| set::matches(filter.as_bytes(), message.subject.as_bytes()))
            .map(|(&seq, _)| seq)
            .collect()
    }

    fn tidy(&mut self) {
        // A stream that never had anything says 0, until it is purged.
        let none = if self.last == 0 && self.first == 0 { 0 } else { self.last + 1 };
        self.first = self.messages.keys().next().copied().unwrap_or(none);
    }

    /// The answer to a publish: a sequence, a duplicate or a code.
    fn publish(&mut self, asked: &Asked, mut message: Message, wanted: bool) -> Result<(u64, bool), u16> {
        let settings = self.settings.clone();
        if settings.features.sealed {
            return Err(10109);
        }
        if asked.stream.is_some_and(|name| name != "S") {
            return Err(10060);
        }
        let ttl = asked.ttl();
        if !settings.features.ttl && ttl.is_some_and(|ttl| ttl.is_some()) {
            return Err(10166);
        }
        self.expect(asked, &message.subject)?;
        if let Some(id) = asked.msg_id {
            let known = self
                .ids
                .iter()
                .rev()
                .find(|known| known.0 == id && message.time - known.2 < settings.duplicate_window);
            if let Some(known) = known {
                return Ok((known.1, true));
            }
        }
        if asked.last_id.is_some_and(|id| id.to_string() != self.last_id) {
            return Err(10070);
        }
        if asked.rollup.is_some_and(|rollup| !settings.allows_rollup() || !["sub", "all"].contains(&rollup)) {
            return Err(10111);
        }
        let ttl = ttl.ok_or(10165u16)?;
        if settings
            .limits
            .message_bytes
            .is_some_and(|max| message.headers.len() + message.payload.len() > max as usize)
        {
            return Err(10054);
        }
        if let Some(seconds) = ttl.filter(|&seconds| seconds > 0) {
            let mut seconds = seconds;
            if seconds < settings.marker_ttl && settings.limits.per_subject != Some(1) {
                seconds = settings.marker_ttl;
                let given = format!("Nats-TTL: {}\r\n", asked.ttl.unwrap_or_default());
                let lines = message.headers.replace(&given, "");
                message.headers =
                    format!("{}Nats-TTL: {seconds}\r\n\r\n", lines.strip_suffix("\r\n").unwrap_or_default());
            }
            message.deadline = Some(message.time + seconds * SECOND);
        }
        message.never = ttl == Some(-1);
        if settings.retention == Retention::Interest && !wanted {
            self.last += 1;
            self.note(asked, message.time);
            self.roll_up(asked.rollup, &message.subject, 0);
            self.last_time = message.time;
            self.tidy();
            return Ok((self.last, false));
        }
        self.check_new(&message, asked.rollup.is_some())?;
        let subject = message.subject.clone();
        self.store(message);
        self.note(asked, self.last_time);
        self.roll_up(asked.rollup, &subject, 1);
        self.tidy();
        Ok((self.last, false))
    }

    fn expect(&self, asked: &Asked, subject: &str) -> Result<(), u16> {
        let last_of = |model: &Self, subject: &str| model.of_subject(subject).last().copied().unwrap_or(0);
        match (asked.subject_seq, asked.other_subject) {
            (Some(seq), other) if seq != last_of(self, other.unwrap_or(subject)) => {
                return Err(10071);
            }
            (None, Some(_)) => return Err(10193),
            _ => {}
        }
        if asked.last_seq.is_some_and(|seq| seq != self.last) {
            return Err(10071);
        }
        Ok(())
    }

    fn check_new(&self, message: &Message, is_rollup: bool) -> Result<(), u16> {
        let Discard::New { per_subject } = self.settings.discard else { return Ok(()) };
        let limits = &self.settings.limits;
        let known = self.of_subject(&message.subject);
        let is_full = limits.per_subject.is_some_and(|max| !known.is_empty() && known.len() as u64 >= max);
        if is_full && per_subject && !is_rollup {
            return Err(10077);
        }
        if limits.messages.is_some_and(|max| self.messages.len() as u64 >= max) && !is_full {
            return Err(10077);
        }
        let fits = is_full && self.size(&self.messages[&known[0]]) >= self.size(message);
        if limits.bytes.is_some_and(|max| self.bytes() + self.size(message) > max) && !fits {
            return Err(10077);
        }
        Ok(())
    }

    fn store(&mut self, message: Message) {
        self.last += 1;
        self.last_time = message.time;
        self.messages.insert(self.last, message);
        self.enforce();
    }

    fn enforce(&mut self) {
        let limits = self.settings.limits.clone();
        if let Some(max) = limits.per_subject {
            for subject in SUBJECTS {
                let known = self.of_subject(subject);
                known
                    .iter()
                    .take(known.len().saturating_sub(max as usize))
                    .for_each(|seq| drop(self.messages.remove(seq)));
            }
        }
        if self.settings.discard == Discard::Old {
            let is_over = |model: &Self| {
                limits.messages.is_some_and(|max| model.messages.len() as u64 > max)
                    || limits.bytes.is_some_and(|max| model.bytes() > max)
            };
            while is_over(self) && self.messages.pop_first().is_some() {}
        }
        self.tidy();
    }

    fn note(&mut self, asked: &Asked, time: i64) {
        self.last_id = asked.msg_id.map(|id| id.to_string()).unwrap_or_default();
        self.ids.extend(asked.msg_id.map(|id| (id, self.last, time)));
    }

    fn roll_up(&mut self, rollup: Option<&str>, subject: &str, keep: u64) {
        match rollup {
            Some("sub") => self.purge(Some(subject), 0, keep),
            Some("all") => self.purge(None, 0, keep),
            _ => {}
        }
    }

    fn purge(&mut self, filter: Option<&str>, before: u64, keep: u64) {
        let filter = filter.filter(|&filter| filter != ">");
        if before == 1 {
            return;
        }
        if filter.is_none() && (before > self.last || before == 0 && keep == 0) {
            self.first = self.first.max(1);
        }
        if filter.is_none() && before > 1 {
            self.last = self.last.max(before - 1);
            self.messages.retain(|&seq, _| seq >= before);
            return self.tidy();
        }
        let selected = self.selected(filter.unwrap_or(">"));
        let oldest = selected.iter().take(selected.len().saturating_sub(keep as usize));
        oldest.filter(|&&seq| before == 0 || seq < before).for_each(|seq| drop(self.messages.remove(seq)));
        self.tidy();
    }

    fn expire(&mut self, now: i64) {
        let due = |model: &Self| {
            let age = model.settings.limits.age;
            let first_young = age.and_then(|age| {
                model.messages.iter().find(|(_, message)| message.time + age > now).map(|(&seq, _)| seq)
            });
            let is_due = |&(&seq, message): &(&u64, &Message)| {
                let is_old = age.is_some() && !message.never && first_young.is_none_or(|young| seq < young);
                is_old || message.deadline.is_some_and(|deadline| deadline <= now)
            };
            model.messages.iter().find(is_due).map(|(&seq, _)| seq)
        };
        while let Some(seq) = due(self) {
            let message = self.messages[&seq].clone();
            let ttl = self.settings.marker_ttl;
            if ttl > 0 && !message.marker && self.of_subject(&message.subject).len() == 1 {
                let lived = crate::time::Nanos(ttl * SECOND);
                let headers = format!(
                    "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {lived}\r\nNats-Rollup: sub\r\n\r\n"
                );
                let (subject, deadline) = (message.subject, Some(now + ttl * SECOND));
                let marker = Message {
                    time: now,
                    subject: subject.clone(),
                    headers,
                    payload: vec![],
                    deadline,
                    never: false,
                    marker: true,
                };
                self.store(marker);
                self.last_id = String::new();
                self.purge(Some(&subject), 0, 1);
            } else {
                self.messages.remove(&seq);
            }
            self.tidy();
        }
    }
}

/// The heads of all messages that the store ever had, and their links as they were when the store got them.
#[derive(Debug, Default)]
struct Had(Mutex<HadHeads>, Mutex<HadBlocks>);

/// Blocks by number and place.
type HadBlocks = BTreeMap<(u64, [u8; 16]), Vec<u8>>;

/// Head, bytes of the body, and links, by sequence.
type HadHeads = BTreeMap<u64, (Vec<u8>, u32, Links)>;

impl Had {
    fn all(&self) -> std::sync::MutexGuard<'_, HadHeads> {
        self.0.lock().expect("nobody panics with it")
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, HadBlocks> {
        self.1.lock().expect("nobody panics with it")
    }
}

/// Where a checkpoint writes blocks.
struct Sink<'a> {
    had: &'a Had,
    used: Vec<Place>,
    /// Places of one in so many have to move.
    moving: u8,
}

impl BlockSink for Sink<'_> {
    fn begin(&mut self, _: u64) -> Result<(), NotWritten> {
        Ok(())
    }

    fn add(&mut self, no: u64, bytes: &[u8]) -> Result<Place, NotWritten> {
        let mut blocks = self.had.blocks();
        let place = place(blocks.len() as u64);
        blocks.insert((no, place.0), bytes.to_vec());
        Ok(place)
    }

    fn uses(&mut self, place: Place) {
        self.used.push(place);
    }

    fn has_to_move(&self, place: Place) -> bool {
        self.moving > 0 && place.0[0].is_multiple_of(self.moving)
    }
}

impl Heads for Had {
    fn block(&self, no: u64, place: Place, out: &mut Vec<u8>) -> Result<(), Unread> {
        out.extend_from_slice(self.blocks().get(&(no, place.0)).ok_or(Unread::Damaged)?);
        Ok(())
    }

    fn read(&self, from: u64, to: u64, sink: &mut dyn FnMut(&Found<'_>)) -> bool {
        for (&seq, (head, body_bytes, links)) in self.all().range(from..=to) {
            let store = Store::decode_head(seq, head, *body_bytes).expect("a head is read");
            let found = Found {
                seq,
                time: store.time,
                subject: &store.subject,
                header_bytes: store.header_bytes,
                body_bytes: store.body_bytes,
                is_kept_forever: store.ttl == Ttl::Never,
                is_marker: store.is_marker,
                place: place(seq),
                links: *links,
            };
            // Two segments have it, and the later one counts.
            if seq % 3 == 0 {
                sink(&Found { place: place(0), links: Links::default(), ..found });
            }
            sink(&found);
        }
        true
    }
}

/// The stream, its twin, and the log behind the last snapshot.
struct World {
    random: Random,
    stream: Stream,
    model: Model,
    now: i64,
    whole: Whole,
    checkpoint: Vec<u8>,
    /// The same where the store hands over the messages, and the heads of all that it ever had.
    short: Vec<u8>,
    heads: Arc<Had>,
    /// The same where the stream asks for what it needs.
    indexed: Vec<u8>,
    /// The same with the table of subjects in runs, these, and the blocks that they have.
    in_runs: Option<(Vec<u8>, Vec<u8>, Vec<Place>)>,
    /// The state that was captured, whose table is not written yet.
    captured: Option<Vec<u8>>,
    budget: Arc<Budget>,
    /// Messages up to here are in the store.
    settled: u64,
    log: Vec<Vec<u8>>,
    effects: Effects,
}

fn random_settings(random: &mut Random) -> Settings {
    let marker_ttl = if random.chance(3) { 5 } else { 0 };
    let can_roll_up = marker_ttl > 0 || random.chance(2);
    let features = Features {
        rollup: can_roll_up,
        deny_purge: !can_roll_up && random.chance(2),
        ttl: random.chance(2),
        ..Features::default()
    };
    Settings {
        name: "S".into(),
        storage: if random.chance(2) { Storage::Memory } else { Storage::File },
        retention: if random.chance(4) { Retention::Interest } else { Retention::Limits },
        discard: random.pick(&[
            Discard::Old,
            Discard::Old,
            Discard::New { per_subject: false },
            Discard::New { per_subject: true },
        ]),
        limits: random_limits(random),
        features,
        duplicate_window: random.pick(&[0, 10 * SECOND, 100 * SECOND]),
        marker_ttl,
        first_seq: random.pick(&[0, 1, 1020, 5000]),
        hot_bytes_max: random.pick(&[0, 200, 1 << 20]),
        ..Settings::default()
    }
}

fn random_limits(random: &mut Random) -> Limits {
    Limits {
        messages: random.pick(&[None, None, Some(1), Some(10), Some(30)]),
        bytes: random.pick(&[None, None, Some(100), Some(900)]),
        age: random.pick(&[None, Some(20 * SECOND)]),
        message_bytes: random.pick(&[None, None, Some(40)]),
        per_subject: random.pick(&[None, None, Some(1), Some(3)]),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let settings = random_settings(&mut random);
        let stream = Stream::new(settings.clone());
        let totals = stream.totals();
        let model = Model {
            settings: settings.clone(),
            messages: BTreeMap::new(),
            first: totals.first,
            last: totals.last,
            ids: Vec::new(),
            last_id: String::new(),
            last_time: 0,
        };
        let whole = if settings.storage == Storage::Memory { Whole::Bodies } else { Whole::Heads };
        let budget = Arc::new(Budget::new(random.pick(&[0, 64_000, 16 << 20])));
        let mut world = Self {
            random,
            stream,
            model,
            now: SECOND,
            whole,
            checkpoint: Vec::new(),
            short: Vec::new(),
            heads: Arc::default(),
            indexed: Vec::new(),
            in_runs: None,
            captured: None,
            budget,
            settled: 0,
            log: Vec::new(),
            effects: Effects::default(),
        };
        world.attach();
        world.check_point();
        world
    }

    fn attach(&mut self) {
        if self.whole == Whole::Heads {
            self.stream.set_heads(self.heads.clone(), self.budget.clone());
        }
    }

    /// Carries out a proposal after it went through its bytes, and logs it.
    fn carry_out(&mut self, proposal: &Proposal<'_>) {
        let mut bytes = Vec::new();
        proposal.encode(&mut bytes);
        let decoded = Proposal::decode(&bytes).expect("what was encoded is read");
        assert_eq!(&decoded, proposal);
        self.stream.apply(&decoded, &mut self.effects);
        self.place();
        self.keep_head(&decoded);
        self.log.push(bytes);
    }

    fn keep_head(&mut self, proposal: &Proposal<'_>) {
        if let Proposal::Store(store) = proposal {
            let mut head = Vec::new();
            store.encode_head(&mut head);
            self.heads.all().insert(store.seq, (head, store.body_bytes, Links::default()));
        }
    }

    /// Gives a stored message of a file stream its place: its own sequence.
    fn place(&mut self) {
        if let (Some(stored), false) = (self.effects.stored, self.effects.skipped) {
            (stored.first..=stored.last).for_each(|seq| self.stream.set_place(seq, place(seq)));
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..70 => self.publish(),
            70..75 => self.purge(),
            75..80 => self.delete(),
            80..86 => {
                self.now += self.random.pick(&[0, SECOND, 3 * SECOND, 30 * SECOND]);
                while let Some(proposal) = self.stream.admit_expiry(self.now) {
                    self.carry_out(&proposal);
                }
                self.model.expire(self.now);
            }
            86..90 => self.acknowledge(),
            90..92 => self.reconfigure(),
            92..95 => self.restart(),
            95 => self.lose_table(),
            _ => self.reads(),
        }
        self.write_table();
        self.compare();
    }

    fn publish(&mut self) {
        self.now += self.random.pick(&[0, 1, SECOND]);
        let random = &mut self.random;
        let (last, id) = (self.model.last, random.below(5));
        let mut asked = Asked::default();
        let guess = last.saturating_sub(random.below(3));
        match random.below(16) {
            0..3 => asked.msg_id = Some(id),
            3 => asked.last_seq = Some(guess),
            4 => asked.subject_seq = Some(random.pick(&[0, guess])),
            5 => (asked.subject_seq, asked.other_subject) = (Some(guess), Some(random.pick(&SUBJECTS))),
            6 => (asked.last_id, asked.msg_id) = (Some(id), Some(id + 1)),
            7 => asked.rollup = Some(random.pick(&["sub", "sub", "all", "x"])),
            8 | 9 => asked.ttl = Some(random.pick(&["2s", "30", "never", "1ms"])),
            10 => asked.stream = Some(random.pick(&["S", "T"])),
            11 => asked.other_subject = Some("a").filter(|_| random.chance(3)),
            _ => {}
        }
        let payload = vec![b'x'; random.pick(&[0, 1, 10, 100])];
        let (subject, wanted, headers) = (random.pick(&SUBJECTS), random.chance(2), asked.headers());
        let request = Publish { subject: subject.as_bytes(), headers: headers.as_bytes(), payload: &payload };
        let admitted = self.stream.admit_publish(&request, &Interest(wanted), self.now);
        let admitted = match admitted {
            Err(refusal) => Err(refusal.code()),
            Ok(Admitted::Duplicate(seq)) => Ok((seq, true)),
            Ok(Admitted::Proposal(proposal)) => {
                self.carry_out(&proposal);
                Ok((self.effects.stored.expect("it has a sequence").last, false))
            }
        };
        let subject = subject.to_owned();
        let message = Message {
            time: self.now,
            subject,
            headers: headers.clone(),
            payload: payload.clone(),
            deadline: None,
            never: false,
            marker: false,
        };
        assert_eq!(admitted, self.model.publish(&asked, message, wanted), "{asked:?}");
    }

    fn purge(&mut self) {
        let filter = (!self.random.chance(3)).then(|| self.random.pick(&FILTERS));
        let before = self.random.pick(&[0, 0, 1, self.model.first + 3, self.model.last, self.model.last + 4]);
        let keep = if before == 0 { self.random.below(4) } else { 0 };
        let asked = Purge { filter: filter.map(|filter| filter.as_bytes().into()), before, keep };
        match self.stream.admit_purge(asked) {
            Err(refusal) => {
                assert_eq!((refusal, self.model.settings.features.deny_purge), (Refusal::PurgeDenied, true))
            }
            Ok(proposal) => {
                let count = self.model.messages.len();
                self.carry_out(&proposal);
                self.model.purge(filter, before, keep);
                let purged: u64 = self.effects.purged.iter().map(|purged| purged.count).sum();
                assert_eq!(purged as usize, count - self.model.messages.len());
            }
        }
    }

    fn delete(&mut self) {
        let seq = self.model.first + self.random.below(20);
        match self.stream.admit_delete(seq, false) {
            Err(refusal) => {
                assert_eq!((refusal, self.model.messages.contains_key(&seq)), (Refusal::NotFound, false))
            }
            Ok(proposal) => {
                self.carry_out(&proposal);
                assert!(self.model.messages.remove(&seq).is_some());
                self.model.tidy();
            }
        }
    }

    fn acknowledge(&mut self) {
        let seq = self.model.first + self.random.below(5);
        let removed = self.stream.remove_acknowledged(seq);
        let message = self.model.messages.remove(&seq);
        assert_eq!(removed.map(|removed| removed.bytes), message.map(|message| self.model.size(&message)));
        self.model.tidy();
        let runs = vec![(seq, seq)];
        let remove = Proposal::Remove(Remove { runs, reason: Reason::Acknowledged, erase: false });
        let mut bytes = Vec::new();
        remove.encode(&mut bytes);
        self.log.push(bytes);
    }

    /// Other limits. What the log does not hold here is behind a checkpoint.
    fn reconfigure(&mut self) {
        let limits = random_limits(&mut self.random);
        self.model.settings.limits = limits;
        self.stream.reconfigure(self.model.settings.clone(), &mut self.effects);
        self.model.enforce();
        self.check_point();
    }

    fn check_point(&mut self) {
        self.checkpoint.clear();
        self.stream.snapshot(self.whole, &mut self.checkpoint);
        self.short.clear();
        self.stream.snapshot(Whole::Sequences, &mut self.short);
        self.indexed.clear();
        self.stream.snapshot(Whole::Indexed, &mut self.indexed);
        self.begin_table();
        self.log.clear();
        if self.whole == Whole::Heads {
            self.settle();
        }
    }

    /// Captures the same with its table of subjects in runs, once it has many.
    fn begin_table(&mut self) {
        self.in_runs = None;
        let mut state = Vec::new();
        let whole = self.stream.brief();
        self.stream.snapshot(whole, &mut state);
        self.captured = (whole == Whole::Runs).then_some(state);
    }

    /// Takes out some of what was captured, or goes on to write it.
    fn write_table(&mut self) {
        if self.captured.is_none() || self.stream.capture_some(self.random.below(3) as usize) {
            return;
        }
        let Some(state) = self.captured.take() else { return };
        let outgoing = self.stream.outgoing().expect("it was captured");
        let mut runs = Vec::new();
        let mut sink = Sink { had: &self.heads, used: Vec::new(), moving: self.random.pick(&[0, 0, 3, 1]) };
        let written = outgoing.write(&*self.heads, &mut sink, &mut runs).expect("all blocks are there");
        self.in_runs = Some((state, runs, sink.used));
        self.stream.set_runs(Some(written));
    }

    /// What is on disk of the table is lost: who asks for it learns that, and it is made anew.
    fn lose_table(&mut self) {
        let lost = std::mem::take(&mut *self.heads.blocks());
        let messages = self.stream.messages();
        let found = messages.all_subjects().count();
        if messages.is_unsure() {
            let batches = &mut Batches::new(BatchLimits::default());
            let publish = Publish { subject: b"a", headers: b"", payload: b"" };
            let refused = self.stream.admit(batches, &publish, &Interest(true), self.now);
            assert_eq!(refused, Err(Refusal::StoreFailed("subjects cannot be read")));
            assert!(self.stream.renew_subjects());
            assert!(!self.stream.messages().is_unsure());
            (self.captured, self.in_runs) = (None, None);
        } else {
            assert_eq!(found, messages.subjects_count(), "all are in memory");
            *self.heads.blocks() = lost;
        }
    }

    /// What the store has may go from memory, with its links as they are, or without.
    fn settle(&mut self) {
        self.settled = self.model.last;
        let has_links = !self.random.chance(4);
        let mut all = self.heads.all();
        for (seq, at, links) in self.stream.messages().moving(0, self.settled) {
            assert_eq!(at, place(seq));
            if let Some(known) = all.get_mut(&seq).filter(|_| has_links) {
                known.2 = links;
            }
        }
        drop(all);
        if self.random.chance(2) {
            let bytes_max = self.random.pick(&[0, 0, 2000]);
            let settled = self.settled;
            self.stream.page_out(bytes_max, |place| seq_of(place) <= settled);
        }
        let mut places = Vec::new();
        for (_, cold) in self.stream.messages().cold(0, u64::MAX) {
            cold.read(&*self.heads, |seq, at, _| places.push((seq, at)));
        }
        places.extend(self.stream.messages().moving(0, u64::MAX).map(|(seq, place, _)| (seq, place)));
        let expected: Vec<_> = self.model.messages.keys().map(|&seq| (seq, place(seq))).collect();
        assert_eq!(places, expected, "what moves is what there is");
        self.stream.messages().check_figures();
    }

    /// The last checkpoint, in one piece or with the messages of the store.
    fn restored(&mut self) -> Stream {
        let settings = self.model.settings.clone();
        let whole = Stream::restore(settings.clone(), &self.checkpoint).expect("a snapshot is read");
        if self.whole == Whole::Bodies {
            return whole;
        }
        let mut restoring = Restoring::new(settings, &self.short).expect("a snapshot is read");
        for (&seq, (head, body_bytes, _)) in &*self.heads.all() {
            let unused = restoring.message(seq, head, *body_bytes, place(seq)).expect("a head is read");
            assert_eq!(unused, whole.get(seq).is_none().then(|| place(seq)));
            if unused.is_none() && self.random.chance(4) {
                // Another segment has it, too.
                let before = restoring.message(seq, head, *body_bytes, place(seq));
                assert_eq!(before, Ok(Some(place(seq))));
            }
        }
        let (stream, missing) = restoring.finish();
        assert_eq!(missing, 0);
        let (mut one, mut other) = (Vec::new(), Vec::new());
        whole.snapshot(Whole::Heads, &mut one);
        stream.snapshot(Whole::Heads, &mut other);
        assert_eq!(one, other, "both ways make the same stream");
        let resumed = Stream::resume(
            self.model.settings.clone(),
            (&self.indexed, &[]),
            self.heads.clone(),
            self.budget.clone(),
        );
        let (resumed, missing) = resumed.expect("a snapshot is read");
        assert_eq!(missing, Resumed::default());
        assert_eq!(resumed.totals(), stream.totals());
        other.clear();
        resumed.snapshot(Whole::Heads, &mut other);
        assert_eq!(one, other, "and so does the third");
        while self.captured.is_some() && self.random.chance(2) {
            self.write_table();
        }
        let Some((state, runs, used)) = self.in_runs.clone() else {
            return if self.random.chance(3) { stream } else { resumed };
        };
        // What is not in use is gone, and sometimes more than that.
        let is_damaged = !used.is_empty() && self.random.chance(6);
        let damaged = if is_damaged { self.random.pick(&used).0 } else { [0; 16] };
        self.heads.blocks().retain(|(_, at), _| *at != damaged && used.contains(&Place(*at)));
        let in_runs = Stream::resume(
            self.model.settings.clone(),
            (&state, &runs),
            self.heads.clone(),
            self.budget.clone(),
        );
        let (in_runs, found) = in_runs.expect("a snapshot is read");
        assert_eq!(found, Resumed { missing: 0, has_lost_subjects: is_damaged });
        other.clear();
        in_runs.snapshot(Whole::Heads, &mut other);
        assert_eq!(one, other, "and the fourth");
        match self.random.below(4) {
            0 => stream,
            1 => resumed,
            _ => in_runs,
        }
    }

    /// The stream as it is after a start: the last checkpoint and what the log holds behind it. File streams know heads alone.
    fn restart(&mut self) {
        let restored = self.restored();
        let mut before = std::mem::replace(&mut self.stream, restored);
        if self.stream.messages().heads().is_none() {
            self.attach();
        }
        for bytes in std::mem::take(&mut self.log) {
            let proposal = Proposal::decode(&bytes).expect("the log is read");
            match &proposal {
                Proposal::Store(store) if self.whole == Whole::Heads => {
                    let mut head = Vec::new();
                    store.encode_head(&mut head);
                    let store =
                        Store::decode_head(store.seq, &head, store.body_bytes).expect("a head is read");
                    self.stream.apply(&Proposal::Store(store), &mut self.effects);
                }
                proposal => self.stream.apply(proposal, &mut self.effects),
            }
            self.place();
        }
        let (mut then, mut since) = (Vec::new(), Vec::new());
        before.snapshot(self.whole, &mut then);
        if before.messages().is_unsure() {
            // A block that was taken from the other one was its own, too.
            assert!(before.renew_subjects());
            then.clear();
            before.snapshot(self.whole, &mut then);
        }
        self.stream.snapshot(self.whole, &mut since);
        assert_eq!(then, since, "a start makes the same stream");
        self.check_point();
    }

    /// Every question about messages, against the twin.
    fn reads(&mut self) {
        let (messages, model) = (self.stream.messages(), &self.model);
        let filter = self.random.pick(&FILTERS);
        let selector = Selector::new([filter.as_bytes()]);
        let selected = model.selected(filter);
        let from = model.first.saturating_sub(1)
            + self.random.below(model.last + 3 - model.first.min(model.last + 1));
        assert_eq!(messages.next(&selector, from), selected.iter().find(|&&seq| seq >= from).copied());
        assert_eq!(messages.last_of(&selector), selected.last().copied());
        assert_eq!(
            messages.count_from(&selector, from),
            selected.iter().filter(|&&seq| seq >= from).count() as u64
        );
        let mut last = BTreeMap::new();
        let upto = self.random.pick(&[0, from]);
        for seq in selected.iter().filter(|&&seq| upto == 0 || seq <= upto) {
            last.insert(&model.messages[seq].subject, *seq);
        }
        let mut last: Vec<u64> = last.into_values().collect();
        last.sort_unstable();
        let expected = if last.len() > 3 { Err(TooMany) } else { Ok(last) };
        assert_eq!(messages.last_of_each(&selector, upto, 3), expected);
        let time = self.now - self.random.below(30) as i64 * SECOND / 2;
        let at = model
            .messages
            .iter()
            .find(|(_, message)| message.time >= time)
            .map_or(model.last + 1, |(&seq, _)| seq);
        assert_eq!(messages.seq_at(time), at);
        let gaps: Vec<u64> = messages.gaps().flat_map(|(first, last)| first..=last).collect();
        let expected: Vec<u64> =
            (model.first.max(1)..=model.last).filter(|seq| !model.messages.contains_key(seq)).collect();
        assert_eq!(gaps, expected);
        let before = model.messages.range(..=from).next_back().map(|(&seq, _)| seq);
        assert_eq!(messages.previous_live(from), before);
    }

    fn compare(&self) {
        let (totals, model) = (self.stream.totals(), &self.model);
        assert_eq!((totals.first, totals.last), (model.first, model.last));
        assert_eq!((totals.count, totals.bytes), (model.messages.len() as u64, model.bytes()));
        let names: std::collections::BTreeSet<_> =
            model.messages.values().map(|message| &message.subject).collect();
        assert_eq!(self.stream.messages().subjects_count(), names.len());
        let mut known = model.messages.iter();
        for head in self.stream.messages().iter_from(0) {
            let (&seq, message) = known.next().expect("the twin has it");
            assert_eq!((head.seq, head.time, head.subject), (seq, message.time, message.subject.as_bytes()));
            assert_eq!((head.is_kept_forever, head.is_marker), (message.never, message.marker));
            match self.stream.messages().body(seq) {
                Some(Body::Hot(body)) => {
                    assert_eq!(body, [message.headers.as_bytes(), &message.payload].concat())
                }
                cold => {
                    assert_eq!((cold, model.settings.storage), (Some(Body::Cold(place(seq))), Storage::File))
                }
            }
        }
        assert!(known.next().is_none());
    }
}

fn place(seq: u64) -> Place {
    let mut place = [7; 16];
    place[..8].copy_from_slice(&seq.to_le_bytes());
    Place(place)
}

fn seq_of(place: Place) -> u64 {
    u64::from_le_bytes(*place.0.first_chunk().expect("a place is long enough"))
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_stream_is_what_its_twin_is() {
    let first = number("STREAM_SEED", 1);
    for seed in first..first + number("STREAM_RUNS", RUNS) {
        let played = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            (0..OPERATIONS).for_each(|_| world.step());
        });
        assert!(played.is_ok(), "STREAM_SEED={seed} STREAM_RUNS=1 plays it again");
    }
}
