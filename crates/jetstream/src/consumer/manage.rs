//! What the API does to a consumer: another configuration, a new beginning, its end.

use super::ahead::Ahead;
use super::change::Change;
use super::event::Context;
use super::log::{Log, SEQ_MAX};
use super::machine::{Consumer, Demand};
use super::pace::Pace;
use super::pending::Entry;
use super::settings::{Mode, Retry, Settings, StartAt};
use std::sync::Arc;

/// Why a consumer cannot begin anew at a sequence. The text stands in the API's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResetError {
    /// Its configuration begins later.
    #[error("below start seq")]
    BelowStartSequence,
    /// Its configuration begins later.
    #[error("below start time")]
    BelowStartTime,
    /// Its deliver policy has no place to go back to.
    #[error("not allowed")]
    NotAllowed,
}

impl Consumer {
    /// Takes another configuration over, whose change was allowed. Poll afterwards.
    pub fn update(&mut self, ctx: &mut Context<'_>, mut settings: Settings) {
        let (filters, to) = settings.take_own();
        let old = std::mem::replace(&mut self.settings, Arc::new(settings));
        if std::mem::replace(&mut self.filters, filters) != self.filters {
            // What the old filters passed over is not for the new ones: so it is with official servers.
            let next = self.ahead.looked_to();
            if next > self.state.next_seq() {
                self.decide(ctx, Change::Skip { next });
            }
            self.state.refilter(&self.filters, ctx.log);
            self.keys.iter_mut().for_each(|keys| keys.forget());
            self.ahead = Ahead::new(ctx.log);
        }
        if self.settings.dead_letter.is_none() {
            self.drop_letters(ctx);
        }
        self.state.keep_letters(self.has_dead_letters());
        self.wait_anew(ctx, &old.retry);
        Pace::update(&mut self.pace, &self.settings);
        self.paused_until = self.settings.pause_until;
        if old.inactive_threshold != self.settings.inactive_threshold {
            self.used_at = ctx.now;
        }
        if let (Demand::Push(push), Mode::Push(settings)) = (&mut self.demand, &self.settings.mode) {
            push.restart_heartbeat(settings, ctx.now);
            if std::mem::replace(&mut push.to, to) != push.to {
                // Whoever listens there has none of what waits.
                push.is_active = ctx.host.has_interest(&push.to);
                let waiting: Vec<u64> = self.state.pending.iter().map(|entry| entry.seq).collect();
                for seq in waiting {
                    self.decide(ctx, Change::Delay { seq, due: ctx.now });
                    self.exhaust(ctx, seq);
                }
            }
        }
    }

    /// What waits for acknowledgements does so as long as the new configuration says, unless a client said how long.
    fn wait_anew(&mut self, ctx: &mut Context<'_>, old: &Retry) {
        let new = &self.settings.retry;
        if old == new {
            return;
        }
        let waits = |retry: &Retry, entry: &Entry| entry.at.saturating_add(retry.wait(entry.deliveries));
        let waiting = self.state.pending.iter();
        let moved: Vec<(u64, i64)> = waiting
            .filter(|entry| entry.due > ctx.now && entry.due == waits(old, entry))
            .map(|entry| (entry.seq, waits(new, entry)))
            .collect();
        for (seq, due) in moved {
            self.decide(ctx, Change::Delay { seq, due });
        }
    }

    /// The same from the log.
    pub fn apply_update(&mut self, mut settings: Settings, log: &dyn Log) {
        let (filters, to) = settings.take_own();
        self.settings = Arc::new(settings);
        if let Demand::Push(push) = &mut self.demand {
            push.to = to;
        }
        if std::mem::replace(&mut self.filters, filters) != self.filters {
            self.state.refilter(&self.filters, log);
            self.keys.iter_mut().for_each(|keys| keys.forget());
            self.ahead = Ahead::new(log);
        }
        self.state.keep_letters(self.has_dead_letters());
        Pace::update(&mut self.pace, &self.settings);
        self.paused_until = self.settings.pause_until;
    }

    /// Begins anew at a sequence, or behind what is acknowledged. Gives the sequence. Poll afterwards.
    ///
    /// # Errors
    ///
    /// The deliver policy does not allow that sequence.
    pub fn reset(&mut self, ctx: &mut Context<'_>, seq: Option<u64>) -> Result<u64, ResetError> {
        let next = match (seq, self.settings.start) {
            (None | Some(0), _) => self.state.floor.stream + 1,
            (Some(seq), StartAt::All) => seq,
            (Some(seq), StartAt::BySequence(first)) if seq >= first => seq,
            (Some(_), StartAt::BySequence(_)) => return Err(ResetError::BelowStartSequence),
            (Some(seq), StartAt::ByTime(at)) if seq >= ctx.log.at_time(at) => seq,
            (Some(_), StartAt::ByTime(_)) => return Err(ResetError::BelowStartTime),
            (Some(_), _) => return Err(ResetError::NotAllowed),
        };
        let next = next.min(SEQ_MAX);
        self.decide(ctx, Change::Reset { next });
        Ok(next)
    }

    /// Ends the pin of a priority group. False if the consumer has none. Poll afterwards.
    pub fn unpin(&mut self, ctx: &mut Context<'_>) -> bool {
        match &mut self.demand {
            Demand::Pull(pull) => pull.unpin(ctx, "admin"),
            Demand::Push(_) => false,
        }
    }

    /// The consumer was deleted: answers the requests that wait.
    pub fn deleted(&mut self, ctx: &mut Context<'_>) {
        if let Demand::Pull(pull) = &mut self.demand {
            for request in pull.waiting.drain() {
                ctx.status(&request.reply, 409, format_args!("Consumer Deleted"));
            }
        }
    }

    /// The server stops: answers the requests that wait.
    pub fn stopped(&mut self, ctx: &mut Context<'_>) {
        if let Demand::Pull(pull) = &mut self.demand {
            for request in pull.waiting.drain() {
                request.status(ctx, 409, "Server Shutdown");
            }
        }
    }
}
