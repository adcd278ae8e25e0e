//! The total of exponential histograms: the coarser scale, the wider zero bucket, at most
//! [`BUCKETS_MAX`] buckets a side.

use crate::prometheus::otlp::message::{Buckets, ExponentialPoint};

/// Buckets of a side of a total; beyond, the scale becomes coarser. What SDKs use, too.
const BUCKETS_MAX: i64 = 160;

/// The sum of the points of a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExponentialTotal {
    count: u64,
    sum: Option<f64>,
    side: Sides,
}

/// What scale and zero bucket change.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sides {
    scale: i32,
    zero_count: u64,
    zero_threshold: f64,
    positive: Buckets,
    negative: Buckets,
}

impl ExponentialTotal {
    /// The first point of a series.
    pub fn first(point: &ExponentialPoint<'_>) -> Self {
        Self { count: point.count, sum: point.sum, side: Sides::of(point) }
    }

    /// Adds a point, and gives it the total.
    pub fn add(&mut self, point: &mut ExponentialPoint<'_>) {
        let (total, mut more) = (&mut self.side, Sides::of(point));
        let coarser = total.scale.min(more.scale);
        total.coarsen(coarser);
        more.coarsen(coarser);
        let scale = scale_within(coarser, &total.positive, &more.positive).min(scale_within(
            coarser,
            &total.negative,
            &more.negative,
        ));
        total.coarsen(scale);
        more.coarsen(scale);
        if total.zero_threshold < more.zero_threshold {
            total.widen_zero(more.zero_threshold);
        } else {
            more.widen_zero(total.zero_threshold);
        }
        merge(&mut total.positive, &more.positive);
        merge(&mut total.negative, &more.negative);
        total.zero_count = total.zero_count.wrapping_add(more.zero_count);
        self.count = self.count.wrapping_add(point.count);
        self.sum = self.sum.zip(point.sum).map(|(a, b)| a + b);
        (point.count, point.sum) = (self.count, self.sum);
        point.scale = total.scale;
        (point.zero_count, point.zero_threshold) = (total.zero_count, total.zero_threshold);
        point.positive.clone_from(&total.positive);
        point.negative.clone_from(&total.negative);
    }
}

impl Sides {
    fn of(point: &ExponentialPoint<'_>) -> Self {
        Self {
            scale: point.scale,
            zero_count: point.zero_count,
            zero_threshold: point.zero_threshold,
            positive: point.positive.clone(),
            negative: point.negative.clone(),
        }
    }

    /// Merges buckets until the scale is `scale`, which is not finer.
    fn coarsen(&mut self, scale: i32) {
        let shift = (i64::from(self.scale) - i64::from(scale)).clamp(0, 63) as u32;
        self.scale = scale;
        for side in [&mut self.positive, &mut self.negative] {
            coarsen(side, shift);
        }
    }

    /// Moves the buckets within `width` of zero to the zero bucket, which then ends where the last of
    /// them does.
    fn widen_zero(&mut self, width: f64) {
        if width <= self.zero_threshold || !width.is_finite() {
            return;
        }
        let last = index_of(width, self.scale);
        for side in [&mut self.positive, &mut self.negative] {
            let inside =
                (last + 1 - i64::from(side.offset)).clamp(0, side.bucket_counts.len() as i64);
            let moved: u64 = side.bucket_counts.drain(..inside as usize).sum();
            self.zero_count = self.zero_count.wrapping_add(moved);
            side.offset = side.offset.saturating_add(inside as i32);
        }
        self.zero_threshold =
            ((last + 1) as f64 * std::f64::consts::LN_2 * (-f64::from(self.scale)).exp2()).exp();
    }
}

/// The bucket that `value` falls into: buckets end with their upper bound.
fn index_of(value: f64, scale: i32) -> i64 {
    let exponent = value.log2();
    let place = exponent * f64::from(scale).exp2();
    let is_power_of_two = value.is_normal() && value.to_bits() << 12 == 0;
    if is_power_of_two { place.ceil() as i64 - 1 } else { place.floor() as i64 }
}

fn coarsen(side: &mut Buckets, shift: u32) {
    if shift == 0 {
        return;
    }
    let first = i64::from(side.offset) >> shift;
    let mut merged: Vec<u64> = Vec::new();
    for (place, count) in side.bucket_counts.iter().enumerate() {
        let index = ((i64::from(side.offset) + place as i64) >> shift) - first;
        merged.resize(index as usize + 1, 0);
        if let Some(last) = merged.last_mut() {
            *last = last.wrapping_add(*count);
        }
    }
    (side.offset, side.bucket_counts) = (first as i32, merged);
}

