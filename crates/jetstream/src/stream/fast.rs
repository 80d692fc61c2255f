//! Fast batches: each message is stored when it comes, and the publisher is answered only now and then, at the pace that it asked for
//! with its reply subject, `PREFIX.ID.FLOW.GAPS.SEQUENCE.OPERATION.$FI` (ADR-50).
//!
//! What is known of open batches is no part of the stream's state: it is lost with the server, and publishers begin again.

use super::admit::without;
use super::batch::BatchLimits;
use super::marks::{self, given, number};
use super::{Admitted, Marks, Proposal, Publish, Refusal, Room, Stream};
use std::collections::HashMap;

const SUFFIX: &[u8] = b".$FI";
/// Batches that a stream has open at most.
const OPEN_MAX: usize = 1000;
/// Bytes of a batch's id.
const ID_BYTES_MAX: usize = 64;
/// Messages between two answers that all open batches of a stream share.
const FLOW_SHARED: u16 = 500;
/// Messages between two answers where the publisher asks for none.
const FLOW_DEFAULT: u16 = 10;

/// What a message of a fast batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastOperation {
    /// To be stored.
    Append,
    /// To be stored as the last one.
    Commit,
    /// The batch ends with the message before; this one is not stored.
    End,
    /// The publisher asks how far its batch came.
    Ping,
}

/// What the reply subject of a message of a fast batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastMark<'a> {
    /// The batch.
    pub id: &'a [u8],
    /// The place in the batch, from 1.
    pub seq: u64,
    /// Messages between two answers, at most.
    pub flow: u16,
    /// Whether the batch goes on behind a message that did not come, or was refused.
    pub allows_gaps: bool,
    /// What the message is for.
    pub operation: FastOperation,
}

/// Whether a reply subject is that of a fast batch.
pub fn is_fast(reply: &[u8]) -> bool {
    reply.ends_with(SUFFIX)
}

