//! Rows without labels: constants, the clock, and the way between scalars and vectors.

use model::{Labels, StepGrid};
use plan::Node;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::{Identity, Row, is_absent};

/// The same number at every instant.
pub(crate) fn constant(number: f64, grid: StepGrid, sink: &mut Sink<'_>) -> Result<(), ExecError> {
    let mut row = Row::default();
    row.reset_to_grid(grid, grid.len());
    row.samples.values.fill(number);
    sink(&mut Identity::known(Labels::empty()), &mut row)
}

/// Every instant in seconds.
pub(crate) fn time(grid: StepGrid, sink: &mut Sink<'_>) -> Result<(), ExecError> {
    let mut row = Row::default();
    row.reset_to_grid(grid, grid.len());
    for (index, value) in row.samples.values.iter_mut().enumerate() {
        *value = grid.at(index) as f64 / 1e3;
    }
    sink(&mut Identity::known(Labels::empty()), &mut row)
}

/// The single value of each row, at every instant of `grid`.
pub(crate) fn repeat(
    executor: &Executor<'_>,
    input: &Node,
    grid: StepGrid,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let steps = grid.len();
    let mut out = Row::default();
    executor.stream(input, &mut |identity, row| {
        if let Some(value) = row.values().first() {
            out.reset_to_grid(grid, steps);
            out.samples.values.fill(*value);
            if let Some(histogram) = row.samples.histogram(0) {
                out.samples.histograms.resize(steps, Some(histogram.clone()));
            }
            sink(identity, &mut out)?;
        }
        Ok(())
    })
}

/// The value of the only present row, NaN where there is not exactly one.
pub(crate) fn to_scalar(
    executor: &Executor<'_>,
    input: &Node,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let Some(grid) = plan::check::grid(input) else {
        return Err(ExecError::Internal("a scalar of rows without a grid".to_owned()));
    };
    let steps = grid.len();
    let mut out = Row::default();
    out.reset_to_grid(grid, steps);
    let mut several = vec![false; steps];
    executor.stream(input, &mut |_, row| {
        for (index, value) in row.values().iter().enumerate().take(steps) {
            if !is_absent(*value) {
                several[index] |= !is_absent(out.samples.values[index]);
                out.samples.values[index] = *value;
            }
        }
        Ok(())
    })?;
    for (value, several) in out.samples.values.iter_mut().zip(several) {
        if several || is_absent(*value) {
            *value = f64::NAN;
        }
    }
    sink(&mut Identity::known(Labels::empty()), &mut out)
}
