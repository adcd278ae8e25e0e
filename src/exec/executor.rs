//! Walks the plan: which operator runs a node, and what all operators share.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use model::{ResultSeries, Selection, Source, histogram};
use parking_lot::Mutex;
use plan::semantics::{Alignment, Buckets, Naming};
use plan::{
    Annotation, AnnotationKind, EvalError, Fold, Map, Node, Op, Plan, RowStyle, Scan, Span,
    ValueType,
};

use crate::budget::{Budget, Held};
use crate::context::{Context, Output, Profile, Value};
use crate::counts::{self, StepCounts};
use crate::error::ExecError;
use crate::operators;
use crate::operators::each::Group;
use crate::row::{Identity, Row, Rows};

/// Takes the rows of a node, one after the other. It may change what it is given.
pub(crate) type Sink<'s> = dyn FnMut(&mut Identity<'_>, &mut Row) -> Result<(), ExecError> + 's;

/// Nesting of a plan. Above it a query is refused: each level takes a few stack frames.
const DEPTH_MAX: usize = 2 * base::limits::QUERY_HEIGHT_MAX;
/// Stack of the thread that runs deep plans.
const DEEP_STACK_BYTES: usize = 256 << 20;
/// Nesting that the caller's stack is sure to hold.
const SHALLOW: usize = 40;

