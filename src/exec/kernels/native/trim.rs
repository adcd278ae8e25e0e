//! The observations of a native histogram on one side of a value.

use model::Histogram;
use model::histogram::Bucket;

use crate::kernels::native::share::part_below;

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Those up to the value.
    Below,
    /// Those above it.
    Above,
}

/// What is kept of a bucket, and where its observations are taken to stand.
type Kept = (f64, f64);

/// The histogram of the kept observations. A bucket around the value is interpolated, and its count
/// and sum are then estimates; a histogram that loses nothing stays as it is.
pub(crate) fn trim(histogram: &Histogram, value: f64, keep: Keep) -> Histogram {
    let mut out = histogram.clone();
    let custom = histogram.is_custom();
    let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
    let (mut any_positive, mut any_negative) = (false, false);
    let mut cut = |bucket: Bucket, positive: bool, slot: &mut f64| {
        if bucket.count == 0.0 {
            return false;
        }
        let (kept, middle) = trim_bucket(&bucket, value, keep, positive, custom);
        if kept != bucket.count {
            *slot = kept;
            changed = true;
        }
        count += kept;
        sum += if kept == 0.0 { 0.0 } else { middle * kept };
        true
    };
    for (bucket, slot) in histogram.positive_buckets().zip(&mut out.positive.counts) {
        any_positive |= cut(bucket, true, slot);
    }
    for (bucket, slot) in histogram.negative_buckets().zip(&mut out.negative.counts) {
        any_negative |= cut(bucket, false, slot);
    }
    if histogram.zero_count > 0.0 {
        let mut bucket = histogram.zero_bucket();
        if any_negative && !any_positive {
            bucket.upper = 0.0;
        }
        if any_positive && !any_negative {
            bucket.lower = 0.0;
        }
        let (kept, middle) = trim_zero_bucket(&bucket, value, keep);
        changed |= kept != histogram.zero_count;
        out.zero_count = kept;
        count += kept;
        sum += middle * kept;
    }
    if changed {
        out.count = count;
        out.sum = sum;
        out.is_integer = false;
        out.compact();
    }
    out
}

fn trim_bucket(bucket: &Bucket, value: f64, keep: Keep, positive: bool, custom: bool) -> Kept {
    let (whole, inside) = match keep {
        Keep::Below => (bucket.upper <= value, bucket.lower < value),
        Keep::Above => (bucket.lower >= value, bucket.upper > value),
    };
    if whole {
        return (bucket.count, middle(bucket.lower, bucket.upper, positive, custom));
    }
    if !inside {
        return (0.0, 0.0);
    }
    if bucket.lower == f64::NEG_INFINITY || bucket.upper == f64::INFINITY {
        return trim_endless(bucket, value, keep);
    }
    let below = bucket.count * part_below(bucket, value, custom);
    match keep {
        Keep::Below => (below, middle(bucket.lower, value, positive, custom)),
        Keep::Above => (bucket.count - below, middle(value, bucket.upper, positive, custom)),
    }
}

/// A bucket with an infinite edge around the value. The first custom bucket starts at zero where its
/// upper bound is positive; else nothing is known of where its observations lie.
fn trim_endless(bucket: &Bucket, value: f64, keep: Keep) -> Kept {
    let upper = bucket.upper;
    if bucket.lower == f64::NEG_INFINITY {
        let from_zero = upper > 0.0 && upper.is_finite();
        return match keep {
            Keep::Below if value > 0.0 && from_zero => (bucket.count * value / upper, value / 2.0),
            Keep::Below if upper <= 0.0 => (bucket.count, value),
            Keep::Below => (0.0, 0.0),
            Keep::Above if value >= 0.0 && from_zero => {
                (bucket.count * (1.0 - value / upper), (value + upper) / 2.0)
            }
            Keep::Above => (0.0, 0.0),
        };
    }
    match keep {
        Keep::Below => (0.0, 0.0),
        Keep::Above => (bucket.count, value),
    }
}

fn trim_zero_bucket(bucket: &Bucket, value: f64, keep: Keep) -> Kept {
    let (lower, upper) = (bucket.lower, bucket.upper);
    let whole = (bucket.count, (lower + upper) / 2.0);
    let share = |width: f64| bucket.count * (width / (upper - lower));
    match keep {
        Keep::Below if value <= lower => (0.0, 0.0),
        Keep::Below if value >= upper => whole,
        Keep::Below => (share(value - lower), (lower + value) / 2.0),
        Keep::Above if value <= lower => whole,
        Keep::Above if value >= upper => (0.0, 0.0),
        Keep::Above => (share(upper - value), (value + upper) / 2.0),
    }
}

/// Where the observations between two edges are taken to stand.
fn middle(lower: f64, upper: f64, positive: bool, straight: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if straight => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HistogramBuckets;

    #[test]
    fn one_side_stays() {
        let some = Histogram {
            count: 8.0,
            sum: 20.0,
            positive: HistogramBuckets::from_counts([(1, 4.0), (2, 4.0)]),
            ..Histogram::default()
        };
        assert_eq!(trim(&some, 4.0, Keep::Below), some);
        let below = trim(&some, 2.0, Keep::Below);
        // Emptied buckets are gone: times NaN they would count.
        assert_eq!(below.positive.iter().collect::<Vec<_>>(), [(1, 4.0)]);
        assert_eq!((below.count, below.sum), (4.0, 4.0 * 2f64.sqrt()));
        let above = trim(&some, 8f64.sqrt(), Keep::Above);
        assert_eq!(above.positive.iter().collect::<Vec<_>>(), [(2, 2.0)]);
    }
}
