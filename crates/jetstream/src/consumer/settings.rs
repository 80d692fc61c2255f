//! A consumer's configuration as its machine needs it: parsed, in nanoseconds, what is none as `None`.

use super::log::Filters;
pub use crate::config::AckPolicy;
use crate::config::{ConsumerConfig, DeliverPolicy, KeyTokens, PriorityPolicy, ReplayPolicy, beyond};
use crate::time::Nanos;

/// Requests that may wait where the configuration says nothing.
const WAITING_MAX_DEFAULT: usize = 512;

/// What a consumer does.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who asks for messages.
    pub mode: Mode,
    /// Where it begins.
    pub start: StartAt,
    /// Which messages are for it.
    pub filters: Filters,
    /// What has to be acknowledged.
    pub ack: AckPolicy,
    /// How long it waits for acknowledgements, and how often it tries.
    pub retry: Retry,
    /// Messages that may wait for acknowledgements. `None`: any number.
    pub ack_pending_max: Option<usize>,
    /// Messages come in the pace in which they were stored.
    pub replay_original: bool,
    /// Only headers are delivered, with the size of the payload.
    pub headers_only: bool,
    /// Of messages with the same tokens there, one is in flight at a time.
    pub order_by: Option<KeyTokens>,
    /// Where messages go that are given up.
    pub dead_letter: Option<Box<[u8]>>,
    /// How many acknowledgements of a hundred are reported.
    pub sample_percent: u8,
    /// It is deleted after so many nanoseconds without use. `None`: never.
    pub inactive_threshold: Option<i64>,
    /// Nothing is delivered until then, nanoseconds since 1970.
    pub pause_until: Option<i64>,
    /// The stream needs to know which messages are no longer needed (interest and work-queue retention).
    pub settles: bool,
}

/// What a consumer's configuration does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The stream keeps messages as long as its consumers need them.
    pub settles: bool,
    /// Bytes of the largest message that may come.
    pub message_bytes_max: u64,
}

impl Settings {
    /// Of a configuration that was checked.
    pub fn of(config: &ConsumerConfig, surroundings: Surroundings) -> Self {
        let mode = if config.is_pull() {
            Mode::Pull(PullSettings::of(config))
        } else {
            Mode::Push(PushSettings::of(config, surroundings))
        };
        let sample = config.sample_freq.strip_suffix('%').unwrap_or(&config.sample_freq);
        Self {
            mode,
            start: StartAt::of(config),
            filters: Filters::new(config.filters().map(str::as_bytes)),
            ack: config.ack_policy,
            retry: Retry {
                // Answers to flow control are not waited for: what they leave out is asked for by a reset.
                ack_wait: match config.ack_policy {
                    AckPolicy::FlowControl if config.ack_wait.0 <= 0 => i64::MAX,
                    _ => config.ack_wait.0,
                },
                backoff: config.backoff.iter().map(|wait| wait.0).collect(),
                deliver_max: u32::try_from(config.max_deliver).ok().filter(|max| *max > 0),
            },
            ack_pending_max: usize::try_from(config.max_ack_pending).ok().filter(|max| *max > 0),
            replay_original: config.replay_policy == ReplayPolicy::Original,
            headers_only: config.headers_only,
            order_by: beyond::order_by(config),
            dead_letter: beyond::dead_letter(config).map(|subject| subject.as_bytes().into()),
            sample_percent: sample.trim().parse().unwrap_or(0),
            inactive_threshold: positive(config.inactive_threshold),
            pause_until: config.pause_until.map(crate::time::Time::unix_nanos),
            settles: surroundings.settles,
        }
    }
}

impl Settings {
    /// Takes out what is a consumer's own, so that the rest may be that of others, too: its filters and where it delivers.
    pub(super) fn take_own(&mut self) -> (Filters, Box<[u8]>) {
        let to = match &mut self.mode {
            Mode::Push(push) => std::mem::take(&mut push.deliver_subject),
            Mode::Pull(_) => Box::default(),
        };
        (std::mem::take(&mut self.filters), to)
    }
}

/// What is more than nothing.
fn positive(duration: Nanos) -> Option<i64> {
    Some(duration.0).filter(|nanoseconds| *nanoseconds > 0)
}

/// Who asks for messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// Clients, by requests.
    Pull(PullSettings),
    /// Nobody: they are sent while somebody listens.
    Push(PushSettings),
}

/// Of a consumer that is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSettings {
    /// Requests that may wait.
    pub waiting_max: usize,
    /// Messages that a request may ask for. `None`: any number.
    pub batch_max: Option<i64>,
    /// Nanoseconds that a request may wait.
    pub expires_max: Option<i64>,
    /// Bytes that a request may ask for.
    pub bytes_max: Option<i64>,
    /// Who gets messages first.
    pub priority: Priority,
}

