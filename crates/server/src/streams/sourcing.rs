//! Streams that take messages from others: what their origins want is carried out here.

use super::hosted::{Hosted, Inner, Tap};
use super::session::Session;
use super::shared::wall;
use dialtone_broker::account::Account;
use dialtone_broker::subscription::Subscription;
use dialtone_jetstream::api::StreamSourceInfo;
use dialtone_jetstream::config::{StreamConfig, StreamSource};
use dialtone_jetstream::consumer::AckSubject;
use dialtone_jetstream::sourcing::{
    Command, Held, Origin, Taken, control, headers_to_store, sourced_headers,
};
use dialtone_jetstream::stream::{
    Admitted, Inbound, Proposal, Publish as Published, Refusal, Sourced, Stream,
};
use dialtone_wire::header;
use dialtone_wire::message::Message;
use std::borrow::Cow;
use std::sync::Arc;

/// How long an origin waits before it asks first, nanoseconds: what is said when a stream is made stands before what comes of it.
const FIRST_WAIT: i64 = 100_000_000;

/// The origins of a stream.
#[derive(Default)]
pub(crate) struct Origins {
    all: Vec<Followed>,
    /// The number of the next attempt.
    next: u64,
    /// Where a mirror answers for its origin, once it has nearly all of it.
    direct: Vec<Arc<Subscription>>,
}

/// An origin, and what is listened to for it.
struct Followed {
    origin: Origin,
    /// Tells what is listened to from what was, so that nothing of a consumer that was left is taken.
    number: u64,
    taps: Vec<Arc<Subscription>>,
}

impl Origins {
    /// When something is to be done, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<i64> {
        self.all.iter().map(|followed| followed.origin.deadline()).min()
    }

    fn at(&self, number: u64) -> Option<usize> {
        self.all.iter().position(|followed| followed.number == number)
    }

    /// All that is listened to.
    pub(super) fn take_taps(&mut self) -> Vec<Arc<Subscription>> {
        let mut taps = std::mem::take(&mut self.direct);
        self.all.iter_mut().for_each(|followed| taps.append(&mut followed.taps));
        taps
    }

    /// How far they are, as the API shows it: the mirror's, and those of the sources.
    pub(crate) fn shown(&self, config: &StreamConfig) -> (Option<StreamSourceInfo>, Vec<StreamSourceInfo>) {
        let now = wall();
        let mut all = self.all.iter().map(|followed| followed.origin.info(now));
        if config.mirror.is_some() { (all.next(), Vec::new()) } else { (None, all.collect()) }
    }
}

/// What a configuration takes from: whether it is a mirror, and each source.
fn sources(config: &StreamConfig) -> (bool, Vec<&StreamSource>) {
    match &config.mirror {
        Some(mirror) => (true, vec![mirror]),
        None => (false, config.sources.iter().collect()),
    }
}

impl Inner {
    /// Has the origins be those that the configuration names. Those that are not any more are returned.
    fn renew_origins(&mut self, hosted: &Hosted, account: &Account) -> Vec<Followed> {
        let now = wall();
        let (is_mirror, wanted) = sources(&self.state.meta.config);
        let mut before = std::mem::take(&mut self.state.origins.all);
        let held = Held {
            stream: &hosted.name,
            account: &account.name,
            domain: hosted.shared.domain.as_deref(),
            replies_v2: hosted.shared.forms.replies_v2,
        };
        for source in &wanted {
            let known = before.iter().position(|followed| followed.origin.source() == *source);
            if let Some(known) = known {
                self.state.origins.all.push(before.swap_remove(known));
                continue;
            }
            let is_twice = wanted.iter().filter(|other| other.name == source.name).count() > 1;
            let place = self.state.machine.place_of(&source.index_name());
            let place =
                place.map(|place| (place.seq, std::str::from_utf8(&place.identity).unwrap_or_default()));
            let origin = Origin::new(source, (is_mirror, is_twice), held, place, now + FIRST_WAIT);
            self.state.origins.next += 1;
            self.state.origins.all.push(Followed {
                origin,
                number: self.state.origins.next,
                taps: Vec::new(),
            });
        }
        before
    }
}

impl Hosted {
    /// Begins to follow the origins that the configuration names.
    pub(super) fn open_origins(&self) {
        let Some(account) = self.account() else { return };
        let mut inner = self.lock();
        inner.renew_origins(self, &account);
        let has_any = !inner.state.origins.all.is_empty();
        drop(inner);
        if has_any {
            self.wake();
        }
    }

