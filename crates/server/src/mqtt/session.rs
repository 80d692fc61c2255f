//! Sessions: read when their client comes, written when their subscriptions change, and deleted or left when it goes.

use super::connect::Asked;
use super::conversation::Conversation;
use super::effects::{Answer, Effects};
use super::mail::{For, Mailed};
use super::subscribe::Wanted;
use super::{MqttConnection, State, sweeping};
use crate::clock;
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_mqtt::record::Record;
use dialtone_mqtt::talk::{Answer as Said, Failure, Retained, Saving};
use dialtone_mqtt::{Connection as Engine, Ended, Expiry, Keep, Session, Ticket, Wanted as Parts};
use dialtone_wire::CloseReason;
use dialtone_wire::mqtt::{PacketId, Reason, Version};

/// How often a session that begins is read again since somebody else has written its record. Who has more such bad luck is closed, and may come again.
const OVERTAKEN_MAX: u8 = 3;

impl MqttConnection {
    /// Begins to read the session of a client that was let in.
    pub(super) fn read_session(&mut self, turn: &mut Turn) {
        let effects = &mut self.effects;
        let conduct = &effects.conduct;
        let (Some(own), Some(account)) = (&conduct.policy.options.mqtt, &conduct.place.account) else {
            return self.peer().close(CloseReason::ProtocolViolation);
        };
        let mut conversation = Conversation::new(&conduct.node, own, account, conduct.peer(), turn);
        let is_prepared = conduct.node.connections.client_ids.is_prepared(account.id);
        let client_id = effects.client_id.clone();
        conversation.say(turn, |talk, now, send| match is_prepared {
            true => talk.load(now, &client_id, send),
            false => talk.prepare(now, send),
        });
        effects.conversation = Some(Box::new(conversation));
    }

    /// Takes what streams have sent.
    pub(super) fn take_mail(&mut self, turn: &mut Turn) {
        let mail = self.effects.conversation.as_ref().map(|of| of.take_mail()).unwrap_or_default();
        for mailed in mail {
            if self.peer().is_closing() {
                return;
            }
            if For::of(&mailed.sid) == Some(For::Answers) {
                self.take_answer(&mailed, turn);
            } else {
                self.take_message(mailed, turn);
            }
        }
    }

    fn take_answer(&mut self, mailed: &Mailed, turn: &mut Turn) {
        let Some(conversation) = &mut self.effects.conversation else { return };
        let mut answers = Vec::new();
        conversation.say(turn, |talk, now, send| {
            talk.answer(now, &mailed.message(), send, &mut |answer| answers.push(answer));
        });
        answers.into_iter().for_each(|answer| self.answered(answer, turn));
    }

    /// Gives up what streams have not answered in time.
    pub(super) fn expire_requests(&mut self, turn: &mut Turn) {
        let Some(conversation) = &mut self.effects.conversation else { return };
        let mut answers = Vec::new();
        conversation.say(turn, |talk, now, send| talk.expire(now, send, &mut |answer| answers.push(answer)));
        answers.into_iter().for_each(|answer| self.answered(answer, turn));
    }

    fn take_message(&mut self, mailed: Mailed, turn: &mut Turn) {
        let Some(conversation) = &mut self.effects.conversation else { return };
        if !matches!(self.state, State::In(_)) || !conversation.backlog.is_empty() {
            return conversation.put_back(mailed);
        }
        self.with_engine(turn, |engine, effects, turn| {
            let mut out = std::mem::take(&mut effects.out);
            let back = effects.deliver_mailed(mailed, engine, &mut out, turn);
            effects.out = out;
            if let (Some(back), Some(conversation)) = (back, &mut effects.conversation) {
                conversation.put_back(back);
            }
            Ok(())
        });
    }

    /// Streams have answered.
    fn answered(&mut self, said: Said, turn: &mut Turn) {
        match said {
            Said::Prepared(result) => self.prepared(&result, turn),
            Said::Loaded(result) => self.loaded(result, turn),
            Said::Saved(Saving::Begin, result) => self.begun(&result, turn),
            Said::Saved(Saving::End, _) => {}
            said => self.with_engine(turn, |engine, effects, turn| {
                effects.answered(said, engine, turn);
                Ok(())
            }),
        }
    }

    /// The streams cannot be had: the client may come again.
    fn give_up(&mut self, what: &str, failure: &Failure) {
        self.conduct().log(Event::Warning, format_args!("{what}: {failure}"));
        self.state = State::Over;
        self.peer().close(CloseReason::ProtocolViolation);
    }

    fn prepared(&mut self, result: &Result<(), Failure>, turn: &mut Turn) {
        if let Err(failure) = result {
            return self.give_up("unable to create the streams of MQTT", failure);
        }
        let Effects { conduct, conversation, client_id, .. } = &mut self.effects;
        let Some(conversation) = conversation else { return };
        conduct.node.connections.client_ids.set_prepared(conversation.account.id);
        sweeping::expect(&conduct.node, &conversation.account, 0);
        conversation.say(turn, |talk, now, send| talk.load(now, client_id, send));
    }

