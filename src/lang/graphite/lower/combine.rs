//! Several series to one, or to one of each group.

use plan::semantics::{
    Alignment, Arithmetic, CallTitle, Called, GroupLabels, Grouping, PercentileMethod, Reducer,
    RelabelRule, TaggedName, TitleRule,
};
use plan::{Aggregate, Node, Op, Relabel, Rows, RowsFunction, node::Number};

use super::groups::{self, called_by_tags};
use super::{Lowering, anew, reducer, rows};
use crate::graphite::argument::Arguments;
use crate::graphite::error::GraphiteError;
use crate::graphite::number::general;
use crate::graphite::tagspec::label_of;

type Lowered = Result<Node, GraphiteError>;

/// All rows to one per group, named `<function>Series(…)`.
pub(super) fn combined(
    input: Node,
    function: &str,
    reducer: Reducer,
    present_min: f64,
    grouping: Grouping,
) -> Node {
    let title = if grouping == Grouping::Title { CallTitle::Group } else { CallTitle::Expressions };
    combined_as(input, function, reducer, present_min, grouping, title)
}

/// The same under another title.
pub(super) fn combined_as(
    input: Node,
    function: &str,
    reducer: Reducer,
    present_min: f64,
    grouping: Grouping,
    title: CallTitle,
) -> Node {
    // A product is missing where any factor is; everything else takes what there is.
    let needed = if matches!(reducer, Reducer::Product(_)) { 1.0 } else { present_min };
    Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer,
        argument: None,
        grouping,
        alignment: Alignment::LeastCommonStep { present_min: Number(needed) },
        labels: GroupLabels::Called(Box::new(Called {
            function: format!("{function}Series"),
            suffix: String::new(),
            title,
            mark: Some(("aggregatedBy".to_owned(), function.to_owned())),
            present_min: Number(present_min),
        })),
    }))
}

/// All series are one group.
pub(super) fn all() -> Grouping {
    Grouping::By(Vec::new())
}

fn named(lowering: &mut Lowering<'_>, arguments: &Arguments<'_>, function: &str) -> Lowered {
    let input = lowering.series_lists(arguments, "seriesLists")?;
    let Some(reducer) = reducer(function) else {
        return Err(GraphiteError::UnknownFunction(function.to_owned()));
    };
    Ok(combined(input, function, reducer, lowering.x_files_factor, all()))
}

macro_rules! named_functions {
    ($($function:ident = $name:literal;)+) => {
        $(pub(in crate::graphite) fn $function(
            lowering: &mut Lowering<'_>,
            arguments: &Arguments<'_>,
        ) -> Lowered {
            named(lowering, arguments, $name)
        })+
    };
}

named_functions! {
    sum = "sum";
    average = "average";
    min = "min";
    max = "max";
    stddev = "stddev";
    range = "rangeOf";
    diff = "diff";
}

/// The product; one series alone is handed through as it is.
pub(in crate::graphite) fn multiply(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series_lists(arguments, "seriesLists")?;
    let product = Reducer::Product(Arithmetic::Plain);
    let share = lowering.x_files_factor;
    let combined = combined(input.clone(), "multiply", product, share, all());
    if arguments.all("seriesLists").len() != 1 {
        return Ok(combined);
    }
    let inputs = vec![input, combined];
    Ok(Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Sole })))
}

pub(in crate::graphite) fn power(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series_lists(arguments, "seriesList")?;
    let power = combined_as(input, "pow", Reducer::Power, 0.0, all(), CallTitle::Titles);
    Ok(anew(power, lowering.x_files_factor))
}

pub(in crate::graphite) fn percentile(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let percent = arguments.required_float("n")?;
    if percent.is_nan() || percent <= 0.0 {
        return Err(arguments.bad("n", "a percentile greater than 0"));
    }
    let method = match arguments.boolean("interpolate")?.unwrap_or(false) {
        true => PercentileMethod::Legacy,
        false => PercentileMethod::Next,
    };
    let share = lowering.x_files_factor;
    let row = Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer: Reducer::Percentile(Number(percent / 100.0), method),
        argument: None,
        grouping: all(),
        alignment: Alignment::LeastCommonStep { present_min: Number(0.0) },
        labels: GroupLabels::Called(Box::new(Called {
            function: "percentileOfSeries".to_owned(),
            suffix: format!(",{}", general(percent)),
            title: CallTitle::FirstExpression,
            mark: None,
            present_min: Number(share),
        })),
    }));
    Ok(anew(row, share))
}

