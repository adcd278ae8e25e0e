//! What stands for several samples of one series: enough of them that sums, means, extremes, counts,
//! first and last values and the growth of counters over whole summaries are those of the samples.
//!
//! A sample is a summary of itself, so that a reader may meet samples and summaries in one row.
//! Invariant: joining the summaries of two neighbouring runs of samples gives that of both runs; but
//! for the rounding of sums, the same to the bit however the runs were cut.

use crate::sample::is_stale;

/// A Kahan-Neumaier sum (Neumaier 1974). Once the sum is infinite the compensation stays zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Compensated {
    /// The running sum.
    pub sum: f64,
    /// What rounding took off it.
    pub rest: f64,
}

impl Compensated {
    /// A sum that starts at `first`, so that a lone -0 stays one.
    pub fn starting_at(first: f64) -> Self {
        Self { sum: first, rest: 0.0 }
    }

    /// Adds `value`.
    #[inline(always)]
    pub fn add(&mut self, value: f64) {
        let total = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() {
            (self.sum - total) + value
        } else {
            (value - total) + self.sum
        };
        self.rest = if total.is_infinite() { 0.0 } else { self.rest + lost };
        self.sum = total;
    }

    /// The sum of two sums.
    #[inline(always)]
    pub fn join(mut self, other: Self) -> Self {
        self.add(other.sum);
        if !self.sum.is_infinite() {
            self.rest += other.rest;
        }
        self
    }

    /// The compensated sum.
    #[inline(always)]
    pub fn value(self) -> f64 {
        self.sum + self.rest
    }
}

/// A run of samples of one series, stale markers aside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Time of the first sample; of a run of nothing but markers, that of the last marker.
    pub first_ms: i64,
    /// Time of the last sample.
    pub last_ms: i64,
    /// Value of the first sample.
    pub first: f64,
    /// Value of the last sample.
    pub last: f64,
    /// The smallest number; NaN where there is none.
    pub min: f64,
    /// The largest number; NaN where there is none.
    pub max: f64,
    /// Sum of the numbers, NaN left out.
    pub sum: Compensated,
    /// Sum of the values from which the next one fell: with `last - first` the growth of a counter.
    pub lost: f64,
    /// How many samples.
    pub count: u64,
    /// How many of them are NaN.
    pub nans: u64,
    /// The run ends in a stale marker.
    pub ended: bool,
}

impl Summary {
    /// The summary of one sample, or of a stale marker.
    #[inline]
    pub fn of(at_ms: i64, value: f64) -> Self {
        let ended = is_stale(value);
        let is_number = !value.is_nan();
        Self {
            first_ms: at_ms,
            last_ms: at_ms,
            first: value,
            last: value,
            min: value,
            max: value,
            sum: Compensated::starting_at(if is_number { value } else { 0.0 }),
            lost: 0.0,
            count: u64::from(!ended),
            nans: u64::from(!ended && !is_number),
            ended,
        }
    }

    /// How many samples are numbers.
    #[inline]
    pub fn numbers(&self) -> u64 {
        self.count - self.nans
    }

    /// Makes this the summary of its run and of `next`, the run behind it.
    #[inline]
    pub fn join(&mut self, next: &Self) {
        if next.count == 0 {
            self.ended = next.ended;
            if self.count == 0 {
                *self = *next;
            }
            return;
        }
        if self.count == 0 {
            *self = *next;
            return;
        }
        if next.first < self.last {
            self.lost += self.last;
        }
        self.lost += next.lost;
        self.sum = match (self.numbers(), next.numbers()) {
            (_, 0) => self.sum,
            (0, _) => next.sum,
            _ => self.sum.join(next.sum),
        };
        if next.min < self.min || self.min.is_nan() {
            self.min = next.min;
        }
        if next.max > self.max || self.max.is_nan() {
            self.max = next.max;
        }
        self.last_ms = next.last_ms;
        self.last = next.last;
        self.count += next.count;
        self.nans += next.nans;
        self.ended = next.ended;
    }

