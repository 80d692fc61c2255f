//! The half of a consumer that clients ask: requests come in, wait, and are chosen for messages.

use super::event::{Advisory, Context};
use super::request::Asked;
use super::settings::{Priority, PullSettings};
use super::waiting::{HeartbeatNumbers, WaitQueue, Waiting};
use crate::api::NextRequest;
use crate::time::Nanos;

/// Nanoseconds between two looks for requests that nobody listens for any more, when the queue is full.
const FULL_LOOK_INTERVAL: i64 = 1_000_000_000;

/// Requests, and who is served alone. Nothing of it is kept over a restart.
#[derive(Clone, Debug, Default)]
pub(super) struct Pull {
    pub waiting: WaitQueue,
    pin: Option<Box<Pin>>,
    looked_at: i64,
    round: u64,
}

/// A client that is served alone.
#[derive(Clone, Debug)]
pub(super) struct Pin {
    pub id: Box<str>,
    pub group: Box<str>,
    /// Since when, nanoseconds since 1970.
    pub since: i64,
    expires: i64,
}

/// What the choice of a request depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Messages pending, the one to deliver included.
    pub pending: u64,
    /// Messages that wait for acknowledgements.
    pub ack_pending: usize,
    /// Bytes of the message.
    pub bytes: usize,
}

/// What a delivery did to the request it was for.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// Its reply subject, if the request is over: nobody else has it then.
    pub over: Option<Waiting>,
}

/// What is known of the consumer when a request comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Messages that could be delivered now or after acknowledgements: new ones, and those to come again.
    pub pending: u64,
    pub numbers: HeartbeatNumbers,
}

