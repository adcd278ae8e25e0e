//! Layer 2: what to compute. Pure data: no storage, no operators, no text of any query language.
//!
//! A [`Plan`] is a tree of [`Node`]s. Languages differ in *parameters* of nodes (see [`semantics`]),
//! never in nodes of their own. Every node states its own instants, so nothing depends on a hidden
//! evaluation time: a sub-query is a node over another grid, a value fixed by `@` is a node over one
//! instant that is repeated.

pub mod binary;
pub mod check;
pub mod display;
pub mod failure;
pub mod formula;
pub mod node;
pub mod order;
pub mod rows;
pub mod rules;
pub mod semantics;
pub mod slots;
pub mod titles;

pub use failure::{Annotation, AnnotationKind, EvalError, HistogramOperation, Level, Monotonicity};
pub use formula::{Expression, Formula, Meeting, Operand};
pub use node::{
    Aggregate, Deal, Each, Fold, Inform, Join, Map, Node, Op, Plan, QueryLimits, Rank, RankKind,
    Relabel, Scan, Span, ValueType,
};
pub use rows::{
    Drawing, ExpressionRule, FieldWidth, LabelRule, Missing, MovingWindow, NumberFormat, Pairing,
    Presentation, Ratio, RowStyle, Rows, RowsFunction, SpreadColumns, TitleField, TitlePart,
    UnitSystem,
};
