//! Functions that set rows against each other.

use std::sync::Arc;

use model::StepGrid;
use plan::semantics::{PercentileMethod, Reducer};
use plan::{Drawing, EvalError, Node, Rows as RowsNode};

use super::choose::score;
use super::present::style_of;
use super::smooth;
use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::order::percentile;
use crate::row::{ABSENT, is_absent};

fn input(rows: &RowsNode, place: usize) -> Result<&Node, ExecError> {
    let missing = || ExecError::Internal(format!("rows without input {place}"));
    rows.inputs.get(place).ok_or_else(missing)
}

/// The row of the first input if it is the only one, else the rows of the second.
pub(super) fn sole(
    executor: &Executor<'_>,
    rows: &RowsNode,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut first = executor.collect(input(rows, 0)?)?;
    match first.as_mut() {
        [(identity, row)] => sink(identity, row),
        _ => {
            drop(first);
            executor.stream(input(rows, 1)?, sink)
        }
    }
}

/// The rows of the second input if the first has any, else those of the third.
pub(super) fn if_any(
    executor: &Executor<'_>,
    rows: &RowsNode,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut any = false;
    executor.stream(input(rows, 0)?, &mut |_, _| {
        any = true;
        Ok(())
    })?;
    executor.stream(input(rows, if any { 1 } else { 2 })?, sink)
}

/// The first rows of all inputs, then the second ones, and so on.
pub(super) fn interleave(
    executor: &Executor<'_>,
    rows: &RowsNode,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let inputs = rows.inputs.iter().map(|input| executor.collect(input));
    let mut inputs: Vec<_> = inputs.collect::<Result<_, _>>()?;
    let longest = inputs.iter().map(crate::row::Rows::len).max().unwrap_or_default();
    for place in 0..longest {
        for rows in &mut inputs {
            if let Some((identity, row)) = rows.as_mut().get_mut(place) {
                sink(identity, row)?;
            }
        }
    }
    Ok(())
}

/// Absent points get `number` where any row of the second input has a point at the same place.
pub(super) fn fill_where(
    executor: &Executor<'_>,
    rows: &RowsNode,
    number: f64,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut known: Vec<bool> = Vec::new();
    executor.stream(input(rows, 1)?, &mut |_, row| {
        known.resize(known.len().max(row.values().len()), false);
        for (known, value) in known.iter_mut().zip(row.values()) {
            *known |= !is_absent(*value);
        }
        Ok(())
    })?;
    executor.stream(input(rows, 0)?, &mut |identity, row| {
        row.samples.integers.clear();
        for (value, known) in row.samples.values.iter_mut().zip(&known) {
            if *known && is_absent(*value) {
                *value = number;
            }
        }
        sink(identity, row)
    })
}

/// Every row of the last input on top of all rows before it.
pub(super) fn stack(
    executor: &Executor<'_>,
    rows: &RowsNode,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut totals: Vec<f64> = Vec::new();
    let last = rows.inputs.len().saturating_sub(1);
    for (place, input) in rows.inputs.iter().enumerate() {
        executor.stream(input, &mut |identity, row| {
            row.samples.integers.clear();
            totals.resize(totals.len().max(row.values().len()), 0.0);
            for (value, total) in row.samples.values.iter_mut().zip(&mut totals) {
                if !is_absent(*value) {
                    *total += *value;
                    *value = *total;
                }
            }
            if place == last { sink(identity, row) } else { Ok(()) }
        })?;
    }
    Ok(())
}

/// Rows from another time, on the grid of the present one.
pub(super) fn restart(
    executor: &Executor<'_>,
    rows: &RowsNode,
    by_ms: i64,
    until_ms: Option<i64>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut present_ms: Option<i64> = None;
    executor.stream(input(rows, 0)?, &mut |identity, row| {
        let Some(grid) = row.grid else { return sink(identity, row) };
        let mut start_ms = grid.start_ms + by_ms;
        if by_ms.rem_euclid(grid.step_ms.max(1)) != 0 {
            if present_ms.is_none() {
                executor.stream(input(rows, 1)?, &mut |_, row| {
                    present_ms = present_ms.or(row.grid.map(|grid| grid.start_ms));
                    Ok(())
                })?;
            }
            start_ms = present_ms.unwrap_or(start_ms);
        }
        let mut count = row.values().len();
        if let Some(until_ms) = until_ms {
            let last_ms = until_ms - until_ms.rem_euclid(grid.step_ms) + grid.step_ms;
            let slots = (last_ms - start_ms).div_euclid(grid.step_ms) + 1;
            count = count.min(usize::try_from(slots).unwrap_or(0));
            row.samples.values.truncate(count);
            row.samples.integers.clear();
        }
        let end_ms = start_ms + count as i64 * grid.step_ms - 1;
        row.grid = Some(StepGrid::new(start_ms, end_ms, grid.step_ms));
        sink(identity, row)
    })
}

