//! Messages beyond the rate limits: they wait, or are refused.

use super::{Client, publish};
use crate::log::Event;
use dialtone_broker::account::Account;
use dialtone_broker::deliver::Turn;
use dialtone_broker::rate::{Admission, Limiter};
use dialtone_broker::sharing::Mapped;
use dialtone_wire::client::Op;
use dialtone_wire::header::Denial;
use dialtone_wire::message::Message;
use std::time::{Duration, Instant};

/// How often the log shows that a connection's messages are refused.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How a connection is held to its rate limits.
#[derive(Debug)]
pub(super) struct Rated {
    limiter: Box<Limiter>,
    /// Nothing of it is read before this time.
    until: Option<Instant>,
    /// What the account's mappings made of the next message's subject: drawn once, for a message that waits too.
    drawn: Option<(Mapped, Vec<u8>)>,
    logged: Option<Instant>,
}

impl Client {
    /// Takes over the rate limits of its account and its user. If they are others than before, it waits no longer.
    pub(super) fn take_rates(&mut self, now: Instant) {
        let limits = self.conduct.rate_limits(now);
        if !self.rated.as_ref().is_some_and(|rated| rated.limiter.is_of(&limits)) {
            let rated = |limiter| Box::new(Rated { limiter, until: None, drawn: None, logged: None });
            self.rated = Limiter::new(limits).map(rated);
        }
    }

    /// Whether a message of it waits, and all behind it.
    pub(super) fn is_delayed(&self) -> bool {
        self.delayed_until().is_some()
    }

    /// Nothing of it is read before this time.
    pub fn delayed_until(&self) -> Option<Instant> {
        self.rated.as_ref()?.until
    }

    /// Goes on if the time is over. False: it is not.
    pub(super) fn end_delay(&mut self, now: Instant) -> bool {
        let Some(rated) = &mut self.rated else { return true };
        if rated.until.is_some_and(|until| until > now) {
            return false;
        }
        rated.until = None;
        true
    }

    /// Holds a message against the limits, by the subject that was written and by the one that it is mapped to.
    pub(super) fn admit(&mut self, message: &Message<'_>, turn: &mut Turn) -> Admission {
        let now = turn.now();
        let Some(rated) = &mut self.rated else { return Admission::Pass };
        if !rated.limiter.has_reserved() {
            let account = self.conduct.place.account.as_ref().filter(|account| account.maps());
            rated.drawn = account.map(|account| draw(turn, account, message.subject));
        }
        let mapped = rated.drawn.as_ref().filter(|(mapped, _)| *mapped == Mapped::To);
        let mapped = mapped.map(|(_, subject)| subject.as_slice());
        let admission = rated.limiter.admit(message.subject, mapped, message.body_bytes() as u64, now);
        if let Admission::Wait(wait) = admission {
            rated.until = Some(now + wait);
        }
        self.conduct.count_admission(admission);
        admission
    }

    /// What the mappings of its account make of a message's subject.
    pub(super) fn drawn(&mut self, subject: &[u8], turn: &mut Turn) -> Option<(Mapped, Vec<u8>)> {
        let account = self.conduct.place.account.as_ref()?;
        let drawn = self.rated.as_mut().and_then(|rated| rated.drawn.take());
        Some(drawn.unwrap_or_else(|| draw(turn, account, subject)))
    }

    /// A message is more than is allowed: the client gets an error.
    #[cold]
    pub(super) fn refuse_excess(
        &mut self,
        message: &Message<'_>,
        batch: &mut publish::Batch,
        turn: &mut Turn,
    ) {
        if self.conduct.traced {
            self.trace(&Op::Publish(*message));
        }
        batch.add(message);
        let subject = String::from_utf8_lossy(message.subject);
        let now = turn.now();
        if let Some(rated) = &mut self.rated
            && rated.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= LOG_INTERVAL)
        {
            rated.logged = Some(now);
            self.log(Event::RateLimited, format_args!("Rate limit exceeded - Subject {subject:?}"));
        }
        // Client libraries close the connection at errors that they do not know; this one reads as a violation of
        // permissions, which they hand to the application (ADR-42).
        self.send_error(
            &format!("Permissions Violation for Publish to {subject:?} (rate limit exceeded)"),
            turn,
        );
        self.answer_denied(message, Denial::RateLimit, turn);
    }
}

fn draw(turn: &mut Turn, account: &Account, subject: &[u8]) -> (Mapped, Vec<u8>) {
    let mut to = Vec::new();
    (turn.map(account, subject, &mut to), to)
}
