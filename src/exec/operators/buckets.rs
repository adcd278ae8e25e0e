//! Histograms reduced to rows of floats: native ones each by itself, rows with an `le` label gathered
//! to classic ones. Where both stand under the same labels at one instant, neither is an answer.

use hashbrown::HashMap;
use model::{LabelBuilder, Labels, StepGrid};
use plan::semantics::BucketFunction;
use plan::{AnnotationKind, Monotonicity, Node, Span};

use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink, pair_at};
use crate::kernels::histogram::{self, Bucket};
use crate::kernels::native::share::{self, Remark};
use crate::operators::distinct;
use crate::operators::fold::warn_of_quantiles;
use crate::row::{ABSENT, Identity, METRIC_LABELS, Row, Rows, is_absent};
use base::number_text::open_metrics;

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// One histogram: its buckets' bounds and rows, and rows that are native histograms.
#[derive(Default)]
struct Gathered {
    buckets: Vec<(f64, usize)>,
    native: Vec<usize>,
}

/// The histograms met so far, in order.
#[derive(Default)]
struct Table {
    places: HashMap<Vec<u8>, usize>,
    all: Vec<Gathered>,
    key: Vec<u8>,
}

impl Table {
    /// The histogram of these labels, the bound's aside where `skips_bound`.
    fn of(&mut self, labels: &Labels, skips_bound: bool) -> &mut Gathered {
        self.key.clear();
        labels.view().put_some(&mut self.key, |name| !skips_bound || name != BOUND);
        let next = self.all.len();
        let place = *self.places.entry_ref(self.key.as_slice()).or_insert(next);
        if place == next {
            self.all.push(Gathered::default());
        }
        &mut self.all[place]
    }
}

/// One row per histogram, and per quantile where there are several.
pub(crate) fn stream(
    executor: &Executor<'_>,
    function: &BucketFunction,
    input: &Node,
    arguments: &[Node],
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let reducer = Reducer {
        executor,
        function,
        values: executor.arguments(arguments)?,
        argument_span: match function {
            BucketFunction::Quantiles(_) => input.span,
            _ => arguments.first().and_then(|node| node.span),
        },
        input_span: input.span,
    };
    if !matches!(function, BucketFunction::Fraction) {
        for (value, node) in reducer.values.iter().zip(arguments) {
            warn_of_quantiles(executor, value, node.span);
        }
    }
    let run = |sink: &mut Sink<'_>| reducer.run(input, sink);
    let several = matches!(function, BucketFunction::Quantiles(_));
    let drops_now = !executor.naming.at_end;
    if several || drops_now && distinct::may_collide_without_name(input, executor.naming) {
        distinct::stream(executor, run, sink)
    } else {
        run(sink)
    }
}

struct Reducer<'r, 'e> {
    executor: &'r Executor<'e>,
    function: &'r BucketFunction,
    values: Vec<Argument>,
    argument_span: Option<Span>,
    input_span: Option<Span>,
}

