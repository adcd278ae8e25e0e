//! Cuts each row into windows of time and reduces every window to one value.
//!
//! The windows of one row only move forward, so finding their samples is linear in the row.

mod own;

use std::sync::Arc;

use model::{METRIC_NAME, StepGrid, TimeRange, ValueTest, is_stale};
use plan::semantics::{Buckets, Fill, FoldFunction, Reducer, Staleness};
use plan::slots::SlotRules;
use plan::{AnnotationKind, Fold, Node, Op, Span};

pub(crate) use self::own::own_grid;
use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink, pair_at};
use crate::kernels::format::general;
use crate::kernels::sliding;
use crate::kernels::window::{self, Drops, Window, WindowState};
use crate::operators::distinct;
use crate::row::{ABSENT, Identity, Row, is_absent};

/// The folded rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    fold: &Fold,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if fold.drop_name && distinct::may_collide_without_name(&fold.input) {
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
    let mut folder = Folder {
        fold,
        arguments: executor.arguments(&fold.arguments)?,
        state: WindowState::default(),
    };
    check_quantile(executor, &folder, span);
    let mut counter_check = CounterCheck::new(fold);
    let mut out = Row::default();
    let own_steps = matches!(fold.buckets, Buckets::PerSeries { .. });
    executor.stream(&fold.input, &mut |identity, row| {
        folder.fold(identity, row, &mut out)?;
        if own_steps && out.grid.is_none() {
            return Ok(());
        }
        counter_check.look(executor, identity, &out, span);
        if fold.drop_name {
            identity.drop_name();
        }
        sink(identity, &mut out)
    })
}

/// Warns of quantiles that are none.
fn check_quantile(executor: &Executor<'_>, folder: &Folder<'_>, span: Option<Span>) {
    if folder.fold.function == FoldFunction::Reduce(Reducer::Quantile)
        && let Some(argument) = folder.arguments.first()
    {
        warn_of_quantiles(executor, argument, span);
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

/// Notes metrics that are treated as counters and do not sound like ones.
struct CounterCheck {
    enabled: bool,
    /// The name that all rows have, if the plan says so.
    common: Option<String>,
    noted: bool,
}

impl CounterCheck {
    fn new(fold: &Fold) -> Self {
        let enabled = matches!(fold.function, FoldFunction::Increase { counter: true, .. });
        Self { enabled, common: common_name(&fold.input), noted: false }
    }

    fn look(
        &mut self,
        executor: &Executor<'_>,
        identity: &mut Identity<'_>,
        row: &Row,
        span: Option<Span>,
    ) {
        let sounds_right = |name: &str| {
            name.is_empty()
                || ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))
        };
        if !self.enabled || self.noted && self.common.is_some() {
            return;
        }
        if self.common.as_deref().is_some_and(sounds_right) || row.is_empty() {
            return;
        }
        let name = match &self.common {
            Some(name) => name.as_str(),
            None => identity.labels().metric_name().unwrap_or_default(),
        };
        if !sounds_right(name) {
            executor.annotate(AnnotationKind::PossiblyNotCounter(name.to_owned()), span);
            self.noted = true;
        }
    }
}

fn common_name(node: &Node) -> Option<String> {
    let Op::Scan(scan) = &node.op else { return None };
    scan.matchers.iter().find_map(|matcher| match &matcher.test {
        ValueTest::Equal(name) if matcher.name == METRIC_NAME => Some(name.clone()),
        _ => None,
    })
}

struct Folder<'f> {
    fold: &'f Fold,
    arguments: Vec<Argument>,
    state: WindowState,
}

