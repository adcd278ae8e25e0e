//! Lets scans answer with summaries of samples where the fold above cannot tell the difference.
//!
//! A fold can do so that needs no more of a window than what a summary has, and whose windows begin and
//! end at multiples of some length: the scan learns that length, and its source may give summaries of
//! buckets that divide it. Windows that are cut anywhere make the length small, so that no bucket
//! fits; the source then only falls back on summaries where the samples are gone.

use model::TimeRange;

use crate::node::{Fold, Node, Op};
use crate::semantics::{Buckets, FoldFunction, Reducer};

/// Buckets are whole minutes, so an edge one millisecond before a minute is an open one.
const EDGE_UNIT_MS: i64 = 60_000;

/// Marks the scans below a fold.
pub(super) fn allow(node: &mut Node) {
    if let Op::Fold(fold) = &mut node.op
        && suffices(&fold.function)
    {
        let cut_ms = cut(fold).max(1);
        mark(&mut fold.input, cut_ms);
    }
}

/// True for functions that a summary of a window answers.
fn suffices(function: &FoldFunction) -> bool {
    match function {
        FoldFunction::Reduce(reducer) => matches!(
            reducer,
            Reducer::Sum(_)
                | Reducer::Average(_)
                | Reducer::Min
                | Reducer::Max
                | Reducer::Range
                | Reducer::Count
                | Reducer::CountNumbers
                | Reducer::Group
                | Reducer::First
                | Reducer::Last
        ),
        function => is_single(function) || is_of_whole(function),
    }
}

/// Functions of the newest sample alone: where their windows begin does not matter, since whether the
/// newest sample is too old is told by its time.
fn is_single(function: &FoldFunction) -> bool {
    matches!(
        function,
        FoldFunction::Newest | FoldFunction::NewestTime | FoldFunction::NewestFloatTime
    )
}

fn is_of_whole(function: &FoldFunction) -> bool {
    matches!(
        function,
        FoldFunction::Increase { .. }
            | FoldFunction::Present
            | FoldFunction::TimeOfFirst
            | FoldFunction::TimeOfLast
    )
}

/// The length of which every edge of the fold's windows is a multiple, or one millisecond before one;
/// 0 without edges.
fn cut(fold: &Fold) -> i64 {
    let lower = |after_ms: i64| if is_single(&fold.function) { 0 } else { edge(after_ms) };
    match &fold.buckets {
        Buckets::Steps { grid, after_ms, until_ms } => {
            let step_ms = if grid.len() > 1 { grid.step_ms } else { 0 };
            let after_ms = lower(grid.start_ms.saturating_add(*after_ms));
            let until_ms = edge(grid.start_ms.saturating_add(*until_ms));
            divisor(divisor(step_ms, after_ms), until_ms)
        }
        Buckets::Fixed { after_ms, until_ms, .. } => divisor(lower(*after_ms), edge(*until_ms)),
        Buckets::Whole(range) => divisor(range.start_ms, range.end_ms),
        Buckets::Edges(edges) => all(edges),
        Buckets::Phased(lists) => lists.iter().fold(0, |cut_ms, edges| divisor(cut_ms, all(edges))),
        Buckets::Occupied { range, step_ms } => divisor(*step_ms, range.start_ms),
        // Which steps rows have is told by their samples.
        Buckets::PerSeries { .. } => 1,
    }
}

fn all(edges: &[i64]) -> i64 {
    edges.iter().fold(0, |cut_ms, edge| divisor(cut_ms, *edge))
}

/// The last instant of a window as the multiple that it stands for.
fn edge(at_ms: i64) -> i64 {
    let next = at_ms.saturating_add(1);
    if next % EDGE_UNIT_MS == 0 { next } else { at_ms }
}

/// The greatest common divisor.
fn divisor(left: i64, right: i64) -> i64 {
    let (mut left, mut right) = (left.saturating_abs(), right.saturating_abs());
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

/// Marks the scans that `node` passes on as they are.
fn mark(node: &mut Node, cut_ms: i64) {
    match &mut node.op {
        // Exact integers and start times are more than summaries have.
        Op::Scan(scan) if !scan.integers && !scan.starts => scan.cut_ms = Some(cut_ms),
        Op::Statistics(input) | Op::Sort { input, .. } => mark(input, cut_ms),
        Op::Clip { input, range } => {
            let TimeRange { start_ms, end_ms } = *range;
            let edges = divisor(edge(start_ms.saturating_sub(1)), edge(end_ms));
            mark(input, divisor(cut_ms, edges).max(1));
        }
        Op::Union(inputs) => inputs.iter_mut().for_each(|input| mark(input, cut_ms)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use model::StepGrid;

    use super::*;
    use crate::node::Scan;
    use crate::semantics::{Arithmetic, Fill, Staleness};

    const HOUR: i64 = 3_600_000;

    fn check(function: FoldFunction, buckets: Buckets, want: Option<i64>) {
        let scan = Scan { sorted: true, histograms: true, ..Scan::new(vec![], TimeRange::ALL) };
        let mut node = Node::new(Op::Fold(Fold {
            input: Box::new(Node::new(Op::Scan(scan))),
            buckets,
            function,
            arguments: vec![],
            staleness: Staleness::Skipped,
            fill: Fill::Absent,
            drop_name: true,
        }));
        allow(&mut node);
        let Op::Fold(fold) = &node.op else { unreachable!() };
        let Op::Scan(scan) = &fold.input.op else { unreachable!() };
        assert_eq!(scan.cut_ms, want, "{node}");
    }

    #[test]
    fn edges_say_where_windows_are_cut() {
        let grid = StepGrid::new(4 * HOUR, 9 * HOUR, HOUR);
        let steps = |after_ms, until_ms| Buckets::Steps { grid, after_ms, until_ms };
        let sum = || FoldFunction::Reduce(Reducer::Sum(Arithmetic::Compensated));
        check(sum(), steps(-HOUR, 0), Some(HOUR));
        check(sum(), steps(-HOUR / 2, 0), Some(HOUR / 2));
        check(sum(), steps(-HOUR - 15_000, 0), Some(15_000));
        check(sum(), steps(-1, HOUR - 1), Some(HOUR));
        check(FoldFunction::Newest, steps(-300_000, 0), Some(HOUR));
        check(FoldFunction::Newest, steps(-300_000, -7), Some(1));
        check(FoldFunction::Changes, steps(-HOUR, 0), None);
        check(FoldFunction::Reduce(Reducer::Quantile), steps(-HOUR, 0), None);
        let range = TimeRange::new(3 * HOUR, 9 * HOUR);
        check(sum(), Buckets::Occupied { range, step_ms: 2 * HOUR }, Some(HOUR));
        check(sum(), Buckets::Whole(range), Some(3 * HOUR));
        check(sum(), Buckets::Edges([0, HOUR, 3 * HOUR].into()), Some(HOUR));
    }
}
