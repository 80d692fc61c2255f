//! What an archive has of a stream: its state and consumers at a moment, then its messages piece by piece.

use super::hosted::Hosted;
use super::state::State;
use dialtone_broker::inlet::Publish;
use dialtone_jetstream::api::StreamState;
use dialtone_jetstream::archive::ConsumerEntry;
use dialtone_jetstream::config::StreamConfig;
use dialtone_jetstream::messages::{Body, Place};
use dialtone_jetstream::time::Time;

/// Messages that are looked at under one lock.
const MESSAGES_MAX: usize = 256;
/// Bytes of bodies that are taken along under one lock.
const BYTES_MAX: usize = 256 * 1024;

/// A stream at a moment.
pub(crate) struct ArchiveBegin {
    pub(crate) config: StreamConfig,
    /// Its figures; the messages of the archive are those up to its last sequence.
    pub(crate) state: StreamState,
    /// Its consumers, by name.
    pub(crate) consumers: Vec<(String, ConsumerEntry)>,
}

/// A message, as archives have it.
pub(crate) struct Taken {
    pub(crate) seq: u64,
    pub(crate) time: i64,
    pub(crate) subject: Vec<u8>,
    pub(crate) header_bytes: usize,
    /// Headers and payload.
    pub(crate) body: Vec<u8>,
}

/// A message whose body is to be read yet.
struct Cold {
    at: usize,
    place: (Place, u32),
}

impl State {
    /// Its figures, as far as messages are on disk.
    pub(crate) fn archived_figures(&self) -> StreamState {
        let (totals, messages) = (self.machine.totals(), self.machine.messages());
        let time_of = |nanos: i64| if nanos == 0 { Time::ZERO } else { Time::from_unix_nanos(nanos) };
        let gone = (totals.last + 1).saturating_sub(totals.first).saturating_sub(totals.count);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        StreamState {
            messages: totals.count,
            bytes: totals.bytes,
            first_seq: totals.first,
            first_ts: messages.head(totals.first).map_or(Time::ZERO, |head| time_of(head.time)),
            last_seq: totals.last.min(self.visible()),
            last_ts: time_of(totals.last_time),
            num_subjects: number(messages.subjects_count() as u64),
            num_deleted: if totals.count > 0 { number(gone) } else { 0 },
            consumer_count: number(self.consumers.len() as u64),
            ..StreamState::default()
        }
    }

    /// Its consumers by name, and how far they are with messages up to `last`.
    pub(crate) fn archived_consumers(&self, last: u64) -> Vec<(String, ConsumerEntry)> {
        let mut consumers = Vec::new();
        for held in self.consumers_by_name() {
            let id = self.consumer_id(held.meta.name());
            let Some(machine) = id.and_then(|id| self.consumers.get(id)) else { continue };
            let mut config = held.meta.config();
            config.name = held.meta.name().to_owned();
            let entry = ConsumerEntry { config: Some(config), state: Some(machine.archived(last)) };
            consumers.push((held.meta.name().to_owned(), entry));
        }
        consumers
    }
}

impl Hosted {
    /// Captures it: figures, and consumers if they are wanted.
    pub(crate) fn begin_archive(&self, with_consumers: bool, turn: &mut dyn Publish) -> Option<ArchiveBegin> {
        self.with(turn, |session| {
            let state = &session.inner.state;
            let figures = state.archived_figures();
            let last = figures.last_seq;
            let consumers = if with_consumers { state.archived_consumers(last) } else { Vec::new() };
            ArchiveBegin { config: (*state.meta.config).clone(), state: figures, consumers }
        })
    }

    /// Messages from `from` up to `last`, some of them, and from where it goes on: `None` at the end. What was deleted meanwhile is left out.
    /// Not for event loops.
    ///
    /// # Errors
    /// The sequence of a message that cannot be read.
    pub(crate) fn take_messages(
        &self,
        from: u64,
        last: u64,
        out: &mut Vec<Taken>,
    ) -> Result<Option<u64>, u64> {
        out.clear();
        let (mut cold, mut bytes, mut next) = (Vec::new(), 0, None);
        {
            let inner = self.lock();
            let messages = inner.state.machine.messages();
            for head in messages.iter_from(from).take_while(|head| head.seq <= last) {
                if out.len() >= MESSAGES_MAX || bytes >= BYTES_MAX {
                    next = Some(head.seq);
                    break;
                }
                bytes += head.body_bytes as usize;
                let body = match messages.body(head.seq) {
                    Some(Body::Hot(body)) => body.to_vec(),
                    Some(Body::Cold(place)) => {
                        cold.push(Cold { at: out.len(), place: (place, head.body_bytes) });
                        Vec::new()
                    }
                    None => continue,
                };
                out.push(Taken {
                    seq: head.seq,
                    time: head.time,
                    subject: head.subject.to_vec(),
                    header_bytes: usize::from(head.header_bytes),
                    body,
                });
            }
        }
        let mut gone = Vec::new();
        for Cold { at, place } in cold {
            let Some(taken) = out.get_mut(at) else { continue };
            if !self.read(taken.seq, place, &mut taken.body) && !self.read_again(taken) {
                if self.lock().state.machine.messages().head(taken.seq).is_some() {
                    return Err(taken.seq);
                }
                gone.push(taken.seq);
            }
        }
        if !gone.is_empty() {
            out.retain(|taken| !gone.contains(&taken.seq));
        }
        Ok(next)
    }

    /// Reads a message that was moved meanwhile.
    fn read_again(&self, taken: &mut Taken) -> bool {
        taken.body.clear();
        self.read_body(taken.seq, &mut taken.body)
    }
}
