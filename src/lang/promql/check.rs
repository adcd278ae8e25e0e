//! Types and the rules that the grammar cannot say.
//!
//! The walk is Prometheus's: depth first, and of several errors the one it would meet first.

use plan::Span;

use super::ast::{
    Aggregate, AggregateOp, Binary, Call, Expr, ExprKind, Group, Selector, ValueType,
};
use super::functions::{Signature, signature};
use super::syntax::SyntaxError;
use super::syntax::quote::quoted;

type Checked = Result<(), SyntaxError>;

/// Checks `expr`, parsed from `text`.
pub(crate) fn check(expr: &Expr, text: &str) -> Checked {
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::Text(_) => Ok(()),
        ExprKind::Selector(selector) => check_selector(selector, expr.span, false),
        ExprKind::Range(range) => check_selector(&range.selector, range.selector_span, false),
        ExprKind::Subquery(subquery) => {
            check(&subquery.inner, text)?;
            match subquery.inner.value_type() {
                ValueType::Vector => Ok(()),
                other => error(
                    expr.span,
                    format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        other.short()
                    ),
                ),
            }
        }
        ExprKind::Call(call) => check_call(call, expr.span, text),
        ExprKind::Aggregate(aggregate) => check_aggregate(aggregate, text),
        ExprKind::Binary(binary) => check_binary(binary, expr.span, text),
        ExprKind::Unary { operand, .. } => {
            check(operand, text)?;
            match operand.value_type() {
                ValueType::Scalar | ValueType::Vector => Ok(()),
                other => error(
                    expr.span,
                    format!(
                        "unary expression only allowed on expressions of type scalar or instant \
                         vector, got {}",
                        quoted(other.documented())
                    ),
                ),
            }
        }
        ExprKind::Paren(inner) => check(inner, text),
    }
}

fn error(span: Span, message: impl Into<String>) -> Checked {
    let (start, end) = (span.start as usize, span.end as usize);
    Err(SyntaxError { message: message.into(), start, end })
}

/// Checks the type of `expr` after its inside.
fn expect(expr: &Expr, wanted: ValueType, context: &str, text: &str) -> Checked {
    check(expr, text)?;
    let found = expr.value_type();
    if found == wanted {
        return Ok(());
    }
    let (wanted, found) = (wanted.documented(), found.documented());
    error(expr.span, format!("expected type {wanted} in {context}, got {found}"))
}

/// Checks a selector; `may_be_open` where all series may be meant.
pub(crate) fn check_selector(selector: &Selector, span: Span, may_be_open: bool) -> Checked {
    if let Some(name) = &selector.name {
        let second = selector.matchers.iter().find(|test| test.name == model::METRIC_NAME);
        return match second {
            Some(test) => error(
                span,
                format!(
                    "metric name must not be set twice: {} or {}",
                    quoted(name),
                    quoted(&test.value)
                ),
            ),
            None => Ok(()),
        };
    }
    if may_be_open || selector.is_selective() {
        return Ok(());
    }
    error(span, "vector selector must contain at least one non-empty matcher")
}

fn check_aggregate(aggregate: &Aggregate, text: &str) -> Checked {
    expect(&aggregate.operand, ValueType::Vector, "aggregation expression", text)?;
    let Some(parameter) = &aggregate.parameter else { return Ok(()) };
    let wanted = match aggregate.op {
        AggregateOp::CountValues => ValueType::Text,
        _ => ValueType::Scalar,
    };
    expect(parameter, wanted, "aggregation parameter", text)
}

fn check_call(call: &Call, span: Span, text: &str) -> Checked {
    let Some(signature) = signature(call.function) else { return Ok(()) };
    check_count(call, signature, span)?;
    if call.function == "info"
        && let Some(second) = call.arguments.get(1)
    {
        match &second.kind {
            ExprKind::Selector(selector) if selector.name.is_some() => {
                return error(
                    second.span,
                    "expected label selectors only, got vector selector instead",
                );
            }
            ExprKind::Selector(_) => {}
            _ => return error(second.span, "expected label selectors only"),
        }
    }
    let context = format!("call to function {}", quoted(call.function));
    for (index, argument) in call.arguments.iter().enumerate() {
        let is_info_filter = call.function == "info" && index == 1;
        if let (true, ExprKind::Selector(selector)) = (is_info_filter, &argument.kind) {
            check_selector(selector, argument.span, true)?;
            continue;
        }
        if let Some(wanted) = signature.takes.get(index).or(signature.takes.last()) {
            expect(argument, *wanted, &context, text)?;
        }
    }
    Ok(())
}

