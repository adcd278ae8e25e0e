//! Cuts rows to a range of time.

use model::{StepGrid, TimeRange};
use plan::Node;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::Row;

/// The rows with the instants inside `range` only.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    range: TimeRange,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    executor.stream(input, &mut |identity, row| {
        clip(row, range);
        sink(identity, row)
    })
}

fn clip(row: &mut Row, range: TimeRange) {
    row.hidden = None;
    let count = row.values().len();
    let (low, high) = match row.grid {
        Some(grid) => {
            let instants = |bound: &dyn Fn(i64) -> bool| {
                let (mut low, mut high) = (0, count);
                while low < high {
                    let middle = (low + high) / 2;
                    if bound(grid.at(middle)) { low = middle + 1 } else { high = middle }
                }
                low
            };
            (instants(&|at| at < range.start_ms), instants(&|at| at <= range.end_ms))
        }
        None => {
            let times = &row.samples.timestamps;
            (
                times.partition_point(|at| *at < range.start_ms),
                times.partition_point(|at| *at <= range.end_ms),
            )
        }
    };
    let (low, high) = (low.min(high), high);
    if let Some(grid) = &mut row.grid {
        let start_ms = grid.at(low);
        let end_ms = if high > low { grid.at(high - 1) } else { start_ms - 1 };
        *grid = StepGrid::new(start_ms, end_ms, grid.step_ms);
    }
    cut(&mut row.samples.timestamps, low, high);
    cut(&mut row.samples.values, low, high);
    cut(&mut row.samples.integers, low, high);
    cut(&mut row.samples.histograms, low, high);
    cut(&mut row.samples.starts, low, high);
    cut(&mut row.samples.summaries, low, high);
}

fn cut<T>(items: &mut Vec<T>, low: usize, high: usize) {
    if items.is_empty() {
        return;
    }
    items.truncate(high);
    items.drain(..low);
}
