//! What all loads have in common: they are opened once, then run one or more times, and tell what they carried.

use super::histogram::Histogram;
use super::progress::Progress;
use super::stop::Stop;
use anyhow::Result;
use std::time::Duration;

/// A load whose connections are open.
pub trait Load {
    /// Applies the load until `stop`, then waits until everything sent has arrived.
    ///
    /// Errors: something did not arrive, or the server reported an error.
    fn run(&mut self, stop: Stop, progress: &mut Progress) -> Result<Carried>;
}

/// What a run carried. A message that goes to several subscribers is delivered several times.
#[derive(Clone, Default)]
pub struct Carried {
    /// Messages sent by the generator.
    pub published: u64,
    /// Messages received by the generator.
    pub delivered: u64,
    /// What costs are shared out over: deliveries where there are subscribers, else publishes; requests; cycles.
    pub messages: u64,
    /// Payload bytes of those messages.
    pub payload_bytes: u64,
    /// Idle connections held open meanwhile.
    pub idle: u64,
    /// From the first message sent to the last one received.
    pub elapsed: Duration,
    /// How long messages or requests were under way, where the load measures it.
    pub latency: Option<Histogram>,
}

impl Carried {
    /// Messages a second.
    pub fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Payload bytes a second.
    pub fn payload_rate(&self) -> f64 {
        self.payload_bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}
