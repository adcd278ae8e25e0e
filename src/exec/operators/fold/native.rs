//! Windows of rows that hold native histograms or start timestamps, and windows with values at their
//! edges. Rows of plain floats never come here.

use std::sync::Arc;

use model::Histogram;
use plan::semantics::{Counted, FoldFunction, Reducer, WindowEdges};
use plan::{AnnotationKind, EvalError, Fold, HistogramOperation, Span};

use crate::budget::Held;
use crate::error::ExecError;
use crate::executor::{Argument, Executor, pair_at};
use crate::kernels::native::mean::Total;
use crate::kernels::native::rate::{self, Note, Notes, Run};
use crate::kernels::window::{self, Window, WindowState};
use crate::kernels::{edges, starts};
use crate::operators::fold::windows::{Windows, advance};
use crate::row::{Identity, Point, Row};

/// True when the plain path cannot fold the row.
pub(super) fn is_needed(function: &FoldFunction, row: &Row) -> bool {
    let special = matches!(
        function,
        FoldFunction::Interpolated | FoldFunction::AtEdges { .. } | FoldFunction::NewestStart
    );
    special || row.has_histograms() || !row.samples.starts.is_empty()
}

/// The samples of a row by kind. A sample's place among its kind is found by its rank.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    /// Floats before each sample, and in all.
    float_ranks: Vec<usize>,
    float_times: Vec<i64>,
    floats: Vec<f64>,
    float_starts: Vec<i64>,
    histogram_times: Vec<i64>,
    histograms: Vec<Arc<Histogram>>,
    histogram_starts: Vec<i64>,
}

impl Kinds {
    fn split(&mut self, row: &Row) {
        *self = Self::default();
        for (index, value) in row.values().iter().enumerate() {
            self.float_ranks.push(self.floats.len());
            let at_ms = row.samples.timestamps[index];
            let start_ms = row.samples.starts.get(index).copied();
            match row.samples.histogram(index) {
                Some(histogram) => {
                    self.histogram_times.push(at_ms);
                    self.histograms.push(histogram.clone());
                    self.histogram_starts.extend(start_ms);
                }
                None => {
                    self.float_times.push(at_ms);
                    self.floats.push(*value);
                    self.float_starts.extend(start_ms);
                }
            }
        }
        self.float_ranks.push(self.floats.len());
    }

    /// The histograms among the samples `low..high`.
    fn run(&self, (low, high): (usize, usize)) -> Run<'_> {
        let (from, until) = (low - self.float_ranks[low], high - self.float_ranks[high]);
        Run {
            times: &self.histogram_times[from..until],
            histograms: &self.histograms[from..until],
            starts: self.histogram_starts.get(from..until).unwrap_or_default(),
        }
    }
}

/// Folds rows of any kind.
pub(super) struct NativeFolder<'f> {
    fold: &'f Fold,
    arguments: &'f [Argument],
    kinds: Kinds,
    state: WindowState,
    notes: Notes,
    /// What the histograms of the row at hand hold.
    held: Held<'f>,
}

/// A window as places of a row's samples.
#[derive(Clone, Copy)]
struct Place {
    low: usize,
    high: usize,
    window: Window,
    index: usize,
}

impl<'f> NativeFolder<'f> {
    /// A folder of `fold`.
    pub(super) fn new(fold: &'f Fold, arguments: &'f [Argument], held: Held<'f>) -> Self {
        let (kinds, state, notes) = (Kinds::default(), WindowState::default(), Notes::default());
        Self { fold, arguments, kinds, state, notes, held }
    }

    /// Reduces the windows.
    pub(super) fn steps(
        &mut self,
        row: &Row,
        windows: Windows,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        out.reset_to_grid(windows.grid, windows.grid.len());
        self.kinds.split(row);
        self.state.drops.find(&self.kinds.floats);
        self.held.set(0, 0)?;
        let mut last: Option<Arc<Histogram>> = None;
        let (mut low, mut high) = (0, 0);
        for index in 0..windows.grid.len() {
            let window = windows.at(index);
            (low, high) = advance(&row.samples.timestamps, low, high, window);
            if low < high {
                let point = self.point(row, Place { low, high, window, index })?;
                if let Point::Histogram(now) = &point
                    && !last.as_ref().is_some_and(|last| Arc::ptr_eq(last, now))
                {
                    self.held.add(0, now.weight())?;
                    last = Some(now.clone());
                }
                out.set_point(index, point);
            }
        }
        Ok(())
    }