/// Two rows as the edges of an area.
pub(super) fn area(
    executor: &Executor<'_>,
    rows: &RowsNode,
    function: &str,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut edges = executor.collect(input(rows, 0)?)?;
    let count = edges.len();
    let [lower, upper] = edges.as_mut() else {
        let reason = format!("{function} needs exactly 2 series (got {count})");
        return Err(EvalError::BadArgument(reason).into());
    };
    let labels = upper.0.labels().clone();
    lower.0.set_labels(labels);
    let title = format!("{function}({})", style_of(&mut upper.0).expression);
    for (edge, invisible) in [(lower, true), (upper, false)] {
        let mut style = style_of(&mut edge.0);
        let drawing = Drawing { stacked: true, invisible, ..Drawing::default() };
        style.drawing = style.drawing.with(&drawing);
        edge.0.style = Some(Arc::new(style));
        edge.0.title = Some(title.as_str().into());
        sink(&mut edge.0, &mut edge.1)?;
    }
    Ok(())
}

/// How far each row lies outside the band of the other two inputs.
pub(super) fn beyond(
    executor: &Executor<'_>,
    rows: &RowsNode,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let lower = executor.collect(input(rows, 1)?)?;
    let upper = executor.collect(input(rows, 2)?)?;
    let mut place = 0;
    executor.stream(input(rows, 0)?, &mut |identity, row| {
        if place >= lower.len() || place >= upper.len() {
            return Ok(());
        }
        let (low, high) = (lower.values(place), upper.values(place));
        place += 1;
        for (index, value) in row.samples.values.iter_mut().enumerate() {
            let edge = |edges: &[f64]| edges.get(index).copied().filter(|edge| !is_absent(*edge));
            let now = *value;
            *value = match (edge(low), edge(high)) {
                _ if is_absent(now) => 0.0,
                (_, Some(high)) if now > high => now - high,
                (Some(low), _) if now < low => now - low,
                _ => 0.0,
            };
        }
        sink(identity, row)
    })
}

/// The lines through the rows of the second input.
pub(super) fn trends(
    executor: &Executor<'_>,
    rows: &RowsNode,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let sources = executor.collect(input(rows, 1)?)?;
    let mut sources = sources.iter();
    executor.stream(input(rows, 0)?, &mut |identity, row| match sources.next() {
        Some((_, source)) if smooth::trend(row, source) => sink(identity, row),
        _ => Ok(()),
    })
}

/// Rows that leave the band between two percentiles.
pub(super) fn outside(
    executor: &Executor<'_>,
    rows: &RowsNode,
    percent: f64,
    number: Option<&Reducer>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut all = executor.collect(input(rows, 0)?)?;
    let keep = match number {
        Some(number) => {
            let mut scratch = Vec::new();
            let numbers: Vec<f64> = all
                .iter()
                .map(|(_, row)| score(number, row, &mut scratch).unwrap_or(ABSENT))
                .collect();
            are_outside(&numbers, percent)
        }
        None => {
            let mut keep = vec![false; all.len()];
            let shortest = all.iter().map(|(_, row)| row.values().len()).min().unwrap_or_default();
            for index in 0..shortest {
                let column: Vec<f64> = all.iter().map(|(_, row)| row.values()[index]).collect();
                let outside = are_outside(&column, percent);
                keep.iter_mut().zip(outside).for_each(|(keep, outside)| *keep |= outside);
            }
            keep
        }
    };
    for ((identity, row), keep) in all.as_mut().iter_mut().zip(keep) {
        if keep {
            sink(identity, row)?;
        }
    }
    Ok(())
}

/// Which numbers do not lie strictly between the two percentiles of all; absent ones never do so.
fn are_outside(numbers: &[f64], percent: f64) -> Vec<bool> {
    let present: Vec<f64> = numbers.iter().copied().filter(|value| !is_absent(*value)).collect();
    let of =
        |percent: f64| percentile(percent / 100.0, PercentileMethod::Next, &mut present.clone());
    let (low, high) = (of(100.0 - percent), of(percent));
    let inside = |value: f64| low < value && value < high;
    numbers.iter().map(|value| !is_absent(*value) && !inside(*value)).collect()
}