/// Runs `plan` over `source`. Blocks until the answer is complete or `context.cancel` stops it.
pub fn execute(plan: &Plan, source: &dyn Source, context: &Context) -> Result<Output, ExecError> {
    let depth = plan::check::depth(&plan.root, DEPTH_MAX);
    if depth >= DEPTH_MAX {
        return Err(EvalError::BadArgument(format!(
            "query is nested too deeply: at most {DEPTH_MAX} levels are allowed"
        ))
        .into());
    }
    if depth <= SHALLOW {
        return run(plan, source, context);
    }
    std::thread::scope(|scope| {
        let spawned = std::thread::Builder::new()
            .name("deep-query".to_owned())
            .stack_size(DEEP_STACK_BYTES)
            .spawn_scoped(scope, || run(plan, source, context));
        let thread = spawned.map_err(|e| ExecError::Internal(format!("cannot start: {e}")))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn run(plan: &Plan, source: &dyn Source, context: &Context) -> Result<Output, ExecError> {
    plan::check::check(plan).map_err(|error| ExecError::Internal(error.to_string()))?;
    let asked = plan;
    let plan = plan::rules::optimise(plan.clone());
    let budget = Budget::of(plan.limits, context);
    let mut executor = Executor::new(source, context, &budget);
    if let Op::Naming { naming, .. } = plan.root.op {
        executor.naming = naming;
    }
    executor.wants_labels = gives_its_rows(&plan.root);
    let mut held = budget.hold();
    let value = executor.value(&plan.root, &mut held)?;
    let (samples_read, peak_samples) = (budget.samples_read(), budget.peak_samples());
    let steps = match context.count_steps {
        Some(grid) => counts::of_query(&executor, &asked.root, grid)?,
        None => StepCounts::default(),
    };
    let profile = match context.analyze {
        true => profile(&plan.root, &executor.measures.lock(), &executor.widths.lock()),
        false => Profile::default(),
    };
    Ok(Output {
        value,
        styles: executor.styles.into_inner(),
        annotations: executor.annotations.into_inner(),
        samples_read,
        peak_samples,
        steps,
        profile,
    })
}

/// What a node did so far; keyed by its address, which is stable while the plan is borrowed.
#[derive(Default)]
struct Measure {
    rows: u64,
    points: u64,
    elapsed: Duration,
}

fn profile(node: &Node, measures: &HashMap<usize, Measure>, widths: &Widths) -> Profile {
    let mut out = Profile { node: plan::display::title(node), ..Profile::default() };
    if let Op::Scan(scan) = &node.op
        && let Some(widths) = widths.get(&address(scan))
    {
        out.node.push_str(&format!(", read of {widths:?} ms"));
    }
    if let Some(measure) = measures.get(&address(node)) {
        out.rows = measure.rows;
        out.points = measure.points;
        out.bytes = measure.points * 8;
        out.elapsed = measure.elapsed;
    }
    out.children = node.children().into_iter().map(|c| profile(c, measures, widths)).collect();
    out
}

/// Where something of the plan is: as good as a name while the plan is borrowed.
fn address<T>(part: &T) -> usize {
    std::ptr::from_ref(part) as usize
}

/// Widths of the summaries that scans may have read, by the address of the scan.
type Widths = HashMap<usize, Vec<i64>>;

/// One running query.
pub(crate) struct Executor<'e> {
    pub(crate) source: &'e dyn Source,
    pub(crate) context: &'e Context,
    pub(crate) budget: &'e Budget,
    pub(crate) naming: Naming,
    /// What a scan reads instead of what it would select.
    pub(crate) part: Option<Part<'e>>,
    /// Rows of scans go to the answer, which needs all their labels.
    pub(crate) wants_labels: bool,
    annotations: Mutex<Vec<Annotation>>,
    /// See [`Output::styles`].
    styles: Mutex<Vec<Option<Arc<RowStyle>>>>,
    shared: Mutex<HashMap<usize, Shared<'e>>>,
    /// The current group of every running [`Op::Each`].
    groups: Mutex<HashMap<usize, Arc<Group>>>,
    measures: Mutex<HashMap<usize, Measure>>,
    widths: Mutex<Widths>,
}

/// Consecutive series of a selection.
#[derive(Clone, Copy)]
pub(crate) struct Part<'p> {
    pub(crate) selection: &'p dyn Selection,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// What became of a node that is used more than once.
#[derive(Clone)]
enum Shared<'e> {
    Rows(Arc<Rows<'e>>),
    /// Too large to keep: every use computes it again.
    TooLarge,
}

impl<'e> Executor<'e> {
    /// A query about to run.
    pub(crate) fn new(source: &'e dyn Source, context: &'e Context, budget: &'e Budget) -> Self {
        Self {
            source,
            context,
            budget,
            naming: Naming::default(),
            part: None,
            wants_labels: false,
            annotations: Mutex::default(),
            styles: Mutex::default(),
            shared: Mutex::default(),
            groups: Mutex::default(),
            measures: Mutex::default(),
            widths: Mutex::default(),
        }
    }

    /// An executor of the same query for a node over a scan, of which it reads one part only.
    pub(crate) fn of_part<'p>(&'p self, part: Part<'p>) -> Executor<'p> {
        let part = Some(part);
        let executor = Executor::new(self.source, self.context, self.budget);
        Executor { naming: self.naming, wants_labels: self.wants_labels, part, ..executor }
    }

    /// What it has noted.
    pub(crate) fn into_annotations(self) -> Vec<Annotation> {
        self.annotations.into_inner()
    }

    /// Notes what the executor of a part has noted.
    pub(crate) fn absorb(&self, annotations: Vec<Annotation>) {
        annotations.into_iter().for_each(|one| self.annotate(one.kind, one.span));
    }

    /// `Err` once the query should stop.
    pub(crate) fn check(&self) -> Result<(), ExecError> {
        Ok(self.context.cancel.check()?)
    }

    /// Notes what summaries a scan may read, for the profile.
    pub(crate) fn note_widths(&self, scan: &Scan, selection: &dyn Selection) {
        let widths = if self.context.analyze { selection.summary_widths() } else { Vec::new() };
        if !widths.is_empty() {
            self.widths.lock().insert(address(scan), widths);
        }
    }

    /// Sets the current group of an [`Op::Each`], or takes it away.
    pub(crate) fn bind(&self, each: usize, group: Option<Arc<Group>>) {
        let mut groups = self.groups.lock();
        match group {
            Some(group) => drop(groups.insert(each, group)),
            None => drop(groups.remove(&each)),
        }
    }

    /// The current group of an [`Op::Each`].
    pub(crate) fn bound(&self, each: usize) -> Option<Arc<Group>> {
        self.groups.lock().get(&each).cloned()
    }

    /// Notes something remarkable, once: of several places the one that the reference comes to last, which is
    /// what ends last in the text, and of what ends together the outer one.
    pub(crate) fn annotate(&self, kind: AnnotationKind, span: Option<Span>) {
        let mut annotations = self.annotations.lock();
        let Some(known) = annotations.iter_mut().find(|one| one.kind.says_the_same(&kind)) else {
            return annotations.push(Annotation { kind, span });
        };
        if let (AnnotationKind::ForcedMonotonicity(all), AnnotationKind::ForcedMonotonicity(more)) =
            (&mut known.kind, &kind)
        {
            all.absorb(more);
        }
        let turn = |span: Option<Span>| span.map(|one| (one.end, Reverse(one.start)));
        if turn(known.span) < turn(span) {
            known.span = span;
        }
    }

    /// Pushes the rows of `node` into `sink`, in order.
    pub(crate) fn stream(&self, node: &Node, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        if !self.context.analyze {
            return self.dispatch(node, sink);
        }
        let mut measure = Measure::default();
        let mut above = Duration::ZERO;
        let started = Instant::now();
        let outcome = self.dispatch(node, &mut |identity, row| {
            measure.rows += 1;
            measure.points += row.point_count() as u64;
            let entered = Instant::now();
            let outcome = sink(identity, row);
            above += entered.elapsed();
            outcome
        });
        measure.elapsed = started.elapsed().saturating_sub(above);
        let mut measures = self.measures.lock();
        let total = measures.entry(address(node)).or_default();
        total.rows += measure.rows;
        total.points += measure.points;
        total.elapsed += measure.elapsed;
        outcome
    }

    fn dispatch(&self, node: &Node, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        match &node.op {
            Op::Constant(number, grid) => operators::scalar::constant(number.0, *grid, sink),
            Op::Time(grid) => operators::scalar::time(*grid, sink),
            Op::Text(_) => Err(ExecError::Internal("a text inside an expression".to_owned())),
            Op::Scan(scan) => operators::scan::stream(self, scan, sink),
            Op::Fold(fold) => operators::fold::stream(self, fold, node.span, sink),
            Op::Map(map) => operators::map::stream(self, map, node.span, sink),
            Op::Aggregate(aggregate) => {
                operators::aggregate::stream(self, aggregate, node.span, sink)
            }
            Op::Rank(rank) => operators::rank::stream(self, rank, node.span, sink),
            Op::Join(join) => operators::join::stream(self, join, node.span, sink),
            Op::Formula(formula) => operators::formula::stream(self, formula, sink),
            Op::Buckets { function, input, arguments } => {
                operators::buckets::stream(self, function, input, arguments, sink)
            }
            Op::Union(inputs) => inputs.iter().try_for_each(|input| self.stream(input, sink)),
            Op::Rows(rows) => operators::rows::stream(self, rows, sink),
            Op::Each(each) => operators::each::stream(self, each, sink),
            Op::Given { each, input } => operators::each::given(self, *each, *input, sink),
            Op::Absent { input, labels } => operators::absent::stream(self, input, labels, sink),
            Op::Relabel(relabel) => operators::relabel::stream(self, relabel, sink),
            Op::Sort { input, order } => {
                operators::sort::stream(self, input, order, node.span, sink)
            }
            Op::Clip { input, range } => operators::clip::stream(self, input, *range, sink),
            Op::Condense { input, points_max, function } => {
                operators::condense::stream(self, input, *points_max, function, sink)
            }
            Op::Repeat { input, grid } => operators::scalar::repeat(self, input, *grid, sink),
            Op::ToScalar(input) => operators::scalar::to_scalar(self, input, sink),
            Op::ToVector(input) => self.stream(input, sink),
            Op::Edges { input, range, edges } => {
                operators::edges::stream(self, input, *range, *edges, sink)
            }
            Op::Statistics(input) => operators::statistics::stream(self, input, sink),
            Op::Inform(inform) => operators::inform::stream(self, inform, sink),
            Op::Naming { input, naming } => operators::naming::stream(self, input, *naming, sink),
            Op::Shared { id, input } => self.shared(*id, input, sink),
        }
    }

    /// All rows of `node`.
    pub(crate) fn collect(&self, node: &Node) -> Result<Rows<'e>, ExecError> {
        let mut rows = Rows::new(self.budget);
        self.stream(node, &mut |identity, row| rows.take(identity, row))?;
        Ok(rows)
    }

    /// The error of an operation whose right operand was evaluated first and failed with `error`: that of
    /// the left one where it fails, too, as users read from left to right.
    pub(crate) fn leftmost(&self, left: &Node, error: ExecError) -> ExecError {
        if !matches!(error, ExecError::Eval(_)) {
            return error;
        }
        self.stream(left, &mut |_, _| Ok(())).err().unwrap_or(error)
    }

    /// The values of a scalar node.
    pub(crate) fn argument(&self, node: &Node) -> Result<Argument, ExecError> {
        if let Op::Constant(number, _) = &node.op {
            return Ok(Argument::Constant(number.0));
        }
        let mut values = None;
        self.stream(node, &mut |_, row| {
            values.get_or_insert_with(|| row.values().to_vec());
            Ok(())
        })?;
        match values.as_deref() {
            None | Some([]) => Ok(Argument::Constant(f64::NAN)),
            Some([single]) => Ok(Argument::Constant(*single)),
            Some(_) => Ok(Argument::Steps(values.unwrap_or_default())),
        }
    }

    /// The values of scalar nodes.
    pub(crate) fn arguments(&self, nodes: &[Node]) -> Result<Vec<Argument>, ExecError> {
        nodes.iter().map(|node| self.argument(node)).collect()
    }

    /// Computes a node on its first use and replays it on later ones, unless it is too large.
    fn shared(&self, id: usize, input: &Node, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let known = self.shared.lock().get(&id).cloned();
        match known {
            Some(Shared::Rows(rows)) => {
                let (mut copy, mut held) = (Row::default(), self.budget.hold());
                for (identity, row) in rows.iter() {
                    self.check()?;
                    // Whoever changes its histograms makes them anew.
                    held.set(0, histogram::weight(&row.samples.histograms))?;
                    copy.copy_from(row);
                    sink(&mut identity.duplicate(), &mut copy)?;
                }
                Ok(())
            }
            Some(Shared::TooLarge) => self.stream(input, sink),
            None => {
                let samples_max = self.budget.cache_samples_max();
                let mut kept = Some(Rows::new(self.budget));
                self.stream(input, &mut |identity, row| {
                    if let Some(rows) = &mut kept
                        && (rows.push(identity, row).is_err() || rows.weight() > samples_max)
                    {
                        kept = None;
                    }
                    sink(identity, row)
                })?;
                let shared = match kept {
                    Some(rows) => Shared::Rows(Arc::new(rows)),
                    None => Shared::TooLarge,
                };
                self.shared.lock().insert(id, shared);
                Ok(())
            }
        }
    }

    fn value(&self, root: &Node, held: &mut Held<'_>) -> Result<Value, ExecError> {
        if let Op::Text(text) = &root.op {
            return Ok(Value::Text(text.clone()));
        }
        if root.value_type() == ValueType::Scalar {
            let mut points = model::Points::default();
            self.stream(root, &mut |_, row| {
                points = row.points();
                Ok(())
            })?;
            return Ok(Value::Scalar(points));
        }
        let keeps_empty = keeps_empty(root);
        let mut rows: Vec<ResultSeries> = Vec::new();
        let mut styles = Vec::new();
        self.stream(root, &mut |identity, row| {
            if keeps_empty || !row.is_empty() {
                let result = identity.result(row);
                held.add_row(result.points.weight(), result.points.integers.len())?;
                rows.push(result);
                styles.push(identity.style.clone());
            }
            Ok(())
        })?;
        if styles.iter().any(Option::is_some) {
            *self.styles.lock() = styles;
        }
        Ok(Value::Vector(rows))
    }
}

/// True where each row of the answer is one of a scan, whose labels it has.
fn gives_its_rows(node: &Node) -> bool {
    match &node.op {
        Op::Scan(_) => true,
        Op::Fold(Fold { input, .. }) | Op::Map(Map { input, .. }) | Op::Naming { input, .. } => {
            gives_its_rows(input)
        }
        _ => false,
    }
}

/// True where rows without a point are part of the answer: OpenTSDB and Graphite list series that
/// exist, PromQL only those that have a value.
fn keeps_empty(node: &Node) -> bool {
    let here = match &node.op {
        Op::Clip { .. } | Op::Condense { .. } | Op::Rows(_) | Op::Formula(_) => true,
        Op::Fold(Fold { buckets, .. }) => matches!(buckets, Buckets::PerSeries { .. }),
        Op::Aggregate(aggregate) => !matches!(aggregate.alignment, Alignment::Steps),
        _ => false,
    };
    here || node.children().into_iter().any(keeps_empty)
}

/// The values of a scalar argument.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    /// The same at every instant of any grid.
    Constant(f64),
    /// One per instant of the grid that the rows stand on.
    Steps(Vec<f64>),
}