    /// Says what was remarkable about a row.
    pub(super) fn annotate(
        &mut self,
        executor: &Executor<'_>,
        identity: &mut Identity<'_>,
        span: Option<Span>,
    ) {
        let mut name: Option<String> = None;
        for note in self.notes.drain() {
            let name = name.get_or_insert_with(|| {
                identity.labels().metric_name().unwrap_or_default().to_owned()
            });
            let name = name.clone();
            let kind = match note {
                Note::MixedKinds => AnnotationKind::MixedWindow(name),
                Note::Ignored => AnnotationKind::HistogramsIgnored(name),
                Note::MixedSchemas => AnnotationKind::MixedSchemas(name),
                Note::NotCounter => AnnotationKind::HistogramNotCounter(name),
                Note::NotGauge => AnnotationKind::HistogramNotGauge(name),
                Note::Reconciled(operation) => AnnotationKind::BoundsReconciled(operation),
                Note::ResetsConflict => {
                    AnnotationKind::ResetsConflict(HistogramOperation::Aggregation)
                }
                Note::StartOverlap => AnnotationKind::StartOverlap(name),
            };
            executor.annotate(kind, span);
        }
    }

    fn point(&mut self, row: &Row, place: Place) -> Result<Point, ExecError> {
        let Place { low, high, .. } = place;
        let sample = |index: usize| match row.samples.histogram(index) {
            Some(histogram) => Point::Histogram(histogram.clone()),
            None => Point::Float(row.values()[index]),
        };
        let seconds = |index: usize| Point::Float(row.samples.timestamps[index] as f64 / 1e3);
        let is_stale = row.samples.is_stale_at(high - 1);
        Ok(match &self.fold.function {
            FoldFunction::Newest if is_stale => Point::Absent,
            FoldFunction::NewestTime | FoldFunction::NewestFloatTime if is_stale => Point::Absent,
            FoldFunction::NewestFloatTime if row.samples.histogram(high - 1).is_some() => {
                let text = "info sample should be float".to_owned();
                return Err(EvalError::BadArgument(text).into());
            }
            FoldFunction::NewestStart if is_stale => Point::Absent,
            FoldFunction::Newest | FoldFunction::Reduce(Reducer::Last) => sample(high - 1),
            FoldFunction::Reduce(Reducer::First) => sample(low),
            FoldFunction::NewestTime | FoldFunction::NewestFloatTime | FoldFunction::TimeOfLast => {
                seconds(high - 1)
            }
            FoldFunction::TimeOfFirst => seconds(low),
            FoldFunction::NewestStart => {
                let start_ms = row.samples.starts.get(high - 1).copied().unwrap_or_default();
                Point::Float(start_ms as f64 / 1e3)
            }
            FoldFunction::Present => Point::Float(1.0),
            FoldFunction::Reduce(Reducer::Count) => Point::Float((high - low) as f64),
            FoldFunction::Changes => Point::Float(changes(row, low, high)),
            FoldFunction::Resets => Point::Float(resets(row, low, high)),
            FoldFunction::Increase { counter, per_second } => {
                self.increase(place, *counter, *per_second)
            }
            FoldFunction::LastStep { counter, per_second } => {
                self.last_step(row, place, *counter, *per_second)
            }
            FoldFunction::AtEdges { counted, edges, before_ms, behind_ms } => {
                let window = Window {
                    after_ms: place.window.after_ms.saturating_add(*before_ms),
                    until_ms: place.window.until_ms.saturating_sub(*behind_ms),
                    ..place.window
                };
                self.at_edges(row, Place { window, ..place }, *counted, *edges)
            }
            FoldFunction::Interpolated => self.interpolated(place),
            FoldFunction::Reduce(Reducer::Sum(_)) => self.total(place, false)?,
            FoldFunction::Reduce(Reducer::Average(_)) => self.total(place, true)?,
            _ => self.floats(place)?,
        })
    }

    /// True when the window holds both kinds, which is noted.
    fn is_mixed(&mut self, place: Place) -> bool {
        let floats = self.float_range(place);
        let mixed = floats.0 < floats.1 && floats.1 - floats.0 < place.high - place.low;
        self.notes.add_if(mixed, Note::MixedKinds);
        mixed
    }

    fn float_range(&self, place: Place) -> (usize, usize) {
        (self.kinds.float_ranks[place.low], self.kinds.float_ranks[place.high])
    }