/// The first bucket that counts something and the one behind the last, of both together.
fn extent(a: &Buckets, b: &Buckets) -> (i64, i64) {
    let used = |side: &Buckets| {
        let counts = &side.bucket_counts;
        let first = counts.iter().position(|count| *count > 0)?;
        let last = counts.iter().rposition(|count| *count > 0)?;
        Some((i64::from(side.offset) + first as i64, i64::from(side.offset) + last as i64 + 1))
    };
    match (used(a), used(b)) {
        (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => (0, 0),
    }
}

/// The finest scale, `scale` at most, at which both together have few enough buckets. Halving rounds
/// towards zero, as in the original: below 1 a step less would sometimes do.
fn scale_within(scale: i32, a: &Buckets, b: &Buckets) -> i32 {
    let ((mut first, mut end), mut scale) = (extent(a, b), scale);
    while end - first > BUCKETS_MAX {
        (first, end, scale) = (first / 2, end / 2, scale - 1);
    }
    scale
}

fn merge(total: &mut Buckets, more: &Buckets) {
    if more.bucket_counts.is_empty() {
        return;
    }
    if total.bucket_counts.is_empty() {
        total.clone_from(more);
        return;
    }
    let (first, end) = extent(total, more);
    let mut counts = vec![0u64; (end - first) as usize];
    for side in [&*total, more] {
        for (place, count) in side.bucket_counts.iter().enumerate().filter(|(_, c)| **c > 0) {
            let at = (i64::from(side.offset) + place as i64 - first) as usize;
            counts[at] = counts[at].wrapping_add(*count);
        }
    }
    (total.offset, total.bucket_counts) = (first as i32, counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(offset: i32, counts: &[u64]) -> Buckets {
        Buckets { offset, bucket_counts: counts.to_vec() }
    }

    #[test]
    fn buckets_merge() {
        let mut a = buckets(-1, &[1, 1, 1]);
        merge(&mut a, &buckets(-2, &[1, 1]));
        assert_eq!(a, buckets(-2, &[1, 2, 1, 1]));
        coarsen(&mut a, 1);
        assert_eq!(a, buckets(-1, &[3, 2]));
        let mut odd = buckets(-3, &[1, 2, 3]);
        coarsen(&mut odd, 1);
        assert_eq!(odd, buckets(-2, &[1, 5]));
    }

    #[test]
    fn totals_take_the_coarser_scale_and_the_wider_zero() {
        let point = |scale, threshold, side: Buckets| ExponentialPoint {
            count: side.bucket_counts.iter().sum(),
            sum: Some(1.0),
            scale,
            zero_threshold: threshold,
            positive: side,
            ..ExponentialPoint::default()
        };
        let mut total = ExponentialTotal::first(&point(1, 0.0, buckets(0, &[1, 2, 3, 4])));
        let mut more = point(0, 0.0, buckets(1, &[5]));
        total.add(&mut more);
        assert_eq!((more.scale, &more.positive, more.count), (0, &buckets(0, &[3, 12]), 15));
        assert_eq!(more.sum, Some(2.0));
        // Buckets up to 2 become zero: the first ends there.
        let mut wide = point(0, 2.0, buckets(1, &[1]));
        total.add(&mut wide);
        assert_eq!((wide.zero_count, wide.zero_threshold), (3, 2.0));
        assert_eq!(wide.positive, buckets(1, &[13]));
    }

    #[test]
    fn sides_stay_within_their_bound() {
        let mut total = ExponentialTotal::default();
        let mut point = ExponentialPoint {
            scale: 3,
            positive: buckets(-150, &[1; 300]),
            ..ExponentialPoint::default()
        };
        total.side.scale = 3;
        total.add(&mut point);
        // The first point is taken as it is, the next one makes room.
        let mut again = ExponentialPoint { scale: 3, positive: buckets(-150, &[1; 300]), ..point };
        total.add(&mut again);
        assert!(again.positive.bucket_counts.len() <= 160, "{again:?}");
        assert_eq!(again.positive.bucket_counts.iter().sum::<u64>(), 600);
    }
}
