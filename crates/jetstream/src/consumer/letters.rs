//! Dead letters: messages that a consumer gave up, on their way to the subject that its configuration names.
//!
//! Which they are is part of the state: one that was given up stays a dead letter until somebody who stores it has answered, so that none is lost
//! by a crash. What was sent, and when it is sent again, is not kept: after a restart all that is left is sent again.

use super::change::Change;
use super::event::{Context, Event};
use super::machine::Consumer;
use super::pending::Entry;
use super::rare::{Rare, Unused};
use super::reply::Prefixes;
use crate::stream::{append_header, without_prefixes};
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// Dead letters that wait for answers at a time.
const SENT_MAX: usize = 256;
/// Dead letters that may wait. Beyond, the consumer delivers nothing new.
pub const WAITING_MAX: usize = 16 * 1024;
/// Nanoseconds until what nobody answered is sent again, at first and at most.
const RETRY: [i64; 2] = [2_000_000_000, 64_000_000_000];
/// Bytes of the reason that a client gives.
const REASON_BYTES_MAX: usize = 256;
/// How the headers begin that say what became of the message.
pub const HEADER_PREFIX: &str = "Dialtone-Dead-Letter-";

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dead {
    /// The sequence of its first delivery.
    pub consumer_seq: u64,
    /// How often it was delivered.
    pub deliveries: u32,
    /// A client terminated it.
    pub is_terminated: bool,
    /// Its first delivery, nanoseconds since 1970.
    pub first_at: i64,
    /// Its last one, or the last word of whoever works on it.
    pub last_at: i64,
}

/// The dead letters of a consumer, as they are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Letters {
    pub dead: BTreeMap<u64, Dead>,
    /// The first delivery of those that are pending, where it is not the last.
    pub first_at: BTreeMap<u64, i64>,
}

impl Letters {
    /// A message is about to be delivered again, or somebody works on it.
    pub fn again(&mut self, entry: &Entry) {
        self.first_at.entry(entry.seq).or_insert(entry.at);
    }

    /// A message is given up.
    pub fn bury(&mut self, entry: &Entry, is_terminated: bool) {
        let first_at = self.first_at.remove(&entry.seq).unwrap_or(entry.at);
        let Entry { consumer_seq, deliveries, at: last_at, .. } = *entry;
        self.dead.insert(entry.seq, Dead { consumer_seq, deliveries, is_terminated, first_at, last_at });
    }

    /// A message is gone.
    pub fn forget(&mut self, seq: u64) {
        self.dead.remove(&seq);
        self.first_at.remove(&seq);
    }
}

/// A dead letter to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter<'a> {
    /// Where to.
    pub to: &'a [u8],
    /// The message.
    pub seq: u64,
    /// The sequence of its first delivery.
    pub consumer_seq: u64,
    /// How often it was delivered.
    pub deliveries: u32,
    /// A client terminated it; else it had its last delivery.
    pub is_terminated: bool,
    /// What the client gave as its reason, if that is known.
    pub reason: &'a [u8],
    /// The first and the last delivery, nanoseconds since 1970.
    pub delivered_at: [i64; 2],
}

impl Letter<'_> {
    /// The headers of the dead letter of a message that has `headers`, a subject and a time. `stream`, `consumer` and `created` say whose it is.
    pub fn headers(
        &self,
        headers: &[u8],
        (subject, time): (&[u8], i64),
        (stream, consumer, created): (&str, &str, i64),
    ) -> Vec<u8> {
        let mut out = plain(headers);
        let mut add =
            |name: &str, value: &str| append_header(&mut out, &format!("{HEADER_PREFIX}{name}"), value);
        add("Stream", stream);
        add("Consumer", consumer);
        add("Sequence", &self.seq.to_string());
        add("Subject", &String::from_utf8_lossy(subject));
        add("Stored", &Time::from_unix_nanos(time).to_string());
        add("Reason", if self.is_terminated { "terminated" } else { "max_deliver" });
        let reason: String =
            String::from_utf8_lossy(self.reason).chars().filter(|c| !c.is_control()).collect();
        if !reason.trim().is_empty() {
            add("Reason-Text", reason.trim());
        }
        add("Deliveries", &self.deliveries.to_string());
        add("First-Delivery", &Time::from_unix_nanos(self.delivered_at[0]).to_string());
        add("Last-Delivery", &Time::from_unix_nanos(self.delivered_at[1]).to_string());
        let id = format!("dead.{stream}.{consumer}.{created}.{}.{}", self.seq, self.consumer_seq);
        append_header(&mut out, "Nats-Msg-Id", &id);
        out
    }
}

