//! Random plans over random samples: the operators against the oracle, instant by instant.

use std::collections::BTreeMap;

use base::rng::Rng;
use model::{Labels, Matcher, STALE_NAN_BITS, StepGrid, TimeRange};
use plan::node::{Number, QueryLimits};
use plan::semantics::{
    Alignment, Arithmetic, BinaryOp, BucketFunction, Buckets, Cardinality, Fill, FoldFunction,
    GroupLabels, Grouping, MapFunction, Matching, Reducer, Staleness,
};
use plan::{Aggregate, Fold, Join, Map, Node, Op, Plan, Rank, RankKind, Scan};

use crate::oracle::Oracle;
use crate::testing::MemorySource;
use crate::{Context, Value, execute};

const METRICS: [&str; 3] = ["a_total", "b", "c_bucket"];

fn random_source(rng: &mut Rng) -> MemorySource {
    let mut source = MemorySource::new();
    let series = 1 + rng.below(12);
    for _ in 0..series {
        let metric = METRICS[rng.below(3) as usize];
        let x = ["1", "2", "3"][rng.below(3) as usize];
        let y = ["", "p", "q"][rng.below(3) as usize];
        let le = ["0.5", "1", "2.5", "+Inf", "bad"][rng.below(5) as usize];
        let le = if metric == "c_bucket" { le } else { "" };
        let labels = Labels::from_pairs([("__name__", metric), ("x", x), ("y", y), ("le", le)]);
        let mut at = rng.below(60_000) as i64;
        let mut value = rng.below(100) as f64;
        let mut samples = Vec::new();
        while at < 1_200_000 {
            value += rng.below(20) as f64 * 0.25;
            if rng.one_in(15) {
                value = rng.below(5) as f64;
            }
            let stored = match rng.below(40) {
                0 => f64::NAN,
                1 => f64::from_bits(STALE_NAN_BITS),
                _ => value,
            };
            samples.push((at, stored));
            at += 15_000 * if rng.one_in(12) { 1 + rng.below(30) as i64 } else { 1 };
        }
        source.add(labels, samples);
    }
    source
}

struct Maker<'r> {
    rng: &'r mut Rng,
    /// Inside a sub-query: the oracle takes steps × steps there, so they do not nest.
    inside: bool,
}

