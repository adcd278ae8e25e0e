//! Functions of a row whose value at an instant depends on the points before it.

use model::StepGrid;
use plan::MovingWindow;
use plan::semantics::Reducer;

use super::shape::round_to;
use crate::kernels::reduce::reduce;
use crate::row::{ABSENT, Row, is_absent};

/// Smoothing constants of [`seasonal`]; those of the original.
const LEVEL: f64 = 0.1;
const SLOPE: f64 = 0.0035;
const SEASON: f64 = 0.1;

/// Points of a window on steps of `step_ms`.
pub(super) fn window_points(window: MovingWindow, step_ms: i64) -> usize {
    match window {
        MovingWindow::Points(points) => points,
        MovingWindow::Milliseconds(ms) => usize::try_from(ms / step_ms.max(1)).unwrap_or(0),
    }
}

/// Instants that a lead takes, at most all of them.
fn led(row: &Row, grid: StepGrid, lead_ms: i64) -> usize {
    let steps = (lead_ms + grid.step_ms - 1).div_euclid(grid.step_ms.max(1));
    usize::try_from(steps).unwrap_or(0).min(row.values().len())
}

/// A row without its first `skip` instants; values absent.
fn without_lead(row: &Row, grid: StepGrid, skip: usize) -> Row {
    let kept = row.values().len() - skip;
    let start_ms = grid.at(skip);
    let mut out = Row::default();
    let end_ms = start_ms + grid.step_ms * kept as i64 - 1;
    out.reset_to_grid(StepGrid::new(start_ms, end_ms, grid.step_ms), kept);
    out
}

/// Every point from the `points` values that end with it.
pub(super) fn moving(
    row: &mut Row,
    points: usize,
    reducer: &Reducer,
    share_min: f64,
    lead_ms: i64,
) {
    let Some(grid) = row.grid else { return };
    let skip = led(row, grid, lead_ms);
    let mut out = without_lead(row, grid, skip);
    let (mut column, mut scratch) = (Vec::new(), Vec::new());
    for (place, value) in out.samples.values.iter_mut().enumerate() {
        let end = skip + place + 1;
        let window = &row.values()[end.saturating_sub(points)..end];
        column.clear();
        column.extend(window.iter().copied().filter(|value| !is_absent(*value)));
        let share = column.len() as f64 / points.max(1) as f64;
        if !column.is_empty() && share >= share_min {
            *value = reduce(reducer, &column, f64::NAN, column.len(), &mut scratch);
        }
    }
    *row = out;
}

/// Exponentially weighted mean that begins with the mean of the lead.
pub(super) fn exponential(row: &mut Row, window: MovingWindow, lead_ms: i64) {
    let Some(grid) = row.grid else { return };
    let length = match window {
        MovingWindow::Points(points) => points as f64,
        MovingWindow::Milliseconds(ms) => (ms / 1000) as f64,
    };
    let weight = 2.0 / (length + 1.0);
    let skip = led(row, grid, lead_ms);
    let (lead, values) = row.values().split_at(skip);
    let lead: Vec<f64> = lead.iter().copied().filter(|value| !is_absent(*value)).collect();
    let mut mean = lead.iter().sum::<f64>() / lead.len().max(1) as f64;
    let mut out = without_lead(row, grid, skip);
    for (value, out) in values.iter().zip(&mut out.samples.values) {
        if !is_absent(*value) {
            mean = weight * value + (1.0 - weight) * mean;
            *out = round_to(mean, 6);
        }
    }
    *row = out;
}

/// Population deviation of the last `points` values by running sums, as the original computes it.
pub(super) fn deviation(values: &mut [f64], points: usize, share_min: f64) {
    let input = values.to_vec();
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for (index, value) in values.iter_mut().enumerate() {
        let dropped = index.checked_sub(points).map(|place| input[place]);
        let dropped = dropped.filter(|value| !is_absent(*value));
        let added = Some(*value).filter(|value| !is_absent(*value));
        if let Some(dropped) = dropped {
            count -= 1.0;
            sum -= dropped;
            squares -= dropped * dropped;
        }
        if let Some(added) = added {
            count += 1.0;
            sum += added;
            squares += added * added;
        }
        let enough = count > 0.0 && count / points as f64 >= share_min;
        let radicand = count * squares - sum * sum;
        // Rounding can leave a little less than nothing.
        *value = if enough && radicand >= 0.0 { radicand.sqrt() / count } else { ABSENT };
    }
}

/// What of a row's smoothing is known at an instant.
#[derive(Clone, Copy, Default)]
struct State {
    level: Option<f64>,
    slope: f64,
    season: f64,
    deviation: f64,
}