/// The headers of a message without those that tell a stream what to do with it, and without what an earlier dead letter said.
pub fn plain(headers: &[u8]) -> Vec<u8> {
    const CONTROL: &[&[u8]] = &[
        b"Nats-Msg-Id:",
        b"Nats-Expected-",
        b"Nats-Rollup:",
        b"Nats-TTL:",
        b"Nats-Incr:",
        b"Nats-Batch-",
        b"Nats-Schedule",
        b"Nats-Delay:",
        HEADER_PREFIX.as_bytes(),
    ];
    let out = without_prefixes(headers, CONTROL);
    if out == b"NATS/1.0\r\n\r\n" { Vec::new() } else { out }
}

/// What was sent and not answered. Nothing of it is kept over a restart.
#[derive(Clone, Debug, Default)]
pub(super) struct Outbox {
    sent: BTreeSet<u64>,
    /// What clients gave as reasons.
    reasons: BTreeMap<u64, Box<[u8]>>,
    retry_at: Option<i64>,
    tries: u32,
}

impl Unused for Outbox {
    fn unused() -> &'static Self {
        static UNUSED: Outbox = Outbox::UNUSED;
        &UNUSED
    }
}

impl Outbox {
    /// Of a consumer that has dead letters which nobody has answered, so that they are sent at once.
    pub fn new(has_dead: bool) -> Rare<Self> {
        match has_dead {
            true => Rare::of(Self { retry_at: Some(i64::MIN), ..Self::UNUSED }),
            false => Rare::default(),
        }
    }

    const UNUSED: Self = Self { sent: BTreeSet::new(), reasons: BTreeMap::new(), retry_at: None, tries: 0 };

    pub fn deadline(&self) -> Option<i64> {
        self.retry_at
    }

    fn wait(&self) -> i64 {
        (RETRY[0] << self.tries.min(5)).min(RETRY[1])
    }
}

impl Consumer {
    /// Whether messages that are given up go to a subject.
    pub(super) fn has_dead_letters(&self) -> bool {
        self.settings.dead_letter.is_some()
    }

    /// How many dead letters wait to be stored.
    pub fn dead_letters(&self) -> usize {
        self.state.letters.as_ref().map_or(0, |letters| letters.dead.len())
    }

