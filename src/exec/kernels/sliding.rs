//! Windows much longer than the step: each sample is looked at a fixed number of times.
//!
//! Two stacks make a queue (Tangwongsan et al., "In-order sliding-window aggregation in worst-case
//! constant time"): the front holds running reductions from each sample to the middle, the back one
//! reduction of what came later. Only for reductions that combine exactly enough in any grouping.

use model::StepGrid;
use plan::semantics::{Arithmetic, Reducer};

use crate::kernels::arithmetic::{Compensated, larger, smaller};
use crate::kernels::reduce::reduce;
use crate::row::Row;

/// True when the two-stack queue beats looking at each window again.
pub(crate) fn pays(reducer: &Reducer, overlap: usize, samples: usize, steps: usize) -> bool {
    let combines = matches!(
        reducer,
        Reducer::Sum(Arithmetic::Compensated)
            | Reducer::Average(Arithmetic::Compensated)
            | Reducer::Min
            | Reducer::Max
    );
    // Overlap: how many windows see each sample.
    combines && overlap >= 8 && samples >= 64 && steps >= 8
}

/// Fills the grid row `out` from the windows `(after, until]` around each instant.
pub(crate) fn fill(
    reducer: &Reducer,
    times: &[i64],
    values: &[f64],
    grid: StepGrid,
    edges: (i64, i64),
    out: &mut Row,
) {
    match reducer {
        Reducer::Min => run(times, values, grid, edges, out, smaller, |value| value, |v, _| v),
        Reducer::Max => run(times, values, grid, edges, out, larger, |value| value, |v, _| v),
        Reducer::Average(_) => {
            // A sum that overflows must become a mean: such a window is looked at again.
            let mean = |sum: Compensated, window: &[f64]| {
                if sum.sum.is_infinite() {
                    return reduce(reducer, window, 0.0, window.len(), &mut Vec::new());
                }
                let count = window.len() as f64;
                sum.sum / count + sum.rest / count
            };
            run(times, values, grid, edges, out, Compensated::join, Compensated::starting_at, mean);
        }
        _ => {
            let total = |sum: Compensated, _: &[f64]| sum.value();
            run(
                times,
                values,
                grid,
                edges,
                out,
                Compensated::join,
                Compensated::starting_at,
                total,
            );
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one generic loop behind five one-line callers")]
fn run<T: Copy>(
    times: &[i64],
    values: &[f64],
    grid: StepGrid,
    (after_ms, until_ms): (i64, i64),
    out: &mut Row,
    combine: impl Fn(T, T) -> T,
    single: impl Fn(f64) -> T,
    finish: impl Fn(T, &[f64]) -> f64,
) {
    // `front[i]` reduces the samples from `low + i` on to `middle`, in reverse.
    let mut front: Vec<T> = Vec::new();
    let mut back: Option<T> = None;
    let (mut low, mut middle, mut high) = (0usize, 0usize, 0usize);
    for (index, slot) in out.samples.values.iter_mut().enumerate() {
        let at_ms = grid.at(index);
        let until = at_ms.saturating_add(until_ms);
        let after = at_ms.saturating_add(after_ms);
        while high < times.len() && times[high] <= until {
            let next = single(values[high]);
            back = Some(back.map_or(next, |sum| combine(sum, next)));
            high += 1;
        }
        while low < high && times[low] <= after {
            if low >= middle {
                front.clear();
                let mut sum: Option<T> = None;
                for at in (low..high).rev() {
                    let next = single(values[at]);
                    sum = Some(sum.map_or(next, |sum| combine(next, sum)));
                    front.extend(sum);
                }
                middle = high;
                back = None;
            }
            front.pop();
            low += 1;
        }
        let whole = match (front.last(), back) {
            (Some(front), Some(back)) => Some(combine(*front, back)),
            (Some(front), None) => Some(*front),
            (None, back) => back,
        };
        if let Some(whole) = whole.filter(|_| low < high) {
            *slot = finish(whole, &values[low..high]);
        }
    }
}
