//! Whole plans over a few series: what the random plans do not reach. Each case states its rows as
//! `labels: value@seconds …`.

use base::cancel::CancelToken;
use base::error::{Classify, ErrorKind};
use model::{Labels, Matcher, Pattern, StepGrid, TimeRange};
use plan::node::{Number, QueryLimits};
use plan::semantics::{
    Alignment, Arithmetic, Between, BinaryOp, Buckets, Cardinality, DifferenceRule, Falls, Fill,
    FirstPoint, FoldFunction, Gaps, GroupLabels, Grouping, MapFunction, Matching, Reducer,
    RelabelRule, SortOrder, Staleness, TitleRule,
};
use plan::slots::{SlotRule, SlotRules};
use plan::{Aggregate, Fold, Join, Map, Node, Op, Plan, Rank, RankKind, Relabel, Scan};

use crate::testing::MemorySource;
use crate::{Context, ExecError, Value, execute};

fn grid() -> StepGrid {
    StepGrid::new(0, 20_000, 10_000)
}

/// Series from lines such as `a{x="1"} 1 2 _` at 0 s, 10 s, 20 s; a number without a point is an
/// integer with the suffix `i`.
fn source(lines: &[&str]) -> MemorySource {
    let mut source = MemorySource::new();
    for line in lines {
        let (name, values) = line.split_once(' ').unwrap();
        let (metric, pairs) = name.split_once('{').unwrap_or((name, ""));
        let pairs = pairs.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
        let pairs: Vec<(&str, &str)> = pairs.map(|pair| pair.split_once('=').unwrap()).collect();
        let named = std::iter::once(("__name__", metric)).chain(pairs);
        let labels = Labels::from_pairs(named);
        for (index, value) in values.split(' ').enumerate().filter(|(_, value)| *value != "_") {
            let at = index as i64 * 10_000;
            match value.strip_suffix('i') {
                Some(integer) => {
                    source.add_integers(labels.clone(), [(at, integer.parse().unwrap())]);
                }
                None => source.add(labels.clone(), [(at, value.parse().unwrap())]),
            }
        }
    }
    source
}

fn scan(metric: &str) -> Node {
    Node::new(Op::Scan(Scan {
        sorted: true,
        integers: true,
        ..Scan::new(vec![Matcher::equal("__name__", metric)], TimeRange::ALL)
    }))
}

fn fold(input: Node, function: FoldFunction, buckets: Buckets, fill: Fill) -> Node {
    Node::new(Op::Fold(Fold {
        input: Box::new(input),
        buckets,
        function,
        arguments: vec![],
        staleness: Staleness::Ends,
        fill,
        drop_name: false,
    }))
}

fn newest_on(metric: &str, grid: StepGrid) -> Node {
    let buckets = Buckets::Steps { grid, after_ms: -10_000, until_ms: 0 };
    fold(scan(metric), FoldFunction::Newest, buckets, Fill::Absent)
}

fn newest(metric: &str) -> Node {
    newest_on(metric, grid())
}

fn constant(number: f64) -> Node {
    Node::new(Op::Constant(Number(number), grid()))
}

fn join(op: BinaryOp, cardinality: Cardinality, fill: (Option<f64>, Option<f64>)) -> Node {
    let number = |value: Option<f64>| value.map(Number);
    Node::new(Op::Join(Join {
        left: Box::new(newest("l")),
        right: Box::new(newest("r")),
        op,
        return_bool: false,
        matching: Matching {
            on: true,
            labels: vec!["x".to_owned()],
            cardinality,
            include: if cardinality == Cardinality::OneToOne { vec![] } else { vec!["y".into()] },
            fill: (number(fill.0), number(fill.1)),
        },
    }))
}

fn union(input: Node, reducer: Reducer, grouping: Grouping) -> Node {
    Node::new(Op::Aggregate(Aggregate {
        input: Box::new(input),
        reducer,
        argument: None,
        grouping,
        alignment: Alignment::Union { between: Between::Linear },
        labels: GroupLabels::Agreeing,
    }))
}

