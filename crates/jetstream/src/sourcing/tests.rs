//! An origin and a stream that takes from it, with a line between that loses, repeats and delays, an origin that is made anew, and crashes
//! of either: in the end a mirror has what its origin has, and a stream with sources has each message once.
//!
//! `SOURCING_RUNS` says how many worlds are played, `SOURCING_SEED` with which one to begin.

use super::{Command, Control, Held, Origin, Taken, headers_to_store, sourced_headers};
use crate::api::{ConsumerInfo, ConsumerResponse, SequenceInfo};
use crate::config::{ConsumerConfig, ConsumerRequest, DeliverPolicy, StreamSource, short_name};
use crate::consumer::AckSubject;
use crate::error;
use crate::json::{self, Strictness};
use crate::stream::{
    Admitted, Effects, Features, Inbound, Proposal, Publish, Room, Settings, Sourced, Storage, Stream,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Worlds in an ordinary run.
const RUNS: u64 = 30;
const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLISECOND;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn chance(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }
}

struct Everything;

impl Room for Everything {
    fn is_wanted(&self, _: &[u8]) -> bool {
        true
    }
}

/// What is on the line.
#[derive(Clone)]
enum Packet {
    Request { headers: Vec<u8>, payload: Vec<u8>, reply: String },
    Answer { to: String, payload: Vec<u8>, identity: Option<String> },
    Message { to: String, reply: String, payload: Vec<u8> },
    Heartbeat { to: String, last_delivery: u64 },
}

/// The consumer at the origin.
struct Sender {
    name: String,
    to: String,
    next: u64,
    delivered: u64,
    heartbeat_at: i64,
}

/// The origin: messages by sequence, each with a number that no other ever has.
#[derive(Default)]
struct There {
    messages: BTreeMap<u64, u64>,
    last: u64,
    made: u64,
    senders: Vec<Sender>,
}

impl There {
    fn identity(&self) -> String {
        short_name(&self.made.to_string())
    }

    fn answer(&mut self, headers: &[u8], payload: &[u8], now: i64, random: u64) -> ConsumerResponse {
        let expected = dialtone_wire::header::value(headers, b"Nats-Stream-Identity").unwrap_or_default();
        if !expected.is_empty() && expected != self.identity().as_bytes() {
            let error = error::CONSUMER_STREAM_IDENTITY_MISMATCH.with(self.identity());
            let mut response = ConsumerResponse::default();
            response.response.error = Some(error);
            return response;
        }
        let mut asked = ConsumerRequest::default();
        json::from_slice(payload, ConsumerRequest::GO, Strictness::Strict, &mut asked).expect("a request");
        let config: ConsumerConfig = asked.config;
        let next = match config.deliver_policy {
            DeliverPolicy::All => self.messages.keys().next().copied().unwrap_or(self.last + 1),
            DeliverPolicy::ByStartSequence => config.opt_start_seq,
            other => panic!("{other:?} is not asked for"),
        };
        let name = format!("{}-{random:x}", config.name);
        let to = config.deliver_subject.clone();
        self.senders.push(Sender { name: name.clone(), to, next, delivered: 0, heartbeat_at: now + SECOND });
        let delivered = SequenceInfo { stream_seq: next - 1, ..SequenceInfo::default() };
        let info = ConsumerInfo { name, config: Some(config), delivered, ..ConsumerInfo::default() };
        ConsumerResponse { info: Some(info), ..ConsumerResponse::default() }
    }

    /// What is sent now, to whoever listens.
    fn send(&mut self, now: i64, listening: &BTreeSet<String>) -> Vec<Packet> {
        let mut out = Vec::new();
        for sender in self.senders.iter_mut().filter(|sender| listening.contains(&sender.to)) {
            for (&seq, number) in self.messages.range(sender.next..).take(5) {
                sender.delivered += 1;
                sender.next = seq + 1;
                sender.heartbeat_at = now + SECOND;
                let pending = self.last - seq;
                let reply = format!(
                    "$JS.ACK.O.{}.1.{seq}.{}.{}.{pending}",
                    sender.name,
                    sender.delivered,
                    1000 + seq
                );
                out.push(Packet::Message {
                    to: sender.to.clone(),
                    reply,
                    payload: number.to_string().into(),
                });
            }
            if sender.heartbeat_at <= now {
                sender.heartbeat_at = now + SECOND;
                out.push(Packet::Heartbeat { to: sender.to.clone(), last_delivery: sender.delivered });
            }
        }
        out
    }
}

struct World {
    random: Random,
    now: i64,
    is_mirror: bool,
    there: There,
    /// Numbers of all messages that ever were, by the origin's incarnation and sequence.
    ever: BTreeMap<(u64, u64), u64>,
    next_number: u64,
    stream: Stream,
    log: Vec<Vec<u8>>,
    origin: Origin,
    listening: BTreeSet<String>,
    line: VecDeque<(i64, Packet)>,
    has_faults: bool,
}

