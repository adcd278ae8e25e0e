//! How far the observations of a native histogram lie from their mean.

use model::Histogram;

use crate::kernels::arithmetic::Compensated;

/// The variance, each bucket's observations standing at its middle: the arithmetic one of custom
/// buckets, zero around zero, else the geometric one.
pub(crate) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Compensated::default();
    for bucket in histogram.all_buckets().iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.is_custom() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else if bucket.upper < 0.0 {
            -(bucket.upper * bucket.lower).sqrt()
        } else {
            (bucket.upper * bucket.lower).sqrt()
        };
        let distance = middle - mean;
        squares.add(bucket.count * distance * distance);
    }
    squares.value() / histogram.count
}
