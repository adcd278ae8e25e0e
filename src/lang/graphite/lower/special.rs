//! Series that come from elsewhere than a path.

use model::StepGrid;
use plan::semantics::{BinaryOp, MapFunction, Reducer, TitleRule};
use plan::{Drawing, ExpressionRule, Node, Op, Presentation, Rows, RowsFunction, node::Number};

use super::{Lowering, binary, map, present, rows};
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
    let line = Node::new(Op::Constant(Number(value), thirds(c)));
    Ok(made_up(c, line, title, expression))
}

/// The start, the middle and the end of the request.
pub(super) fn thirds(c: &Lowering<'_>) -> StepGrid {
    let step_ms = ((c.until_s - c.from_s) / 2).max(1) * 1000;
    let from_ms = c.from_s * 1000;
    StepGrid::new(from_ms, from_ms + 2 * step_ms, step_ms)
}

pub(in crate::graphite) fn vertical_line(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let at_s = a.date("ts", c.options.now_s, &c.options.zone)?;
    let at_s = at_s.ok_or_else(|| a.bad("ts", "a time in quotes"))?;
    if !(c.from_s..=c.until_s).contains(&at_s) {
        return Err(a.bad("ts", "a time inside the range of the request"));
    }
    let grid = StepGrid::new(at_s * 1000, at_s * 1000, 1000);
    // Without a label the original has no name at all, which no format can show.
    let unnamed = format!("verticalLine({at_s})");
    let title = a.text("label")?.filter(|label| !label.is_empty()).unwrap_or(&unnamed);
    let color = a.text("color")?.filter(|color| !color.is_empty()).map(Into::into);
    let line = made_up(c, Node::new(Op::Constant(Number(1.0), grid)), title, title);
    let drawing = Some(Drawing { color, infinite: true, ..Drawing::default() });
    Ok(present(line, Presentation { drawing, ..Presentation::default() }))
}

/// A series of the request's own steps.
fn generated(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    values: impl FnOnce(&Lowering<'_>, StepGrid, &str) -> Lowered,
) -> Lowered {
    let name = a.required_text("name")?;
    let step_s = a.integer("step")?.unwrap_or(60);
    if step_s <= 0 {
        return Err(a.bad("step", "a positive number of seconds"));
    }
    let grid = c.request_grid(step_s)?;
    let values = values(c, grid, name)?;
    Ok(made_up(c, values, name, name))
}

pub(in crate::graphite) fn sine(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let amplitude = a.float("amplitude")?.unwrap_or(1.0);
    generated(c, a, |_, grid, _| {
        let sine = MapFunction::Trig(plan::semantics::Trig::Sin);
        let sine = map(Node::new(Op::Time(grid)), sine, Vec::new());
        Ok(binary(sine, BinaryOp::Multiply, amplitude))
    })
}

/// A walk that is the same whenever the same window is asked for.
pub(in crate::graphite) fn random_walk(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    generated(c, a, |c, grid, name| {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let bytes = name.bytes().chain(c.from_s.to_le_bytes());
        let seed = bytes.fold(0xcbf2_9ce4_8422_2325, mix);
        let still = Node::new(Op::Constant(Number(0.0), grid));
        Ok(rows(Node::new(Op::ToVector(Box::new(still))), RowsFunction::RandomWalk { seed }))
    })
}

pub(in crate::graphite) fn identity(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let name = a.required_text("name")?;
    let grid = c.request_grid(60)?;
    Ok(made_up(c, Node::new(Op::Time(grid)), name, &format!("identity(\"{name}\")")))
}

pub(in crate::graphite) fn events(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let tags = a.texts("tags")?;
    let name = format!("events(\"{}\")", tags.join("\", \""));
    let wanted = if tags == ["*"] { &[][..] } else { &tags[..] };
    let grid = c.request_grid(1)?;
    let times = c.session.probe.events(wanted, c.from_s, c.until_s)?;
    let instants = times.into_iter().map(|second| second.saturating_mul(1000)).collect();
    let empty = Node::new(Op::ToVector(Box::new(Node::new(Op::Constant(Number(0.0), grid)))));
    let counted = rows(empty, RowsFunction::CountInstants(instants));
    let consolidation = Some(Reducer::Sum(plan::semantics::Arithmetic::Plain));
    Ok(present(
        made_up(c, counted, &name, &name),
        Presentation { consolidation, ..Presentation::default() },
    ))
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
    generated(c, a, |_, grid, _| Ok(Node::new(Op::Time(grid))))
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
