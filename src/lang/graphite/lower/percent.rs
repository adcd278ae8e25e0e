//! Series divided by series: parts, shares, weighted means.

use plan::semantics::{Arithmetic, BinaryOp, NodeKey, Reducer, TitleRule};
use plan::{
    Deal, ExpressionRule, Missing, Node, Op, Pairing, Presentation, Ratio, Rows, RowsFunction,
    node::Number,
};

use super::combine::{all, combined};
use super::groups::{each, given};
use super::{Lowering, anew, binary, present, rows, wrap};
use crate::graphite::argument::Arguments;
use crate::graphite::ast::ExprKind;
use crate::graphite::error::GraphiteError;
use crate::graphite::number::python;

type Lowered = Result<Node, GraphiteError>;
type Context<'l, 'a> = &'l mut Lowering<'a>;

fn pairs(left: Node, right: Node, ratio: Ratio) -> Node {
    let inputs = vec![left, right];
    Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Ratio(Box::new(ratio)) }))
}

fn quotient(missing: Missing) -> Ratio {
    Ratio {
        function: "divideSeries".to_owned(),
        op: BinaryOp::Divide,
        factor: Number(1.0),
        pairing: Pairing::One,
        missing,
        mismatch: "divideSeries second argument must reference exactly 1 series".to_owned(),
    }
}

fn share(pairing: Pairing, missing: Missing) -> Ratio {
    Ratio {
        function: "asPercent".to_owned(),
        op: BinaryOp::Divide,
        factor: Number(100.0),
        pairing,
        missing,
        mismatch: "asPercent second argument must be missing, a single digit, reference exactly 1 \
                   series or reference the same number of series as the first argument"
            .to_owned(),
    }
}

pub(in crate::graphite) fn divide_series(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let dividends = c.series(a, "dividendSeriesList")?;
    let divisor = c.series(a, "divisorSeries")?;
    let quotients = pairs(dividends, divisor.clone(), quotient(Missing::Left));
    // Without a divisor the dividends stay who they are, without values.
    let missing = present(
        quotients.clone(),
        Presentation { expression: Some(ExpressionRule::Title), ..Presentation::default() },
    );
    let inputs = vec![divisor, anew(quotients, c.x_files_factor), missing];
    Ok(Node::new(Op::Rows(Rows { inputs, function: RowsFunction::IfAny })))
}

pub(in crate::graphite) fn divide_series_lists(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let inputs = vec![c.series(a, "dividendSeriesList")?, c.series(a, "divisorSeriesList")?];
    let id = c.next_id();
    let body = pairs(given(id, 0), given(id, 1), quotient(Missing::Dropped));
    let mismatch =
        "dividendSeriesList and divisorSeriesList argument must have equal length".to_owned();
    Ok(anew(each(id, inputs, Deal::Position { mismatch }, body), c.x_files_factor))
}

/// The only row of `node`, or the sum of all of them.
fn total(node: Node) -> Node {
    let inputs = vec![node.clone(), sum(node)];
    Node::new(Op::Rows(Rows { inputs, function: RowsFunction::Sole }))
}

fn sum(node: Node) -> Node {
    combined(node, "sum", Reducer::Sum(Arithmetic::Plain), 0.0, all())
}

pub(in crate::graphite) fn as_percent(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let input = c.series(a, "seriesList")?;
    let keys = a.nodes("nodes")?;
    let shares = match a.get("total").map(|total| &total.kind) {
        _ if !keys.is_empty() => by_key(c, a, input, keys)?,
        None => {
            let total = sum(input.clone());
            pairs(input, total, share(Pairing::One, Missing::Dropped))
        }
        Some(ExprKind::Integer(number)) => of_number(input, *number as f64, &number.to_string()),
        Some(ExprKind::Float(number, _)) => of_number(input, *number, &python(*number)),
        Some(_) => {
            let total = c.series(a, "total")?;
            pairs(input, total, share(Pairing::OneOrSorted, Missing::Dropped))
        }
    };
    Ok(anew(shares, c.x_files_factor))
}

fn of_number(input: Node, number: f64, spelled: &str) -> Node {
    let part = rows(binary(input, BinaryOp::Divide, number), RowsFunction::Finite);
    let title = Some(wrap("asPercent(", &format!(",{spelled})")));
    present(
        binary(part, BinaryOp::Multiply, 100.0),
        Presentation { title, ..Presentation::default() },
    )
}

/// Each group of series over the total of its group.
fn by_key(c: Context<'_, '_>, a: &Arguments<'_>, input: Node, keys: Vec<NodeKey>) -> Lowered {
    let id = c.next_id();
    let mut inputs = vec![input];
    let place = match a.get("total").map(|total| &total.kind) {
        None => 0,
        Some(ExprKind::Path(_) | ExprKind::Call(_) | ExprKind::Given(_)) => {
            inputs.push(c.series(a, "total")?);
            1
        }
        Some(_) => return Err(a.bad("total", "nothing or series where nodes are given")),
    };
    let total = total(given(id, place));
    let body = pairs(given(id, 0), total, share(Pairing::One, Missing::Both));
    Ok(each(id, inputs, Deal::Title(TitleRule::Nodes(keys)), body))
}

pub(in crate::graphite) fn weighted_average(c: Context<'_, '_>, a: &Arguments<'_>) -> Lowered {
    let averages = c.series(a, "seriesListAvg")?;
    let weights = c.series(a, "seriesListWeight")?;
    let keys = a.nodes("nodes")?;
    let spelled: Vec<String> = keys.iter().map(spelling).collect();
    let mismatch = "weightedAverage must receive the same number of series for seriesListAvg and \
                    seriesListWeight"
        .to_owned();
    let counted = c.next_id();
    let both = vec![averages.clone(), weights.clone()];
    let averages_counted = each(counted, both, Deal::Position { mismatch }, given(counted, 0));
    let id = c.next_id();
    let product = Ratio {
        op: BinaryOp::Multiply,
        function: "product".to_owned(),
        ..quotient(Missing::Dropped)
    };
    let products = each(
        id,
        vec![averages_counted, weights.clone()],
        Deal::Title(TitleRule::Nodes(keys)),
        pairs(given(id, 0), given(id, 1), product),
    );
    let products = last_rows(products);
    let average = pairs(
        sum(products),
        sum(weights.clone()),
        Ratio { function: "weightedAverage".to_owned(), ..quotient(Missing::Dropped) },
    );
    let function = RowsFunction::TitleCall {
        function: "weightedAverage".to_owned(),
        after: format!(", {}", spelled.join(",")),
    };
    let inputs = vec![average, averages, weights];
    Ok(anew(Node::new(Op::Rows(Rows { inputs, function })), c.x_files_factor))
}

/// Of rows that share a key only the last one counts.
fn last_rows(mut node: Node) -> Node {
    if let Op::Each(each) = &mut node.op {
        each.last_only = true;
    }
    node
}

fn spelling(key: &NodeKey) -> String {
    match key {
        NodeKey::Index(index) => index.to_string(),
        NodeKey::Label(label) => crate::graphite::tagspec::tag_of(label).to_owned(),
    }
}