    fn loaded(&mut self, result: Result<Option<Box<(Record, u64)>>, Failure>, turn: &mut Turn) {
        let found = match result {
            Ok(found) => found.map(|found| *found),
            Err(failure) => return self.give_up("unable to read the session", &failure),
        };
        let user = self.effects.conduct.user.clone();
        let is_anothers = |record: &Record| !record.user.is_empty() && *record.user != *user;
        if found.as_ref().is_some_and(|(record, _)| is_anothers(record)) {
            return self.refuse_identifier(turn);
        }
        let State::Opening(asked) = &mut self.state else { return };
        let Some(conversation) = &mut self.effects.conversation else { return };
        if let Some((record, sequence)) = found {
            let goes_on =
                asked.agreed.keep == Keep::Resume && !record.clean && !record.is_over(now_seconds());
            // The new record takes the place of one that is over, so that it need not be gone before.
            conversation.sequence = sequence;
            asked.is_present = goes_on;
            match goes_on {
                true => conversation.record = record,
                false => conversation.say(turn, |talk, _, send| talk.delete(&record, 0, send)),
            }
        }
        let client_ids = &self.effects.conduct.node.connections.client_ids;
        let late = client_ids.late_wills.cancel(conversation.account.id, &self.effects.client_id);
        let kept = late.map_or(0, |late| late.sequence);
        conversation.say(turn, |talk, _, send| {
            talk.set_user(&user);
            if kept > 0 {
                talk.discard(kept, send);
            }
        });
        let record = &mut conversation.record;
        let before = record.expiry;
        record.origin = conversation.settings.server.as_str().to_owned();
        record.id = self.effects.client_id.to_string();
        record.user = user.to_string();
        record.expiry = asked.agreed.expiry;
        record.clean = record.expiry == Expiry::AtEnd;
        record.ended = 0;
        asked.sent = std::mem::take(&mut record.sent);
        conversation.keep_consumers(before, turn);
        let record = &conversation.record;
        if record.clean && conversation.sequence == 0 {
            return self.begin_session(turn);
        }
        let (record, sequence) = (record.clone(), conversation.sequence);
        conversation.say(turn, |talk, now, send| talk.save(now, &record, sequence, Saving::Begin, send));
    }

    fn begun(&mut self, result: &Result<u64, Failure>, turn: &mut Turn) {
        match result {
            Err(failure) if failure.is_overtaken() && self.may_read_again() => {
                let Effects { conversation, client_id, .. } = &mut self.effects;
                let Some(conversation) = conversation else { return };
                (conversation.record, conversation.sequence) = (Record::default(), 0);
                conversation.say(turn, |talk, now, send| talk.load(now, client_id, send));
            }
            Err(failure) => self.give_up("unable to store the session", failure),
            Ok(sequence) => {
                if let Some(conversation) = &mut self.effects.conversation {
                    conversation.sequence = *sequence;
                }
                self.begin_session(turn);
            }
        }
    }

    /// Its record was written meanwhile, as by a server that it has left: whether it is read again.
    fn may_read_again(&mut self) -> bool {
        let State::Opening(asked) = &mut self.state else { return false };
        asked.overtaken += 1;
        asked.is_present = false;
        asked.overtaken <= OVERTAKEN_MAX
    }

    /// The session is read, or new, and stored if it has to be.
    fn begin_session(&mut self, turn: &mut Turn) {
        let State::Opening(asked) = std::mem::replace(&mut self.state, State::Over) else { return };
        let asked: Box<Asked> = asked;
        let Some(conversation) = &mut self.effects.conversation else { return };
        let mut session = Session::default();
        let mut resumed = Vec::new();
        for subscribed in &conversation.record.subscriptions {
            let Ok(Parts { filter, group }) = Parts::parse(&subscribed.filter, true) else { continue };
            let (filter, group) = (filter.to_owned(), group.map(str::to_owned));
            resumed.push(Wanted { filter, group, options: subscribed.options, id: subscribed.id });
            session.restore_subscription(subscribed.clone());
        }
        if let Some(config) = &conversation.record.pubrel {
            let subject = config.deliver_subject.clone();
            conversation.tap(subject.as_bytes(), None, For::Releases, turn);
        }
        self.open(&asked, session, (&resumed, &asked.sent), turn);
        self.with_engine(turn, |_, effects, _| {
            effects.answers.push(Answer::Room);
            Ok(())
        });
    }
}

pub(super) fn now_seconds() -> u64 {
    u64::try_from(clock::now()).unwrap_or_default()
}

impl Effects {
    /// Streams have answered something that concerns the session engine.
    fn answered(&mut self, said: Said, engine: &mut Engine, turn: &mut Turn) {
        match said {
            Said::Saved(Saving::Packet(_), result) => self.saved(&result),
            Said::Consumer(of, result) => self.consumer_made(of, &result, turn),
            Said::Stored(ticket, result) => self.stored(ticket, &result),
            Said::Held(id, Ok(held)) => self.held(id, held.as_deref(), turn),
            Said::Held(_, Err(failure)) => self.failed("unable to read a message that is held", &failure),
            Said::Retained(number, retained) => self.found(number, Some(retained), engine, turn),
            Said::RetainedEnd(number) => self.found(number, None, engine, turn),
            Said::Prepared(_) | Said::Loaded(_) | Said::Saved(..) => {}
        }
    }

