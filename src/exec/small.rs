//! Which queries are so small that to hand them to another thread costs more than they do.
//!
//! How many series there are can be told at once, but not how long they are and whether they hold native
//! histograms: so what a query reads is counted, too, and one that was taken for small wrongly ends soon
//! ([`ExecError::NotSmall`](crate::ExecError::NotSmall)) and is begun anew where it may take its time.

use model::{Size, Source};
use plan::semantics::{Buckets, FoldFunction, Reducer};
use plan::{Fold, Node, Op, Plan, Scan};

use crate::operators::scan::hints;

/// Nodes of a small plan.
const NODES_MAX: usize = 32;
/// Nanoseconds that a small query may take.
const COST_MAX: u64 = 1_000_000;
/// Nanoseconds that a series costs beside its samples and steps.
const SERIES_COST: u64 = 2_000;
/// Nanoseconds of a sample, and of a step of a row.
const SAMPLE_COST: u64 = 10;
/// Milliseconds between the samples of a series, where nobody knows: closer than most are.
const SAMPLE_EVERY_MS: u64 = 10_000;
/// What a small query may read, as [`work`] counts it.
pub(crate) const WORK_MAX: u64 = COST_MAX / SAMPLE_COST;
/// Samples of numbers that cost as much as one sample's weight of a histogram: to decode, add and scale it.
const HISTOGRAM_COST: u64 = 4;
/// Instants of a small plan.
const STEPS_MAX: usize = 1_500;

/// True for a plan that takes less than about a millisecond, as far as can be told without running it: few
/// nodes of the plain kinds over few series and steps, all of them at hand. What is not known is not small.
pub fn is_small(plan: &Plan, source: &dyn Source) -> bool {
    let mut left = Allowance { nodes: NODES_MAX, cost: COST_MAX };
    left.take(&plan.root, source).is_some()
}

/// What it costs to read so many samples, and histograms of such a weight beside, in samples of numbers.
pub(crate) fn work(samples: usize, histograms: usize) -> u64 {
    samples as u64 + histograms as u64 * HISTOGRAM_COST
}

/// What is left of it for the nodes that were not looked at yet.
struct Allowance {
    nodes: usize,
    cost: u64,
}

impl Allowance {
    /// Takes what a node and those below need; `None` where that is too much, or not known.
    fn take(&mut self, node: &Node, source: &dyn Source) -> Option<()> {
        self.nodes = self.nodes.checked_sub(1)?;
        match &node.op {
            Op::Scan(scan) => return self.take_scan(scan, 0, source),
            Op::Fold(fold) => {
                let Op::Scan(scan) = &fold.input.op else { return None };
                self.take_scan(scan, values_of_steps(fold)?, source)?;
                return fold.arguments.iter().try_for_each(|node| self.take(node, source));
            }
            Op::Constant(_, grid) | Op::Time(grid) | Op::Repeat { grid, .. } => {
                few(grid.len())?;
            }
            Op::Map(_)
            | Op::Aggregate(_)
            | Op::Rank(_)
            | Op::Join(_)
            | Op::Buckets { .. }
            | Op::Union(_)
            | Op::Absent { .. }
            | Op::Relabel(_)
            | Op::Sort { .. }
            | Op::Clip { .. }
            | Op::ToScalar(_)
            | Op::ToVector(_)
            | Op::Naming { .. }
            | Op::Shared { .. } => {}
            _ => return None,
        }
        node.children().into_iter().try_for_each(|child| self.take(child, source))
    }

    /// Takes what the series of a scan need, of each of which so many values are looked at beside reading it.
    fn take_scan(&mut self, scan: &Scan, values: u64, source: &dyn Source) -> Option<()> {
        let Size { series, length_ms } =
            source.size_max(&scan.matchers, scan.range, &hints(scan))?;
        let points = (length_ms / SAMPLE_EVERY_MS).saturating_add(series.saturating_mul(values));
        let cost =
            series.checked_mul(SERIES_COST)?.checked_add(points.checked_mul(SAMPLE_COST)?)?;
        self.cost = self.cost.checked_sub(cost)?;
        Some(())
    }
}

