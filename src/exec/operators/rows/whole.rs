//! Changes of one row that look at all of it: its level, its buckets of time, its gaps.

use base::rng::Rng;
use model::StepGrid;
use plan::semantics::{PercentileMethod, Reducer};

use super::choose::score;
use super::shape::{BUCKETS_MAX, summarize_from};
use crate::kernels::order::percentile;
use crate::row::{ABSENT, Row, is_absent};

/// One number of the row at every instant.
pub(super) fn level(row: &mut Row, number: &Reducer, grid: Option<StepGrid>) {
    let level = score(number, row, &mut Vec::new()).unwrap_or(ABSENT);
    if let Some(grid) = grid {
        row.reset_to_grid(grid, grid.len());
    }
    row.samples.values.fill(level);
}

/// Points above (or below) the row's own percentile become absent.
pub(super) fn bound(values: &mut [f64], quantile: f64, above: bool) {
    let mut present: Vec<f64> = values.iter().copied().filter(|value| !is_absent(*value)).collect();
    if present.is_empty() {
        return;
    }
    let bound = percentile(quantile, PercentileMethod::Next, &mut present);
    for value in values.iter_mut().filter(|value| !is_absent(**value)) {
        if (above && *value > bound) || (!above && *value < bound) {
            *value = ABSENT;
        }
    }
}

/// Rates per second to hits in buckets, of which the last ends with the row.
pub(super) fn hits(row: &mut Row, interval_ms: i64, from_first: bool) {
    let Some(grid) = row.grid else { return };
    let mut end_ms = grid.at(row.values().len());
    if from_first {
        let whole = (end_ms - grid.start_ms).div_euclid(interval_ms);
        end_ms = grid.start_ms + (whole + 1) * interval_ms;
    }
    let length_ms = end_ms - grid.start_ms;
    let buckets = (length_ms + interval_ms - 1).div_euclid(interval_ms);
    let buckets = usize::try_from(buckets).unwrap_or(0).min(BUCKETS_MAX);
    let start_ms = end_ms - buckets as i64 * interval_ms;
    let mut out = Row::default();
    out.reset_to_grid(StepGrid::new(start_ms, end_ms - 1, interval_ms), buckets);
    let sums = &mut out.samples.values;
    for (index, value) in row.values().iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
        let from_ms = grid.at(index) - start_ms;
        spread(sums, *value, (from_ms, from_ms + grid.step_ms), interval_ms);
    }
    *row = out;
}

/// Adds a rate that holds from `from_ms` to `until_ms` to the buckets that it touches.
fn spread(sums: &mut [f64], rate: f64, (from_ms, until_ms): (i64, i64), interval_ms: i64) {
    let until_ms = until_ms.min(sums.len() as i64 * interval_ms);
    let mut at_ms = from_ms.max(0);
    while at_ms < until_ms {
        let bucket = at_ms.div_euclid(interval_ms);
        let next_ms = ((bucket + 1) * interval_ms).min(until_ms);
        let Some(sum) = usize::try_from(bucket).ok().and_then(|bucket| sums.get_mut(bucket)) else {
            return;
        };
        let hits = rate * ((next_ms - at_ms) as f64 / 1000.0);
        *sum = if is_absent(*sum) { hits } else { *sum + hits };
        at_ms = next_ms;
    }
}

/// Running sum that begins anew with every interval; an absent point shows the sum.
pub(super) fn integral(row: &mut Row, interval_ms: i64, origin_ms: i64) {
    let Some(grid) = row.grid else { return };
    let interval = |at_ms: i64| (at_ms - origin_ms).div_euclid(interval_ms);
    let mut sum = 0.0;
    for (index, value) in row.samples.values.iter_mut().enumerate() {
        let at_ms = grid.at(index);
        if interval(at_ms) != interval(at_ms - grid.step_ms) {
            sum = 0.0;
        }
        if !is_absent(*value) {
            sum += *value;
        }
        *value = sum;
    }
}

/// A row with a value at every n-th instant only is brought to that wider step: the first two values
/// tell it, a lonely third one at the same distance confirms it. Zeros do not count as values here.
pub(super) fn compress(row: &mut Row) {
    let Some(grid) = row.grid else { return };
    let there = |index: usize| {
        row.values().get(index).is_some_and(|value| !is_absent(*value) && *value != 0.0)
    };
    let mut places = (0..row.values().len()).filter(|index| there(*index));
    let (Some(first), Some(second)) = (places.next(), places.next()) else { return };
    let period = second - first;
    let third = second + period;
    let lonely = |index: usize| row.values().get(index).is_some_and(|value| is_absent(*value));
    if period > 1 && there(third) && lonely(third - 1) && lonely(third + 1) {
        let step_ms = grid.step_ms * period as i64;
        let end_ms = grid.at(row.values().len());
        summarize_from(row, (grid.at(first), end_ms), step_ms, &Reducer::Last, 0.0);
    }
}

/// Points whose instant, counted from `origin_ms`, lies outside become absent.
pub(super) fn slice(row: &mut Row, origin_ms: i64, from_ms: i64, until_ms: i64) {
    let Some(grid) = row.grid else { return };
    for (index, value) in row.samples.values.iter_mut().enumerate() {
        let at_ms = origin_ms + index as i64 * grid.step_ms;
        if at_ms < from_ms || at_ms > until_ms {
            *value = ABSENT;
        }
    }
}

/// Starts at 0 and moves by up to a half each step.
pub(super) fn walk(values: &mut [f64], seed: u64) {
    let mut rng = Rng::new(seed);
    let mut at = 0.0;
    for value in values {
        *value = at;
        at += rng.unit_f64() - 0.5;
    }
}

/// How many of the instants fall into each slot.
pub(super) fn count(row: &mut Row, instants: &[i64]) {
    let Some(grid) = row.grid else { return };
    row.samples.values.fill(ABSENT);
    for instant in instants {
        let place = (instant - grid.start_ms).div_euclid(grid.step_ms.max(1));
        let slot = usize::try_from(place).ok().and_then(|at| row.samples.values.get_mut(at));
        if let Some(value) = slot {
            *value = if is_absent(*value) { 1.0 } else { *value + 1.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step_ms: i64, values: &[f64]) -> Row {
        let mut row = Row::default();
        let end_ms = step_ms * values.len() as i64 - 1;
        row.reset_to_grid(StepGrid::new(0, end_ms, step_ms), values.len());
        row.samples.values.copy_from_slice(values);
        row
    }

    #[test]
    fn hits_spread_over_the_buckets_they_touch() {
        let mut coarse = row(5000, &[2.0, ABSENT]);
        hits(&mut coarse, 2000, false);
        assert_eq!(coarse.values()[..3], [4.0, 4.0, 2.0]);
        assert!(is_absent(coarse.values()[3]) && is_absent(coarse.values()[4]));
    }

    #[test]
    fn gaps_that_repeat_are_compressed() {
        let mut periodic = row(10, &[ABSENT, 1.0, ABSENT, 2.0, ABSENT, 3.0, ABSENT]);
        compress(&mut periodic);
        assert_eq!(periodic.values(), [1.0, 2.0, 3.0]);
        let mut dense = row(10, &[1.0, 2.0, 3.0]);
        compress(&mut dense);
        assert_eq!(dense.values().len(), 3);
    }

    #[test]
    fn sums_begin_anew() {
        let mut minutes = row(60, &[1.0, ABSENT, 1.0, 1.0]);
        integral(&mut minutes, 120, 0);
        assert_eq!(minutes.values(), [1.0, 1.0, 1.0, 2.0]);
    }
}
