//! Rows with an `le` label gathered to histograms, each reduced to one row.

use hashbrown::HashMap;
use model::{LabelBuilder, METRIC_NAME};
use plan::semantics::BucketFunction;
use plan::{AnnotationKind, Node, Span};

use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink, pair_at};
use crate::kernels::histogram::{self, Bucket};
use crate::operators::distinct;
use crate::operators::fold::warn_of_quantiles;
use crate::operators::grouping::pack;
use crate::row::{Identity, Row, Rows, is_absent};

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// One histogram: its buckets' bounds and rows.
#[derive(Default)]
struct Histogram {
    buckets: Vec<(f64, usize)>,
}

/// One row per histogram.
pub(crate) fn stream(
    executor: &Executor<'_>,
    function: BucketFunction,
    input: &Node,
    arguments: &[Node],
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let run = |sink: &mut Sink<'_>| reduced(executor, function, input, arguments, span, sink);
    if distinct::may_collide_without_name(input) {
        distinct::stream(executor, run, sink)
    } else {
        run(sink)
    }
}

fn reduced(
    executor: &Executor<'_>,
    function: BucketFunction,
    input: &Node,
    arguments: &[Node],
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let arguments = executor.arguments(arguments)?;
    if let (BucketFunction::Quantile, Some(argument)) = (function, arguments.first()) {
        warn_of_quantiles(executor, argument, span);
    }
    let mut rows = Rows::new(executor.budget);
    let mut places: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut histograms: Vec<Histogram> = Vec::new();
    let mut key = Vec::new();
    executor.stream(input, &mut |identity, row| {
        let Some(bound) = bound_of(executor, identity, row, span) else { return Ok(()) };
        key.clear();
        pack(identity.labels().view(), &mut key, |name| name != BOUND);
        let next = histograms.len();
        let place = *places.entry_ref(key.as_slice()).or_insert(next);
        if place == next {
            histograms.push(Histogram::default());
        }
        histograms[place].buckets.push((bound, rows.len()));
        rows.push(identity, row)
    })?;
    let mut out = Row::default();
    for mut histogram in histograms {
        executor.check()?;
        histogram.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let Some((_, first)) = histogram.buckets.first().copied() else { continue };
        let (identity, row) = &mut rows.as_mut()[first];
        let mut builder = LabelBuilder::from_labels(identity.labels().view());
        let labels = builder.remove(BOUND).remove(METRIC_NAME).build();
        let Some(grid) = row.grid else { continue };
        out.reset_to_grid(grid, row.values().len());
        if reduce(function, &histogram, &rows, &arguments, &mut out) {
            executor.annotate(AnnotationKind::ForcedMonotonicity, span);
        }
        sink(&mut Identity::known(labels), &mut out)?;
    }
    Ok(())
}

/// The bucket's upper bound; a row without a usable one is left out with a warning.
fn bound_of(
    executor: &Executor<'_>,
    identity: &mut Identity<'_>,
    row: &Row,
    span: Option<Span>,
) -> Option<f64> {
    let text = identity.labels().get(BOUND).unwrap_or_default();
    let bound = text.parse().ok().filter(|bound: &f64| !bound.is_nan());
    if bound.is_none() && !row.is_empty() {
        executor.annotate(AnnotationKind::BadBucketLabel(text.to_owned()), span);
    }
    bound
}

/// Fills `out`; true when counts had to be raised.
fn reduce(
    function: BucketFunction,
    histogram: &Histogram,
    rows: &Rows<'_>,
    arguments: &[Argument],
    out: &mut Row,
) -> bool {
    let mut repaired = false;
    let mut buckets: Vec<Bucket> = Vec::new();
    for (step, slot) in out.samples.values.iter_mut().enumerate() {
        buckets.clear();
        for (bound, row) in &histogram.buckets {
            if let Some(count) = rows.values(*row).get(step).filter(|value| !is_absent(**value)) {
                buckets.push(Bucket { bound: *bound, count: *count });
            }
        }
        if buckets.is_empty() {
            continue;
        }
        let [first, second] = pair_at(arguments, step);
        *slot = match function {
            BucketFunction::Quantile => {
                let open = buckets.last().is_some_and(|last| last.bound == f64::INFINITY);
                repaired |= open && histogram::repair(&mut buckets);
                histogram::quantile(first, &buckets)
            }
            BucketFunction::Fraction => {
                histogram::merge_equal(&mut buckets);
                histogram::fraction(first, second, &buckets)
            }
        };
    }
    repaired
}
