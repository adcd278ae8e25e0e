//! Windows over summaries of samples: what a fold can say of the runs that fall into a window.
//!
//! A run belongs to the window that its last sample falls into. Where windows are cut as the runs are,
//! that is exact; the sums alone may differ in their last digit, since they are added run by run.

use model::{STALE_NAN_BITS, StepGrid, Summary};
use plan::semantics::{Arithmetic, FoldFunction, Reducer, Staleness};

use crate::kernels::window::{Window, stretch};
use crate::row::{ABSENT, Row};

/// Takes the summaries of a row out of it, those of markers alone with their samples. For functions of
/// the newest sample alone, whose rule of `staleness` is given, none are left: the last samples say
/// all, and where markers count they stand in the place of the samples before them.
pub(super) fn take(row: &mut Row, single: Option<Staleness>, out: &mut Vec<Summary>) {
    out.clear();
    std::mem::swap(out, &mut row.samples.summaries);
    if single == Some(Staleness::Ends) {
        for (value, _) in row.samples.values.iter_mut().zip(&*out).filter(|(_, one)| one.ended) {
            *value = f64::from_bits(STALE_NAN_BITS);
        }
    } else if out.iter().any(|summary| summary.count == 0) {
        out.retain(|summary| summary.count > 0);
        row.samples.timestamps.clear();
        row.samples.timestamps.extend(out.iter().map(|summary| summary.last_ms));
        row.samples.values.clear();
        row.samples.values.extend(out.iter().map(|summary| summary.last));
    }
    if single.is_some() {
        out.clear();
    }
}

/// The value of the runs in a window, at least one, or [`ABSENT`].
pub(super) fn value(function: &FoldFunction, runs: &[Summary], window: Window) -> f64 {
    let Some((first, rest)) = runs.split_first() else { return ABSENT };
    let mut whole = *first;
    rest.iter().for_each(|next| whole.join(next));
    let seconds = |ms: i64| ms as f64 / 1e3;
    match function {
        FoldFunction::Reduce(reducer) => reduce(reducer, runs, &whole),
        FoldFunction::Present => 1.0,
        FoldFunction::TimeOfFirst => seconds(whole.first_ms),
        FoldFunction::TimeOfLast => seconds(whole.last_ms),
        FoldFunction::Increase { counter, per_second } if whole.count > 1 => {
            increase(&whole, window, *counter, *per_second)
        }
        _ => ABSENT,
    }
}

/// What a reducer makes of the samples of `runs`, whose summary is `whole`; for those of which summaries
/// say nothing, the last value.
fn reduce(reducer: &Reducer, runs: &[Summary], whole: &Summary) -> f64 {
    // What a sum with this arithmetic makes of values some of which are NaN.
    let of_numbers = |arithmetic: &Arithmetic, value: f64| match arithmetic {
        Arithmetic::SkipNaN if whole.numbers() > 0 => value,
        Arithmetic::Compensated | Arithmetic::Plain if whole.nans == 0 => value,
        _ => f64::NAN,
    };
    match reducer {
        Reducer::Sum(arithmetic) => of_numbers(arithmetic, whole.sum.value()),
        Reducer::Average(arithmetic) => of_numbers(arithmetic, mean(runs, whole)),
        Reducer::Min => whole.min,
        Reducer::Max => whole.max,
        Reducer::Range => whole.max - whole.min,
        Reducer::Count => whole.count as f64,
        Reducer::CountNumbers => whole.numbers() as f64,
        Reducer::Group => 1.0,
        Reducer::First => whole.first,
        _ => whole.last,
    }
}

/// Fills `out`, a row on slots of its own, from the runs that end in each slot, by the reducer that merges
/// narrow slots to wide ones; of a slot with nothing but samples the last one, unless it `merges` those,
/// too.
pub(super) fn merge_runs(
    runs: &[Summary],
    grid: StepGrid,
    (reducer, merges): (&Reducer, bool),
    out: &mut Row,
) {
    out.reset_to_grid(grid, grid.len());
    let slot = |one: &Summary| (one.last_ms - grid.start_ms).div_euclid(grid.step_ms);
    for group in runs.chunk_by(|left, right| slot(left) == slot(right)) {
        let Some((first, rest)) = group.split_first() else { continue };
        let Some(place) =
            usize::try_from(slot(first)).ok().and_then(|index| out.samples.values.get_mut(index))
        else {
            continue;
        };
        let mut whole = *first;
        rest.iter().for_each(|next| whole.join(next));
        let is_last = !merges && group.iter().all(|one| one.count == 1);
        *place = if is_last { whole.last } else { reduce(reducer, group, &whole) };
    }
}

/// The mean of the numbers; run by run where their sum is too large for a float.
fn mean(runs: &[Summary], whole: &Summary) -> f64 {
    let count = whole.numbers() as f64;
    if whole.overflows() {
        return runs.iter().map(|run| run.sum.sum / count + run.sum.rest / count).sum();
    }
    whole.sum.sum / count + whole.sum.rest / count
}

fn increase(whole: &Summary, window: Window, counter: bool, per_second: bool) -> f64 {
    let mut growth = whole.last - whole.first;
    if counter {
        growth += whole.lost;
    }
    let ends = (whole.first_ms, whole.last_ms);
    let count = usize::try_from(whole.count).unwrap_or(usize::MAX);
    let factor = stretch(ends, count, whole.first, growth, window, counter);
    growth * if per_second { factor / window.seconds() } else { factor }
}
