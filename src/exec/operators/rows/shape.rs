//! Changes of one row that need its full extent or its grid.

use model::StepGrid;
use plan::semantics::Reducer;
use plan::{MovingWindow, RowsFunction};

use super::{smooth, whole};
use crate::kernels::reduce::reduce;
use crate::row::{ABSENT, Identity, Row, is_absent};

/// Buckets that a row may be cut into; a finer interval than this is a mistake.
pub(super) const BUCKETS_MAX: usize = 1 << 22;

/// Changes the row in place. Functions of other kinds leave it alone.
pub(super) fn apply(function: &RowsFunction, identity: &Identity<'_>, row: &mut Row) {
    match function {
        RowsFunction::Shift(by_ms) => return shift(row, *by_ms),
        RowsFunction::Newest => return newest(row),
        _ => row.samples.integers.clear(),
    }
    let step_ms = row.grid.map_or(1, |grid| grid.step_ms);
    let values = &mut row.samples.values;
    match function {
        RowsFunction::KeepLast { limit } => keep_last(values, *limit),
        RowsFunction::Summarize { interval_ms, reducer, from_first } => {
            let share_min = identity.style.as_ref().map_or(0.0, |style| style.present_min.0);
            summarize(row, *interval_ms, reducer, *from_first, share_min);
        }
        RowsFunction::FillAbsent(number) => {
            values
                .iter_mut()
                .filter(|value| is_absent(**value))
                .for_each(|value| *value = number.0);
        }
        RowsFunction::IsPresent => {
            values.iter_mut().for_each(|value| *value = f64::from(u8::from(!is_absent(*value))));
        }
        RowsFunction::Changed => changed(values),
        RowsFunction::Delay(slots) => delay(values, *slots),
        RowsFunction::PerStep(seconds) => {
            let factor = seconds.0 / (step_ms as f64 / 1000.0);
            present(values, |value| round_to(value * factor, 6));
        }
        RowsFunction::FromLowest => {
            let (low, _) = extremes(values);
            present(values, |value| value - low);
        }
        RowsFunction::Normalise => {
            let (low, high) = extremes(values);
            let span = high - low;
            present(values, |value| if span == 0.0 { 0.0 } else { (value - low) / span });
        }
        RowsFunction::Trailing { window } => trailing(row, *window),
        RowsFunction::Interpolate { limit } => interpolate(values, *limit),
        RowsFunction::RoundTo { decimals } => present(values, |value| round_to(value, *decimals)),
        RowsFunction::Sigmoid => present(values, |value| 1.0 / (1.0 + (-value).exp())),
        RowsFunction::Logit => present(values, |value| {
            if value > 0.0 && value < 1.0 { (value / (1.0 - value)).ln() } else { ABSENT }
        }),
        RowsFunction::Finite => {
            values.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = ABSENT)
        }
        _ => along(function, identity, row, step_ms),
    }
}

/// The functions whose values depend on other points of the row.
fn along(function: &RowsFunction, identity: &Identity<'_>, row: &mut Row, step_ms: i64) {
    match function {
        RowsFunction::Moving { window, reducer, present_min, lead_ms } => {
            let style = identity.style.as_ref();
            let share = present_min.or_else(|| style.map(|style| style.present_min));
            let points = smooth::window_points(*window, step_ms);
            let share_min = share.map_or(0.0, |share| share.0);
            smooth::moving(row, points, reducer, share_min, *lead_ms);
        }
        RowsFunction::ExponentialMean { window, lead_ms } => {
            smooth::exponential(row, *window, *lead_ms);
        }
        RowsFunction::TrailingDeviation { points, present_min } => {
            smooth::deviation(&mut row.samples.values, *points, present_min.0);
        }
        RowsFunction::Seasonal { season_ms, lead_ms, deviations } => {
            smooth::seasonal(row, *season_ms, *lead_ms, deviations.map(|many| many.0));
        }
        RowsFunction::Level { number, grid } => whole::level(row, number, *grid),
        RowsFunction::BoundByPercentile { quantile, above } => {
            whole::bound(&mut row.samples.values, quantile.0, *above);
        }
        RowsFunction::SpreadHits { interval_ms, from_first } => {
            whole::hits(row, *interval_ms, *from_first);
        }
        RowsFunction::IntegralByInterval { interval_ms, origin_ms } => {
            whole::integral(row, *interval_ms, *origin_ms);
        }
        RowsFunction::CompressGaps => whole::compress(row),
        RowsFunction::Slice { origin_ms, from_ms, until_ms } => {
            whole::slice(row, *origin_ms, *from_ms, *until_ms);
        }
        RowsFunction::RandomWalk { seed } => whole::walk(&mut row.samples.values, *seed),
        RowsFunction::CountInstants(instants) => whole::count(row, instants),
        _ => {}
    }
}

