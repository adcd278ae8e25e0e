//! Each operator family over 1,000 and 100,000 series × 240 samples in memory (15 s apart, one hour),
//! answered at 240 steps; so the figures are those of the plan and not of the store.
//!
//! Goal: `count` over a million series in at most 0.5 s; the families beside other servers, store and
//! answer included, are `compat-tests/peers_bench.py --only families`.
//!
//! Measured is the CPU time of the thread, so that a busy machine does not show in the figures.
//!
//! `cargo bench -p exec --features testing --bench exec [-- name]`: eight minutes and 3 GB of memory for all.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use exec::testing::{ColumnSource, MemorySource};
use exec::{Context, Output, execute};
use model::{Labels, Matcher, Source, StepGrid, TimeRange};
use plan::node::{Number, QueryLimits};
use plan::semantics::{
    Alignment, Arithmetic, BinaryOp, BucketFunction, Buckets, Cardinality, Fill, FoldFunction,
    GroupLabels, Grouping, Matching, Reducer, Staleness,
};
use plan::{Aggregate, Fold, Join, Node, Op, Plan, Rank, RankKind, Scan};

const SERIES: [usize; 2] = [1_000, 100_000];
const BOUNDS: [&str; 10] = ["0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf"];

fn hour() -> StepGrid {
    StepGrid::new(15_000, 3_600_000, 15_000)
}

fn source(series: usize) -> ColumnSource {
    let mut source = MemorySource::new();
    for index in 0..series {
        let host = format!("host_{index}");
        let region = format!("region_{}", index % 10);
        for metric in ["x", "y"] {
            let labels =
                Labels::from_pairs([("__name__", metric), ("host", &host), ("region", &region)]);
            let samples: Vec<(i64, f64)> =
                (0..240).map(|at| (at * 15_000, at as f64 * (1.0 + index as f64 * 0.01))).collect();
            source.push_unchecked(labels, &samples);
        }
        let bound = BOUNDS[index % 10];
        let job = format!("job_{}", index / 10);
        let labels = Labels::from_pairs([("__name__", "h_bucket"), ("job", &job), ("le", bound)]);
        let samples: Vec<(i64, f64)> =
            (0..240).map(|at| (at * 15_000, (at * (1 + index as i64 % 10)) as f64)).collect();
        source.push_unchecked(labels, &samples);
    }
    ColumnSource::new(&source)
}

fn scan(metric: &str) -> Node {
    let matchers = vec![Matcher::equal("__name__", metric)];
    Node::new(Op::Scan(Scan::new(matchers, TimeRange::ALL)))
}

fn fold(metric: &str, function: FoldFunction, range_ms: i64, grid: StepGrid) -> Node {
    Node::new(Op::Fold(Fold {
        input: Box::new(scan(metric)),
        buckets: Buckets::Steps { grid, after_ms: -range_ms, until_ms: 0 },
        staleness: Staleness::Skipped,
        drop_name: function != FoldFunction::Newest,
        function,
        arguments: vec![],
        fill: Fill::Absent,
    }))
}

fn rate(metric: &str) -> Node {
    let function = FoldFunction::Increase { counter: true, per_second: true };
    fold(metric, function, 300_000, hour())
}

fn newest(metric: &str) -> Node {
    fold(metric, FoldFunction::Newest, 300_000, hour())
}

fn aggregate(input: Node, reducer: Reducer, by: &[&str]) -> Node {
    let argument = (reducer == Reducer::Quantile)
        .then(|| Box::new(Node::new(Op::Constant(Number(0.9), hour()))));
    Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer,
        argument,
        grouping: Grouping::By(by.iter().map(|label| (*label).to_owned()).collect()),
        alignment: Alignment::Steps,
        labels: GroupLabels::Group,
    }))
}

/// A sub-query: the greatest of the rates of an hour, taken every five minutes.
fn over_rates() -> Node {
    let function = FoldFunction::Increase { counter: true, per_second: true };
    let inner = StepGrid::new(-3_300_000, 3_600_000, 300_000);
    let mut outer = fold("x", FoldFunction::Reduce(Reducer::Max), 3_600_000, hour());
    if let Op::Fold(outer) = &mut outer.op {
        *outer.input = fold("x", function, 300_000, inner);
    }
    outer
}

