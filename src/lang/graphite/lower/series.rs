//! Which series stay, and in which order.

use plan::semantics::{BinaryOp, Reducer};
use plan::{Node, RowsFunction, node::Number};

use super::{AVERAGE, Lowering, reducer, rows, title_pattern};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

fn filter(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    score: Reducer,
    comparison: BinaryOp,
    parameter: &str,
) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let threshold = Number(a.required_float(parameter)?);
    Ok(rows(input, RowsFunction::Filter { score, comparison, threshold }))
}

macro_rules! filters {
    ($($function:ident = $score:expr, $comparison:ident;)+) => {
        $(pub(in crate::graphite) fn $function(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
            filter(c, a, $score, BinaryOp::$comparison, "n")
        })+
    };
}

filters! {
    average_above = AVERAGE, Greater;
    current_above = Reducer::Last, Greater;
    maximum_above = Reducer::Max, Greater;
    minimum_above = Reducer::Min, Greater;
    average_below = AVERAGE, LessOrEqual;
    current_below = Reducer::Last, LessOrEqual;
    maximum_below = Reducer::Max, LessOrEqual;
    minimum_below = Reducer::Min, LessOrEqual;
}

fn score(a: &Arguments<'_>) -> Result<Reducer, GraphiteError> {
    let name = a.aggregation("func")?.unwrap_or("average");
    reducer(name).ok_or_else(|| a.bad("func", "the name of an aggregation"))
}

pub(in crate::graphite) fn filter_series(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let comparison = match a.required_text("operator")? {
        "=" => BinaryOp::Equal,
        "!=" => BinaryOp::NotEqual,
        ">" => BinaryOp::Greater,
        ">=" => BinaryOp::GreaterOrEqual,
        "<" => BinaryOp::Less,
        _ => BinaryOp::LessOrEqual,
    };
    filter(c, a, score(a)?, comparison, "threshold")
}

fn sorted(input: Node, score: Reducer, descending: bool) -> Node {
    rows(input, RowsFunction::SortByScore { score, descending })
}

/// The first `n` of the sorted series.
fn best(c: Context<'_, '_>, a: &Arguments<'_>, score: Reducer, descending: bool) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let count = a.integer("n")?.unwrap_or(1);
    Ok(rows(sorted(input, score, descending), RowsFunction::First(count)))
}

pub(in crate::graphite) fn highest(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, score(a)?, true)
}

pub(in crate::graphite) fn lowest(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, score(a)?, false)
}

pub(in crate::graphite) fn highest_average(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, AVERAGE, true)
}

pub(in crate::graphite) fn highest_current(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, Reducer::Last, true)
}

pub(in crate::graphite) fn highest_max(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, Reducer::Max, true)
}

pub(in crate::graphite) fn lowest_average(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, AVERAGE, false)
}

pub(in crate::graphite) fn lowest_current(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    best(c, a, Reducer::Last, false)
}

pub(in crate::graphite) fn limit(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(rows(input, RowsFunction::First(a.required_integer("n")?)))
}

fn by_title(c: Context<'_, '_>, a: &Arguments<'_>, keep: bool) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let pattern = title_pattern(a.required_text("pattern")?)?;
    Ok(rows(input, RowsFunction::FilterTitle { pattern, keep }))
}

pub(in crate::graphite) fn exclude(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    by_title(c, a, false)
}

pub(in crate::graphite) fn grep(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    by_title(c, a, true)
}

pub(in crate::graphite) fn remove_empty(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let present_min = Number(a.float("xFilesFactor")?.unwrap_or(0.0));
    Ok(rows(input, RowsFunction::NotEmpty { present_min }))
}

pub(in crate::graphite) fn sort_by(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(sorted(input, score(a)?, a.boolean("reverse")?.unwrap_or(false)))
}

pub(in crate::graphite) fn sort_by_name(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let natural = a.boolean("natural")?.unwrap_or(false);
    let descending = a.boolean("reverse")?.unwrap_or(false);
    Ok(rows(input, RowsFunction::SortByTitle { natural, descending }))
}

pub(in crate::graphite) fn sort_by_total(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(sorted(input, Reducer::Sum(plan::semantics::Arithmetic::Plain), true))
}

pub(in crate::graphite) fn sort_by_maxima(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(sorted(input, Reducer::Max, true))
}

pub(in crate::graphite) fn sort_by_minima(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let positive = RowsFunction::Filter {
        score: Reducer::Max,
        comparison: BinaryOp::Greater,
        threshold: Number(0.0),
    };
    Ok(sorted(rows(input, positive), Reducer::Min, false))
}