/// Triple exponential smoothing: the prediction, or a band around it.
pub(super) fn seasonal(row: &mut Row, season_ms: i64, lead_ms: i64, deviations: Option<f64>) {
    let Some(grid) = row.grid else { return };
    let season = usize::try_from(season_ms / grid.step_ms.max(1)).unwrap_or(0).max(2);
    let mut states: Vec<State> = Vec::with_capacity(row.values().len());
    let mut predicted = Vec::with_capacity(row.values().len());
    let mut pending = None;
    for (index, value) in row.values().iter().enumerate() {
        let at = |index: usize| {
            index
                .checked_sub(season)
                .and_then(|place| states.get(place))
                .copied()
                .unwrap_or_default()
        };
        if is_absent(*value) {
            predicted.push(pending.take().unwrap_or(ABSENT));
            states.push(State::default());
            continue;
        }
        let (before, next) = (at(index), at(index + 1));
        let last = states.last().copied().unwrap_or_default();
        let last_level = last.level.unwrap_or(*value);
        let prediction = if index == 0 { Some(*value) } else { pending };
        let level = LEVEL * (value - before.season) + (1.0 - LEVEL) * (last_level + last.slope);
        let slope = SLOPE * (level - last_level) + (1.0 - SLOPE) * last.slope;
        let miss = (value - prediction.unwrap_or(0.0)).abs();
        states.push(State {
            level: Some(level),
            slope,
            season: SEASON * (value - level) + (1.0 - SEASON) * before.season,
            deviation: SEASON * miss + (1.0 - SEASON) * before.deviation,
        });
        predicted.push(prediction.unwrap_or(ABSENT));
        pending = Some(level + slope + next.season);
    }
    let skip = usize::try_from(lead_ms / grid.step_ms.max(1)).unwrap_or(0).min(predicted.len());
    let mut out = without_lead(row, grid, skip);
    for (place, value) in out.samples.values.iter_mut().enumerate() {
        let prediction = predicted[skip + place];
        let distance = deviations.map_or(0.0, |many| many * states[skip + place].deviation);
        *value = if is_absent(prediction) { ABSENT } else { prediction + distance };
    }
    *row = out;
}

/// The line through the present points of `source` by least squares, at the instants of `row`; false
/// where there is none.
pub(super) fn trend(row: &mut Row, source: &Row) -> bool {
    let (Some(grid), Some(from)) = (row.grid, source.grid) else { return false };
    let points = source.values().iter().enumerate().filter(|(_, value)| !is_absent(**value));
    let (mut n, mut sum_i, mut sum_v, mut sum_ii, mut sum_iv) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (index, value) in points {
        let index = index as f64;
        n += 1.0;
        sum_i += index;
        sum_v += value;
        sum_ii += index * index;
        sum_iv += index * value;
    }
    let denominator = n * sum_ii - sum_i * sum_i;
    if denominator == 0.0 {
        return false;
    }
    let factor = (n * sum_iv - sum_i * sum_v) / denominator / (from.step_ms as f64 / 1000.0);
    let start_s = from.start_ms as f64 / 1000.0;
    let offset = (sum_ii * sum_v - sum_iv * sum_i) / denominator - factor * start_s;
    for (index, value) in row.samples.values.iter_mut().enumerate() {
        *value = offset + grid.at(index) as f64 / 1000.0 * factor;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::semantics::Arithmetic;

    fn row(values: &[f64]) -> Row {
        let mut row = Row::default();
        row.reset_to_grid(StepGrid::new(0, 60 * values.len() as i64 - 1, 60), values.len());
        row.samples.values.copy_from_slice(values);
        row
    }

    #[test]
    fn windows_end_with_their_point() {
        let mut row = row(&[1.0, 2.0, 3.0, ABSENT, 5.0]);
        moving(&mut row, 2, &Reducer::Sum(Arithmetic::Plain), 0.0, 120);
        assert_eq!(row.grid.map(|grid| grid.start_ms), Some(120));
        assert_eq!(row.values(), [5.0, 3.0, 5.0]);
    }

    #[test]
    fn the_mean_begins_with_the_lead() {
        let mut row = row(&[1.0, 3.0, 4.0, 4.0]);
        exponential(&mut row, MovingWindow::Points(3), 120);
        assert_eq!(row.values(), [3.0, 3.5]);
    }

    #[test]
    fn lines_need_two_points() {
        let mut out = row(&[ABSENT; 3]);
        assert!(trend(&mut out, &row(&[1.0, ABSENT, 5.0])));
        let close = |(got, want): (&f64, &f64)| (got - want).abs() < 1e-9;
        assert!(out.values().iter().zip(&[1.0, 3.0, 5.0]).all(close), "{:?}", out.values());
        assert!(!trend(&mut out, &row(&[1.0, ABSENT, ABSENT])));
    }
}
