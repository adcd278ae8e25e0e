//! The typed tree of a PromQL expression.
//!
//! Every node knows its bytes in the text. Durations stay expressions (`[step() + 5m]`) until a query's
//! own step and range are known. A tree is never higher than [`base::limits::QUERY_HEIGHT_MAX`]; every
//! walk over it may recurse, on a stack that [`with_stack`] has made sure of.

use model::Pattern;
use plan::Span;

pub use super::syntax::token::{AggregateOp, Operator};
use crate::error::LangError;

/// An expression and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its bytes.
    pub span: Span,
    /// Height of the tree, 1 for a leaf.
    pub(crate) height: u16,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number.
    Number {
        /// Its value; of a duration its seconds.
        value: f64,
        /// Written as a duration.
        is_duration: bool,
    },
    /// A text.
    Text(String),
    /// Series at an instant.
    Selector(Selector),
    /// Series over a window.
    Range(RangeSelector),
    /// An expression evaluated over a window.
    Subquery(Subquery),
    /// A function of its arguments.
    Call(Call),
    /// Series of a group reduced.
    Aggregate(Aggregate),
    /// Two sides combined.
    Binary(Binary),
    /// A sign before an expression.
    Unary {
        /// `-` rather than `+`.
        negative: bool,
        /// What it stands before.
        operand: Box<Expr>,
    },
    /// An expression in parentheses.
    Paren(Box<Expr>),
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// Series with one value each.
    Vector,
    /// Series with several values each.
    Matrix,
    /// A text.
    Text,
}

impl ValueType {
    /// As messages and the documentation name it.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::Text => "string",
        }
    }

    /// As the API and some messages name it.
    pub fn short(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::Text => "string",
        }
    }
}

/// Where and when a selector looks, beside its matchers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shift {
    /// `offset`
    pub offset: Option<DurationExpr>,
    /// `@`
    pub at: Option<At>,
}

/// The instant of an `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// The query's start.
    Start,
    /// The query's end.
    End,
}

/// Series at an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    /// The name before the braces.
    pub name: Option<String>,
    /// The tests in the braces, in order.
    pub matchers: Vec<LabelTest>,
    /// When to look.
    pub shift: Shift,
    /// What happens at a window's edges.
    pub edges: Option<Edges>,
}

/// How a window's edges are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// With the last sample before.
    Anchored,
    /// With interpolated values.
    Smoothed,
}

/// A test of a label as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelTest {
    /// The label.
    pub name: String,
    /// The operator and what it needs.
    pub op: LabelTestOp,
    /// The text on the right, as written.
    pub value: String,
    /// Written as a name alone: `{"name"}`.
    pub is_bare_name: bool,
}

/// Operators of label tests.
#[derive(Clone, Debug, PartialEq)]
pub enum LabelTestOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, with the translated pattern.
    Regex(Pattern),
    /// `!~`, with the translated pattern.
    NotRegex(Pattern),
}

/// Series over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSelector {
    /// Which series, shifted how.
    pub selector: Selector,
    /// The bytes of the selector alone.
    pub selector_span: Span,
    /// Length of the window.
    pub range: DurationExpr,
}

/// An expression evaluated over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub inner: Box<Expr>,
    /// Length of the window.
    pub range: DurationExpr,
    /// Distance of the evaluations; `None` for the default.
    pub step: Option<DurationExpr>,
    /// When to look.
    pub shift: Shift,
}

/// A function of its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static str,
    /// Its arguments.
    pub arguments: Vec<Expr>,
}

/// Series of a group reduced.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The reduction.
    pub op: AggregateOp,
    /// What stands before the expression.
    pub parameter: Option<Box<Expr>>,
    /// The series.
    pub operand: Box<Expr>,
    /// The labels of the clause.
    pub grouping: Vec<String>,
    /// `without` rather than `by`.
    pub without: bool,
}

/// Two sides combined.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: Operator,
    /// Left side.
    pub left: Box<Expr>,
    /// Right side.
    pub right: Box<Expr>,
    /// `bool`
    pub return_bool: bool,
    /// How series pair up.
    pub matching: Matching,
}

/// How series pair up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// `on` rather than `ignoring`.
    pub on: bool,
    /// The labels of the clause.
    pub labels: Vec<String>,
    /// `group_left` or `group_right`.
    pub group: Option<Group>,
    /// Labels copied from the "one" side.
    pub include: Vec<String>,
    /// Value of a missing left series.
    pub fill_left: Option<f64>,
    /// Value of a missing right series.
    pub fill_right: Option<f64>,
}

