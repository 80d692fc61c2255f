//! A stream that is being worked at: a publish is decided on, carried out and handed to the log; consumers deliver; what waited for the disk goes out.

use super::backlog::Later;
use super::due::Due;
use super::emitter::{Emitter, NotedAdvisory, emit_plain, emit_status};
use super::hosted::{Hosted, Inner, Tap, signed};
use super::quota;
use super::reading::{Ahead, READ_BYTES_MAX};
use super::record::Record;
use super::republish::Republished;
use super::state::{Held, State, view};
use super::{advisories, answers, direct};
use dialtone_broker::account::Account;
use dialtone_broker::inlet::{Publish, Received};
use dialtone_broker::trace::TracedIntake;
use dialtone_jetstream::consumer::{AckSubject, Advisory, Budget, Consumer, ConsumerId, Context, Position};
use dialtone_jetstream::consumers::Consumers;
use dialtone_jetstream::messages::Place;
use dialtone_jetstream::stream::{Admitted, Proposal, Publish as Published, Refusal, Store, is_fast, pack};
use dialtone_store::{self as store, Batch, GroupId, Lsn, ReadError, Urgency};
use dialtone_wire::header;
use dialtone_wire::message::Message;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What one consumer may deliver before others have their turn.
const BUDGET: Budget = Budget { messages: 512, bytes: 1024 * 1024 };
/// What one may deliver to see whether it waits for the disk.
const PROBE: Budget = Budget { messages: 1, bytes: 1 };
/// What one may deliver at once of what was read from the disk.
const SLICE: Budget = Budget { messages: 64, bytes: 128 * 1024 };
/// How often.
const SLICES: usize = 8;
/// What looking for more messages of a direct get counts at least.
const SERIES_STEP: usize = 64 * 1024;

/// A stream that is being worked at, by whoever has its lock.
pub(super) struct Session<'s> {
    pub(super) hosted: &'s Hosted,
    pub(super) account: &'s Arc<Account>,
    pub(super) inner: &'s mut Inner,
    pub(super) turn: &'s mut dyn Publish,
    pub(super) now: i64,
    /// Where the log ends that this made.
    pub(super) upto: Option<Lsn>,
    /// The last of it is progress of consumers, which goes to the disk with what somebody waits for.
    pub(super) lingers: bool,
    /// What was read from the disk for it.
    pub(super) disk: Option<Ahead>,
}

/// Why there is no body.
pub(super) enum Unread {
    /// It is on disk, and was not read yet.
    Yet,
    /// It cannot be read.
    For(ReadError),
}

