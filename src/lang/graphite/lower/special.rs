//! Series that come from elsewhere than a path.

use model::StepGrid;
use plan::semantics::TitleRule;
use plan::{Drawing, ExpressionRule, Node, Op, Presentation, Rows, RowsFunction, node::Number};

use super::{Lowering, present};
use crate::graphite::argument::Arguments;
use crate::graphite::ast::ExprKind;
use crate::graphite::error::GraphiteError;
use crate::graphite::number::python;
use crate::graphite::tagspec;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// A series without labels of its own, under `title`.
fn made_up(c: &Lowering<'_>, node: Node, title: &str, expression: &str) -> Node {
    present(
        Node::new(Op::ToVector(Box::new(node))),
        Presentation {
            title: Some(TitleRule::Text(title.to_owned())),
            expression: Some(ExpressionRule::Text(expression.to_owned())),
            marks: vec![(model::METRIC_NAME.to_owned(), title.to_owned())],
            present_min: Some(Number(c.x_files_factor)),
            ..Presentation::default()
        },
    )
}

/// Three points: at the start, in the middle and at the end of the request.
pub(in crate::graphite) fn constant(
    c: &Lowering<'_>,
    value: f64,
    title: &str,
    expression: &str,
) -> Lowered {
    let step_ms = ((c.until_s - c.from_s) / 2).max(1) * 1000;
    let from_ms = c.from_s * 1000;
    let grid = StepGrid::new(from_ms, from_ms + 2 * step_ms, step_ms);
    Ok(made_up(c, Node::new(Op::Constant(Number(value), grid)), title, expression))
}

pub(in crate::graphite) fn constant_line(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let value = a.required_float("value")?;
    let title = python(value);
    constant(c, value, &title, &format!("constantLine({title})"))
}

pub(in crate::graphite) fn threshold(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let value = a.required_float("value")?;
    let shown = python(value);
    let line = constant(c, value, &shown, &format!("constantLine({shown})"))?;
    let color = a.text("color")?.filter(|color| !color.is_empty()).map(Into::into);
    let label = a.text("label")?.filter(|label| !label.is_empty());
    Ok(present(
        line,
        Presentation {
            title: label.map(|label| TitleRule::Text(label.to_owned())),
            drawing: Some(Drawing { color, ..Drawing::default() }),
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn time(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let name = a.required_text("name")?;
    let step_s = a.integer("step")?.unwrap_or(60);
    if step_s <= 0 {
        return Err(a.bad("step", "a positive number of seconds"));
    }
    let grid = c.request_grid(step_s)?;
    Ok(made_up(c, Node::new(Op::Time(grid)), name, name))
}

pub(in crate::graphite) fn fallback_series(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let inputs = vec![c.series(a, "seriesList")?, c.series(a, "fallback")?];
    Ok(Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Fallback })))
}

pub(in crate::graphite) fn series_by_tag(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    series_by_tag_as(c, a, "seriesByTag")
}

/// Series by tags; calls around it are named after the call as it was written.
pub(in crate::graphite) fn series_by_tag_as(
    c: &Lowering<'_>,
    a: &Arguments<'_>,
    written: &str,
) -> Lowered {
    let mut texts = Vec::new();
    for argument in a.all("tagExpressions") {
        match &argument.kind {
            ExprKind::Text(text) => texts.push(text.as_str()),
            _ => return Err(a.bad("tagExpressions", "a tag expression in quotes")),
        }
    }
    c.scan(tagspec::matchers(texts)?, written)
}
