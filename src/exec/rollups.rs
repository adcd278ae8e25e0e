//! Folds over summaries answer as folds over samples.
//!
//! Method: one source, asked with and without leave to give summaries; random series with gaps, resets,
//! markers and NaN under random windows. Where windows are cut as the summaries are, every answer is
//! the same to the bit, sums of fractions aside; where they are not, it is that of a window whose edges
//! are moved by less than the width of a summary.

use base::rng::Rng;
use model::{
    Hints, Labels, Matcher, STALE_NAN_BITS, Samples, Selection, Source, SourceError, StepGrid,
    TimeRange, summarize,
};
use plan::semantics::{Arithmetic, Buckets, Fill, FoldFunction, Reducer, Staleness};
use plan::{Fold, Node, Op, Plan, QueryLimits, Scan};

use crate::testing::MemorySource;
use crate::{Context, Value, execute};

const MINUTE: i64 = 60_000;
const WIDTHS: [i64; 2] = [5 * MINUTE, 60 * MINUTE];

/// Gives summaries of the widest width that the reader cannot tell from samples; with `gone` the
/// samples are not there, and the narrowest stand in.
struct SummarySource {
    inner: MemorySource,
    gone: bool,
}

struct SummarySelection {
    inner: Box<dyn Selection>,
    width_ms: Option<i64>,
    reach_ms: i64,
}

impl Selection for SummarySelection {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.inner.labels(index)
    }

    fn read(&self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        let Some(width_ms) = self.width_ms else { return self.inner.read(index, out) };
        let (mut raw, mut runs) = (Samples::default(), Vec::new());
        self.inner.read(index, &mut raw)?;
        summarize(&raw.timestamps, &raw.values, width_ms, &mut runs);
        out.clear();
        runs.into_iter().for_each(|run| out.push_summary(run));
        out.reach_ms = self.reach_ms;
        Ok(())
    }
}

impl Source for SummarySource {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError> {
        let fits = |width: &&i64| hints.cut_ms.is_some_and(|cut_ms| cut_ms % **width == 0);
        let fitting = WIDTHS.iter().rev().find(fits).copied();
        let stands_in = hints.cut_ms.filter(|_| self.gone && fitting.is_none());
        let width_ms = fitting.or(stands_in.map(|_| WIDTHS[0]));
        let inner = self.inner.select(matchers, range, hints)?;
        let reach_ms = stands_in.map_or(0, |_| WIDTHS[0]);
        Ok(Box::new(SummarySelection { inner, width_ms, reach_ms }))
    }
}

/// A series over two days; whole numbers unless `fractions`.
fn random_series(rng: &mut Rng, fractions: bool) -> Vec<(i64, f64)> {
    let (mut at_ms, mut value) = (rng.below(10) as i64 * 15_000, 0.0f64);
    let scale = if fractions { 7.0 } else { 1.0 };
    let (is_counter, has_nan) = (rng.one_in(2), rng.one_in(4));
    let mut samples = Vec::new();
    while at_ms < 48 * 60 * MINUTE {
        value = match rng.below(200) {
            0 => f64::from_bits(STALE_NAN_BITS),
            1 if has_nan => f64::NAN,
            2 => 0.0,
            _ if is_counter && !value.is_nan() => value + rng.below(1000) as f64 / scale,
            _ => rng.below(100_000) as f64 / scale,
        };
        samples.push((at_ms, value));
        at_ms += match rng.below(300) {
            0 => (1 + rng.below(4 * 60) as i64) * MINUTE,
            1..=9 => 15_000 + rng.below(3_000) as i64,
            // Back on the beat, so that samples stand on edges.
            _ => 15_000 - at_ms.rem_euclid(15_000),
        };
    }
    samples
}

fn plan(function: FoldFunction, buckets: Buckets, rollups: bool) -> Plan {
    let scan = Scan { sorted: true, histograms: true, ..Scan::new(vec![], TimeRange::ALL) };
    let staleness = match function {
        FoldFunction::Newest => Staleness::Ends,
        _ => Staleness::Skipped,
    };
    let root = Node::new(Op::Fold(Fold {
        input: Box::new(Node::new(Op::Scan(scan))),
        buckets,
        function,
        arguments: vec![],
        staleness,
        fill: Fill::Absent,
        drop_name: false,
    }));
    Plan { root, limits: QueryLimits { rollups, ..QueryLimits::default() } }
}

/// (instant, value) of the points of the only row, and how many samples were read.
fn answer(source: &SummarySource, plan: &Plan) -> (Vec<(i64, f64)>, u64) {
    let output = execute(plan, source, &Context::default()).unwrap();
    let Value::Vector(rows) = output.value else { panic!("not a vector") };
    let points = rows.first().map(|row| &row.points);
    let points = points.into_iter().flat_map(|p| p.timestamps.iter().zip(&p.values));
    (points.map(|(at, value)| (*at, *value)).collect(), output.samples_read)
}

