//! The conversation of a connection with the streams of its account: requests out, answers in, each within its time.
//!
//! It goes by messages alone, as that of any client does, so that the streams may be this server's or those of another domain. An answer is known by the
//! token at the end of its subject; what waits is bounded by what the connection may have under way.

mod draft;
mod finding;
mod messages;
mod sessions;
mod walking;
mod wills;

use crate::command::Ticket;
use crate::record::Record;
use crate::streams::{Settings, Stream, api_subject};
use dialtone_jetstream::api::{PublishResponse, Response, read_plain};
use dialtone_jetstream::error::{self, ApiError};
use dialtone_jetstream::json::{Field, to_vec};
use dialtone_wire::message::Message;
use dialtone_wire::mqtt::PacketId;
use draft::Draft;
use finding::Finding;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub use finding::Retained;
pub use messages::Held;
pub use walking::record_of;
pub use wills::{KeptWill, will_of};

/// Publishes in the account, and says how many got it.
pub type Send<'s> = dyn FnMut(&Message<'_>) -> usize + 's;

/// What streams answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The streams of the account are there.
    Prepared(Result<(), Failure>),
    /// The session that there is, and the sequence of its record.
    Loaded(Result<Option<Box<(Record, u64)>>, Failure>),
    /// The record is stored, with this sequence.
    Saved(Saving, Result<u64, Failure>),
    /// A consumer is there.
    Consumer(For, Result<(), Failure>),
    /// What the ticket names is stored.
    Stored(Ticket, Result<(), Failure>),
    /// The message that was held; `None`: there is none.
    Held(PacketId, Result<Option<Box<Held>>, Failure>),
    /// A retained message for this subscription.
    Retained(u32, Box<Retained>),
    /// That were all retained messages for this subscription that can be had.
    RetainedEnd(u32),
}

/// What a record is stored for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// The session begins, or goes on.
    Begin,
    /// SUBSCRIBE or UNSUBSCRIBE.
    Packet(PacketId),
    /// The connection ends.
    End,
}

/// What a consumer is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// A filter of a SUBSCRIBE, and whether it is the consumer for the level above `#`.
    Filter {
        /// The SUBSCRIBE.
        packet: PacketId,
        /// Which of its filters.
        at: usize,
        /// Whether it is the consumer for the level above `#`.
        is_parent: bool,
    },
    /// Reminders of PUBREL.
    Releases,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody answers there: the account has no JetStream.
    #[error("JetStream is not available in this account")]
    Nobody,
    /// No answer within the time.
    #[error("timeout of a request to JetStream")]
    TimedOut,
    /// An error of the API.
    #[error("{0}")]
    Refused(ApiError),
    /// An answer that is none, or a record that is none.
    #[error("{0}")]
    Bad(String),
}

impl Failure {
    /// Whether another server or connection has written the record meanwhile.
    pub fn is_overtaken(&self) -> bool {
        matches!(self, Self::Refused(error) if error.err_code == error::STREAM_WRONG_LAST_SEQUENCE.err_code)
    }

    fn is(&self, code: error::Code) -> bool {
        matches!(self, Self::Refused(error) if error.err_code == code.err_code)
    }
}

/// What an answer is for.
#[derive(Clone, Debug)]
enum Asked {
    Info(Stream),
    Create,
    Session(Box<str>),
    Save(Saving),
    Consumer(For),
    Store(Ticket),
    Held(PacketId),
    Subjects,
    Retained(Box<str>),
}

/// What a request that waits is for. One that nobody got has failed.
#[derive(Debug)]
struct Waiting {
    asked: Asked,
    got_by_nobody: bool,
}

/// The conversation.
#[derive(Debug)]
pub struct Talk {
    settings: Arc<Settings>,
    draft: Draft,
    next_token: u64,
    waiting: HashMap<u64, Waiting>,
    /// When each is given up, in the order of tokens.
    deadlines: VecDeque<(Instant, u64)>,
    /// The user, which retained messages name.
    user: Box<str>,
    /// Streams that are not known to be there yet, while they are prepared.
    unprepared: usize,
    finding: Finding,
}

impl Talk {
    /// Nothing asked yet. `connection` tells its answers from those of others.
    pub fn new(settings: Arc<Settings>, connection: u64) -> Self {
        let answers = format!("$MQTT.JSA.{}.{connection}.", settings.server.as_str());
        Self {
            settings,
            draft: Draft::new(answers.into_bytes()),
            next_token: 1,
            waiting: HashMap::new(),
            deadlines: VecDeque::new(),
            user: "".into(),
            unprepared: 0,
            finding: Finding::default(),
        }
    }

    /// What is to be subscribed to for the answers.
    pub fn answers(&self) -> Vec<u8> {
        [self.draft.answers(), b"*"].concat()
    }

    /// What is asked of streams from now on.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// Says who the client is; empty: nobody logs in.
    pub fn set_user(&mut self, user: &str) {
        self.user = user.into();
    }

    /// Looks for the streams of the account, and makes those that are not there; [`Answer::Prepared`] follows.
    pub fn prepare(&mut self, now: Instant, send: &mut Send<'_>) {
        self.unprepared = Stream::ALL.len();
        for stream in Stream::ALL {
            self.draft.begin(&[api_subject(&self.settings, "STREAM.INFO.", stream.name()).as_bytes()]);
            self.ask(now, Asked::Info(stream), send);
        }
    }

    /// Sends what is drafted, and notes what its answer is for.
    fn ask(&mut self, now: Instant, asked: Asked, send: &mut Send<'_>) {
        let token = self.next_token;
        self.next_token += 1;
        let got_by_nobody = send(&self.draft.message(Some(token))) == 0;
        let deadline = if got_by_nobody { now } else { now + self.settings.streams.api_timeout };
        self.waiting.insert(token, Waiting { asked, got_by_nobody });
        // What has failed comes first; the others have all the same time.
        match self.deadlines.front() {
            Some((first, _)) if deadline < *first => self.deadlines.push_front((deadline, token)),
            _ => self.deadlines.push_back((deadline, token)),
        }
    }

