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
    /// Of the row before: number of samples, first and last time.
    before: Option<(usize, i64, i64)>,
}

impl Cuts {
    /// Where `windows`, so many as there are `steps`, cut a row with these times. `None` for rows that seem to have times
    /// of their own: to remember these costs more than to look at the windows one by one.
    pub(super) fn find(
        &mut self,
        times: &[i64],
        windows: Windows,
        steps: usize,
    ) -> Option<Found<'_>> {
        if self.windows == Some(windows) && self.times == times {
            return Some(Found { all: &self.all, is_new: false });
        }
        let ends = ends_of(times);
        let is_alone = std::mem::replace(&mut self.before, ends) != ends;
        if is_alone && self.windows.is_some() {
            return None;
        }
        self.windows = Some(windows);
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
