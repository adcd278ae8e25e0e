//! Rewrites that do not change results (but for what `rollups` says of sums and of samples that are gone).
//!
//! Each rule is a function over nodes; [`optimise`] runs them bottom-up in one fixed order, and once
//! is enough: running it again changes nothing. Windows and groups need no rule to be fused, since
//! rows stream from node to node.

mod constants;
mod invariants;
mod matchers;
mod order;
mod rollups;
mod sharing;

pub use self::order::leave as leave_order;
use crate::node::{Node, Op, Plan};

/// The plan after all rules.
pub fn optimise(mut plan: Plan) -> Plan {
    let with_rollups = plan.limits.rollups;
    bottom_up(&mut plan.root, &mut |node| {
        matchers::sort(node);
        constants::fold(node);
        invariants::lift(node);
        order::relax(node);
        if with_rollups {
            rollups::allow(node);
        }
    });
    sharing::share(&mut plan.root);
    plan
}

/// Calls `change` on every node, the lower ones first.
pub(crate) fn bottom_up(node: &mut Node, change: &mut dyn FnMut(&mut Node)) {
    for child in children_mut(node) {
        bottom_up(child, change);
    }
    change(node);
}

/// The nodes below, in the order of [`Node::children`].
pub(crate) fn children_mut(node: &mut Node) -> Vec<&mut Node> {
    match &mut node.op {
        Op::Constant(..) | Op::Text(_) | Op::Time(_) | Op::Scan(_) | Op::Given { .. } => vec![],
        Op::Each(each) => each.inputs.iter_mut().chain(std::iter::once(&mut *each.body)).collect(),
        Op::Fold(fold) => std::iter::once(&mut *fold.input).chain(&mut fold.arguments).collect(),
        Op::Map(map) => std::iter::once(&mut *map.input).chain(&mut map.arguments).collect(),
        Op::Aggregate(aggregate) => std::iter::once(&mut *aggregate.input)
            .chain(aggregate.argument.as_deref_mut())
            .collect(),
        Op::Rank(rank) => vec![&mut rank.input, &mut rank.count],
        Op::Join(join) => vec![&mut join.left, &mut join.right],
        Op::Formula(formula) => formula.inputs.iter_mut().map(|input| &mut input.node).collect(),
        Op::Buckets { input, arguments, .. } => {
            std::iter::once(&mut **input).chain(arguments).collect()
        }
        Op::Union(inputs) | Op::Rows(crate::rows::Rows { inputs, .. }) => {
            inputs.iter_mut().collect()
        }
        Op::Absent { input, .. }
        | Op::Relabel(crate::node::Relabel { input, .. })
        | Op::Sort { input, .. }
        | Op::Clip { input, .. }
        | Op::Condense { input, .. }
        | Op::Repeat { input, .. }
        | Op::ToScalar(input)
        | Op::ToVector(input)
        | Op::Edges { input, .. }
        | Op::Statistics(input)
        | Op::Naming { input, .. }
        | Op::Shared { input, .. } => vec![input],
        Op::Inform(inform) => vec![&mut inform.input, &mut inform.info],
    }
}
