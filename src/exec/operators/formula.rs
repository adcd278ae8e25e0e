//! An expression over the rows of several inputs, met by their labels on the union of all instants.
//!
//! All inputs are collected: which instants there are is known when the last row has been seen. The
//! columns of one tuple are filled, computed and pushed on before those of the next.

use std::collections::BTreeMap;

use model::{LabelBuilder, METRIC_NAME};
use plan::formula::{Expression, Formula, Meeting, Operand};
use plan::semantics::BinaryOp;
use plan::{EvalError, node::Number};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::arithmetic::combine;
use crate::row::{Identity, Row, Rows};

/// One row per key, in the order of the keys.
pub(crate) fn stream(
    executor: &Executor<'_>,
    formula: &Formula,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut inputs = Vec::with_capacity(formula.inputs.len());
    for operand in &formula.inputs {
        let mut rows = executor.collect(&operand.node)?;
        rows.as_mut().iter_mut().for_each(|(_, row)| row.list());
        inputs.push(rows);
    }
    let instants = instants(&inputs);
    let columns = formula.inputs.len() + 1;
    let mut held = executor.budget.hold();
    held.add(1, instants.len() * columns)?;
    let tuples = tuples(executor, formula, &mut inputs)?;
    compute(executor, formula, &inputs, &instants, tuples, sink)
}

