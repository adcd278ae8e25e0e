//! `parse_query` and `format_query`: an expression as a JSON tree, and as text over several lines.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use lang::promql::ast::{
    At, Binary, DurationExpr, DurationKind, Edges, Expr, ExprKind, Group, LabelTestOp, Selector,
    Shift, Subquery,
};
use lang::promql::functions::signature;
use lang::promql::{ValueType, presentable, prettify, with_stack};
use serde_json::{Value, json};

use super::params::Params;
use super::query::parse;
use super::reply::{Notes, bad_data, success};
use crate::state::State;

/// `/format_query`
pub async fn format_query(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let expr = parse(&state, params.get("query").unwrap_or_default())?;
    let text =
        with_stack(&expr, || prettify(&expr)).map_err(|error| bad_data(&error.to_string()))?;
    Ok(reply(json!(text).to_string().as_bytes()))
}

/// `/parse_query`
pub async fn parse_query(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let expr = parse(&state, params.get("query").unwrap_or_default())?;
    // The tree is dropped where it is made: that recurses as well.
    let text = with_stack(&expr, || tree(&expr).to_string());
    Ok(reply(text.map_err(|error| bad_data(&error.to_string()))?.as_bytes()))
}

fn reply(data: &[u8]) -> Response {
    success(data, &Notes::default())
}

/// The tree in Prometheus's form, keys in alphabetical order as its encoder writes them.
fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number { value, .. } => {
            json!({"type": "numberLiteral", "val": base::number_text::decimal(*value)})
        }
        ExprKind::Text(text) => json!({"type": "stringLiteral", "val": presentable(text)}),
        ExprKind::Selector(one) => selector(one),
        ExprKind::Range(range) => {
            let mut out = selector(&range.selector);
            let (length, expression) = duration(Some(&range.range));
            out["type"] = json!("matrixSelector");
            out["range"] = length;
            out["rangeExpr"] = expression;
            sorted(out)
        }
        ExprKind::Subquery(one) => subquery(one),
        ExprKind::Call(call) => {
            let arguments: Vec<Value> = call.arguments.iter().map(tree).collect();
            json!({"args": arguments, "func": function(call.function), "type": "call"})
        }
        ExprKind::Aggregate(one) => json!({
            "expr": tree(&one.operand),
            "grouping": one.grouping,
            "op": one.op.name(),
            "param": one.parameter.as_deref().map(tree),
            "type": "aggregation",
            "without": one.without,
        }),
        ExprKind::Binary(one) => json!({
            "bool": one.return_bool,
            "lhs": tree(&one.left),
            "matching": matching(one),
            "op": one.op.name(),
            "rhs": tree(&one.right),
            "type": "binaryExpr",
        }),
        ExprKind::Unary { negative, operand } => {
            let op = if *negative { "-" } else { "+" };
            json!({"expr": tree(operand), "op": op, "type": "unaryExpr"})
        }
        ExprKind::Paren(inner) => json!({"expr": tree(inner), "type": "parenExpr"}),
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(pairs.into_iter().collect())
        }
        other => other,
    }
}

fn selector(one: &Selector) -> Value {
    let (offset, expression) = duration(one.shift.offset.as_ref());
    let (timestamp, start_or_end) = fixed(&one.shift);
    json!({
        "anchored": one.edges == Some(Edges::Anchored),
        "matchers": matchers(one),
        "name": one.name.as_deref().unwrap_or_default(),
        "offset": offset,
        "offsetExpr": expression,
        "smoothed": one.edges == Some(Edges::Smoothed),
        "startOrEnd": start_or_end,
        "timestamp": timestamp,
        "type": "vectorSelector",
    })
}

/// The tests in the braces; a name before them comes last.
fn matchers(one: &Selector) -> Vec<Value> {
    let tests = one.matchers.iter().map(|test| {
        let op = match test.op {
            LabelTestOp::Equal => "=",
            LabelTestOp::NotEqual => "!=",
            LabelTestOp::Regex(_) => "=~",
            LabelTestOp::NotRegex(_) => "!~",
        };
        json!({"name": test.name, "type": op, "value": test.value})
    });
    let name = one.name.iter();
    let name = name.map(|name| json!({"name": "__name__", "type": "=", "value": name}));
    tests.chain(name).collect()
}

/// The instant of an `@` in milliseconds, and whether it is the query's start or end.
fn fixed(shift: &Shift) -> (Value, Value) {
    match shift.at {
        None => (Value::Null, Value::Null),
        Some(At::Time(ms)) => (json!(ms), Value::Null),
        Some(At::Start) => (Value::Null, json!("start")),
        Some(At::End) => (Value::Null, json!("end")),
    }
}

