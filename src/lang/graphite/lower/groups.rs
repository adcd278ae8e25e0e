//! Sub-plans for every group of series: callbacks, pairs, targets made of names.

use plan::semantics::{CallTitle, Reducer, TitleRule};
use plan::{Deal, Each, ExpressionRule, LabelRule, Node, Op, Presentation, RowsFunction};

use super::combine::{all, combined_as};
use super::{Lowering, present, reducer, rows};
use crate::graphite::argument::Arguments;
use crate::graphite::ast::{Call, Expr, ExprKind};
use crate::graphite::error::GraphiteError;
use crate::graphite::functions;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

/// The body once for every group of the inputs' rows.
pub(super) fn each(id: usize, inputs: Vec<Node>, deal: Deal, body: Node) -> Node {
    Node::new(Op::Each(Box::new(Each {
        id,
        inputs,
        deal,
        last_only: false,
        complete: false,
        body: Box::new(body),
        titled: false,
    })))
}

/// The current group's rows of an input.
pub(super) fn given(each: usize, input: usize) -> Node {
    Node::new(Op::Given { each, input })
}

/// The function of this name over series that are lowered already, one list an argument.
fn called(c: Context<'_, '_>, name: &str, lists: Vec<Node>) -> Lowered {
    let Some(function) = functions::find(name) else {
        return Err(GraphiteError::UnknownFunction(name.to_owned()));
    };
    let argument = |number| Expr { kind: ExprKind::Given(number), span: 0..0 };
    let call = Call {
        name: name.to_owned(),
        arguments: (0..lists.len()).map(argument).collect(),
        keywords: Vec::new(),
        piped: false,
    };
    let before = std::mem::replace(&mut c.given, lists);
    let arguments = Arguments::bind(function, &call);
    let lowered = arguments.and_then(|arguments| (function.lower)(c, &arguments));
    c.given = before;
    lowered
}

/// Every group under `title` through a render function, of which the first row stays.
pub(super) fn through(
    c: Context<'_, '_>,
    input: Node,
    title: TitleRule,
    callback: &str,
) -> Lowered {
    let id = c.next_id();
    let body = called(c, callback, vec![given(id, 0)])?;
    let mut node = each(id, vec![input], Deal::Title(title), body);
    if let Op::Each(each) = &mut node.op {
        each.titled = true;
    }
    Ok(node)
}

pub(in crate::graphite) fn map_series(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let keys = a.nodes("mapNodes")?;
    let id = c.next_id();
    Ok(each(id, vec![input], Deal::Title(TitleRule::Nodes(keys)), given(id, 0)))
}

pub(in crate::graphite) fn reduce_series(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesLists")?;
    let function = a.required_text("reduceFunction")?;
    let node = a.required_integer("reduceNode")?;
    let matchers = a.texts("reduceMatchers")?;
    if node.unsigned_abs() > 1000 {
        return Err(a.bad("reduceNode", "a number of nodes that a name can have"));
    }
    let mut inputs = Vec::new();
    for matcher in matchers {
        let literal = regex_syntax::escape(matcher);
        let pattern = model::Pattern::new(&node_pattern(node, &literal))?;
        inputs.push(rows(input.clone(), RowsFunction::FilterTitle { pattern, keep: true }));
    }
    let (search, before) = prefix_pattern(node);
    let replacement = format!("{before}reduce.{function}");
    let id = c.next_id();
    let lists = (0..inputs.len()).map(|place| given(id, place)).collect();
    let body = called(c, function, lists)?;
    Ok(Node::new(Op::Each(Box::new(Each {
        id,
        inputs,
        deal: Deal::Title(TitleRule::Substitute { search, replacement }),
        last_only: true,
        complete: true,
        body: Box::new(body),
        titled: true,
    }))))
}

/// Names whose node at this place is `literal`.
fn node_pattern(node: i64, literal: &str) -> String {
    if node >= 0 {
        format!("(?s:(?:[^.]*\\.){{{node}}}{literal}(?:\\..*)?)")
    } else {
        format!("(?s:(?:.*\\.)?{literal}(?:\\.[^.]*){{{}}})", -node - 1)
    }
}

