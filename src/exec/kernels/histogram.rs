//! Quantiles and shares of histograms given as cumulative buckets.

/// One bucket: everything up to `bound` was counted `count` times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// Upper bound, included.
    pub(crate) bound: f64,
    /// Observations up to it.
    pub(crate) count: f64,
}

/// Neighbouring counts that differ by less than this share are one count: rounding noise of sums.
const NOISE: f64 = 1e-12;

/// Which counts were raised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repair {
    /// Bounds of the lowest and the highest bucket.
    pub(crate) bounds: (f64, f64),
    /// The largest difference.
    pub(crate) difference_max: f64,
}

/// Merges equal bounds of sorted buckets, levels noise and raises counts that fall; `Some` when one
/// fell by more than noise.
pub(crate) fn repair(buckets: &mut Vec<Bucket>) -> Option<Repair> {
    merge_equal(buckets);
    let mut fell: Option<Repair> = None;
    let mut previous = f64::NAN;
    for bucket in buckets.iter_mut() {
        if previous.is_nan() {
            previous = bucket.count;
            continue;
        }
        if bucket.count == previous {
            continue;
        }
        if almost_equal(bucket.count, previous) {
            bucket.count = previous;
        } else if bucket.count < previous {
            let difference = previous - bucket.count;
            bucket.count = previous;
            let repair = fell.get_or_insert(Repair {
                bounds: (bucket.bound, bucket.bound),
                difference_max: difference,
            });
            repair.bounds.1 = bucket.bound;
            repair.difference_max = repair.difference_max.max(difference);
        } else {
            previous = bucket.count;
        }
    }
    fell
}

fn almost_equal(left: f64, right: f64) -> bool {
    if left == right {
        return true;
    }
    let difference = (left - right).abs();
    let size = left.abs() + right.abs();
    if left == 0.0 || right == 0.0 || size < f64::MIN_POSITIVE {
        return difference < NOISE * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < NOISE
}

/// True when the buckets can answer: at least two, the last without a bound, something observed.
fn usable(buckets: &[Bucket]) -> bool {
    buckets.len() >= 2
        && buckets.last().is_some_and(|last| last.bound == f64::INFINITY && last.count != 0.0)
}

/// The value below which the share `q` of the observations lies. Buckets are sorted and repaired.
pub(crate) fn quantile(q: f64, buckets: &[Bucket]) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if !usable(buckets) {
        return f64::NAN;
    }
    let last = buckets.len() - 1;
    let rank = q * buckets[last].count;
    // A count that is not a number never reaches the rank.
    let at = buckets[..last].iter().position(|bucket| bucket.count >= rank).unwrap_or(last);
    if at == last {
        return buckets[last - 1].bound;
    }
    if at == 0 && buckets[0].bound <= 0.0 {
        return buckets[0].bound;
    }
    let (lower, before) =
        if at == 0 { (0.0, 0.0) } else { (buckets[at - 1].bound, buckets[at - 1].count) };
    let inside = buckets[at].count - before;
    lower + (buckets[at].bound - lower) * ((rank - before) / inside)
}

/// The share of the observations between two values. Buckets are sorted, equal bounds merged.
pub(crate) fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let Some(total) = buckets.last().filter(|last| last.bound == f64::INFINITY) else {
        return f64::NAN;
    };
    if total.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank = |value| rank_of(value, buckets).min(total.count);
    (rank(upper) - rank(lower)) / total.count
}

/// How many observations lie below `value`, linear inside buckets of finite width.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let at = buckets.partition_point(|bucket| bucket.bound < value);
    let Some(bucket) = buckets.get(at) else { return f64::INFINITY };
    let (edge, before) = match at.checked_sub(1).map(|index| buckets[index]) {
        Some(below) => (below.bound, below.count),
        None if bucket.bound <= 0.0 => (f64::NEG_INFINITY, 0.0),
        None => (0.0, 0.0),
    };
    if value <= edge {
        before
    } else if value == bucket.bound || edge == f64::NEG_INFINITY {
        // The observations of a bucket without a lower edge count as being at its bound.
        bucket.count
    } else {
        before + (bucket.count - before) * (value - edge) / (bucket.bound - edge)
    }
}

/// Merges equal bounds of sorted buckets.
pub(crate) fn merge_equal(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|later, earlier| {
        let same = later.bound == earlier.bound;
        if same {
            earlier.count += later.count;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(bound, count)| Bucket { bound: *bound, count: *count }).collect()
    }

    #[test]
    fn quantiles_interpolate_inside_a_bucket() {
        let inf = f64::INFINITY;
        let some = buckets(&[(1.0, 1.0), (2.0, 3.0), (inf, 4.0)]);
        assert_eq!(quantile(0.25, &some), 1.0);
        assert_eq!(quantile(0.5, &some), 1.5);
        assert_eq!(quantile(0.99, &some), 2.0);
        assert_eq!(quantile(0.0, &some), 0.0);
        assert!(quantile(0.5, &buckets(&[(1.0, 1.0)])).is_nan());
        assert!(quantile(0.5, &buckets(&[(1.0, 0.0), (inf, 0.0)])).is_nan());
        assert_eq!(quantile(0.1, &buckets(&[(-1.0, 1.0), (inf, 2.0)])), -1.0);
    }

    #[test]
    fn falling_counts_are_raised() {
        let mut some = buckets(&[(1.0, 5.0), (2.0, 3.0), (2.0, 1.0), (4.0, 6.0)]);
        let done = repair(&mut some).unwrap();
        assert_eq!((done.bounds, done.difference_max), ((2.0, 2.0), 1.0));
        assert_eq!(some, buckets(&[(1.0, 5.0), (2.0, 5.0), (4.0, 6.0)]));
        let mut noisy = buckets(&[(1.0, 5.0), (2.0, 5.0 - 1e-13)]);
        assert_eq!(repair(&mut noisy), None);
        assert_eq!(noisy[1].count, 5.0);
    }

    #[test]
    fn fractions_count_what_lies_between() {
        let some = buckets(&[(1.0, 1.0), (2.0, 3.0), (f64::INFINITY, 4.0)]);
        assert_eq!(fraction(0.0, 2.0, &some), 0.75);
        assert_eq!(fraction(1.0, 1.5, &some), 0.25);
        assert_eq!(fraction(2.0, 1.0, &some), 0.0);
    }
}