fn subquery(one: &Subquery) -> Value {
    let (range, range_expression) = duration(Some(&one.range));
    let (step, step_expression) = duration(one.step.as_ref());
    let (offset, offset_expression) = duration(one.shift.offset.as_ref());
    let (timestamp, start_or_end) = fixed(&one.shift);
    json!({
        "expr": tree(&one.inner),
        "offset": offset,
        "offsetExpr": offset_expression,
        "range": range,
        "rangeExpr": range_expression,
        "startOrEnd": start_or_end,
        "step": step,
        "stepExpr": step_expression,
        "timestamp": timestamp,
        "type": "subquery",
    })
}

fn function(name: &str) -> Value {
    let Some(known) = signature(name) else { return Value::Null };
    let takes: Vec<&str> = known.takes.iter().map(|kind| kind.short()).collect();
    json!({
        "argTypes": takes,
        "name": name,
        "returnType": known.returns.short(),
        "variadic": known.variadic,
    })
}

/// How series pair up; only between two vectors.
fn matching(one: &Binary) -> Value {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::Vector;
    if !is_vector(&one.left) || !is_vector(&one.right) {
        return Value::Null;
    }
    let written = &one.matching;
    let card = match written.group {
        _ if ["and", "or", "unless"].contains(&one.op.name()) => "many-to-many",
        None => "one-to-one",
        Some(Group::Left) => "many-to-one",
        Some(Group::Right) => "one-to-many",
    };
    json!({
        "card": card,
        "fillValues": {"lhs": written.fill_left, "rhs": written.fill_right},
        "include": written.include,
        "labels": written.labels,
        "on": written.on,
    })
}

/// A duration in milliseconds; one that has to be computed is 0 and comes as a tree.
fn duration(expr: Option<&DurationExpr>) -> (Value, Value) {
    let Some(expr) = expr else { return (json!(0), Value::Null) };
    match literal_seconds(expr) {
        Some(seconds) => (json!((seconds * 1e3).round() as i64), Value::Null),
        None => (json!(0), duration_tree(expr)),
    }
}

fn literal_seconds(expr: &DurationExpr) -> Option<f64> {
    match &expr.kind {
        DurationKind::Literal { seconds, .. } => Some(*seconds),
        DurationKind::Negative(inner) => match inner.kind {
            DurationKind::Literal { seconds, .. } => Some(-seconds),
            _ => None,
        },
        _ => None,
    }
}

fn duration_tree(expr: &DurationExpr) -> Value {
    let node = |op: &str, lhs: Value, rhs: Value| json!({"lhs": lhs, "op": op, "rhs": rhs, "type": "durationExpr", "wrapped": false});
    match &expr.kind {
        DurationKind::Literal { seconds, is_duration } => json!({
            "duration": is_duration,
            "type": "numberLiteral",
            "val": base::number_text::decimal(*seconds),
        }),
        DurationKind::Step => node("step", Value::Null, Value::Null),
        DurationKind::Range => node("range", Value::Null, Value::Null),
        DurationKind::Negative(inner) => node("-", Value::Null, duration_tree(inner)),
        DurationKind::Arithmetic(op, left, right) => {
            node(op.name(), duration_tree(left), duration_tree(right))
        }
        DurationKind::MinOf(left, right) => {
            node("min_of", duration_tree(left), duration_tree(right))
        }
        DurationKind::MaxOf(left, right) => {
            node("max_of", duration_tree(left), duration_tree(right))
        }
        DurationKind::Paren(inner) => {
            let mut out = duration_tree(inner);
            if out["type"] == json!("durationExpr") {
                out["wrapped"] = json!(true);
            }
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_have_prometheus_keys() {
        let expr = lang::promql::parse(
            "sum by (job) (rate(a{b!=\"c\"}[5m] offset -1m)) / on (job) d @ start()",
            lang::promql::Features::default(),
        );
        let out = tree(&expr.unwrap());
        assert_eq!(out["matching"]["card"], "one-to-one");
        let range = &out["lhs"]["expr"]["args"][0];
        assert_eq!(range["type"], "matrixSelector");
        assert_eq!((&range["range"], &range["offset"]), (&json!(300_000), &json!(-60_000)));
        assert_eq!(range["matchers"][1]["name"], "__name__");
        assert_eq!(out["rhs"]["startOrEnd"], "start");
        let keys: Vec<&String> = range.as_object().unwrap().keys().collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }
}
