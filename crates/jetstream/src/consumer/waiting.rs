//! The requests that wait for messages, in the order in which they are served.

use super::event::Context;
use super::request::Asked;
use std::collections::VecDeque;

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Where messages go.
    pub reply: Box<[u8]>,
    /// The subject that must have interest: `reply`, or where it leads across accounts.
    pub interest: Option<Box<[u8]>>,
    /// Messages left; can be less than 1 from the beginning.
    pub left: i64,
    /// Bytes left; 0: not limited.
    pub bytes_left: i64,
    /// Messages that it got.
    pub delivered: u64,
    pub no_wait: bool,
    /// When it ends, nanoseconds since 1970.
    pub expires: Option<i64>,
    /// The interval of heartbeats, and when the next is due.
    pub heartbeat: Option<(i64, i64)>,
    pub priority: RequestPriority,
    /// The call in which interest was looked for last.
    pub looked: u64,
}

/// What a request says about its priority.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestPriority {
    pub group: Option<Box<str>>,
    pub pin: Option<Box<str>>,
    pub min_pending: i64,
    pub min_ack_pending: i64,
    pub number: i64,
}

impl Waiting {
    pub fn new(asked: Asked, reply: &[u8], interest: Option<&[u8]>, now: i64) -> Self {
        let mut waiting = Self {
            reply: reply.into(),
            interest: interest.filter(|interest| *interest != reply).map(Into::into),
            left: 1,
            bytes_left: 0,
            delivered: 0,
            no_wait: false,
            expires: None,
            heartbeat: None,
            // What is not a document comes last.
            priority: RequestPriority { number: i64::MAX, ..RequestPriority::default() },
            looked: 0,
        };
        let request = match asked {
            Asked::Batch(batch) => {
                waiting.left = batch;
                return waiting;
            }
            Asked::Document(request) => request,
        };
        let named = |name: &str| (!name.is_empty()).then(|| name.into());
        waiting.left = request.batch;
        waiting.bytes_left = request.max_bytes.max(0);
        waiting.no_wait = request.no_wait;
        waiting.expires = (request.expires.0 != 0).then(|| now.saturating_add(request.expires.0));
        let interval = request.idle_heartbeat.0;
        waiting.heartbeat = (interval > 0).then(|| (interval, now.saturating_add(interval)));
        waiting.priority = RequestPriority {
            group: named(&request.priority.group),
            pin: named(&request.priority.id),
            min_pending: request.priority.min_pending,
            min_ack_pending: request.priority.min_ack_pending,
            number: request.priority.priority,
        };
        waiting
    }

    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Whether somebody still listens for its messages.
    pub fn has_interest(&self, ctx: &mut Context<'_>) -> bool {
        ctx.host.has_interest(self.interest.as_deref().unwrap_or(&self.reply))
    }

    /// When something is to be done for it, if no message comes.
    fn due(&self) -> Option<i64> {
        let heartbeat = self.heartbeat.map(|(_, at)| at);
        self.expires.into_iter().chain(heartbeat).min()
    }

    fn pending_headers(&self) -> [(&'static str, i64); 2] {
        [("Nats-Pending-Messages", self.left), ("Nats-Pending-Bytes", self.bytes_left)]
    }

    /// Sends a status about it that says what it did not get.
    pub fn status(&self, ctx: &mut Context<'_>, code: u16, text: &str) {
        ctx.status_with(&self.reply, code, text, self.pending_headers());
    }
}

/// The queue. Its bound is the consumer's `max_waiting`.
#[derive(Clone, Debug, Default)]
pub(super) struct WaitQueue {
    queue: VecDeque<Waiting>,
    /// Requests that do not wait for messages that are not there.
    no_wait: usize,
    /// Not later than what any of them is due for.
    due: Option<i64>,
}

/// Where the consumer is, for heartbeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeartbeatNumbers {
    pub consumer_seq: u64,
    pub stream_seq: u64,
}

impl HeartbeatNumbers {
    pub fn headers(self) -> [(&'static str, i64); 2] {
        [("Nats-Last-Consumer", self.consumer_seq as i64), ("Nats-Last-Stream", self.stream_seq as i64)]
    }
}

impl WaitQueue {
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn front(&self) -> Option<&Waiting> {
        self.queue.front()
    }

    pub fn front_mut(&mut self) -> Option<&mut Waiting> {
        self.queue.front_mut()
    }

    pub fn deadline(&self) -> Option<i64> {
        self.due
    }

    /// Adds one at the end.
    pub fn push(&mut self, request: Waiting) {
        self.note(&request);
        self.queue.push_back(request);
    }

    /// Adds one behind those of its number.
    pub fn push_by_number(&mut self, request: Waiting) {
        self.note(&request);
        let at = self.queue.partition_point(|other| other.priority.number <= request.priority.number);
        self.queue.insert(at, request);
    }

    fn note(&mut self, request: &Waiting) {
        self.no_wait += usize::from(request.no_wait);
        self.due = self.due.into_iter().chain(request.due()).min();
    }

    /// Takes the first out.
    pub fn pop(&mut self) -> Option<Waiting> {
        let request = self.queue.pop_front()?;
        self.no_wait -= usize::from(request.no_wait);
        Some(request)
    }

    /// Puts the first at the end.
    pub fn cycle(&mut self) {
        if self.queue.len() > 1 {
            self.queue.rotate_left(1);
        }
    }

    /// Puts the first behind those of its number.
    pub fn cycle_by_number(&mut self) {
        if let Some(request) = self.queue.pop_front() {
            let at = self.queue.partition_point(|other| other.priority.number <= request.priority.number);
            self.queue.insert(at, request);
        }
    }

    /// Takes all out.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        (self.no_wait, self.due) = (0, None);
        self.queue.drain(..)
    }

    /// Whether `process` would find something to do, besides interest that is gone.
    pub fn needs_processing(&self, now: i64, at_end: bool) -> bool {
        self.due.is_some_and(|due| due <= now) || (at_end && self.no_wait > 0)
    }

    /// Ends those that are over, sends heartbeats, drops those that nobody listens for. `at_end`: all messages that are there were delivered.
    /// Returns how many messages the others still ask for.
    pub fn process(&mut self, ctx: &mut Context<'_>, at_end: bool, numbers: HeartbeatNumbers) -> i64 {
        let now = ctx.now;
        let mut asked = 0_i64;
        let mut due: Option<i64> = None;
        self.queue.retain_mut(|request| {
            if request.is_expired(now) {
                request.status(ctx, 408, "Request Timeout");
                return false;
            }
            if at_end && request.no_wait && (request.expires.is_none() || request.delivered > 0) {
                ctx.status(&request.reply, 404, format_args!("No Messages"));
                return false;
            }
            if !request.has_interest(ctx) {
                return false;
            }
            asked = asked.saturating_add(request.left);
            if let Some((interval, at)) = &mut request.heartbeat
                && *at <= now
            {
                ctx.status_with(&request.reply, 100, "Idle Heartbeat", numbers.headers());
                *at = now.saturating_add(*interval);
            }
            due = due.into_iter().chain(request.due()).min();
            true
        });
        self.no_wait = self.queue.iter().filter(|request| request.no_wait).count();
        self.due = due;
        asked
    }
}