/// A name as a whole, with the nodes before this place as its group, and what they become.
fn prefix_pattern(node: i64) -> (String, &'static str) {
    match node {
        0 => ("(?s:^.*$)".to_owned(), "."),
        1.. => (format!("(?s:^((?:[^.]*\\.){{{node}}}).*$)"), "\\1"),
        _ => (format!("(?s:^(.*?)(?:\\.?[^.]*){{{}}}$)", -node), "\\1."),
    }
}

pub(in crate::graphite) fn apply_by_node(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let node = a.required_integer("nodeNum")?;
    let node = usize::try_from(node).map_err(|_| a.bad("nodeNum", "a node counted from 0"))?;
    let template = a.required_text("templateFunction")?;
    let new_name = a.text("newName")?.filter(|name| !name.is_empty());
    let mut prefixes = std::collections::BTreeSet::new();
    for title in c.titles(input)? {
        let nodes: Vec<&str> = title.split('.').collect();
        let prefix = nodes.get(..=node);
        let prefix = prefix.ok_or_else(|| a.bad("nodeNum", "a node that all series have"))?;
        prefixes.insert(prefix.join("."));
    }
    let mut inputs = Vec::new();
    for prefix in prefixes {
        let title = new_name.map(|name| TitleRule::Text(name.replace('%', &prefix)));
        let target = c.target(&template.replace('%', &prefix))?;
        let expression = Some(ExpressionRule::Text(prefix));
        inputs.push(present(target, Presentation { title, expression, ..Presentation::default() }));
    }
    Ok(Node::new(Op::Union(inputs)))
}

pub(in crate::graphite) fn use_series_above(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let threshold = plan::node::Number(a.required_float("value")?);
    let search = a.required_text("search")?.to_owned();
    model::Pattern::new(&search)?;
    let replacement = a.required_text("replace")?.to_owned();
    // A series with any gap never counts as above.
    let whole = rows(input, RowsFunction::NotEmpty { present_min: plan::node::Number(1.0) });
    let comparison = plan::semantics::BinaryOp::Greater;
    let filter = RowsFunction::Filter { score: Reducer::Max, comparison, threshold };
    let renamed = present(
        rows(whole, filter),
        Presentation {
            title: Some(TitleRule::Substitute { search, replacement }),
            ..Presentation::default()
        },
    );
    let titles = c.titles(renamed)?;
    let targets: Result<Vec<Node>, _> = titles.iter().map(|title| c.target(title)).collect();
    Ok(Node::new(Op::Union(targets?)))
}

/// Rows at the same place of two lists, combined.
fn lists(c: Context<'_, '_>, a: &Arguments<'_>, function: &str, share: f64) -> Lowered {
    let inputs = vec![c.series(a, "seriesListFirstPos")?, c.series(a, "seriesListSecondPos")?];
    let reducer = reducer(function).ok_or_else(|| a.bad("func", "the name of an aggregation"))?;
    let id = c.next_id();
    let both = Node::new(Op::Union(vec![given(id, 0), given(id, 1)]));
    let body = combined_as(both, function, reducer, share, all(), CallTitle::Titles);
    let mismatch =
        "seriesListFirstPos and seriesListSecondPos argument must have equal length".to_owned();
    Ok(each(id, inputs, Deal::Position { mismatch }, body))
}

pub(in crate::graphite) fn aggregate_lists(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let name = a.aggregation("func")?.unwrap_or_default();
    if name == "first" {
        return Err(a.bad("func", "the name of an aggregation"));
    }
    let share = a.float("xFilesFactor")?.unwrap_or(c.x_files_factor);
    lists(c, a, name, share)
}

macro_rules! named_lists {
    ($($function:ident = $name:literal;)+) => {
        $(pub(in crate::graphite) fn $function(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
            let share = c.x_files_factor;
            lists(c, a, $name, share)
        })+
    };
}

named_lists! {
    sum_lists = "sum";
    diff_lists = "diff";
    multiply_lists = "multiply";
}

/// Groups whose title is a tagged name: labels and expression follow it.
pub(super) fn called_by_tags(node: Node) -> Node {
    present(
        node,
        Presentation {
            expression: Some(ExpressionRule::Title),
            labels: Some(LabelRule::Parsed),
            ..Presentation::default()
        },
    )
}
