//! What can be asked about a consumer.

use super::event::Context;
use super::hold::Hold;
use super::machine::{Consumer, Demand};
use super::settings::{Mode, Priority};
use super::state::Position;

/// What can be asked about a consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The last delivery.
    pub delivered: Position,
    /// When it was, nanoseconds since 1970.
    pub delivered_at: Option<i64>,
    /// Up to where everything is acknowledged.
    pub ack_floor: Position,
    /// When something was acknowledged last.
    pub acked_at: Option<i64>,
    /// Messages that wait for acknowledgements.
    pub num_ack_pending: usize,
    /// Messages that were delivered more than once.
    pub num_redelivered: usize,
    /// Requests that wait.
    pub num_waiting: usize,
    /// Messages that were never delivered.
    pub num_pending: u64,
    /// It is paused for so many nanoseconds more.
    pub pause_remaining: Option<i64>,
    /// Somebody listens on its deliver subject.
    pub push_bound: bool,
    /// What holds it up, though it has messages.
    pub held_by: Option<Hold>,
    /// Its priority group.
    pub priority_group: Option<PriorityGroupInfo>,
}

impl Info {
    /// Whether it has messages to deliver and somebody who waits for them.
    pub fn could_deliver(&self) -> bool {
        self.num_pending > 0 && (self.num_waiting > 0 || self.push_bound)
    }
}

/// A priority group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriorityGroupInfo {
    /// Its name.
    pub group: Box<str>,
    /// The client that is served alone: its pin's id, and since when.
    pub pinned: Option<(Box<str>, i64)>,
}

impl Consumer {
    /// Ends requests that are over or that nobody listens for, then says all that can be asked.
    pub fn info(&mut self, ctx: &mut Context<'_>) -> Info {
        let numbers = self.heartbeat_numbers();
        if let Demand::Pull(pull) = &mut self.demand {
            pull.waiting.process(ctx, false, numbers);
        }
        self.info_at(ctx.now)
    }

    /// The same, without ending requests.
    pub fn info_at(&self, now: i64) -> Info {
        let (num_waiting, push_bound, pinned) = match &self.demand {
            Demand::Pull(pull) => {
                (pull.waiting.len(), false, pull.pin().map(|pin| (pin.id.clone(), pin.since)))
            }
            Demand::Push(push) => (0, push.is_active, None),
        };
        let group = match &self.settings.mode {
            Mode::Pull(settings) if !matches!(settings.priority, Priority::None) => {
                settings.priority.groups().first()
            }
            _ => None,
        };
        // Without redeliveries, what had its only one is none.
        let num_redelivered = match self.settings.retry.deliver_max {
            Some(1) => 0,
            _ => self.state.pending.redelivered() + self.state.exhausted.len(),
        };
        Info {
            delivered: self.state.delivered,
            delivered_at: self.state.delivered_at,
            ack_floor: self.state.floor,
            acked_at: self.state.acked_at,
            num_ack_pending: self.state.pending.len(),
            num_redelivered,
            num_waiting,
            num_pending: self.state.num_pending,
            pause_remaining: self
                .settings
                .pause_until
                .and_then(|until| until.checked_sub(now))
                .filter(|left| *left > 0),
            push_bound,
            held_by: self.hold(now),
            priority_group: group.map(|group| PriorityGroupInfo { group: group.clone(), pinned }),
        }
    }
}
