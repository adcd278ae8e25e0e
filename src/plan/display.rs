//! `EXPLAIN`: a plan as an indented text and as a tree for JSON.

use std::fmt::{self, Write};

use crate::formula::{Expression, Formula};
use crate::node::{Aggregate, Fold, Join, Map, Node, Op, Plan, Rank, Scan};
use crate::semantics::{Alignment, Buckets, Fill, Grouping};

/// A node for machines: its title, and the nodes below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The operation's name: `Scan`, `Fold` …
    pub name: &'static str,
    /// The operation with its parameters on one line.
    pub title: String,
    /// Bytes of the query's text that it came from.
    pub span: Option<(u32, u32)>,
    /// The nodes below.
    pub children: Vec<Explained>,
}

/// The tree of `node`.
pub fn explain(node: &Node) -> Explained {
    Explained {
        name: name(node),
        title: title(node),
        span: node.span.map(|span| (span.start, span.end)),
        children: node.children().into_iter().map(explain).collect(),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.root)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn write_node(node: &Node, level: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            writeln!(f, "{:indent$}{}", "", title(node), indent = level * 2)?;
            node.children().into_iter().try_for_each(|child| write_node(child, level + 1, f))
        }
        write_node(self, 0, f)
    }
}

/// The operation's name.
pub fn name(node: &Node) -> &'static str {
    match &node.op {
        Op::Constant(..) => "Constant",
        Op::Text(_) => "Text",
        Op::Time(_) => "Time",
        Op::Scan(_) => "Scan",
        Op::Fold(_) => "Fold",
        Op::Map(_) => "Map",
        Op::Aggregate(_) => "Aggregate",
        Op::Rank(_) => "Rank",
        Op::Join(_) => "Join",
        Op::Formula(_) => "Formula",
        Op::Buckets { .. } => "Buckets",
        Op::Union(_) => "Union",
        Op::Rows(_) => "Rows",
        Op::Each(_) => "Each",
        Op::Given { .. } => "Given",
        Op::Absent { .. } => "Absent",
        Op::Relabel(_) => "Relabel",
        Op::Sort { .. } => "Sort",
        Op::Clip { .. } => "Clip",
        Op::Condense { .. } => "Condense",
        Op::Repeat { .. } => "Repeat",
        Op::ToScalar(_) => "ToScalar",
        Op::ToVector(_) => "ToVector",
        Op::Edges { .. } => "Edges",
        Op::Statistics(_) => "Statistics",
        Op::Inform(_) => "Inform",
        Op::Naming { .. } => "Naming",
        Op::Shared { .. } => "Shared",
    }
}

/// The operation with its parameters, on one line.
pub fn title(node: &Node) -> String {
    let name = name(node);
    let parameters = parameters(node);
    if parameters.is_empty() { name.to_owned() } else { format!("{name} {parameters}") }
}

fn parameters(node: &Node) -> String {
    match &node.op {
        Op::Constant(number, _) => format!("{number:?}"),
        Op::Text(text) => format!("{text:?}"),
        Op::Time(grid) => grid_text(grid),
        Op::Scan(scan) => scan_text(scan),
        Op::Fold(fold) => fold_text(fold),
        Op::Map(Map { function, drop_name, .. }) => format!("{function:?}{}", nameless(*drop_name)),
        Op::Aggregate(aggregate) => aggregate_text(aggregate),
        Op::Rank(Rank { kind, grouping, unsorted, .. }) => {
            let order = if *unsorted { ", ties by label" } else { "" };
            format!("{kind:?} {}{order}", grouping_text(grouping))
        }
        Op::Join(join) => join_text(join),
        Op::Formula(formula) => formula_text(formula),
        Op::Buckets { function, .. } => format!("{function:?}"),
        Op::Absent { labels, .. } => labels.to_string(),
        Op::Relabel(relabel) => format!("{:?}", relabel.rule),
        Op::Rows(rows) => format!("{:?}", rows.function),
        Op::Each(each) => each_text(each),
        Op::Given { each, input } => format!("input {input} of #{each}"),
        Op::Sort { order, .. } => format!("{order:?}"),
        Op::Statistics(_) => String::new(),
        Op::Edges { range, edges, .. } => {
            format!("{edges:?} {}..={} ms", range.start_ms, range.end_ms)
        }
        Op::Inform(inform) => format!("on {:?} wanted {:?}", inform.identifying, inform.wanted),
        Op::Naming { naming, .. } => format!("{naming:?}"),
        Op::Clip { range, .. } => format!("{}..={} ms", range.start_ms, range.end_ms),
        Op::Condense { points_max, function, .. } => format!("to {points_max} by {function:?}"),
        Op::Repeat { grid, .. } => grid_text(grid),
        Op::Shared { id, .. } => format!("#{id}"),
        Op::Union(_) | Op::ToScalar(_) | Op::ToVector(_) => String::new(),
    }
}

fn each_text(each: &crate::node::Each) -> String {
    let mut text = format!("#{} by {:?}", each.id, each.deal);
    if each.last_only {
        text.push_str(", last rows");
    }
    if each.titled {
        text.push_str(", one row a group");
    }
    text
}

fn nameless(drop_name: bool) -> &'static str {
    if drop_name { ", drops name" } else { "" }
}

