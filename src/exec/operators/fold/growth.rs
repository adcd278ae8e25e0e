//! Growth over the windows of a grid, row after row.
//!
//! Series of one target are written together, so a row often has the very times of the row before. Where windows cut
//! these, and how growth is stretched to their edges, is found once then, and a window costs a look at two values.
//! Rows with times of their own cost what they would without, but for the first one.

use crate::kernels::window::{Stretch, WindowState, increase, stretched};
use crate::operators::fold::windows::{Windows, advance};
use crate::row::{ABSENT, Row};

/// Where a window cuts the rows, and the number of its stretch.
#[derive(Clone, Copy, Debug)]
struct Cut {
    low: u32,
    high: u32,
    stretch: u32,
}

/// Folds rows to growth and remembers where windows cut them.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// The windows and the times that were cut last.
    windows: Option<Windows>,
    times: Vec<i64>,
    cuts: Vec<Cut>,
    /// Those of windows with two samples or more; neighbours mostly share one.
    stretches: Vec<Stretch>,
    /// Of the row before: number of samples, first and last time.
    before: Option<(usize, i64, i64)>,
}

impl Growth {
    /// Fills the grid row `out` with the growth in each window.
    pub(super) fn fill(
        &mut self,
        (times, values): (&[i64], &[f64]),
        windows: Windows,
        how: (bool, bool),
        state: &mut WindowState,
        out: &mut Row,
    ) {
        if !self.is_cut(times, windows) {
            let ends = ends_of(times);
            let is_alone = std::mem::replace(&mut self.before, ends) != ends;
            if is_alone && self.windows.is_some() {
                return one_by_one((times, values), windows, how, state, out);
            }
            self.cut(times, windows, out.samples.values.len());
        }
        let (counter, per_second) = how;
        for (slot, cut) in out.samples.values.iter_mut().zip(&self.cuts) {
            let span = (cut.low as usize, cut.high as usize);
            *slot = match self.stretches.get(cut.stretch as usize) {
                Some(stretch) => {
                    stretched(values, span, stretch, &state.drops, counter, per_second)
                }
                None => ABSENT,
            };
        }
    }

    fn is_cut(&self, times: &[i64], windows: Windows) -> bool {
        self.windows == Some(windows) && self.times == times
    }

    /// Finds where `windows`, so many as there are `steps`, cut `times`.
    fn cut(&mut self, times: &[i64], windows: Windows, steps: usize) {
        self.windows = Some(windows);
        self.times.clear();
        self.times.extend_from_slice(times);
        self.stretches.clear();
        self.cuts.clear();
        let (mut low, mut high) = (0, 0);
        let mut stretch = Stretch::default();
        let cut = |index| {
            let window = windows.at(index);
            (low, high) = advance(times, low, high, window);
            let mut number = u32::MAX;
            if high - low >= 2 {
                if stretch.set((times[low], times[high - 1]), high - low, window) {
                    self.stretches.push(stretch);
                }
                number = self.stretches.len() as u32 - 1;
            }
            Cut { low: low as u32, high: high as u32, stretch: number }
        };
        self.cuts.extend((0..steps).map(cut));
    }
}

fn ends_of(times: &[i64]) -> Option<(usize, i64, i64)> {
    Some((times.len(), *times.first()?, *times.last()?))
}

/// The same of a row with times of its own.
fn one_by_one(
    samples: (&[i64], &[f64]),
    windows: Windows,
    (counter, per_second): (bool, bool),
    state: &mut WindowState,
    out: &mut Row,
) {
    let (mut low, mut high) = (0, 0);
    for (index, slot) in out.samples.values.iter_mut().enumerate() {
        let window = windows.at(index);
        (low, high) = advance(samples.0, low, high, window);
        *slot = increase(samples, (low, high), window, counter, per_second, state);
    }
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;
    use model::StepGrid;

    use super::*;

    fn row_of(rng: &mut Rng, from_ms: i64, count: usize) -> (Vec<i64>, Vec<f64>) {
        let mut at_ms = from_ms;
        let times = (0..count).map(|_| {
            at_ms += 10 + if rng.below(20) == 0 { rng.below(90) as i64 } else { 0 };
            at_ms
        });
        let times: Vec<i64> = times.collect();
        let values = times.iter().map(|_| rng.below(40) as f64 * 0.3).collect();
        (times, values)
    }

    /// Rows whose times repeat, return and change, over windows that change, too.
    #[test]
    fn remembered_cuts_say_what_each_row_says_alone() {
        let mut rng = Rng::new(21);
        let mut growth = Growth::default();
        let mut row = (Vec::new(), Vec::new());
        let (mut windows, mut hits) = (None, 0);
        for _ in 0..4000 {
            if windows.is_none() || rng.below(50) == 0 {
                let until_ms = 100 + rng.below(700) as i64;
                let grid = StepGrid::new(rng.below(90) as i64, until_ms, 1 + rng.below(60) as i64);
                windows = Some(Windows::moving(grid, -(rng.below(80) as i64) - 1, 0));
            }
            let Some(windows) = windows else { continue };
            match rng.below(5) {
                0 => row = row_of(&mut rng, 0, 0),
                1 => {
                    let (from_ms, count) = (rng.below(100) as i64, rng.below(60) as usize);
                    row = row_of(&mut rng, from_ms, count);
                }
                // The same ends, but other times between them.
                2 if row.0.len() > 2 => row.0[1] = row.0[0] + 1,
                // The same times.
                _ => row.1.iter_mut().for_each(|value| *value = rng.below(40) as f64 * 0.3),
            }
            let how = (rng.below(2) == 0, rng.below(2) == 0);
            let mut state = WindowState::default();
            state.drops.find(&row.1);
            let (mut got, mut want) = (Row::default(), Row::default());
            for out in [&mut got, &mut want] {
                out.reset_to_grid(windows.grid, windows.grid.len());
            }
            hits += usize::from(growth.is_cut(&row.0, windows));
            growth.fill((&row.0, &row.1), windows, how, &mut state, &mut got);
            one_by_one((&row.0, &row.1), windows, how, &mut state, &mut want);
            let bits = |row: &Row| row.values().iter().map(|at| at.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&want), "{row:?} {windows:?}");
        }
        assert!(hits > 400, "{hits}");
    }
}