/// The side that may have several series of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// `group_left`
    Left,
    /// `group_right`
    Right,
}

/// A duration that may depend on the query.
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Its bytes.
    pub span: Span,
}

/// The kinds of durations.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// Seconds.
    Literal {
        /// How many.
        seconds: f64,
        /// Written with units.
        is_duration: bool,
    },
    /// The query's step.
    Step,
    /// The query's range.
    Range,
    /// The negative.
    Negative(Box<DurationExpr>),
    /// Two combined by arithmetic.
    Arithmetic(Operator, Box<DurationExpr>, Box<DurationExpr>),
    /// The smaller.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// The larger.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// In parentheses.
    Paren(Box<DurationExpr>),
}

/// Height that the stack of any caller is sure to hold.
const SHALLOW: u16 = 60;
/// Stack for walks over taller trees; only what is used of it is ever backed by memory.
const DEEP_STACK_BYTES: usize = 256 << 20;

/// Runs a walk over `expr` on a stack that is deep enough for it.
pub fn with_stack<T: Send>(expr: &Expr, walk: impl FnOnce() -> T + Send) -> Result<T, LangError> {
    if expr.height <= SHALLOW {
        return Ok(walk());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("deep-query".to_owned())
            .stack_size(DEEP_STACK_BYTES)
            .spawn_scoped(scope, walk)
            .map_err(|error| LangError::limit(format!("cannot start a deep query: {error}")))?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

impl Expr {
    /// The type of its value.
    pub fn value_type(&self) -> ValueType {
        // A chain of operators is walked in a loop: each level looks left only when it must.
        match &self.kind {
            ExprKind::Number { .. } => ValueType::Scalar,
            ExprKind::Text(_) => ValueType::Text,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => super::functions::signature(call.function)
                .map_or(ValueType::Vector, |signature| signature.returns),
            ExprKind::Binary(binary) => {
                let is_scalar = binary.right.value_type() == ValueType::Scalar
                    && binary.left.value_type() == ValueType::Scalar;
                if is_scalar { ValueType::Scalar } else { ValueType::Vector }
            }
            ExprKind::Unary { operand, .. } => operand.value_type(),
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }

    /// The expression without the parentheses around it.
    pub fn unwrapped(&self) -> &Expr {
        let mut inner = self;
        while let ExprKind::Paren(next) = &inner.kind {
            inner = next;
        }
        inner
    }

    /// The expressions below, in the order of the text.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Number { .. }
            | ExprKind::Text(_)
            | ExprKind::Selector(_)
            | ExprKind::Range(_) => vec![],
            ExprKind::Subquery(subquery) => vec![&subquery.inner],
            ExprKind::Call(call) => call.arguments.iter().collect(),
            ExprKind::Aggregate(aggregate) => {
                aggregate.parameter.iter().chain([&aggregate.operand]).map(|one| &**one).collect()
            }
            ExprKind::Binary(binary) => vec![&binary.left, &binary.right],
            ExprKind::Unary { operand, .. } => vec![operand],
            ExprKind::Paren(inner) => vec![inner],
        }
    }
}

impl Expr {
    /// True for a tree that takes no more than about a hundred times its text and may be dropped anywhere.
    pub fn is_small(&self) -> bool {
        let selector = match &self.kind {
            ExprKind::Selector(selector) => Some(selector),
            ExprKind::Range(range) => Some(&range.selector),
            _ => None,
        };
        self.height <= SHALLOW
            && selector.is_none_or(Selector::is_small)
            && self.children().into_iter().all(Self::is_small)
    }
}

impl Selector {
    fn is_small(&self) -> bool {
        self.matchers.iter().all(|test| match &test.op {
            LabelTestOp::Regex(pattern) | LabelTestOp::NotRegex(pattern) => pattern.is_small(),
            LabelTestOp::Equal | LabelTestOp::NotEqual => true,
        })
    }

    /// True when some test fails for a series without labels.
    pub(crate) fn is_selective(&self) -> bool {
        self.name.is_some() || self.matchers.iter().any(|test| !test.passes(""))
    }
}

impl LabelTest {
    /// True when a label with this value passes.
    pub(crate) fn passes(&self, value: &str) -> bool {
        match &self.op {
            LabelTestOp::Equal => value == self.value,
            LabelTestOp::NotEqual => value != self.value,
            LabelTestOp::Regex(pattern) => pattern.is_match(value),
            LabelTestOp::NotRegex(pattern) => !pattern.is_match(value),
        }
    }
}
