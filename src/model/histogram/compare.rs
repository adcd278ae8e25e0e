//! Comparing histograms: exact equality, and whether a counter began anew.

use std::borrow::Cow;

use super::layout::coarser_index;
use super::sum::zero_count_within;
use super::{Histogram, HistogramBuckets, ResetHint};

impl Histogram {
    /// True when both hold the same numbers in the same buckets, bit by bit; hints do not count.
    pub fn same_as(&self, other: &Histogram) -> bool {
        let same = |left: f64, right: f64| left.to_bits() == right.to_bits();
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && (!self.is_custom() || self.bounds == other.bounds)
            && self.positive.same_as(&other.positive)
            && self.negative.same_as(&other.negative)
    }

    /// True when this cannot be the continuation of the counter `previous`. A hint decides; without
    /// one, a count that fell, a finer schema, a narrower bucket around zero or a bucket that vanished
    /// do.
    pub fn is_reset_after(&self, previous: &Histogram) -> bool {
        match self.reset_hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.is_custom() {
            if !previous.is_custom() {
                return true;
            }
            if self.bounds != previous.bounds {
                return self.falls_on_shared_bounds(previous);
            }
        } else if previous.is_custom() {
            // The number of a custom schema is below all others.
            return true;
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = zero_count_within(previous, self.zero_threshold);
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let alike =
            self.schema == previous.schema && self.zero_threshold == previous.zero_threshold;
        let falls = |current: &HistogramBuckets, before: &HistogramBuckets| {
            if alike && current.spans == before.spans {
                return current.counts.iter().zip(&before.counts).any(|(now, then)| now < then);
            }
            falls(self, previous, current, before)
        };
        falls(&self.positive, &previous.positive) || falls(&self.negative, &previous.negative)
    }

    /// True when an interval between bounds that both have lost observations.
    fn falls_on_shared_bounds(&self, previous: &Histogram) -> bool {
        let shared = |bound: &f64| previous.bounds.contains(bound);
        let mut edges: Vec<f64> = self.bounds.iter().copied().filter(shared).collect();
        edges.push(f64::INFINITY);
        let gather = |histogram: &Histogram| {
            let mut counts = vec![0.0; edges.len()];
            for bucket in histogram.positive_buckets() {
                let place = edges.partition_point(|edge| *edge < bucket.upper);
                if let Some(count) = counts.get_mut(place) {
                    *count += bucket.count;
                }
            }
            counts
        };
        gather(self).iter().zip(gather(previous)).any(|(now, then)| *now < then)
    }
}

/// True when a bucket of `before`, brought to the layout of `current`, counted more.
fn falls(
    now: &Histogram,
    then: &Histogram,
    current: &HistogramBuckets,
    before: &HistogramBuckets,
) -> bool {
    let visible =
        |(index, _): &(i32, f64)| now.is_custom() || now.bound(*index) > now.zero_threshold;
    let before = coarser(before, then.schema, now.schema);
    let mut counts = current.iter().filter(visible).peekable();
    for (index, count) in before.iter().filter(visible) {
        while counts.next_if(|(known, _)| *known < index).is_some() {}
        let found = counts.peek().filter(|(known, _)| *known == index).map(|(_, found)| *found);
        match found {
            Some(found) if found < count => return true,
            None if count != 0.0 => return true,
            _ => {}
        }
    }
    false
}

/// The buckets merged to those of a coarser schema.
pub(super) fn coarser(buckets: &HistogramBuckets, from: i32, to: i32) -> Cow<'_, HistogramBuckets> {
    if from <= to {
        return Cow::Borrowed(buckets);
    }
    let mut counts: Vec<(i32, f64)> = Vec::new();
    for (index, count) in buckets.iter() {
        let index = coarser_index(index, from, to);
        match counts.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => counts.push((index, count)),
        }
    }
    Cow::Owned(HistogramBuckets::from_counts(counts))
}

impl HistogramBuckets {
    fn same_as(&self, other: &HistogramBuckets) -> bool {
        self.counts.len() == other.counts.len()
            && (self.spans == other.spans
                || self.iter().zip(other.iter()).all(|(left, right)| left.0 == right.0))
            && self.counts.iter().zip(&other.counts).all(|(l, r)| l.to_bits() == r.to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(count: f64, schema: i32, buckets: &[(i32, f64)]) -> Histogram {
        Histogram {
            count,
            schema,
            positive: HistogramBuckets::from_counts(buckets.iter().copied()),
            ..Histogram::default()
        }
    }

    #[test]
    fn resets_are_found() {
        let first = counter(5.0, 1, &[(1, 2.0), (2, 2.0), (5, 1.0)]);
        for (next, expected) in [
            (counter(6.0, 1, &[(1, 2.0), (2, 3.0), (5, 1.0)]), false),
            (counter(6.0, 1, &[(1, 1.0), (2, 4.0), (5, 1.0)]), true),
            (counter(6.0, 1, &[(1, 3.0), (2, 3.0)]), true),
            (counter(4.0, 1, &[(1, 2.0), (2, 2.0), (5, 1.0)]), true),
            (counter(5.0, 0, &[(1, 4.0), (3, 1.0)]), false),
            (counter(5.0, 2, &[(1, 4.0), (3, 1.0)]), true),
        ] {
            assert_eq!(next.is_reset_after(&first), expected, "{next:?}");
            let told = Histogram { reset_hint: ResetHint::NotReset, ..next.clone() };
            assert!(!told.is_reset_after(&first));
        }
        let wider =
            Histogram { zero_threshold: 2.0, zero_count: 4.0, ..counter(5.0, 1, &[(5, 1.0)]) };
        assert!(!wider.is_reset_after(&first));
        let inside = Histogram { zero_threshold: 1.7, ..wider };
        assert!(inside.is_reset_after(&first));
    }

    #[test]
    fn custom_bounds_are_compared_where_they_meet() {
        let custom = |bounds: &[f64], counts: &[(i32, f64)]| Histogram {
            bounds: bounds.into(),
            ..counter(5.0, super::super::CUSTOM_SCHEMA, counts)
        };
        let first = custom(&[1.0, 2.0, 3.0], &[(0, 1.0), (1, 2.0), (2, 2.0)]);
        assert!(!custom(&[1.0, 3.0], &[(0, 1.0), (1, 4.0)]).is_reset_after(&first));
        assert!(custom(&[1.0, 3.0], &[(0, 2.0), (1, 3.0)]).is_reset_after(&first));
    }
}