impl Folder<'_> {
    /// Reduces `row` into `out`.
    fn fold(
        &mut self,
        identity: &mut Identity<'_>,
        row: &mut Row,
        out: &mut Row,
    ) -> Result<(), ExecError> {
        row.list();
        if self.skips_markers() {
            remove_markers(row);
        }
        if matches!(self.fold.function, FoldFunction::Increase { counter: true, .. }) {
            self.state.drops.find(row.values());
        }
        match &self.fold.buckets {
            Buckets::Steps { grid, after_ms, until_ms } => {
                self.steps(row, *grid, *after_ms, *until_ms, out)
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
            Some(rule) if rule.steps_ms.len() > 1 => {
                own::merge_up(row, grid, &rule.steps_ms, &slots.merge(&title), out)
            }
            _ => self.steps(row, grid, -1, grid.step_ms - 1, out),
        }
    }

    fn skips_markers(&self) -> bool {
        let single = matches!(self.fold.function, FoldFunction::Newest | FoldFunction::NewestTime);
        self.fold.staleness == Staleness::Skipped || !single
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
        if let FoldFunction::Reduce(reducer) = &self.fold.function
            && sliding::pays(reducer, width, times.len(), out.values().len())
        {
            sliding::fill(reducer, times, values, grid, (after_ms, until_ms), out);
        } else if let FoldFunction::Increase { counter, per_second } = self.fold.function {
            let drops = &mut self.state.drops;
            let edges = (after_ms, until_ms);
            increases((times, values), grid, edges, (counter, per_second), drops, out);
        } else {
            let (mut low, mut high) = (0, 0);
            for index in 0..out.samples.values.len() {
                let at_ms = grid.at(index);
                let window = Window {
                    at_ms,
                    after_ms: at_ms.saturating_add(after_ms),
                    until_ms: at_ms.saturating_add(until_ms),
                };
                (low, high) = advance(times, low, high, window);
                if low < high {
                    out.samples.values[index] =
                        self.value(times, values, (low, high), window, index)?;
                }
            }
        }
        if let Fill::Value(_) = self.fold.fill {
            let empty = self.empty();
            for value in out.samples.values.iter_mut().filter(|value| is_absent(**value)) {
                *value = empty;
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
            FoldFunction::Newest => Ok(values[high - 1]),
            FoldFunction::NewestTime if is_stale(values[high - 1]) => Ok(ABSENT),
            function => {
                let arguments = pair_at(&self.arguments, index);
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

/// The loop of [`Folder::steps`] for growth alone, without a choice per window.
fn increases(
    samples: (&[i64], &[f64]),
    grid: StepGrid,
    (after_ms, until_ms): (i64, i64),
    (counter, per_second): (bool, bool),
    drops: &mut Drops,
    out: &mut Row,
) {
    let (mut low, mut high) = (0, 0);
    for (index, slot) in out.samples.values.iter_mut().enumerate() {
        let at_ms = grid.at(index);
        let window = Window {
            at_ms,
            after_ms: at_ms.saturating_add(after_ms),
            until_ms: at_ms.saturating_add(until_ms),
        };
        (low, high) = advance(samples.0, low, high, window);
        *slot = window::increase(samples, (low, high), window, counter, per_second, drops);
    }
}

/// The edges that the row's first sample chooses.
fn phase_of<'l>(row: &Row, lists: &'l [Arc<[i64]>]) -> Option<&'l Arc<[i64]>> {
    let start = lists.first()?.first()?;
    let first = row.samples.timestamps.iter().find(|at_ms| *at_ms >= start)?;
    let behind = lists.partition_point(|edges| edges.first().is_some_and(|edge| edge <= first));
    lists.get(behind.checked_sub(1)?)
}

/// Moves the window's first sample and the one behind its last.
#[inline(always)]
pub(crate) fn advance(
    times: &[i64],
    mut low: usize,
    mut high: usize,
    window: Window,
) -> (usize, usize) {
    while low < times.len() && times[low] <= window.after_ms {
        low += 1;
    }
    high = high.max(low);
    while high < times.len() && times[high] <= window.until_ms {
        high += 1;
    }
    (low, high)
}

fn remove_markers(row: &mut Row) {
    if !row.values().iter().any(|value| is_stale(*value)) {
        return;
    }
    let samples = &mut row.samples;
    let mut kept = 0;
    for index in 0..samples.values.len() {
        if !is_stale(samples.values[index]) {
            samples.values[kept] = samples.values[index];
            samples.timestamps[kept] = samples.timestamps[index];
            kept += 1;
        }
    }
    samples.values.truncate(kept);
    samples.timestamps.truncate(kept);
    samples.integers.clear();
}