fn plans() -> Vec<(&'static str, Node)> {
    let sum = || Reducer::Sum(Arithmetic::Compensated);
    let average_hour = FoldFunction::Reduce(Reducer::Average(Arithmetic::Compensated));
    let constant = |number| Box::new(Node::new(Op::Constant(Number(number), hour())));
    vec![
        ("newest", newest("x")),
        ("sum(rate(x[5m]))", aggregate(rate("x"), sum(), &[])),
        ("sum by (region) (rate(x[5m]))", aggregate(rate("x"), sum(), &["region"])),
        ("sum by (host) (rate(x[5m]))", aggregate(rate("x"), sum(), &["host"])),
        ("avg_over_time(x[1h])", fold("x", average_hour, 3_600_000, hour())),
        ("max_over_time(x[10m])", fold("x", FoldFunction::Reduce(Reducer::Max), 600_000, hour())),
        ("max_over_time(rate(x[5m])[1h:5m])", over_rates()),
        ("quantile(0.9, x)", aggregate(newest("x"), Reducer::Quantile, &[])),
        (
            "topk(10, rate(x[5m]))",
            Node::new(Op::Rank(Rank {
                input: Box::new(rate("x")),
                kind: RankKind::Top,
                count: constant(10.0),
                grouping: Grouping::By(vec![]),
                unsorted: false,
            })),
        ),
        (
            "x + on (host) y",
            Node::new(Op::Join(Join {
                left: Box::new(newest("x")),
                right: Box::new(newest("y")),
                op: BinaryOp::Add,
                return_bool: false,
                matching: Matching {
                    on: true,
                    labels: vec!["host".to_owned()],
                    cardinality: Cardinality::OneToOne,
                    include: vec![],
                    fill: (None, None),
                },
            })),
        ),
        (
            "histogram_quantile(0.9, sum by (job, le) (rate(h_bucket[5m])))",
            Node::new(Op::Buckets {
                function: BucketFunction::Quantile,
                input: Box::new(aggregate(rate("h_bucket"), sum(), &["job", "le"])),
                arguments: vec![*constant(0.9)],
            }),
        ),
    ]
}

fn run(root: &Node, source: &dyn Source) -> Output {
    // `sum by (host)` of all series holds a result for each.
    let limits =
        QueryLimits { samples_max: u64::MAX, memory_bytes_max: u64::MAX, ..QueryLimits::default() };
    let plan = Plan { root: root.clone(), limits };
    execute(&plan, source, &Context::default()).expect("the plan runs")
}

/// Nanoseconds that this thread was on a CPU, as Linux counts them; elsewhere the wall clock.
struct CpuTime;

fn on_cpu_nanoseconds() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

impl Measurement for CpuTime {
    type Intermediate = (std::time::Instant, Option<u64>);
    type Value = std::time::Duration;

    fn start(&self) -> Self::Intermediate {
        (std::time::Instant::now(), on_cpu_nanoseconds())
    }

    fn end(&self, (wall, started): Self::Intermediate) -> Self::Value {
        match (started, on_cpu_nanoseconds()) {
            (Some(started), Some(ended)) => std::time::Duration::from_nanos(ended - started),
            _ => wall.elapsed(),
        }
    }

    fn add(&self, left: &Self::Value, right: &Self::Value) -> Self::Value {
        *left + *right
    }

    fn zero(&self) -> Self::Value {
        std::time::Duration::ZERO
    }

    fn to_f64(&self, value: &Self::Value) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn operators(criterion: &mut Criterion<CpuTime>) {
    for series in SERIES {
        let source = source(series);
        let mut group = criterion.benchmark_group(format!("{series} series"));
        group.sample_size(10);
        for (name, plan) in plans() {
            group.bench_function(name, |bencher| bencher.iter(|| run(&plan, &source)));
        }
        group.finish();
    }
}

fn many_series(criterion: &mut Criterion<CpuTime>) {
    let mut source = MemorySource::new();
    for index in 0..1_000_000 {
        let host = format!("host_{index}");
        let labels = Labels::from_pairs([("__name__", "m"), ("host", &host)]);
        source.push_unchecked(labels, &[(0, 1.0), (15_000, 2.0), (30_000, 3.0)]);
    }
    let source = ColumnSource::new(&source);
    let newest = fold("m", FoldFunction::Newest, 300_000, StepGrid::instant(30_000));
    let count = aggregate(newest, Reducer::Count, &[]);
    let mut group = criterion.benchmark_group("million");
    group.sample_size(10);
    group.bench_function("count(m)", |bencher| bencher.iter(|| run(&count, &source)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime).sample_size(20);
    targets = operators, many_series
}
criterion_main!(benches);
