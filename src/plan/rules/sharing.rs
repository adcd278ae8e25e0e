//! Sub-plans that occur more than once, computed once.

use crate::node::{Node, Op};

/// Wraps equal sub-plans that read the store into [`Op::Shared`] nodes of one number; the largest
/// ones first, so that nothing below a shared node is shared again.
pub(super) fn share(root: &mut Node) {
    let mut next_id = first_free_id(root);
    while let Some(repeated) = find_repeated(root) {
        replace(root, &repeated, next_id);
        next_id += 1;
    }
}

fn first_free_id(node: &Node) -> usize {
    let own = if let Op::Shared { id, .. } = node.op { id + 1 } else { 0 };
    node.children().into_iter().map(first_free_id).fold(own, usize::max)
}

/// The largest sub-plan with a scan that occurs twice.
fn find_repeated(root: &Node) -> Option<Node> {
    let mut candidates = Vec::new();
    gather(root, &mut candidates);
    // Plans are small; a quadratic search over nodes of equal size is cheaper than hashing them.
    candidates.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let mut first = 0;
    while first < candidates.len() {
        let size = candidates[first].0;
        let same = candidates[first..].iter().take_while(|(s, _)| *s == size).count();
        let group = &candidates[first..first + same];
        for (index, (_, node)) in group.iter().enumerate() {
            if group[index + 1..].iter().any(|(_, other)| other == node) {
                return Some((*node).clone());
            }
        }
        first += same;
    }
    None
}

/// Collects the sub-plans that may be shared, with their sizes; the size of `node`, whether it reads
/// the store, and whose groups it depends on: what is computed of a group changes with the group.
fn gather<'n>(node: &'n Node, out: &mut Vec<(usize, &'n Node)>) -> (usize, bool, Vec<usize>) {
    let mut size = 1;
    let mut reads = matches!(node.op, Op::Scan(_));
    let mut groups = Vec::new();
    match node.op {
        Op::Shared { .. } => return (1, false, groups),
        Op::Given { each, .. } => groups.push(each),
        _ => {}
    }
    for child in node.children() {
        let (child_size, child_reads, child_groups) = gather(child, out);
        size += child_size;
        reads |= child_reads;
        groups.extend(child_groups);
    }
    if let Op::Each(each) = &node.op {
        groups.retain(|group| *group != each.id);
    }
    // Raw samples are the largest rows there are and are read from the store's own cache.
    if reads && groups.is_empty() && !matches!(node.op, Op::Scan(_)) {
        out.push((size, node));
    }
    (size, reads, groups)
}

fn replace(node: &mut Node, repeated: &Node, id: usize) {
    if matches!(node.op, Op::Shared { .. }) {
        return;
    }
    if node == repeated {
        let input = Box::new(Node {
            op: std::mem::replace(&mut node.op, Op::Union(vec![])),
            span: node.span,
        });
        node.op = Op::Shared { id, input };
        return;
    }
    for child in super::children_mut(node) {
        replace(child, repeated, id);
    }
}

#[cfg(test)]
mod tests {
    use crate::node::{Fold, Plan, QueryLimits, Scan};
    use crate::rules::optimise;
    use crate::semantics::{Buckets, Fill, FoldFunction, Staleness};
    use crate::{Node, Op};
    use model::{StepGrid, TimeRange};

    fn newest() -> Node {
        let scan = Scan::new(vec![], TimeRange::ALL);
        Node::new(Op::Fold(Fold {
            input: Box::new(Node::new(Op::Scan(scan))),
            buckets: Buckets::Steps { grid: StepGrid::instant(0), after_ms: -1, until_ms: 0 },
            function: FoldFunction::Newest,
            arguments: vec![],
            staleness: Staleness::Ends,
            fill: Fill::Absent,
            drop_name: false,
        }))
    }

    #[test]
    fn repeated_sub_plans_are_shared_and_stay_so() {
        let root = Node::new(Op::Union(vec![newest(), newest()]));
        let plan = optimise(Plan { root, limits: QueryLimits::default() });
        let Op::Union(inputs) = &plan.root.op else { panic!("{plan}") };
        assert!(inputs.iter().all(|input| matches!(input.op, Op::Shared { id: 0, .. })), "{plan}");
        assert_eq!(optimise(plan.clone()), plan);
    }
}
