//! Takes the label order off scans whose rows end in an aggregate that does not care: sorting a million
//! label sets costs more than counting them. The best rows of all need it for equal values only.
//!
//! Sums and means add in the source's own order then, which is stable; their rounding is compensated.

use crate::node::{Join, Node, Op, Rank, RankKind};
use crate::semantics::{Arithmetic, Cardinality, Grouping, Matching, Reducer};

/// Takes the order off scans where it does not help to sort the rows of `node`, which is done afterwards: what
/// is matched by some labels and called by them comes in no order of its own.
pub fn leave(node: &mut Node) {
    match &mut node.op {
        Op::Join(Join { matching: Matching { on: true, cardinality, .. }, .. })
            if *cardinality == Cardinality::OneToOne =>
        {
            unsort_all(node);
        }
        Op::Naming { input, .. } => leave(input),
        _ => {}
    }
}

/// Takes the order off the scans below `node`.
fn unsort_all(node: &mut Node) {
    match &mut node.op {
        Op::Join(join) => {
            unsort_all(&mut join.left);
            unsort_all(&mut join.right);
        }
        _ => drop(unsort(node)),
    }
}

/// Unsorts the scans below an aggregate.
pub(super) fn relax(node: &mut Node) {
    match &mut node.op {
        Op::Aggregate(aggregate) if ignores_order(&aggregate.reducer) => {
            unsort_all(&mut aggregate.input);
        }
        Op::Rank(rank) if is_one_contest(rank) => rank.unsorted = unsort(&mut rank.input),
        _ => {}
    }
}

/// Of several groups the first is the one that comes first in label order.
fn is_one_contest(rank: &Rank) -> bool {
    matches!(rank.kind, RankKind::Top | RankKind::Bottom)
        && matches!(&rank.grouping, Grouping::By(labels) if labels.is_empty())
}

fn ignores_order(reducer: &Reducer) -> bool {
    matches!(
        reducer,
        Reducer::Count
            | Reducer::CountNumbers
            | Reducer::Group
            | Reducer::Min
            | Reducer::Max
            | Reducer::Quantile
            | Reducer::Sum(Arithmetic::Compensated)
            | Reducer::Average(Arithmetic::Compensated)
    )
}

/// Follows nodes that handle each row by itself down to the scan, if there is one.
fn unsort(node: &mut Node) -> bool {
    match &mut node.op {
        Op::Scan(scan) => {
            scan.sorted = false;
            true
        }
        Op::Fold(fold) => unsort(&mut fold.input),
        Op::Map(map) => unsort(&mut map.input),
        Op::Repeat { input, .. } => unsort(input),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use model::{StepGrid, TimeRange};

    use super::*;
    use crate::node::{Aggregate, Number, Scan};
    use crate::semantics::{Alignment, BinaryOp, GroupLabels};

    fn scan() -> Scan {
        Scan { sorted: true, ..Scan::new(vec![], TimeRange::ALL) }
    }

    #[test]
    fn only_a_single_contest_of_values_does_without_order() {
        let relaxed = |kind, grouping| {
            let mut node = Node::new(Op::Rank(Rank {
                input: Box::new(Node::new(Op::Scan(scan()))),
                kind,
                count: Box::new(Node::new(Op::Constant(Number(1.0), StepGrid::instant(0)))),
                grouping,
                unsorted: false,
            }));
            relax(&mut node);
            let Op::Rank(Rank { input, unsorted, .. }) = node.op else { panic!("still a rank") };
            let sorted = matches!(input.op, Op::Scan(Scan { sorted: true, .. }));
            assert_ne!(sorted, unsorted);
            unsorted
        };
        let all = Grouping::By(vec![]);
        assert!(relaxed(RankKind::Top, all.clone()) && relaxed(RankKind::Bottom, all.clone()));
        assert!(!relaxed(RankKind::First, all));
        assert!(!relaxed(RankKind::Top, Grouping::By(vec!["a".into()])));
    }

    fn is_sorted_below(reducer: Reducer) -> bool {
        let mut node = Node::new(Op::Aggregate(Aggregate {
            input: Box::new(Node::new(Op::Scan(scan()))),
            reducer,
            argument: None,
            grouping: Grouping::By(vec![]),
            alignment: Alignment::Steps,
            labels: GroupLabels::Group,
        }));
        relax(&mut node);
        let scan = node.children()[0].clone();
        matches!(scan.op, Op::Scan(Scan { sorted: true, .. }))
    }

    #[test]
    fn sides_of_a_join_on_labels_need_no_order_where_its_rows_are_sorted_afterwards() {
        let join = |on, cardinality| {
            let side = || Box::new(Node::new(Op::Scan(scan())));
            let (labels, include, fill) = (Vec::new(), Vec::new(), (None, None));
            let matching = Matching { on, labels, cardinality, include, fill };
            let (left, right, op) = (side(), side(), BinaryOp::Add);
            Node::new(Op::Join(Join { left, right, op, return_bool: false, matching }))
        };
        let sorted = |node: &Node| {
            let is_sorted = |side: &&&Node| matches!(&side.op, Op::Scan(scan) if scan.sorted);
            node.children().iter().filter(is_sorted).count()
        };
        let (one, many) = (Cardinality::OneToOne, Cardinality::ManyToOne);
        for (on, cardinality, want) in [(true, one, 0), (true, many, 2), (false, one, 2)] {
            let mut node = join(on, cardinality);
            relax(&mut node);
            assert_eq!(sorted(&node), 2, "a join by itself keeps the order of its rows");
            leave(&mut node);
            assert_eq!(sorted(&node), want);
            unsort_all(&mut node);
            assert_eq!(sorted(&node), 0, "an aggregate needs none");
        }
    }

    #[test]
    fn only_aggregates_that_ignore_order_unsort() {
        assert!(!is_sorted_below(Reducer::Count));
        assert!(!is_sorted_below(Reducer::Sum(Arithmetic::Compensated)));
        assert!(is_sorted_below(Reducer::First));
        assert!(is_sorted_below(Reducer::Sum(Arithmetic::Plain)));
    }
}