impl Maker<'_> {
    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.rng.below(items.len() as u64) as usize].clone()
    }

    fn names(&mut self) -> Vec<String> {
        let sets: [&[&str]; 5] = [&[], &["x"], &["y"], &["x", "y"], &["x", "y", "le"]];
        self.one_of(&sets).iter().map(|name| (*name).to_owned()).collect()
    }

    fn grouping(&mut self) -> Grouping {
        let names = self.names();
        if self.rng.one_in(2) { Grouping::By(names) } else { Grouping::Without(names) }
    }

    fn scalar(&mut self, grid: StepGrid) -> Node {
        let numbers = [0.5, 0.0, 1.0, 2.0, 3.7, 0.99, -1.0];
        match self.rng.below(8) {
            0 => Node::new(Op::Time(grid)),
            1 => Node::new(Op::ToScalar(Box::new(self.vector(grid, 1)))),
            _ => Node::new(Op::Constant(Number(self.one_of(&numbers)), grid)),
        }
    }

    fn fold(&mut self, grid: StepGrid) -> Node {
        let range_ms = self.one_of(&[30_000, 60_000, 300_000, 137_000, 900_000]);
        let offset_ms = self.one_of(&[0, 0, 0, 40_000, -30_000]);
        let compensated = Arithmetic::Compensated;
        let function = self.one_of(&[
            FoldFunction::Newest,
            FoldFunction::Newest,
            FoldFunction::NewestTime,
            FoldFunction::Increase { counter: true, per_second: true },
            FoldFunction::Increase { counter: true, per_second: false },
            FoldFunction::Increase { counter: false, per_second: false },
            FoldFunction::LastStep { counter: true, per_second: true },
            FoldFunction::LastStep { counter: false, per_second: false },
            FoldFunction::Reduce(Reducer::Sum(compensated)),
            FoldFunction::Reduce(Reducer::Average(compensated)),
            FoldFunction::Reduce(Reducer::Min),
            FoldFunction::Reduce(Reducer::Max),
            FoldFunction::Reduce(Reducer::Count),
            FoldFunction::Reduce(Reducer::StdDev(compensated)),
            FoldFunction::Reduce(Reducer::Quantile),
            FoldFunction::Present,
            FoldFunction::Changes,
            FoldFunction::Resets,
            FoldFunction::Slope,
            FoldFunction::PredictLinear,
        ]);
        let arguments = match function {
            FoldFunction::Reduce(Reducer::Quantile) | FoldFunction::PredictLinear => {
                vec![self.scalar(grid)]
            }
            _ => vec![],
        };
        let single = matches!(function, FoldFunction::Newest | FoldFunction::NewestTime);
        let input = if single || self.inside || !self.rng.one_in(4) {
            self.scan()
        } else {
            let step_ms = self.one_of(&[10_000, 60_000, 47_000]);
            let lowest_ms = (grid.start_ms - offset_ms - range_ms).div_euclid(step_ms) * step_ms;
            let inner = StepGrid::new(lowest_ms + step_ms, grid.end_ms - offset_ms, step_ms);
            self.inside = true;
            let node = self.vector(inner, 1);
            self.inside = false;
            node
        };
        Node::new(Op::Fold(Fold {
            input: Box::new(input),
            buckets: Buckets::Steps { grid, after_ms: -offset_ms - range_ms, until_ms: -offset_ms },
            drop_name: function != FoldFunction::Newest,
            function,
            arguments,
            staleness: if single { Staleness::Ends } else { Staleness::Skipped },
            fill: Fill::Absent,
        }))
    }

    fn scan(&mut self) -> Node {
        let matchers = match self.rng.below(8) {
            0 => vec![],
            1 => vec![Matcher::equal("x", "1")],
            _ => vec![Matcher::equal("__name__", self.one_of(&METRICS))],
        };
        Node::new(Op::Scan(Scan {
            sorted: self.rng.one_in(2),
            ..Scan::new(matchers, TimeRange::ALL)
        }))
    }

    fn vector(&mut self, grid: StepGrid, depth: u32) -> Node {
        if depth == 0 {
            return self.fold(grid);
        }
        let input = |maker: &mut Self| Box::new(maker.vector(grid, depth - 1));
        match self.rng.below(10) {
            0 | 1 => Node::new(Op::Map(Map {
                input: input(self),
                function: MapFunction::Binary {
                    op: self.operator(),
                    argument_left: self.rng.one_in(2),
                    return_bool: self.rng.one_in(2),
                },
                arguments: vec![self.scalar(grid)],
                drop_name: self.rng.one_in(2),
            })),
            2 => Node::new(Op::Map(Map {
                input: input(self),
                function: self.one_of(&[MapFunction::Abs, MapFunction::Negate, MapFunction::Sqrt]),
                arguments: vec![],
                drop_name: true,
            })),
            3 | 4 => self.aggregate(grid, depth),
            5 => Node::new(Op::Rank(Rank {
                input: input(self),
                kind: self.one_of(&[RankKind::Top, RankKind::Bottom, RankKind::First]),
                count: Box::new(self.scalar(grid)),
                grouping: self.grouping(),
                unsorted: false,
            })),
            6 | 7 => self.join(grid, depth),
            8 => Node::new(Op::Buckets {
                function: BucketFunction::Quantile,
                input: input(self),
                arguments: vec![Node::new(Op::Constant(Number(0.7), grid))],
            }),
            _ => Node::new(Op::Absent {
                input: input(self),
                labels: Labels::from_pairs([("x", "9")]),
            }),
        }
    }

    fn operator(&mut self) -> BinaryOp {
        self.one_of(&[
            BinaryOp::Add,
            BinaryOp::Subtract,
            BinaryOp::Multiply,
            BinaryOp::Divide,
            BinaryOp::Greater,
            BinaryOp::LessOrEqual,
            BinaryOp::Equal,
            BinaryOp::NotEqual,
        ])
    }

    fn aggregate(&mut self, grid: StepGrid, depth: u32) -> Node {
        let reducer = self.one_of(&[
            Reducer::Sum(Arithmetic::Compensated),
            Reducer::Average(Arithmetic::Compensated),
            Reducer::Min,
            Reducer::Max,
            Reducer::Count,
            Reducer::Group,
            Reducer::StdDev(Arithmetic::Plain),
            Reducer::StdVar(Arithmetic::Plain),
            Reducer::Quantile,
            Reducer::CountValues("v".to_owned()),
            Reducer::CountValues("x".to_owned()),
        ]);
        let argument = (reducer == Reducer::Quantile).then(|| Box::new(self.scalar(grid)));
        Node::new(Op::Aggregate(Aggregate {
            input: Box::new(self.vector(grid, depth - 1)),
            reducer,
            argument,
            grouping: self.grouping(),
            alignment: Alignment::Steps,
            labels: GroupLabels::Group,
        }))
    }

    fn join(&mut self, grid: StepGrid, depth: u32) -> Node {
        let set = self.rng.one_in(2);
        let op = if set {
            self.one_of(&[BinaryOp::And, BinaryOp::Or, BinaryOp::Unless])
        } else {
            self.operator()
        };
        let cardinality = if set {
            Cardinality::ManyToMany
        } else {
            self.one_of(&[Cardinality::OneToOne, Cardinality::ManyToOne, Cardinality::OneToMany])
        };
        let grouped = matches!(cardinality, Cardinality::ManyToOne | Cardinality::OneToMany);
        let include = if grouped && self.rng.one_in(2) { vec!["y".to_owned()] } else { vec![] };
        let right_depth = self.rng.below(u64::from(depth)) as u32;
        let mut fill = || (!set && self.rng.one_in(4)).then(|| Number(self.rng.below(9) as f64));
        let fill = (fill(), fill());
        Node::new(Op::Join(Join {
            left: Box::new(self.vector(grid, depth - 1)),
            right: Box::new(self.vector(grid, right_depth)),
            op,
            return_bool: op.is_comparison() && self.rng.one_in(2),
            matching: Matching {
                on: self.rng.one_in(2),
                labels: self.names(),
                cardinality,
                include,
                fill,
            },
        }))
    }
}

