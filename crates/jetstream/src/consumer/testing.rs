//! A stream in a map and a host that writes down what it is asked for, in lines: for tests.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// A stream, as simple as can be.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapLog {
    pub messages: BTreeMap<u64, (String, i64)>,
    pub last: u64,
    /// How many of the last sequences are not committed.
    pub hidden: u64,
}

impl MapLog {
    /// Stores a message of a payload of three bytes.
    pub fn store(&mut self, subject: &str, at: i64) -> u64 {
        self.last += 1;
        self.messages.insert(self.last, (subject.to_owned(), at));
        self.last
    }

    fn committed(&self) -> u64 {
        self.last.saturating_sub(self.hidden)
    }

    /// Those of `matching` that are committed.
    pub fn visible<'a>(
        &'a self,
        filters: &'a Filters,
        from: u64,
    ) -> impl DoubleEndedIterator<Item = u64> + 'a {
        self.matching(filters, from).filter(|seq| *seq <= self.committed())
    }

    fn stored(&self, seq: u64) -> Option<Stored<'_>> {
        if seq > self.committed() {
            return None;
        }
        let (subject, time) = self.messages.get(&seq)?;
        Some(Stored { seq, time: *time, subject: subject.as_bytes(), header_bytes: 0, payload_bytes: 3 })
    }

    pub fn matching<'a>(
        &'a self,
        filters: &'a Filters,
        from: u64,
    ) -> impl DoubleEndedIterator<Item = u64> + 'a {
        self.messages
            .range(from..)
            .filter(|(_, (subject, _))| filters.matches(subject.as_bytes()))
            .map(|(seq, _)| *seq)
    }
}

impl Log for MapLog {
    fn bounds(&self) -> Bounds {
        let last = self.committed();
        let first = self.visible(&Filters::default(), 0).next();
        Bounds { first: first.unwrap_or(if last == 0 { 0 } else { last + 1 }), last }
    }

    fn last_stored(&self) -> u64 {
        self.last
    }

    fn next(&self, filters: &Filters, from: u64) -> Found<'_> {
        let next = self.visible(filters, from).next();
        next.and_then(|seq| self.stored(seq)).map_or(Found::End, Found::Message)
    }

    fn message(&self, seq: u64) -> Option<Stored<'_>> {
        self.stored(seq)
    }

    fn last(&self, filters: &Filters) -> Option<u64> {
        self.visible(filters, 0).next_back()
    }

    fn last_per_subject(&self, filters: &Filters) -> Vec<u64> {
        let mut last = BTreeMap::new();
        for seq in self.visible(filters, 0) {
            last.insert(&self.messages[&seq].0, seq);
        }
        last.into_values().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn count(&self, filters: &Filters, from: u64) -> u64 {
        self.matching(filters, from).count() as u64
    }

    fn at_time(&self, at: i64) -> u64 {
        let behind = self.committed() + 1;
        self.messages.iter().find(|(_, (_, time))| *time >= at).map_or(behind, |(seq, _)| *seq).min(behind)
    }
}

/// Writes events down.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub lines: Vec<String>,
    /// Subjects that nobody listens on.
    pub deaf: BTreeSet<String>,
    random: u64,
}

impl Host for Recorder {
    fn has_interest(&mut self, subject: &[u8]) -> bool {
        !self.deaf.contains(&text(subject))
    }

    fn random(&mut self) -> u64 {
        self.random += 1;
        self.random
    }