    /// Follows no origin any more.
    pub(super) fn close_origins(&self) {
        let taps = std::mem::take(&mut self.lock().state.origins).take_taps();
        self.unsubscribe(&taps);
    }
}

/// The configuration changed.
pub(super) fn renew(session: &mut Session<'_>) {
    let gone = session.inner.renew_origins(session.hosted, session.account);
    for followed in gone {
        end(session, followed);
    }
    if session.inner.state.meta.config.mirror.is_none() {
        let direct = std::mem::take(&mut session.inner.state.origins.direct);
        session.hosted.unsubscribe(&direct);
    }
}

/// The stream is gone.
pub(super) fn end_all(session: &mut Session<'_>) {
    let mut origins = std::mem::take(&mut session.inner.state.origins);
    for followed in std::mem::take(&mut origins.all) {
        end(session, followed);
    }
    session.hosted.unsubscribe(&origins.take_taps());
}

fn end(session: &mut Session<'_>, mut followed: Followed) {
    session.hosted.unsubscribe(&followed.taps);
    let mut commands = Vec::new();
    followed.origin.end(crate::random::random(), &mut commands);
    for command in commands {
        if let Command::Request { subject, reply, headers, payload } = command {
            request(session, (&subject, &reply), &headers, &payload);
        }
    }
}

/// Does what time brings.
pub(super) fn expire(session: &mut Session<'_>) {
    for at in 0..session.inner.state.origins.all.len() {
        let totals = session.inner.state.machine.totals();
        let is_mirror = session.inner.state.meta.config.mirror.is_some();
        let Some(followed) = session.inner.state.origins.all.get_mut(at) else { return };
        if followed.origin.deadline() > session.now {
            continue;
        }
        if is_mirror {
            followed.origin.place(totals.last, totals.count == 0 && totals.first == 0);
        }
        let mut commands = Vec::new();
        followed.origin.expire(session.now, crate::random::random(), &mut commands);
        carry_out(session, at, commands);
    }
}

/// The API of an origin answered.
pub(super) fn answered(session: &mut Session<'_>, number: u64, message: &Message<'_>) {
    let Some(at) = session.inner.state.origins.at(number) else { return };
    let now = session.now;
    let identity = header::value(message.headers(), b"Nats-Stream-Identity");
    let identity = identity.and_then(|identity| std::str::from_utf8(identity).ok());
    let mut commands = Vec::new();
    if let Some(followed) = session.inner.state.origins.all.get_mut(at) {
        // Nobody there: a status instead of an answer.
        if message.payload().is_empty() {
            followed.origin.unheard(now, &mut commands);
        } else {
            followed.origin.answered(message.payload(), identity, now, &mut commands);
        }
    }
    carry_out(session, at, commands);
    answer_for_origin(session, at);
}

/// The consumer of an origin delivers.
pub(super) fn delivered(session: &mut Session<'_>, number: u64, message: &Message<'_>) {
    let Some(at) = session.inner.state.origins.at(number) else { return };
    let now = session.now;
    let mut commands = Vec::new();
    let Some(followed) = session.inner.state.origins.all.get_mut(at) else { return };
    if let Some(control) = control(message.headers(), message.payload(), message.reply) {
        followed.origin.control(control, now, &mut commands);
        return carry_out(session, at, commands);
    }
    let Some(ack) = message.reply.and_then(AckSubject::parse) else { return };
    if followed.origin.message(&ack, now, &mut commands) == Taken::Next
        && let Err(refusal) = store(session, at, &ack, message)
        && let Some(followed) = session.inner.state.origins.all.get_mut(at)
    {
        match is_for_good(&refusal) {
            true => followed.origin.passed_over(refusal.error()),
            false => followed.origin.refused(refusal.error(), now, &mut commands),
        }
    }
    carry_out(session, at, commands);
    answer_for_origin(session, at);
}

/// Whether a message will never be stored: what is behind it need not wait.
fn is_for_good(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::MessageTooLarge | Refusal::HeaderTooLarge => true,
        Refusal::CounterMissing | Refusal::CounterInvalid | Refusal::CounterBroken => true,
        Refusal::StoreFailed(why) => *why == "message too large",
        _ => false,
    }
}