type Table = BTreeMap<(i64, Labels), f64>;

fn by_operators(plan: &Plan, source: &MemorySource) -> Option<Table> {
    let output = execute(plan, source, &Context::default()).ok()?;
    let Value::Vector(rows) = output.value else { panic!("a vector plan") };
    let mut table = Table::new();
    for row in rows {
        for (at, value) in row.points.timestamps.iter().zip(&row.points.values) {
            let before = table.insert((*at, row.labels.clone()), *value);
            assert!(before.is_none(), "two rows {} at {at}", row.labels);
        }
    }
    Some(table)
}

fn by_oracle(plan: &Plan, source: &MemorySource, grid: StepGrid) -> Option<Table> {
    let oracle = Oracle { source };
    let mut table = Table::new();
    for at in grid.iter() {
        for (labels, value) in oracle.at(&plan.root, at).ok()? {
            // Equal labels at the end are an answer that the API refuses.
            table.insert((at, labels), value).is_none().then_some(())?;
        }
    }
    Some(table)
}

fn close(left: f64, right: f64) -> bool {
    left.is_nan() && right.is_nan()
        || left == right
        || (left - right).abs() <= 1e-7 * left.abs().max(right.abs()).max(1e-3)
}

/// True when rounding may decide the answer: the oracle adds in another order.
fn is_delicate(node: &Node) -> bool {
    let compares = |op: BinaryOp| op.is_comparison();
    let here = match &node.op {
        Op::Map(Map { function: MapFunction::Binary { op, .. }, .. }) => compares(*op),
        Op::Join(join) => compares(join.op),
        Op::Rank(rank) => rank.kind != RankKind::First,
        Op::Aggregate(aggregate) => matches!(aggregate.reducer, Reducer::CountValues(_)),
        Op::Buckets { .. } => true,
        Op::Fold(fold) => {
            matches!(fold.function, FoldFunction::Changes | FoldFunction::Resets)
                || matches!(fold.function, FoldFunction::Increase { counter: true, .. })
                || matches!(fold.function, FoldFunction::LastStep { counter: true, .. })
        }
        _ => false,
    };
    let steady = match &node.op {
        // Equal values are dealt with in input order, which a join may change.
        Op::Rank(_) => node.children().into_iter().all(|child| match &child.op {
            Op::Fold(fold) => fold.function == FoldFunction::Newest,
            op => matches!(op, Op::Constant(..)),
        }),
        _ => node.children().into_iter().all(is_exact),
    };
    here && !steady || node.children().into_iter().any(is_delicate)
}