    /// A function of the floats alone.
    fn floats(&mut self, place: Place) -> Result<Point, ExecError> {
        let floats = self.float_range(place);
        if floats.0 == floats.1 {
            return Ok(Point::Absent);
        }
        if floats.1 - floats.0 < place.high - place.low {
            self.notes.add(Note::Ignored);
        }
        let samples = (self.kinds.float_times.as_slice(), self.kinds.floats.as_slice());
        let arguments = pair_at(self.arguments, place.index);
        let (function, window) = (&self.fold.function, place.window);
        let value = window::value(function, samples, floats, window, arguments, &mut self.state)?;
        Ok(Point::from_float(value))
    }

    fn total(&mut self, place: Place, averages: bool) -> Result<Point, ExecError> {
        if self.is_mixed(place) {
            return Ok(Point::Absent);
        }
        let run = self.kinds.run((place.low, place.high));
        let Some((first, rest)) = run.histograms.split_first() else { return self.floats(place) };
        let mut total = Total::new(first, averages);
        for histogram in rest {
            if total.add(histogram).is_err() {
                self.notes.add(Note::MixedSchemas);
                return Ok(Point::Absent);
            }
        }
        self.notes.add_if(total.resets_conflict(), Note::ResetsConflict);
        let reconciled = Note::Reconciled(HistogramOperation::Aggregation);
        self.notes.add_if(total.bounds_reconciled, reconciled);
        Ok(Point::Histogram(Arc::new(total.finish())))
    }

    fn increase(&mut self, place: Place, counter: bool, per_second: bool) -> Point {
        if self.is_mixed(place) {
            return Point::Absent;
        }
        let window = place.window;
        let run = self.kinds.run((place.low, place.high));
        if !run.histograms.is_empty() {
            let grown = rate::increase(run, window, counter, per_second, &mut self.notes);
            return Point::from_histogram(grown);
        }
        let (low, high) = self.float_range(place);
        let samples = (self.kinds.float_times.as_slice(), self.kinds.floats.as_slice());
        if !counter || self.kinds.float_starts.is_empty() {
            let state = &mut self.state;
            let value = window::increase(samples, (low, high), window, counter, per_second, state);
            return Point::from_float(value);
        }
        let (times, values) = (&samples.0[low..high], &samples.1[low..high]);
        let known = &self.kinds.float_starts[low..high];
        let (grown, overlap) = starts::increase(times, values, known, window, per_second);
        self.notes.add_if(overlap, Note::StartOverlap);
        grown.map_or(Point::Absent, Point::Float)
    }

    fn last_step(&mut self, row: &Row, place: Place, counter: bool, per_second: bool) -> Point {
        let Place { low, high, .. } = place;
        if high - low < 2 {
            return Point::Absent;
        }
        let last_two = (high - 2, high);
        let run = self.kinds.run(last_two);
        match run.histograms.len() {
            2 => {
                let step = rate::last_step(run, counter, per_second, &mut self.notes);
                Point::from_histogram(step)
            }
            1 => {
                self.notes.add(Note::MixedKinds);
                Point::Absent
            }
            _ => {
                let (before, last) = (row.values()[high - 2], row.values()[high - 1]);
                let reset = counter && (last < before || is_start_reset(row, high - 1));
                let step = if reset { last } else { last - before };
                let times = &row.samples.timestamps;
                let seconds = (times[high - 1] - times[high - 2]) as f64 / 1e3;
                Point::Float(if per_second { step / seconds } else { step })
            }
        }
    }

    fn at_edges(&mut self, row: &Row, place: Place, counted: Counted, edges: WindowEdges) -> Point {
        let window = place.window;
        let Counted::Growth { counter, per_second } = counted else {
            let times = &row.samples.timestamps[place.low..place.high];
            let Some(first) = edges::anchor(times, window) else { return Point::Absent };
            let low = place.low + first;
            return Point::Float(match counted {
                Counted::Changes => changes(row, low, place.high),
                _ => resets(row, low, place.high),
            });
        };
        if self.is_mixed(place) {
            return Point::Absent;
        }
        let seconds = if per_second { window.seconds() } else { 1.0 };
        let run = self.kinds.run((place.low, place.high));
        if !run.histograms.is_empty() {
            let grown = edges::histogram_growth(run, window, edges, counter, &mut self.notes);
            return Point::from_histogram(grown.map(|mut grown| {
                grown.divide(seconds);
                grown
            }));
        }
        let (low, high) = self.float_range(place);
        let (times, values) = (&self.kinds.float_times[low..high], &self.kinds.floats[low..high]);
        let grown = edges::growth(times, values, window, edges, counter);
        grown.map_or(Point::Absent, |grown| Point::Float(grown / seconds))
    }

