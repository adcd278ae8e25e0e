//! Quantiles and shares of the observations of a native histogram.

use model::Histogram;
use model::histogram::Bucket;

/// What is to be said about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
    /// Observations that are no numbers lie above all others and push the quantile up.
    SkewedHigher,
    /// The quantile lies among observations that are no numbers.
    NotANumber,
    /// Observations that are no numbers are in no share.
    Excluded,
}

/// The value below which the share `q` of the observations lies: on a straight line inside custom
/// buckets and the one around zero, on an exponential one elsewhere.
pub(crate) fn quantile(q: f64, histogram: &Histogram) -> (f64, Option<Remark>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    let may_have_nan = histogram.sum.is_nan();
    // From the nearer end, as the original does: the two ways differ in rounding. What is no number
    // counts as being above the top, so then only the lower end is known.
    let from_below = may_have_nan || q < 0.5;
    let mut buckets = histogram.all_buckets();
    if !from_below {
        buckets.reverse();
    }
    let rank = if from_below { q * histogram.count } else { (1.0 - q) * histogram.count };
    let mut counted = 0.0;
    let mut found: Option<Bucket> = None;
    let mut seen = buckets.len();
    for (place, bucket) in buckets.iter().enumerate().filter(|(_, bucket)| bucket.count != 0.0) {
        counted += bucket.count;
        found = Some(*bucket);
        if counted >= rank {
            seen = place + 1;
            break;
        }
    }
    let Some(mut bucket) = found else {
        return (
            if may_have_nan { f64::NAN } else { 0.0 },
            may_have_nan.then_some(Remark::NotANumber),
        );
    };
    if let Some(edge) = narrow(histogram, &mut bucket) {
        return (edge, None);
    }
    let counted = counted.min(histogram.count);
    if counted < rank {
        return if may_have_nan {
            (f64::NAN, Some(Remark::NotANumber))
        } else {
            (bucket.upper, None)
        };
    }
    let inside = if from_below { rank - (counted - bucket.count) } else { counted - rank };
    let mut remark = None;
    if may_have_nan {
        let rest: f64 = buckets[seen..].iter().map(|bucket| bucket.count).sum();
        remark = (counted + rest < histogram.count).then_some(Remark::SkewedHigher);
    }
    (interpolate(histogram, &bucket, inside / bucket.count), remark)
}

/// Gives the bucket of a quantile finite edges; `Some` where the answer is an edge.
fn narrow(histogram: &Histogram, bucket: &mut Bucket) -> Option<f64> {
    if !histogram.is_custom() {
        if bucket.lower < 0.0 && bucket.upper > 0.0 {
            one_sided(histogram, bucket);
        }
    } else if bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            return Some(bucket.upper);
        }
        bucket.lower = 0.0;
    } else if bucket.upper == f64::INFINITY {
        return Some(bucket.lower);
    }
    None
}

/// Of a histogram with one sign only, the bucket around zero has only that side.
fn one_sided(histogram: &Histogram, bucket: &mut Bucket) {
    let (negative, positive) = (&histogram.negative.counts, &histogram.positive.counts);
    if negative.is_empty() && !positive.is_empty() {
        bucket.lower = 0.0;
    } else if positive.is_empty() && !negative.is_empty() {
        bucket.upper = 0.0;
    }
}

fn interpolate(histogram: &Histogram, bucket: &Bucket, fraction: f64) -> f64 {
    let (lower, upper) = (bucket.lower, bucket.upper);
    if histogram.is_custom() || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// The part of a bucket of finite width that lies below `value`, which is inside.
pub(crate) fn part_below(bucket: &Bucket, value: f64, straight: bool) -> f64 {
    if straight {
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let at = value.abs().log2();
    if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
}

/// The share of the observations between two values.
pub(crate) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, Option<Remark>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let mut buckets = histogram.all_buckets();
    let counted: f64 = buckets.iter().map(|bucket| bucket.count).sum();
    for bucket in buckets.iter_mut().filter(|bucket| bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        one_sided(histogram, bucket);
    }
    let (mut total, mut remark) = (histogram.count, None);
    if histogram.sum.is_nan() {
        total = counted;
        remark = (counted < histogram.count).then_some(Remark::Excluded);
    }
    let rank = |value| rank_of(value, histogram, &buckets).filter(|rank| *rank <= total);
    let [from, until] = [lower, upper].map(|value| rank(value).unwrap_or(total));
    ((until - from) / histogram.count, remark)
}

/// How many observations lie below `value`; `None` where it is above all buckets.
fn rank_of(value: f64, histogram: &Histogram, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    for bucket in buckets {
        if bucket.lower >= value {
            return Some(rank);
        }
        if bucket.upper > value {
            // Nothing is known of where in a bucket of infinite width its observations lie.
            if bucket.lower == f64::NEG_INFINITY {
                return Some(bucket.count);
            }
            let straight = histogram.is_custom() || (bucket.lower <= 0.0 && bucket.upper >= 0.0);
            return Some(rank + bucket.count * part_below(bucket, value, straight));
        }
        rank += bucket.count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HistogramBuckets;
    use model::histogram::CUSTOM_SCHEMA;

    fn some() -> Histogram {
        Histogram {
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 12.0,
            sum: 100.0,
            positive: HistogramBuckets::from_counts([(0, 2.0), (1, 3.0), (3, 5.0)]),
            ..Histogram::default()
        }
    }

    #[test]
    fn quantiles_interpolate_exponentially() {
        let close = |q: f64, expected: f64| {
            let (value, remark) = quantile(q, &some());
            assert!((value - expected).abs() < 1e-9, "{q}: {value}");
            assert_eq!(remark, None);
        };
        close(0.5, (2.0f64 / 3.0).exp2());
        close(1.0, 8.0);
        close(0.0, 0.0);
        close(1.0 / 12.0, 0.0005);
        assert!(quantile(f64::NAN, &some()).0.is_nan());
        let odd = Histogram { sum: f64::NAN, count: 20.0, ..some() };
        assert_eq!(quantile(0.9, &odd).1, Some(Remark::NotANumber));
        assert_eq!(quantile(0.1, &odd).1, Some(Remark::SkewedHigher));
    }

    #[test]
    fn fractions_count_between() {
        assert_eq!(fraction(1.0, 2.0, &some()).0, 0.25);
        assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &some()).0, 1.0);
        assert_eq!(fraction(2.0, 1.0, &some()).0, 0.0);
        assert!((fraction(4.0, 32f64.sqrt(), &some()).0 - 2.5 / 12.0).abs() < 1e-12);
        let custom = Histogram {
            schema: CUSTOM_SCHEMA,
            bounds: [5.0, 10.0].into(),
            zero_threshold: 0.0,
            zero_count: 0.0,
            ..some()
        };
        assert!((fraction(5.0, 10.0, &custom).0 - 0.25).abs() < 1e-12);
    }
}
