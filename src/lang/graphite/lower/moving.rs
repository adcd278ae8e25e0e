//! Windows that move along a series. The argument is lowered once more over a window that begins
//! earlier, so that the first points have theirs.

use plan::{ExpressionRule, MovingWindow, Node, Presentation, RowsFunction, node::Number};

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

fn moving(c: Context<'_, '_>, a: &Arguments<'_>, function: &str) -> Lowered {
    let reducer = reducer(function).ok_or_else(|| a.bad("func", "the name of an aggregation"))?;
    let bad = || a.bad("windowSize", "a number of points or an interval longer than nothing");
    let (window, preview_s, shown, mark) = match a.get("windowSize").map(|value| &value.kind) {
        Some(ExprKind::Integer(points)) => {
            let count = usize::try_from(*points).ok().filter(|count| *count > 0).ok_or_else(bad)?;
            // Enough for the coarsest series; what is too much is cut off again.
            let preview_s = points.saturating_mul(c.options.steps.longest_ms() / 1000 + 1);
            (MovingWindow::Points(count), preview_s, points.to_string(), points.to_string())
        }
        Some(ExprKind::Text(text)) => {
            let seconds = parse_interval(text)?.saturating_abs();
            if seconds == 0 {
                return Err(bad());
            }
            let window = MovingWindow::Milliseconds(seconds.saturating_mul(1000));
            (window, seconds, format!("\"{text}\""), text.clone())
        }
        _ => return Err(bad()),
    };
    let from_s = c.from_s;
    c.from_s = from_s.saturating_sub(preview_s);
    let earlier = c.series(a, "seriesList");
    c.from_s = from_s;
    let present_min = a.float("xFilesFactor")?.map(Number);
    let after_ms = from_s.saturating_mul(1000);
    let moved = rows(earlier?, RowsFunction::Moving { window, reducer, present_min, after_ms });
    let name = format!("moving{}", capitalised(function));
    Ok(present(
        moved,
        Presentation {
            title: Some(wrap(&format!("{name}("), &format!(",{shown})"))),
            expression: Some(ExpressionRule::Title),
            marks: vec![(name, mark)],
            ..Presentation::default()
        },
    ))
}

fn capitalised(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let mut chars = lower.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => lower,
    }
}
