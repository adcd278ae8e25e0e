//! Rows of one input with rows of another.

use plan::node::Text;
use plan::semantics::BinaryOp;
use plan::{EvalError, Missing, Node, Pairing, Ratio, Rows as RowsNode};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::align_step;
use crate::row::{ABSENT, Identity, Row, Rows, is_absent};

/// Stands for the side that is not there.
const MISSING: &str = "MISSING";

/// One row for each pair.
pub(super) fn stream(
    executor: &Executor<'_>,
    rows: &RowsNode,
    ratio: &Ratio,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let [left, right] = rows.inputs.as_slice() else {
        return Err(ExecError::Internal("a ratio needs two inputs".to_owned()));
    };
    let mut right = executor.collect(right)?;
    match right.as_mut() {
        [divisor] => over_one(executor, left, divisor, ratio, sink),
        [] if ratio.pairing == Pairing::One => over_none(executor, left, ratio, sink),
        _ => sorted(executor, left, right, ratio, sink),
    }
}

fn over_one(
    executor: &Executor<'_>,
    left: &Node,
    divisor: &mut (Identity<'static>, Row),
    ratio: &Ratio,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut any = false;
    executor.stream(left, &mut |identity, row| {
        any = true;
        paired(identity, row, divisor, ratio);
        sink(identity, row)
    })?;
    if !any && ratio.missing == Missing::Both {
        let (identity, row) = divisor;
        let title = identity.title_or_name();
        identity.title = Some(call(ratio, MISSING, &title));
        row.samples.values.fill(ABSENT);
        sink(identity, row)?;
    }
    Ok(())
}

fn over_none(
    executor: &Executor<'_>,
    left: &Node,
    ratio: &Ratio,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if ratio.missing == Missing::Dropped {
        return Ok(());
    }
    executor.stream(left, &mut |identity, row| {
        let title = identity.title_or_name();
        identity.title = Some(call(ratio, &title, MISSING));
        row.samples.values.fill(ABSENT);
        sink(identity, row)
    })
}

/// Both sides sorted by title, one by one.
fn sorted(
    executor: &Executor<'_>,
    left: &Node,
    mut right: Rows<'_>,
    ratio: &Ratio,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut left = executor.collect(left)?;
    if ratio.pairing == Pairing::One || left.len() != right.len() {
        return Err(EvalError::BadArgument(ratio.mismatch.clone()).into());
    }
    for side in [left.as_mut(), right.as_mut()] {
        side.iter_mut().for_each(|(identity, _)| identity.title = Some(identity.title_or_name()));
        side.sort_by(|(one, _), (other, _)| one.title.cmp(&other.title));
    }
    for ((identity, row), divisor) in left.as_mut().iter_mut().zip(right.as_mut()) {
        executor.check()?;
        paired(identity, row, divisor, ratio);
        sink(identity, row)?;
    }
    Ok(())
}

fn call(ratio: &Ratio, left: &str, right: &str) -> Text {
    format!("{}({left},{right})", ratio.function).into()
}

/// Makes the row that of the pair.
fn paired(
    identity: &mut Identity<'_>,
    row: &mut Row,
    divisor: &mut (Identity<'static>, Row),
    ratio: &Ratio,
) {
    let title = call(ratio, &identity.title_or_name(), &divisor.0.title_or_name());
    let mut pair = [(identity.keep(), row.clone()), (divisor.0.keep(), divisor.1.clone())];
    let grid = align_step::on_common_step(&mut pair);
    let [(_, left), (_, right)] = &pair;
    let grid = grid.unwrap_or_else(|| model::StepGrid::instant(0));
    row.reset_to_grid(grid, grid.len());
    let points = left.values().iter().zip(right.values());
    for (out, (left, right)) in row.samples.values.iter_mut().zip(points) {
        *out = value(ratio, *left, *right);
    }
    identity.title = Some(title);
}

fn value(ratio: &Ratio, left: f64, right: f64) -> f64 {
    if is_absent(left) || is_absent(right) {
        return ABSENT;
    }
    match ratio.op {
        BinaryOp::Multiply => left * right * ratio.factor.0,
        _ if right == 0.0 => ABSENT,
        _ => left / right * ratio.factor.0,
    }
}