fn store(
    session: &mut Session<'_>,
    at: usize,
    ack: &AckSubject<'_>,
    message: &Message<'_>,
) -> Result<(), Refusal> {
    let Some(followed) = session.inner.state.origins.all.get(at) else { return Ok(()) };
    let (origin, state) = (&followed.origin, &session.inner.state);
    let is_mirror = state.meta.config.mirror.is_some();
    let subject = origin.transformed(message.subject, crate::random::random());
    let subject = subject.as_deref().unwrap_or(message.subject);
    let headers = match (is_mirror, message.headers()) {
        (true, []) => Vec::new(),
        (true, headers) => headers_to_store(headers, true),
        (false, headers) => sourced_headers(headers, &origin.source_header(ack, message.subject)),
    };
    let inbound = Inbound {
        message: Published { subject, headers: &headers, payload: message.payload() },
        seq: ack.seq,
        // Ages are added to it.
        time: i64::try_from(ack.time).unwrap_or(0),
    };
    let admitted = admit(session, &state.machine, origin, &inbound, is_mirror)?;
    if let Admitted::Proposal(proposal) = admitted {
        let proposal = proposal.into_owned();
        session.carry_out(&proposal)?;
    }
    Ok(())
}

fn admit<'a>(
    session: &Session<'_>,
    machine: &Stream,
    origin: &'a Origin,
    inbound: &Inbound<'a>,
    is_mirror: bool,
) -> Result<Admitted<'a>, Refusal> {
    let wanted = session.hosted.wanted(&session.inner.state, session.inner.counted);
    if is_mirror {
        return machine.admit_mirrored(inbound, &wanted);
    }
    let sourced = Sourced {
        index: Cow::Borrowed(origin.index().as_bytes()),
        seq: inbound.seq,
        identity: Cow::Borrowed(origin.identity().as_bytes()),
    };
    machine.admit_sourced(inbound, sourced, &wanted, session.now)
}

/// A mirror that has nearly all of its origin answers direct gets for it.
fn answer_for_origin(session: &mut Session<'_>, at: usize) {
    let config = &session.inner.state.meta.config;
    let Some(mirror) = config.mirror.as_ref().filter(|_| config.mirror_direct) else { return };
    let origins = &session.inner.state.origins;
    let is_close = origins.all.get(at).is_some_and(|followed| followed.origin.is_close());
    if !is_close || !origins.direct.is_empty() {
        return;
    }
    let filters = session.hosted.direct_filters(&mirror.name);
    session.inner.state.origins.direct = session.hosted.subscribe(&filters);
}

fn carry_out(session: &mut Session<'_>, at: usize, commands: Vec<Command>) {
    let mut more = Vec::new();
    for command in commands {
        match command {
            Command::Leave => {
                let origins = &mut session.inner.state.origins;
                origins.next += 1;
                let Some(followed) = origins.all.get_mut(at) else { return };
                followed.number = origins.next;
                let taps = std::mem::take(&mut followed.taps);
                session.hosted.unsubscribe(&taps);
            }
            Command::Follow(subject) => listen(session, at, Tap::Origin, subject),
            Command::Await(subject) => listen(session, at, Tap::Answer, subject),
            Command::Request { subject, reply, headers, payload } => {
                let now = session.now;
                let heard = request(session, (&subject, &reply), &headers, &payload);
                if !heard && let Some(followed) = session.inner.state.origins.all.get_mut(at) {
                    followed.origin.unheard(now, &mut more);
                }
            }
            // A consumer that counts this as an acknowledgement removes nothing before it is on disk here.
            Command::Confirm { to, headers } => session.confirm_when_durable(&to, headers),
            Command::SkipTo(seq) => {
                let _ = session.carry_out(&Proposal::SkipTo(seq));
            }
        }
    }
    if !more.is_empty() {
        carry_out(session, at, more);
    }
}

fn listen(session: &mut Session<'_>, at: usize, tap: fn(u64) -> Tap, subject: String) {
    let Some(followed) = session.inner.state.origins.all.get_mut(at) else { return };
    let taps = session.hosted.subscribe(&[(tap(followed.number), subject)]);
    followed.taps.extend(taps);
}

/// Publishes a request. Whether anybody got it.
fn request(
    session: &mut Session<'_>,
    (subject, reply): (&str, &str),
    headers: &[u8],
    payload: &[u8],
) -> bool {
    let framed = [headers, payload, b"\r\n"].concat();
    let message = Message {
        subject: subject.as_bytes(),
        reply: Some(reply.as_bytes()),
        header_bytes: headers.len(),
        framed: &framed,
    };
    session.turn.emit(session.account, &message) > 0
}
