//! Functions of single values, in place.

use std::sync::Arc;

use model::Histogram;
use plan::semantics::{BinaryOp, HistogramPart, MapFunction, Trig};
use plan::{Map, Span};

use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink, pair_at};
use crate::kernels::arithmetic::{combine, max_of, min_of};
use crate::kernels::calendar;
use crate::kernels::native::spread;
use crate::operators::pairs::{Paired, paired};
use crate::operators::{difference, distinct};
use crate::row::{ABSENT, Point, Row, is_absent};

/// The mapped rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    map: &Map,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let drops_now = map.drop_name && !executor.naming.at_end;
    if drops_now && distinct::may_collide_without_name(&map.input, executor.naming) {
        distinct::stream(executor, |sink| mapped(executor, map, span, sink), sink)
    } else {
        mapped(executor, map, span, sink)
    }
}

fn mapped(
    executor: &Executor<'_>,
    map: &Map,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let arguments = executor.arguments(&map.arguments)?;
    let trims = matches!(
        map.function,
        MapFunction::Binary { op: BinaryOp::TrimUpper | BinaryOp::TrimLower, .. }
    );
    let wants_histograms = matches!(map.function, MapFunction::Histogram(_));
    executor.stream(&map.input, &mut |identity, row| {
        if row.has_histograms() || trims {
            apply_native(executor, &map.function, &arguments, span, row);
        } else if wants_histograms {
            row.samples.values.fill(ABSENT);
        } else {
            apply(&map.function, &arguments, row);
        }
        if map.drop_name {
            identity.drop_name(executor.naming);
        }
        sink(identity, row)
    })
}

/// Applies `function` to a row with native histograms; most functions only see the floats.
fn apply_native(
    executor: &Executor<'_>,
    function: &MapFunction,
    arguments: &[Argument],
    span: Option<Span>,
    row: &mut Row,
) {
    match function {
        MapFunction::Histogram(part) => {
            for index in 0..row.values().len() {
                let value = row.samples.histogram(index).map(|one| histogram_part(*part, one));
                row.samples.values[index] = value.unwrap_or(ABSENT);
            }
            row.clear_histograms();
        }
        MapFunction::Negate => {
            for histogram in row.samples.histograms.iter_mut().flatten() {
                Arc::make_mut(histogram).scale(-1.0);
            }
            apply(function, arguments, row);
        }
        MapFunction::Timestamp => {
            for index in 0..row.values().len() {
                if row.samples.histogram(index).is_some() {
                    row.samples.values[index] = 0.0;
                }
            }
            row.clear_histograms();
            apply(function, arguments, row);
        }
        MapFunction::Binary { op, argument_left, return_bool } => {
            let compare = (*op, *argument_left, *return_bool);
            binary_native(executor, compare, arguments, span, row);
        }
        _ => {
            row.clear_histograms();
            apply(function, arguments, row);
        }
    }
}

fn histogram_part(part: HistogramPart, histogram: &Histogram) -> f64 {
    match part {
        HistogramPart::Count => histogram.count,
        HistogramPart::Sum => histogram.sum,
        HistogramPart::Average => histogram.sum / histogram.count,
        HistogramPart::StdDev => spread::variance(histogram).sqrt(),
        HistogramPart::StdVar => spread::variance(histogram),
    }
}

fn binary_native(
    executor: &Executor<'_>,
    (op, argument_left, return_bool): (BinaryOp, bool, bool),
    arguments: &[Argument],
    span: Option<Span>,
    row: &mut Row,
) {
    for index in 0..row.values().len() {
        if row.is_absent_at(index) {
            continue;
        }
        let own = row.point(index);
        let [argument, _] = pair_at(arguments, index);
        let argument = Point::Float(argument);
        let (left, right) = if argument_left { (&argument, &own) } else { (&own, &argument) };
        let (paired, note) = paired(op, left, right);
        if let Some(note) = note {
            executor.annotate(note, span);
        }
        let truth = |holds: bool| Point::Float(f64::from(u8::from(holds)));
        row.set_point(
            index,
            match paired {
                Paired::Nothing => Point::Absent,
                Paired::Unequal if return_bool => truth(false),
                Paired::Unequal => Point::Absent,
                Paired::Value(_) if return_bool => truth(true),
                Paired::Value(_) if op.is_comparison() => own,
                Paired::Value(value) => value,
            },
        );
    }
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
