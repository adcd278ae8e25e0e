//! Cuts each row into windows of time and reduces every window to one value.
//!
//! The windows of one row only move forward, so finding their samples is linear in the row.

mod counters;
mod cuts;
mod growth;
mod markers;
mod native;
mod newest;
mod occupied;
mod own;
mod parts;
mod summaries;
mod windows;

use std::sync::Arc;

use base::number_text::general;
use model::{StepGrid, Summary, TimeRange, is_stale};
use plan::semantics::{Buckets, Fill, FoldFunction, Reducer, Staleness};
use plan::slots::SlotRules;
use plan::{AnnotationKind, Fold, Node, Op, Span};

pub(crate) use self::markers::remove_markers;
use self::markers::remove_native_markers;
pub(crate) use self::own::own_grid;
use self::windows::{Windows, advance, phase_of};
use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink, pair_at};
use crate::kernels::sliding;
use crate::kernels::window::{self, Window, WindowState};
use crate::operators::distinct;
use crate::operators::fold::counters::CounterCheck;
use crate::operators::fold::cuts::Cuts;
use crate::operators::fold::growth::Growth;
use crate::operators::fold::native::NativeFolder;
use crate::row::{ABSENT, Identity, Row, is_absent};

/// The folded rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    fold: &Fold,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let drops_now = fold.drop_name && !executor.naming.at_end;
    if drops_now && distinct::may_collide_without_name(&fold.input, executor.naming) {
        distinct::stream(executor, |sink| folded(executor, fold, span, sink), sink)
    } else {
        folded(executor, fold, span, sink)
    }
}

fn folded(
    executor: &Executor<'_>,
    fold: &Fold,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    parts::stream(executor, fold, &|executor, sink| fold_rows(executor, fold, span, sink), sink)
}

/// One row after the other, by this thread.
fn fold_rows(
    executor: &Executor<'_>,
    fold: &Fold,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let arguments = executor.arguments(&fold.arguments)?;
    // What is said about a window is said of the samples it is cut from.
    let place = match fold.function {
        FoldFunction::Reduce(Reducer::Quantile) => fold.arguments.first().and_then(|one| one.span),
        _ => samples_place(&fold.input),
    };
    let place = place.or(span);
    let mut folder = Folder {
        fold,
        arguments: &arguments,
        state: WindowState::default(),
        cuts: Cuts::default(),
        growth: Growth::default(),
        summaries: Vec::new(),
        native: NativeFolder::new(fold, &arguments, executor.budget.hold()),
    };
    let mut counter_check = CounterCheck::new(executor, fold);
    let mut quantile_check = fold.function == FoldFunction::Reduce(Reducer::Quantile);
    let mut out = Row::default();
    let own_steps = matches!(fold.buckets, Buckets::PerSeries { .. });
    executor.stream(&fold.input, &mut |identity, row| {
        if native::is_needed(&fold.function, row) {
            folder.fold_native(identity, row, &mut out)?;
            folder.native.annotate(executor, identity, place);
        } else {
            folder.fold(identity, row, &mut out)?;
        }
        if own_steps && out.grid.is_none() {
            return Ok(());
        }
        counter_check.look(executor, identity, &out, place);
        if quantile_check && !out.is_empty() {
            arguments.iter().for_each(|one| warn_of_quantiles(executor, one, place));
            quantile_check = false;
        }
        if fold.drop_name {
            identity.drop_name(executor.naming);
        }
        sink(identity, &mut out)
    })
}

/// Where notes about the samples of a window point: at their selector. Prometheus loses the place of a
/// sub-query on the way and points at the start of the text.
fn samples_place(input: &Node) -> Option<Span> {
    match &input.op {
        Op::Scan(_) => input.span,
        Op::Statistics(input) | Op::Shared { input, .. } => samples_place(input),
        Op::Edges { .. } => input.span,
        _ => Some(Span::default()),
    }
}

/// Warns once per value that lies outside [0, 1].
pub(crate) fn warn_of_quantiles(executor: &Executor<'_>, argument: &Argument, span: Option<Span>) {
    let warn = |value: f64| {
        if !(0.0..=1.0).contains(&value) {
            executor.annotate(AnnotationKind::InvalidQuantile(general(value)), span);
        }
    };
    match argument {
        Argument::Constant(value) => warn(*value),
        Argument::Steps(values) => values.iter().copied().for_each(warn),
    }
}

struct Folder<'f> {
    fold: &'f Fold,
    arguments: &'f [Argument],
    state: WindowState,
    cuts: Cuts,
    growth: Growth,
    /// What the samples of the current row stand for, if they do not stand for themselves.
    summaries: Vec<Summary>,
    native: NativeFolder<'f>,
}

