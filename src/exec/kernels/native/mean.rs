//! Sums and means of many histograms.

use model::histogram::{Incompatible, Merged};
use model::{Histogram, HistogramSum, ResetHint};

/// A sum, or a mean that sums until a field would overflow and is incremental from there on.
#[derive(Clone, Debug)]
pub(crate) struct Total {
    sum: HistogramSum,
    count: f64,
    averages: bool,
    incremental: bool,
    reset_seen: bool,
    no_reset_seen: bool,
    /// Custom bounds had to be reconciled.
    pub(crate) bounds_reconciled: bool,
}

impl Total {
    /// The sum (or mean) of one histogram.
    pub(crate) fn new(first: &Histogram, averages: bool) -> Self {
        let mut total = Self {
            sum: HistogramSum::new(first),
            count: 1.0,
            averages,
            incremental: false,
            reset_seen: false,
            no_reset_seen: false,
            bounds_reconciled: false,
        };
        total.see(first);
        total
    }

    /// Adds a histogram.
    pub(crate) fn add(&mut self, histogram: &Histogram) -> Result<(), Incompatible> {
        self.see(histogram);
        self.count += 1.0;
        if !self.averages {
            let merged = self.sum.add(histogram)?;
            self.note(merged);
            return Ok(());
        }
        if !self.incremental {
            let before = self.sum.clone();
            let merged = self.sum.add(histogram)?;
            self.note(merged);
            if !self.sum.has_overflow() {
                return Ok(());
            }
            self.sum = before;
            self.sum.divide(self.count - 1.0);
            self.incremental = true;
        }
        self.sum.scale((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count);
        let merged = self.sum.add(&part)?;
        self.note(merged);
        Ok(())
    }

    /// True when some histograms are known resets and others known not to be.
    pub(crate) fn resets_conflict(&self) -> bool {
        self.reset_seen && self.no_reset_seen
    }

    /// The sum or mean.
    pub(crate) fn finish(mut self) -> Histogram {
        if self.averages && !self.incremental {
            self.sum.divide(self.count);
        }
        self.sum.finish()
    }

    /// Bytes of its buckets.
    pub(crate) fn buckets_bytes(&self) -> usize {
        self.sum.buckets_bytes()
    }

    fn see(&mut self, histogram: &Histogram) {
        self.reset_seen |= histogram.reset_hint == ResetHint::Reset;
        self.no_reset_seen |= histogram.reset_hint == ResetHint::NotReset;
    }

    fn note(&mut self, merged: Merged) {
        self.bounds_reconciled |= merged.bounds_reconciled;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_survive_overflow() {
        let large = Histogram { count: 1.0, sum: f64::MAX, ..Histogram::default() };
        let mut mean = Total::new(&large, true);
        mean.add(&large).unwrap();
        mean.add(&large).unwrap();
        assert!((mean.finish().sum / f64::MAX - 1.0).abs() < 1e-12);
        let mut sum = Total::new(&large, false);
        sum.add(&large).unwrap();
        assert_eq!(sum.finish().sum, f64::INFINITY);
    }
}
