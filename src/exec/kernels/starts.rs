//! Start timestamps: since when a sample has been counting, and what that says about resets.

use crate::kernels::window::Window;

/// True when `start_ms` says that a counter began anew between two samples. A start that is not known
/// (0), not before its sample, or that repeats an unknown one says nothing.
pub(crate) fn is_reset(
    previous_start_ms: i64,
    previous_ms: i64,
    start_ms: i64,
    time_ms: i64,
) -> bool {
    if start_ms == 0 || start_ms >= time_ms || start_ms < previous_ms {
        return false;
    }
    if start_ms > previous_ms {
        return true;
    }
    // The start is the sample before: a delta, unless that one's own start is unknown.
    previous_start_ms <= previous_ms && previous_start_ms != 0 && previous_start_ms != previous_ms
}

/// True when a sample's counting began inside what the sample before had counted.
pub(crate) fn overlaps(previous_start_ms: i64, previous_ms: i64, start_ms: i64) -> bool {
    start_ms != 0 && start_ms < previous_ms && start_ms != previous_start_ms
}

/// The start of the window's first sample where it is known and inside the window.
pub(crate) fn inside(starts: &[i64], times: &[i64], window: Window) -> Option<i64> {
    let (start_ms, first_ms) = (*starts.first()?, *times.first()?);
    (start_ms != 0 && start_ms > window.after_ms && start_ms < first_ms).then_some(start_ms)
}

/// By how much growth between a known start and the last sample is stretched to the window's end.
pub(crate) fn stretch(start_ms: i64, times: &[i64], window: Window) -> f64 {
    let (Some(first_ms), Some(last_ms)) = (times.first(), times.last()) else { return 1.0 };
    let seconds = |ms: i64| ms as f64 / 1e3;
    let average = match times.len() {
        0 | 1 => 0.0,
        count => seconds(last_ms - first_ms) / (count - 1) as f64,
    };
    let mut to_end = seconds(window.until_ms - last_ms);
    if to_end >= average * 1.1 {
        to_end = average / 2.0;
    }
    let sampled = seconds(last_ms - start_ms);
    if sampled == 0.0 { 1.0 } else { (sampled + to_end) / sampled }
}

/// Growth of a counter whose samples know their starts, per second of the window if so wanted; and
/// whether starts overlap. `None` without two samples or a start inside the window.
pub(crate) fn increase(
    times: &[i64],
    values: &[f64],
    starts: &[i64],
    window: Window,
    per_second: bool,
) -> (Option<f64>, bool) {
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return (None, false) };
    let mut growth = last - first;
    let mut overlap = false;
    for at in 1..values.len() {
        let (before, now) = (starts[at - 1], starts[at]);
        overlap |= overlaps(before, times[at - 1], now);
        if values[at] < values[at - 1] || is_reset(before, times[at - 1], now, times[at]) {
            growth += values[at - 1];
        }
    }
    let factor = match inside(starts, times, window) {
        Some(start_ms) => {
            growth += first;
            stretch(start_ms, times, window)
        }
        None if values.len() < 2 => return (None, overlap),
        None => {
            let ends = (times[0], times[times.len() - 1]);
            crate::kernels::window::stretch(ends, times.len(), *first, growth, window, true)
        }
    };
    let factor = if per_second { factor / window.seconds() } else { factor };
    (Some(growth * factor), overlap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_tell_resets() {
        assert!(is_reset(5, 10, 11, 20));
        assert!(!is_reset(5, 10, 0, 20));
        assert!(!is_reset(5, 10, 5, 20));
        assert!(is_reset(5, 10, 10, 20));
        assert!(!is_reset(0, 10, 10, 20));
        assert!(!is_reset(10, 10, 10, 20));
        assert!(overlaps(5, 10, 7) && !overlaps(5, 10, 5) && !overlaps(5, 10, 10));
    }

    #[test]
    fn a_known_start_counts_from_zero() {
        let window = Window { at_ms: 20_000, after_ms: 0, until_ms: 20_000 };
        let (growth, overlap) = increase(&[20_000], &[8.0], &[10_000], window, false);
        assert_eq!((growth, overlap), (Some(8.0), false));
        assert_eq!(increase(&[20_000], &[8.0], &[0], window, false).0, None);
    }
}
