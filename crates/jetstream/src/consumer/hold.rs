//! Why a consumer delivers nothing though somebody waits for messages: a reason that its configuration or its clients have.

use super::keys::PARKED_MAX;
use super::letters::WAITING_MAX;
use super::machine::{Consumer, Demand};
use super::settings::{AckPolicy, Mode, Priority};

/// What holds a consumer up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// It is paused.
    Paused,
    /// As many messages wait for acknowledgements as may (`max_ack_pending`).
    AckPending,
    /// All messages are parked behind others of their keys.
    Keys,
    /// Too many dead letters wait to be stored.
    DeadLetters,
    /// The rate limit, or the pace of the replay.
    Rate,
    /// Receivers have not answered flow control.
    FlowControl,
    /// Much waits for its receiver to read.
    Receiver,
    /// The requests that wait are not served yet by its priority policy.
    Priority,
    /// Messages are not on disk yet, or are being read from it.
    Disk,
    /// The account has no JetStream at present.
    Off,
}

impl Hold {
    /// The word that figures show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::AckPending => "max_ack_pending",
            Self::Keys => "order_by",
            Self::DeadLetters => "dead_letters",
            Self::Rate => "rate_limit",
            Self::FlowControl => "flow_control",
            Self::Receiver => "slow_receiver",
            Self::Priority => "priority",
            Self::Disk => "disk",
            Self::Off => "off",
        }
    }
}

impl Consumer {
    /// What holds it up at a time, as far as it knows itself.
    pub(super) fn hold(&self, now: i64) -> Option<Hold> {
        if self.settings.pause_until.is_some_and(|until| until > now) {
            return Some(Hold::Paused);
        }
        if self.paced_until.is_some_and(|until| until > now) {
            return Some(Hold::Rate);
        }
        match (&self.demand, &self.settings.mode) {
            (Demand::Push(push), Mode::Push(settings)) if push.is_stalled(settings) => {
                return Some(Hold::FlowControl);
            }
            (Demand::Push(push), _) if push.is_resting(now) => return Some(Hold::Receiver),
            (Demand::Pull(_), Mode::Pull(settings))
                if matches!(settings.priority, Priority::Overflow { .. } | Priority::PinnedClient { .. }) =>
            {
                return Some(Hold::Priority);
            }
            _ => {}
        }
        if self.state.pending.ready() > 0 {
            return None;
        }
        let waits = self.state.pending.len();
        if self.settings.ack != AckPolicy::None
            && self.settings.ack_pending_max.is_some_and(|max| waits >= max)
        {
            return Some(Hold::AckPending);
        }
        if self.dead_letters() >= WAITING_MAX {
            return Some(Hold::DeadLetters);
        }
        let parked = self.state.parked_len();
        let is_parked = parked >= PARKED_MAX || parked > 0 && parked as u64 == self.state.num_pending;
        (is_parked && waits > 0).then_some(Hold::Keys)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::*;
    use super::*;
    use crate::config::KeyTokens;

    #[track_caller]
    fn check(settings: Settings, messages: usize, now: i64, expected: Option<Hold>) {
        let mut bench = Bench::new(settings, MapLog::default());
        bench.work(|consumer, ctx| consumer.set_interest(ctx, true));
        for _ in 0..messages {
            bench.store("s.a");
        }
        bench.pull("9");
        assert_eq!(bench.consumer.info_at(now).held_by, expected);
    }

    #[test]
    fn what_holds_a_consumer_up_has_a_name() {
        check(pull_settings(), 2, 0, None);
        let paused = Settings { pause_until: Some(10), ..pull_settings() };
        check(paused.clone(), 2, 9, Some(Hold::Paused));
        check(paused, 2, 10, None);
        check(Settings { ack_pending_max: Some(2), ..pull_settings() }, 3, 0, Some(Hold::AckPending));
        check(Settings { ack_pending_max: Some(2), ..pull_settings() }, 1, 0, None);
        let order_by = KeyTokens::parse("2").ok();
        check(Settings { order_by: order_by.clone(), ..pull_settings() }, 3, 0, Some(Hold::Keys));
        check(Settings { order_by, ..pull_settings() }, 1, 0, None);
        let Mode::Push(push) = push_settings().mode else { panic!("a push consumer") };
        let rate_limit = Some(RateLimit { bits_per_second: 8, burst_bytes: 60 });
        let limited = Mode::Push(PushSettings { rate_limit, ..push });
        check(Settings { mode: limited, ..pull_settings() }, 9, 0, Some(Hold::Rate));
    }
}