fn functions() -> Vec<FoldFunction> {
    let reducers = [
        Reducer::Sum(Arithmetic::Compensated),
        Reducer::Sum(Arithmetic::SkipNaN),
        Reducer::Average(Arithmetic::Compensated),
        Reducer::Average(Arithmetic::SkipNaN),
        Reducer::Min,
        Reducer::Max,
        Reducer::Range,
        Reducer::Count,
        Reducer::CountNumbers,
        Reducer::Group,
        Reducer::First,
        Reducer::Last,
    ];
    let growth = [(true, true), (true, false), (false, false)]
        .map(|(counter, per_second)| FoldFunction::Increase { counter, per_second });
    let others = [
        FoldFunction::Newest,
        FoldFunction::NewestTime,
        FoldFunction::Present,
        FoldFunction::TimeOfFirst,
        FoldFunction::TimeOfLast,
    ];
    reducers.map(FoldFunction::Reduce).into_iter().chain(growth).chain(others).collect()
}

/// Windows cut at multiples of five minutes or an hour.
fn random_buckets(rng: &mut Rng) -> Buckets {
    let unit = WIDTHS[rng.below(2) as usize];
    let start = rng.below(10) as i64 * unit;
    let step = (1 + rng.below(4) as i64) * unit;
    let grid = StepGrid::new(start, start + (1 + rng.below(40) as i64) * step, step);
    let length = (1 + rng.below(5) as i64) * unit;
    match rng.below(5) {
        0 | 1 => Buckets::Steps { grid, after_ms: -length, until_ms: 0 },
        2 => Buckets::Steps { grid, after_ms: -1, until_ms: length - 1 },
        3 => {
            let range = TimeRange::new(start, grid.end_ms);
            Buckets::Occupied { range, step_ms: step }
        }
        _ => Buckets::Edges(grid.iter().collect()),
    }
}

#[test]
fn windows_that_are_cut_alike_answer_alike() {
    let mut rng = Rng::new(11);
    let functions = functions();
    let (mut fewer, mut points) = (0, 0);
    for round in 0..1_500 {
        let fractions = round % 2 == 1;
        let mut inner = MemorySource::new();
        let samples = random_series(&mut rng, fractions);
        inner.add(Labels::from_pairs([("__name__", "m")]), samples);
        let source = SummarySource { inner, gone: false };
        let function = functions[round % functions.len()].clone();
        let buckets = random_buckets(&mut rng);
        let (want, all) = answer(&source, &plan(function.clone(), buckets.clone(), false));
        let (got, read) = answer(&source, &plan(function.clone(), buckets.clone(), true));
        fewer += usize::from(read * 3 < all);
        points += want.len();
        assert_eq!(got.len(), want.len(), "{function:?} {buckets:?}");
        for (got, want) in got.iter().zip(&want) {
            let is_same = got.1.to_bits() == want.1.to_bits()
                || got.1.is_nan() && want.1.is_nan()
                || fractions && (got.1 - want.1).abs() <= want.1.abs() * 1e-13;
            assert!(got.0 == want.0 && is_same, "{function:?} {buckets:?}: {got:?} {want:?}");
        }
    }
    assert!(fewer > 1_400 && points > 15_000, "{fewer} rounds read summaries, {points} points");
}

#[test]
fn other_windows_are_moved_by_less_than_a_width() {
    let mut rng = Rng::new(12);
    let width = WIDTHS[0];
    for _ in 0..300 {
        let mut inner = MemorySource::new();
        let mut samples = random_series(&mut rng, false);
        samples.retain(|(_, value)| !value.is_nan());
        inner.add(Labels::from_pairs([("__name__", "m")]), samples.clone());
        let source = SummarySource { inner, gone: true };
        let start = rng.below(3_600) as i64 * 1_000 + 1;
        let length = width * (2 + rng.below(20) as i64) + rng.below(90) as i64 * 1_000;
        let grid = StepGrid::new(start, start + 40 * 60 * MINUTE, 7 * MINUTE + 13_000);
        let windows = |after_ms| Buckets::Steps { grid, after_ms, until_ms: 0 };
        let count = FoldFunction::Reduce(Reducer::Count);
        let (counts, _) = answer(&source, &plan(count, windows(-length), true));
        let inside = |after: i64, until: i64| {
            samples.iter().filter(|(at, _)| after < *at && *at <= until).count() as f64
        };
        for (at, got) in &counts {
            let least = inside(at - length, at - width);
            let most = inside(at - length - width, *at);
            assert!(least <= *got && *got <= most, "{at}: {least} {got} {most}");
        }
        let (newest, _) = answer(&source, &plan(FoldFunction::Newest, windows(-width), true));
        for (at, got) in &newest {
            let since = samples.iter().filter(|(time, _)| (at - 2 * width..=*at).contains(time));
            assert!(since.clone().any(|(_, value)| value == got), "{at}: {got}");
        }
        // Wherever there is a newest sample, one of them is found.
        let (raw, _) = answer(&source, &plan(FoldFunction::Newest, windows(-width), false));
        let known: std::collections::HashSet<i64> = newest.iter().map(|(at, _)| *at).collect();
        let lost = raw
            .iter()
            .filter(|(at, _)| !known.contains(at) && inside(at - 2 * width, at - width) > 0.0);
        assert_eq!(lost.count(), 0);
    }
}