/// Values that a fold looks at in all windows of a row: with most functions each window's own.
fn values_of_steps(fold: &Fold) -> Option<u64> {
    let Buckets::Steps { grid, after_ms, until_ms } = &fold.buckets else { return None };
    let steps = few(grid.len())? as u64;
    let window = until_ms.saturating_sub(*after_ms).max(0) as u64 / SAMPLE_EVERY_MS;
    let is_at_edges = matches!(
        fold.function,
        FoldFunction::Newest
            | FoldFunction::NewestTime
            | FoldFunction::Present
            | FoldFunction::Increase { .. }
            | FoldFunction::LastStep { .. }
            | FoldFunction::Reduce(Reducer::Min | Reducer::Max | Reducer::Count | Reducer::Last)
    );
    Some(if is_at_edges { steps } else { steps.saturating_mul(window + 1) })
}

fn few(steps: usize) -> Option<usize> {
    (steps <= STEPS_MAX).then_some(steps)
}

#[cfg(test)]
mod tests {
    use model::{Hints, Matcher, Selection, SourceError, StepGrid, TimeRange};
    use plan::QueryLimits;
    use plan::node::Number;
    use plan::semantics::{Fill, Staleness};

    use super::*;

    /// Knows so many series, and cannot be read.
    struct Counted(Option<u64>);

    impl Source for Counted {
        fn select(
            &self,
            _: &[Matcher],
            _: TimeRange,
            _: &Hints,
        ) -> Result<Box<dyn Selection>, SourceError> {
            Err(SourceError::TooLarge {
                message: "nothing is read to tell what is small".to_owned(),
            })
        }

        fn size_max(&self, _: &[Matcher], range: TimeRange, _: &Hints) -> Option<Size> {
            let mut size = Size::default();
            size.add(self.0?, range);
            Some(size)
        }
    }

    fn plan(root: Node) -> Plan {
        Plan { root, limits: QueryLimits::default() }
    }

    /// The newest values of some series at the steps of `grid`.
    fn newest(grid: StepGrid) -> Node {
        folded(FoldFunction::Newest, grid, 300_000)
    }

    fn folded(function: FoldFunction, grid: StepGrid, window_ms: i64) -> Node {
        let range = TimeRange::new(grid.start_ms - window_ms, grid.end_ms);
        let scan = Scan::new(Vec::new(), range);
        Node::new(Op::Fold(Fold {
            input: Box::new(Node::new(Op::Scan(scan))),
            buckets: Buckets::Steps { grid, after_ms: -window_ms, until_ms: 0 },
            function,
            arguments: Vec::new(),
            staleness: Staleness::Ends,
            fill: Fill::Absent,
            drop_name: false,
        }))
    }

    #[test]
    fn few_series_over_an_hour_are_small() {
        let hour = StepGrid::new(0, 3_600_000, 60_000);
        let small = |root: Node, series| is_small(&plan(root), &Counted(series));
        assert!(small(newest(hour), Some(8)) && small(newest(hour), Some(0)));
        assert!(!small(newest(hour), Some(1000)), "too many");
        assert!(!small(newest(hour), None), "nobody knows how many");
        assert!(small(newest(StepGrid::instant(0)), Some(100)));
        assert!(!small(newest(StepGrid::new(0, 90 * 86_400_000, 86_400_000)), Some(8)), "long");
        assert!(!small(newest(StepGrid::new(0, 3_600_000, 1_000)), Some(1)), "many steps");
        let quantiles =
            |window_ms| folded(FoldFunction::Reduce(Reducer::Quantile), hour, window_ms);
        assert!(small(quantiles(300_000), Some(8)));
        assert!(!small(quantiles(6 * 3_600_000), Some(8)), "every window is sorted");
        assert!(small(folded(FoldFunction::Present, hour, 6 * 3_600_000), Some(8)));
        let two = |series| small(Node::new(Op::Union(vec![newest(hour), newest(hour)])), series);
        assert!(two(Some(70)) && !two(Some(100)), "what scans cost adds up");
        let many = Op::Union((0..NODES_MAX).map(|_| newest(hour)).collect());
        assert!(!small(Node::new(many), Some(0)), "a large plan");
        let constant = Op::Constant(Number(1.0), StepGrid::new(0, 1 << 40, 1));
        assert!(!small(Node::new(constant), None), "steps without series");
    }
}
