//! The newest sample before each instant of a grid: what every plain selector asks for.

use model::StepGrid;

use crate::operators::fold::cuts::Cut;

/// Instants that are looked at together.
const RUN: usize = 16;
/// Times beyond it are not subtracted from each other.
const TIME_MAX_MS: i64 = i64::MAX / 8;

/// True when no difference between a sample and an edge of a window lies beyond the numbers.
pub(super) fn fits(times: &[i64], grid: StepGrid, (after_ms, until_ms): (i64, i64)) -> bool {
    let near = |at_ms: &i64| (-TIME_MAX_MS..=TIME_MAX_MS).contains(at_ms);
    [grid.start_ms, grid.end_ms, after_ms, until_ms].iter().all(near)
        && times.first().into_iter().chain(times.last()).all(near)
}

/// The same where the windows are cut already.
pub(super) fn fill_cuts(values: &[f64], cuts: &[Cut], slots: &mut [f64]) {
    for (slot, cut) in slots.iter_mut().zip(cuts) {
        if cut.low < cut.high {
            *slot = values[cut.high as usize - 1];
        }
    }
}

/// Fills `slots`, the instants of `grid`, with the newest of the ascending samples in the window of each:
/// those with `at + after_ms < time <= at + until_ms`. Slots without one stay.
pub(super) fn fill(
    (times, values): (&[i64], &[f64]),
    grid: StepGrid,
    edges: (i64, i64),
    slots: &mut [f64],
) {
    // `high` is the number of samples that are not later than the window of the slot at `index`.
    let (mut index, mut high, mut run_from) = (0, 0, 0);
    while index < slots.len() {
        let at_ms = grid.at(index);
        let before = high;
        while high < times.len() && times[high] <= at_ms + edges.1 {
            high += 1;
        }
        if high > 0 && times[high - 1] > at_ms + edges.0 {
            slots[index] = values[high - 1];
        }
        index += 1;
        let stride = high - before;
        if stride == 0 || index < run_from {
            continue;
        }
        // Samples mostly come at one pace, so the next instants have as many each.
        while let Some(run) = slots.get_mut(index..index + RUN)
            && let Some(samples) = times.get(high..=high + RUN * stride)
            && are_paced(samples, stride, grid.at(index), grid.step_ms, edges)
        {
            let newest = values[high + stride - 1..].iter().step_by(stride);
            run.iter_mut().zip(newest).for_each(|(slot, value)| *slot = *value);
            (index, high) = (index + RUN, high + RUN * stride);
        }
        // Where they do not, looking ahead is not worth it for a while.
        run_from = index + RUN;
    }
}

/// True when of `samples`, of which each instant has `stride`, and one more, the last one of each instant is the
/// newest in its window. The signs of all differences are looked at together.
#[inline]
fn are_paced(
    samples: &[i64],
    stride: usize,
    first_ms: i64,
    step_ms: i64,
    (after_ms, until_ms): (i64, i64),
) -> bool {
    let (mut signs, mut at_ms) = (0, first_ms);
    let newest = samples[stride - 1..].iter().step_by(stride);
    for (newest, next) in newest.zip(samples[stride..].iter().step_by(stride)) {
        let since_edge = at_ms + until_ms - newest;
        let since_start = newest - at_ms - after_ms - 1;
        let until_next = next - at_ms - until_ms - 1;
        signs |= since_edge | since_start | until_next;
        at_ms += step_ms;
    }
    signs >= 0
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;

    fn slow(
        (times, values): (&[i64], &[f64]),
        grid: StepGrid,
        (after_ms, until_ms): (i64, i64),
    ) -> Vec<f64> {
        let newest = |index| {
            let at_ms = grid.at(index);
            let inside = |time: &i64| at_ms + after_ms < *time && *time <= at_ms + until_ms;
            times.iter().rposition(inside).map_or(-1.0, |place| values[place])
        };
        (0..grid.len()).map(newest).collect()
    }

    #[test]
    fn the_newest_sample_of_each_window_is_found() {
        let mut rng = Rng::new(11);
        for _ in 0..3000 {
            let gap = [1, 7, 10, 10, 10, 30][rng.below(6) as usize];
            let jitter = [1, 1, 2, 9][rng.below(4) as usize];
            let mut times = Vec::new();
            let mut at_ms = rng.below(60) as i64;
            for _ in 0..rng.below(90) {
                at_ms += gap + rng.below(jitter) as i64;
                // Here and there a gap.
                at_ms += if rng.below(40) == 0 { rng.below(100) as i64 } else { 0 };
                times.push(at_ms);
            }
            let values: Vec<f64> = (0..times.len()).map(|index| index as f64).collect();
            let start_ms = rng.below(50) as i64;
            let grid = StepGrid::new(start_ms, start_ms + rng.below(900) as i64, 10);
            let until_ms = rng.below(9) as i64 - 4;
            let after_ms = until_ms - [1, 5, 10, 50][rng.below(4) as usize];
            let samples = (times.as_slice(), values.as_slice());
            let mut got = vec![-1.0; grid.len()];
            assert!(fits(&times, grid, (after_ms, until_ms)));
            fill(samples, grid, (after_ms, until_ms), &mut got);
            assert_eq!(got, slow(samples, grid, (after_ms, until_ms)), "{times:?} {grid:?}");
        }
    }

    #[test]
    fn times_at_the_end_of_the_numbers_are_left_to_others() {
        let grid = StepGrid::new(0, 100, 10);
        assert!(fits(&[], grid, (-5, 0)));
        assert!(!fits(&[1, i64::MAX], grid, (-5, 0)));
        assert!(!fits(&[1], grid, (i64::MIN, 0)));
    }
}