/// Changes the present values.
fn present(values: &mut [f64], change: impl Fn(f64) -> f64) {
    values.iter_mut().filter(|value| !is_absent(**value)).for_each(|value| *value = change(*value));
}

fn extremes(values: &[f64]) -> (f64, f64) {
    let numbers = values.iter().filter(|value| !is_absent(**value));
    numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(*value), high.max(*value))
    })
}

/// Runs that are too long stay as they are, and so does a run at the start.
fn keep_last(values: &mut [f64], limit: Option<u64>) {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut last = ABSENT;
    let mut index = 0;
    while index < values.len() {
        if !is_absent(values[index]) {
            last = values[index];
            index += 1;
            continue;
        }
        let run = values[index..].iter().take_while(|value| is_absent(**value)).count();
        if run <= limit {
            values[index..index + run].fill(last);
        }
        index += run;
    }
}

/// A run at an end has only one neighbour, and stays.
fn interpolate(values: &mut [f64], limit: Option<u64>) {
    let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut last: Option<usize> = None;
    for index in 0..values.len() {
        if is_absent(values[index]) {
            continue;
        }
        if let Some(before) = last
            && (1..=limit).contains(&(index - before - 1))
        {
            let (low, high) = (values[before], values[index]);
            let slope = (high - low) / (index - before) as f64;
            for (place, value) in values[before + 1..index].iter_mut().enumerate() {
                *value = low + slope * (place + 1) as f64;
            }
        }
        last = Some(index);
    }
}

/// The decimal text of a float is exact, so its rounding is that of the float itself.
pub(super) fn round_to(value: f64, decimals: i32) -> f64 {
    if decimals >= 0 {
        let decimals = usize::try_from(decimals).unwrap_or(0).min(400);
        return format!("{value:.decimals$}").parse().unwrap_or(value);
    }
    let unit = 10f64.powi(-decimals);
    if unit.is_finite() { (value / unit).round_ties_even() * unit } else { 0.0 }
}

fn changed(values: &mut [f64]) {
    let mut last = ABSENT;
    for value in values {
        let now = *value;
        let differs = !is_absent(now) && !is_absent(last) && now != last;
        if !is_absent(now) {
            last = now;
        }
        *value = f64::from(u8::from(differs));
    }
}

fn delay(values: &mut [f64], slots: i64) {
    let count = values.len();
    let distance = usize::try_from(slots.unsigned_abs()).unwrap_or(usize::MAX).min(count);
    if slots >= 0 {
        values.rotate_right(distance);
        values[..distance].fill(ABSENT);
    } else {
        values.rotate_left(distance);
        values[count - distance..].fill(ABSENT);
    }
}

fn summarize(row: &mut Row, interval_ms: i64, reducer: &Reducer, from_first: bool, share_min: f64) {
    let Some(grid) = row.grid else { return };
    let (first_ms, end_ms) = (grid.start_ms, grid.at(row.values().len()));
    let floor = |at_ms: i64| at_ms - at_ms.rem_euclid(interval_ms);
    let range = match from_first {
        true => (first_ms, end_ms),
        false => (floor(first_ms), floor(end_ms) + interval_ms),
    };
    summarize_from(row, range, interval_ms, reducer, share_min);
}

/// Points gathered in buckets from the first instant of `range` while they begin before its second.
pub(super) fn summarize_from(
    row: &mut Row,
    (start_ms, end_ms): (i64, i64),
    interval_ms: i64,
    reducer: &Reducer,
    share_min: f64,
) {
    let Some(grid) = row.grid else { return };
    let count = row.values().len();
    let length_ms = (end_ms - start_ms).max(0);
    let buckets = length_ms.div_euclid(interval_ms) + i64::from(length_ms % interval_ms > 0);
    let buckets = usize::try_from(buckets).unwrap_or(0).min(BUCKETS_MAX);
    let slots = interval_ms as f64 / grid.step_ms as f64;
    let mut out = Row::default();
    let new_grid =
        StepGrid::new(start_ms, start_ms + interval_ms * buckets as i64 - 1, interval_ms);
    out.reset_to_grid(new_grid, buckets);
    let (mut column, mut scratch) = (Vec::new(), Vec::new());
    let mut index = (0..count).find(|index| grid.at(*index) >= start_ms).unwrap_or(count);
    for (bucket, value) in out.samples.values.iter_mut().enumerate() {
        let bucket_end_ms = new_grid.at(bucket) + interval_ms;
        column.clear();
        let mut seen = 0;
        while index < count && grid.at(index) < bucket_end_ms {
            seen += 1;
            column.extend(Some(row.samples.values[index]).filter(|value| !is_absent(*value)));
            index += 1;
        }
        let product_gap = matches!(reducer, Reducer::Product(_)) && column.len() < seen;
        if !column.is_empty() && !product_gap && column.len() as f64 / slots >= share_min {
            // The mean that counts empty slots divides by the slots that exist.
            *value = reduce(reducer, &column, f64::NAN, seen, &mut scratch);
        }
    }
    *row = out;
}

