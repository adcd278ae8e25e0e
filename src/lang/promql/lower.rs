//! Tree to plan.
//!
//! Every node of a plan states its own instants, so evaluation time is resolved here: offsets become
//! edges of windows, `@` becomes an expression over one instant that is repeated, a sub-query is an
//! expression over a grid of its own (multiples of its step, whatever the query's start).

mod call;
mod operator;
mod window;

use model::{METRIC_NAME, Matcher, Pattern, StepGrid, ValueTest};
use plan::node::Number;
use plan::semantics::{BinaryOp, RelabelRule};
use plan::{Node, Op, Plan, Relabel, Span};

use super::LowerOptions;
use super::ast::{Expr, ExprKind, LabelTestOp, Selector, ValueType};
use super::re2;
use crate::error::LangError;

type LowerResult = Result<Lowered, LangError>;

/// A node, and whether its rows still carry a name that the end of the query takes off.
struct Lowered {
    node: Node,
    name_pending: bool,
}

impl Lowered {
    /// A node whose rows carry the names they shall have.
    fn settled(op: Op, span: Span) -> Self {
        Self { node: Node::at(op, span), name_pending: false }
    }
}

/// Lowers one query.
struct Lowerer<'a> {
    options: &'a LowerOptions,
}

/// The plan of `expr`.
pub fn lower(expr: &Expr, options: &LowerOptions) -> Result<Plan, LangError> {
    let lowerer = Lowerer { options };
    let root = match &expr.unwrapped().kind {
        ExprKind::Text(text) => Node::at(Op::Text(text.clone()), expr.span),
        _ if expr.value_type() == ValueType::Matrix => {
            lowerer.settle(lowerer.samples(expr.unwrapped())?)
        }
        _ => lowerer.settle(lowerer.expr(expr, options.grid)?),
    };
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
                _ => ValueTest::NotRegex(pattern.clone()),
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
            return Ok(Lowered::settled(Op::Constant(Number(*value), grid), expr.span));
        }
        if grid.len() > 1 && is_invariant(expr) {
            let once = self.varying(expr, StepGrid::instant(grid.start_ms))?;
            let input = Box::new(once.node);
            let node = Node::at(Op::Repeat { input, grid }, expr.span);
            return Ok(Lowered { node, name_pending: once.name_pending });
        }
        self.varying(expr, grid)
    }

    fn varying(&self, expr: &Expr, grid: StepGrid) -> LowerResult {
        match &expr.kind {
            ExprKind::Paren(inner) => self.expr(inner, grid),
            ExprKind::Number { value, .. } => {
                Ok(Lowered::settled(Op::Constant(Number(*value), grid), expr.span))
            }
            ExprKind::Selector(selector) => self.newest(selector, expr.span, grid, false),
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

    /// Nothing but the node: for scalars, which have no name.
    fn scalar(&self, expr: &Expr, grid: StepGrid) -> Result<Node, LangError> {
        Ok(self.expr(expr, grid)?.node)
    }

    /// The node with pending names taken off, and what goes with a name.
    fn settle(&self, lowered: Lowered) -> Node {
        if !lowered.name_pending {
            return lowered.node;
        }
        [METRIC_NAME, "__type__", "__unit__"].into_iter().fold(lowered.node, |node, label| {
            let span = node.span;
            let rule = RelabelRule::Replace {
                destination: label.to_owned(),
                template: String::new(),
                source: label.to_owned(),
                pattern: anything(),
            };
            Node { op: Op::Relabel(Relabel { input: Box::new(node), rule }), span }
        })
    }

    /// How an operation that drops names does it: by itself, or at the end of the query.
    fn dropping(&self) -> (bool, bool) {
        let delayed = self.options.features.delayed_name_removal;
        (!delayed, delayed)
    }
}

/// The pattern that every text matches.
fn anything() -> Pattern {
    // The pattern is a constant that compiles; a plan without it would be wrong, so nothing stands in.
    #[expect(clippy::unwrap_used, reason = "constant pattern")]
    Pattern::new(".*").unwrap()
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
        _ => expr.children().into_iter().all(is_invariant),
    }
}

/// The plan's name of an operator; `None` for those that cut histograms.
fn binary_op(op: super::ast::Operator) -> Option<BinaryOp> {
    use super::ast::Operator;
    Some(match op {
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
        Operator::TrimUpper | Operator::TrimLower => return None,
    })
}
