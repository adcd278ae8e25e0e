//! Functions of single values, in place.

use plan::Map;
use plan::semantics::{BinaryOp, MapFunction, Trig};

use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink, pair_at};
use crate::kernels::arithmetic::{combine, max_of, min_of};
use crate::kernels::calendar;
use crate::operators::{difference, distinct};
use crate::row::{ABSENT, Row, is_absent};

/// The mapped rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    map: &Map,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if map.drop_name && distinct::may_collide_without_name(&map.input) {
        distinct::stream(executor, |sink| mapped(executor, map, sink), sink)
    } else {
        mapped(executor, map, sink)
    }
}

fn mapped(executor: &Executor<'_>, map: &Map, sink: &mut Sink<'_>) -> Result<(), ExecError> {
    let arguments = executor.arguments(&map.arguments)?;
    executor.stream(&map.input, &mut |identity, row| {
        apply(&map.function, &arguments, row);
        if map.drop_name {
            identity.drop_name();
        }
        sink(identity, row)
    })
}

/// Applies `function` to every present value of `row`.
pub(crate) fn apply(function: &MapFunction, arguments: &[Argument], row: &mut Row) {
    match function {
        MapFunction::Difference(rule) => return difference::apply(rule, row),
        MapFunction::Integral => return difference::integral(row),
        _ if !row.samples.integers.is_empty() && integral(function, arguments, row) => return,
        _ => row.samples.integers.clear(),
    }
    match function {
        MapFunction::Binary { op, argument_left, return_bool } => {
            binary(*op, *argument_left, *return_bool, arguments, row);
        }
        MapFunction::Timestamp => {
            for index in 0..row.values().len() {
                if !is_absent(row.samples.values[index]) {
                    row.samples.values[index] = row.at(index) as f64 / 1e3;
                }
            }
        }
        MapFunction::Round
        | MapFunction::Clamp
        | MapFunction::ClampMin
        | MapFunction::ClampMax
        | MapFunction::MinOf
        | MapFunction::MaxOf => {
            for (index, value) in row.samples.values.iter_mut().enumerate() {
                if !is_absent(*value) {
                    *value = with_arguments(function, *value, arguments, index);
                }
            }
        }
        _ => {
            for value in row.samples.values.iter_mut().filter(|value| !is_absent(**value)) {
                *value = unary(function, *value);
            }
        }
    }
    if row.grid.is_none() && row.values().iter().any(|value| is_absent(*value)) {
        drop_absent(row);
    }
}

/// Products with a whole number, and absolute values, of rows with exact integers: these stay exact.
/// False for any other function, which leaves the row as it was.
fn integral(function: &MapFunction, arguments: &[Argument], row: &mut Row) -> bool {
    let factor = match (function, arguments) {
        (MapFunction::Abs, _) => None,
        (MapFunction::Binary { op: BinaryOp::Multiply, .. }, [Argument::Constant(factor)])
            if factor.fract() == 0.0 && factor.abs() < 9.2e18 =>
        {
            Some(*factor)
        }
        _ => return false,
    };
    let samples = &mut row.samples;
    for (value, integer) in samples.values.iter_mut().zip(&mut samples.integers) {
        match (integer, factor) {
            (Some(integer), factor) => {
                *integer = match factor {
                    Some(factor) => integer.wrapping_mul(factor as i64),
                    None => integer.wrapping_abs(),
                };
                *value = *integer as f64;
            }
            (None, _) if is_absent(*value) => {}
            (None, Some(factor)) => *value *= factor,
            (None, None) => *value = value.abs(),
        }
    }
    true
}

/// Takes filtered points out of a row of listed instants.
pub(crate) fn drop_absent(row: &mut Row) {
    let samples = &mut row.samples;
    let mut kept = 0;
    for index in 0..samples.values.len() {
        if !is_absent(samples.values[index]) {
            samples.values[kept] = samples.values[index];
            samples.timestamps[kept] = samples.timestamps[index];
            if let Some(integer) = samples.integers.get(index).copied() {
                samples.integers[kept] = integer;
            }
            kept += 1;
        }
    }
    samples.values.truncate(kept);
    samples.timestamps.truncate(kept);
    samples.integers.truncate(kept);
}

fn binary(
    op: BinaryOp,
    argument_left: bool,
    return_bool: bool,
    arguments: &[Argument],
    row: &mut Row,
) {
    let argument = arguments.first().cloned().unwrap_or(Argument::Constant(f64::NAN));
    let values = row.samples.values.iter_mut();
    match (argument, argument_left) {
        (Argument::Constant(argument), false) => values
            .filter(|value| !is_absent(**value))
            .for_each(|value| *value = combine(op, return_bool, *value, argument, *value)),
        (Argument::Constant(argument), true) => values
            .filter(|value| !is_absent(**value))
            .for_each(|value| *value = combine(op, return_bool, argument, *value, *value)),
        (argument, left) => {
            for (index, value) in values.enumerate().filter(|(_, value)| !is_absent(**value)) {
                let other = argument.at(index);
                let (a, b) = if left { (other, *value) } else { (*value, other) };
                *value = combine(op, return_bool, a, b, *value);
            }
        }
    }
}

fn with_arguments(function: &MapFunction, value: f64, arguments: &[Argument], index: usize) -> f64 {
    let [first, second] = pair_at(arguments, index);
    match function {
        MapFunction::Round => {
            let nearest = if arguments.is_empty() { 1.0 } else { first };
            // Multiplying by the inverse keeps 0.1 and its like exact, as the original does.
            let inverse = 1.0 / nearest;
            (value * inverse + 0.5).floor() / inverse
        }
        MapFunction::Clamp if first > second => ABSENT,
        MapFunction::Clamp => max_of(first, min_of(second, value)),
        MapFunction::ClampMin | MapFunction::MaxOf => max_of(first, value),
        _ => min_of(first, value),
    }
}

fn unary(function: &MapFunction, value: f64) -> f64 {
    match function {
        MapFunction::Negate => -value,
        MapFunction::Abs => value.abs(),
        MapFunction::Ceil => value.ceil(),
        MapFunction::Floor => value.floor(),
        MapFunction::Sqrt => value.sqrt(),
        MapFunction::Exp => value.exp(),
        MapFunction::Ln => value.ln(),
        MapFunction::Log2 => value.log2(),
        MapFunction::Log10 => value.log10(),
        MapFunction::Sign if value > 0.0 => 1.0,
        MapFunction::Sign if value < 0.0 => -1.0,
        MapFunction::Trig(trig) => trigonometric(*trig, value),
        MapFunction::Radians => value * std::f64::consts::PI / 180.0,
        MapFunction::Degrees => value * 180.0 / std::f64::consts::PI,
        MapFunction::Date(part) => calendar::part(*part, value),
        _ => value,
    }
}

fn trigonometric(trig: Trig, value: f64) -> f64 {
    match trig {
        Trig::Sin => value.sin(),
        Trig::Cos => value.cos(),
        Trig::Tan => value.tan(),
        Trig::Asin => value.asin(),
        Trig::Acos => value.acos(),
        Trig::Atan => value.atan(),
        Trig::Sinh => value.sinh(),
        Trig::Cosh => value.cosh(),
        Trig::Tanh => value.tanh(),
        Trig::Asinh => value.asinh(),
        Trig::Acosh => value.acosh(),
        Trig::Atanh => value.atanh(),
    }
}