fn shift(row: &mut Row, by_ms: i64) {
    if let Some(grid) = &mut row.grid {
        let (start_ms, end_ms) = (grid.start_ms, grid.end_ms);
        let moved = |at_ms: i64| at_ms.saturating_add(by_ms);
        *grid = StepGrid::new(moved(start_ms), moved(end_ms), grid.step_ms);
    }
    for at_ms in &mut row.samples.timestamps {
        *at_ms = at_ms.saturating_add(by_ms);
    }
}

fn newest(row: &mut Row) {
    row.list();
    let samples = &mut row.samples;
    let Some(last) = samples.values.len().checked_sub(1) else { return };
    samples.values.drain(..last);
    samples.timestamps.drain(..last);
    if !samples.integers.is_empty() {
        samples.integers.drain(..last);
    }
    if !samples.histograms.is_empty() {
        samples.histograms.drain(..last);
    }
    samples.starts.clear();
}

/// See [`RowsFunction::Trailing`]. A sum that slides would gather rounding errors, and windows are
/// short, so every mean is added up anew.
fn trailing(row: &mut Row, window: MovingWindow) {
    row.list();
    let mut means = Vec::with_capacity(row.samples.values.len());
    for index in 0..row.samples.values.len() {
        let first = match window {
            MovingWindow::Points(count) => (index + 1).checked_sub(count.max(1)),
            MovingWindow::Milliseconds(length_ms) => {
                let at_ms = row.samples.timestamps[index];
                let earlier = &row.samples.timestamps[..index];
                // As many points as are nearer than the window is long stay behind the first one.
                earlier
                    .partition_point(|then| at_ms.saturating_sub(*then) >= length_ms.max(1))
                    .into()
            }
        };
        let whole = match window {
            MovingWindow::Points(_) => first.is_some(),
            MovingWindow::Milliseconds(_) => first.is_some_and(|first| first > 0),
        };
        let values = &row.samples.values[first.unwrap_or(0)..=index];
        let numbers = values.iter().filter(|value| !value.is_nan());
        let (sum, count) = numbers.fold((0.0, 0u32), |(sum, count), v| (sum + v, count + 1));
        means.push(if whole && count > 0 { sum / f64::from(count) } else { 0.0 });
    }
    row.samples.values = means;
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::semantics::Arithmetic;

    const N: f64 = ABSENT;

    fn check(change: impl FnOnce(&mut [f64]), values: &[f64], expected: &[f64]) {
        let mut values = values.to_vec();
        change(&mut values);
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(expected));
    }

    #[test]
    fn gaps_are_filled_up_to_the_limit() {
        let values = [N, 1.0, N, N, 2.0, N];
        check(|values| keep_last(values, None), &values, &[N, 1.0, 1.0, 1.0, 2.0, 2.0]);
        check(|values| keep_last(values, Some(1)), &values, &[N, 1.0, N, N, 2.0, 2.0]);
    }

    #[test]
    fn values_move_and_change() {
        check(|values| delay(values, 1), &[1.0, 2.0, 3.0], &[N, 1.0, 2.0]);
        check(|values| delay(values, -2), &[1.0, 2.0, 3.0], &[3.0, N, N]);
        check(|values| delay(values, 9), &[1.0, 2.0], &[N, N]);
        check(changed, &[N, 1.0, N, 1.0, 2.0], &[0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn buckets_align_to_their_width_or_to_the_row() {
        let sum = Reducer::Sum(Arithmetic::Plain);
        let of = |from_first| {
            let mut row = Row::default();
            row.reset_to_grid(StepGrid::new(60, 359, 60), 5);
            row.samples.values.copy_from_slice(&[1.0, 2.0, N, 4.0, 5.0]);
            summarize(&mut row, 120, &sum, from_first, 0.6);
            let grid = row.grid.unwrap();
            (
                grid.start_ms,
                row.samples.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
            )
        };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(of(false), (0, bits(&[N, N, 9.0, N])));
        assert_eq!(of(true), (60, bits(&[3.0, N, N])));
    }
}
