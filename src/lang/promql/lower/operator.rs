//! Operators, signs and aggregations.

use model::{METRIC_NAME, StepGrid};
use plan::node::Number;
use plan::semantics::{
    Alignment, Arithmetic, Cardinality, GroupLabels, Grouping, MapFunction, Matching, Reducer,
};
use plan::{Join, Map, Node, Op, Rank, RankKind, Span};

use super::{LowerResult, Lowered, Lowerer, binary_op};
use crate::error::LangError;
use crate::promql::ast::{Aggregate, AggregateOp, Binary, Expr, ExprKind, Group, ValueType};
use crate::promql::syntax::quote::quoted;

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
        input: Lowered,
        function: MapFunction,
        arguments: Vec<Node>,
        span: Span,
    ) -> LowerResult {
        let is_scalar = input.node.value_type() == plan::ValueType::Scalar;
        let (drop_name, name_pending) = if is_scalar { (false, false) } else { self.dropping() };
        let map = Map { input: Box::new(input.node), function, arguments, drop_name };
        Ok(Lowered { node: Node::at(Op::Map(map), span), name_pending })
    }

    pub(super) fn binary(&self, binary: &Binary, span: Span, grid: StepGrid) -> LowerResult {
        let Some(op) = binary_op(binary.op) else {
            return Err(LangError::meaning(format!(
                "operator {} cuts native histograms, which are not supported",
                binary.op.name()
            )));
        };
        let left = self.expr(&binary.left, grid)?;
        let right = self.expr(&binary.right, grid)?;
        let sides = (binary.left.value_type(), binary.right.value_type());
        let return_bool = binary.return_bool;
        let (input, argument, argument_left) = match sides {
            (ValueType::Scalar, ValueType::Scalar) => {
                let function = MapFunction::Binary { op, argument_left: false, return_bool: true };
                return self.mapped(left, function, vec![right.node], span);
            }
            (ValueType::Scalar, _) => (right, left.node, true),
            (_, ValueType::Scalar) => (left, right.node, false),
            _ => return self.join(binary, op, (left, right), span),
        };
        let function = MapFunction::Binary { op, argument_left, return_bool };
        if op.is_comparison() && !return_bool {
            let name_pending = input.name_pending;
            let input = Box::new(input.node);
            let map = Map { input, function, arguments: vec![argument], drop_name: false };
            return Ok(Lowered { node: Node::at(Op::Map(map), span), name_pending });
        }
        self.mapped(input, function, vec![argument], span)
    }

    fn join(
        &self,
        binary: &Binary,
        op: plan::semantics::BinaryOp,
        (left, right): (Lowered, Lowered),
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
        let keeps_values = op.is_set() || (op.is_comparison() && !binary.return_bool);
        let is_union = op == plan::semantics::BinaryOp::Or;
        let name_pending = keeps_values
            && match cardinality {
                Cardinality::OneToMany => right.name_pending,
                _ if is_union => left.name_pending && right.name_pending,
                _ => left.name_pending,
            };
        // Where only one side of an `or` has names to lose, it loses them here.
        let (left, right) = if is_union && !name_pending {
            (self.settle(left), self.settle(right))
        } else {
            (left.node, right.node)
        };
        let return_bool = binary.return_bool;
        let (left, right) = (Box::new(left), Box::new(right));
        let join = Join { left, right, op, return_bool, matching };
        Ok(Lowered { node: Node::at(Op::Join(join), span), name_pending })
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
        let name_pending = input.name_pending;
        let input_node = Box::new(input.node);
        if let Some(kind) = rank_kind(aggregate.op) {
            let count = Box::new(self.parameter(aggregate, grid)?);
            let rank = Rank { input: input_node, kind, count, grouping };
            return Ok(Lowered { node: Node::at(Op::Rank(rank), span), name_pending });
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
        let by_name =
            matches!(&grouping, Grouping::By(l) if l.iter().any(|one| one == METRIC_NAME));
        let aggregate = plan::Aggregate {
            input: input_node,
            reducer,
            argument,
            grouping,
            alignment: Alignment::Steps,
            labels: GroupLabels::Group,
        };
        let node = Node::at(Op::Aggregate(aggregate), span);
        Ok(Lowered { node, name_pending: name_pending && by_name })
    }

    fn parameter(&self, aggregate: &Aggregate, grid: StepGrid) -> Result<Node, LangError> {
        match &aggregate.parameter {
            Some(parameter) => self.scalar(parameter, grid),
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
        Some(ExprKind::Text(label)) if !label.is_empty() && !label.contains('\u{fffd}') => {
            Ok(label.clone())
        }
        Some(ExprKind::Text(label)) => {
            Err(LangError::meaning(format!("invalid label name {}", quoted(label))))
        }
        _ => Err(LangError::meaning("count_values needs a label name")),
    }
}