fn settings(is_mirror: bool) -> Settings {
    Settings {
        name: "S".into(),
        storage: Storage::Memory,
        features: Features { mirror: is_mirror, ..Features::default() },
        sources: vec!["O > >".into()],
        ..Settings::default()
    }
}

fn origin(is_mirror: bool, stream: &Stream, now: i64) -> Origin {
    let source = StreamSource { name: "O".into(), ..StreamSource::default() };
    let held = Held { stream: "S", account: "$G", domain: None, replies_v2: false };
    let place = stream.place_of(&source.index_name());
    let place = place.map(|place| (place.seq, std::str::from_utf8(&place.identity).expect("letters")));
    Origin::new(&source, (is_mirror, false), held, place, now)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let is_mirror = random.chance(2);
        let stream = Stream::new(settings(is_mirror));
        Self {
            origin: origin(is_mirror, &stream, 0),
            random,
            now: 0,
            is_mirror,
            there: There { made: 1, ..There::default() },
            ever: BTreeMap::new(),
            next_number: 1,
            stream,
            log: Vec::new(),
            listening: BTreeSet::new(),
            line: VecDeque::new(),
            has_faults: true,
        }
    }

    /// Puts a packet on the line, whose order stays.
    fn put(&mut self, packet: Packet) {
        if self.has_faults && self.random.chance(12) {
            return;
        }
        let delay = (self.random.next() % 80) as i64 * MILLISECOND;
        let at = self.line.back().map_or(0, |(at, _)| *at).max(self.now + delay);
        if self.has_faults && self.random.chance(15) {
            self.line.push_back((at, packet.clone()));
        }
        self.line.push_back((at, packet));
    }

    fn carry_out(&mut self, commands: Vec<Command>) {
        for command in commands {
            match command {
                Command::Leave => self.listening.clear(),
                Command::Follow(subject) | Command::Await(subject) => drop(self.listening.insert(subject)),
                Command::Request { headers, payload, reply, .. } => {
                    self.put(Packet::Request { headers, payload, reply });
                }
                Command::Confirm { .. } => {}
                Command::SkipTo(seq) => self.apply(&Proposal::SkipTo(seq)),
            }
        }
    }

    fn apply(&mut self, proposal: &Proposal<'_>) {
        self.stream.apply(proposal, &mut Effects::default());
        let mut bytes = Vec::new();
        proposal.encode(&mut bytes);
        self.log.push(bytes);
    }

    fn receive(&mut self, packet: Packet) {
        let (now, mut commands) = (self.now, Vec::new());
        match packet {
            Packet::Request { headers, payload, reply } => {
                let random = self.random.next();
                let answer = self.there.answer(&headers, &payload, now, random);
                let identity = answer.response.error.is_none().then(|| self.there.identity());
                self.put(Packet::Answer { to: reply, payload: json::to_vec(&answer), identity });
            }
            Packet::Answer { to, payload, identity } if self.listening.contains(&to) => {
                self.origin.answered(&payload, identity.as_deref(), now, &mut commands);
            }
            Packet::Heartbeat { to, last_delivery } if self.listening.contains(&to) => {
                let heartbeat = Control::Heartbeat { last_delivery: Some(last_delivery), stalled: None };
                self.origin.control(heartbeat, now, &mut commands);
            }
            Packet::Message { to, reply, payload } if self.listening.contains(&to) => {
                let ack = AckSubject::parse(reply.as_bytes()).expect("a reply");
                if self.origin.message(&ack, now, &mut commands) == Taken::Next {
                    self.store(&ack, &payload, &mut commands);
                }
            }
            _ => {}
        }
        self.carry_out(commands);
    }

    fn store(&mut self, ack: &AckSubject<'_>, payload: &[u8], commands: &mut Vec<Command>) {
        if self.has_faults && self.random.chance(30) {
            return self.origin.refused(error::INSUFFICIENT_RESOURCES.error(), self.now, commands);
        }
        let headers = match self.is_mirror {
            true => headers_to_store(b"", true),
            false => sourced_headers(b"", &self.origin.source_header(ack, b"o")),
        };
        let message = Publish { subject: b"o", headers: &headers, payload };
        let inbound = Inbound { message, seq: ack.seq, time: ack.time as i64 };
        let admitted = if self.is_mirror {
            self.stream.admit_mirrored(&inbound, &Everything)
        } else {
            let sourced = Sourced {
                index: Cow::Owned(self.origin.index().as_bytes().to_vec()),
                seq: ack.seq,
                identity: Cow::Owned(self.origin.identity().as_bytes().to_vec()),
            };
            self.stream.admit_sourced(&inbound, sourced, &Everything, self.now)
        };
        if let Admitted::Proposal(proposal) = admitted.expect("there is room") {
            self.apply(&proposal);
        }
    }

    /// The stream's server crashes: the end of its log is gone.
    fn crash(&mut self) {
        let lost = (self.random.next() % 4) as usize;
        self.log.truncate(self.log.len().saturating_sub(lost));
        self.stream = Stream::new(settings(self.is_mirror));
        for bytes in &self.log {
            let proposal = Proposal::decode(bytes).expect("it was written here");
            self.stream.apply(&proposal, &mut Effects::default());
        }
        self.listening.clear();
        self.origin = origin(self.is_mirror, &self.stream, self.now);
    }

    /// Something happens at the origin, or to either of them.
    fn disturb(&mut self) {
        match self.random.next() % 40 {
            0..20 => {
                self.there.last += 1;
                self.there.messages.insert(self.there.last, self.next_number);
                self.ever.insert((self.there.made, self.there.last), self.next_number);
                self.next_number += 1;
            }
            20..23 => {
                let at = self.random.next() % (self.there.last + 1);
                self.there.messages.remove(&at);
            }
            23 => self.there.senders.clear(),
            24 => self.crash(),
            // A mirror does not follow a stream that was made anew before that is as far as it is.
            25 if !self.is_mirror => {
                self.there = There { made: self.there.made + 1, ..There::default() };
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        self.now += 20 * MILLISECOND;
        if self.has_faults {
            self.disturb();
        }
        for packet in self.there.send(self.now, &self.listening) {
            self.put(packet);
        }
        while self.line.front().is_some_and(|(at, _)| *at <= self.now) {
            let Some((_, packet)) = self.line.pop_front() else { break };
            self.receive(packet);
        }
        if self.origin.deadline() <= self.now {
            let totals = self.stream.totals();
            if self.is_mirror {
                self.origin.place(totals.last, totals.count == 0 && totals.first == 0);
            }
            let (random, mut commands) = (self.random.next(), Vec::new());
            self.origin.expire(self.now, random, &mut commands);
            self.carry_out(commands);
        }
    }

    /// What the stream has: the sequence, and the number of the message.
    fn here(&self) -> Vec<(u64, u64)> {
        let heads = self.stream.messages().iter_from(0);
        let number = |head: crate::messages::Head<'_>| {
            let body = match self.stream.messages().body(head.seq) {
                Some(crate::messages::Body::Hot(body)) => body,
                _ => panic!("it is in memory"),
            };
            let text = std::str::from_utf8(&body[usize::from(head.header_bytes)..]).expect("digits");
            (head.seq, text.parse().expect("a number"))
        };
        heads.map(number).collect()
    }

    fn check(&self, seed: u64) {
        let here = self.here();
        let numbers: Vec<u64> = here.iter().map(|(_, number)| *number).collect();
        let once: BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(once.len(), numbers.len(), "seed {seed}: each once: {numbers:?}");
        assert!(numbers.is_sorted(), "seed {seed}: in the order of the origin: {numbers:?}");
        for (seq, number) in &self.there.messages {
            assert!(once.contains(number), "seed {seed}: message {seq} of the origin is there: {numbers:?}");
        }
        if self.is_mirror {
            for (seq, number) in here {
                assert_eq!(self.ever.get(&(1, seq)), Some(&number), "seed {seed}: with its sequence");
            }
        }
    }
}