impl Folder<'_> {
    /// Reduces a row with histograms or start timestamps, or with values at the edges of windows.
    fn fold_native(
        &mut self,
        identity: &mut Identity<'_>,
        row: &mut Row,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        if row.grid.is_some() {
            native::forget_resets(row);
        }
        match &self.fold.buckets {
            Buckets::Steps { grid, after_ms, until_ms } => {
                row.list();
                if self.skips_markers() {
                    remove_native_markers(row);
                }
                self.native.steps(row, Windows::moving(*grid, *after_ms, *until_ms), out)
            }
            Buckets::Fixed { grid, after_ms, until_ms } => {
                row.list();
                remove_native_markers(row);
                self.native.steps(row, Windows::fixed(*grid, *after_ms, *until_ms), out)
            }
            // Only one language asks for histograms, and it folds to steps.
            _ => {
                row.clear_histograms();
                self.fold(identity, row, out)
            }
        }
    }

    /// Reduces `row` into `out`.
    fn fold(
        &mut self,
        identity: &mut Identity<'_>,
        row: &mut Row,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        row.list();
        let single = self.fold.function.is_of_newest().then_some(self.fold.staleness);
        summaries::take(row, single, &mut self.summaries);
        if self.skips_markers() {
            remove_markers(row);
        }
        if matches!(self.fold.function, FoldFunction::Increase { counter: true, .. }) {
            self.state.drops.find(row.values());
        }
        match &self.fold.buckets {
            Buckets::Steps { grid, after_ms, until_ms } => {
                let after_ms = after_ms.saturating_sub(self.reach(row));
                self.steps(row, *grid, after_ms, *until_ms, out)
            }
            Buckets::Fixed { grid, after_ms, until_ms } => {
                let after_ms = after_ms.saturating_sub(self.reach(row));
                self.fixed(row, Windows::fixed(*grid, after_ms, *until_ms), out)
            }
            Buckets::Edges(edges) => self.edges(row, edges, out),
            Buckets::Phased(lists) => match phase_of(row, lists) {
                Some(edges) => self.edges(row, edges, out),
                None => {
                    out.reset_to_list();
                    Ok(())
                }
            },
            Buckets::Occupied { range, step_ms } => self.occupied(row, *range, *step_ms, out),
            Buckets::Whole(range) => {
                let grid = StepGrid::instant(range.start_ms);
                let length = range.end_ms.saturating_sub(range.start_ms);
                self.steps(row, grid, -1, length - 1, out)
            }
            Buckets::PerSeries { range, slots } => self.own(identity, row, *range, slots, out),
        }
    }

    /// Slots of the row's own width; a row that is too old for its rule keeps none.
    fn own(
        &mut self,
        identity: &mut Identity<'_>,
        row: &Row,
        range: TimeRange,
        slots: &SlotRules,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        let title = identity.title_or_name();
        let Some(grid) = own_grid(range, slots, &title, &row.samples.timestamps) else {
            out.reset_to_list();
            return Ok(());
        };
        match slots.rule(&title) {
            _ if !self.summaries.is_empty() => {
                let merges = slots.rule(&title).is_some_and(|rule| rule.steps_ms.len() > 1);
                let reducer = slots.merge(&title).reducer;
                summaries::merge_runs(&self.summaries, grid, (&reducer, merges), out);
                Ok(())
            }
            Some(rule) if rule.steps_ms.len() > 1 => {
                own::merge_up(row, grid, &rule.steps_ms, &slots.merge(&title), out)
            }
            _ => self.steps(row, grid, -1, grid.step_ms - 1, out),
        }
    }

    fn skips_markers(&self) -> bool {
        self.fold.staleness == Staleness::Skipped || !self.fold.function.is_of_newest()
    }

    /// How much further than its window a newest sample is looked for, where it stands for others.
    fn reach(&self, row: &Row) -> i64 {
        if self.fold.function.is_of_newest() { row.samples.reach_ms } else { 0 }
    }

    fn empty(&self) -> f64 {
        match self.fold.fill {
            Fill::Absent => ABSENT,
            Fill::Value(number) => number.0,
        }
    }

    fn steps(
        &mut self,
        row: &Row,
        grid: StepGrid,
        after_ms: i64,
        until_ms: i64,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        out.reset_to_grid(grid, grid.len());
        let times = row.samples.timestamps.as_slice();
        let values = row.values();
        let width = usize::try_from((until_ms - after_ms) / grid.step_ms.max(1)).unwrap_or(0);
        if !self.summaries.is_empty() {
            self.each_step(row, grid, after_ms, until_ms, out)?;
        } else if let FoldFunction::Reduce(reducer) = &self.fold.function
            && sliding::pays(reducer, width, times.len(), out.values().len())
        {
            sliding::fill(reducer, times, values, grid, (after_ms, until_ms), out);
        } else if let FoldFunction::Increase { counter, per_second } = self.fold.function {
            let windows = Windows::moving(grid, after_ms, until_ms);
            let cuts = self.cuts.find(times, windows, out.samples.values.len());
            let how = (counter, per_second);
            self.growth.fill((times, values), windows, cuts, how, &mut self.state, out);
        } else if self.fold.function == FoldFunction::Newest {
            let windows = Windows::moving(grid, after_ms, until_ms);
            let slots = &mut out.samples.values;
            match self.cuts.find(times, windows, slots.len()) {
                Some(cuts) => newest::fill_cuts(values, cuts.all, slots),
                None if newest::fits(times, grid, (after_ms, until_ms)) => {
                    newest::fill((times, values), grid, (after_ms, until_ms), slots);
                }
                None => self.each_step(row, grid, after_ms, until_ms, out)?,
            }
        } else {
            self.each_step(row, grid, after_ms, until_ms, out)?;
        }
        if let Fill::Value(_) = self.fold.fill {
            let empty = self.empty();
            for value in out.samples.values.iter_mut().filter(|value| is_absent(**value)) {
                *value = empty;
            }
        }
        Ok(())
    }

    /// The windows around the instants of a grid, one after the other.
    fn each_step(
        &mut self,
        row: &Row,
        grid: StepGrid,
        after_ms: i64,
        until_ms: i64,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        let (times, values) = (row.samples.timestamps.as_slice(), row.values());
        let windows = Windows::moving(grid, after_ms, until_ms);
        let (mut low, mut high) = (0, 0);
        for index in 0..out.samples.values.len() {
            let window = windows.at(index);
            (low, high) = advance(times, low, high, window);
            if low < high {
                out.samples.values[index] =
                    self.value(times, values, (low, high), window, index)?;
            }
        }
        Ok(())
    }

    /// The same window at every instant.
    fn fixed(&mut self, row: &Row, windows: Windows, out: &mut Row) -> Result<(), ExecError> {
        out.reset_to_grid(windows.grid, windows.grid.len());
        let times = row.samples.timestamps.as_slice();
        for index in 0..out.samples.values.len() {
            let window = windows.at(index);
            let (low, high) = advance(times, 0, 0, window);
            if low < high {
                let value = self.value(times, row.values(), (low, high), window, index)?;
                out.samples.values[index] = value;
            }
        }
        Ok(())
    }

    fn edges(&mut self, row: &Row, edges: &Arc<[i64]>, out: &mut Row) -> Result<(), ExecError> {
        out.reset_to_list();
        let times = row.samples.timestamps.as_slice();
        let values = row.values();
        let (mut low, mut high) = (0, 0);
        for (index, pair) in edges.windows(2).enumerate() {
            let window = Window { at_ms: pair[0], after_ms: pair[0] - 1, until_ms: pair[1] - 1 };
            (low, high) = advance(times, low, high, window);
            let value = if low < high {
                self.value(times, values, (low, high), window, index)?
            } else {
                self.empty()
            };
            if !is_absent(value) {
                out.samples.timestamps.push(pair[0]);
                out.samples.values.push(value);
            }
        }
        Ok(())
    }

    /// One point per bucket that holds a sample.
    fn occupied(
        &mut self,
        row: &Row,
        range: TimeRange,
        step_ms: i64,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        out.reset_to_list();
        let times = row.samples.timestamps.as_slice();
        let mut low = times.partition_point(|at_ms| *at_ms < range.start_ms);
        if let FoldFunction::Reduce(reducer) = &self.fold.function
            && self.summaries.is_empty()
            && occupied::pays(reducer)
        {
            let samples = (&times[low..], &row.values()[low..]);
            occupied::fill(reducer, samples, range.end_ms, step_ms, &mut out.samples);
            return Ok(());
        }
        while low < times.len() {
            let at_ms = times[low] - times[low].rem_euclid(step_ms);
            if at_ms > range.end_ms {
                break;
            }
            let until_ms = at_ms.saturating_add(step_ms - 1);
            let inside = times[low..].iter().take_while(|time| **time <= until_ms).count();
            let window = Window { at_ms, after_ms: at_ms - 1, until_ms };
            let value = self.value(times, row.values(), (low, low + inside), window, 0)?;
            if !is_absent(value) {
                out.samples.timestamps.push(at_ms);
                out.samples.values.push(value);
            }
            low += inside;
        }
        Ok(())
    }

    #[inline]
    fn value(
        &mut self,
        times: &[i64],
        values: &[f64],
        (low, high): (usize, usize),
        window: Window,
        index: usize,
    ) -> Result<f64, ExecError> {
        match &self.fold.function {
            function if !self.summaries.is_empty() => {
                Ok(summaries::value(function, &self.summaries[low..high], window))
            }
            FoldFunction::Newest => Ok(values[high - 1]),
            FoldFunction::NewestTime | FoldFunction::NewestFloatTime
                if is_stale(values[high - 1]) =>
            {
                Ok(ABSENT)
            }
            function => {
                let arguments = pair_at(self.arguments, index);
                window::value(
                    function,
                    (times, values),
                    (low, high),
                    window,
                    arguments,
                    &mut self.state,
                )
            }
        }
    }
}
