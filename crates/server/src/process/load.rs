//! How busy the process is.

use super::cpu_seconds;
use parking_lot::Mutex;
use serde_json::Value;
use std::time::Instant;

/// Seconds that a figure stands for at least; until they have passed the one before is shown.
const SPAN_SECONDS_MIN: f64 = 1.0;

/// The share of a processor that is used, measured between questions.
pub(crate) struct Load(Mutex<Sample>);

struct Sample {
    at: Instant,
    cpu_seconds: f64,
    percent: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self(Mutex::new(Sample { at: Instant::now(), cpu_seconds: cpu_seconds(), percent: 0.0 }))
    }
}

impl Load {
    /// Percent of one processor since it was asked for last, but at least a second ago; to a tenth, without a point
    /// where there is no fraction.
    pub(crate) fn percent(&self) -> Value {
        let mut sample = self.0.lock();
        let span = sample.at.elapsed().as_secs_f64();
        if span >= SPAN_SECONDS_MIN {
            let now = cpu_seconds();
            sample.percent = ((now - sample.cpu_seconds) / span * 1000.0).round() / 10.0;
            sample.cpu_seconds = now;
            sample.at = Instant::now();
        }
        if sample.percent.fract() == 0.0 { (sample.percent as u64).into() } else { sample.percent.into() }
    }
}
