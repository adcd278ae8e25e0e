//! What native histograms hold counts as what it takes.
//!
//! Method: each shape of query once without a limit, which tells the most that it held; that must be at least
//! what its answer and its state are known to be. Then the same query under that very limit, which answers,
//! and under one sample less, which is refused. That all is given back in the end, refused or not, is
//! asserted by the budget itself when it goes.

use std::sync::Arc;

use base::error::{Classify, ErrorKind};
use model::histogram::HistogramBuckets;
use model::{
    Hints, Histogram, Labels, Matcher, Samples, Selection, Source, SourceError, StepGrid, TimeRange,
};
use plan::node::Number;
use plan::semantics::{
    Alignment, Arithmetic, BinaryOp, BucketFunction, Buckets, Cardinality, Fill, FoldFunction,
    GroupLabels, Grouping, Matching, Reducer, Staleness,
};
use plan::{Aggregate, Fold, Join, Node, Op, Plan, QueryLimits, Scan};

use crate::budget::Budget;
use crate::executor::Executor;
use crate::helpers::Helpers;
use crate::{Context, ExecError, Output, execute};

const SERIES: usize = 6;
/// Series where threads are to share them.
const MANY: usize = 200;
const SAMPLES: usize = 40;
const BUCKETS: usize = 160;
const EVERY_MS: i64 = 10_000;

/// Series of histograms, each sample of which has all buckets.
struct Histograms {
    series: usize,
}

struct HistogramSelection {
    series: usize,
    samples_max: u64,
}

impl Selection for HistogramSelection {
    fn len(&self) -> usize {
        self.series
    }

    fn labels(&self, index: usize) -> Labels {
        Labels::from_pairs([("__name__", "h"), ("x", &index.to_string())])
    }

    fn read(&self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        for sample in 1..=SAMPLES {
            let count = (sample * (index + 1)) as f64;
            let counts = (0..BUCKETS as i32).map(|bucket| (bucket, count));
            let histogram = Histogram {
                count: count * BUCKETS as f64,
                positive: HistogramBuckets::from_counts(counts),
                ..Histogram::default()
            };
            out.push_histogram(sample as i64 * EVERY_MS, Arc::new(histogram));
        }
        match self.samples_max {
            1.. if out.weight() as u64 > self.samples_max => {
                Err(SourceError::TooLarge { message: "too long".to_owned() })
            }
            _ => Ok(()),
        }
    }
}

impl Source for Histograms {
    fn select(
        &self,
        _: &[Matcher],
        _: TimeRange,
        hints: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError> {
        Ok(Box::new(HistogramSelection { series: self.series, samples_max: hints.samples_max }))
    }
}

/// The instants of the samples, without the first.
fn grid() -> StepGrid {
    StepGrid::new(2 * EVERY_MS, SAMPLES as i64 * EVERY_MS, EVERY_MS)
}

fn fold(input: Node, grid: StepGrid, function: FoldFunction) -> Node {
    Node::new(Op::Fold(Fold {
        input: Box::new(input),
        buckets: Buckets::Steps { grid, after_ms: -3 * EVERY_MS, until_ms: 0 },
        function,
        arguments: vec![],
        staleness: Staleness::Ends,
        fill: Fill::Absent,
        drop_name: true,
    }))
}

fn scan() -> Node {
    let matchers = vec![Matcher::equal("__name__", "h")];
    Node::new(Op::Scan(Scan { histograms: true, ..Scan::new(matchers, TimeRange::ALL) }))
}

fn newest() -> Node {
    fold(scan(), grid(), FoldFunction::Newest)
}

fn rate(input: Node) -> Node {
    fold(input, grid(), FoldFunction::Increase { counter: true, per_second: true })
}

fn rate_of_samples() -> Node {
    rate(scan())
}

fn aggregate(input: Node, reducer: Reducer, by: &str) -> Node {
    Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer,
        argument: None,
        grouping: Grouping::By(vec![by.to_owned()]),
        alignment: Alignment::Steps,
        labels: GroupLabels::Group,
    }))
}

fn join(left: Node, right: Node) -> Node {
    let matching = Matching {
        on: true,
        labels: vec!["x".to_owned()],
        cardinality: Cardinality::OneToOne,
        include: vec![],
        fill: (None, None),
    };
    let (left, right) = (Box::new(left), Box::new(right));
    Node::new(Op::Join(Join { left, right, op: BinaryOp::Add, return_bool: false, matching }))
}

fn quantile(input: Node) -> Node {
    let half = Node::new(Op::Constant(Number(0.5), grid()));
    let function = BucketFunction::Quantile;
    Node::new(Op::Buckets { function, input: Box::new(input), arguments: vec![half] })
}

fn run(root: &Node, limits: QueryLimits) -> Result<Output, ExecError> {
    let source = Histograms { series: SERIES };
    execute(&Plan { root: root.clone(), limits }, &source, &Context::default())
}

/// What `rows` rows of histograms at every step weigh at least, without their instants.
fn weight(rows: usize) -> u64 {
    (rows * (grid().len() - 1) * BUCKETS / 2) as u64
}

fn check(root: &Node, held_min: u64, is_answer: impl Fn(&Output) -> bool) {
    check_large(root, (held_min, held_min), is_answer);
}