impl PullSettings {
    fn of(config: &ConsumerConfig) -> Self {
        let positive_number = |number: i64| Some(number).filter(|number| *number > 0);
        let groups = || config.priority_groups.iter().map(|group| group.as_str().into()).collect();
        Self {
            waiting_max: usize::try_from(config.max_waiting)
                .ok()
                .filter(|max| *max > 0)
                .unwrap_or(WAITING_MAX_DEFAULT),
            batch_max: positive_number(config.max_batch),
            expires_max: positive(config.max_expires),
            bytes_max: positive_number(config.max_bytes),
            priority: match config.priority_policy {
                PriorityPolicy::None => Priority::None,
                PriorityPolicy::Overflow => Priority::Overflow { groups: groups() },
                PriorityPolicy::PinnedClient => {
                    Priority::PinnedClient { groups: groups(), timeout: config.priority_timeout.0 }
                }
                PriorityPolicy::Prioritized => Priority::Prioritized { groups: groups() },
            },
        }
    }
}

/// Which request is served first.
#[derive(Clone, Debug, PartialEq)]
pub enum Priority {
    /// The one that waits longest.
    None,
    /// Requests are served once their thresholds are reached.
    Overflow {
        /// Names of the groups.
        groups: Box<[Box<str>]>,
    },
    /// One client is served until it goes away.
    PinnedClient {
        /// Names of the groups.
        groups: Box<[Box<str>]>,
        /// Nanoseconds without a request after which another client is chosen.
        timeout: i64,
    },
    /// The one of the lowest number.
    Prioritized {
        /// Names of the groups.
        groups: Box<[Box<str>]>,
    },
}

impl Priority {
    /// Names of the groups.
    pub fn groups(&self) -> &[Box<str>] {
        match self {
            Self::None => &[],
            Self::Overflow { groups } | Self::PinnedClient { groups, .. } | Self::Prioritized { groups } => {
                groups
            }
        }
    }
}

/// Of a consumer that sends.
#[derive(Clone, Debug, PartialEq)]
pub struct PushSettings {
    /// Where messages go.
    pub deliver_subject: Box<[u8]>,
    /// Queue group of those who listen.
    pub deliver_group: Option<Box<[u8]>>,
    /// Nanoseconds without a message after which a heartbeat is sent.
    pub idle_heartbeat: Option<i64>,
    /// Receivers are asked from time to time whether they keep up.
    pub flow_control: bool,
    /// Bits a second, and the bytes that may come at once.
    pub rate_limit: Option<RateLimit>,
}

impl PushSettings {
    fn of(config: &ConsumerConfig, surroundings: Surroundings) -> Self {
        let group = Some(config.deliver_group.as_bytes()).filter(|group| !group.is_empty());
        Self {
            deliver_subject: config.deliver_subject.as_bytes().into(),
            deliver_group: group.map(Into::into),
            idle_heartbeat: positive(config.idle_heartbeat),
            flow_control: config.flow_control,
            rate_limit: (config.rate_limit_bps > 0).then_some(RateLimit {
                bits_per_second: config.rate_limit_bps,
                burst_bytes: surroundings.message_bytes_max,
            }),
        }
    }
}

/// How fast messages may be sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Bits a second, at least 1.
    pub bits_per_second: u64,
    /// Bytes that may come at once: the largest message.
    pub burst_bytes: u64,
}

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// At the first message.
    All,
    /// At the last message.
    Last,
    /// Behind the last message.
    New,
    /// At a sequence.
    BySequence(u64),
    /// At a time, nanoseconds since 1970.
    ByTime(i64),
    /// At the last message of each subject.
    LastPerSubject,
}

impl StartAt {
    fn of(config: &ConsumerConfig) -> Self {
        match config.deliver_policy {
            DeliverPolicy::All => Self::All,
            DeliverPolicy::Last => Self::Last,
            DeliverPolicy::New => Self::New,
            DeliverPolicy::ByStartSequence => Self::BySequence(config.opt_start_seq),
            DeliverPolicy::ByStartTime => {
                Self::ByTime(config.opt_start_time.map_or(0, crate::time::Time::unix_nanos))
            }
            DeliverPolicy::LastPerSubject => Self::LastPerSubject,
        }
    }
}

/// How long a consumer waits for acknowledgements, and how often it tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Nanoseconds until a message that is not acknowledged is delivered again.
    pub ack_wait: i64,
    /// The same by the number of deliveries, instead of `ack_wait`. The last stands for all further ones.
    pub backoff: Box<[i64]>,
    /// How often a message is delivered. `None`: without end.
    pub deliver_max: Option<u32>,
}

impl Retry {
    /// Nanoseconds to wait after that many deliveries.
    pub fn wait(&self, deliveries: u32) -> i64 {
        let step = (deliveries.max(1) - 1) as usize;
        self.backoff.get(step).or(self.backoff.last()).copied().unwrap_or(self.ack_wait)
    }

    /// Whether a message that was delivered so often has had its last delivery.
    pub fn is_exhausted(&self, deliveries: u32) -> bool {
        self.deliver_max.is_some_and(|max| deliveries >= max)
    }
}