impl Session<'_> {
    /// A message is published to the stream.
    pub(super) fn store(&mut self, message: &Message<'_>, traced: Option<&TracedIntake>) {
        self.flush();
        let reply = message.reply.filter(|_| !self.inner.state.meta.config.no_ack);
        if let Some(reply) = message.reply.filter(|reply| is_fast(reply)) {
            return super::fast::store(self, message, reply);
        }
        let published =
            Published { subject: message.subject, headers: message.headers(), payload: message.payload() };
        let (state, batches) = (&self.inner.state, &mut self.inner.batches.atomic);
        let admitted = state.machine.admit(
            batches,
            &published,
            &self.hosted.wanted(state, self.inner.counted),
            self.now,
        );
        if let Some(traced) = traced
            && super::traced::decide(traced.intake(), &published, &admitted)
        {
            // It was to be traced and nothing else.
            return;
        }
        let answer = match admitted {
            Ok(Some(Admitted::Proposal(proposal))) => {
                let detail = answers::Detail::of(&proposal, message.headers());
                if matches!(detail, answers::Detail::Plain) && !self.hosted.acknowledgement.is_ahead {
                    match self.carry_out_for(&proposal, reply.unwrap_or_default()) {
                        Ok(_) => return,
                        Err(refusal) => Err(refusal),
                    }
                } else {
                    self.carry_out(&proposal)
                        .map(|seq| answers::stored(&self.hosted.name, self.hosted.domain(), seq, &detail))
                }
            }
            Ok(Some(Admitted::Duplicate(seq))) => {
                Ok(answers::stored(&self.hosted.name, self.hosted.domain(), seq, &answers::Detail::Duplicate))
            }
            Ok(None) => {
                // It waits for the rest of its batch.
                if let Some(to) = reply {
                    emit_plain(self.turn, self.account, to, b"");
                }
                return;
            }
            Err(refusal) => Err(refusal),
        };
        let Some(to) = reply else { return };
        match answer {
            Ok(payload) => self.answer_publisher(to, &payload),
            Err(refusal) => {
                let payload = answers::refused(&self.hosted.name, &refusal);
                emit_plain(self.turn, self.account, to, &payload);
            }
        }
    }

    /// Hands a proposal to the log, and carries it out. The last sequence.
    pub(super) fn carry_out(&mut self, proposal: &Proposal<'_>) -> Result<u64, Refusal> {
        self.carry_out_for(proposal, b"")
    }

    /// The same; when it is on disk, whoever waits at `to` is told the sequence, if anybody does.
    fn carry_out_for(&mut self, proposal: &Proposal<'_>, to: &[u8]) -> Result<u64, Refusal> {
        self.flush();
        self.inner.places.clear();
        let State { republish, machine, .. } = &self.inner.state;
        let again = republish.as_ref();
        let again = again.map(|again| again.made(&self.hosted.name, proposal, machine.messages()));
        self.log(proposal)?;
        let said = self.inner.state.apply(proposal);
        self.note(said);
        let last = self.inner.state.machine.totals().last;
        for &(seq, place) in &self.inner.places {
            self.inner.state.machine.set_place(seq, place);
        }
        match self.upto.filter(|_| self.hosted.group.is_some()) {
            Some(upto) => self.inner.waiting.push(upto, Due::Stored { to, seq: last }),
            None => self.carry_out_due(Due::Stored { to, seq: last }),
        }
        for again in again.into_iter().flatten() {
            self.when_durable(Due::Again(again));
        }
        Ok(last)
    }

    /// What consumers say of a change.
    pub(super) fn note(&mut self, said: Vec<(ConsumerId, Advisory<'static>)>) {
        for (id, advisory) in said {
            self.inner.noted.advisories.push((id, NotedAdvisory::of(&advisory)));
        }
    }

    /// Where the log ends that this made.
    pub(super) fn upto(&self) -> Option<Lsn> {
        self.upto
    }

    /// Hands a proposal to the log: a message as one, those of an atomic batch at once, all else as a record.
    fn log(&mut self, proposal: &Proposal<'_>) -> Result<(), Refusal> {
        let (Some(group), Some(store)) = (self.hosted.group, self.hosted.shared.store()) else {
            return Ok(());
        };
        let urgency = match proposal {
            Proposal::Remove(_) | Proposal::Purge(_) => Urgency::FreesRoom,
            _ => Urgency::Ordinary,
        };
        let refused = |why: dialtone_store::Refused| Refusal::StoreFailed(answers::store_refused(&why));
        let mut batch = store.batch(urgency).map_err(refused)?;
        let (head, places) = (&mut self.inner.record, &mut self.inner.places);
        let is_packed = self.inner.state.is_packed();
        let mut log = |message| log_message(&mut batch, (group, is_packed), message, head, places);
        match proposal {
            Proposal::Store(message) => log(message),
            Proposal::Batch(messages) => messages.iter().for_each(log),
            other => log_proposal(&mut batch, group, other, head),
        }
        self.upto = Some(batch.submit());
        self.lingers = false;
        Ok(())
    }

    /// Hands a record to the log. Where the log ends then; `None` for a memory stream.
    ///
    /// # Errors
    /// The store takes none.
    pub(super) fn log_record(
        &mut self,
        record: Record<'_>,
        urgency: Urgency,
    ) -> Result<Option<Lsn>, dialtone_store::Refused> {
        self.flush();
        self.append_record(record, urgency, |batch| batch.submit())
    }

    fn append_record(
        &mut self,
        record: Record<'_>,
        urgency: Urgency,
        submit: impl FnOnce(Batch<'_>) -> Lsn,
    ) -> Result<Option<Lsn>, dialtone_store::Refused> {
        let (Some(group), Some(store)) = (self.hosted.group, self.hosted.shared.store()) else {
            return Ok(None);
        };
        self.inner.record.clear();
        record.encode(&mut self.inner.record);
        let mut batch = store.batch(urgency)?;
        batch.record(group, &self.inner.record);
        self.upto = Some(submit(batch));
        self.lingers = false;
        Ok(self.upto)
    }

    /// Answers once everything that was decided so far is on disk.
    pub(super) fn answer_when_durable(&mut self, to: &[u8], payload: &[u8]) {
        self.when_durable(Due::Answer { to, payload });
    }

    /// Answers a publisher once everything that was decided so far is on disk, or written, if that is asked for.
    pub(super) fn answer_publisher(&mut self, to: &[u8], payload: &[u8]) {
        match self.durable_at().filter(|_| self.hosted.acknowledgement.is_ahead) {
            Some(upto) => self.inner.unsynced.push(upto, Due::Answer { to, payload }),
            None => self.answer_when_durable(to, payload),
        }
    }

    /// Does something once everything that was decided so far is on disk.
    pub(super) fn when_durable(&mut self, due: Due<'_>) {
        match self.durable_at() {
            Some(upto) => self.inner.waiting.push(upto, due),
            None => self.carry_out_due(due),
        }
    }

    /// Where the log ends with all that was decided so far; `None`: it is on disk, or need not be.
    fn durable_at(&self) -> Option<Lsn> {
        self.upto.or_else(|| self.inner.waiting.upto())
    }

    fn carry_out_due(&mut self, due: Due<'_>) {
        match due {
            Due::Stored { to, seq } => {
                self.inner.state.commit(seq);
                if !to.is_empty() {
                    let framed = &mut self.inner.scratch;
                    framed.clear();
                    self.hosted.acknowledgement.write(seq, framed);
                    self.turn
                        .emit(self.account, &Message { subject: to, reply: None, header_bytes: 0, framed });
                }
            }
            Due::Answer { to, payload } => {
                emit_plain(self.turn, self.account, to, payload);
            }
            Due::Asked(asked) => {
                let (to, asked) = *asked;
                self.inner.backlog.push(Later::Asked { to, asked: Box::new(asked) });
            }
            Due::Again(Republished { subject, reply, header_bytes, framed }) => {
                let reply = reply.as_deref();
                let message = Message { subject: &subject, reply, header_bytes, framed: &framed };
                self.turn.emit(self.account, &message);
            }
        }
    }

    /// Sends a header block once everything that was decided so far is on disk.
    pub(super) fn confirm_when_durable(&mut self, to: &[u8], head: Vec<u8>) {
        let header_bytes = head.len();
        let framed = [head.as_slice(), b"\r\n"].concat();
        self.when_durable(Due::Again(Republished {
            subject: to.into(),
            reply: None,
            header_bytes,
            framed: framed.into(),
        }));
    }

    /// Publishes a message once everything that was decided so far is on disk.
    pub(super) fn send_when_durable(&mut self, message: Republished) {
        self.when_durable(Due::Again(message));
    }

    /// What waited for the disk goes out.
    pub(super) fn committed(&mut self, (written, committed): (Lsn, Lsn)) {
        if self.hosted.acknowledgement.is_ahead {
            let mut unsynced = std::mem::take(&mut self.inner.unsynced);
            unsynced.take(written, |due| self.carry_out_due(due));
            self.inner.unsynced = unsynced;
        }
        let mut waiting = std::mem::take(&mut self.inner.waiting);
        waiting.take(committed, |due| self.carry_out_due(due));
        self.inner.waiting = waiting;
    }

    /// Something comes for a consumer.
    pub(super) fn tell_consumer(&mut self, tap: Tap, received: &Received<'_>) {
        let message = &received.message;
        match (self.hosted.names.find(tap, message.subject), tap, message.reply) {
            (Some(id), Tap::Pull(_), _) => self.pull(id, message),
            (Some(id), Tap::Ack(_), _) => self.acknowledge(id, message),
            (Some(id), ..) => self.flow_control(id, received),
            // Another server could not know that there is none.
            (None, _, Some(reply)) if received.publisher.kind.is_relay() => {
                let mut head = Vec::new();
                header::no_responders(&mut head, message.subject);
                emit_status(self.turn, self.account, (reply, None), &head);
            }
            (None, ..) => {}
        }
    }

    /// A client asks a consumer for messages.
    pub(super) fn pull(&mut self, id: u64, message: &Message<'_>) {
        let Some(reply) = message.reply else { return };
        self.consumer(ConsumerId(id), |machine, ctx| machine.request(ctx, reply, None, message.payload()));
    }

    /// A client acknowledges.
    pub(super) fn acknowledge(&mut self, id: u64, message: &Message<'_>) {
        let Some(subject) = AckSubject::parse(message.subject) else { return };
        self.consumer(ConsumerId(id), |machine, ctx| {
            machine.acknowledge(ctx, &subject, message.reply, None, message.payload());
        });
    }

    /// A client says that it keeps up.
    fn flow_control(&mut self, id: u64, received: &Received<'_>) {
        let message = &received.message;
        let number = |name: &[u8]| {
            let value = header::value(message.headers(), name)?;
            std::str::from_utf8(value).ok()?.trim().parse().ok()
        };
        let acked = number(b"Nats-Last-Consumer")
            .zip(number(b"Nats-Last-Stream"))
            .map(|(consumer, stream)| Position { consumer, stream });
        self.consumer(ConsumerId(id), |machine, ctx| {
            machine.flow_control_answer(ctx, message.subject, acked);
        });
    }

    /// Calls a consumer.
    pub(super) fn consumer<T>(
        &mut self,
        id: ConsumerId,
        act: impl FnOnce(&mut Consumer, &mut Context<'_>) -> T,
    ) -> Option<T> {
        self.consumers(id, |consumers, ctx| consumers.with(id, |machine| act(machine, ctx)))
    }

    /// Works with the consumers, for one of them: what is to be done is what it wants.
    pub(super) fn consumers<T>(
        &mut self,
        id: ConsumerId,
        act: impl FnOnce(&mut Consumers<Held>, &mut Context<'_>) -> T,
    ) -> T {
        let Inner { state, backlog, noted, scratch, .. } = &mut *self.inner;
        let State { consumers, machine, changes, unlogged, committed, .. } = state;
        let is_logged = consumers.about(id).is_none_or(|held| !held.meta.common().direct);
        let changes = if is_logged {
            changes
        } else {
            unlogged.clear(self.now);
            unlogged
        };
        let log = view(machine, *committed);
        let mut emitter = Emitter {
            turn: &mut *self.turn,
            account: self.account,
            messages: machine.messages(),
            backlog,
            noted,
            consumer: id,
            scratch,
            disk: self.disk.as_mut(),
        };
        act(consumers, &mut Context { now: self.now, log: &log, host: &mut emitter, changes })
    }

    /// Has consumers deliver what they can, each once.
    pub(super) fn deliver(&mut self) {
        if self.hosted.flags.is_suspended.load(Ordering::Acquire) {
            return;
        }
        for _ in 0..self.inner.state.consumers.ready() {
            let Some(id) = self.inner.state.consumers.next_ready() else { break };
            if self.inner.backlog.holds(id) {
                // What of it waits for the disk comes first.
                continue;
            }
            let Some(room) = self.room(id) else { continue };
            if self.hosted.group.is_some() {
                // What is on disk alone is left to the thread that reads it: one message shows that.
                self.poll(id, PROBE);
            }
            let within = |budget: Budget| Budget { bytes: budget.bytes.min(room), ..budget };
            match self.disk {
                None => self.poll(id, within(BUDGET)),
                // Not many more than were read.
                Some(_) => (0..SLICES).for_each(|_| self.poll(id, within(SLICE))),
            }
        }
        for (id, seq) in std::mem::take(&mut self.inner.noted.lost) {
            self.consumer(id, |machine, ctx| {
                machine.undelivered(ctx, seq);
                machine.set_interest(ctx, false);
            });
        }
        // One of which something waits for the disk goes on when that was read.
        let Inner { state, backlog, .. } = &*self.inner;
        let has_more = state.consumers.any_ready(|id| !backlog.holds(id));
        match &mut self.disk {
            Some(disk) => disk.has_more = has_more,
            None if has_more => self.hosted.wake(),
            None => {}
        }
        if !backlog.is_empty() && self.disk.is_none() {
            self.hosted.want_read();
        }
        if std::mem::take(&mut self.inner.noted.has_sent) {
            // Another thread may have the lock next.
            self.turn.hand_on();
        }
    }

    /// Has a consumer deliver, unless something of it waits for the disk.
    fn poll(&mut self, id: ConsumerId, budget: Budget) {
        if !self.inner.backlog.holds(id) {
            self.consumers(id, |consumers, ctx| consumers.poll(id, ctx, budget));
        }
    }

    /// Bytes that a consumer may deliver now. `None`: much waits for its receiver to read, and it rests.
    fn room(&mut self, id: ConsumerId) -> Option<usize> {
        let consumers = &mut self.inner.state.consumers;
        let Some(to) = consumers.pushes_to(id) else { return Some(usize::MAX) };
        let unread = self.turn.unread(self.account, to);
        let left = self.hosted.shared.unread_bytes_max().saturating_sub(unread);
        if left == 0 {
            consumers.rest(id, self.now);
            return None;
        }
        Some(left)
    }

    /// Sends what had to be read from the disk first, as far as it was.
    pub(super) fn flush_later(&mut self) {
        let (mut body, mut sent) = (Vec::new(), 0);
        while sent < READ_BYTES_MAX {
            let Some(later) = self.inner.backlog.pop() else { break };
            match self.send_later(later, READ_BYTES_MAX - sent, &mut body) {
                Ok(bytes) => sent += bytes,
                Err(later) => {
                    self.inner.backlog.put_back(later);
                    break;
                }
            }
        }
        for id in self.inner.backlog.take_released() {
            // It is polled again.
            self.consumer(id, |_, _| ());
        }
    }

    /// Sends it, and says how much that was; `bytes` is how much it should be at most. It is handed back if it is not read yet.
    fn send_later(&mut self, later: Later, bytes: usize, body: &mut Vec<u8>) -> Result<usize, Later> {
        match later {
            Later::Status { to, reply, head, .. } => {
                emit_status(self.turn, self.account, (&to, reply.as_deref()), &head);
                Ok(0)
            }
            Later::Answer { ref to, seq, no_headers } => {
                match self.body_of(seq, None, body) {
                    Ok(()) => direct::send_read(self, to, (seq, no_headers), body),
                    Err(Unread::Yet) => return Err(later),
                    Err(Unread::For(error)) => {
                        self.hosted.unreadable(seq, &error);
                        emit_status(self.turn, self.account, (to, None), direct::UNREADABLE);
                    }
                }
                Ok(body.len())
            }
            Later::Letter { consumer, ref letter } => {
                if super::letters::send(self, consumer, letter) {
                    Ok(0)
                } else {
                    Err(later)
                }
            }
            Later::Asked { to, asked } => {
                direct::answer_later(self, &to, &asked);
                Ok(SERIES_STEP)
            }
            // What is left of it comes behind the others.
            Later::Series(series) => Ok(series.go_on(self, bytes).max(SERIES_STEP)),
            Later::Message { consumer, ref to, ref reply, ref subject, seq, place, ref form } => {
                let place = place.map(|place| (place, form.body_bytes));
                match self.body_of(seq, place, body) {
                    Ok(()) => {
                        let header_bytes = form.write(body, &mut self.inner.scratch);
                        let framed = &*self.inner.scratch;
                        let message = Message { subject, reply: Some(reply), header_bytes, framed };
                        self.turn.emit_stored(self.account, to, &message);
                        self.inner.noted.has_sent = true;
                    }
                    Err(Unread::Yet) => return Err(later),
                    Err(Unread::For(error)) => {
                        self.hosted.unreadable(seq, &error);
                        // What the device does not give now comes again, as if it were not acknowledged.
                        if let ReadError::Damaged(_) = error {
                            self.consumer(consumer, |machine, ctx| machine.damaged(ctx, seq));
                        }
                    }
                }
                Ok(body.len())
            }
        }
    }

    /// The body of a message that is in memory, or was read; `place` says where it was.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn body_of(
        &mut self,
        seq: u64,
        place: Option<(Place, u32)>,
        body: &mut Vec<u8>,
    ) -> Result<(), Unread> {
        body.clear();
        let at = match (self.inner.copy_body(seq, body), place) {
            (Ok(true), _) => return Ok(()),
            (Err(place), _) | (Ok(false), Some(place)) => place,
            (Ok(false), None) => return Err(Unread::For(ReadError::Moved)),
        };
        self.disk.as_mut().map_or(Err(Unread::Yet), |disk| disk.take(seq, at, body))
    }

    /// Deadlines of consumers, and messages whose time is over.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        for id in self.inner.state.consumers.due(now) {
            self.consumer(id, |machine, ctx| machine.expire(ctx));
        }
        while let Some(proposal) = self.inner.state.machine.admit_expiry(now) {
            if self.carry_out(&proposal).is_err() {
                break;
            }
        }
        self.store_delayed();
        self.inner.batches.expire(now);
        loop {
            let state = &self.inner.state;
            let wanted = self.hosted.wanted(state, self.inner.counted);
            let Some(proposal) = state.machine.admit_schedule(&wanted, now) else { break };
            if self.carry_out(&proposal).is_err() {
                break;
            }
        }
    }

    /// Stores delayed messages whose time has come.
    fn store_delayed(&mut self) {
        loop {
            let state = &self.inner.state;
            let wanted = self.hosted.wanted(state, self.inner.counted);
            let Some(proposal) = state.machine.admit_due(&wanted, self.now) else { break };
            if self.carry_out(&proposal).is_err() {
                break;
            }
        }
    }

    /// Hands changes of consumers to the log, and sees to it that what is left is done.
    pub(super) fn finish(&mut self) {
        self.flush();
        let confirmed = std::mem::take(&mut self.inner.noted.confirmed);
        if !confirmed.is_empty() && self.upto.is_none() {
            // What they confirm may have been decided before, and still be on its way to the disk.
            let logged = self.inner.noted.logged.filter(|upto| *upto > self.hosted.shared.committed());
            self.lingers = logged.is_some();
            self.upto = logged.max(self.inner.waiting.upto());
        }
        for to in confirmed {
            self.answer_when_durable(&to, b"");
        }
        self.hosted.drop_places(self.inner.state.machine.freed());
        if let (Some(group), false) = (self.hosted.group, self.inner.state.to_erase.is_empty()) {
            self.hosted.shared.care.erase(group, self.inner.state.to_erase.drain(..));
        }
        self.count();
        self.inner.count_memory();
        self.hosted.shared.batches.count(&mut self.inner.batches);
        advisories::publish(self);
        advisories::publish_abandoned(self);
        let inactive = std::mem::take(&mut self.inner.noted.inactive);
        for id in inactive {
            super::consumers::delete(self, id);
        }
        if let Some(upto) = self.inner.waiting.upto() {
            self.hosted.shared.store().filter(|_| self.lingers).into_iter().for_each(store::Store::hasten);
            self.hosted.wait_for(upto);
        }
        let at = self.deadline();
        if let Some(this) = self.hosted.this.upgrade() {
            self.hosted.shared.set_timer(&this, (self.inner.timer, at), self.now);
            self.inner.timer = at;
        }
    }

    /// What the state takes counts.
    fn count(&mut self) {
        let bytes = if self.inner.is_gone { 0 } else { self.inner.state.machine.totals().bytes };
        let more = signed(bytes) - signed(self.inner.counted);
        if more != 0 {
            let place = quota::place(self.hosted.group.is_some());
            self.hosted.quota.add(place, more);
            self.hosted.shared.quota.add(place, more);
            self.inner.counted = bytes;
        }
    }

    /// What consumers have decided so far goes into the log, and what they no longer need goes: before anything else is decided, so that
    /// the log makes the same again in its order.
    fn flush(&mut self) {
        if self.inner.state.changes.is_empty() {
            return;
        }
        let bytes = self.inner.state.changes.bytes().to_vec();
        // What the log does not take, or the disk does not have yet, is decided again after a restart.
        let logged =
            self.append_record(Record::Changes(&bytes), Urgency::FreesRoom, |batch| batch.submit_later());
        if let Ok(Some(upto)) = logged {
            self.lingers = true;
            self.inner.noted.logged = Some(upto);
        }
        self.inner.state.settle_all();
        self.inner.state.changes.clear(self.now);
    }

    /// When something is to be done, if nothing happens before.
    fn deadline(&self) -> Option<i64> {
        if self.inner.is_gone {
            return None;
        }
        let consumers = &self.inner.state.consumers;
        let deadlines = consumers.deadline().into_iter();
        let machine = self.inner.state.machine.next_expiry();
        deadlines
            .chain(machine)
            .chain(self.inner.batches.deadline())
            .chain(self.inner.state.origins.deadline())
            .min()
    }
}

/// Appends a message with its head, and notes where it is.
pub(super) fn log_message(
    batch: &mut dialtone_store::Batch<'_>,
    (group, is_packed): (GroupId, bool),
    message: &Store<'_>,
    head: &mut Vec<u8>,
    places: &mut Vec<(u64, Place)>,
) {
    if message.is_skipped {
        return log_proposal(batch, group, &Proposal::Skip(message.clone()), head);
    }
    head.clear();
    let packed = if is_packed { pack(&message.headers, &message.payload) } else { None };
    let place = match packed {
        Some(packed) => {
            message.encode_packed_head(head);
            batch.message(group, message.seq, head, &[&packed])
        }
        None => {
            message.encode_head(head);
            batch.message(group, message.seq, head, &[&*message.headers, &*message.payload])
        }
    };
    places.push((message.seq, Place(place.to_bytes())));
}

/// Appends anything else.
pub(super) fn log_proposal(
    batch: &mut dialtone_store::Batch<'_>,
    group: GroupId,
    proposal: &Proposal<'_>,
    record: &mut Vec<u8>,
) {
    let mut bytes = Vec::new();
    proposal.encode(&mut bytes);
    record.clear();
    Record::Proposal(&bytes).encode(record);
    batch.record(group, record);
}