    /// Sends what is drafted, and waits for nothing.
    fn tell(&mut self, send: &mut Send<'_>) {
        send(&self.draft.message(None));
    }

    /// Drafts a request to the API with a document as its body.
    fn draft_request(&mut self, api: &str, of: &str, body: &impl Serialize) {
        self.draft.begin(&[api_subject(&self.settings, api, of).as_bytes()]);
        self.draft.payload(&to_vec(body));
    }

    /// Takes a message that came to [`Self::answers`].
    pub fn answer(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        send: &mut Send<'_>,
        out: &mut dyn FnMut(Answer),
    ) {
        let token = message.subject.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
        let token = std::str::from_utf8(token).ok().and_then(|token| token.parse::<u64>().ok());
        let Some(waiting) = token.and_then(|token| self.waiting.remove(&token)) else { return };
        // Those that have been answered are passed over.
        while self.deadlines.front().is_some_and(|(_, token)| !self.waiting.contains_key(token)) {
            self.deadlines.pop_front();
        }
        let is_nobody = message.headers().starts_with(b"NATS/1.0 503");
        let answer = if is_nobody { Err(Failure::Nobody) } else { Ok(message.payload()) };
        // Whoever publishes asks again at once.
        let was_for_message = matches!(waiting.asked, Asked::Store(_));
        self.answered(now, waiting.asked, answer, send, out);
        if self.waiting.is_empty() && !was_for_message {
            self.rest();
        }
    }

    /// Gives back what is not needed while nothing is asked: most connections are silent.
    fn rest(&mut self) {
        (self.waiting, self.deadlines) = (HashMap::new(), VecDeque::new());
        self.finding.rest();
        self.draft.rest();
    }

    /// When [`Self::expire`] is to be called, if nothing is answered before.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Gives up what was not answered in time.
    pub fn expire(&mut self, now: Instant, send: &mut Send<'_>, out: &mut dyn FnMut(Answer)) {
        while self.deadline().is_some_and(|deadline| deadline <= now)
            && let Some((_, token)) = self.deadlines.pop_front()
        {
            let Some(waiting) = self.waiting.remove(&token) else { continue };
            let failure = if waiting.got_by_nobody { Failure::Nobody } else { Failure::TimedOut };
            self.answered(now, waiting.asked, Err(failure), send, out);
        }
    }

    fn answered(
        &mut self,
        now: Instant,
        asked: Asked,
        answer: Result<&[u8], Failure>,
        send: &mut Send<'_>,
        out: &mut dyn FnMut(Answer),
    ) {
        match asked {
            Asked::Info(stream) => match answer.and_then(succeeded) {
                Err(failure) if failure.is(error::STREAM_NOT_FOUND) => {
                    let config = stream.config(self.settings.streams.replicas);
                    self.draft_request("STREAM.CREATE.", stream.name(), &config);
                    self.ask(now, Asked::Create, send);
                }
                result => self.prepared(result, out),
            },
            Asked::Create => match answer.and_then(succeeded) {
                // Another server made it meanwhile, or somebody has changed it.
                Err(failure) if failure.is(error::STREAM_NAME_EXIST) => self.prepared(Ok(()), out),
                result => self.prepared(result, out),
            },
            Asked::Session(id) => {
                out(Answer::Loaded(answer.and_then(|answer| sessions::loaded(&id, answer))))
            }
            Asked::Save(saving) => out(Answer::Saved(saving, answer.and_then(stored))),
            Asked::Consumer(of) => out(Answer::Consumer(of, answer.and_then(succeeded))),
            Asked::Store(ticket) => {
                let result = answer.and_then(stored).map(|_| ());
                let is_held_already = matches!((&result, ticket), (Err(failure), Ticket::Held(_)) if messages::is_held_already(failure));
                out(Answer::Stored(ticket, if is_held_already { Ok(()) } else { result }));
            }
            Asked::Held(packet) => out(Answer::Held(packet, answer.and_then(messages::held))),
            Asked::Subjects => self.listed(now, answer, send, out),
            Asked::Retained(subject) => self.found(now, &subject, answer, send, out),
        }
    }

    fn prepared(&mut self, result: Result<(), Failure>, out: &mut dyn FnMut(Answer)) {
        if self.unprepared == 0 {
            return;
        }
        self.unprepared = if result.is_err() { 0 } else { self.unprepared - 1 };
        if self.unprepared == 0 {
            out(Answer::Prepared(result));
        }
    }
}

/// Reads an answer of the API.
fn read<T: Field + Default>(answer: &[u8], go: &str) -> Result<T, Failure> {
    read_plain(answer, go).map_err(Failure::Bad)
}

/// An answer of the API that matters only as far as it is none that failed.
fn succeeded(answer: &[u8]) -> Result<(), Failure> {
    let response: Response = read(answer, Response::GO)?;
    response.error.map_or(Ok(()), |error| Err(Failure::Refused(error)))
}

/// The sequence of a message that was stored.
///
/// # Errors
/// It was not.
pub fn stored(answer: &[u8]) -> Result<u64, Failure> {
    let response: PublishResponse = read(answer, PublishResponse::GO)?;
    match response.failed.error {
        Some(error) => Err(Failure::Refused(error)),
        None if response.ack.stream.is_empty() => {
            Err(Failure::Bad("an answer that is no acknowledgement".into()))
        }
        None => Ok(response.ack.seq),
    }
}

#[cfg(test)]
mod tests;