fn check_count(call: &Call, signature: &Signature, span: Span) -> Checked {
    let (given, takes) = (call.arguments.len(), signature.takes.len());
    let name = quoted(call.function);
    if signature.variadic == 0 {
        if given == takes {
            return Ok(());
        }
        return error(span, format!("expected {takes} argument(s) in call to {name}, got {given}"));
    }
    let least = takes.saturating_sub(1);
    if given < least {
        return error(
            span,
            format!("expected at least {least} argument(s) in call to {name}, got {given}"),
        );
    }
    let most = usize::try_from(signature.variadic).map(|more| least + more);
    match most {
        Ok(most) if given > most => error(
            span,
            format!("expected at most {most} argument(s) in call to {name}, got {given}"),
        ),
        _ => Ok(()),
    }
}

/// The bytes of the operator and its modifiers. The end is the last byte itself, as the reference
/// reports it.
fn operator_span(binary: &Binary, text: &str) -> Span {
    let bytes = text.as_bytes();
    let is_blank = |at: usize| bytes.get(at).is_some_and(|b| b" \t\r\n".contains(b));
    let mut start = binary.left.span.end as usize;
    while is_blank(start) {
        start += 1;
    }
    let mut end = (binary.right.span.start as usize).saturating_sub(1);
    while end > start && is_blank(end) {
        end -= 1;
    }
    Span { start: start as u32, end: end as u32 }
}

fn check_binary(binary: &Binary, span: Span, text: &str) -> Checked {
    check(&binary.left, text)?;
    check(&binary.right, text)?;
    let (left, right) = (binary.left.value_type(), binary.right.value_type());
    let (op, matching) = (binary.op, &binary.matching);
    let both = |wanted: ValueType| left == wanted && right == wanted;
    if binary.return_bool && !op.is_comparison() {
        let message = "bool modifier can only be used on comparison operators";
        return error(operator_span(binary, text), message);
    }
    if op.is_comparison() && !binary.return_bool && both(ValueType::Scalar) {
        let message = "comparisons between scalars must use BOOL modifier";
        return error(operator_span(binary, text), message);
    }
    if matching.on
        && let Some(label) = matching.labels.iter().find(|one| matching.include.contains(one))
    {
        let label = quoted(label);
        let message = format!("label {label} must not occur in ON and GROUP clause at once");
        return error(operator_span(binary, text), message);
    }
    for (side, kind) in [(&binary.left, left), (&binary.right, right)] {
        if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
            let message = "binary expression must contain only scalar and instant vector types";
            return error(side.span, message);
        }
    }
    check_matching(binary, span, both(ValueType::Vector))
}

fn check_matching(binary: &Binary, span: Span, both_vectors: bool) -> Checked {
    let (op, matching) = (binary.op, &binary.matching);
    let has_fill = matching.fill_left.is_some() || matching.fill_right.is_some();
    if !both_vectors {
        if !matching.labels.is_empty() {
            return error(span, "vector matching only allowed between instant vectors");
        }
        if has_fill {
            return error(span, "filling in missing series only allowed between instant vectors");
        }
    }
    let name = quoted(op.name());
    if both_vectors && op.is_set() {
        if let Some(Group::Left | Group::Right) = matching.group {
            return error(span, format!("no grouping allowed for {name} operation"));
        }
        if has_fill {
            return error(span, "filling in missing series not allowed for set operators");
        }
    }
    if !both_vectors && op.is_set() {
        let message = format!("set operator {name} not allowed in binary scalar expression");
        return error(span, message);
    }
    Ok(())
}
