//! Which series stay, and in which order.

use base::printf::{Conversion, Spec};
use plan::semantics::{BinaryOp, PercentileMethod, Reducer};
use plan::{Node, Presentation, RowsFunction, TitlePart, node::Number};

use super::legend::{self, text};
use super::{AVERAGE, Lowering, anew, present, reducer, rows, title_pattern, wrap, wrapped};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;
use crate::graphite::number::{general, python};

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

pub(in crate::graphite) fn most_deviant(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let known = rows(input, RowsFunction::NotEmpty { present_min: Number(0.0) });
    let variance = Reducer::StdVar(plan::semantics::Arithmetic::Plain);
    Ok(rows(sorted(known, variance, true), RowsFunction::First(a.required_integer("n")?)))
}

fn outside(c: Context<'_, '_>, a: &Arguments<'_>, score: Option<Reducer>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let percent = a.required_float("n")?;
    let percent = Number(if percent < 50.0 { 100.0 - percent } else { percent });
    Ok(rows(input, RowsFunction::Outside { percent, score }))
}

pub(in crate::graphite) fn average_outside(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    outside(c, a, Some(AVERAGE))
}

pub(in crate::graphite) fn remove_between(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    outside(c, a, None)
}

/// Points beyond the percentile of their own series taken away.
fn bound(c: Context<'_, '_>, a: &Arguments<'_>, name: &str, above: bool) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let percent = a.required_float("n")?;
    if percent == 0.0 {
        return Err(a.bad("n", "a percentile greater than 0"));
    }
    let quantile = Number(percent / 100.0);
    let (label, text) = ("nPercentile".to_owned(), python(percent));
    let marked = rows(input, RowsFunction::MarkPresent { label, text });
    let bounded = rows(marked, RowsFunction::BoundByPercentile { quantile, above });
    Ok(present(
        bounded,
        Presentation {
            title: Some(wrap(&format!("{name}("), &format!(", {})", general(percent)))),
            expression: Some(plan::ExpressionRule::Title),
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn remove_above(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    bound(c, a, "removeAbovePercentile", true)
}

pub(in crate::graphite) fn remove_below(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    bound(c, a, "removeBelowPercentile", false)
}

pub(in crate::graphite) fn n_percentile(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let percent = a.required_float("n")?;
    if percent == 0.0 {
        return Err(a.bad("n", "a percentile greater than 0"));
    }
    let number = Reducer::Percentile(Number(percent / 100.0), PercentileMethod::Next);
    let known = rows(input, RowsFunction::NotEmpty { present_min: Number(0.0) });
    let level = rows(known, RowsFunction::Level { number, grid: None });
    let after = format!(", {})", general(percent));
    Ok(wrapped(level, "nPercentile(", &after, ("nPercentile", &python(percent))))
}

pub(in crate::graphite) fn aggregate_line(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let number = score(a)?;
    let counts = number == Reducer::Count;
    let keep_step = a.boolean("keepStep")?.unwrap_or(false);
    let grid = (!keep_step).then(|| super::special::thirds(c));
    let shown = legend::number(number.clone(), Spec::plain(Conversion::General), "None");
    let fields = [text("aggregateLine("), TitlePart::Title, text(", "), shown, text(")")];
    let named = rows(input, RowsFunction::TitleNumbers(fields.map(legend::own).into()));
    let level = rows(named, RowsFunction::Level { number, grid });
    if !keep_step {
        // The original calls the line after its value before it calls it after the series.
        let conversion = if counts { Conversion::Integer } else { Conversion::Text };
        let (label, format) = (model::METRIC_NAME.to_owned(), Spec::plain(conversion));
        let named = RowsFunction::MarkNumber { label, number: Reducer::Last, format };
        return Ok(rows(anew(level, c.x_files_factor), named));
    }
    let expression = Some(plan::ExpressionRule::Title);
    Ok(present(level, Presentation { expression, ..Presentation::default() }))
}
