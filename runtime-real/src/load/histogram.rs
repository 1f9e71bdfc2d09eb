//! Latencies in constant memory: a log-linear histogram of microseconds.
//!
//! Each power of two is divided into 64 steps, so a percentile is at most 1.6% above the true value. Counting is one
//! increment; histograms of many workers add up.

const STEPS_LOG2: u32 = 6;
const STEPS: u64 = 1 << STEPS_LOG2;
/// Enough for 2^36 microseconds, 19 hours.
const BUCKETS: usize = ((36 - STEPS_LOG2 as usize) + 1) << STEPS_LOG2;

/// Counts of latencies.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u32]>,
    count: u64,
    max_micros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into_boxed_slice(), count: 0, max_micros: 0 }
    }
}

fn bucket_of(micros: u64) -> usize {
    let bucket = if micros < STEPS {
        micros
    } else {
        let shift = micros.ilog2() - STEPS_LOG2;
        ((u64::from(shift) + 1) << STEPS_LOG2) + ((micros >> shift) - STEPS)
    };
    (bucket as usize).min(BUCKETS - 1)
}

/// The largest value that falls into the bucket.
fn upper_end(bucket: usize) -> u64 {
    let (group, step) = (bucket as u64 >> STEPS_LOG2, bucket as u64 & (STEPS - 1));
    if group == 0 { step } else { ((STEPS + step + 1) << (group - 1)) - 1 }
}

impl Histogram {
    /// Counts one latency, in microseconds.
    pub fn record(&mut self, micros: u64) {
        self.buckets[bucket_of(micros)] += 1;
        self.count += 1;
        self.max_micros = self.max_micros.max(micros);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max_micros = self.max_micros.max(other.max_micros);
    }

    /// How many latencies were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest latency, in microseconds.
    #[must_use]
    pub fn max_micros(&self) -> u64 {
        self.max_micros
    }

    /// The latency in microseconds that `per_mille` of 1,000 requests stay within; 0 when nothing was counted.
    #[must_use]
    pub fn quantile_micros(&self, per_mille: u64) -> u64 {
        let wanted = (self.count * per_mille).div_ceil(1_000);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && seen > 0 {
                return upper_end(bucket).min(self.max_micros);
            }
        }
        self.max_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_within_the_stated_error() {
        for micros in (0..200_000).step_by(7).chain([1 << 20, 1 << 30, (1 << 33) + 12_345]) {
            let end = upper_end(bucket_of(micros));
            assert!(end >= micros && end <= micros + micros / 64, "{micros} falls into a bucket that ends at {end}");
        }
    }

    #[test]
    fn percentiles_of_a_known_distribution_come_back() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        (1..=5_000).for_each(|micros| low.record(micros));
        (5_001..=10_000).for_each(|micros| high.record(micros));
        low.merge(&high);
        assert_eq!((low.count(), low.max_micros()), (10_000, 10_000));
        for (per_mille, exact) in [(500, 5_000), (950, 9_500), (990, 9_900)] {
            let found = low.quantile_micros(per_mille);
            assert!(found >= exact && found <= exact + exact / 64, "{per_mille} per mille: {found}");
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::default().quantile_micros(990), 0);
    }
}
