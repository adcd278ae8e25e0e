//! Where the windows of a grid cut rows, remembered from row to row.
//!
//! Series of one target are written together, so a row often has the very times of the row before: what is found out
//! about these serves all of them. Rows with times of their own are only told from the others by their ends.

use crate::operators::fold::windows::{Windows, advance};

/// The first sample of a window, and the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) low: u32,
    pub(super) high: u32,
}

/// The cuts of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'c> {
    /// One for each window.
    pub(super) all: &'c [Cut],
    /// They are others than those found before.
    pub(super) is_new: bool,
}

/// Finds cuts.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// The windows and the times that were cut last.
    windows: Option<Windows>,
    times: Vec<i64>,
    all: Vec<Cut>,
    /// They have served a row since they were found, or are known not to have.
    is_judged: bool,
    /// Ends of the row before, and how many rows in front of it had the same.
    before: Option<(usize, i64, i64)>,
    alike: u32,
    /// So many rows must have had the same ends before a row is cut to be remembered: more where that was in vain.
    patience: u32,
}

/// [`Cuts::patience`] at most.
const PATIENCE_MAX: u32 = 8;

impl Cuts {
    /// Where `windows`, so many as there are `steps`, cut a row with these times. `None` for rows that seem to have times
    /// of their own: to remember these costs more than to look at the windows one by one.
    pub(super) fn find(
        &mut self,
        times: &[i64],
        windows: Windows,
        steps: usize,
    ) -> Option<Found<'_>> {
        let ends = ends_of(times);
        let is_alike = std::mem::replace(&mut self.before, ends) == ends;
        self.alike = if is_alike { self.alike.saturating_add(1) } else { 0 };
        if ends == ends_of(&self.times) && self.windows == Some(windows) && self.times == times {
            (self.is_judged, self.patience) = (true, 1);
            return Some(Found { all: &self.all, is_new: false });
        }
        if self.windows.is_some() {
            if !is_alike && !std::mem::replace(&mut self.is_judged, true) {
                self.patience = (self.patience + 1).min(PATIENCE_MAX);
            }
            if self.alike < self.patience {
                return None;
            }
        }
        self.windows = Some(windows);
        self.is_judged = false;
        self.times.clear();
        self.times.extend_from_slice(times);
        let (mut low, mut high) = (0, 0);
        self.all.clear();
        self.all.extend((0..steps).map(|index| {
            (low, high) = advance(times, low, high, windows.at(index));
            Cut { low: low as u32, high: high as u32 }
        }));
        Some(Found { all: &self.all, is_new: true })
    }
}

fn ends_of(times: &[i64]) -> Option<(usize, i64, i64)> {
    Some((times.len(), *times.first()?, *times.last()?))
}

#[cfg(test)]
mod tests {
    use model::StepGrid;

    use super::*;

    /// How many rows are cut anew and how many served, of rows of which `run` each have the same times.
    fn count(run: i64) -> (usize, usize) {
        let windows = Windows::moving(StepGrid::new(0, 1000, 100), -300, 0);
        let mut cuts = Cuts::default();
        let (mut new, mut served) = (0, 0);
        for row in 0..600 {
            let times: Vec<i64> = (0..100).map(|at| row / run + at * 10).collect();
            let Some(found) = cuts.find(&times, windows, windows.grid.len()) else { continue };
            let inside = |window: usize, at_ms: i64| {
                let window = windows.at(window);
                window.after_ms < at_ms && at_ms <= window.until_ms
            };
            for (window, cut) in found.all.iter().enumerate() {
                let want = times.iter().filter(|at_ms| inside(window, **at_ms)).count();
                assert_eq!((cut.high - cut.low) as usize, want, "window {window} of row {row}");
            }
            new += usize::from(found.is_new);
            served += usize::from(!found.is_new);
        }
        (new, served)
    }

    #[test]
    fn rows_are_cut_where_that_serves_others() {
        assert_eq!(count(600), (1, 599));
        assert_eq!(count(1), (1, 0));
        // The first pair shows nothing; the second one that it was in vain.
        assert_eq!(count(2), (2, 1));
        // The first row of each run stands alone, the second one is cut.
        assert_eq!(count(3), (200, 201));
        assert_eq!(count(100), (6, 589));
    }
}
