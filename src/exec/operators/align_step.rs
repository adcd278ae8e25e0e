//! Rows on different steps, brought to the least common multiple of their steps.

use model::StepGrid;
use plan::semantics::{Arithmetic, Reducer};

use crate::kernels::reduce::reduce as reduce_values;
use crate::row::{ABSENT, Identity, Row, Rows, is_absent};

/// Points that a common grid may have; the least common multiple of odd steps can be large, never
/// small, so only hostile grids come near.
const POINTS_MAX: usize = 1 << 26;

/// Brings rows to their least common step, each by its own consolidation; the grid for all of them.
/// Starts are not aligned: place `i` of every row belongs to instant `i` of the grid.
pub(crate) fn on_common_step(rows: &mut [(Identity<'static>, Row)]) -> Option<StepGrid> {
    let grids: Vec<StepGrid> = rows.iter().filter_map(|(_, row)| row.grid).collect();
    let common = common_grid(&grids)?;
    for (identity, row) in rows.iter_mut() {
        let Some(grid) = row.grid else { continue };
        let slots = usize::try_from(common.step_ms / grid.step_ms.max(1)).unwrap_or(1).max(1);
        if slots > 1 {
            let average = Reducer::Average(Arithmetic::Plain);
            let style = identity.style.as_ref();
            let consolidation = style.map_or(&average, |style| &style.consolidation);
            let share_min = style.map_or(0.0, |style| style.present_min.0);
            row.samples.values = consolidate(row.values(), slots, consolidation, share_min);
        }
    }
    // Places count from each row's own start, so a row that began later may reach the common end
    // itself, which is otherwise excluded; and there are no more than the longest row has.
    let longest = rows.iter().map(|(_, row)| row.values().len()).max().unwrap_or_default();
    let count = longest.min(common.len() + 1) as i64;
    let end_ms = common.start_ms + common.step_ms * count - 1;
    Some(StepGrid::new(common.start_ms, end_ms, common.step_ms))
}

/// One row for the group.
pub(crate) fn reduce(reducer: &Reducer, present_min: f64, mut rows: Rows<'_>) -> Row {
    let Some(common) = on_common_step(rows.as_mut()) else { return Row::default() };
    let mut out = Row::default();
    out.reset_to_grid(common, common.len().min(POINTS_MAX));
    let mut column = Vec::new();
    let mut scratch = Vec::new();
    for index in 0..out.samples.values.len() {
        column.clear();
        let values = rows.iter().filter_map(|(_, row)| row.values().get(index).copied());
        column.extend(values.filter(|value| !is_absent(*value)));
        let share = column.len() as f64 / rows.len() as f64;
        let product_gap =
            matches!(reducer, Reducer::Product(_) | Reducer::Power) && column.len() < rows.len();
        out.samples.values[index] = if column.is_empty() || product_gap || share < present_min {
            ABSENT
        } else {
            reduce_values(reducer, &column, f64::NAN, rows.len(), &mut scratch)
        };
    }
    out
}

/// Runs of `slots` values, each to one; a run needs a share of present values. The last, short run
/// is judged against the full length.
pub(crate) fn consolidate(
    values: &[f64],
    slots: usize,
    reducer: &Reducer,
    share_min: f64,
) -> Vec<f64> {
    let mut column = Vec::new();
    let mut scratch = Vec::new();
    let run = |run: &[f64]| {
        column.clear();
        column.extend(run.iter().copied().filter(|value| !is_absent(*value)));
        if column.is_empty() || (column.len() as f64) / (slots as f64) < share_min {
            ABSENT
        } else {
            // A mean over empty slots counts those that exist: the last run may be short.
            reduce_values(reducer, &column, f64::NAN, run.len(), &mut scratch)
        }
    };
    values.chunks(slots.max(1)).map(run).collect()
}

/// The grid that holds all of `grids`: their least common step, from the first start to the last end.
pub(crate) fn common_grid(grids: &[StepGrid]) -> Option<StepGrid> {
    let step_ms = grids.iter().map(|grid| grid.step_ms).reduce(least_common_multiple)?;
    let start_ms = grids.iter().map(|grid| grid.start_ms).min()?;
    // Ends excluded: one step behind the last instant.
    let end_ms = grids.iter().map(|grid| grid.at(grid.len())).max()?;
    let whole_ms = (end_ms - start_ms) - (end_ms - start_ms).rem_euclid(step_ms);
    Some(StepGrid::new(start_ms, start_ms + whole_ms - 1, step_ms))
}

fn least_common_multiple(left: i64, right: i64) -> i64 {
    let (mut a, mut b) = (left, right);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    left.saturating_mul(right / a.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_meet_at_the_common_multiple() {
        let common =
            common_grid(&[StepGrid::new(0, 540_000, 60_000), StepGrid::new(0, 560_000, 40_000)]);
        assert_eq!(common, Some(StepGrid::new(0, 599_999, 120_000)));
        assert_eq!(common.map(|grid| grid.len()), Some(5));
    }

    fn rows(lists: &[(i64, &[f64])]) -> Vec<(Identity<'static>, Row)> {
        let row = |(start_ms, values): &(i64, &[f64])| {
            let mut row = Row::default();
            let end_ms = start_ms + 60_000 * values.len() as i64 - 1;
            row.reset_to_grid(StepGrid::new(*start_ms, end_ms, 60_000), values.len());
            row.samples.values.copy_from_slice(values);
            (Identity::known(model::Labels::empty()), row)
        };
        lists.iter().map(row).collect()
    }

    /// Both found by asking the original the same random targets.
    #[test]
    fn nothing_is_counted_and_nothing_invented() {
        let budget = crate::budget::Budget::new(plan::QueryLimits::default());
        let mut all = Rows::new(&budget);
        for (identity, row) in rows(&[(0, &[1.0, ABSENT]), (0, &[2.0, ABSENT])]) {
            all.push_owned(identity, row).unwrap();
        }
        let counted = reduce(&Reducer::Count, 0.0, all);
        assert_eq!(counted.values()[0], 2.0);
        assert!(is_absent(counted.values()[1]));
        // The one from the start of the request, the other from its first slot on.
        let mut pair = rows(&[(0, &[1.0, 2.0]), (60_000, &[3.0, 4.0])]);
        assert_eq!(on_common_step(&mut pair).map(|grid| grid.len()), Some(2));
    }

    #[test]
    fn short_runs_count_as_long_ones() {
        let values = [1.0, 3.0, ABSENT, ABSENT, 5.0];
        let average = Reducer::Average(Arithmetic::Plain);
        let out = consolidate(&values, 2, &average, 0.6);
        assert_eq!(out[0], 2.0);
        assert!(is_absent(out[1]) && is_absent(out[2]));
        assert_eq!(consolidate(&values, 2, &Reducer::AverageOfSlots, 0.0)[2], 5.0);
    }
}
