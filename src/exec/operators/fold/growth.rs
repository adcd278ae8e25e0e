//! Growth over the windows of a grid, row after row.
//!
//! Where the windows are cut already, how growth is stretched to their edges is known, too, and a window costs a look at
//! two values.

use crate::kernels::window::{Stretch, WindowState, increase, stretched};
use crate::operators::fold::cuts::Found;
use crate::operators::fold::windows::{Windows, advance};
use crate::row::{ABSENT, Row};

/// Folds rows to growth and remembers how it was stretched.
#[derive(Debug, Default)]
pub(super) struct Growth {
    /// Those of the cuts found last, of windows with two samples or more.
    stretches: Vec<Stretch>,
    /// The number of the stretch of each cut; neighbours mostly share one.
    numbers: Vec<u32>,
}

impl Growth {
    /// Fills the grid row `out` with the growth in each window.
    pub(super) fn fill(
        &mut self,
        (times, values): (&[i64], &[f64]),
        windows: Windows,
        found: Option<Found<'_>>,
        how: (bool, bool),
        state: &mut WindowState,
        out: &mut Row,
    ) {
        let Some(found) = found else {
            return one_by_one((times, values), windows, how, state, out);
        };
        if found.is_new {
            self.stretch(times, windows, found);
        }
        let (counter, per_second) = how;
        let cuts = found.all.iter().zip(&self.numbers);
        for (slot, (cut, number)) in out.samples.values.iter_mut().zip(cuts) {
            let span = (cut.low as usize, cut.high as usize);
            *slot = match self.stretches.get(*number as usize) {
                Some(stretch) => {
                    stretched(values, span, stretch, &state.drops, counter, per_second)
                }
                None => ABSENT,
            };
        }
    }

    /// Finds the stretches of new cuts.
    fn stretch(&mut self, times: &[i64], windows: Windows, found: Found<'_>) {
        let Self { stretches, numbers } = self;
        stretches.clear();
        numbers.clear();
        let mut stretch = Stretch::default();
        numbers.extend(found.all.iter().enumerate().map(|(index, cut)| {
            let (low, high) = (cut.low as usize, cut.high as usize);
            if high - low < 2 {
                return u32::MAX;
            }
            if stretch.set((times[low], times[high - 1]), high - low, windows.at(index)) {
                stretches.push(stretch);
            }
            stretches.len() as u32 - 1
        }));
    }
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
    use crate::operators::fold::cuts::Cuts;

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
        let (mut growth, mut cuts) = (Growth::default(), Cuts::default());
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
            let found = cuts.find(&row.0, windows, windows.grid.len());
            hits += usize::from(found.is_some_and(|found| !found.is_new));
            growth.fill((&row.0, &row.1), windows, found, how, &mut state, &mut got);
            one_by_one((&row.0, &row.1), windows, how, &mut state, &mut want);
            let bits = |row: &Row| row.values().iter().map(|at| at.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&got), bits(&want), "{row:?} {windows:?}");
        }
        assert!(hits > 400, "{hits}");
    }
}