fn run(root: Node, source: &MemorySource) -> Result<Vec<String>, ExecError> {
    let plan = Plan { root, limits: QueryLimits::default() };
    let output = execute(&plan, source, &Context::default())?;
    let Value::Vector(rows) = output.value else { panic!("not a vector") };
    let show = |row: &model::ResultSeries| {
        let mut text = match &row.title {
            Some(title) => title.to_string(),
            None => row.labels.to_string().replace("__name__", "n"),
        };
        if !row.disagreeing.is_empty() {
            text.push_str(&format!(" differ {}", row.disagreeing.join(",")));
        }
        for index in 0..row.points.values.len() {
            let seconds = row.points.timestamps[index] / 1000;
            let integer = row.points.integers.get(index).copied().flatten();
            match integer {
                Some(integer) => text.push_str(&format!(" {integer}i@{seconds}")),
                None => text.push_str(&format!(" {}@{seconds}", row.points.values[index])),
            }
        }
        text
    };
    Ok(rows.iter().map(show).collect())
}

fn check(root: Node, lines: &[&str], expected: &[&str]) {
    let rows = run(root, &source(lines)).unwrap();
    assert_eq!(rows, expected);
}

fn check_error(root: Node, lines: &[&str], expected: &str) {
    let error = run(root, &source(lines)).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), (expected, ErrorKind::Invalid));
}