impl Pull {
    /// The client that is served alone.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_deref()
    }

    pub fn deadline(&self) -> Option<i64> {
        self.waiting.deadline().into_iter().chain(self.pin.as_ref().map(|pin| pin.expires)).min()
    }

    /// Begins a new look for interest.
    pub fn next_round(&mut self) {
        self.round += 1;
    }

    /// Ends the pin when its time is over.
    pub fn expire(&mut self, ctx: &mut Context<'_>) {
        if self.pin.as_ref().is_some_and(|pin| pin.expires <= ctx.now) {
            self.unpin(ctx, "timeout");
        }
    }

    /// Ends the pin. False if there is none.
    pub fn unpin(&mut self, ctx: &mut Context<'_>, reason: &str) -> bool {
        let Some(pin) = self.pin.take() else { return false };
        ctx.advise(Advisory::Unpinned { group: &pin.group, reason });
        true
    }

    /// Takes a request in, or answers why not.
    pub fn request(
        &mut self,
        ctx: &mut Context<'_>,
        settings: &PullSettings,
        known: Known,
        (reply, interest): (&[u8], Option<&[u8]>),
        payload: &[u8],
    ) {
        let asked = match Asked::parse(payload) {
            Ok(asked) => asked,
            Err(reason) => return ctx.status(reply, 400, format_args!("Bad Request - {reason}")),
        };
        let refused = match &asked {
            Asked::Batch(batch) => limit_batch(*batch, settings),
            Asked::Document(request) => {
                limits(request, settings).and_then(|()| self.priorities(ctx.now, request, settings))
            }
        };
        if let Err((code, text)) = refused {
            return ctx.status(reply, code, format_args!("{text}"));
        }
        if self.is_full(settings) && ctx.now.saturating_sub(self.looked_at) > FULL_LOOK_INTERVAL {
            self.looked_at = ctx.now;
            self.waiting.process(ctx, false, known.numbers);
        }
        let waiting = Waiting::new(asked, reply, interest, ctx.now);
        if let Err((code, text)) = self.no_wait(ctx, &waiting, known) {
            return ctx.status(reply, code, format_args!("{text}"));
        }
        if self.is_full(settings) {
            // Who has heartbeats notices by their lack: an answer would make it ask again at once, in a hot loop.
            if waiting.heartbeat.is_none() {
                ctx.status(reply, 409, format_args!("Exceeded MaxWaiting"));
            }
            return;
        }
        match settings.priority {
            Priority::Prioritized { .. } => self.waiting.push_by_number(waiting),
            _ => self.waiting.push(waiting),
        }
    }

    fn is_full(&self, settings: &PullSettings) -> bool {
        self.waiting.len() >= settings.waiting_max
    }

    /// Refuses a request that does not wait when nothing is there for it.
    fn no_wait(
        &mut self,
        ctx: &mut Context<'_>,
        request: &Waiting,
        known: Known,
    ) -> Result<(), (u16, &'static str)> {
        if !request.no_wait {
            return Ok(());
        }
        if known.pending == 0 {
            return if request.expires.is_none() { Err((404, "No Messages")) } else { Ok(()) };
        }
        if self.waiting.is_empty() {
            return Ok(());
        }
        let asked = self.waiting.process(ctx, false, known.numbers);
        if known.pending < asked.max(0).unsigned_abs() { Err((408, "Requests Pending")) } else { Ok(()) }
    }

    /// Checks what a request says about priorities.
    fn priorities(
        &mut self,
        now: i64,
        request: &NextRequest,
        settings: &PullSettings,
    ) -> Result<(), (u16, String)> {
        let bad = |text: &str| Err((400, format!("Bad Request - {text}")));
        let asked = &request.priority;
        let is_overflow = matches!(settings.priority, Priority::Overflow { .. });
        if (asked.min_pending != 0 || asked.min_ack_pending != 0) && !is_overflow {
            return bad("Not a Overflow Priority consumer");
        }
        if !asked.id.is_empty() && !matches!(settings.priority, Priority::PinnedClient { .. }) {
            return bad("Not a Pinned Client Priority consumer");
        }
        if !(0..=9).contains(&asked.priority) {
            return bad("Priority must be between 0 and 9");
        }
        if matches!(settings.priority, Priority::None) {
            return Ok(());
        }
        if asked.group.is_empty() {
            return bad("Priority Group missing");
        }
        if !settings.priority.groups().iter().any(|group| **group == asked.group) {
            return bad("Invalid Priority Group");
        }
        if let Some(pin) = self.pin.as_mut().filter(|_| !asked.id.is_empty()) {
            if *pin.id != asked.id {
                return Err((423, "Nats-Pin-Id mismatch".into()));
            }
            pin.expires = now.saturating_add(pin_timeout(settings));
        }
        Ok(())
    }

    /// Chooses the request for a message: the first of the queue when it returns true. Those that are over or gone are ended on the way.
    pub fn choose(&mut self, ctx: &mut Context<'_>, settings: &PullSettings, load: Load) -> bool {
        let is_pinning = matches!(settings.priority, Priority::PinnedClient { .. });
        let mut cycled = 0;
        while let Some(front) = self.waiting.front_mut() {
            if front.is_expired(ctx.now) {
                self.end(ctx, Some((408, "Request Timeout")));
                continue;
            }
            if front.looked != self.round {
                front.looked = self.round;
                if !front.has_interest(ctx) {
                    let status = front.interest.is_some().then_some((408, "Interest Expired"));
                    self.end(ctx, status);
                    continue;
                }
            }
            if is_pinning {
                match (&self.pin, &front.priority.pin) {
                    (Some(pin), Some(id)) if pin.id == *id => {}
                    (_, Some(_)) => {
                        self.end(ctx, Some((423, "Nats-Wrong-Pin-Id")));
                        continue;
                    }
                    (Some(_), None) => {
                        if self.pass_over(&mut cycled, settings) {
                            continue;
                        } else {
                            return false;
                        }
                    }
                    (None, None) => {}
                }
            }
            if is_below_thresholds(front, settings, load) {
                if self.pass_over(&mut cycled, settings) { continue } else { return false }
            }
            if front.bytes_left > 0 {
                let bytes = i64::try_from(load.bytes).unwrap_or(i64::MAX);
                if bytes > front.bytes_left {
                    self.end(ctx, Some((409, "Message Size Exceeds MaxBytes")));
                    continue;
                }
                front.bytes_left -= bytes;
                if front.bytes_left == 0 {
                    front.left = 1;
                }
            }
            if is_pinning && self.pin.is_none() {
                self.pin_front(ctx, settings);
            }
            return true;
        }
        false
    }

    /// Goes on to the next request. False once all were looked at.
    fn pass_over(&mut self, cycled: &mut usize, settings: &PullSettings) -> bool {
        match settings.priority {
            Priority::Prioritized { .. } => self.waiting.cycle_by_number(),
            _ => self.waiting.cycle(),
        }
        *cycled += 1;
        *cycled < self.waiting.len()
    }

    /// Takes the first request out, with a last word.
    fn end(&mut self, ctx: &mut Context<'_>, status: Option<(u16, &str)>) {
        if let (Some(request), Some((code, text))) = (self.waiting.pop(), status) {
            request.status(ctx, code, text);
        }
    }

    /// From now on the client of the first request is served alone.
    fn pin_front(&mut self, ctx: &mut Context<'_>, settings: &PullSettings) {
        let Some(front) = self.waiting.front_mut() else { return };
        let Some(group) = front.priority.group.clone() else { return };
        let id: Box<str> = pin_id([ctx.host.random(), ctx.host.random(), ctx.host.random()]).into();
        front.priority.pin = Some(id.clone());
        ctx.advise(Advisory::Pinned { group: &group, id: &id });
        let expires = ctx.now.saturating_add(pin_timeout(settings));
        self.pin = Some(Box::new(Pin { id, group, since: ctx.now, expires }));
    }

    /// The first request got its message.
    pub fn delivered(&mut self, now: i64, settings: &PullSettings) -> Taken {
        let Some(front) = self.waiting.front_mut() else { return Taken { over: None } };
        front.delivered += 1;
        front.left = front.left.saturating_sub(1);
        if front.left <= 0 {
            return Taken { over: self.waiting.pop() };
        }
        if let Some((interval, at)) = &mut front.heartbeat {
            *at = now.saturating_add(*interval);
        }
        match settings.priority {
            Priority::Prioritized { .. } => self.waiting.cycle_by_number(),
            _ => self.waiting.cycle(),
        }
        Taken { over: None }
    }
}

