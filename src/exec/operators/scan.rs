//! Reads stored series; one at a time into the same buffer.

use std::sync::Arc;

use model::{
    APPROACHED_SERIES, Hints, ResetHint, Samples, Selection, SeriesReader, SourceError, histogram,
};
use plan::Scan;

use crate::context::Numbers;
use crate::error::ExecError;
use crate::executor::{Executor, Part, Sink};
use crate::operators::title;
use crate::row::{Identity, Row};

/// Raw rows of the selected series; stale markers are still in them.
pub(crate) fn stream(
    executor: &Executor<'_>,
    scan: &Scan,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if let Some(Part { selection, start, end }) = executor.part {
        return rows(executor, scan, selection, start..end, sink);
    }
    let selection = select(executor, scan)?;
    rows(executor, scan, &*selection, 0..selection.len(), sink)
}

/// The series of a scan, within the query's limits.
pub(crate) fn select(
    executor: &Executor<'_>,
    scan: &Scan,
) -> Result<Box<dyn Selection>, ExecError> {
    executor.check()?;
    let samples_max = executor.budget.read_samples_max();
    let hints = Hints { samples_max, ..hints(scan) };
    let selection = executor.source.select(&scan.matchers, scan.range, &hints)?;
    executor.budget.series(selection.len())?;
    executor.note_widths(scan, &*selection);
    Ok(selection)
}

/// What the source is told of a scan.
pub(crate) fn hints(scan: &Scan) -> Hints {
    Hints {
        tenant: scan.tenant,
        sorted: scan.sorted,
        integers: scan.integers,
        histograms: scan.histograms,
        starts: scan.starts,
        cut_ms: scan.cut_ms,
        ..Hints::default()
    }
}

/// As [`stream`], in the order of the numbers of names. Labels are looked at before samples are read,
/// so that rows need not be kept for their order.
pub(crate) fn numbered(
    executor: &Executor<'_>,
    scan: &Scan,
    numbers: &dyn Numbers,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let selection = select(executor, scan)?;
    let mut order: Vec<usize> = (0..selection.len()).collect();
    order.sort_by_cached_key(|index| numbers.key(&selection.labels(*index)));
    rows(executor, scan, &*selection, order.into_iter(), sink)
}

fn rows(
    executor: &Executor<'_>,
    scan: &Scan,
    selection: &dyn Selection,
    mut order: impl Iterator<Item = usize>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let (mut row, mut held) = (Row::default(), executor.budget.hold());
    let mut reader = selection.reader();
    let mut next = Vec::with_capacity(APPROACHED_SERIES);
    loop {
        next.clear();
        next.extend(order.by_ref().take(APPROACHED_SERIES));
        if next.is_empty() {
            return Ok(());
        }
        // Not for each series: these take microseconds, a reader waits milliseconds.
        executor.check()?;
        reader.approach(&next);
        for index in &next {
            read(executor, &mut *reader, *index, &mut row)?;
            if row.samples.is_empty() {
                continue;
            }
            let histograms = histogram::weight(&row.samples.histograms);
            held.set(0, histograms)?;
            executor.budget.read(row.samples.len(), histograms)?;
            let mut identity = Identity::stored(selection, *index);
            if let Some(rule) = &scan.title {
                title::apply(rule, &mut identity)?;
            }
            sink(&mut identity, &mut row)?;
        }
    }
}

/// Replaces `row` by the samples of a series.
fn read(
    executor: &Executor<'_>,
    reader: &mut dyn SeriesReader,
    index: usize,
    row: &mut Row,
) -> Result<(), ExecError> {
    row.reset_to_list();
    reader.read(index, &mut row.samples).map_err(|error| match error {
        SourceError::TooLarge { .. } => executor.budget.read_error(),
        error => error.into(),
    })?;
    forget_resets(&mut row.samples);
    Ok(())
}

/// Forgets what the store knows of resets: as in the reference, whose chunks say "unknown" where a
/// counter began anew, so that nobody is told of a conflict who compared nothing.
fn forget_resets(samples: &mut Samples) {
    for histogram in samples.histograms.iter_mut().flatten() {
        if histogram.reset_hint == ResetHint::Reset {
            Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
        }
    }
}
