//! Growth of native histograms over a window.

use std::sync::Arc;

use model::{Histogram, HistogramSum, ResetHint};
use plan::HistogramOperation;

use crate::kernels::starts;
use crate::kernels::window::{self, Window};

/// What is to be said about a window of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// Floats and histograms where only one kind may be.
    MixedKinds,
    /// Histograms were left out beside floats.
    Ignored,
    /// Exponential and custom buckets where only one kind may be.
    MixedSchemas,
    /// A gauge where a counter belongs.
    NotCounter,
    /// A counter where a gauge belongs.
    NotGauge,
    /// Custom bounds were reconciled.
    Reconciled(HistogramOperation),
    /// Hints contradict each other.
    ResetsConflict,
    /// Start timestamps overlap.
    StartOverlap,
}

/// The remarks about a row, each once.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    /// Adds a remark.
    pub(crate) fn add(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// Adds a remark where `true`.
    pub(crate) fn add_if(&mut self, condition: bool, note: Note) {
        if condition {
            self.add(note);
        }
    }

    /// Takes all remarks out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Note> + '_ {
        self.0.drain(..)
    }
}

/// Histograms of one window in time order.
#[derive(Clone, Copy)]
pub(crate) struct Run<'w> {
    /// Milliseconds.
    pub(crate) times: &'w [i64],
    /// As many histograms.
    pub(crate) histograms: &'w [Arc<Histogram>],
    /// As many start timestamps, or none.
    pub(crate) starts: &'w [i64],
}

impl Run<'_> {
    /// True when the starts say that a counter began anew at `at`, which is not the first sample.
    fn is_start_reset(&self, at: usize) -> bool {
        !self.starts.is_empty()
            && starts::is_reset(
                self.starts[at - 1],
                self.times[at - 1],
                self.starts[at],
                self.times[at],
            )
    }
}

fn is_gauge(histogram: &Histogram) -> bool {
    histogram.reset_hint == ResetHint::Gauge
}

/// Growth over the window, extrapolated to its edges, per second of it if so wanted.
pub(crate) fn increase(
    run: Run<'_>,
    window: Window,
    counter: bool,
    per_second: bool,
    notes: &mut Notes,
) -> Option<Histogram> {
    let first = run.histograms.first()?;
    let grown = match run.histograms.len() {
        1 => None,
        _ => Some(growth(run, counter, notes)?),
    };
    let known_start = if counter { starts::inside(run.starts, run.times, window) } else { None };
    let (mut out, mut factor) = match (known_start, grown) {
        (Some(start_ms), grown) => {
            let out = match grown {
                None => (**first).clone(),
                Some(grown) => match grown.plus(first) {
                    Ok((sum, merged)) => {
                        let reconciled = Note::Reconciled(HistogramOperation::Addition);
                        notes.add_if(merged.bounds_reconciled, reconciled);
                        sum
                    }
                    Err(_) => {
                        notes.add(Note::MixedSchemas);
                        return None;
                    }
                },
            };
            (out, starts::stretch(start_ms, run.times, window))
        }
        (None, None) => return None,
        (None, Some(grown)) => {
            let ends = (run.times[0], run.times[run.times.len() - 1]);
            let (count, total) = (run.times.len(), grown.count);
            (grown, window::stretch(ends, count, first.count, total, window, counter))
        }
    };
    if per_second {
        factor /= window.seconds();
    }
    out.scale(factor);
    Some(out)
}