#[test]
fn what_the_origin_has_comes_once_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("SOURCING_SEED").unwrap_or(1);
    let mut taken = 0;
    for seed in first..first + number("SOURCING_RUNS").unwrap_or(RUNS) {
        let mut world = World::new(seed);
        for _ in 0..1_500 {
            world.step();
        }
        world.has_faults = false;
        // The longest wait is a silence of ten seconds, then one for an answer that was lost, then the longest delay before it is asked again.
        for _ in 0..1_500 {
            world.step();
        }
        world.check(seed);
        taken += world.here().len();
    }
    assert!(taken > 500, "the worlds are not empty: {taken}");
}

#[test]
fn an_origin_that_says_nothing_useful_is_asked_again_and_shown() {
    let mut origin = origin(true, &Stream::new(settings(true)), 0);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let mut commands = Vec::new();
        now = now.max(origin.deadline());
        origin.expire(now, 7, &mut commands);
        assert!(commands.iter().any(|command| matches!(command, Command::Request { .. })), "{commands:?}");
        let refusal = br#"{"error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        origin.answered(refusal, None, now, &mut commands);
        waits.push((origin.deadline() - now) / MILLISECOND);
    }
    assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
    let shown = origin.info(now);
    assert_eq!(shown.error.map(|error| error.err_code), Some(10059));
    assert_eq!(shown.active.0, -1);
    for garbage in [&b""[..], b"{", b"[]", b"{}", br#"{"name":"x"}"#, &[b'['; 100_000]] {
        let mut commands = Vec::new();
        origin.expire(origin.deadline(), 7, &mut commands);
        origin.answered(garbage, None, now, &mut commands);
        assert!(!commands.iter().any(|command| matches!(command, Command::Follow(_))), "{commands:?}");
    }
}
