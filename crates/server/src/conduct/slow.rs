//! Connections that read too slowly: when one is closed, and when it is kept and that is only reported.

use super::Conduct;
use crate::log::Event;
use dialtone_broker::deliver::Turn;
use dialtone_wire::CloseReason;
use std::time::Instant;

impl Conduct {
    /// When [`Conduct::find_slow`] is to be called.
    pub(super) fn write_deadline(&self) -> Option<Instant> {
        let limit = self.patience().write_deadline;
        let (end, report) = (self.closed_if_slow_since(), self.reported_if_slow_since());
        end.into_iter().chain(report).min().map(|since| since + limit)
    }

    /// Since when it has been so slow that it is closed at its deadline. Who is kept while it takes anything is so if it takes nothing.
    fn closed_if_slow_since(&self) -> Option<Instant> {
        if self.patience().keeps_slow { self.peer().blocked_since() } else { self.peer().behind_since() }
    }

    /// Since when it has been slow without being closed, if that is not reported yet.
    fn reported_if_slow_since(&self) -> Option<Instant> {
        let since = self.peer().behind_since().filter(|_| self.patience().keeps_slow)?;
        (self.alive.slow_reported != Some(since)).then_some(since)
    }

    /// Closes it if it is too slow, or reports that it is slow and kept. Whether it is closed.
    pub(super) fn find_slow(&mut self, turn: &mut Turn) -> bool {
        let (limit, now) = (self.patience().write_deadline, turn.now());
        let is_over = |since: &Instant| *since + limit <= now;
        if self.write_deadline().is_none_or(|at| at > now) {
            return false;
        }
        // The system says that a socket takes more when much of its buffer is free. It may have taken some long before.
        turn.flush(self.peer());
        if self.closed_if_slow_since().as_ref().is_some_and(is_over) {
            self.peer().close(CloseReason::SlowConsumerWriteDeadline);
            return true;
        }
        if let Some(since) = self.reported_if_slow_since().filter(is_over) {
            self.alive.slow_reported = Some(since);
            self.node.connections.failures.count_kept(self.peer().kind());
            self.log_write_deadline();
        }
        false
    }

    fn log_write_deadline(&self) {
        let limit = self.patience().write_deadline;
        self.log(
            Event::SlowConsumer,
            format_args!("Slow Consumer Detected: WriteDeadline of {limit:?} exceeded"),
        );
    }

    /// Counts its end, and logs it if it was too slow.
    pub(crate) fn count_end(&self, reason: CloseReason) {
        match reason {
            CloseReason::SlowConsumerPendingBytes => {
                let max = self.policy.options.limits.pending_bytes_max;
                let text = format_args!("Slow Consumer Detected: MaxPending of {max} Exceeded");
                self.log(Event::SlowConsumer, text);
            }
            CloseReason::SlowConsumerWriteDeadline => self.log_write_deadline(),
            _ => {}
        }
        self.node.connections.failures.count(self.peer().kind(), reason);
    }
}