    fn found(&mut self, number: u32, retained: Option<Box<Retained>>, engine: &mut Engine, turn: &mut Turn) {
        let mut out = std::mem::take(&mut self.out);
        self.take_retained(number, retained, engine, &mut out, turn);
        self.out = out;
    }

    /// The client learns only by the end of its connection that something was not done, and does it again.
    fn failed(&mut self, what: &str, failure: &Failure) {
        self.conduct.log(Event::Warning, format_args!("{what}: {failure}"));
        self.why = Some(format!("{what}: {failure}").into());
        self.refuse(Reason::UnspecifiedError);
    }

    fn stored(&mut self, ticket: Ticket, result: &Result<(), Failure>) {
        match result {
            Ok(()) => self.answers.push(Answer::Stored(ticket, Reason::Success)),
            Err(failure) if self.version == Version::V5 && !matches!(ticket, Ticket::Received(_)) => {
                self.conduct.log(Event::Warning, format_args!("unable to store a message: {failure}"));
                self.answers.push(Answer::NotStored(ticket, failure.to_string().into()));
            }
            Err(failure) => self.failed("unable to store a message", failure),
        }
    }

    /// The session engine wants its subscriptions written. Those of a session that ends with its connection need not be, unless consumers would
    /// be left behind.
    pub(super) fn save(&mut self, packet: PacketId) {
        match &mut self.conversation {
            Some(of) if of.sequence > 0 || !of.record.clean || !of.record.consumers.is_empty() => {
                of.saves.next.push(packet);
            }
            _ => self.answers.push(Answer::Saved(packet)),
        }
    }

    /// Writes the session if that is wanted, one record after the other.
    pub(super) fn save_session(&mut self, engine: &Engine, turn: &mut Turn) {
        let Some(conversation) = &mut self.conversation else { return };
        let saves = &mut conversation.saves;
        let Some(first) = saves.next.first().copied().filter(|_| saves.under_way.is_none()) else { return };
        saves.under_way = Some(std::mem::take(&mut saves.next));
        conversation.record.subscriptions = engine.session().subscriptions().to_vec();
        let (record, sequence) = (std::mem::take(&mut conversation.record), conversation.sequence);
        let saving = Saving::Packet(first);
        conversation.say(turn, |talk, now, send| talk.save(now, &record, sequence, saving, send));
        conversation.record = record;
    }

    fn saved(&mut self, result: &Result<u64, Failure>) {
        let Some(conversation) = &mut self.conversation else { return };
        let packets = conversation.saves.under_way.take().unwrap_or_default();
        match result {
            Ok(sequence) => {
                conversation.sequence = *sequence;
                self.answers.extend(packets.into_iter().map(Answer::Saved));
            }
            Err(failure) => self.failed("unable to store the session", failure),
        }
    }

    /// The client goes: what its session leaves behind.
    pub(super) fn end_session(&mut self, engine: Engine, ended: Ended, turn: &mut Turn) {
        let rest = engine.end(ended);
        let is_taken = self.conduct.peer().closing() == Some(CloseReason::DuplicateClientId);
        if let Some((will, delay)) = rest.will {
            self.leave_will(will, delay, is_taken, turn);
        }
        let Some(conversation) = &mut self.conversation else { return };
        let sent = rest.session.as_ref().map(|session| conversation.sent(session)).unwrap_or_default();
        let has_sent = !sent.is_empty();
        conversation.record.sent = sent;
        let (record, sequence) = (&mut conversation.record, conversation.sequence);
        // Who takes over the client identifier takes over the record, too.
        if is_taken {
            if has_sent {
                let record = std::mem::take(record);
                conversation
                    .say(turn, |talk, now, send| talk.save(now, &record, sequence, Saving::End, send));
            }
            return self.release();
        }
        match rest.session.map(|session| session.expiry()) {
            None | Some(Expiry::AtEnd) => {
                let record = std::mem::take(record);
                self.delete_session(record, sequence);
            }
            Some(Expiry::Never) if record.expiry == Expiry::Never && !has_sent => {}
            Some(expiry) => {
                record.ended = now_seconds();
                let before = std::mem::replace(&mut record.expiry, expiry);
                if before != expiry {
                    conversation.keep_consumers(before, turn);
                }
                let record = std::mem::take(&mut conversation.record);
                conversation
                    .say(turn, |talk, now, send| talk.save(now, &record, sequence, Saving::End, send));
                if let Expiry::After(seconds) = expiry {
                    let due = record.ended.saturating_add(u64::from(seconds));
                    sweeping::expect(&self.conduct.node, &conversation.account, due);
                }
            }
        }
    }

    /// The connection is gone: nothing comes from streams any more.
    pub(super) fn end_conversation(&mut self, turn: &mut Turn) {
        if let Some(mut conversation) = self.conversation.take() {
            conversation.end(&self.conduct.node, turn);
        }
    }
}
