//! What must hold of a plan, and what can be read off one without running it.

use model::StepGrid;

use crate::node::{Fold, Map, Node, Op, Plan, ValueType};
use crate::semantics::Buckets;

/// A plan that does not make sense: a mistake of the language that made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// An argument is not a scalar.
    #[error("argument of {node} is not a scalar")]
    ArgumentNotScalar {
        /// The node.
        node: &'static str,
    },
    /// A text below the root.
    #[error("text inside {node}")]
    TextInside {
        /// The node above it.
        node: &'static str,
    },
    /// A scalar where rows belong.
    #[error("input of {node} is a scalar")]
    ScalarInput {
        /// The node.
        node: &'static str,
    },
    /// More arguments than the node can have, or fewer.
    #[error("{node} has {got} arguments, expected {expected}")]
    ArgumentCount {
        /// The node.
        node: &'static str,
        /// As given.
        got: usize,
        /// As needed.
        expected: usize,
    },
}

/// Checks types and numbers of arguments everywhere.
pub fn check(plan: &Plan) -> Result<(), PlanError> {
    check_node(&plan.root)
}

fn check_node(node: &Node) -> Result<(), PlanError> {
    let name = crate::display::name(node);
    let children = node.children();
    for child in &children {
        if matches!(child.op, Op::Text(_)) {
            return Err(PlanError::TextInside { node: name });
        }
    }
    let (arguments, vectors): (&[Node], bool) = match &node.op {
        Op::Fold(fold) => (&fold.arguments, true),
        Op::Map(map) => (&map.arguments, false),
        Op::Buckets { arguments, function, .. } => {
            let expected = match function {
                crate::semantics::BucketFunction::Quantile => 1,
                crate::semantics::BucketFunction::Quantiles(_) => arguments.len(),
                crate::semantics::BucketFunction::Fraction => 2,
            };
            if arguments.len() != expected {
                let got = arguments.len();
                return Err(PlanError::ArgumentCount { node: name, got, expected });
            }
            (arguments, true)
        }
        Op::Aggregate(aggregate) => {
            (aggregate.argument.as_deref().map_or(&[][..], std::slice::from_ref), true)
        }
        Op::Rank(rank) => (std::slice::from_ref(&*rank.count), true),
        Op::Join(_)
        | Op::Formula(_)
        | Op::Absent { .. }
        | Op::Relabel(_)
        | Op::Sort { .. }
        | Op::ToScalar(_) => (&[], true),
        _ => (&[], false),
    };
    if arguments.iter().any(|argument| argument.value_type() != ValueType::Scalar) {
        return Err(PlanError::ArgumentNotScalar { node: name });
    }
    let inputs = &children[..children.len() - arguments.len()];
    if vectors && inputs.iter().any(|input| input.value_type() == ValueType::Scalar) {
        return Err(PlanError::ScalarInput { node: name });
    }
    children.into_iter().try_for_each(check_node)
}

/// Nesting of the plan below `node`, itself included; stops counting at `max`.
pub fn depth(node: &Node, max: usize) -> usize {
    // A list instead of recursion: this is what protects the recursions.
    let mut open = vec![(node, 1)];
    let mut deepest = 0;
    while let Some((node, level)) = open.pop() {
        deepest = deepest.max(level);
        if deepest >= max {
            return deepest;
        }
        open.extend(node.children().into_iter().map(|child| (child, level + 1)));
    }
    deepest
}

/// The regular instants that all rows of `node` stand on; `None` where rows have their own.
pub fn grid(node: &Node) -> Option<StepGrid> {
    match &node.op {
        Op::Constant(_, grid) | Op::Time(grid) | Op::Repeat { grid, .. } => Some(*grid),
        Op::Text(_)
        | Op::Scan(_)
        | Op::Rows(_)
        | Op::Formula(_)
        | Op::Each(_)
        | Op::Given { .. }
        | Op::Edges { .. }
        | Op::Statistics(_)
        | Op::Clip { .. }
        | Op::Condense { .. } => None,
        Op::Fold(Fold { buckets, .. }) => match buckets {
            Buckets::Steps { grid, .. } | Buckets::Fixed { grid, .. } => Some(*grid),
            Buckets::Whole(range) => Some(StepGrid::instant(range.start_ms)),
            Buckets::Edges(_)
            | Buckets::Phased(_)
            | Buckets::Occupied { .. }
            | Buckets::PerSeries { .. } => None,
        },
        Op::Map(Map { input, .. })
        | Op::Buckets { input, .. }
        | Op::Absent { input, .. }
        | Op::Sort { input, .. }
        | Op::ToScalar(input)
        | Op::ToVector(input)
        | Op::Naming { input, .. }
        | Op::Inform(crate::node::Inform { input, .. })
        | Op::Shared { input, .. } => grid(input),
        Op::Aggregate(aggregate) => match aggregate.alignment {
            crate::semantics::Alignment::Steps => grid(&aggregate.input),
            _ => None,
        },
        Op::Rank(rank) => grid(&rank.input),
        Op::Join(join) => grid(&join.left).or_else(|| grid(&join.right)),
        Op::Union(inputs) => {
            let mut grids = inputs.iter().map(grid);
            let first = grids.next()??;
            grids.all(|grid| grid == Some(first)).then_some(first)
        }
        Op::Relabel(relabel) => grid(&relabel.input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Number;
    use crate::semantics::MapFunction;

    fn constant() -> Node {
        Node::new(Op::Constant(Number(1.0), StepGrid::instant(0)))
    }

    #[test]
    fn wrong_types_are_named() {
        let plan = |root| Plan { root, limits: crate::node::QueryLimits::default() };
        let sum = Node::new(Op::ToScalar(Box::new(constant())));
        assert_eq!(check(&plan(sum)), Err(PlanError::ScalarInput { node: "ToScalar" }));
        let text = Node::new(Op::Union(vec![Node::new(Op::Text("x".into()))]));
        assert_eq!(check(&plan(text)), Err(PlanError::TextInside { node: "Union" }));
        let clamp = Node::new(Op::Map(Map {
            input: Box::new(constant()),
            function: MapFunction::ClampMin,
            arguments: vec![Node::new(Op::Union(vec![]))],
            drop_name: false,
        }));
        assert_eq!(check(&plan(clamp)), Err(PlanError::ArgumentNotScalar { node: "Map" }));
        assert_eq!(check(&plan(constant())), Ok(()));
    }

    #[test]
    fn depth_counts_levels() {
        let mut node = constant();
        for _ in 0..9 {
            node = Node::new(Op::ToVector(Box::new(node)));
        }
        assert_eq!(depth(&node, 100), 10);
        assert_eq!(depth(&node, 5), 5);
    }
}