impl Argument {
    /// The value at the instant of this index.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Steps(values) => values.get(index).copied().unwrap_or(f64::NAN),
        }
    }
}

/// The values at `index` of up to two arguments; NaN for those that are not given.
pub(crate) fn pair_at(arguments: &[Argument], index: usize) -> [f64; 2] {
    [0, 1].map(|at| arguments.get(at).map_or(f64::NAN, |argument| argument.at(index)))
}

#[cfg(test)]
mod tests {
    use base::cancel::CancelToken;
    use plan::QueryLimits;

    use super::*;
    use crate::testing::MemorySource;

    #[test]
    fn of_places_that_say_the_same_the_one_that_is_evaluated_last_is_named() {
        let (source, context) = (MemorySource::new(), Context::new(CancelToken::new()));
        let budget = Budget::new(QueryLimits::default());
        let named = |spans: [(u32, u32); 2]| {
            let executor = Executor::new(&source, &context, &budget);
            for (start, end) in spans {
                let kind = AnnotationKind::InvalidQuantile("2".to_owned());
                executor.annotate(kind, Some(Span { start, end }));
            }
            let [only] = &executor.into_annotations()[..] else { panic!("one of both") };
            only.span.unwrap().start
        };
        // Side by side the right one, one in the other the outer one, in whatever order they are met.
        for (spans, last) in
            [([(1, 5), (8, 12)], 8), ([(8, 12), (1, 30)], 1), ([(8, 12), (3, 12)], 3)]
        {
            assert_eq!((named(spans), named([spans[1], spans[0]])), (last, last), "{spans:?}");
        }
    }
}