/// The last histogram minus the first, with what resets lost added; a gauge without empty buckets.
fn growth(run: Run<'_>, counter: bool, notes: &mut Notes) -> Option<Histogram> {
    let [first, second, ..] = run.histograms else { return None };
    let last = &run.histograms[run.histograms.len() - 1];
    notes.add_if(counter && (is_gauge(first) || is_gauge(last)), Note::NotCounter);
    let nothing;
    let mut previous: &Histogram = first;
    if counter && (run.is_start_reset(1) || second.is_reset_after(first)) {
        // Nothing of the first one is needed, so its layout does not matter.
        let (schema, bounds) = (second.schema, second.bounds.clone());
        nothing = Histogram { schema, bounds, ..Histogram::default() };
        previous = &nothing;
    }
    let custom = previous.is_custom();
    let mut schema = last.schema.min(previous.schema);
    let mut mixed = last.is_custom() != custom;
    if counter && !mixed {
        for histogram in &run.histograms[1..run.histograms.len() - 1] {
            notes.add_if(is_gauge(histogram), Note::NotCounter);
            schema = schema.min(histogram.schema);
            mixed |= histogram.is_custom() != custom;
        }
    }
    if mixed {
        notes.add(Note::MixedSchemas);
        return None;
    }
    let mut sum = HistogramSum::new(last);
    sum.coarsen(schema);
    let merged = sum.subtract(previous).ok()?;
    notes.add_if(merged.bounds_reconciled, Note::Reconciled(HistogramOperation::Subtraction));
    if counter {
        for (at, current) in run.histograms.iter().enumerate().skip(1) {
            if let [before, now] = run.starts.get(at - 1..=at).unwrap_or_default() {
                let overlap = starts::overlaps(*before, run.times[at - 1], *now);
                notes.add_if(overlap, Note::StartOverlap);
            }
            if run.is_start_reset(at) || current.is_reset_after(previous) {
                let merged = sum.add(previous).ok()?;
                let reconciled = Note::Reconciled(HistogramOperation::Addition);
                notes.add_if(merged.bounds_reconciled, reconciled);
            }
            previous = current;
        }
    } else {
        notes.add_if(!is_gauge(first) || !is_gauge(last), Note::NotGauge);
    }
    let mut out = sum.finish();
    out.reset_hint = ResetHint::Gauge;
    out.compact();
    Some(out)
}

/// The last histogram minus the one before, or alone where a counter began anew; per second of the
/// time between them if so wanted.
pub(crate) fn last_step(
    run: Run<'_>,
    counter: bool,
    per_second: bool,
    notes: &mut Notes,
) -> Option<Histogram> {
    let last = run.histograms.len().checked_sub(1)?;
    let before = last.checked_sub(1)?;
    let (previous, current) = (&run.histograms[before], &run.histograms[last]);
    if counter {
        notes.add_if(is_gauge(previous) || is_gauge(current), Note::NotCounter);
    } else {
        notes.add_if(!is_gauge(previous) || !is_gauge(current), Note::NotGauge);
    }
    let is_reset = || counter && (run.is_start_reset(last) || current.is_reset_after(previous));
    let mut out = if is_reset() {
        (**current).clone()
    } else {
        let Ok((out, merged)) = current.minus(previous) else {
            notes.add(Note::MixedSchemas);
            return None;
        };
        notes.add_if(merged.bounds_reconciled, Note::Reconciled(HistogramOperation::Subtraction));
        out
    };
    out.reset_hint = ResetHint::Gauge;
    out.compact();
    if per_second {
        out.divide((run.times[last] - run.times[before]) as f64 / 1e3);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HistogramBuckets;

    fn counter(count: f64, sum: f64) -> Arc<Histogram> {
        Arc::new(Histogram {
            count,
            sum,
            positive: HistogramBuckets::from_counts([(1, count)]),
            ..Histogram::default()
        })
    }

    #[test]
    fn growth_adds_what_resets_lost() {
        let times = [0, 10_000, 20_000, 30_000];
        let some = [counter(4.0, 1.0), counter(8.0, 2.0), counter(2.0, 1.0), counter(3.0, 2.0)];
        let run = Run { times: &times, histograms: &some, starts: &[] };
        let window = Window { at_ms: 30_000, after_ms: 0, until_ms: 30_000 };
        let mut notes = Notes::default();
        let out = increase(run, window, true, false, &mut notes).unwrap();
        assert_eq!((out.count, out.sum), (7.0, 3.0));
        assert_eq!(out.reset_hint, ResetHint::Gauge);
        assert_eq!(notes.drain().count(), 0);
        let step = last_step(run, true, true, &mut notes).unwrap();
        assert_eq!((step.count, step.sum), (0.1, 0.1));
        increase(run, window, false, false, &mut notes).unwrap();
        assert_eq!(notes.drain().collect::<Vec<_>>(), [Note::NotGauge]);
    }
}
