//! Names and looks; values untouched.

use plan::semantics::{Reducer, TitleRule};
use plan::{ExpressionRule, Node, Presentation, node::Number};

use super::{Lowering, present, reducer, wrap, wrapped};
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
    titled(c, a, TitleRule::LastNode)
}

pub(in crate::graphite) fn alias_sub(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let search = a.required_text("search")?.to_owned();
    // Compiled here as well, so that a bad expression is the caller's mistake and not the engine's.
    model::Pattern::new(&search)?;
    let replacement = a.required_text("replace")?.to_owned();
    titled(c, a, TitleRule::Substitute { search, replacement })
}

/// Options of the drawing only.
pub(in crate::graphite) fn unchanged(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    c.series(a, "seriesList")
}

fn drawn(c: Context<'_, '_>, a: &Arguments<'_>, name: &str, after: &str, mark: &str) -> Lowered {
    let input = c.series(a, "seriesList")?;
    Ok(present(
        input,
        Presentation {
            title: Some(wrap(&format!("{name}("), after)),
            marks: vec![(name.to_owned(), mark.to_owned())],
            ..Presentation::default()
        },
    ))
}

pub(in crate::graphite) fn dashed(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let length = a.float("dashLength")?.unwrap_or(5.0);
    let shown = general(length);
    drawn(c, a, "dashed", &format!(", {shown})"), &shown)
}

pub(in crate::graphite) fn draw_as_infinite(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    drawn(c, a, "drawAsInfinite", ")", "1")
}

pub(in crate::graphite) fn second_y_axis(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    drawn(c, a, "secondYAxis", ")", "1")
}

pub(in crate::graphite) fn consolidate_by(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let name = a.required_text("consolidationFunc")?;
    let reducer =
        reducer(name).ok_or_else(|| a.bad("consolidationFunc", "the name of a consolidation"))?;
    consolidated(c, a, name, reducer)
}

pub(in crate::graphite) fn cumulative(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    consolidated(c, a, "sum", Reducer::Sum(plan::semantics::Arithmetic::Plain))
}

fn consolidated(
    c: Context<'_, '_>,
    a: &Arguments<'_>,
    name: &str,
    consolidation: Reducer,
) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let after = format!(",\"{name}\")");
    let input = wrapped(input, "consolidateBy(", &after, ("consolidateBy", name));
    Ok(present(
        input,
        Presentation { consolidation: Some(consolidation), ..Presentation::default() },
    ))
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
