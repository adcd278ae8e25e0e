//! Rows thinned to a number of points, on bucket edges that do not move with the request.

use model::StepGrid;
use plan::Node;
use plan::semantics::Reducer;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::align_step::consolidate;
use crate::row::Row;

/// The rows with at most `points_max` points over the span of all of them.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    points_max: usize,
    function: &Reducer,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut rows = executor.collect(input)?;
    let grids = || rows.iter().filter_map(|(_, row)| row.grid);
    let start_ms = grids().map(|grid| grid.start_ms).min().unwrap_or_default();
    let end_ms = grids().map(|grid| grid.at(grid.len())).max().unwrap_or_default();
    let span_ms = (end_ms - start_ms).max(0);
    for (identity, row) in rows.as_mut() {
        executor.check()?;
        let style = identity.style.as_ref();
        let reducer = style.map_or(function, |style| &style.consolidation);
        let share_min = style.map_or(0.0, |style| style.present_min.0);
        condense(row, span_ms, points_max, reducer, share_min);
        sink(identity, row)?;
    }
    Ok(())
}

fn condense(row: &mut Row, span_ms: i64, points_max: usize, reducer: &Reducer, share_min: f64) {
    let Some(grid) = row.grid else { return };
    let step_ms = grid.step_ms;
    let wanted = span_ms as f64 / step_ms as f64;
    row.samples.integers.clear();
    if points_max == 1 {
        let slots = row.values().len();
        row.samples.values = consolidate(row.values(), slots, reducer, share_min);
        let width = step_ms.saturating_mul(slots.max(1) as i64);
        row.grid = Some(StepGrid::new(grid.start_ms, grid.start_ms + width - 1, width));
        return;
    }
    if points_max == 0 || wanted <= points_max as f64 {
        return;
    }
    let slots = (wanted / points_max as f64).ceil() as i64;
    let bucket_ms = slots * step_ms;
    let end_ms = grid.at(grid.len());
    // To the next multiple of the bucket; the points before it are lost, so that edges stand still.
    let nudge_ms =
        bucket_ms + grid.start_ms.rem_euclid(step_ms) - grid.start_ms.rem_euclid(bucket_ms);
    let start_ms = grid.start_ms + nudge_ms;
    let dropped = usize::try_from(nudge_ms / step_ms - 1).unwrap_or(0).min(row.values().len());
    let slots = usize::try_from(slots).unwrap_or(1);
    let mut values = consolidate(&row.values()[dropped..], slots, reducer, share_min);
    let mut out =
        StepGrid::new(start_ms, start_ms + bucket_ms * values.len() as i64 - 1, bucket_ms);
    out.end_ms = out.end_ms.min(end_ms);
    values.truncate(out.len());
    row.samples.values = values;
    row.grid = Some(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::semantics::Arithmetic;

    #[test]
    fn edges_are_multiples_of_the_bucket() {
        let mut row = Row::default();
        let grid = StepGrid::new(60, 650, 10);
        row.reset_to_grid(grid, grid.len());
        for (index, value) in row.samples.values.iter_mut().enumerate() {
            *value = index as f64;
        }
        condense(&mut row, 600, 20, &Reducer::Average(Arithmetic::Plain), 0.0);
        assert_eq!(row.grid.map(|grid| (grid.start_ms, grid.step_ms)), Some((90, 30)));
        assert_eq!(row.values()[0], 3.0);
    }
}
