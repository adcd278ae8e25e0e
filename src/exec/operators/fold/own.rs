//! Series on steps of their own: which slots a row has, and wide slots merged from narrow ones.

use model::{StepGrid, TimeRange};
use plan::slots::{Merge, SlotRules};

use crate::error::ExecError;
use crate::kernels::reduce::reduce;
use crate::row::Row;

/// Distances of samples that are looked at.
const GAPS_MAX: usize = 256;
/// Distances without which nothing is learned.
const GAPS_MIN: usize = 3;
/// The longest step that is learned, in milliseconds: an hour.
const LEARNED_MAX_MS: i64 = 3_600_000;
/// Points of a row on a learned step; more, and the default counts.
const LEARNED_POINTS_MAX: i64 = 1_000_000;
/// Steps that senders have, in seconds; a distance within a twentieth of one is that one.
const USUAL_STEPS_S: [i64; 16] =
    [1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600];

/// The slots of a title, as whisper cuts a request; `None` where the whole range is too old for it.
/// `times` are those of its samples.
pub(crate) fn own_grid(
    range: TimeRange,
    slots: &SlotRules,
    title: &str,
    times: &[i64],
) -> Option<StepGrid> {
    let Some(rule) = slots.rule(title) else {
        let learned = if slots.learned { learn(range, times) } else { None };
        return Some(grid(range.start_ms, range.end_ms, learned.unwrap_or(slots.default_step_ms)));
    };
    if range.end_ms < rule.after_ms {
        return None;
    }
    let step_ms = rule.steps_ms.last().copied().unwrap_or(slots.default_step_ms);
    Some(grid(range.start_ms.max(rule.after_ms), range.end_ms, step_ms))
}

fn grid(start_ms: i64, end_ms: i64, step_ms: i64) -> StepGrid {
    let step_ms = step_ms.max(1);
    let first_ms = start_ms - start_ms.rem_euclid(step_ms) + step_ms;
    let last_ms = end_ms - end_ms.rem_euclid(step_ms);
    StepGrid::new(first_ms, last_ms.max(first_ms), step_ms)
}

/// The usual distance of ascending samples: that which a quarter of them does not exceed, so that
/// gaps do not count, brought to a usual step or to whole seconds.
fn learn(range: TimeRange, times: &[i64]) -> Option<i64> {
    let mut gaps: Vec<i64> =
        times.windows(2).take(GAPS_MAX).map(|pair| pair[1] - pair[0]).collect();
    if gaps.len() < GAPS_MIN {
        return None;
    }
    let quarter = gaps.len() / 4;
    let gap_ms = *gaps.select_nth_unstable(quarter).1;
    let usual = USUAL_STEPS_S.iter().map(|step| step * 1000);
    let near = |step: &i64| (gap_ms - step).abs() * 20 <= *step;
    let step_ms = usual.into_iter().find(near).unwrap_or((gap_ms + 500) / 1000 * 1000);
    let fits = range.end_ms.saturating_sub(range.start_ms) / step_ms.max(1) <= LEARNED_POINTS_MAX;
    (fits && (1000..=LEARNED_MAX_MS).contains(&step_ms)).then_some(step_ms)
}

/// Fills `out`, a row on the widest of `steps_ms`, from the samples of `row`: the narrowest slots take
/// their last sample, each wider one what `merge` makes of the narrower. Memory is that of the samples.
pub(super) fn merge_up(
    row: &Row,
    grid: StepGrid,
    steps_ms: &[i64],
    merge: &Merge,
    out: &mut Row,
) -> Result<(), ExecError> {
    out.reset_to_grid(grid, grid.len());
    let Some((narrowest, wider)) = steps_ms.split_first() else { return Ok(()) };
    let slot = |at_ms: i64, step_ms: i64| at_ms - at_ms.rem_euclid(step_ms.max(1));
    let times = row.samples.timestamps.iter().map(|at_ms| slot(*at_ms, *narrowest));
    let mut slots: Vec<(i64, f64)> = times.zip(row.values().iter().copied()).collect();
    // Of one slot the last sample stays.
    slots.reverse();
    slots.dedup_by_key(|(at_ms, _)| *at_ms);
    slots.reverse();
    let (mut values, mut scratch, mut below_ms) = (Vec::new(), Vec::new(), *narrowest);
    for step_ms in wider {
        let total = usize::try_from(step_ms / below_ms.max(1)).unwrap_or(1).max(1);
        let mut merged = Vec::with_capacity(slots.len() / total + 1);
        for run in slots.chunk_by(|a, b| slot(a.0, *step_ms) == slot(b.0, *step_ms)) {
            if (run.len() as f64) / (total as f64) < merge.present_min.0 {
                continue;
            }
            values.clear();
            values.extend(run.iter().map(|(_, value)| *value));
            let value = reduce(&merge.reducer, &values, 0.0, total, &mut scratch);
            merged.extend(run.first().map(|(at_ms, _)| (slot(*at_ms, *step_ms), value)));
        }
        (slots, below_ms) = (merged, *step_ms);
    }
    for (at_ms, value) in slots {
        let index = usize::try_from((at_ms - grid.start_ms).div_euclid(grid.step_ms));
        if let Some(place) = index.ok().and_then(|index| out.samples.values.get_mut(index)) {
            *place = value;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::node::Number;
    use plan::semantics::Reducer;

    fn merged(samples: &[(i64, f64)], steps_ms: &[i64], merge: &Merge, until_ms: i64) -> Vec<f64> {
        let mut row = Row::default();
        for (at_ms, value) in samples {
            row.samples.timestamps.push(*at_ms);
            row.samples.values.push(*value);
        }
        let mut out = Row::default();
        let step_ms = *steps_ms.last().unwrap();
        let grid = StepGrid::new(0, until_ms, step_ms);
        merge_up(&row, grid, steps_ms, merge, &mut out).unwrap();
        out.values().to_vec()
    }

    #[test]
    fn wide_slots_are_merged_width_by_width() {
        let samples = [(0, 1.0), (9, 2.0), (10, 4.0), (20, 6.0), (35, 8.0), (60, 5.0)];
        let average = Merge { present_min: Number(0.0), ..Merge::DEFAULT };
        // Slots of 10: 2, 4, 6, 8, -, -, 5; of 20: 3, 7, -, 5; of 40: 5, 5.
        assert_eq!(merged(&samples, &[10, 20, 40], &average, 79), [5.0, 5.0]);
        let sum = Merge { reducer: Reducer::Sum(plan::semantics::Arithmetic::Plain), ..average };
        assert_eq!(merged(&samples, &[10, 40], &sum, 79), [20.0, 5.0]);
        // One of four is less than a half.
        let got = merged(&samples, &[10, 40], &Merge::DEFAULT, 79);
        assert!(got[0] == 5.0 && crate::row::is_absent(got[1]));
    }

    #[test]
    fn steps_are_learned_from_distances() {
        let range = TimeRange::new(0, 3_600_000);
        let times = |step: i64| (0..20).map(|i| i * step + i % 2).collect::<Vec<i64>>();
        assert_eq!(learn(range, &times(10_000)), Some(10_000));
        assert_eq!(learn(range, &times(14_600)), Some(15_000));
        assert_eq!(learn(range, &times(47_000)), Some(47_000));
        assert_eq!(learn(range, &times(100)), None);
        assert_eq!(learn(range, &[0, 60_000, 120_000]), None);
        assert_eq!(learn(range, &[0, 240_000, 300_000, 540_000]), Some(60_000));
    }
}