/// The union of the instants of all rows.
fn instants(inputs: &[Rows<'_>]) -> Vec<i64> {
    let mut instants: Vec<i64> = Vec::new();
    let mut merged = 0;
    let mut last: &[i64] = &[];
    for (_, row) in inputs.iter().flat_map(Rows::iter) {
        let timestamps = row.samples.timestamps.as_slice();
        // Rows mostly stand on the same instants, which then cost a comparison.
        if timestamps == last {
            continue;
        }
        last = timestamps;
        instants.extend_from_slice(timestamps);
        if instants.len() > 2 * merged + 4096 {
            instants.sort_unstable();
            instants.dedup();
            merged = instants.len();
        }
    }
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// Index of the row of each operand, by key.
type Tuples = BTreeMap<Vec<u8>, Vec<Option<usize>>>;

fn tuples(
    executor: &Executor<'_>,
    formula: &Formula,
    inputs: &mut [Rows<'_>],
) -> Result<Tuples, ExecError> {
    let count = inputs.len();
    let mut tuples = Tuples::new();
    for (place, (rows, operand)) in inputs.iter_mut().zip(&formula.inputs).enumerate() {
        for (index, (identity, _)) in rows.as_mut().iter_mut().enumerate() {
            let key = key(executor, identity, operand, formula.meeting);
            tuples.entry(key).or_insert_with(|| vec![None; count])[place] = Some(index);
        }
    }
    if !formula.meeting.union && !tuples.is_empty() {
        tuples.retain(|_, rows| rows.iter().all(Option::is_some));
        if tuples.is_empty() {
            let message = "No intersections found: no labels are common to all operands";
            return Err(EvalError::BadArgument(message.to_owned()).into());
        }
    }
    Ok(tuples)
}

/// The labels of the key, in the order of the numbers of names where there are such.
fn key(
    executor: &Executor<'_>,
    identity: &mut Identity<'_>,
    operand: &Operand,
    meeting: Meeting,
) -> Vec<u8> {
    let counts = |name: &str| {
        let named = operand.keys.as_ref();
        name != METRIC_NAME && named.is_none_or(|names| names.iter().any(|wanted| wanted == name))
    };
    let labels = LabelBuilder::from_labels(identity.labels().view()).retain(counts).build();
    let mut key = match &executor.context.numbers {
        Some(numbers) => numbers.key(&labels),
        None => Vec::new(),
    };
    key.extend_from_slice(&[0, 0]);
    for (name, value) in labels.iter() {
        key.extend_from_slice(name.as_bytes());
        key.push(0);
        key.extend_from_slice(value.as_bytes());
        key.push(0);
    }
    if let Some(disagreeing) = identity.disagreeing.as_ref().filter(|_| meeting.disagreeing) {
        for name in disagreeing.iter() {
            key.extend_from_slice(&[0, 1]);
            key.extend_from_slice(name.as_bytes());
        }
    }
    key
}

fn compute(
    executor: &Executor<'_>,
    formula: &Formula,
    inputs: &[Rows<'_>],
    instants: &[i64],
    tuples: Tuples,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let rows: Vec<Vec<&(Identity<'static>, Row)>> =
        inputs.iter().map(|rows| rows.iter().collect()).collect();
    let mut columns: Vec<Vec<f64>> = vec![Vec::new(); inputs.len()];
    let mut out = Row::default();
    for (_, tuple) in tuples {
        executor.check()?;
        let members: Vec<Option<&(Identity<'static>, Row)>> =
            tuple.iter().zip(&rows).map(|(index, rows)| index.map(|index| rows[index])).collect();
        for ((column, member), operand) in columns.iter_mut().zip(&members).zip(&formula.inputs) {
            fill(column, member.map(|(_, row)| row), instants, operand.fill.0);
        }
        out.reset_to_list();
        out.samples.timestamps.extend_from_slice(instants);
        out.samples.values = evaluate(&formula.expression, &columns, instants.len());
        let identities: Vec<Option<Identity<'_>>> =
            members.iter().map(|member| member.map(|(identity, _)| identity.duplicate())).collect();
        sink(&mut named(identities), &mut out)?;
    }
    Ok(())
}

/// The values of a row at `instants`. A missing row is 0 everywhere, whatever the fill is.
fn fill(column: &mut Vec<f64>, row: Option<&Row>, instants: &[i64], fill: f64) {
    column.clear();
    let Some(row) = row else {
        column.resize(instants.len(), 0.0);
        return;
    };
    let mut points = row.samples.timestamps.iter().zip(row.values()).peekable();
    for at_ms in instants {
        let value = points.next_if(|(point_ms, _)| *point_ms == at_ms).map(|(_, value)| *value);
        column.push(value.filter(|value| !value.is_nan()).unwrap_or(fill));
    }
}

/// The name is that of the first row there is. Labels are those on which the rows agree; a missing
/// first row has none, and any other missing row has no say.
fn named(mut members: Vec<Option<Identity<'_>>>) -> Identity<'static> {
    let mut builder = LabelBuilder::default();
    let name = members.iter_mut().flatten().next();
    let name = name.and_then(|identity| identity.labels().get(METRIC_NAME).map(str::to_owned));
    let mut disagreeing: Vec<String> = Vec::new();
    let mut agreed: Vec<(String, String)> = Vec::new();
    for (place, member) in members.iter_mut().enumerate() {
        let Some(identity) = member else { continue };
        disagreeing.extend(identity.disagreeing.iter().flat_map(|names| names.iter().cloned()));
        let labels = identity.labels();
        let tags = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        if place == 0 {
            agreed = tags.map(|(label, value)| (label.to_owned(), value.to_owned())).collect();
            continue;
        }
        agreed.retain(|(label, value)| {
            let agrees = labels.get(label) == Some(value.as_str());
            if !agrees {
                disagreeing.push(label.clone());
            }
            agrees
        });
    }
    for (label, value) in &agreed {
        builder.set(label, value);
    }
    if let Some(name) = name {
        builder.set(METRIC_NAME, &name);
    }
    disagreeing.sort_unstable();
    disagreeing.dedup();
    let mut identity = Identity::known(builder.build());
    identity.disagreeing = Some(disagreeing.into());
    identity
}

fn evaluate(expression: &Expression, columns: &[Vec<f64>], count: usize) -> Vec<f64> {
    let of = |expression: &Expression| evaluate(expression, columns, count);
    let pairs = |left: &Expression, right: &Expression, combine: &dyn Fn(f64, f64) -> f64| {
        let mut values = of(left);
        values.iter_mut().zip(of(right)).for_each(|(value, other)| *value = combine(*value, other));
        values
    };
    match expression {
        Expression::Operand(index) => columns[*index].clone(),
        Expression::Constant(Number(number)) => vec![*number; count],
        Expression::Binary(op, left, right) => pairs(left, right, &|l, r| binary(*op, l, r)),
        Expression::Both(left, right) => pairs(left, right, &|l, r| flag(truth(l) && truth(r))),
        Expression::Either(left, right) => pairs(left, right, &|l, r| flag(truth(l) || truth(r))),
        Expression::Negate(value) => of(value).into_iter().map(|value| -value).collect(),
        Expression::Not(value) => of(value).into_iter().map(|value| flag(!truth(value))).collect(),
        Expression::Choice(test, yes, no) => {
            let choices = of(yes).into_iter().zip(of(no));
            let tested = of(test).into_iter().zip(choices);
            tested.map(|(test, (yes, no))| if truth(test) { yes } else { no }).collect()
        }
    }
}

fn flag(truth: bool) -> f64 {
    f64::from(u8::from(truth))
}

fn truth(value: f64) -> bool {
    value != 0.0 && !value.is_nan()
}

fn binary(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Divide | BinaryOp::Modulo if right == 0.0 => 0.0,
        op if op.is_comparison() && (left.is_nan() || right.is_nan()) => {
            // NaN is below all numbers: as if it were 0 and every number 1.
            let rank = |value: f64| flag(!value.is_nan());
            combine(op, true, rank(left), rank(right), 0.0)
        }
        op => combine(op, true, left, right, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(op: BinaryOp, left: f64, right: f64) -> f64 {
        let operand = |index| Box::new(Expression::Operand(index));
        let expression = Expression::Binary(op, operand(0), operand(1));
        evaluate(&expression, &[vec![left], vec![right]], 1)[0]
    }

    #[test]
    fn zero_divides_to_zero_and_nan_is_below_numbers() {
        assert_eq!(both(BinaryOp::Divide, 4.0, 0.0), 0.0);
        assert_eq!(both(BinaryOp::Modulo, 4.0, 0.0), 0.0);
        assert_eq!(both(BinaryOp::Divide, 4.0, 8.0), 0.5);
        assert_eq!(both(BinaryOp::Less, f64::NAN, -1e300), 1.0);
        assert_eq!(both(BinaryOp::Equal, f64::NAN, f64::NAN), 1.0);
        assert_eq!(both(BinaryOp::Greater, 2.0, 1.0), 1.0);
        assert_eq!(both(BinaryOp::GreaterOrEqual, 1.0, f64::NAN), 1.0);
    }

    #[test]
    fn points_that_are_missing_or_nan_are_filled() {
        let mut row = Row::default();
        for (at_ms, value) in [(10, 1.0f64), (20, f64::NAN), (40, 4.0)] {
            row.samples.push(at_ms, model::SampleKind::Float, value.to_bits());
        }
        let mut column = Vec::new();
        fill(&mut column, Some(&row), &[10, 20, 30, 40], 7.0);
        assert_eq!(column, vec![1.0, 7.0, 7.0, 4.0]);
        fill(&mut column, None, &[10, 20], 7.0);
        assert_eq!(column, vec![0.0, 0.0]);
    }
}
