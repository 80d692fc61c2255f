//! Random operations on a stream, against a naive twin: a map of messages and the rules as they are written down. At random moments the stream
//! becomes what its snapshot, or its snapshot and the log behind it, make of it.
//!
//! `STREAM_RUNS` says how many worlds are played, `STREAM_SEED` with which one to begin.

mod compare;
mod restarts;
mod stored;
mod twin;

use super::*;
use crate::memory::Budget;
use crate::messages::{Absent, Links, Resumed, Selector, TooMany};
use std::collections::BTreeMap;
use std::sync::Arc;
use stored::{Had, Sink, place, seq_of};
use twin::{Asked, Message, Model};

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
    /// Subjects that are looked up while others work at the stream.
    ahead: Option<Absent>,
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
            ahead: None,
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
        self.look_ahead();
        self.compare();
    }

    /// Looks subjects up, or says what was found, however much happened meanwhile.
    fn look_ahead(&mut self) {
        match self.ahead.take() {
            Some(absent) if self.random.chance(16) => self.stream.messages().take_in(absent),
            Some(absent) if self.random.chance(2) => self.ahead = Some(absent.look_up()),
            Some(absent) => self.ahead = Some(absent),
            None if self.random.chance(3) => {
                let names = SUBJECTS.iter().filter(|_| self.random.chance(3)).map(|name| name.as_bytes());
                self.ahead = self.stream.messages().absent(names);
            }
            None => {}
        }
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
