//! The newest sample before each instant of a grid: what every plain selector asks for.

use model::StepGrid;

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

/// Fills `slots`, the instants of `grid`, with the newest of the ascending samples in the window of each:
/// those with `at + after_ms < time <= at + until_ms`. Slots without one stay.
pub(super) fn fill(
    (times, values): (&[i64], &[f64]),
    grid: StepGrid,
    (after_ms, until_ms): (i64, i64),
    slots: &mut [f64],
) {
    // `high` is the number of samples that are not later than the window of the slot at `index`.
    let (mut index, mut high) = (0, 0);
    while index < slots.len() {
        let at_ms = grid.at(index);
        while high < times.len() && times[high] <= at_ms + until_ms {
            high += 1;
        }
        if high > 0 && times[high - 1] > at_ms + after_ms {
            slots[index] = values[high - 1];
        }
        index += 1;
        while let (Some(run), Some(samples)) =
            (slots.get_mut(index..index + RUN), times.get(high..=high + RUN))
            && each_has_its_own(samples, grid.at(index), grid.step_ms, (after_ms, until_ms))
        {
            run.copy_from_slice(&values[high..high + RUN]);
            (index, high) = (index + RUN, high + RUN);
        }
    }
}

/// True when of `samples`, one more than a run has, each but the last is the newest one of its instant: samples
/// mostly come as often as they are asked for. The signs of all differences are looked at together.
fn each_has_its_own(
    samples: &[i64],
    first_ms: i64,
    step_ms: i64,
    (after_ms, until_ms): (i64, i64),
) -> bool {
    let (mut signs, mut at_ms) = (0, first_ms);
    for pair in samples.windows(2) {
        let (too_late, too_old, next) = (
            at_ms + until_ms - pair[0],
            pair[0] - at_ms - after_ms - 1,
            pair[1] - at_ms - until_ms - 1,
        );
        signs |= too_late | too_old | next;
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
