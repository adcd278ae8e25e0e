//! Names and looks; values untouched.

use plan::semantics::{Reducer, TitleRule};
use plan::{Drawing, ExpressionRule, Node, Op, Presentation, Rows, RowsFunction, node::Number};

use super::{Lowering, present, reducer, rows, wrap, wrapped};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;
use crate::graphite::number::{general, python};

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// A new title; calls around it are still named after the old expression.
fn titled(c: Context<'_, '_>, a: &Arguments<'_>, title: TitleRule) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(present(input, Presentation { title: Some(title), ..Presentation::default() }))
}

pub(in crate::graphite) fn alias(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    titled(c, a, TitleRule::Text(a.required_text("newName")?.to_owned()))
}

pub(in crate::graphite) fn alias_by_node(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    titled(c, a, TitleRule::Nodes(a.nodes("nodes")?))
}

pub(in crate::graphite) fn alias_by_node_tags(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    titled(c, a, TitleRule::Nodes(a.nodes("tags")?))
}

pub(in crate::graphite) fn alias_by_metric(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    titled(c, a, TitleRule::Slice { start: -1, stop: None })
}

pub(in crate::graphite) fn substr(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let start = a.integer("start")?.unwrap_or(0);
    let stop = a.integer("stop")?.filter(|stop| *stop != 0);
    titled(c, a, TitleRule::Slice { start, stop })
}

pub(in crate::graphite) fn upper(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    titled(c, a, TitleRule::Case { upper: true, places: a.integers("pos")? })
}

pub(in crate::graphite) fn lower(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    titled(c, a, TitleRule::Case { upper: false, places: a.integers("pos")? })
}

pub(in crate::graphite) fn alias_sub(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let search = a.required_text("search")?.to_owned();
    // Compiled here as well, so that a bad expression is the caller's mistake and not the engine's.
    model::Pattern::new(&search)?;
    let replacement = a.required_text("replace")?.to_owned();
    titled(c, a, TitleRule::Substitute { search, replacement })
}

/// Rows that are drawn in another way.
fn drawn(c: Context<'_, '_>, a: &Arguments<'_>, drawing: Drawing) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(present(input, Presentation { drawing: Some(drawing), ..Presentation::default() }))
}

pub(in crate::graphite) fn alpha(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let alpha = Some(Number(a.required_float("alpha")?));
    drawn(c, a, Drawing { alpha, ..Drawing::default() })
}

pub(in crate::graphite) fn color(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let color = Some(a.required_text("theColor")?.into());
    drawn(c, a, Drawing { color, ..Drawing::default() })
}

pub(in crate::graphite) fn line_width(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let line_width = Some(Number(a.required_float("width")?));
    drawn(c, a, Drawing { line_width, ..Drawing::default() })
}

/// The same under a title that says so; calls around it keep their names.
fn marked(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    (name, after, mark): (&str, &str, &str),
    drawing: Drawing,
) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(present(
        input,
        Presentation {
            title: Some(wrap(&format!("{name}("), after)),
            marks: vec![(name.to_owned(), mark.to_owned())],
            drawing: Some(drawing),
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn dashed(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let length = a.float("dashLength")?.unwrap_or(5.0);
    let shown = general(length);
    let drawing = Drawing { dashed: Some(Number(length)), ..Drawing::default() };
    marked(c, a, ("dashed", &format!(", {shown})"), &shown), drawing)
}

pub(in crate::graphite) fn draw_as_infinite(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let drawing = Drawing { infinite: true, ..Drawing::default() };
    marked(c, a, ("drawAsInfinite", ")", "1"), drawing)
}

pub(in crate::graphite) fn second_y_axis(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let drawing = Drawing { second_axis: true, ..Drawing::default() };
    marked(c, a, ("secondYAxis", ")", "1"), drawing)
}

pub(in crate::graphite) fn area_between(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let area = rows(input, RowsFunction::Area { function: "areaBetween".to_owned() });
    Ok(present(
        area,
        Presentation {
            marks: vec![("areaBetween".to_owned(), "1".to_owned())],
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn stacked(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    const DEFAULT: &str = "__DEFAULT__";
    let input = c.series(a, "seriesList")?;
    let stack = a.text("stack")?.unwrap_or(DEFAULT);
    let inputs = c.pile(stack, &input);
    let piled = Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Stack }));
    let unnamed = stack == DEFAULT;
    Ok(present(
        piled,
        Presentation {
            title: unnamed.then(|| wrap("stacked(", ")")),
            expression: Some(ExpressionRule::Title),
            marks: match unnamed {
                true => vec![("stacked".to_owned(), stack.to_owned())],
                false => Vec::new(),
            },
            drawing: Some(Drawing { stacked: true, ..Drawing::default() }),
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn consolidate_by(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let name = a.free_text("consolidationFunc")?;
    match reducer(name) {
        Some(reducer) => consolidated(c, a, name, Some(reducer)),
        // Nobody misses the function while no points can be merged.
        None if c.options.max_data_points.is_none() => consolidated(c, a, name, None),
        None => Err(a.bad("consolidationFunc", "the name of a consolidation")),
    }
}

pub(in crate::graphite) fn cumulative(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    consolidated(c, a, "sum", Some(Reducer::Sum(plan::semantics::Arithmetic::Plain)))
}

fn consolidated(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    name: &str,
    consolidation: Option<Reducer>,
) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let after = format!(",\"{name}\")");
    let input = wrapped(input, "consolidateBy(", &after, ("consolidateBy", name));
    Ok(present(input, Presentation { consolidation, ..Presentation::default() }))
}

pub(in crate::graphite) fn set_x_files_factor(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let factor = a.required_float("xFilesFactor")?;
    c.x_files_factor = factor;
    Ok(present(
        input,
        Presentation {
            present_min: Some(Number(factor)),
            marks: vec![("xFilesFactor".to_owned(), python(factor))],
            expression: None::<ExpressionRule>,
            ..Presentation::default()
        },
    ))
}
