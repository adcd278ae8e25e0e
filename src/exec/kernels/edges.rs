//! Windows with a value at either edge: the last sample before it, or one on the line around it.

use std::sync::Arc;

use model::Histogram;
use plan::HistogramOperation;
use plan::semantics::WindowEdges;

use crate::kernels::native::rate::{Note, Notes, Run};
use crate::kernels::window::Window;

/// The samples of a window with edges: the first one may be before it, the last one behind it.
#[derive(Clone, Copy)]
struct Ends {
    first: usize,
    last: usize,
}

/// The samples that decide the value at the edges; `None` where nothing is behind the lower edge.
fn ends(times: &[i64], window: Window, edges: WindowEdges) -> Option<Ends> {
    let mut last = times.len().checked_sub(1)?;
    let first = times[..last].partition_point(|at| *at <= window.after_ms).saturating_sub(1);
    if edges == WindowEdges::Smoothed {
        last = times[..last].partition_point(|at| *at < window.until_ms);
        if times[first] > window.until_ms {
            return None;
        }
    }
    (times[last] > window.after_ms).then_some(Ends { first, last })
}

/// The value at `at_ms` on the line between two samples; a counter that fell started at zero.
pub(crate) fn on_line(
    (from_ms, from): (i64, f64),
    (until_ms, until): (i64, f64),
    at_ms: i64,
    counter: bool,
) -> f64 {
    let from = if counter && until < from { 0.0 } else { from };
    from + (until - from) * (at_ms - from_ms) as f64 / (until_ms - from_ms) as f64
}

/// The values at the two edges.
fn edge_values(
    times: &[i64],
    values: &[f64],
    Ends { first, last }: Ends,
    window: Window,
    edges: WindowEdges,
    counter: bool,
) -> (f64, f64) {
    let smoothed = edges == WindowEdges::Smoothed;
    let point = |at: usize| (times[at], values[at]);
    let left = if smoothed && times[first] < window.after_ms && first + 1 < times.len() {
        on_line(point(first), point(first + 1), window.after_ms, counter)
    } else {
        values[first]
    };
    let right = if smoothed && last > 0 && times[last] > window.until_ms {
        on_line(point(last - 1), point(last), window.until_ms, counter)
    } else {
        values[last]
    };
    (left, right)
}

/// The samples strictly between the edges.
fn between(times: &[i64], Ends { first, last }: Ends, window: Window) -> std::ops::Range<usize> {
    let from = if times[first] <= window.after_ms { first + 1 } else { first };
    let until = if times[last] >= window.until_ms { last } else { last + 1 };
    from..until.max(from)
}

/// Growth from edge to edge.
pub(crate) fn growth(
    times: &[i64],
    values: &[f64],
    window: Window,
    edges: WindowEdges,
    counter: bool,
) -> Option<f64> {
    let ends = ends(times, window, edges)?;
    let (left, right) = edge_values(times, values, ends, window, edges, counter);
    let mut growth = right - left;
    if counter {
        let mut previous = left;
        for value in values[between(times, ends, window)].iter().chain([&right]) {
            if *value < previous {
                growth += previous;
            }
            previous = *value;
        }
    }
    Some(growth)
}

/// The samples of a window with those at its edges.
pub(crate) fn bounded(
    times: &[i64],
    values: &[f64],
    window: Window,
    edges: WindowEdges,
) -> Option<(Vec<i64>, Vec<f64>)> {
    let ends = ends(times, window, edges)?;
    let (left, right) = edge_values(times, values, ends, window, edges, false);
    let inside = between(times, ends, window);
    let with = |first, inside: Vec<_>, last| [vec![first], inside, vec![last]].concat();
    let out_times = with(window.after_ms, times[inside.clone()].to_vec(), window.until_ms);
    let mut out_values = vec![left];
    out_values.extend_from_slice(&values[inside]);
    out_values.push(right);
    Some((out_times, out_values))
}

/// The place of the sample that an anchored window starts with; `None` where nothing is behind the
/// lower edge.
pub(crate) fn anchor(times: &[i64], window: Window) -> Option<usize> {
    let behind = times.partition_point(|at| *at <= window.after_ms);
    (behind < times.len()).then(|| behind.saturating_sub(1))
}

