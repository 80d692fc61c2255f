//! How fast messages go: the rate limit, and the pace in which they were stored.

use super::settings::{Mode, RateLimit, Settings};

/// Steps shorter than this are no pause of a replay. Nanoseconds.
const REPLAY_STEP_MIN: i64 = 1_000_000;

/// When the next message may go. Nothing of it is kept over a restart.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    limit: Option<RateLimit>,
    /// When all that was sent is paid for by the rate: what was not used before then is a burst. Nanoseconds since 1970.
    paid_at: i64,
    replay: Option<Replay>,
}

/// A replay in the pace in which messages were stored.
#[derive(Clone, Debug)]
struct Replay {
    /// It ends here: what was stored later goes at once.
    last_seq: u64,
    /// When the last message was stored, and when it was sent.
    last: Option<(i64, i64)>,
}

impl Pace {
    /// Of a consumer that begins, or begins anew, while `last_seq` is the last message. `None`: all go at once.
    pub fn new(settings: &Settings, last_seq: u64) -> Option<Box<Self>> {
        let replay = settings.replay_original.then_some(Replay { last_seq, last: None });
        let limit = limit(settings);
        (limit.is_some() || replay.is_some()).then(|| Box::new(Self { limit, paid_at: i64::MIN, replay }))
    }

    /// Takes over another rate.
    pub fn update(pace: &mut Option<Box<Self>>, settings: &Settings) {
        let limit = limit(settings);
        match pace {
            Some(pace) => pace.limit = limit,
            None if limit.is_some() => {
                *pace = Some(Box::new(Self { limit, paid_at: i64::MIN, replay: None }))
            }
            None => {}
        }
    }

    /// When a message of so many bytes may go that was stored at `time`. `None`: now.
    pub fn wait(&self, bytes: u64, seq: u64, time: i64, now: i64) -> Option<i64> {
        let by_rate = self.limit.map(|limit| paid(limit, self.paid_at, bytes, now));
        let by_replay = self.replay.as_ref().filter(|replay| seq <= replay.last_seq).and_then(|replay| {
            let (stored, sent) = replay.last?;
            let step = time.saturating_sub(stored);
            (step > REPLAY_STEP_MIN).then(|| sent.saturating_add(step))
        });
        by_rate.into_iter().chain(by_replay).max().filter(|at| *at > now)
    }

    /// A message went.
    pub fn sent(&mut self, bytes: u64, seq: u64, time: i64, now: i64) {
        if let Some(limit) = self.limit {
            self.paid_at = paid(limit, self.paid_at, bytes, now);
        }
        if let Some(replay) = &mut self.replay {
            replay.last = Some((time, now));
            if seq >= replay.last_seq {
                self.replay = None;
            }
        }
    }
}

fn limit(settings: &Settings) -> Option<RateLimit> {
    match &settings.mode {
        Mode::Push(push) => push.rate_limit,
        Mode::Pull(_) => None,
    }
}

/// When a message is paid for, if all before is at `paid_at`. What is larger than the burst counts as that, or it would never go.
fn paid(limit: RateLimit, paid_at: i64, bytes: u64, now: i64) -> i64 {
    let cost = |bytes: u64| {
        let nanoseconds = u128::from(bytes) * 8_000_000_000 / u128::from(limit.bits_per_second.max(1));
        i64::try_from(nanoseconds).unwrap_or(i64::MAX)
    };
    let earliest = now.saturating_sub(cost(limit.burst_bytes));
    paid_at.max(earliest).saturating_add(cost(bytes.min(limit.burst_bytes.max(1))))
}