impl<'a> FastMark<'a> {
    /// Reads the reply subject of a fast batch. `None`: it is not sound.
    pub fn of(reply: &'a [u8]) -> Option<Self> {
        let mut parts = reply.strip_suffix(SUFFIX)?.rsplitn(6, |&byte| byte == b'.');
        let (operation, seq) = (parts.next()?, number(parts.next()?)?);
        let (gaps, flow, id) = (parts.next()?, parts.next()?, parts.next()?);
        parts.next()?;
        let operation = match (number(operation)?, seq) {
            (_, 0 | u64::MAX) => return None,
            (0, 1) | (1, 2..) => FastOperation::Append,
            (2, _) => FastOperation::Commit,
            (3, 2..) => FastOperation::End,
            (4, _) => FastOperation::Ping,
            _ => return None,
        };
        let allows_gaps = match gaps {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let flow = match number(flow) {
            None | Some(0) => FLOW_DEFAULT,
            Some(flow) => u16::try_from(flow).unwrap_or(u16::MAX),
        };
        Some(Self { id, seq, flow, allows_gaps, operation })
    }
}

/// What the publisher of a fast batch is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FastAnswer {
    /// Everything up to this message of the batch is stored; the next one comes after so many messages.
    Flow {
        /// The place in the batch; 0: it begins.
        seq: u64,
        /// Messages.
        every: u16,
    },
    /// Messages did not come.
    Gap {
        /// The place in the batch of the first one.
        expected: u64,
        /// The place of the one that came.
        seq: u64,
    },
    /// A message was refused.
    Failed {
        /// Its place in the batch.
        seq: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The whole batch was.
    Refused(Refusal),
    /// The batch is stored.
    Done {
        /// The stream's sequence of its last message.
        seq: u64,
        /// Its messages.
        count: u64,
        /// Whether all of it was stored before.
        is_duplicate: bool,
    },
}

#[derive(Debug)]
struct Open {
    /// The place of the last message.
    seq: u64,
    /// The stream's sequence of the last message that was stored.
    stored: u64,
    /// The place up to which the publisher was told.
    told: u64,
    every: u16,
    every_max: u16,
    allows_gaps: bool,
    deadline: i64,
}

/// The fast batches of a stream that are open.
#[derive(Debug, Default)]
pub struct FastBatches {
    open: HashMap<Box<[u8]>, Open>,
    limits: BatchLimits,
    /// Not after the first deadline.
    look_at: i64,
}

impl FastBatches {
    /// None yet.
    pub fn new(limits: BatchLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Goes by other limits from here on. Batches that are open stay.
    pub fn set_limits(&mut self, limits: BatchLimits) {
        self.limits = limits;
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::new(self.limits);
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When [`Self::expire`] is to be called: nanoseconds since 1970.
    pub fn deadline(&self) -> Option<i64> {
        (!self.open.is_empty()).then_some(self.look_at)
    }

    /// Gives up what waited too long, as if it had never been.
    pub fn expire(&mut self, now: i64) {
        if now < self.look_at {
            return;
        }
        self.open.retain(|_, open| open.deadline > now);
        self.look_at = self.open.values().map(|open| open.deadline).min().unwrap_or(i64::MAX);
    }

    /// A message was stored, with this sequence of the stream.
    pub fn stored(&mut self, mark: &FastMark<'_>, seq: u64, answers: &mut Vec<FastAnswer>) {
        let Some(open) = self.open.get_mut(mark.id) else { return };
        open.stored = seq;
        if mark.operation == FastOperation::Commit {
            self.done(mark.id, answers);
        } else {
            self.tell(mark.id, answers);
        }
    }

    /// A message was refused.
    pub fn refused(&mut self, mark: &FastMark<'_>, refusal: Refusal, answers: &mut Vec<FastAnswer>) {
        let Some(open) = self.open.get_mut(mark.id) else { return };
        if !mark.allows_gaps && open.seq == 1 {
            self.open.remove(mark.id);
            answers.push(FastAnswer::Refused(refusal));
            return;
        }
        answers.push(FastAnswer::Failed { seq: mark.seq, refusal });
        if !mark.allows_gaps || mark.operation == FastOperation::Commit {
            open.seq -= 1;
            self.done(mark.id, answers);
        }
    }

    /// A message was stored before, with this sequence of the stream.
    fn duplicate(&mut self, mark: &FastMark<'_>, seq: u64, answers: &mut Vec<FastAnswer>) {
        let Some(open) = self.open.get(mark.id) else { return };
        if mark.operation != FastOperation::Commit {
            self.tell(mark.id, answers);
        } else if !mark.allows_gaps && open.seq == 1 {
            self.open.remove(mark.id);
            answers.push(FastAnswer::Done { seq, count: mark.seq, is_duplicate: true });
        } else {
            self.done(mark.id, answers);
        }
    }

    fn done(&mut self, id: &[u8], answers: &mut Vec<FastAnswer>) {
        if let Some(open) = self.open.remove(id) {
            answers.push(FastAnswer::Done { seq: open.stored, count: open.seq, is_duplicate: false });
        }
    }

    /// Answers if it is time to, and lets the publisher go faster or slower. Whether it did.
    fn tell(&mut self, id: &[u8], answers: &mut Vec<FastAnswer>) -> bool {
        let all = u16::try_from(self.open.len()).unwrap_or(u16::MAX).max(1);
        let Some(open) = self.open.get_mut(id) else { return false };
        let every = u64::from(open.every);
        let steps = (open.seq - open.told) / every;
        if steps == 0 {
            return false;
        }
        open.told += steps * every;
        let most = (FLOW_SHARED / all).max(1).min(open.every_max);
        open.every = match open.every {
            every if every < most => every.saturating_mul(2).min(most),
            every => (every / 2).max(most),
        };
        answers.push(FastAnswer::Flow { seq: open.told, every: open.every });
        true
    }

    /// The batch of a message, which begins with its first one.
    fn open(&mut self, mark: &FastMark<'_>, room: &impl Room, now: i64) -> Result<&mut Open, Refusal> {
        let deadline = now.saturating_add(self.limits.timeout());
        if !self.open.contains_key(mark.id) {
            if mark.seq != 1 || mark.operation == FastOperation::Ping {
                return Err(Refusal::FastIdUnknown);
            }
            let most = self.limits.per_stream.unwrap_or(OPEN_MAX);
            if self.open.len() >= most || !room.may_open_fast_batch() {
                return Err(Refusal::FastTooManyInFlight);
            }
            let every = if self.open.is_empty() { mark.flow.min(FLOW_SHARED) } else { 1 };
            let open = Open {
                seq: 0,
                stored: 0,
                told: 0,
                every,
                every_max: mark.flow,
                allows_gaps: mark.allows_gaps,
                deadline,
            };
            self.look_at = if self.open.is_empty() { deadline } else { self.look_at.min(deadline) };
            self.open.insert(mark.id.into(), open);
        }
        let open = self.open.get_mut(mark.id).ok_or(Refusal::FastIdUnknown)?;
        open.deadline = deadline;
        Ok(open)
    }

    fn ping(&mut self, mark: &FastMark<'_>, answers: &mut Vec<FastAnswer>) {
        let Some(open) = self.open.get_mut(mark.id) else { return };
        if mark.seq > open.seq {
            answers.push(FastAnswer::Gap { expected: open.seq + 1, seq: mark.seq + 1 });
            if !open.allows_gaps {
                return self.done(mark.id, answers);
            }
            open.seq = mark.seq;
            if self.tell(mark.id, answers) {
                return;
            }
        }
        if let Some(open) = self.open.get(mark.id) {
            answers.push(FastAnswer::Flow { seq: open.told, every: open.every });
        }
    }
}

impl Stream {
    /// Decides on a message of a fast batch; `mark` is `None` if its reply subject is not sound. What is to be stored; then
    /// [`FastBatches::stored`] or [`FastBatches::refused`] is called.
    pub fn admit_fast<'a>(
        &self,
        fast: &mut FastBatches,
        mark: Option<&FastMark<'_>>,
        publish: &Publish<'a>,
        (room, now): (&impl Room, i64),
        answers: &mut Vec<FastAnswer>,
    ) -> Option<Proposal<'a>> {
        let checked = self.check_fast(fast, mark, publish, (room, now));
        let (mark, publish, level) = match checked {
            Ok(checked) => checked,
            Err(refusal) => {
                answers.push(FastAnswer::Refused(refusal));
                return None;
            }
        };
        if mark.operation == FastOperation::Ping {
            fast.ping(mark, answers);
            return None;
        }
        let open = fast.open.get_mut(mark.id)?;
        let expected = open.seq + 1;
        if mark.seq > expected {
            answers.push(FastAnswer::Gap { expected, seq: mark.seq });
        }
        if mark.seq < expected || mark.seq > expected && !open.allows_gaps {
            fast.done(mark.id, answers);
            return None;
        }
        if mark.operation == FastOperation::End {
            open.seq = mark.seq - 1;
            fast.done(mark.id, answers);
            return None;
        }
        open.seq = mark.seq;
        if mark.seq == 1 && mark.operation == FastOperation::Append {
            answers.push(FastAnswer::Flow { seq: 0, every: open.every });
        }
        let admitted = match level {
            None => self.admit_publish(publish, room, now),
            Some(headers) => {
                let publish = Publish { headers: &headers, ..*publish };
                self.admit_publish(&publish, room, now).map(Admitted::into_owned)
            }
        };
        match admitted {
            Ok(Admitted::Proposal(proposal)) => return Some(proposal),
            Ok(Admitted::Duplicate(seq)) => fast.duplicate(mark, seq, answers),
            Err(refusal) => fast.refused(mark, refusal, answers),
        }
        None
    }