/// The histogram at `at_ms` between the samples `first` and `first + 1`.
pub(crate) fn histogram_on_line(
    run: Run<'_>,
    first: usize,
    at_ms: i64,
    counter: bool,
    notes: &mut Notes,
) -> Option<Histogram> {
    let (from, until) = (&run.histograms[first], &run.histograms[first + 1]);
    let (from_ms, until_ms) = (run.times[first], run.times[first + 1]);
    if at_ms == from_ms {
        return Some((**from).clone());
    }
    if at_ms == until_ms {
        return Some((**until).clone());
    }
    let part = (at_ms - from_ms) as f64 / (until_ms - from_ms) as f64;
    if counter && until.is_reset_after(from) {
        let mut out = (**until).clone();
        out.scale(part);
        return Some(out);
    }
    let mut difference = noted(until.minus(from), HistogramOperation::Subtraction, notes)?;
    difference.scale(part);
    noted(difference.plus(from), HistogramOperation::Addition, notes)
}

type Combined = Result<(Histogram, model::histogram::Merged), model::histogram::Incompatible>;

fn noted(
    combined: Combined,
    operation: HistogramOperation,
    notes: &mut Notes,
) -> Option<Histogram> {
    match combined {
        Ok((histogram, merged)) => {
            notes.add_if(merged.bounds_reconciled, Note::Reconciled(operation));
            Some(histogram)
        }
        Err(_) => {
            notes.add(Note::MixedSchemas);
            None
        }
    }
}

/// Growth of histograms from edge to edge.
pub(crate) fn histogram_growth(
    run: Run<'_>,
    window: Window,
    edges: WindowEdges,
    counter: bool,
    notes: &mut Notes,
) -> Option<Histogram> {
    let Ends { first, last } = ends(run.times, window, edges)?;
    let custom = run.histograms[first].is_custom();
    let is_gauge = |one: &Histogram| one.reset_hint == model::ResetHint::Gauge;
    for histogram in &run.histograms[first..=last] {
        if histogram.is_custom() != custom {
            notes.add(Note::MixedSchemas);
            return None;
        }
        notes.add_if(counter && is_gauge(histogram), Note::NotCounter);
    }
    let smoothed = edges == WindowEdges::Smoothed;
    let cut_left = smoothed && run.times[first] < window.after_ms;
    let left = if cut_left {
        histogram_on_line(run, first, window.after_ms, counter, notes)?
    } else {
        (*run.histograms[first]).clone()
    };
    let right = if smoothed && last > 0 && run.times[last] > window.until_ms {
        histogram_on_line(run, last - 1, window.until_ms, counter, notes)?
    } else {
        (*run.histograms[last]).clone()
    };
    if !counter {
        notes.add_if(!is_gauge(&left) || !is_gauge(&right), Note::NotGauge);
    }
    let mut out = noted(right.minus(&left), HistogramOperation::Subtraction, notes)?;
    if counter {
        for lost in lost_to_resets(run, Ends { first, last }, cut_left, &left, &right) {
            out = noted(out.plus(lost), HistogramOperation::Addition, notes)?;
        }
    }
    out.reset_hint = model::ResetHint::Gauge;
    out.compact();
    Some(out)
}

/// The histograms before each reset between the edges. A reset that the left edge lies in has been
/// taken into account there.
fn lost_to_resets<'h>(
    run: Run<'h>,
    Ends { first, last }: Ends,
    cut_left: bool,
    left: &'h Histogram,
    right: &'h Histogram,
) -> Vec<&'h Histogram> {
    let mut next = first + 1;
    let mut previous = left;
    if cut_left && run.histograms[next].is_reset_after(&run.histograms[first]) {
        previous = &run.histograms[next];
        next += 1;
    }
    let mut lost = Vec::new();
    if next > last {
        return lost;
    }
    let inside: &[Arc<Histogram>] = &run.histograms[next..last];
    for current in inside.iter().map(|one| &**one).chain([right]) {
        if current.is_reset_after(previous) {
            lost.push(previous);
        }
        previous = current;
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_bound_the_growth() {
        let (times, values) = ([0, 10, 20, 30], [1.0, 3.0, 2.0, 6.0]);
        let window = Window { at_ms: 25, after_ms: 5, until_ms: 25 };
        let anchored = growth(&times[..3], &values[..3], window, WindowEdges::Anchored, true);
        assert_eq!(anchored, Some(4.0));
        let smoothed = growth(&times, &values, window, WindowEdges::Smoothed, false);
        assert_eq!(smoothed, Some(2.0));
        let (at, of) = bounded(&times, &values, window, WindowEdges::Smoothed).unwrap();
        assert_eq!((at, of), (vec![5, 10, 20, 25], vec![2.0, 3.0, 2.0, 4.0]));
        assert_eq!(anchor(&times, window), Some(0));
        assert_eq!(anchor(&times[..1], window), None);
    }
}