/// What the consumer's configuration allows.
fn limits(request: &NextRequest, settings: &PullSettings) -> Result<(), (u16, String)> {
    limit_batch(request.batch, settings)?;
    if let Some(max) = settings.expires_max.filter(|max| request.expires.0 > *max) {
        return Err((409, format!("Exceeded MaxRequestExpires of {}", Nanos(max))));
    }
    if let Some(max) = settings.bytes_max.filter(|max| request.max_bytes > *max) {
        return Err((409, format!("Exceeded MaxRequestMaxBytes of {max}")));
    }
    Ok(())
}

fn limit_batch(batch: i64, settings: &PullSettings) -> Result<(), (u16, String)> {
    match settings.batch_max.filter(|max| batch > *max) {
        Some(max) => Err((409, format!("Exceeded MaxRequestBatch of {max}"))),
        None => Ok(()),
    }
}

/// Whether an overflow request still has to wait. One threshold that is reached is enough.
fn is_below_thresholds(request: &Waiting, settings: &PullSettings, load: Load) -> bool {
    if !matches!(settings.priority, Priority::Overflow { .. }) {
        return false;
    }
    let (pending, ack_pending) = (request.priority.min_pending, request.priority.min_ack_pending);
    let reached = |min: i64, value: u64| min > 0 && min.unsigned_abs() <= value;
    (pending > 0 || ack_pending > 0)
        && !reached(pending, load.pending)
        && !reached(ack_pending, load.ack_pending as u64)
}

/// Nanoseconds that a pin lasts without a request.
fn pin_timeout(settings: &PullSettings) -> i64 {
    match settings.priority {
        Priority::PinnedClient { timeout, .. } => timeout,
        _ => 0,
    }
}

/// 22 letters and digits of random numbers, as NATS's ids are.
fn pin_id(random: [u64; 3]) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digit = |at: usize| char::from(DIGITS[((random[at / 8] >> (at % 8 * 8)) as u8 % 62) as usize]);
    (0..22).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_ids_look_like_ids() {
        let id = pin_id([u64::MAX, 0, 0x0123_4567_89AB_CDEF]);
        assert_eq!((id.len(), id.bytes().all(|b| b.is_ascii_alphanumeric())), (22, true));
    }
}