    /// What ends or begins a batch besides its messages; with the headers without `Nats-Required-Api-Level`, if they had it.
    fn check_fast<'m, 'i, 'p, 'a>(
        &self,
        fast: &mut FastBatches,
        mark: Option<&'m FastMark<'i>>,
        publish: &'p Publish<'a>,
        (room, now): (&impl Room, i64),
    ) -> Result<(&'m FastMark<'i>, &'p Publish<'a>, Option<Vec<u8>>), Refusal> {
        self.check_any_batch(publish, room)?;
        if !self.settings.features.fast {
            return Err(Refusal::FastDisabled);
        }
        let mark = mark.ok_or(Refusal::FastPatternInvalid)?;
        if mark.id.len() > ID_BYTES_MAX {
            return Err(Refusal::FastIdInvalid);
        }
        fast.open(mark, room, now)?;
        let level = if publish.headers.is_empty() { None } else { Marks::of(publish.headers).api_level };
        let Some(level) = given(level) else { return Ok((mark, publish, None)) };
        if marks::number(level).is_none_or(|level| level > super::API_LEVEL) {
            fast.open.remove(mark.id);
            return Err(Refusal::ApiLevel);
        }
        let mut headers = without(publish.headers, b"Nats-Required-Api-Level");
        if headers == b"NATS/1.0\r\n\r\n" {
            headers.clear();
        }
        Ok((mark, publish, Some(headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::{Effects, Features, Settings};

    struct Free;

    impl Room for Free {
        fn is_wanted(&self, _: &[u8]) -> bool {
            true
        }
    }

    struct Player {
        stream: Stream,
        fast: FastBatches,
        now: i64,
    }

    impl Player {
        fn new(limits: BatchLimits) -> Self {
            let features = Features { fast: true, ..Features::default() };
            let stream = Stream::new(Settings { features, ..Settings::default() });
            Self { stream, fast: FastBatches::new(limits), now: 1 }
        }

        fn play(&mut self, reply: &str, headers: &[u8]) -> Vec<FastAnswer> {
            let publish = Publish { subject: b"s", headers, payload: b"x" };
            let (mark, mut answers) = (FastMark::of(reply.as_bytes()), Vec::new());
            let room = (&Free, self.now);
            let proposal =
                self.stream.admit_fast(&mut self.fast, mark.as_ref(), &publish, room, &mut answers);
            if let (Some(proposal), Some(mark)) = (proposal, mark) {
                self.stream.apply(&proposal, &mut Effects::default());
                self.fast.stored(&mark, self.stream.totals().last, &mut answers);
            }
            answers
        }
    }

    fn flow(seq: u64, every: u16) -> Vec<FastAnswer> {
        vec![FastAnswer::Flow { seq, every }]
    }

    fn done(seq: u64, count: u64) -> FastAnswer {
        FastAnswer::Done { seq, count, is_duplicate: false }
    }

    #[test]
    fn a_reply_is_read_from_its_end() {
        let mark = FastMark::of(b"_INBOX.a.b.id.x.ok.7.1.$FI").expect("it is sound");
        assert_eq!((mark.id, mark.seq, mark.flow, mark.allows_gaps), (&b"id"[..], 7, FLOW_DEFAULT, true));
        for wrong in [
            "in.id.10.fail.1.5.$FI",
            "in.id.10.fail.0.0.$FI",
            "in.id.10.fail.2.0.$FI",
            "in.id.10.fail.1.1.$FI",
            "in.id.10.fail.1.3.$FI",
            "in.id.10.maybe.1.0.$FI",
            "in.id.10.fail.18446744073709551615.1.$FI",
            "id.10.fail.1.0.$FI",
            "in.$FI",
            ".$FI",
        ] {
            assert!(is_fast(wrong.as_bytes()));
            assert_eq!(FastMark::of(wrong.as_bytes()), None, "{wrong}");
        }
        let whole = b"in.id.70000.fail.1.0.$FI";
        assert_eq!(FastMark::of(whole).map(|mark| mark.flow), Some(u16::MAX));
        for cut in 0..whole.len() {
            let _ = FastMark::of(&whole[..cut]);
            let _ = FastMark::of(&whole[cut..]);
        }
    }

    #[test]
    fn answers_come_at_the_pace_that_was_told() {
        let mut player = Player::new(BatchLimits::default());
        assert_eq!(player.play("in.a.2.fail.1.0.$FI", b""), flow(0, 2));
        assert_eq!(player.play("in.a.2.fail.2.1.$FI", b""), flow(2, 2));
        // A second batch begins slowly, and each gets its share.
        assert_eq!(
            player.play("in.b.1000.fail.1.0.$FI", b""),
            [flow(0, 1), flow(1, 2)].concat(),
            "one message is what it may send before an answer"
        );
        assert_eq!(player.play("in.b.1000.fail.2.1.$FI", b""), []);
        assert_eq!(player.play("in.b.1000.fail.3.1.$FI", b""), flow(3, 4));
        assert_eq!(player.play("in.b.1000.fail.3.4.$FI", b""), flow(3, 4));
        assert_eq!(player.play("in.a.2.fail.3.2.$FI", b""), [done(6, 3)]);
        assert_eq!(player.play("in.b.1000.fail.4.3.$FI", b""), [done(5, 3)]);
        assert!(player.fast.is_empty());
    }

    #[test]
    fn a_gap_ends_a_batch_or_does_not() {
        let mut player = Player::new(BatchLimits::default());
        player.play("in.a.10.fail.1.0.$FI", b"");
        let gap = FastAnswer::Gap { expected: 2, seq: 3 };
        assert_eq!(player.play("in.a.10.fail.3.1.$FI", b""), [gap.clone(), done(1, 1)]);
        let unknown = FastAnswer::Refused(Refusal::FastIdUnknown);
        assert_eq!(player.play("in.a.10.fail.4.1.$FI", b""), std::slice::from_ref(&unknown));
        assert_eq!(player.play("in.a.10.fail.1.4.$FI", b""), [unknown]);
        player.play("in.b.10.ok.1.0.$FI", b"");
        assert_eq!(player.play("in.b.10.ok.3.1.$FI", b""), [gap]);
        assert_eq!(player.play("in.b.10.ok.2.1.$FI", b""), [done(3, 3)], "one that goes back ends it");
    }

    #[test]
    fn what_is_refused_ends_a_batch_that_allows_no_gaps() {
        let mut player = Player::new(BatchLimits::default());
        let wrong = b"NATS/1.0\r\nNats-Expected-Last-Sequence: 9\r\n\r\n";
        let refusal = |last| Refusal::WrongLastSequence(last);
        let answers = player.play("in.a.10.fail.1.0.$FI", wrong);
        assert_eq!(answers, [flow(0, 10), vec![FastAnswer::Refused(refusal(0))]].concat());
        player.play("in.a.10.fail.1.0.$FI", b"");
        let failed = |refusal| FastAnswer::Failed { seq: 2, refusal };
        assert_eq!(player.play("in.a.10.fail.2.1.$FI", wrong), [failed(refusal(1)), done(1, 1)]);
        player.play("in.a.10.ok.1.0.$FI", b"");
        assert_eq!(player.play("in.a.10.ok.2.1.$FI", wrong), [failed(refusal(2))]);
        assert_eq!(player.play("in.a.10.ok.3.2.$FI", b""), [done(3, 3)]);
        let level = b"NATS/1.0\r\nNats-Required-Api-Level: 99\r\n\r\n";
        assert_eq!(player.play("in.a.10.ok.1.0.$FI", level), [FastAnswer::Refused(Refusal::ApiLevel)]);
        assert!(player.fast.is_empty());
    }

    #[test]
    fn open_batches_are_bounded_and_end() {
        let limits = BatchLimits { per_stream: Some(1), timeout: Some(5), ..BatchLimits::default() };
        let mut player = Player::new(limits);
        player.play("in.a.10.fail.1.0.$FI", b"");
        let too_many = FastAnswer::Refused(Refusal::FastTooManyInFlight);
        assert_eq!(player.play("in.b.10.fail.1.0.$FI", b""), [too_many]);
        player.now = 4;
        player.play("in.a.10.fail.2.1.$FI", b"");
        assert_eq!(player.fast.deadline(), Some(6));
        player.fast.expire(6);
        assert_eq!((player.fast.len(), player.fast.deadline()), (1, Some(9)));
        player.fast.expire(9);
        assert_eq!((player.fast.len(), player.fast.deadline()), (0, None));
    }
}
