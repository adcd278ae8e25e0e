//! Least squares, smoothing and deviations over one window.

use crate::kernels::arithmetic::Compensated;
use crate::kernels::order::quantile;

/// A straight line through a window.
pub(crate) struct Line {
    /// Growth per second.
    pub(crate) slope: f64,
    /// Value at the time the fit was asked for.
    pub(crate) intercept: f64,
}

/// Fits a line to at least two samples; its intercept is the value at `origin_ms`.
pub(crate) fn line(timestamps: &[i64], values: &[f64], origin_ms: i64) -> Line {
    let first = values.first().copied().unwrap_or(f64::NAN);
    if values.iter().all(|value| *value == first) {
        // Exact for a constant; the sums below would only be nearly so.
        return if first.is_infinite() {
            Line { slope: f64::NAN, intercept: f64::NAN }
        } else {
            Line { slope: 0.0, intercept: first }
        };
    }
    let mut x_sum = Compensated::default();
    let mut y_sum = Compensated::default();
    let mut xy_sum = Compensated::default();
    let mut xx_sum = Compensated::default();
    for (timestamp_ms, y) in timestamps.iter().zip(values) {
        let x = (timestamp_ms - origin_ms) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let count = values.len() as f64;
    let (x, y) = (x_sum.value(), y_sum.value());
    let covariance = xy_sum.value() - x * y / count;
    let variance = xx_sum.value() - x * x / count;
    let slope = covariance / variance;
    Line { slope, intercept: y / count - slope * x / count }
}

/// Holt's linear smoothing of at least two values; the smoothed last value.
pub(crate) fn double_exponential(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
    let mut before = 0.0;
    let mut smoothed = values[0];
    let mut trend = values[1] - values[0];
    for (index, value) in values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (smoothed - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (smoothed + trend);
        before = smoothed;
        smoothed = next;
    }
    smoothed
}

/// Median of the distances to the median; NaN when any value is.
pub(crate) fn median_absolute_deviation(values: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(values);
    let middle = quantile(0.5, scratch);
    scratch.iter_mut().for_each(|value| *value = (*value - middle).abs());
    quantile(0.5, scratch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        let fit = line(&[0, 1000, 2000], &[1.0, 3.0, 5.0], 1000);
        assert_eq!((fit.slope, fit.intercept), (2.0, 3.0));
        let flat = line(&[0, 7], &[4.0, 4.0], 0);
        assert_eq!((flat.slope, flat.intercept), (0.0, 4.0));
    }

    #[test]
    fn smoothing_follows_a_line_exactly() {
        assert_eq!(double_exponential(&[1.0, 2.0, 3.0, 4.0], 0.5, 0.5), 4.0);
    }

    #[test]
    fn deviations_need_numbers() {
        let mut scratch = Vec::new();
        assert_eq!(median_absolute_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0], &mut scratch), 2.0);
        assert!(median_absolute_deviation(&[1.0, f64::NAN], &mut scratch).is_nan());
    }
}