    /// Gives a message up.
    pub(super) fn bury(&mut self, ctx: &mut Context<'_>, seq: u64, reason: Option<&[u8]>) {
        self.decide(ctx, Change::Bury { seq, is_terminated: reason.is_some() });
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            let reason = &reason[..reason.len().min(REASON_BYTES_MAX)];
            self.outbox.reasons.insert(seq, reason.into());
        }
        self.send_letters(ctx);
    }

    /// Sends dead letters that were not sent yet, as many as may be under way.
    pub(super) fn send_letters(&mut self, ctx: &mut Context<'_>) {
        let Some(letters) = &self.state.letters else { return };
        while self.outbox.sent.len() < SENT_MAX {
            let next = letters.dead.keys().copied().find(|seq| !self.outbox.sent.contains(seq));
            let Some(seq) = next else { break };
            self.outbox.sent.insert(seq);
            self.send_letter(ctx, seq);
        }
        if self.outbox.sent.is_empty() {
            (self.outbox.retry_at, self.outbox.tries) = (None, 0);
        } else if self.outbox.retry_at.is_none() {
            self.outbox.retry_at = Some(ctx.now.saturating_add(self.outbox.wait()));
        }
    }

    fn send_letter(&self, ctx: &mut Context<'_>, seq: u64) {
        let dead = self.state.letters.as_ref().and_then(|letters| letters.dead.get(&seq));
        let (Some(to), Some(dead)) = (self.settings.dead_letter.as_deref(), dead) else { return };
        ctx.host.event(Event::DeadLetter(Letter {
            to,
            seq,
            consumer_seq: dead.consumer_seq,
            deliveries: dead.deliveries,
            is_terminated: dead.is_terminated,
            reason: self.outbox.reasons.get(&seq).map_or(&[], |reason| reason),
            delivered_at: [dead.first_at, dead.last_at],
        }));
    }

    /// Sends again what nobody answered in time.
    pub(super) fn expire_letters(&mut self, ctx: &mut Context<'_>) {
        if self.outbox.retry_at.is_none_or(|at| at > ctx.now) {
            return;
        }
        let sent = std::mem::take(&mut self.outbox.sent);
        let has_dead =
            |seq: &u64| self.state.letters.as_ref().is_some_and(|letters| letters.dead.contains_key(seq));
        let sent: BTreeSet<u64> = sent.into_iter().filter(has_dead).collect();
        sent.iter().for_each(|seq| self.send_letter(ctx, *seq));
        self.outbox.tries += u32::from(!sent.is_empty());
        (self.outbox.sent, self.outbox.retry_at) = (sent, None);
        self.send_letters(ctx);
    }

    /// Somebody has stored a dead letter: it is done. Poll afterwards.
    pub fn letter_stored(&mut self, ctx: &mut Context<'_>, seq: u64) {
        if self.state.letters.as_ref().is_none_or(|letters| !letters.dead.contains_key(&seq)) {
            return;
        }
        self.decide(ctx, Change::Buried { seq });
        self.outbox.sent.remove(&seq);
        self.outbox.reasons.remove(&seq);
        (self.outbox.tries, self.outbox.retry_at) = (0, None);
        self.send_letters(ctx);
    }

    /// Its configuration has a subject for dead letters no more: those that wait are done.
    pub(super) fn drop_letters(&mut self, ctx: &mut Context<'_>) {
        let dead: Vec<u64> =
            self.state.letters.iter().flat_map(|letters| letters.dead.keys().copied()).collect();
        for seq in dead {
            self.decide(ctx, Change::Buried { seq });
        }
        self.outbox = Rare::default();
    }
}

