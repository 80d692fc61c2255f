//! The half of a consumer that sends by itself: whether somebody listens, heartbeats, flow control.

use super::event::{Context, Event, Status};
use super::machine::{Consumer, Demand};
use super::reply::Prefixes;
use super::settings::{AckPolicy, PushSettings};
use super::waiting::HeartbeatNumbers;

/// Bytes that may be on the way to receivers that use flow control, at most.
const WINDOW_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The same at the beginning: it doubles with each answer.
const WINDOW_BYTES_FIRST: u64 = WINDOW_BYTES_MAX / 16;

/// How long it rests first where much waits for its receiver: twice as long each time until something goes. Nanoseconds.
const REST: i64 = 3_000_000;
/// How often that doubles.
const REST_DOUBLED_MAX: u32 = 5;

/// Nothing of it is kept over a restart.
#[derive(Clone, Debug)]
pub(super) struct Push {
    /// Where messages go.
    pub to: Box<[u8]>,
    /// Somebody listens on the deliver subject.
    pub is_active: bool,
    /// When the next heartbeat is due.
    heartbeat_at: Option<i64>,
    window: Window,
    /// It rests until then, since much waits for its receiver to read.
    rest_until: Option<i64>,
    /// How often in a row.
    rests: u32,
}

/// What flow control knows.
#[derive(Clone, Debug)]
struct Window {
    /// Bytes that may be sent beyond what was answered for.
    bytes: u64,
    /// Bytes that were sent beyond what was answered for.
    sent: u64,
    /// The question that is not answered yet, and the bytes that its answer stands for.
    asked: Option<Box<(Box<[u8]>, u64)>>,
}

impl Push {
    pub fn new(to: Box<[u8]>, settings: &PushSettings, now: i64) -> Self {
        let window = Window { bytes: WINDOW_BYTES_FIRST, sent: 0, asked: None };
        let mut push = Self { to, is_active: false, heartbeat_at: None, window, rest_until: None, rests: 0 };
        push.restart_heartbeat(settings, now);
        push
    }

    pub fn deadline(&self) -> Option<i64> {
        self.heartbeat_at.into_iter().chain(self.rest_until).min()
    }

    /// Whether it rests at this time.
    pub fn is_resting(&self, now: i64) -> bool {
        self.rest_until.is_some_and(|until| until > now)
    }

    /// It may go on.
    pub fn wake(&mut self) {
        self.rest_until = None;
    }

    pub fn restart_heartbeat(&mut self, settings: &PushSettings, now: i64) {
        self.heartbeat_at = settings.idle_heartbeat.map(|interval| now.saturating_add(interval));
    }

    /// Whether receivers have as much on the way as they may.
    pub fn is_stalled(&self, settings: &PushSettings) -> bool {
        settings.flow_control && self.window.sent > self.window.bytes
    }

    /// A message was sent. `full`: as many messages wait for acknowledgements as may.
    pub fn sent(
        &mut self,
        ctx: &mut Context<'_>,
        settings: &PushSettings,
        bytes: u64,
        question: Question<'_>,
    ) {
        self.restart_heartbeat(settings, ctx.now);
        self.rests = 0;
        if !settings.flow_control {
            return;
        }
        self.window.sent += bytes;
        match self.window.asked.as_deref_mut() {
            None if self.window.sent > self.window.bytes / 2 || question.is_full => {
                self.ask(ctx, question.prefixes)
            }
            Some((_, stands_for)) if self.window.sent - *stands_for >= self.window.bytes => {
                *stands_for += bytes
            }
            _ => {}
        }
    }

    /// Asks receivers whether they keep up.
    fn ask(&mut self, ctx: &mut Context<'_>, prefixes: &Prefixes) {
        let mut reply = prefixes.flow_control();
        let mut random = ctx.host.random();
        for _ in 0..4 {
            const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            reply.push(DIGITS[(random % 62) as usize]);
            random /= 62;
        }
        ctx.host.event(Event::Status(Status {
            to: &self.to,
            reply: Some(&reply),
            code: 100,
            head: b"NATS/1.0 100 FlowControl Request\r\n\r\n",
        }));
        self.window.asked = Some(Box::new((reply.into(), self.window.sent)));
    }

    /// An answer came. False if it answers another question.
    pub fn answered(&mut self, subject: &[u8]) -> bool {
        let Some(asked) = self.window.asked.take_if(|asked| *asked.0 == *subject) else { return false };
        let (_, stands_for) = *asked;
        self.window.bytes = (self.window.bytes * 2).min(WINDOW_BYTES_MAX);
        self.window.sent = self.window.sent.saturating_sub(stands_for);
        true
    }

    /// Sends a heartbeat if one is due.
    pub fn expire(
        &mut self,
        ctx: &mut Context<'_>,
        settings: &PushSettings,
        numbers: HeartbeatNumbers,
        waits: Waits<'_>,
    ) {
        if self.heartbeat_at.is_none_or(|at| at > ctx.now) {
            return;
        }
        self.restart_heartbeat(settings, ctx.now);
        if !self.is_active {
            return;
        }
        let mut head = format!(
            "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {}\r\nNats-Last-Stream: {}\r\n",
            numbers.consumer_seq, numbers.stream_seq
        )
        .into_bytes();
        if let Some((asked, _)) = self.window.asked.as_deref() {
            head.extend_from_slice(b"Nats-Consumer-Stalled: ");
            head.extend_from_slice(asked);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        ctx.host.event(Event::Status(Status { to: &self.to, reply: None, code: 100, head: &head }));
        // What waits is acknowledged by answers, so there must be a question.
        if waits.ack == AckPolicy::FlowControl && !waits.is_empty && self.window.asked.is_none() {
            self.ask(ctx, waits.prefixes);
        }
    }
}

impl Consumer {
    /// Where it sends to by itself, if somebody listens there.
    pub fn pushes_to(&self) -> Option<&[u8]> {
        match &self.demand {
            Demand::Push(push) if push.is_active => Some(&push.to),
            _ => None,
        }
    }

    /// Much waits for its receiver to read: it rests for a while, though what comes again is due.
    pub fn rest(&mut self, now: i64) {
        if let Demand::Push(push) = &mut self.demand
            && !push.is_resting(now)
        {
            push.rest_until = Some(now.saturating_add(REST << push.rests));
            push.rests = (push.rests + 1).min(REST_DOUBLED_MAX);
        }
    }
}

/// What a question needs.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// Acknowledgements come by answers, and as many messages wait for them as may.
    pub is_full: bool,
    pub prefixes: &'a Prefixes,
}

/// What waits for acknowledgements.
#[derive(Clone, Copy)]
pub(super) struct Waits<'a> {
    pub ack: AckPolicy,
    pub is_empty: bool,
    pub prefixes: &'a Prefixes,
}