    fn event(&mut self, event: Event<'_>) {
        let line = match event {
            Event::Deliver(Delivery { to, reply, message, headers_only, pin, .. }) => {
                let more = format!(
                    "{}{}",
                    if headers_only { " headers" } else { "" },
                    pin.map_or("", |_| " pinned")
                );
                format!("{} <- {} {}{more}", text(to), text(message.subject), text(reply))
            }
            Event::Status(Status { to, reply, head, .. }) => {
                let head = text(head).replace("\r\n", "|");
                format!("{} <- {}{head}", text(to), reply.map_or(String::new(), |reply| text(reply) + " "))
            }
            Event::Acknowledged { to } => format!("{} <- ok", text(to)),
            Event::Advisory(advisory) => format!("{advisory:?}"),
            Event::DeadLetter(letter) => format!(
                "letter {} {} {} {} {} {} {}",
                text(letter.to),
                letter.seq,
                if letter.is_terminated { "terminated" } else { "max_deliver" },
                text(letter.reason),
                letter.deliveries,
                letter.delivered_at[0],
                letter.delivered_at[1]
            ),
            Event::Inactive => "inactive".to_owned(),
        };
        self.lines.push(line);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// What a pull consumer has without further wishes.
pub(crate) fn pull_settings() -> Settings {
    Settings {
        mode: Mode::Pull(PullSettings {
            waiting_max: 512,
            batch_max: None,
            expires_max: None,
            bytes_max: None,
            priority: Priority::None,
        }),
        start: StartAt::All,
        filters: Filters::default(),
        ack: AckPolicy::Explicit,
        retry: Retry { ack_wait: 30 * SECOND, backoff: Box::default(), deliver_max: None },
        ack_pending_max: Some(1000),
        replay_original: false,
        headers_only: false,
        order_by: None,
        dead_letter: None,
        sample_percent: 0,
        inactive_threshold: None,
        pause_until: None,
        settles: false,
    }
}

/// The same of a push consumer.
#[cfg(test)]
pub(crate) fn push_settings() -> Settings {
    let push = PushSettings {
        deliver_subject: b"d"[..].into(),
        deliver_group: None,
        idle_heartbeat: None,
        flow_control: false,
        rate_limit: None,
    };
    Settings { mode: Mode::Push(push), ..pull_settings() }
}

/// A stream with one consumer, at a time.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Bench {
    pub log: MapLog,
    pub consumer: Consumer,
    pub host: Recorder,
    pub now: i64,
    pub budget: Budget,
    /// All that was logged.
    pub records: Vec<Vec<u8>>,
    pub settled: Vec<u64>,
}

#[cfg(test)]
impl Bench {
    pub fn new(settings: Settings, log: MapLog) -> Self {
        let start = Start::of(&settings, &log);
        let consumer = Consumer::new(ConsumerId(1), Prefixes::new("S", "C"), settings, start, &log, 0);
        let budget = Budget { messages: 1000, bytes: 1 << 20 };
        Self { log, consumer, host: Recorder::default(), now: 0, budget, records: vec![], settled: vec![] }
    }

    /// Does something, polls, and gives the lines that came of it.
    pub fn work(&mut self, work: impl FnOnce(&mut Consumer, &mut Context<'_>)) -> Vec<String> {
        let mut changes = Changes::new(self.now);
        let (log, host) = (&self.log, &mut self.host);
        let mut ctx = Context { now: self.now, log, host, changes: &mut changes };
        work(&mut self.consumer, &mut ctx);
        while self.consumer.poll(&mut ctx, self.budget) == Polled::More {}
        self.settled.append(&mut changes.settled);
        if !changes.is_empty() {
            self.records.push(changes.bytes().to_vec());
        }
        std::mem::take(&mut self.host.lines)
    }

    pub fn store(&mut self, subject: &str) -> Vec<String> {
        let seq = self.log.store(subject, self.now);
        if self.consumer.filters().matches(subject.as_bytes()) {
            self.consumer.stored(seq);
        }
        self.work(|_, _| {})
    }

    pub fn pull(&mut self, request: &str) -> Vec<String> {
        self.work(|consumer, ctx| consumer.request(ctx, b"r", None, request.as_bytes()))
    }

    /// Says something about a message by the reply subject that it came with.
    pub fn ack(&mut self, numbers: &str, payload: &str) -> Vec<String> {
        let subject = format!("$JS.ACK.S.C.{numbers}.0.0");
        let subject = AckSubject::parse(subject.as_bytes()).expect("numbers of a delivery");
        self.work(|consumer, ctx| consumer.acknowledge(ctx, &subject, Some(b"a"), None, payload.as_bytes()))
    }

    /// Lets time go on to each deadline until `at`.
    pub fn until(&mut self, at: i64) -> Vec<String> {
        let mut lines = vec![];
        for _ in 0..1000 {
            let Some(due) = self.consumer.deadline().filter(|due| *due <= at) else { break };
            self.now = self.now.max(due);
            lines.extend(self.work(|consumer, ctx| consumer.expire(ctx)));
        }
        self.now = at;
        assert!(self.consumer.deadline().is_none_or(|due| due > at), "deadlines come to an end");
        lines
    }

    pub fn floors(&self) -> [u64; 4] {
        let info = self.consumer.info_at(self.now);
        [info.delivered.consumer, info.delivered.stream, info.ack_floor.consumer, info.ack_floor.stream]
    }
}