impl Prefixes {
    /// Where it is answered that a dead letter was stored: `$DIALTONE.DEAD.<stream>.<consumer>.<sequence>`.
    pub fn letter(stream: &str, consumer: &str, seq: impl std::fmt::Display) -> String {
        format!("$DIALTONE.DEAD.{stream}.{consumer}.{seq}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;

    fn settings() -> Settings {
        let retry = Retry { ack_wait: 10 * SECOND, backoff: Box::default(), deliver_max: Some(2) };
        Settings { dead_letter: Some(b"dead"[..].into()), retry, settles: true, ..pull_settings() }
    }

    fn letters(lines: &[String]) -> Vec<&str> {
        lines.iter().filter_map(|line| line.strip_prefix("letter ")).collect()
    }

    fn two() -> Bench {
        let mut bench = Bench::new(settings(), MapLog::default());
        bench.store("s.1");
        bench.store("s.2");
        bench.pull("9");
        bench
    }

    #[test]
    fn what_is_given_up_is_sent_until_it_is_stored() {
        let mut bench = two();
        let lines = bench.ack("1.1.1", "+TERM no good");
        assert_eq!(letters(&lines), ["dead 1 terminated no good 1 0 0"]);
        assert!(bench.consumer.needs(1), "it is not stored elsewhere yet");
        // The other one comes a second time, and is given up when that is over.
        let lines = bench.until(10 * SECOND);
        assert_eq!(letters(&lines).len(), 2, "the first is sent again after 2 and 6 seconds: {lines:?}");
        let lines = bench.until(20 * SECOND);
        assert!(letters(&lines).contains(&"dead 2 max_deliver  2 0 10000000000"), "{lines:?}");
        assert_eq!(bench.consumer.dead_letters(), 2);
        bench.work(|consumer, ctx| consumer.letter_stored(ctx, 1));
        assert_eq!((bench.settled.clone(), bench.consumer.needs(1)), (vec![1], false));
        bench.work(|consumer, ctx| consumer.letter_stored(ctx, 1));
        bench.work(|consumer, ctx| consumer.letter_stored(ctx, 2));
        assert_eq!((bench.settled.clone(), bench.consumer.dead_letters()), (vec![1, 2], 0));
        assert_eq!(bench.consumer.deadline(), None, "nothing is to be sent again");
    }

    #[test]
    fn a_restart_sends_again_and_the_log_makes_the_same() {
        let mut bench = two();
        bench.ack("1.1.1", "+WPI");
        bench.ack("1.1.1", "+TERM");
        let mut snapshot = vec![];
        bench.consumer.snapshot(&mut snapshot);
        let (id, prefixes) = (ConsumerId(1), Prefixes::new("S", "C"));
        let restore =
            |bytes: &[u8]| Consumer::restore(id, prefixes.clone(), settings(), bytes, &bench.log, 0);
        for cut in 0..snapshot.len() {
            assert!(restore(&snapshot[..cut]).is_err(), "cut at {cut}");
        }
        let restored = restore(&snapshot).unwrap();
        assert_eq!(restored.state(), bench.consumer.state());
        let mut again = Bench::new(settings(), bench.log.clone());
        for bytes in &bench.records {
            let (consumer, log) = (&mut again.consumer, &again.log);
            read_changes(bytes, |_, at, change| consumer.apply(change, at, log, &mut vec![])).unwrap();
        }
        assert_eq!(again.consumer.state(), bench.consumer.state());
        bench.consumer = restored;
        let lines = bench.work(|consumer, ctx| consumer.expire(ctx));
        assert_eq!(letters(&lines), ["dead 1 terminated  1 0 0"]);
    }

    #[test]
    fn without_a_subject_dead_letters_are_done() {
        let mut bench = two();
        bench.ack("1.1.1", "+TERM");
        bench.work(|consumer, ctx| consumer.update(ctx, Settings { dead_letter: None, ..settings() }));
        assert_eq!((bench.settled.clone(), bench.consumer.needs(1)), (vec![1], false));
        bench.ack("1.2.2", "+TERM");
        assert_eq!((bench.settled.clone(), bench.consumer.dead_letters()), (vec![1, 2], 0));
    }

    #[test]
    fn as_many_as_may_be_are_under_way() {
        let settings = Settings { ack_pending_max: None, ..settings() };
        let mut bench = Bench::new(settings, MapLog::default());
        let mut sent = 0;
        for seq in 1..=SENT_MAX as u64 + 5 {
            bench.store("s.1");
            bench.pull("1");
            sent += letters(&bench.ack(&format!("1.{seq}.{seq}"), "+TERM")).len();
        }
        assert_eq!(sent, SENT_MAX);
        let lines = bench.work(|consumer, ctx| consumer.letter_stored(ctx, 1));
        assert_eq!(letters(&lines).len(), 1);
    }

    #[test]
    fn headers_say_what_became_of_it() {
        let letter = Letter {
            to: b"dead",
            seq: 7,
            consumer_seq: 9,
            deliveries: 3,
            is_terminated: true,
            reason: b"a\r\nb",
            delivered_at: [0, SECOND],
        };
        let before = b"NATS/1.0\r\nX: y\r\nNats-Msg-Id: 1\r\nDialtone-Dead-Letter-Stream: OLD\r\n\r\n";
        let headers = letter.headers(before, (b"s.1", 2 * SECOND), ("S", "C", 5));
        let expected = "NATS/1.0\r\nX: y\r\nDialtone-Dead-Letter-Stream: S\r\nDialtone-Dead-Letter-Consumer: C\r\n\
            Dialtone-Dead-Letter-Sequence: 7\r\nDialtone-Dead-Letter-Subject: s.1\r\n\
            Dialtone-Dead-Letter-Stored: 1970-01-01T00:00:02Z\r\nDialtone-Dead-Letter-Reason: terminated\r\n\
            Dialtone-Dead-Letter-Reason-Text: ab\r\nDialtone-Dead-Letter-Deliveries: 3\r\n\
            Dialtone-Dead-Letter-First-Delivery: 1970-01-01T00:00:00Z\r\n\
            Dialtone-Dead-Letter-Last-Delivery: 1970-01-01T00:00:01Z\r\nNats-Msg-Id: dead.S.C.5.7.9\r\n\r\n";
        assert_eq!(text(&headers), expected);
        assert_eq!(text(&plain(&headers)), "NATS/1.0\r\nX: y\r\n\r\n");
        assert_eq!(plain(b"NATS/1.0\r\nNats-TTL: 1s\r\n\r\n"), b"");
    }
}