    /// The value at the instant, which lies in the middle of the window.
    fn interpolated(&mut self, place: Place) -> Point {
        if self.is_mixed(place) {
            return Point::Absent;
        }
        let window = place.window;
        let at_ms = window.after_ms + (window.until_ms - window.after_ms) / 2;
        let run = self.kinds.run((place.low, place.high));
        if !run.histograms.is_empty() {
            return self.interpolated_histogram(place, at_ms);
        }
        let (low, high) = self.float_range(place);
        let (times, values) = (&self.kinds.float_times[low..high], &self.kinds.floats[low..high]);
        let behind = times.partition_point(|time| *time < at_ms);
        match (behind.checked_sub(1), times.get(behind)) {
            (_, Some(time)) if *time == at_ms => Point::Float(values[behind]),
            (Some(before), Some(time)) => {
                let until = (*time, values[behind]);
                let value = edges::on_line((times[before], values[before]), until, at_ms, false);
                Point::Float(value)
            }
            (Some(before), None) => Point::Float(values[before]),
            (None, _) => Point::Absent,
        }
    }

    fn interpolated_histogram(&mut self, place: Place, at_ms: i64) -> Point {
        let run = self.kinds.run((place.low, place.high));
        let behind = run.times.partition_point(|time| *time < at_ms);
        let gauge = |at: usize| run.histograms[at].reset_hint == model::ResetHint::Gauge;
        match (behind.checked_sub(1), run.times.get(behind)) {
            (_, Some(time)) if *time == at_ms => Point::Histogram(run.histograms[behind].clone()),
            (Some(before), Some(_)) => {
                let counter = !gauge(before) || !gauge(behind);
                if run.histograms[before].is_custom() != run.histograms[behind].is_custom() {
                    self.notes.add(Note::MixedSchemas);
                    return Point::Absent;
                }
                let notes = &mut self.notes;
                Point::from_histogram(edges::histogram_on_line(run, before, at_ms, counter, notes))
            }
            (Some(before), None) => {
                let mut out = (*run.histograms[before]).clone();
                out.reset_hint = model::ResetHint::Unknown;
                Point::Histogram(Arc::new(out))
            }
            (None, _) => Point::Absent,
        }
    }
}

/// True when the starts say that a counter began anew at the sample `at`, which is not the first.
fn is_start_reset(row: &Row, at: usize) -> bool {
    let (times, known) = (&row.samples.timestamps, &row.samples.starts);
    !known.is_empty() && starts::is_reset(known[at - 1], times[at - 1], known[at], times[at])
}

/// How often neighbours among the samples `low..high` differ.
fn changes(row: &Row, low: usize, high: usize) -> f64 {
    let changed = |at: &usize| match (row.samples.histogram(at - 1), row.samples.histogram(*at)) {
        (None, None) => {
            let (before, now) = (row.values()[at - 1], row.values()[*at]);
            before != now && !(before.is_nan() && now.is_nan())
        }
        (Some(before), Some(now)) => !now.same_as(before),
        _ => true,
    };
    (low + 1..high).filter(changed).count() as f64
}

/// How often a counter began anew among the samples `low..high`.
fn resets(row: &Row, low: usize, high: usize) -> f64 {
    let reset = |at: &usize| match (row.samples.histogram(at - 1), row.samples.histogram(*at)) {
        (None, None) => row.values()[*at] < row.values()[at - 1] || is_start_reset(row, *at),
        (Some(before), Some(now)) => is_start_reset(row, *at) || now.is_reset_after(before),
        _ => true,
    };
    (low + 1..high).filter(reset).count() as f64
}

/// Forgets what is known of resets in rows that were evaluated at chosen instants: samples between
/// those are not seen, or seen twice.
pub(super) fn forget_resets(row: &mut Row) {
    use model::ResetHint::{NotReset, Reset, Unknown};
    for histogram in row.samples.histograms.iter_mut().flatten() {
        if matches!(histogram.reset_hint, NotReset | Reset) {
            Arc::make_mut(histogram).reset_hint = Unknown;
        }
    }
}
