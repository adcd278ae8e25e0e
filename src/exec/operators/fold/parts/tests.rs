//! Threads change neither answers nor errors.

use std::sync::Arc;

use base::cancel::CancelToken;
use base::rng::Rng;
use model::{Labels, Matcher, StepGrid, TimeRange};
use plan::node::{Number, QueryLimits};
use plan::semantics::{Arithmetic, Buckets, Fill, FoldFunction, Grouping, Reducer, Staleness};
use plan::{Fold, Node, Op, Plan, Rank, RankKind, Scan};

use crate::helpers::Helpers;
use crate::testing::MemorySource;
use crate::{Context, ExecError, Output, execute};

const SERIES: usize = 1000;

fn source() -> MemorySource {
    let mut rng = Rng::new(9);
    let mut source = MemorySource::new();
    for number in 0..SERIES {
        let count = 1 + rng.below(60) as i64;
        let sample = |at: i64| (at * 1000, ((at * 7 + number as i64 * 31) % 23) as f64 / 3.0);
        let samples: Vec<_> = (0..count).map(sample).collect();
        let labels = Labels::from_pairs([("__name__", "m"), ("x", &format!("{number:04}"))]);
        source.push_unchecked(labels, &samples);
    }
    source
}

fn fold(function: FoldFunction, arguments: &[f64]) -> Node {
    let grid = StepGrid::new(5000, 60_000, 1000);
    let number = |value: &f64| Node::new(Op::Constant(Number(*value), grid));
    let scan =
        Scan { sorted: true, ..Scan::new(vec![Matcher::equal("__name__", "m")], TimeRange::ALL) };
    Node::new(Op::Fold(Fold {
        input: Box::new(Node::new(Op::Scan(scan))),
        buckets: Buckets::Steps { grid, after_ms: -5000, until_ms: 0 },
        function,
        arguments: arguments.iter().map(number).collect(),
        staleness: Staleness::Ends,
        fill: Fill::Absent,
        drop_name: false,
    }))
}

fn run(
    root: Node,
    source: &MemorySource,
    limits: QueryLimits,
    threads: usize,
) -> Result<Output, ExecError> {
    let helpers = Arc::new(Helpers::for_all(threads));
    let _own = helpers.begin();
    let context = Context { helpers, ..Context::new(CancelToken::new()) };
    execute(&Plan { root, limits }, source, &context)
}

#[test]
fn answers_are_those_of_a_single_thread() {
    let source = source();
    let rate = FoldFunction::Increase { counter: true, per_second: true };
    let mean = FoldFunction::Reduce(Reducer::Average(Arithmetic::Compensated));
    let cases = [(rate, vec![]), (mean, vec![]), (FoldFunction::Newest, vec![])];
    let quantile = (FoldFunction::Reduce(Reducer::Quantile), vec![1.5]);
    for (function, arguments) in cases.into_iter().chain([quantile]) {
        let of = |threads| {
            let output =
                run(fold(function.clone(), &arguments), &source, QueryLimits::default(), threads);
            let output = output.unwrap();
            (format!("{:?}", output.value), output.annotations, output.samples_read)
        };
        let alone = of(1);
        assert!(alone.0.contains("0999"), "all series answer");
        for threads in [2, 3, 8] {
            assert_eq!(of(threads), alone, "{function:?} by {threads}");
        }
    }
}

#[test]
fn errors_are_those_of_a_single_thread() {
    let source = source();
    let error =
        |root: Node, limits, threads| run(root, &source, limits, threads).unwrap_err().to_string();
    for threads in [1, 4] {
        // A factor that nobody may ask for, noticed in every part; a limit of one scan; a limit met by what the
        // query's own thread collects.
        let wrong = fold(FoldFunction::DoubleExponential, &[2.0, 0.5]);
        assert!(error(wrong, QueryLimits::default(), threads).contains("smoothing"));
        let few = QueryLimits { series_max: 999, ..QueryLimits::default() };
        assert!(error(fold(FoldFunction::Newest, &[]), few, threads).contains("series_max"));
        let few = QueryLimits { samples_max: 20_000, ..QueryLimits::default() };
        let top = Rank {
            kind: RankKind::Top,
            input: Box::new(fold(FoldFunction::Newest, &[])),
            count: Box::new(Node::new(Op::Constant(
                Number(900.0),
                StepGrid::new(5000, 60_000, 1000),
            ))),
            grouping: Grouping::By(vec![]),
            unsorted: false,
        };
        let text = error(Node::new(Op::Rank(top)), few, threads);
        assert!(text.contains("too many samples"), "{text}");
    }
}

#[test]
fn a_thread_that_dies_takes_the_query_with_it() {
    let dying = source().dying_at(700);
    for threads in [1, 2, 5] {
        for _ in 0..20 {
            let root = fold(FoldFunction::Newest, &[]);
            let run = || run(root, &dying, QueryLimits::default(), threads);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        }
    }
}