fn grid_text(grid: &model::StepGrid) -> String {
    if grid.len() == 1 {
        format!("at {} ms", grid.start_ms)
    } else {
        format!("{}..={} ms step {} ms", grid.start_ms, grid.end_ms, grid.step_ms)
    }
}

fn scan_text(scan: &Scan) -> String {
    let matchers: Vec<String> = scan.matchers.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{{{}}} over {}..={} ms",
        matchers.join(", "),
        scan.range.start_ms,
        scan.range.end_ms
    );
    if scan.sorted {
        text.push_str(", sorted");
    }
    if scan.integers {
        text.push_str(", integers");
    }
    if let Some(cut_ms) = scan.cut_ms {
        text.push_str(&format!(", or summaries cut at {cut_ms} ms"));
    }
    text
}

fn fold_text(fold: &Fold) -> String {
    let mut text = format!("{:?}", fold.function);
    let outcome = match &fold.buckets {
        Buckets::Fixed { grid, after_ms, until_ms } => {
            write!(text, " over ({after_ms}, {until_ms}] ms at every {}", grid_text(grid))
        }
        Buckets::Steps { grid, after_ms, until_ms } => {
            write!(text, " over ({after_ms}, {until_ms}] ms {}", grid_text(grid))
        }
        Buckets::Edges(edges) => {
            write!(text, " in {} buckets", edges.len().saturating_sub(1))
        }
        Buckets::Phased(lists) => {
            let edges: usize = lists.iter().map(|edges| edges.len()).sum();
            write!(text, " into the buckets of {} phases, {edges} edges", lists.len())
        }
        Buckets::Occupied { range, step_ms } => write!(
            text,
            " into occupied buckets of {step_ms} ms in {}..{} ms",
            range.start_ms, range.end_ms
        ),
        Buckets::Whole(range) => write!(text, " over {}..{} ms", range.start_ms, range.end_ms),
        Buckets::PerSeries { range, slots } => write!(
            text,
            " on own steps ({} rules, default {} ms{}) over {}..={} ms",
            slots.rules.len(),
            slots.default_step_ms,
            if slots.learned { " or learned" } else { "" },
            range.start_ms,
            range.end_ms
        ),
    };
    debug_assert!(outcome.is_ok(), "writing to a string cannot fail");
    if let Fill::Value(number) = fold.fill {
        text.push_str(&format!(", fills {number:?}"));
    }
    text.push_str(nameless(fold.drop_name));
    text
}

fn aggregate_text(aggregate: &Aggregate) -> String {
    let mut text = format!("{:?} {}", aggregate.reducer, grouping_text(&aggregate.grouping));
    if aggregate.alignment != Alignment::Steps {
        text.push_str(&format!(", aligned {:?}", aggregate.alignment));
    }
    text
}

fn grouping_text(grouping: &Grouping) -> String {
    match grouping {
        Grouping::By(labels) => format!("by ({})", labels.join(", ")),
        Grouping::Without(labels) => format!("without ({})", labels.join(", ")),
        Grouping::Title => "by title".to_owned(),
        Grouping::Each => "each row".to_owned(),
    }
}

fn join_text(join: &Join) -> String {
    let matching = &join.matching;
    let mut text = format!(
        "{:?} {} ({}) {:?}",
        join.op,
        if matching.on { "on" } else { "ignoring" },
        matching.labels.join(", "),
        matching.cardinality
    );
    if join.return_bool {
        text.push_str(", bool");
    }
    if !matching.include.is_empty() {
        text.push_str(&format!(", includes ({})", matching.include.join(", ")));
    }
    text
}

/// The expression with its operands as `$0`, `$1` …, and how their rows meet.
fn formula_text(formula: &Formula) -> String {
    let meeting = formula.meeting;
    let mut text = expression_text(&formula.expression);
    text.push_str(if meeting.union { ", all keys" } else { ", common keys" });
    if meeting.disagreeing {
        text.push_str(" with names of aggregated labels");
    }
    for (index, input) in formula.inputs.iter().enumerate() {
        if let Some(keys) = &input.keys {
            text.push_str(&format!(", ${index} on ({})", keys.join(", ")));
        }
        text.push_str(&format!(", ${index} fills {:?}", input.fill));
    }
    text
}

fn expression_text(expression: &Expression) -> String {
    let text = expression_text;
    match expression {
        Expression::Operand(index) => format!("${index}"),
        Expression::Constant(number) => format!("{number:?}"),
        Expression::Binary(op, left, right) => format!("({} {op:?} {})", text(left), text(right)),
        Expression::Negate(value) => format!("-{}", text(value)),
        Expression::Not(value) => format!("!{}", text(value)),
        Expression::Both(left, right) => format!("({} && {})", text(left), text(right)),
        Expression::Either(left, right) => format!("({} || {})", text(left), text(right)),
        Expression::Choice(test, yes, no) => {
            format!("({} ? {} : {})", text(test), text(yes), text(no))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Number;
    use model::StepGrid;

    #[test]
    fn plans_print_as_an_indented_tree() {
        let grid = StepGrid::new(0, 120_000, 60_000);
        let node = Node::new(Op::ToVector(Box::new(Node::new(Op::Constant(Number(2.5), grid)))));
        assert_eq!(node.to_string(), "ToVector\n  Constant 2.5\n");
        let tree = explain(&node);
        assert_eq!((tree.name, tree.children[0].title.as_str()), ("ToVector", "Constant 2.5"));
    }
}
