//! Functions of each series by itself.

use base::printf::{Conversion, Spec};
use jiff::Unit;
use plan::semantics::{BinaryOp, DifferenceRule, Falls, FirstPoint, Gaps, MapFunction, Reducer};
use plan::{ExpressionRule, Node, Op, Presentation, Rows, RowsFunction, node::Number};

use super::shift::{self, Begin};
use super::{Lowering, binary, constant_node, map, present, reducer, rows, wrap, wrapped};
use crate::graphite::argument::Arguments;
use crate::graphite::ast::ExprKind;
use crate::graphite::error::GraphiteError;
use crate::graphite::number::{general, integer, python};

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// The values changed by `change`, called `<name>(n)` and marked `name=mark`.
fn simple(
    lowering: Context<'_, '_>,
    arguments: &Arguments<'_>,
    name: &str,
    mark: &str,
    change: impl FnOnce(Node) -> Node,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    Ok(wrapped(change(input), &format!("{name}("), ")", (name, mark)))
}

/// The same with a number behind the series, printed by `print`.
fn with_number(
    lowering: Context<'_, '_>,
    arguments: &Arguments<'_>,
    (name, parameter): (&str, &str),
    print: fn(f64) -> String,
    change: impl FnOnce(Node, f64) -> Node,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let number = arguments.required_float(parameter)?;
    let after = format!(",{})", print(number));
    let mark = (name, python(number));
    Ok(wrapped(change(input, number), &format!("{name}("), &after, (mark.0, &mark.1)))
}

/// Points that are no finite numbers become missing.
fn finite(input: Node) -> Node {
    rows(input, RowsFunction::Finite)
}

pub(in crate::graphite) fn absolute(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "absolute", "1", |input| map(input, MapFunction::Abs, Vec::new()))
}

pub(in crate::graphite) fn add(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    with_number(c, a, ("add", "constant"), integer, |input, n| binary(input, BinaryOp::Add, n))
}

pub(in crate::graphite) fn offset(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    with_number(c, a, ("offset", "factor"), general, |input, n| binary(input, BinaryOp::Add, n))
}

pub(in crate::graphite) fn offset_to_zero(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let (label, number) = ("offsetToZero".to_owned(), Reducer::Min);
    let format = Spec::plain(Conversion::Text);
    called_of(c, a, "offsetToZero", |input| {
        let marked = rows(input, RowsFunction::MarkNumber { label, number, format });
        rows(marked, RowsFunction::FromLowest)
    })
}

pub(in crate::graphite) fn scale(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    with_number(c, a, ("scale", "factor"), general, |input, n| binary(input, BinaryOp::Multiply, n))
}

pub(in crate::graphite) fn scale_to_seconds(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    with_number(c, a, ("scaleToSeconds", "seconds"), integer, |input, n| {
        rows(input, RowsFunction::PerStep(Number(n)))
    })
}

pub(in crate::graphite) fn square_root(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "squareRoot", "1", |input| finite(map(input, MapFunction::Sqrt, Vec::new())))
}

pub(in crate::graphite) fn invert(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let reciprocal =
        MapFunction::Binary { op: BinaryOp::Divide, argument_left: true, return_bool: false };
    simple(c, a, "invert", "1", |input| finite(map(input, reciprocal, vec![constant_node(1.0)])))
}

pub(in crate::graphite) fn log(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let base = a.float("base")?.unwrap_or(10.0);
    if base <= 0.0 || base == 1.0 {
        return Err(a.bad("base", "a positive number other than 1"));
    }
    let values = if base == 10.0 {
        map(input, MapFunction::Log10, Vec::new())
    } else {
        binary(map(input, MapFunction::Ln, Vec::new()), BinaryOp::Divide, base.ln())
    };
    let shown = if base.fract() == 0.0 { general(base) } else { python(base) };
    Ok(wrapped(finite(values), "log(", &format!(", {shown})"), ("log", &shown)))
}

pub(in crate::graphite) fn exp(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "exp", "e", |input| finite(map(input, MapFunction::Exp, Vec::new())))
}

pub(in crate::graphite) fn pow(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    with_number(c, a, ("pow", "factor"), general, |input, n| {
        finite(binary(input, BinaryOp::Power, n))
    })
}

