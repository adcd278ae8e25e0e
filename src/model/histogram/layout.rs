//! Where buckets lie: bounds by index, buckets in order of their values, spans around counts.

use super::{BucketSpan, CUSTOM_SCHEMA, Histogram, HistogramBuckets, SCHEMA_MAX, bounds};

/// A bucket by its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// A value equal to `lower` is inside.
    pub lower_inclusive: bool,
    /// A value equal to `upper` is inside.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl Histogram {
    /// The upper bound of the positive bucket `index`, also of those that no span holds.
    pub fn bound(&self, index: i32) -> f64 {
        if !self.is_custom() {
            return exponential_bound(index, self.schema);
        }
        match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(index) => self.bounds.get(index).copied().unwrap_or(f64::INFINITY),
        }
    }

    /// The positive bucket `index` with `count` observations.
    fn positive_bucket(&self, index: i32, count: f64) -> Bucket {
        let lower = self.bound(index.saturating_sub(1));
        Bucket {
            lower,
            upper: self.bound(index),
            lower_inclusive: self.is_custom() && index == 0,
            upper_inclusive: true,
            count,
        }
    }

    /// The positive buckets, those without observations too, ascending.
    pub fn positive_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.positive.iter().map(|(index, count)| self.positive_bucket(index, count))
    }

    /// The negative buckets, those without observations too, from zero downwards.
    pub fn negative_buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.negative.iter().map(|(index, count)| Bucket {
            lower: -self.bound(index),
            upper: -self.bound(index.saturating_sub(1)),
            lower_inclusive: true,
            upper_inclusive: false,
            count,
        })
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All buckets in ascending order: negative ones, the one around zero if it counted anything,
    /// positive ones. A bucket that reaches into the one around zero ends at its edge.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let threshold = self.zero_threshold;
        let mut buckets: Vec<Bucket> = self.negative_buckets().collect();
        buckets.reverse();
        for bucket in &mut buckets {
            if bucket.upper < 0.0 && bucket.upper > -threshold {
                bucket.upper = -threshold;
            }
        }
        if self.zero_count > 0.0 && !self.is_custom() {
            buckets.push(self.zero_bucket());
        }
        buckets.extend(self.positive_buckets().map(|mut bucket| {
            if bucket.lower > 0.0 && bucket.lower < threshold {
                bucket.lower = threshold;
            }
            bucket
        }));
        buckets
    }

    /// Takes buckets without observations away.
    pub fn compact(&mut self) {
        self.positive.compact();
        self.negative.compact();
    }
}

impl HistogramBuckets {
    /// Buckets out of ascending indexes and counts.
    pub fn from_counts(counts: impl IntoIterator<Item = (i32, f64)>) -> Self {
        let mut buckets = Self::default();
        let mut next = 0i32;
        for (index, count) in counts {
            match buckets.spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => {
                    let offset = index.wrapping_sub(next);
                    buckets.spans.push(BucketSpan { offset, length: 1 });
                }
            }
            buckets.counts.push(count);
            next = index.wrapping_add(1);
        }
        buckets
    }

    /// Takes buckets without observations away.
    fn compact(&mut self) {
        let tidy = self.spans.iter().skip(1).all(|span| span.offset != 0)
            && self.spans.iter().all(|span| span.length > 0);
        if !tidy || self.counts.contains(&0.0) {
            *self = Self::from_counts(self.iter().filter(|(_, count)| *count != 0.0));
        }
    }
}

/// The index at `to` of the bucket that holds the bucket `index` of the finer schema `from`.
pub(super) fn coarser_index(index: i32, from: i32, to: i32) -> i32 {
    let shift = from.saturating_sub(to).clamp(0, 31);
    (index.wrapping_sub(1) >> shift).wrapping_add(1)
}

/// The upper bound of an exponential bucket. The last one before the bucket of the infinities ends at
/// the largest number.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    debug_assert_ne!(schema, CUSTOM_SCHEMA);
    let per_doubling = schema.clamp(-32, 32);
    if per_doubling <= 0 {
        let exponent = i64::from(index) << -per_doubling;
        return if exponent == 1024 { f64::MAX } else { power_of_two(exponent) };
    }
    let whole = i64::from(index) >> per_doubling;
    let part = i64::from(index) - (whole << per_doubling);
    if part == 0 {
        return if whole == 1024 { f64::MAX } else { power_of_two(whole) };
    }
    let fraction = if per_doubling <= SCHEMA_MAX {
        2.0 * bounds::fraction(part as i32, per_doubling)
    } else {
        (part as f64 / (1i64 << per_doubling) as f64).exp2()
    };
    fraction * power_of_two(whole)
}

fn power_of_two(exponent: i64) -> f64 {
    match i32::try_from(exponent) {
        Ok(exponent) => 2f64.powi(exponent.clamp(-1100, 1100)),
        Err(_) if exponent > 0 => f64::INFINITY,
        Err(_) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_follow_the_schema() {
        for (index, schema, expected) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (1, -1, 4.0),
            (2, 1, 2.0),
            (1, 1, std::f64::consts::SQRT_2),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (8192, 3, f64::MAX),
        ] {
            let bound = exponential_bound(index, schema);
            let close = bound == expected || (bound - expected).abs() <= expected * 1e-15;
            assert!(close, "{index} {schema}: {bound}");
        }
        assert_eq!(coarser_index(3, 1, 0), 2);
        assert_eq!(coarser_index(-3, 1, 0), -1);
    }

    #[test]
    fn buckets_come_in_order_and_compact() {
        let mut some = Histogram {
            zero_threshold: 0.75,
            zero_count: 1.0,
            positive: HistogramBuckets::from_counts([(0, 2.0), (1, 0.0), (3, 1.0)]),
            negative: HistogramBuckets::from_counts([(1, 4.0)]),
            ..Histogram::default()
        };
        let edges: Vec<(f64, f64)> =
            some.all_buckets().iter().map(|bucket| (bucket.lower, bucket.upper)).collect();
        assert_eq!(edges, [(-2.0, -1.0), (-0.75, 0.75), (0.75, 1.0), (1.0, 2.0), (4.0, 8.0)]);
        some.compact();
        assert_eq!(some.positive.iter().collect::<Vec<_>>(), [(0, 2.0), (3, 1.0)]);
        assert_eq!(some.positive.spans[1], BucketSpan { offset: 2, length: 1 });
    }
}
