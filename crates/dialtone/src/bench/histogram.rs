//! A histogram of durations with about 1.5 % resolution and a fixed size.

use std::time::Duration;

/// Linear steps within each power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Buckets for every `u64`.
const BUCKETS: usize = ((64 - STEP_BITS as usize) + 1) * STEPS as usize;

/// Counts of durations, by nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration, in nanoseconds.
    pub fn record(&mut self, nanos: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that the share `quantile` (0.0 to 1.0) of all counted ones does not exceed; zero when empty.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = ((self.total as f64) * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return Duration::from_nanos(highest_in(index).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }

    /// The longest duration counted.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let shift = 63 - nanos.leading_zeros() - STEP_BITS;
    let step = (nanos >> shift) - STEPS;
    (u64::from(shift + 1) * STEPS + step) as usize
}

fn highest_in(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let shift = (index / STEPS - 1) as u32;
    let low = (STEPS + index % STEPS) << shift;
    low + ((1_u64 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_at_most_two_percent_wide() {
        let mut value = 0_u64;
        while value < u64::MAX / 3 {
            let high = highest_in(bucket(value));
            assert!(high >= value && high - value <= value / 50, "{value} {high}");
            value += value / 16 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_of_a_uniform_range() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|nanos| histogram.record(nanos));
        for (quantile, nanos) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let found = histogram.quantile(quantile).as_nanos() as f64;
            assert!((found / nanos - 1.0).abs() < 0.02, "{quantile}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), Duration::from_nanos(100_000));
        assert_eq!(Histogram::default().quantile(0.5), Duration::ZERO);
    }
}