    /// True when the sum of finite numbers is too large for a float: such a run says too little.
    pub fn overflows(&self) -> bool {
        !self.sum.sum.is_finite() && self.min.is_finite() && self.max.is_finite()
    }
}

/// Which summary of `width_ms` a sample at `at_ms` belongs to. A sample on the edge between two buckets
/// is a run of its own, so that whoever counts the edge to the bucket before it and whoever counts it
/// to the one behind it are both answered exactly.
#[inline]
pub fn run_of(at_ms: i64, width_ms: i64) -> (i64, bool) {
    let bucket = at_ms.div_euclid(width_ms);
    (bucket, at_ms != bucket * width_ms)
}

/// Appends the summaries of ascending samples, cut at the multiples of `width_ms`.
pub fn summarize(times: &[i64], values: &[f64], width_ms: i64, out: &mut Vec<Summary>) {
    let mut open = None;
    for (at_ms, value) in times.iter().zip(values) {
        let run = run_of(*at_ms, width_ms);
        let next = Summary::of(*at_ms, *value);
        match out.last_mut() {
            Some(last) if open == Some(run) => last.join(&next),
            _ => out.push(next),
        }
        open = Some(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::STALE_NAN_BITS;
    use base::rng::Rng;

    /// However a run is cut, its summaries join to the same; the figures against plain definitions.
    #[test]
    fn summaries_join_to_those_of_the_whole() {
        let mut rng = Rng::new(5);
        for round in 0..3_000 {
            let stale = f64::from_bits(STALE_NAN_BITS);
            let values: Vec<f64> = (0..1 + rng.below(30))
                .map(|_| match rng.below(12) {
                    0 => stale,
                    1 if round % 2 == 0 => f64::NAN,
                    _ => rng.below(4_000) as f64 / 8.0 - 100.0,
                })
                .collect();
            let times: Vec<i64> = (0..values.len() as i64).map(|i| i * 7 - 50).collect();
            let mut whole = Vec::new();
            summarize(&times, &values, 1_000_000, &mut whole);
            let mut joined: Option<Summary> = None;
            let mut pieces = Vec::new();
            summarize(&times, &values, 1 + rng.below(60) as i64, &mut pieces);
            for piece in &pieces {
                joined = Some(joined.map_or(*piece, |mut all| {
                    all.join(piece);
                    all
                }));
            }
            // Samples before zero, at zero and behind it.
            let mut all = whole[0];
            whole[1..].iter().for_each(|next| all.join(next));
            assert_eq!(format!("{all:?}"), format!("{:?}", joined.unwrap()), "{values:?}");
            let real: Vec<f64> = values.iter().copied().filter(|v| !is_stale(*v)).collect();
            let numbers: Vec<f64> = real.iter().copied().filter(|v| !v.is_nan()).collect();
            let lost: f64 = real.windows(2).filter(|p| p[1] < p[0]).map(|p| p[0]).sum();
            assert_eq!((all.count, all.numbers()), (real.len() as u64, numbers.len() as u64));
            assert_eq!((all.sum.value(), all.lost), (numbers.iter().sum(), lost));
            assert_eq!(all.ended, is_stale(*values.last().unwrap()));
            if let Some(last) = real.last() {
                assert_eq!(all.last.to_bits(), last.to_bits());
                assert_eq!(all.first.to_bits(), real[0].to_bits());
            }
            if !numbers.is_empty() {
                assert_eq!(all.min, numbers.iter().copied().fold(f64::INFINITY, f64::min));
                assert_eq!(all.max, numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            }
        }
    }

    #[test]
    fn a_sample_on_an_edge_is_a_run_of_its_own() {
        let mut out = Vec::new();
        summarize(&[-1, 0, 1, 9, 10, 12], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 10, &mut out);
        let runs: Vec<_> = out.iter().map(|s| (s.first_ms, s.last_ms, s.count)).collect();
        assert_eq!(runs, [(-1, -1, 1), (0, 0, 1), (1, 9, 2), (10, 10, 1), (12, 12, 1)]);
    }
}