pub(in crate::graphite) fn min_max(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(present(
        rows(input, RowsFunction::Normalise),
        Presentation {
            title: Some(wrap("minMax(", ")")),
            expression: Some(ExpressionRule::Title),
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn delay(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let steps = a.required_integer("steps")?;
    let delayed = rows(input, RowsFunction::Delay(steps));
    let mark = steps.to_string();
    Ok(wrapped(delayed, "delay(", &format!(",{steps})"), ("delay", &mark)))
}

fn difference(per_second: bool, falls: Falls) -> MapFunction {
    MapFunction::Difference(DifferenceRule {
        per_second,
        falls,
        gaps: Gaps::Break,
        first: FirstPoint::None,
    })
}

pub(in crate::graphite) fn derivative(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "derivative", "1", |input| map(input, difference(false, Falls::Kept), Vec::new()))
}

fn counter(a: &Arguments<'_>) -> Result<Falls, GraphiteError> {
    let max = a.float("maxValue")?.map(Number);
    let min = a.float("minValue")?.map(Number);
    Ok(Falls::WrapsIfBounded { max, min })
}

pub(in crate::graphite) fn non_negative_derivative(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
) -> Lowered {
    let falls = counter(a)?;
    simple(c, a, "nonNegativeDerivative", "1", |input| {
        map(input, difference(false, falls), Vec::new())
    })
}

pub(in crate::graphite) fn per_second(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let falls = counter(a)?;
    simple(c, a, "perSecond", "1", |input| {
        let rate = map(input, difference(true, falls), Vec::new());
        map(rate, MapFunction::Round, vec![constant_node(1e-6)])
    })
}

pub(in crate::graphite) fn integral(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "integral", "1", |input| map(input, MapFunction::Integral, Vec::new()))
}

/// A title `<name>(n)` and no mark.
fn called(c: Context<'_, '_>, a: &Arguments<'_>, name: &str, function: RowsFunction) -> Lowered {
    called_of(c, a, name, |input| rows(input, function))
}

fn called_of(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    name: &str,
    change: impl FnOnce(Node) -> Node,
) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(present(
        change(input),
        Presentation {
            title: Some(wrap(&format!("{name}("), ")")),
            expression: Some(ExpressionRule::Title),
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn changed(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    called(c, a, "changed", RowsFunction::Changed)
}

pub(in crate::graphite) fn is_non_null(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "isNonNull", "1", |input| rows(input, RowsFunction::IsPresent))
}

pub(in crate::graphite) fn keep_last_value(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let infinite = a.float("limit")?.is_none_or(|limit| limit == f64::INFINITY);
    let limit = if infinite { None } else { a.integer("limit")? };
    let limit = limit.map(|limit| u64::try_from(limit).unwrap_or(0));
    called(c, a, "keepLastValue", RowsFunction::KeepLast { limit })
}

pub(in crate::graphite) fn interpolate(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let infinite = a.float("limit")?.is_none_or(|limit| limit == f64::INFINITY);
    let limit = if infinite { None } else { a.integer("limit")? };
    let limit = limit.map(|limit| u64::try_from(limit).unwrap_or(0));
    called(c, a, "interpolate", RowsFunction::Interpolate { limit })
}

pub(in crate::graphite) fn round(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let given = a.integer("precision")?;
    let decimals = i32::try_from(given.unwrap_or(0))
        .map_err(|_| a.bad("precision", "a small whole number"))?;
    let after = given.map_or_else(|| ")".to_owned(), |given| format!(",{given})"));
    let mark = given.unwrap_or(0).to_string();
    let rounded = rows(input, RowsFunction::RoundTo { decimals });
    Ok(wrapped(rounded, "round(", &after, ("round", &mark)))
}

pub(in crate::graphite) fn sigmoid(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "sigmoid", "sigmoid", |input| rows(input, RowsFunction::Sigmoid))
}

pub(in crate::graphite) fn logit(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    simple(c, a, "logit", "logit", |input| rows(input, RowsFunction::Logit))
}

pub(in crate::graphite) fn transform_null(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let number = a.float("default")?.unwrap_or(0.0);
    let given = a.get("default").is_some();
    let shown = general(number);
    let mark = if given { python(number) } else { shown.clone() };
    let all = rows(input.clone(), RowsFunction::FillAbsent(Number(number)));
    let all = wrapped(all, "transformNull(", &format!(",{shown})"), ("transformNull", &mark));
    if a.get("referenceSeries").is_none() {
        return Ok(all);
    }
    let reference = c.series(a, "referenceSeries")?;
    let inputs = vec![input, reference.clone()];
    let function = RowsFunction::FillWhere(Number(number));
    let some = present(
        Node::new(Op::Rows(Rows { inputs, function })),
        Presentation {
            title: Some(wrap("transformNull(", &format!(",{shown},referenceSeries)"))),
            expression: Some(ExpressionRule::Title),
            marks: vec![
                ("transformNull".to_owned(), mark),
                ("referenceSeries".to_owned(), "1".to_owned()),
            ],
            ..Presentation::default()
        },
    );
    // References that do not exist leave all gaps to be filled.
    let inputs = vec![reference, some, all];
    Ok(Node::new(Op::Rows(Rows { inputs, function: RowsFunction::IfAny })))
}

pub(in crate::graphite) fn compress_gaps(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    called(c, a, "compressPeriodicGaps", RowsFunction::CompressGaps)
}

pub(in crate::graphite) fn integral_by_interval(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let (seconds, text) = a.interval("intervalUnit")?;
    if seconds == 0 {
        return Err(a.bad("intervalUnit", "an interval longer than nothing"));
    }
    let interval_ms = seconds.saturating_abs().saturating_mul(1000);
    let origin_ms = c.from_s.saturating_mul(1000);
    let sums = rows(input, RowsFunction::IntegralByInterval { interval_ms, origin_ms });
    let after = format!(",'{text}')");
    Ok(wrapped(sums, "integralByInterval(", &after, ("integralByInterval", text)))
}

pub(in crate::graphite) fn hitcount(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    const UNITS: [(i64, Unit); 3] =
        [(86_400_000, Unit::Day), (3_600_000, Unit::Hour), (60_000, Unit::Minute)];
    let (interval_ms, text) = a
        .length_ms("intervalString")?
        .ok_or_else(|| a.bad("intervalString", "an interval longer than nothing"))?;
    let from_first = a.boolean("alignToInterval")?.unwrap_or(false);
    let unit = UNITS.into_iter().find(|(length_ms, _)| interval_ms >= *length_ms);
    let input = match unit.filter(|_| from_first) {
        Some((_, unit)) => shift::from_begin(c, a, Begin::Unit(unit))?,
        None => c.series(a, "seriesList")?,
    };
    let hits = rows(input, RowsFunction::SpreadHits { interval_ms, from_first });
    let aligned = if from_first { ", true" } else { "" };
    let after = format!(", \"{text}\"{aligned})");
    Ok(wrapped(hits, "hitcount(", &after, ("hitcount", text)))
}

pub(in crate::graphite) fn smart_summarize(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let (interval_ms, text) = a
        .length_ms("intervalString")?
        .ok_or_else(|| a.bad("intervalString", "an interval longer than nothing"))?;
    let name = a.aggregation("func")?.unwrap_or("sum");
    let reducer: Reducer = reducer(name).ok_or_else(|| a.bad("func", "a known name"))?;
    let spelled = match a.get("func").map(|func| &func.kind) {
        Some(ExprKind::Text(text)) => text.as_str(),
        _ => "sum",
    };
    let input = match a.get("alignTo").map(|unit| &unit.kind) {
        // What once was `alignToFrom`.
        None | Some(ExprKind::Boolean(_)) => c.series(a, "seriesList")?,
        Some(ExprKind::Text(unit)) => {
            let unit = Begin::parse(unit).ok_or_else(|| a.bad("alignTo", "a unit of time"))?;
            shift::from_begin(c, a, unit)?
        }
        Some(_) => return Err(a.bad("alignTo", "a unit of time in quotes")),
    };
    let from_first = true;
    let buckets = rows(input, RowsFunction::Summarize { interval_ms, reducer, from_first });
    Ok(present(
        buckets,
        Presentation {
            title: Some(wrap("smartSummarize(", &format!(", \"{text}\", \"{spelled}\")"))),
            expression: Some(ExpressionRule::Title),
            marks: vec![
                ("smartSummarize".to_owned(), text.to_owned()),
                ("smartSummarizeFunction".to_owned(), spelled.to_owned()),
            ],
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn summarize(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let (seconds, text) = a.interval("intervalString")?;
    if seconds <= 0 {
        return Err(a.bad("intervalString", "an interval longer than nothing"));
    }
    let name = a.aggregation("func")?.unwrap_or("sum");
    let reducer: Reducer = reducer(name).ok_or_else(|| a.bad("func", "a known name"))?;
    let spelled = a.get("func").map_or("sum", |_| name);
    let from_first = a.boolean("alignToFrom")?.unwrap_or(false);
    let interval_ms = seconds.saturating_mul(1000);
    let buckets = rows(input, RowsFunction::Summarize { interval_ms, reducer, from_first });
    let aligned = if from_first { ", true" } else { "" };
    Ok(present(
        buckets,
        Presentation {
            title: Some(wrap("summarize(", &format!(", \"{text}\", \"{spelled}\"{aligned})"))),
            expression: Some(ExpressionRule::Title),
            marks: vec![
                ("summarize".to_owned(), text.to_owned()),
                ("summarizeFunction".to_owned(), spelled.to_owned()),
            ],
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn remove_above_value(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    remove_values(c, a, "removeAboveValue", BinaryOp::LessOrEqual)
}

pub(in crate::graphite) fn remove_below_value(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    remove_values(c, a, "removeBelowValue", BinaryOp::GreaterOrEqual)
}

fn remove_values(c: Context<'_, '_>, a: &Arguments<'_>, name: &str, keep: BinaryOp) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let bound = a.required_float("n")?;
    Ok(present(
        binary(input, keep, bound),
        Presentation {
            title: Some(wrap(&format!("{name}("), &format!(", {})", general(bound)))),
            expression: Some(ExpressionRule::Title),
            ..Presentation::default()
        },
    ))
}
