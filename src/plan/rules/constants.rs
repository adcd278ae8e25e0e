//! Arithmetic between constants, done once.

use crate::node::{Map, Node, Number, Op};
use crate::semantics::{BinaryOp, MapFunction};

/// Replaces a map of a constant by constants alone through its value, where that is plain IEEE
/// arithmetic.
pub(super) fn fold(node: &mut Node) {
    let Op::Map(Map { input, function, arguments, .. }) = &node.op else { return };
    let Op::Constant(Number(value), grid) = input.op else { return };
    let folded = match (function, arguments.as_slice()) {
        (MapFunction::Negate, []) => Some(-value),
        (
            MapFunction::Binary { op, argument_left, .. },
            [Node { op: Op::Constant(Number(argument), _), .. }],
        ) => {
            let (left, right) =
                if *argument_left { (*argument, value) } else { (value, *argument) };
            arithmetic(*op, left, right)
        }
        _ => None,
    };
    if let Some(folded) = folded {
        node.op = Op::Constant(Number(folded), grid);
    }
}

fn arithmetic(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    match op {
        BinaryOp::Add => Some(left + right),
        BinaryOp::Subtract => Some(left - right),
        BinaryOp::Multiply => Some(left * right),
        BinaryOp::Divide => Some(left / right),
        BinaryOp::Modulo => Some(left % right),
        BinaryOp::Power => Some(left.powf(right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::StepGrid;

    #[test]
    fn constants_become_one() {
        let constant = |v| Node::new(Op::Constant(Number(v), StepGrid::instant(0)));
        let mut node = Node::new(Op::Map(Map {
            input: Box::new(constant(6.0)),
            function: MapFunction::Binary {
                op: BinaryOp::Divide,
                argument_left: true,
                return_bool: false,
            },
            arguments: vec![constant(3.0)],
            drop_name: true,
        }));
        fold(&mut node);
        assert_eq!(node, constant(0.5));
    }
}
