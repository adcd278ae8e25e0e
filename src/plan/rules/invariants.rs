//! What is the same at every step, computed at one.

use model::StepGrid;

use crate::check;
use crate::node::{Node, Op};

/// Where every row-giving input of a node is a repeated single instant over the same grid, computes
/// the node at that instant and repeats its result: `Repeat(a) + Repeat(b)` becomes
/// `Repeat(a + b)`.
pub(super) fn lift(node: &mut Node) {
    if !lifts(&node.op) {
        return;
    }
    let Some(grid) = repeated_grid(node) else { return };
    let mut inner =
        Node { op: std::mem::replace(&mut node.op, Op::Union(vec![])), span: node.span };
    for child in super::children_mut(&mut inner) {
        match &mut child.op {
            Op::Repeat { input, .. } => {
                *child = std::mem::replace(input, Node::new(Op::Union(vec![])));
            }
            Op::Constant(_, constant_grid) => *constant_grid = StepGrid::instant(grid.start_ms),
            _ => {}
        }
    }
    node.op = Op::Repeat { input: Box::new(inner), grid };
}

/// Nodes whose value at a step depends on that step's values alone, and not on the time.
fn lifts(op: &Op) -> bool {
    use crate::semantics::{Alignment, MapFunction};
    match op {
        Op::Map(map) => !matches!(
            map.function,
            MapFunction::Timestamp | MapFunction::Difference(_) | MapFunction::Integral
        ),
        Op::Aggregate(aggregate) => aggregate.alignment == Alignment::Steps,
        Op::Rank(_) | Op::Join(_) | Op::Buckets { .. } | Op::ToScalar(_) | Op::ToVector(_) => true,
        _ => false,
    }
}

/// The grid of the repeated inputs: all children are repeated (at least one) or constant, and the
/// repeated ones stand at the same single instant.
fn repeated_grid(node: &Node) -> Option<StepGrid> {
    let mut found: Option<(StepGrid, StepGrid)> = None;
    for child in node.children() {
        match &child.op {
            Op::Constant(..) => {}
            Op::Repeat { input, grid } => {
                let instant = check::grid(input).filter(|grid| grid.len() == 1)?;
                match found {
                    None => found = Some((*grid, instant)),
                    Some(known) if known == (*grid, instant) => {}
                    Some(_) => return None,
                }
            }
            _ => return None,
        }
    }
    found.map(|(grid, _)| grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Map, Number};
    use crate::semantics::MapFunction;

    #[test]
    fn repeats_move_up() {
        let grid = StepGrid::new(0, 100, 10);
        let one = Node::new(Op::Time(StepGrid::instant(7)));
        let mut node = Node::new(Op::Map(Map {
            input: Box::new(Node::new(Op::Repeat { input: Box::new(one.clone()), grid })),
            function: MapFunction::ClampMin,
            arguments: vec![Node::new(Op::Constant(Number(1.0), grid))],
            drop_name: false,
        }));
        lift(&mut node);
        let Op::Repeat { input, grid: lifted } = &node.op else { panic!("{node}") };
        assert_eq!(*lifted, grid);
        let Op::Map(map) = &input.op else { panic!("{node}") };
        assert_eq!(*map.input, one);
    }
}