#[test]
fn missing_sides_of_a_join_are_filled() {
    let lines = ["l{x=1} 1 1 1", "l{x=2} 2 2 2", "r{x=2} 5 _ _", "r{x=3} 7 7 7"];
    let one = Cardinality::OneToOne;
    check(join(BinaryOp::Add, one, (None, None)), &lines, &[r#"{x="2"} 7@0"#]);
    check(
        join(BinaryOp::Add, one, (Some(100.0), Some(1000.0))),
        &lines,
        &[
            r#"{x="1"} 1001@0 1001@10 1001@20"#,
            r#"{x="2"} 7@0 1002@10 1002@20"#,
            r#"{x="3"} 107@0 107@10 107@20"#,
        ],
    );
}

#[test]
fn joins_name_their_clashes() {
    let many = Cardinality::ManyToOne;
    let none = (None, None);
    let twice = ["l{x=1} 1 1 1", "r{x=1,y=a} 1 _ 1", "r{x=1,y=b} _ 1 1"];
    check_error(
        join(BinaryOp::Add, many, none),
        &twice,
        "found duplicate series for the match group {x=\"1\"} on the right hand-side of the \
         operation: [{__name__=\"r\", x=\"1\", y=\"a\"}, {__name__=\"r\", x=\"1\", y=\"b\"}];\
         many-to-many matching not allowed: matching labels must be unique on one side",
    );
    // At different steps there is no clash.
    check(
        join(BinaryOp::Add, many, none),
        &["l{x=1} 1 1", "r{x=1,y=a} 1 _", "r{x=1,y=b} _ 2"],
        &[r#"{x="1", y="a"} 2@0"#, r#"{x="1", y="b"} 3@10"#],
    );
    let lefts = ["l{x=1,z=a} 1 1 1", "l{x=1,z=b} 1 1 1", "r{x=1} 1 1 1"];
    check_error(
        join(BinaryOp::Greater, Cardinality::OneToOne, none),
        &lefts,
        "multiple matches for labels: many-to-one matching must be explicit \
         (group_left/group_right)",
    );
    check(
        join(BinaryOp::Add, many, none),
        &lefts,
        &[r#"{x="1", z="a"} 2@0 2@10 2@20"#, r#"{x="1", z="b"} 2@0 2@10 2@20"#],
    );
}

#[test]
fn best_rows_come_best_first_at_an_instant() {
    let at = StepGrid::instant(0);
    let rank = |kind, count: f64| {
        Node::new(Op::Rank(Rank {
            input: Box::new(newest_on("m", at)),
            kind,
            count: Box::new(Node::new(Op::Constant(Number(count), at))),
            grouping: Grouping::By(vec![]),
            unsorted: false,
        }))
    };
    let lines = ["m{x=1} 3", "m{x=2} NaN", "m{x=3} 9", "m{x=4} 3"];
    let row = |x: &str, value: &str| format!(r#"{{n="m", x="{x}"}} {value}@0"#);
    let some = source(&lines);
    let top = run(rank(RankKind::Top, 2.0), &some).unwrap();
    assert_eq!(top, [row("3", "9"), row("1", "3")]);
    // Read in the store's order, equal values still go by label.
    let backwards = source(&lines.iter().rev().copied().collect::<Vec<_>>());
    assert_eq!(run(rank(RankKind::Top, 2.0), &backwards).unwrap(), top);
    let steps = ["m{x=b} 1 5 2", "m{x=c} 4 5 _", "m{x=a} 1 5 2"];
    let mut best = rank(RankKind::Top, 1.0);
    if let Op::Rank(rank) = &mut best.op {
        *rank.input = newest("m");
        *rank.count = constant(1.0);
    }
    let (first, last) = (row("a", "5@10 2").replace("@0", "@20"), row("c", "4"));
    assert_eq!(run(best, &source(&steps)).unwrap(), [first, last]);
    let bottom = run(rank(RankKind::Bottom, 9.0), &some).unwrap();
    assert_eq!(bottom, [row("1", "3"), row("4", "3"), row("3", "9"), row("2", "NaN")]);
    assert_eq!(run(rank(RankKind::Top, 0.9), &some).unwrap(), Vec::<String>::new());
    let all = run(rank(RankKind::Ratio, 1.0), &some).unwrap();
    let half = run(rank(RankKind::Ratio, 0.5), &some).unwrap();
    let rest = run(rank(RankKind::Ratio, -0.5), &some).unwrap();
    assert_eq!((all.len(), half.len() + rest.len()), (4, 4));
    assert!(half.iter().all(|row| !rest.contains(row)));
    check_error(rank(RankKind::Top, f64::NAN), &lines, "Parameter value is NaN");
    check_error(rank(RankKind::Top, 1e30), &lines, "Scalar value 1e+30 overflows int64");
    check_error(rank(RankKind::Ratio, f64::NAN), &lines, "Ratio value is NaN");
}

#[test]
fn rows_meet_at_the_union_of_their_instants() {
    let lines = ["m{h=a,dc=x} 1i _ 5i", "m{h=b,dc=x} _ 10i _", "m{h=c} 2i 2i 2i"];
    let sum = Reducer::Sum(Arithmetic::SkipNaN);
    check(
        union(scan("m"), sum.clone(), Grouping::By(vec![])),
        &lines,
        &[r#"{n="m", dc="x"} differ h 3i@0 15i@10 7i@20"#],
    );
    let by_host = Grouping::By(vec!["h".to_owned()]);
    check(
        union(scan("m"), sum.clone(), by_host),
        &["m{h=a} 1i 2i 3.5"],
        &[r#"{n="m", h="a"} 1i@0 2@10 3.5@20"#],
    );
    // A rate is computed against (0, 0), hidden, and lent to the group until the second point.
    let rule = DifferenceRule {
        per_second: true,
        falls: Falls::Kept,
        gaps: Gaps::Bridged,
        first: FirstPoint::Origin,
    };
    let rates = Node::new(Op::Map(Map {
        input: Box::new(scan("c")),
        function: MapFunction::Difference(rule),
        arguments: vec![],
        drop_name: false,
    }));
    check(
        union(rates, sum, Grouping::By(vec![])),
        &["c{h=a} _ 100i 300i", "c{h=b} _ 50i _ 70i"],
        &[r#"{n="c"} differ h 25@20 1@30"#],
    );
}

#[test]
fn downsampling_fills_and_cuts() {
    let maximum = FoldFunction::Reduce(Reducer::Max);
    let buckets = |start, end| Buckets::Steps {
        grid: StepGrid::new(start, end, 20_000),
        after_ms: -1,
        until_ms: 19_999,
    };
    let lines = ["m 1i 2i _ _ 5i"];
    let fill = Fill::Value(Number(f64::NAN));
    let folded = fold(scan("m"), maximum.clone(), buckets(0, 59_999), fill);
    let row = r#"{n="m"}"#;
    check(folded.clone(), &lines, &[&format!("{row} 2@0 NaN@20 5@40")]);
    let clip = |input: Node, start_ms, end_ms| {
        let range = TimeRange::new(start_ms, end_ms);
        Node::new(Op::Clip { input: Box::new(input), range })
    };
    check(clip(folded.clone(), 1, 39_999), &lines, &[&format!("{row} NaN@20")]);
    // A series that exists stays, even when nothing of it is left.
    check(clip(folded, 60_000, 90_000), &lines, &[row]);
    let edges = Buckets::Edges([0, 10_000, 50_000].into());
    check(
        fold(scan("m"), maximum.clone(), edges, Fill::Absent),
        &lines,
        &[&format!("{row} 1@0 5@10")],
    );
    let whole = Buckets::Whole(TimeRange::new(0, 40_000));
    check(fold(scan("m"), maximum, whole, Fill::Absent), &lines, &[&format!("{row} 2@0")]);
}

#[test]
fn infinities_are_refused_where_rows_meet() {
    let sum = Reducer::Sum(Arithmetic::SkipNaN);
    let node = union(scan("m"), sum, Grouping::By(vec![]));
    check_error(node, &["m{h=a} 1e308", "m{h=b} 1.7e308"], "Got Infinity: Infinity");
}

#[test]
fn graphite_rows_stand_on_their_own_steps() {
    let titled = Node::new(Op::Relabel(Relabel {
        input: Box::new(scan("a.b")),
        rule: RelabelRule::Title(TitleRule::SeriesName),
    }));
    let last = FoldFunction::Reduce(Reducer::Last);
    let buckets = Buckets::PerSeries {
        range: TimeRange::new(0, 40_000),
        slots: SlotRules {
            rules: [SlotRule {
                pattern: Pattern::new("a\\..*").unwrap(),
                steps_ms: [20_000].into(),
                after_ms: i64::MIN,
            }]
            .into(),
            ..SlotRules::uniform(60_000)
        },
    };
    let folded = fold(titled, last, buckets, Fill::Absent);
    check(folded.clone(), &["a.b 1 2 3 4 5 6"], &["a.b 4@20 6@40"]);
    let wrapped = Node::new(Op::Relabel(Relabel {
        input: Box::new(folded),
        rule: RelabelRule::Title(TitleRule::Wrap { prefix: "f(".into(), suffix: ",2)".into() }),
    }));
    let sum = Node::new(Op::Aggregate(Aggregate {
        input: Box::new(wrapped),
        reducer: Reducer::Sum(Arithmetic::Plain),
        argument: None,
        grouping: Grouping::Title,
        alignment: Alignment::LeastCommonStep { present_min: Number(0.0) },
        labels: GroupLabels::Titled { title: None, mark: None },
    }));
    check(sum, &["a.b 1 2 3 4 5 6"], &["f(a.b,2) 4@20 6@40"]);
}

#[test]
fn labels_that_become_equal_merge_or_clash() {
    let replace = |input: Node| {
        Node::new(Op::Relabel(Relabel {
            input: Box::new(input),
            rule: RelabelRule::Replace {
                destination: "x".into(),
                template: "same".into(),
                source: "x".into(),
                pattern: Pattern::new(".*").unwrap(),
            },
        }))
    };
    check(
        replace(newest("m")),
        &["m{x=1} 1 _ 3", "m{x=2} _ 2 _"],
        &[r#"{n="m", x="same"} 1@0 2@10 3@20"#],
    );
    check_error(
        replace(newest("m")),
        &["m{x=1} 1", "m{x=2} 2"],
        "vector cannot contain metrics with the same labelset",
    );
}

#[test]
fn rows_sort_by_value_and_by_label() {
    let at = StepGrid::instant(0);
    let sort = |order| Node::new(Op::Sort { input: Box::new(newest_on("m", at)), order });
    let lines = ["m{x=10} 3", "m{x=9} NaN", "m{x=2} 9"];
    let order = |order| {
        let rows = run(sort(order), &source(&lines)).unwrap();
        rows.iter().map(|row| row.split('"').nth(3).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order(SortOrder::Value { descending: false }), ["10", "2", "9"]);
    assert_eq!(order(SortOrder::Value { descending: true }), ["2", "10", "9"]);
    let by_x = |descending| SortOrder::Labels { names: vec!["x".into()], descending };
    assert_eq!(order(by_x(false)), ["2", "9", "10"]);
    assert_eq!(order(by_x(true)), ["10", "9", "2"]);
}

#[test]
fn limits_and_cancellation_stop_a_query() {
    let some = source(&["m{x=1} 1 2 3", "m{x=2} 1 2 3"]);
    let limits =
        |samples_max, series_max| QueryLimits { samples_max, series_max, ..QueryLimits::default() };
    let run = |limits, context: &Context| {
        execute(&Plan { root: newest("m"), limits }, &some, context).unwrap_err()
    };
    let error = run(limits(4, 10), &Context::default());
    assert_eq!(
        error.to_string(),
        "query processing would load too many samples into memory in query execution"
    );
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let error = run(limits(100, 1), &Context::default());
    assert_eq!(error.to_string(), "query needs more than the limit series_max allows: 1");
    let cancel = CancelToken::new();
    cancel.cancel();
    let error = run(QueryLimits::default(), &Context::new(cancel));
    assert_eq!(error.to_string(), "query was canceled in expression evaluation");
    let past = CancelToken::with_deadline(std::time::Instant::now());
    let error = run(QueryLimits::default(), &Context::new(past));
    assert_eq!(error.to_string(), "query timed out in expression evaluation");
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn analyzing_counts_rows_and_points_per_node() {
    let some = source(&["m{x=1} 1 2 3", "m{x=2} 1 2 _"]);
    let sum = Node::new(Op::Aggregate(Aggregate {
        input: Box::new(newest("m")),
        reducer: Reducer::Sum(Arithmetic::Compensated),
        argument: None,
        grouping: Grouping::By(vec![]),
        alignment: Alignment::Steps,
        labels: GroupLabels::Group,
    }));
    let plan = Plan { root: sum, limits: QueryLimits::default() };
    let context = Context::analyzing(CancelToken::new());
    let output = execute(&plan, &some, &context).unwrap();
    let mut node = &output.profile;
    let mut seen = vec![(node.rows, node.points)];
    while let Some(child) = node.children.first() {
        seen.push((child.rows, child.points));
        node = child;
    }
    assert_eq!(seen, [(1, 3), (2, 5), (2, 5)]);
    assert_eq!(output.samples_read, 5);
    assert!(output.profile.node.starts_with("Aggregate Sum"));
}

#[test]
fn samples_are_counted_by_step() {
    // As a Prometheus 3.14 counts `count_over_time(m[15s])` and `m` over the same samples.
    let some = source(&["m{x=1} 1 2 3", "m{x=2} 1 2 _"]);
    let window = Node::new(Op::Fold(Fold {
        input: Box::new(scan("m")),
        buckets: Buckets::Steps { grid: grid(), after_ms: -15_000, until_ms: 0 },
        function: FoldFunction::Reduce(Reducer::Count),
        arguments: vec![],
        staleness: Staleness::Skipped,
        fill: Fill::Absent,
        drop_name: true,
    }));
    let cases = [(window, [2, 4, 3], [2, 2, 1]), (newest("m"), [2, 2, 1], [2, 2, 1])];
    for (root, queryable, read) in cases {
        let plan = Plan { root, limits: QueryLimits::default() };
        let context = Context { count_steps: Some(grid()), ..Context::default() };
        let output = execute(&plan, &some, &context).unwrap();
        assert_eq!(
            (&output.steps.queryable[..], &output.steps.read[..]),
            (&queryable[..], &read[..])
        );
    }
}

#[test]
fn shared_sub_plans_are_read_once() {
    let some = source(&["m{x=1} 1 2 3"]);
    let twice = Node::new(Op::Join(Join {
        left: Box::new(newest("m")),
        right: Box::new(newest("m")),
        op: BinaryOp::Add,
        return_bool: false,
        matching: Matching {
            on: false,
            labels: vec![],
            cardinality: Cardinality::OneToOne,
            include: vec![],
            fill: (None, None),
        },
    }));
    let plan = Plan { root: twice, limits: QueryLimits::default() };
    let output = execute(&plan, &some, &Context::default()).unwrap();
    assert_eq!(output.samples_read, 3);
    let Value::Vector(rows) = output.value else { panic!("not a vector") };
    assert_eq!(rows[0].points.values, [2.0, 4.0, 6.0]);
}

#[test]
fn deep_plans_run_and_deeper_ones_are_refused() {
    let deep = |levels: usize| {
        let mut node = newest("m");
        for _ in 0..levels {
            node = Node::new(Op::Map(Map {
                input: Box::new(node),
                function: MapFunction::Negate,
                arguments: vec![],
                drop_name: true,
            }));
        }
        node
    };
    check(deep(3_900), &["m{x=1} 1"], &[r#"{x="1"} 1@0"#]);
    let text = "query is nested too deeply: at most 4000 levels are allowed";
    check_error(deep(4_100), &["m 1"], text);
}

#[test]
fn scalars_come_from_single_rows() {
    let plan = |root| Plan { root, limits: QueryLimits::default() };
    let some = source(&["m{x=1} 1 _ 3", "m{x=2} _ _ 3"]);
    let scalar = Node::new(Op::ToScalar(Box::new(newest("m"))));
    let output = execute(&plan(scalar), &some, &Context::default()).unwrap();
    let Value::Scalar(points) = output.value else { panic!("not a scalar") };
    assert_eq!(points.values[0], 1.0);
    assert!(points.values[1].is_nan() && points.values[2].is_nan());
    let output = execute(&plan(constant(2.5)), &some, &Context::default()).unwrap();
    let Value::Scalar(points) = output.value else { panic!("not a scalar") };
    assert_eq!((points.timestamps, points.values), (vec![0, 10_000, 20_000], vec![2.5; 3]));
}