/// A gathered histogram at one step.
enum AtStep<'b> {
    Classic(&'b mut Vec<Bucket>),
    Native(&'b model::Histogram),
}

impl Reducer<'_, '_> {
    fn run(&self, input: &Node, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let mut rows = Rows::new(self.executor.budget);
        let mut table = Table::default();
        self.executor.stream(input, &mut |identity, row| {
            if row.has_histograms() && row.samples.histograms.iter().any(Option::is_some) {
                table.of(identity.labels(), false).native.push(rows.len());
                let mut native = row.clone();
                native.samples.values.fill(ABSENT);
                rows.push_owned(identity.keep(), native)?;
                row.clear_histograms();
            }
            if row.is_empty() {
                return Ok(());
            }
            let Some(bound) = self.bound_of(identity) else { return Ok(()) };
            table.of(identity.labels(), true).buckets.push((bound, rows.len()));
            rows.push(identity, row)
        })?;
        for gathered in &mut table.all {
            self.executor.check()?;
            gathered.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
            self.emit(gathered, &mut rows, sink)?;
        }
        Ok(())
    }

    /// The bucket's upper bound; a row without a usable one is left out with a warning.
    fn bound_of(&self, identity: &mut Identity<'_>) -> Option<f64> {
        let text = identity.labels().get(BOUND).unwrap_or_default();
        let bound: Option<f64> = text.parse().ok();
        if bound.is_none() {
            let value = text.to_owned();
            let metric = self.shown(identity.labels().metric_name().unwrap_or_default());
            let note = AnnotationKind::BadBucketLabel { value, metric };
            self.executor.annotate(note, self.input_span);
        }
        bound.filter(|bound| !bound.is_nan())
    }

    /// The name for a message: the reference has taken it off already, unless names stay to the end.
    fn shown(&self, metric: &str) -> String {
        if self.executor.naming.at_end { metric.to_owned() } else { String::new() }
    }

    /// The labels of the answer for a histogram with these.
    fn labels_of(&self, named: &Labels, gathered: &Gathered) -> Labels {
        let mut builder = LabelBuilder::from_labels(named.view());
        if !gathered.buckets.is_empty() {
            builder.remove(BOUND);
        }
        if !self.executor.naming.at_end {
            builder.retain(|name| !METRIC_LABELS.contains(&name));
        }
        builder.build()
    }

    /// The rows of one histogram. The classic and the native part differ in nothing but kind.
    fn emit(
        &self,
        gathered: &Gathered,
        rows: &mut Rows<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let first = gathered.buckets.first().map(|(_, row)| *row);
        let Some(first) = gathered.native.first().copied().or(first) else { return Ok(()) };
        let (identity, row) = &mut rows.as_mut()[first];
        let Some(grid) = row.grid else { return Ok(()) };
        let steps = row.values().len();
        let named = identity.labels().clone();
        let mut outs = Outs::new(self.function, &self.values, grid, steps);
        self.fill(gathered, rows, named.metric_name().unwrap_or_default(), &mut outs);
        self.send(outs, &self.labels_of(&named, gathered), sink)
    }

    /// Reduces the histogram at each step.
    fn fill(&self, gathered: &Gathered, rows: &Rows<'_>, metric: &str, outs: &mut Outs) {
        let mut buckets: Vec<Bucket> = Vec::new();
        for step in 0..outs.steps {
            buckets.clear();
            for (bound, row) in &gathered.buckets {
                let count = rows.values(*row).get(step).filter(|count| !is_absent(**count));
                buckets.extend(count.map(|count| Bucket { bound: *bound, count: *count }));
            }
            let native =
                gathered.native.iter().find_map(|row| rows.row(*row).samples.histogram(step));
            match native {
                Some(_) if !buckets.is_empty() => {
                    let note = AnnotationKind::MixedHistograms(self.shown(metric));
                    self.executor.annotate(note, self.input_span);
                }
                Some(native) => self.reduce(AtStep::Native(native), step, metric, outs),
                None if buckets.is_empty() => {}
                None => self.reduce(AtStep::Classic(&mut buckets), step, metric, outs),
            }
        }
    }

    /// Hands on the rows of one histogram.
    fn send(&self, outs: Outs, labels: &Labels, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        for (text, mut out) in outs.rows {
            let labels = match self.function {
                BucketFunction::Quantiles(label) => {
                    LabelBuilder::from_labels(labels.view()).set(label, &text).build()
                }
                _ => labels.clone(),
            };
            let mut identity = Identity::known(labels);
            identity.drop_name(self.executor.naming);
            if !out.is_empty() {
                sink(&mut identity, &mut out)?;
            }
        }
        Ok(())
    }

    fn reduce(&self, at: AtStep<'_>, step: usize, metric: &str, outs: &mut Outs) {
        if *self.function == BucketFunction::Fraction {
            let [lower, upper] = pair_at(&self.values, step);
            let (value, remark) = match at {
                AtStep::Native(native) => share::fraction(lower, upper, native),
                AtStep::Classic(buckets) => {
                    histogram::merge_equal(buckets);
                    (histogram::fraction(lower, upper, buckets), None)
                }
            };
            self.remark(remark, metric);
            return outs.put(0, f64::NAN, step, value);
        }
        match at {
            AtStep::Native(native) => {
                for (number, q) in self.values.iter().map(|q| q.at(step)).enumerate() {
                    let (value, remark) = share::quantile(q, native);
                    self.remark(remark, metric);
                    outs.put(number, q, step, value);
                }
            }
            AtStep::Classic(buckets) => {
                let open = buckets.last().is_some_and(|last| last.bound == f64::INFINITY);
                let repair = if open { histogram::repair(buckets) } else { None };
                for (number, q) in self.values.iter().map(|q| q.at(step)).enumerate() {
                    if let Some(repair) = repair.filter(|_| (0.0..=1.0).contains(&q)) {
                        self.note_repair(repair, outs.grid.at(step), metric);
                    }
                    outs.put(number, q, step, histogram::quantile(q, buckets));
                }
            }
        }
    }

    fn note_repair(&self, repair: histogram::Repair, at_ms: i64, metric: &str) {
        let metric = self.shown(metric);
        let note = AnnotationKind::ForcedMonotonicity(Box::new(Monotonicity {
            metric,
            buckets: repair.bounds,
            difference_max: repair.difference_max,
            histograms: 1,
            instants_ms: (at_ms, at_ms),
        }));
        self.executor.annotate(note, self.input_span);
    }

    fn remark(&self, remark: Option<Remark>, metric: &str) {
        let metric = self.shown(metric);
        let note = match remark {
            None => return,
            Some(Remark::NotANumber) => AnnotationKind::QuantileNotANumber(metric),
            Some(Remark::SkewedHigher) => AnnotationKind::QuantileSkewed(metric),
            Some(Remark::Excluded) => AnnotationKind::FractionExcludes(metric),
        };
        self.executor.annotate(note, self.argument_span);
    }
}

/// The rows that one histogram gives: by the text of the quantile, where that is a label.
struct Outs {
    by_text: bool,
    grid: StepGrid,
    steps: usize,
    rows: Vec<(String, Row)>,
}

impl Outs {
    fn new(function: &BucketFunction, values: &[Argument], grid: StepGrid, steps: usize) -> Self {
        let by_text = matches!(function, BucketFunction::Quantiles(_));
        let capacity = values.len();
        Self { by_text, grid, steps, rows: Vec::with_capacity(capacity) }
    }

    /// Puts the value of the quantile `q`, the function's `number`th, at `step`.
    fn put(&mut self, number: usize, q: f64, step: usize, value: f64) {
        let place = if self.by_text {
            let text = open_metrics(q);
            match self.rows.iter().position(|(known, _)| *known == text) {
                Some(place) => place,
                None => self.add(text),
            }
        } else if number < self.rows.len() {
            number
        } else {
            self.add(String::new())
        };
        self.rows[place].1.samples.values[step] = value;
    }

    fn add(&mut self, text: String) -> usize {
        let mut row = Row::default();
        row.reset_to_grid(self.grid, self.steps);
        self.rows.push((text, row));
        self.rows.len() - 1
    }
}
