//! Quantiles, percentiles and medians of unsorted values.

use std::cmp::Ordering;

use plan::semantics::PercentileMethod;

/// Ascending, NaN first.
pub(crate) fn nan_first(left: &f64, right: &f64) -> Ordering {
    left.partial_cmp(right).unwrap_or_else(|| right.is_nan().cmp(&left.is_nan()))
}

/// The value at `phi` of the way through the sorted values, linear between neighbours. NaN sorts
/// first; outside [0, 1] the answer is infinite. Reorders `values`.
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    let last = values.len() - 1;
    let rank = phi * last as f64;
    let lower = (rank.floor() as usize).min(last);
    let weight = rank - rank.floor();
    // Selection, not sorting: only two neighbours are needed.
    let (_, at_lower, above) = values.select_nth_unstable_by(lower, nan_first);
    let at_lower = *at_lower;
    let at_upper = if lower < last {
        above.iter().copied().min_by(nan_first).unwrap_or(at_lower)
    } else {
        at_lower
    };
    at_lower * (1.0 - weight) + at_upper * weight
}

/// The middle value; of an even count the upper one or the mean. Expects no NaN.
pub(crate) fn median(upper: bool, values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, high, _) = values.select_nth_unstable_by(middle, nan_first);
    let high = *high;
    if upper || !even {
        return high;
    }
    let low = below.iter().copied().max_by(nan_first).unwrap_or(high);
    (low + high) / 2.0
}

/// A percentile (`q` in [0, 1]) by one of the classic estimates. Expects no NaN; sorts `values`.
pub(crate) fn percentile(q: f64, method: PercentileMethod, values: &mut [f64]) -> f64 {
    values.sort_unstable_by(nan_first);
    let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else {
        return f64::NAN;
    };
    let count = values.len() as f64;
    let position = match method {
        PercentileMethod::Legacy => q * (count + 1.0),
        PercentileMethod::Next => (q * (count + 1.0)).ceil(),
        PercentileMethod::R3 => (count * q).round_ties_even(),
        PercentileMethod::R7 => 1.0 + (count - 1.0) * q,
    };
    if position < 1.0 {
        return first;
    }
    if position >= count {
        return last;
    }
    let floor = position.floor();
    let lower = values[floor as usize - 1];
    let upper = values[floor as usize];
    lower + (position - floor) * (upper - lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate_and_leave_the_range() {
        let of = |phi: f64, values: &[f64]| quantile(phi, &mut values.to_vec());
        assert_eq!(of(0.5, &[3.0, 1.0, 2.0, 4.0]), 2.5);
        assert_eq!(of(0.75, &[0.0, 1.0, 2.0]), 1.5);
        assert_eq!(of(0.0, &[2.0, 1.0]), 1.0);
        assert_eq!(of(1.0, &[2.0, 1.0]), 2.0);
        assert_eq!(of(-0.1, &[1.0]), f64::NEG_INFINITY);
        assert_eq!(of(1.1, &[1.0]), f64::INFINITY);
        assert!(of(0.0, &[1.0, f64::NAN]).is_nan());
        assert_eq!(of(1.0, &[1.0, f64::NAN]), 1.0);
        assert!(of(0.5, &[]).is_nan());
    }

    #[test]
    fn medians_and_percentiles_follow_their_estimate() {
        assert_eq!(median(false, &mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(true, &mut [4.0, 1.0, 3.0, 2.0]), 3.0);
        let of = |q, method| percentile(q, method, &mut [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(of(0.5, PercentileMethod::Legacy), 2.5);
        assert_eq!(of(0.99, PercentileMethod::Legacy), 4.0);
        assert_eq!(of(0.5, PercentileMethod::R3), 2.0);
        assert_eq!(of(0.5, PercentileMethod::R7), 2.5);
        assert_eq!(of(0.01, PercentileMethod::R3), 1.0);
    }
}
