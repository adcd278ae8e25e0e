//! Takes the label order off scans whose rows end in an aggregate that does not care: sorting a million
//! label sets costs more than counting them.
//!
//! Sums and means add in the source's own order then, which is stable; their rounding is compensated.

use crate::node::{Node, Op};
use crate::semantics::{Arithmetic, Reducer};

/// Unsorts the scans below an aggregate.
pub(super) fn relax(node: &mut Node) {
    if let Op::Aggregate(aggregate) = &mut node.op
        && ignores_order(&aggregate.reducer)
    {
        unsort(&mut aggregate.input);
    }
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

/// Follows nodes that handle each row by itself down to the scan.
fn unsort(node: &mut Node) {
    match &mut node.op {
        Op::Scan(scan) => scan.sorted = false,
        Op::Fold(fold) => unsort(&mut fold.input),
        Op::Map(map) => unsort(&mut map.input),
        Op::Repeat { input, .. } => unsort(input),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use model::{TenantId, TimeRange};

    use super::*;
    use crate::node::{Aggregate, Scan};
    use crate::semantics::{Alignment, GroupLabels, Grouping};

    fn is_sorted_below(reducer: Reducer) -> bool {
        let scan = Scan {
            matchers: vec![],
            range: TimeRange::ALL,
            tenant: TenantId::DEFAULT,
            sorted: true,
            integers: false,
            histograms: false,
            starts: false,
            title: None,
            cut_ms: None,
        };
        let mut node = Node::new(Op::Aggregate(Aggregate {
            input: Box::new(Node::new(Op::Scan(scan))),
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
    fn only_aggregates_that_ignore_order_unsort() {
        assert!(!is_sorted_below(Reducer::Count));
        assert!(!is_sorted_below(Reducer::Sum(Arithmetic::Compensated)));
        assert!(is_sorted_below(Reducer::First));
        assert!(is_sorted_below(Reducer::Sum(Arithmetic::Plain)));
    }
}
