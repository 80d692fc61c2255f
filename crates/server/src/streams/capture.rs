//! The state of a stream for checkpoints: all that its log made, but for what the store knows of its messages.

use super::meta::{ConsumerMeta, StreamMeta, number};
use super::settings;
use super::state::{Held, State, Unreadable, view};
use dialtone_jetstream::consumer::{Consumer, ConsumerId, Prefixes};
use dialtone_jetstream::memory::Budget;
use dialtone_jetstream::messages::{Heads, Place, Resumed};
use dialtone_jetstream::stream::{Restoring, Stream, Whole};
use std::sync::Arc;

/// The version of what is written here; the second has the runs of the table of subjects behind all else.
const VERSION: u8 = 1;
const WITH_RUNS: u8 = 2;
/// Added where consumers are written packed.
const PACKED: u8 = 4;

/// Where the heads of a stream's messages are read, and what they may take in memory.
pub(super) type HeadsAndBudget = (Arc<dyn Heads>, Arc<Budget>);

impl State {
    /// Appends the state. What the log of a stream changes has to be in here, or it is lost with the log. Whether the table of subjects is to be
    /// taken out, too, and written, and its runs appended.
    pub(super) fn capture(&mut self, out: &mut Vec<u8>) -> bool {
        let whole = self.machine.brief();
        self.capture_as(whole, out);
        whole == Whole::Runs
    }

    /// The same, with what there is of the messages.
    pub(super) fn capture_as(&self, whole: Whole, out: &mut Vec<u8>) {
        out.push(PACKED + if whole == Whole::Runs { WITH_RUNS } else { VERSION });
        put_part(out, |out| out.extend_from_slice(&self.meta.encode()));
        put_part(out, |out| self.machine.snapshot(whole, out));
        out.extend_from_slice(&self.next_consumer().to_le_bytes());
        // Those that the log does not know end with the server.
        out.extend_from_slice(&(self.shown_consumers() as u64).to_le_bytes());
        let by_name = self.consumers.by_name(None).map(|(_, id)| id);
        let all = by_name.filter_map(|id| self.consumers.get(id).zip(self.consumers.about(id)));
        let all = all.filter(|(_, held)| !held.meta.common().direct);
        for (machine, held) in all {
            put_part(out, |out| out.extend_from_slice(&held.meta.encode()));
            put_part(out, |out| machine.snapshot(out));
        }
    }
}

/// Appends what `write` does, with its bytes before it.
fn put_part(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 8]);
    write(out);
    let bytes = (out.len() - at - 8) as u64;
    if let Some(slot) = out.get_mut(at..at + 8) {
        slot.copy_from_slice(&bytes.to_le_bytes());
    }
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Unreadable> {
    let bytes = usize::try_from(number(rest)?).map_err(|_| Unreadable)?;
    let (part, behind) = rest.split_at_checked(bytes).ok_or(Unreadable)?;
    *rest = behind;
    Ok(part)
}

/// A stream of the last checkpoint.
enum Machine {
    /// One that asks for its messages, and what it found.
    Whole(Box<Stream>, Resumed),
    /// One whose messages the store is handing over.
    Restoring(Box<Restoring>, HeadsAndBudget),
}

/// A stream of the last checkpoint, whose messages the store may be handing over.
pub(super) struct Returning {
    meta: StreamMeta,
    machine: Machine,
    next_consumer: u64,
    /// Each with its snapshot.
    consumers: Vec<(ConsumerMeta, Vec<u8>)>,
    payload_max: u32,
}

impl Returning {
    /// Begins with what [`State::capture`] wrote.
    ///
    /// # Errors
    /// It is not known.
    pub(super) fn new(bytes: &[u8], payload_max: u32, heads: HeadsAndBudget) -> Result<Self, Unreadable> {
        let (&version, mut rest) = bytes.split_first().ok_or(Unreadable)?;
        let (version, is_packed) = (version & !PACKED, version & PACKED != 0);
        if version != VERSION && version != WITH_RUNS {
            return Err(Unreadable);
        }
        let decode: fn(&[u8]) -> Result<ConsumerMeta, Unreadable> =
            if is_packed { ConsumerMeta::decode } else { ConsumerMeta::decode_old };
        let meta = StreamMeta::decode(part(&mut rest)?)?;
        let settings = settings::stream(&meta.config, payload_max);
        let snapshot = part(&mut rest)?;
        let next_consumer = number(&mut rest)?;
        let mut consumers = Vec::new();
        for _ in 0..number(&mut rest)? {
            let meta = decode(part(&mut rest)?)?;
            consumers.push((meta, part(&mut rest)?.to_vec()));
        }
        if version == VERSION && !rest.is_empty() {
            return Err(Unreadable);
        }
        let machine = if Stream::is_indexed(snapshot) {
            let resumed = Stream::resume(settings, (snapshot, rest), heads.0, heads.1);
            resumed.map(|(stream, found)| Machine::Whole(Box::new(stream), found))
        } else {
            let restoring = Restoring::new(settings, snapshot);
            restoring.map(|restoring| Machine::Restoring(Box::new(restoring), heads))
        };
        let machine = machine.map_err(|_| Unreadable)?;
        Ok(Self { meta, machine, next_consumer, consumers, payload_max })
    }

    /// Whether no messages have to come.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.machine, Machine::Whole(..))
    }

    /// Takes in a message that the store has. The place that is not in use, if one is not.
    ///
    /// # Errors
    /// Its head is not known.
    pub(super) fn message(
        &mut self,
        seq: u64,
        head: &[u8],
        body_bytes: u32,
        place: Place,
    ) -> Result<Option<Place>, Unreadable> {
        match &mut self.machine {
            Machine::Restoring(machine, _) => {
                machine.message(seq, head, body_bytes, place).map_err(|_| Unreadable)
            }
            Machine::Whole(..) => Ok(None),
        }
    }

    /// All messages have come: the state, and what was found of them.
    ///
    /// # Errors
    /// The state of a consumer is not known.
    pub(super) fn finish(self, now: i64) -> Result<(State, Resumed), Unreadable> {
        let (machine, found) = match self.machine {
            Machine::Whole(stream, found) => (*stream, found),
            Machine::Restoring(machine, (heads, budget)) => {
                let (mut stream, missing) = machine.finish();
                stream.set_heads(heads, budget);
                (stream, Resumed { missing, has_lost_subjects: false })
            }
        };
        let mut state = State::of(self.meta, machine, self.next_consumer);
        for (meta, snapshot) in self.consumers {
            let settings = settings::consumer(&meta.config(), &state.meta.config, self.payload_max);
            let prefixes = Prefixes::new(&state.meta.config.name, meta.name());
            let log = view(&state.machine, u64::MAX);
            let id = ConsumerId(meta.id);
            let consumer = Consumer::restore(id, prefixes, settings, &snapshot, &log, now);
            let consumer = consumer.map_err(|_| Unreadable)?;
            let name = meta.name.clone();
            state.consumers.insert(name, consumer, Held { meta, taps: Vec::new() });
        }
        Ok((state, found))
    }
}
