//! Rate limits of clients of MQTT: a message that is too much is refused, or taken, and then nothing more is read until its time.

use super::effects::Effects;
use crate::log::Event;
use dialtone_broker::rate::{Admission, Limiter};
use dialtone_wire::mqtt::Reason;
use dialtone_wire::quoted;
use std::time::{Duration, Instant};

/// How often the log shows that a connection's messages are refused.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// How a connection is held to its rate limits.
#[derive(Debug)]
pub(super) struct Rated {
    limiter: Box<Limiter>,
    /// Nothing of it is read before this time.
    until: Option<Instant>,
    logged: Option<Instant>,
}

impl Effects {
    /// Takes over the rate limits of its account and its user. If they are others than before, it waits no longer.
    pub(super) fn take_rates(&mut self, now: Instant) {
        let limits = self.conduct.rate_limits(now);
        if !self.rated.as_ref().is_some_and(|rated| rated.limiter.is_of(&limits)) {
            let rated = |limiter| Box::new(Rated { limiter, until: None, logged: None });
            self.rated = Limiter::new(limits).map(rated);
        }
    }

    /// Nothing of it is read before this time.
    #[inline]
    pub(super) fn delayed_until(&self, now: Instant) -> Option<Instant> {
        self.rated.as_ref()?.until.filter(|until| *until > now)
    }

    /// Holds a message against the limits, by the subject that was written and by the one that it is mapped to.
    ///
    /// Errors: it is more than is allowed.
    pub(super) fn admit(
        &mut self,
        subject: &[u8],
        mapped: Option<&[u8]>,
        bytes: usize,
        now: Instant,
    ) -> Result<(), Reason> {
        let Some(rated) = &mut self.rated else { return Ok(()) };
        let admission = rated.limiter.admit(subject, mapped, bytes as u64, now);
        match admission {
            Admission::Pass => return Ok(()),
            Admission::Wait(wait) => {
                rated.until = Some(now + wait);
                // It has its share, and need not come again.
                rated.limiter.admit(subject, mapped, bytes as u64, now);
            }
            Admission::Refuse => {
                let is_new = |logged: Instant| now.saturating_duration_since(logged) >= LOG_INTERVAL;
                if rated.logged.is_none_or(is_new) {
                    rated.logged = Some(now);
                    let subject = quoted(subject);
                    self.conduct
                        .log(Event::RateLimited, format_args!("Rate limit exceeded - Subject {subject}"));
                }
            }
        }
        self.conduct.count_admission(admission);
        if admission == Admission::Refuse { Err(Reason::QuotaExceeded) } else { Ok(()) }
    }
}
