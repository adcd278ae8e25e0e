//! Windows that move along a series. The argument is lowered once more over a window that begins
//! earlier, so that the first points have theirs.

use plan::{ExpressionRule, MovingWindow, Node, Op, Presentation, RowsFunction, node::Number};

use super::{Lowering, present, reducer, rows, wrap};
use crate::graphite::argument::Arguments;
use crate::graphite::ast::ExprKind;
use crate::graphite::error::GraphiteError;
use crate::graphite::time::parse_interval;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

macro_rules! named {
    ($($function:ident = $name:literal;)+) => {
        $(pub(in crate::graphite) fn $function(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
            moving(c, a, $name)
        })+
    };
}

named! {
    average = "average";
    median = "median";
    sum = "sum";
    min = "min";
    max = "max";
}

pub(in crate::graphite) fn window(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let function = a.aggregation("func")?.unwrap_or("average");
    moving(c, a, function)
}

/// A window as it was asked for.
struct Window {
    /// How long it is.
    length: MovingWindow,
    /// How much earlier series are read, in seconds; `None` where there are none.
    lead_s: Option<i64>,
    /// As it stands in the title.
    shown: String,
    /// As it stands in the tag.
    mark: String,
}

fn window_of(c: Context<'_, '_>, a: &Arguments<'_>) -> Result<Window, GraphiteError> {
    let bad = || a.bad("windowSize", "a number of points or an interval longer than nothing");
    match a.get("windowSize").map(|value| &value.kind) {
        Some(ExprKind::Integer(points)) => {
            let count = usize::try_from(*points).map_err(|_| bad())?;
            let step_ms = c.coarsest_step_ms(a, "seriesList")?;
            Ok(Window {
                length: MovingWindow::Points(count),
                lead_s: step_ms.map(|step_ms| points.saturating_mul(step_ms) / 1000),
                shown: points.to_string(),
                mark: points.to_string(),
            })
        }
        Some(ExprKind::Text(text)) => {
            let seconds = parse_interval(text)?.saturating_abs();
            if seconds == 0 {
                return Err(bad());
            }
            Ok(Window {
                length: MovingWindow::Milliseconds(seconds.saturating_mul(1000)),
                lead_s: Some(seconds),
                shown: format!("\"{text}\""),
                mark: text.clone(),
            })
        }
        _ => Err(bad()),
    }
}

/// The series over a window that begins earlier, and how much so in milliseconds.
fn earlier(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    window: &Window,
) -> Result<Option<(Node, i64)>, GraphiteError> {
    let Some(lead_s) = window.lead_s else { return Ok(None) };
    let from_s = c.from_s;
    c.from_s = from_s.saturating_sub(lead_s);
    let input = c.series(a, "seriesList");
    c.from_s = from_s;
    Ok(Some((input?, lead_s.saturating_mul(1000))))
}

fn called(input: Node, name: String, window: Window) -> Node {
    present(
        input,
        Presentation {
            title: Some(wrap(&format!("{name}("), &format!(",{})", window.shown))),
            expression: Some(ExpressionRule::Title),
            marks: vec![(name, window.mark)],
            ..Presentation::default()
        },
    )
}

fn moving(c: Context<'_, '_>, a: &Arguments<'_>, function: &str) -> Lowered {
    let reducer = reducer(function).ok_or_else(|| a.bad("func", "the name of an aggregation"))?;
    let window = window_of(c, a)?;
    let present_min = a.float("xFilesFactor")?.map(Number);
    let Some((input, lead_ms)) = earlier(c, a, &window)? else {
        return Ok(Node::new(Op::Union(Vec::new())));
    };
    let function_of = RowsFunction::Moving { window: window.length, reducer, present_min, lead_ms };
    Ok(called(rows(input, function_of), format!("moving{}", capitalised(function)), window))
}

pub(in crate::graphite) fn exponential(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let window = window_of(c, a)?;
    let Some((input, lead_ms)) = earlier(c, a, &window)? else {
        return Ok(Node::new(Op::Union(Vec::new())));
    };
    let mean = rows(input, RowsFunction::ExponentialMean { window: window.length, lead_ms });
    Ok(called(mean, "exponentialMovingAverage".to_owned(), window))
}

pub(in crate::graphite) fn deviation(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let points = a.required_integer("points")?;
    let count = usize::try_from(points).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| a.bad("points", "a positive whole number"))?;
    let share = Number(a.float("windowTolerance")?.unwrap_or(0.1));
    let function = RowsFunction::TrailingDeviation { points: count, present_min: share };
    let mark = points.to_string();
    Ok(super::wrapped(rows(input, function), "stdev(", &format!(",{mark})"), ("stdev", &mark)))
}

fn capitalised(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let mut chars = lower.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => lower,
    }
}