/// True when every value is computed without rounding: samples are multiples of a quarter.
fn is_exact(node: &Node) -> bool {
    let here = match &node.op {
        Op::Scan(_) | Op::Constant(..) | Op::Rank(_) | Op::Absent { .. } => true,
        Op::Fold(fold) => match &fold.function {
            FoldFunction::Reduce(reducer) => *reducer != Reducer::Quantile && plain(reducer),
            FoldFunction::LastStep { per_second, .. } => !per_second,
            function => matches!(
                function,
                FoldFunction::Newest
                    | FoldFunction::Present
                    | FoldFunction::Changes
                    | FoldFunction::Resets
            ),
        },
        Op::Map(map) => matches!(map.function, MapFunction::Abs | MapFunction::Negate),
        Op::Aggregate(aggregate) => plain(&aggregate.reducer),
        Op::Join(join) => join.op.is_set() || join.op.is_comparison(),
        _ => false,
    };
    here && node.children().into_iter().all(is_exact)
}

fn plain(reducer: &Reducer) -> bool {
    matches!(
        reducer,
        Reducer::Sum(_) | Reducer::Min | Reducer::Max | Reducer::Count | Reducer::Group
    )
}

#[test]
fn operators_agree_with_the_oracle() {
    let rounds = if std::env::var_os("LONG").is_some() { 20_000 } else { 300 };
    let first_seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let (mut compared, mut failed_alike, mut delicate) = (0, 0, 0);
    for round in 0..rounds {
        let seed = first_seed.unwrap_or(0x7_1b07) + round;
        let mut rng = Rng::new(seed);
        let source = random_source(&mut rng);
        let grid = match rng.below(3) {
            0 => StepGrid::instant(600_000 + rng.below(1000) as i64),
            1 => StepGrid::new(300_000, 1_100_000, 60_000),
            _ => StepGrid::new(100_003, 1_200_000, 29_000),
        };
        let depth = rng.below(4) as u32;
        let root = Maker { rng: &mut rng, inside: false }.vector(grid, depth);
        let plan = Plan { root, limits: QueryLimits::default() };
        if is_delicate(&plan.root) {
            delicate += 1;
            // Still: no panic, no two rows with equal labels at one instant.
            let _ = execute(&plan, &source, &Context::default());
            continue;
        }
        let got = by_operators(&plan, &source);
        let expected = by_oracle(&plan, &source, grid);
        match (got, expected) {
            (Some(got), Some(expected)) => {
                let keys = |table: &Table| table.keys().cloned().collect::<Vec<_>>();
                assert_eq!(keys(&got), keys(&expected), "seed {seed}\n{plan}");
                for ((key, got), expected) in got.iter().zip(expected.values()) {
                    assert!(
                        close(*got, *expected),
                        "seed {seed} {key:?}: {got} {expected}\n{plan}"
                    );
                }
                compared += 1;
            }
            (None, None) => failed_alike += 1,
            (got, expected) => panic!(
                "seed {seed}: operators answer {}, the oracle {}\n{plan}{:?}",
                got.is_some(),
                expected.is_some(),
                execute(&plan, &source, &Context::default()).err()
            ),
        }
    }
    println!("{compared} compared, {failed_alike} failed alike, {delicate} delicate");
    assert!(first_seed.is_some() || compared > rounds / 4, "{compared} plans were compared");
}