/// [`check`] where what is held takes the memory of more samples than it counts.
fn check_large(
    root: &Node,
    (held_min, memory_min): (u64, u64),
    is_answer: impl Fn(&Output) -> bool,
) {
    let output = run(root, QueryLimits::default()).unwrap();
    assert!(is_answer(&output), "{root:?}");
    let peak = output.peak_samples;
    assert!(peak >= held_min, "{peak} < {held_min}: {root:?}");
    let samples_max = |samples_max| QueryLimits { samples_max, ..QueryLimits::default() };
    assert!(run(root, samples_max(peak)).is_ok());
    let error = run(root, samples_max(peak - 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let memory_bytes_max = memory_min * 16 - 1;
    let error = run(root, QueryLimits { memory_bytes_max, ..QueryLimits::default() }).unwrap_err();
    let text =
        format!("query needs more than the limit memory_bytes_max allows: {memory_bytes_max}");
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[test]
fn queries_of_histograms_are_held_to_their_limits() {
    let all = |rows: usize| {
        move |output: &Output| {
            let points = |row: &model::ResultSeries| row.points.histograms.iter().flatten().count();
            // A rate of a sub-query has no second sample at the first step.
            let is_whole = |row: &model::ResultSeries| points(row) + 1 >= grid().len();
            output.rows().len() == rows && output.rows().iter().all(is_whole)
        }
    };
    // Answers: their histograms are those of the samples, or new ones.
    check(&newest(), weight(SERIES), all(SERIES));
    check(&rate_of_samples(), weight(SERIES), all(SERIES));
    // A sub-query's row is held beside what is made of it.
    check(&rate(newest()), weight(SERIES), all(SERIES));
    // Sums hold a number with its rest and its index for each bucket.
    let sum = Reducer::Sum(Arithmetic::Compensated);
    let by_x = aggregate(rate_of_samples(), sum.clone(), "x");
    check_large(&by_x, (2 * weight(SERIES), 3 * weight(SERIES)), all(SERIES));
    let of_all = aggregate(rate_of_samples(), sum, "y");
    check_large(&of_all, (2 * weight(1), 3 * weight(1)), all(1));
    // Beside the answer and the sums only rows on their way: no more than Prometheus holds.
    let peak = run(&by_x, QueryLimits::default()).unwrap().peak_samples;
    assert!(peak < 3 * weight(SERIES), "{peak}");
    // One side of a join, and what comes of both.
    check(&join(newest(), rate_of_samples()), 2 * weight(SERIES), all(SERIES));
    let numbers = |output: &Output| {
        output.rows().len() == SERIES
            && output.rows().iter().all(|row| row.points.values.len() == grid().len())
    };
    check(&quantile(rate_of_samples()), weight(SERIES), numbers);
    // Texts of histograms are long.
    let texts = aggregate(newest(), Reducer::CountValues("v".to_owned()), "y");
    let texts_min = (SERIES * 10 * BUCKETS / 16) as u64;
    check(&texts, texts_min, |output| output.rows().len() > SERIES);
}

#[test]
fn one_histogram_at_many_steps_counts_once() {
    let often = StepGrid::new(2 * EVERY_MS, SAMPLES as i64 * EVERY_MS, EVERY_MS / 100);
    let root = fold(scan(), often, FoldFunction::Newest);
    let peak = run(&root, QueryLimits::default()).unwrap().peak_samples;
    let steps = (SERIES * often.len()) as u64;
    assert!(peak > steps + weight(SERIES) && peak < steps + 3 * weight(SERIES), "{peak} {steps}");
}

#[test]
fn all_is_given_back_when_a_query_ends() {
    let (context, source) = (Context::default(), Histograms { series: SERIES });
    let roots =
        [join(newest(), newest()), aggregate(rate_of_samples(), Reducer::Count, "x"), newest()];
    for samples_max in [u64::MAX, weight(1) / 2] {
        let budget = Budget::new(QueryLimits { samples_max, ..QueryLimits::default() });
        for root in &roots {
            let executor = Executor::new(&source, &context, &budget);
            let rows = executor.collect(root);
            assert_eq!(rows.is_ok(), samples_max == u64::MAX);
            assert_eq!(budget.held().0 > 0, rows.is_ok());
            drop(rows);
            assert_eq!(budget.held(), (0, 0), "{root:?}");
        }
    }
}

#[test]
fn threads_that_help_keep_no_more_than_there_is_room_for() {
    let source = Histograms { series: MANY };
    let run = |threads: usize, samples_max: u64| {
        let helpers = Arc::new(Helpers::for_all(threads));
        let _own = helpers.begin();
        let context = Context { helpers, ..Context::default() };
        let root = aggregate(rate_of_samples(), Reducer::Sum(Arithmetic::Compensated), "y");
        let limits = QueryLimits { samples_max, ..QueryLimits::default() };
        execute(&Plan { root, limits }, &source, &context).unwrap()
    };
    let alone = run(1, u64::MAX);
    // So little room that a helper gives its first part up, that it keeps some parts, and that it keeps all.
    for room in [16, 300, 10_000] {
        let samples_max = alone.peak_samples + room * weight(1);
        let output = run(4, samples_max);
        let histograms = |of: &Output| of.rows()[0].points.histograms.clone();
        assert!(histograms(&output) == histograms(&alone), "{room}");
        assert!(output.peak_samples <= samples_max);
    }
}

#[test]
fn what_was_taken_for_small_and_is_not_ends_soon() {
    let context = Context { is_small: true, ..Context::default() };
    let run = |series: usize| {
        let plan = Plan { root: rate_of_samples(), limits: QueryLimits::default() };
        execute(&plan, &Histograms { series }, &context)
    };
    assert_eq!(run(2).unwrap().rows().len(), 2);
    assert!(matches!(run(MANY), Err(ExecError::NotSmall)));
}
