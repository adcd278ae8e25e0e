//! Tree to plan.
//!
//! Every node of a plan states its own instants, so evaluation time is resolved here: offsets become
//! edges of windows, `@` becomes an expression over one instant that is repeated, a sub-query is an
//! expression over a grid of its own (multiples of its step, whatever the query's start).

mod call;
mod operator;
mod window;

use std::cell::Cell;

use model::{METRIC_NAME, Matcher, StepGrid, ValueTest};
use plan::node::Number;
use plan::semantics::{BinaryOp, Naming};
use plan::{Node, Op, Plan};

use super::LowerOptions;
use super::ast::{Expr, ExprKind, LabelTestOp, Selector, ValueType};
use super::re2;
use super::syntax::quote::presentable;
use crate::error::LangError;

type LowerResult = Result<Node, LangError>;

/// Lowers one query.
struct Lowerer<'a> {
    options: &'a LowerOptions,
    path: Cell<Path>,
}

/// What the expressions above say about the histograms of a selector.
#[derive(Clone, Copy, Default)]
struct Path {
    /// Some function reads counts and sums alone.
    wants_statistics: bool,
    /// Some operation looks at buckets, or needs them to tell resets.
    needs_buckets: bool,
}

/// The plan of `expr`.
pub(super) fn lower(expr: &Expr, options: &LowerOptions) -> Result<Plan, LangError> {
    let lowerer = Lowerer { options, path: Cell::default() };
    let root = match &expr.unwrapped().kind {
        ExprKind::Text(text) => Node::at(Op::Text(presentable(text)), expr.span),
        _ if expr.value_type() == ValueType::Matrix => lowerer.samples(expr.unwrapped())?,
        _ => lowerer.expr(expr, options.grid)?,
    };
    let features = options.features;
    let naming =
        Naming { at_end: features.delayed_name_removal, typed: features.type_and_unit_labels };
    let is_text = matches!(root.op, Op::Text(_));
    let mut root = if naming == Naming::default() || is_text {
        root
    } else {
        let span = root.span;
        Node { op: Op::Naming { input: Box::new(root), naming }, span }
    };
    if options.any_order {
        plan::rules::leave_order(&mut root);
    }
    Ok(Plan { root, limits: options.limits })
}

/// The tests of a selector as the index understands them.
pub(super) fn matchers(selector: &Selector) -> Vec<Matcher> {
    let name = selector.name.as_ref().map(|name| Matcher::equal(METRIC_NAME, name.clone()));
    let tests = selector.matchers.iter().map(|test| {
        let value = test.value.clone();
        let value_test = match &test.op {
            LabelTestOp::Equal => ValueTest::Equal(value),
            LabelTestOp::NotEqual => ValueTest::NotEqual(value),
            LabelTestOp::Regex(pattern) => re2::value_test(pattern),
            LabelTestOp::NotRegex(pattern) => match re2::value_test(pattern) {
                ValueTest::Equal(text) => ValueTest::NotEqual(text),
                _ => ValueTest::NotRegex(pattern.apart()),
            },
        };
        Matcher::new(test.name.clone(), value_test)
    });
    name.into_iter().chain(tests).collect()
}

impl Lowerer<'_> {
    /// The expression over `grid`. What is the same at every instant is computed once.
    fn expr(&self, expr: &Expr, grid: StepGrid) -> LowerResult {
        if let ExprKind::Number { value, .. } = &expr.unwrapped().kind {
            return Ok(Node::at(Op::Constant(Number(*value), grid), expr.span));
        }
        if grid.len() > 1 && is_invariant(expr) {
            let input = Box::new(self.varying(expr, StepGrid::instant(grid.start_ms))?);
            return Ok(Node::at(Op::Repeat { input, grid }, expr.span));
        }
        self.varying(expr, grid)
    }

    fn varying(&self, expr: &Expr, grid: StepGrid) -> LowerResult {
        match &expr.kind {
            ExprKind::Paren(inner) => self.expr(inner, grid),
            ExprKind::Number { value, .. } => {
                Ok(Node::at(Op::Constant(Number(*value), grid), expr.span))
            }
            ExprKind::Selector(selector) => self.newest(selector, expr.span, grid),
            ExprKind::Call(call) => self.call(call, expr.span, grid),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, grid),
            ExprKind::Binary(binary) => self.binary(binary, expr.span, grid),
            ExprKind::Unary { negative, operand } => {
                self.unary(*negative, operand, expr.span, grid)
            }
            ExprKind::Text(_) | ExprKind::Range(_) | ExprKind::Subquery(_) => {
                Err(LangError::meaning(format!(
                    "a {} cannot stand where one value per instant is needed",
                    expr.value_type().documented()
                )))
            }
        }
    }
}

/// True when the value of `expr` is the same at every instant of a query.
fn is_invariant(expr: &Expr) -> bool {
    /// Functions whose value depends on the instant they are evaluated at.
    const TIMED: [&str; 11] = [
        "days_in_month",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "hour",
        "minute",
        "month",
        "predict_linear",
        "time",
        "timestamp",
        "year",
    ];
    match &expr.kind {
        ExprKind::Number { .. } | ExprKind::Text(_) => true,
        ExprKind::Selector(selector) => selector.shift.at.is_some(),
        ExprKind::Range(range) => range.selector.shift.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.shift.at.is_some(),
        ExprKind::Call(call) => match call.arguments.as_slice() {
            [one] if call.function == "timestamp" => {
                matches!(one.unwrapped().kind, ExprKind::Selector(_))
                    && is_invariant(one.unwrapped())
            }
            arguments => !TIMED.contains(&call.function) && arguments.iter().all(is_invariant),
        },
        // Of a chain of operators the right side decides without walking down the left one.
        _ => expr.children().into_iter().rev().all(is_invariant),
    }
}

/// The plan's name of an operator.
fn binary_op(op: super::ast::Operator) -> BinaryOp {
    use super::ast::Operator;
    match op {
        Operator::Add => BinaryOp::Add,
        Operator::Subtract => BinaryOp::Subtract,
        Operator::Multiply => BinaryOp::Multiply,
        Operator::Divide => BinaryOp::Divide,
        Operator::Modulo => BinaryOp::Modulo,
        Operator::Power => BinaryOp::Power,
        Operator::Atan2 => BinaryOp::Atan2,
        Operator::Equal => BinaryOp::Equal,
        Operator::NotEqual => BinaryOp::NotEqual,
        Operator::Less => BinaryOp::Less,
        Operator::LessOrEqual => BinaryOp::LessOrEqual,
        Operator::Greater => BinaryOp::Greater,
        Operator::GreaterOrEqual => BinaryOp::GreaterOrEqual,
        Operator::And => BinaryOp::And,
        Operator::Or => BinaryOp::Or,
        Operator::Unless => BinaryOp::Unless,
        Operator::TrimUpper => BinaryOp::TrimUpper,
        Operator::TrimLower => BinaryOp::TrimLower,
    }
}
