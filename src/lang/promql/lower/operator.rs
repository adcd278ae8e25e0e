//! Operators, signs and aggregations.

use model::StepGrid;
use plan::node::Number;
use plan::semantics::{
    Alignment, Arithmetic, Cardinality, GroupLabels, Grouping, MapFunction, Matching, Reducer,
};
use plan::{Join, Map, Node, Op, Rank, RankKind, Span};

use super::{LowerResult, Lowerer, Path, binary_op};
use crate::error::LangError;
use crate::promql::ast::{Aggregate, AggregateOp, Binary, Expr, ExprKind, Group, ValueType};
use crate::promql::syntax::quote::{has_bad_bytes, quoted};

impl Lowerer<'_> {
    pub(super) fn unary(
        &self,
        negative: bool,
        operand: &Expr,
        span: Span,
        grid: StepGrid,
    ) -> LowerResult {
        let inner = self.expr(operand, grid)?;
        if !negative {
            return Ok(inner);
        }
        self.mapped(inner, MapFunction::Negate, Vec::new(), span)
    }

    /// A function of every value; names go.
    pub(super) fn mapped(
        &self,
        input: Node,
        function: MapFunction,
        arguments: Vec<Node>,
        span: Span,
    ) -> LowerResult {
        let drop_name = input.value_type() != plan::ValueType::Scalar;
        let map = Map { input: Box::new(input), function, arguments, drop_name };
        Ok(Node::at(Op::Map(map), span))
    }

    pub(super) fn binary(&self, binary: &Binary, span: Span, grid: StepGrid) -> LowerResult {
        let op = binary_op(binary.op);
        let above = self.path.get();
        let needs_buckets = above.needs_buckets || binary.op.is_trim();
        self.path.set(Path { needs_buckets, ..above });
        let sides = self.expr(&binary.left, grid).and_then(|left| {
            let right = self.expr(&binary.right, grid)?;
            Ok((left, right))
        });
        self.path.set(above);
        let (left, right) = sides?;
        let sides = (binary.left.value_type(), binary.right.value_type());
        let return_bool = binary.return_bool;
        let (input, argument, argument_left) = match sides {
            (ValueType::Scalar, ValueType::Scalar) => {
                let function = MapFunction::Binary { op, argument_left: false, return_bool: true };
                return self.mapped(left, function, vec![right], span);
            }
            (ValueType::Scalar, _) => (right, left, true),
            (_, ValueType::Scalar) => (left, right, false),
            _ => return self.join(binary, op, (left, right), span),
        };
        let function = MapFunction::Binary { op, argument_left, return_bool };
        let drop_name = op.changes_quantity() || return_bool;
        let map = Map { input: Box::new(input), function, arguments: vec![argument], drop_name };
        Ok(Node::at(Op::Map(map), span))
    }

    fn join(
        &self,
        binary: &Binary,
        op: plan::semantics::BinaryOp,
        (left, right): (Node, Node),
        span: Span,
    ) -> LowerResult {
        let written = &binary.matching;
        let cardinality = match written.group {
            _ if op.is_set() => Cardinality::ManyToMany,
            None => Cardinality::OneToOne,
            Some(Group::Left) => Cardinality::ManyToOne,
            Some(Group::Right) => Cardinality::OneToMany,
        };
        // The reference swaps the sides of a `group_right` before it fills, and its scripts say so.
        let (fill_left, fill_right) = match written.group {
            Some(Group::Right) => (written.fill_right, written.fill_left),
            _ => (written.fill_left, written.fill_right),
        };
        let matching = Matching {
            on: written.on,
            labels: written.labels.clone(),
            cardinality,
            include: written.include.clone(),
            fill: (fill_left.map(Number), fill_right.map(Number)),
        };
        let return_bool = binary.return_bool;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Node::at(Op::Join(Join { left, right, op, return_bool, matching }), span))
    }

    pub(super) fn aggregate(
        &self,
        aggregate: &Aggregate,
        span: Span,
        grid: StepGrid,
    ) -> LowerResult {
        let input = self.expr(&aggregate.operand, grid)?;
        let mut grouping = if aggregate.without {
            Grouping::Without(aggregate.grouping.clone())
        } else {
            Grouping::By(aggregate.grouping.clone())
        };
        let input_node = Box::new(input);
        if let Some(kind) = rank_kind(aggregate.op) {
            let count = Box::new(self.parameter(aggregate, grid)?);
            let rank = Rank { input: input_node, kind, count, grouping, unsorted: false };
            return Ok(Node::at(Op::Rank(rank), span));
        }
        let mut argument = None;
        let reducer = match aggregate.op {
            AggregateOp::Sum => Reducer::Sum(Arithmetic::Compensated),
            AggregateOp::Avg => Reducer::Average(Arithmetic::Compensated),
            AggregateOp::Count => Reducer::Count,
            AggregateOp::Min => Reducer::Min,
            AggregateOp::Max => Reducer::Max,
            AggregateOp::StdDev => Reducer::StdDev(Arithmetic::Plain),
            AggregateOp::StdVar => Reducer::StdVar(Arithmetic::Plain),
            AggregateOp::Quantile => {
                argument = Some(Box::new(self.parameter(aggregate, grid)?));
                Reducer::Quantile
            }
            AggregateOp::CountValues => {
                let label = count_label(aggregate)?;
                // The label holds the counted value before rows are grouped: what it held in a row
                // keeps no two of them apart.
                match &mut grouping {
                    Grouping::By(labels) => labels.retain(|one| *one != label),
                    Grouping::Without(labels) => labels.push(label.clone()),
                    Grouping::Title | Grouping::Each => {}
                }
                Reducer::CountValues(label)
            }
            _ => Reducer::Group,
        };
        let aggregate = plan::Aggregate {
            input: input_node,
            reducer,
            argument,
            grouping,
            alignment: Alignment::Steps,
            labels: GroupLabels::Group,
        };
        Ok(Node::at(Op::Aggregate(aggregate), span))
    }

    fn parameter(&self, aggregate: &Aggregate, grid: StepGrid) -> Result<Node, LangError> {
        match &aggregate.parameter {
            Some(parameter) => self.expr(parameter, grid),
            None => Err(LangError::meaning(format!("{} needs a parameter", aggregate.op.name()))),
        }
    }
}

fn rank_kind(op: AggregateOp) -> Option<RankKind> {
    Some(match op {
        AggregateOp::TopK => RankKind::Top,
        AggregateOp::BottomK => RankKind::Bottom,
        AggregateOp::LimitK => RankKind::First,
        AggregateOp::LimitRatio => RankKind::Ratio,
        _ => return None,
    })
}

fn count_label(aggregate: &Aggregate) -> Result<String, LangError> {
    match aggregate.parameter.as_ref().map(|parameter| &parameter.unwrapped().kind) {
        Some(ExprKind::Text(label)) if !label.is_empty() && !has_bad_bytes(label) => {
            Ok(label.clone())
        }
        Some(ExprKind::Text(label)) => {
            Err(LangError::meaning(format!("invalid label name {}", quoted(label))))
        }
        _ => Err(LangError::meaning("count_values needs a label name")),
    }
}