/// Series that share a name once the nodes at some places are gone.
fn with_wildcards(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
    function: &str,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let reducer = reducer(function).filter(|_| function != "first");
    let reducer = reducer.ok_or_else(|| arguments.bad("func", "the name of an aggregation"))?;
    let title = TitleRule::WithoutNodes(arguments.integers("position")?);
    let relabel = Relabel { input: Box::new(input), rule: RelabelRule::Title(title) };
    let input = Node::new(Op::Relabel(relabel));
    Ok(combined(input, function, reducer, lowering.x_files_factor, Grouping::Title))
}

pub(in crate::graphite) fn aggregate_with_wildcards(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let name = arguments.aggregation("func")?.unwrap_or_default();
    with_wildcards(lowering, arguments, name)
}

macro_rules! named_wildcards {
    ($($function:ident = $name:literal;)+) => {
        $(pub(in crate::graphite) fn $function(
            lowering: &mut Lowering<'_>,
            arguments: &Arguments<'_>,
        ) -> Lowered {
            with_wildcards(lowering, arguments, $name)
        })+
    };
}

named_wildcards! {
    sum_with_wildcards = "sum";
    average_with_wildcards = "average";
    multiply_with_wildcards = "multiply";
}

pub(in crate::graphite) fn aggregate(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let name = arguments.aggregation("func")?.unwrap_or_default();
    let reducer = reducer(name).filter(|_| name != "first");
    let reducer = reducer.ok_or_else(|| arguments.bad("func", "the name of an aggregation"))?;
    let present_min = arguments.float("xFilesFactor")?.unwrap_or(lowering.x_files_factor);
    Ok(combined(input, name, reducer, present_min, all()))
}

pub(in crate::graphite) fn count(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    if arguments.all("seriesLists").is_empty() {
        return super::special::constant(lowering, 0.0, "0", "countSeries()");
    }
    let input = lowering.series_lists(arguments, "seriesLists")?;
    Ok(rows(input, RowsFunction::CountRows { function: "countSeries".to_owned() }))
}

pub(in crate::graphite) fn group(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    lowering.series_lists(arguments, "seriesLists")
}

pub(in crate::graphite) fn unique(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series_lists(arguments, "seriesLists")?;
    Ok(rows(input, RowsFunction::DistinctTitles))
}

pub(in crate::graphite) fn group_by_node(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let title = TitleRule::Nodes(arguments.nodes("nodeNum")?);
    grouped(lowering, arguments, input, title)
}

pub(in crate::graphite) fn group_by_nodes(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let title = TitleRule::Nodes(arguments.nodes("nodes")?);
    grouped(lowering, arguments, input, title)
}

pub(in crate::graphite) fn group_by_tags(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
) -> Lowered {
    let input = lowering.series(arguments, "seriesList")?;
    let mut tags = arguments.texts("tags")?;
    tags.sort_unstable();
    tags.dedup();
    let callback = arguments.required_text("callback")?;
    let name = match tags.contains(&"name") {
        true => TaggedName::Own,
        false => TaggedName::CommonOr(callback.to_owned()),
    };
    let labels = tags.iter().filter(|tag| **tag != "name").map(|tag| label_of(tag).to_owned());
    let title = TitleRule::Tagged { name, labels: labels.collect() };
    Ok(called_by_tags(grouped(lowering, arguments, input, title)?))
}

/// Rows with the same new title to one each.
fn grouped(
    lowering: &mut Lowering<'_>,
    arguments: &Arguments<'_>,
    input: Node,
    title: TitleRule,
) -> Lowered {
    let callback = arguments.text("callback")?.unwrap_or("average");
    let function = match callback {
        // Also the names of functions, and those are called.
        "avg" => "average",
        _ => callback.strip_suffix("Series").unwrap_or(callback),
    };
    // Series are counted, with or without a value; and what is no reduction is a function as well.
    let reducer = reducer(function).filter(|_| callback != "countSeries");
    let Some(reducer) = reducer else {
        return groups::through(lowering, input, title, callback);
    };
    let relabel = Relabel { input: Box::new(input), rule: RelabelRule::Title(title) };
    let input = Node::new(Op::Relabel(relabel));
    Ok(combined(input, function, reducer, lowering.x_files_factor, Grouping::Title))
}
