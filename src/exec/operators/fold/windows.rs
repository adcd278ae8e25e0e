//! Where windows lie, and which samples fall into them.

use std::sync::Arc;

use model::StepGrid;

use crate::kernels::window::Window;
use crate::row::Row;

/// The windows at the instants of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    pub(super) grid: StepGrid,
    after_ms: i64,
    until_ms: i64,
    fixed: bool,
}

impl Windows {
    /// Edges relative to the instant.
    pub(super) fn moving(grid: StepGrid, after_ms: i64, until_ms: i64) -> Self {
        Self { grid, after_ms, until_ms, fixed: false }
    }

    /// Edges that stand.
    pub(super) fn fixed(grid: StepGrid, after_ms: i64, until_ms: i64) -> Self {
        Self { grid, after_ms, until_ms, fixed: true }
    }

    /// The window of the instant at `index`.
    #[inline]
    pub(super) fn at(&self, index: usize) -> Window {
        let at_ms = self.grid.at(index);
        let base_ms = if self.fixed { 0 } else { at_ms };
        Window {
            at_ms,
            after_ms: base_ms.saturating_add(self.after_ms),
            until_ms: base_ms.saturating_add(self.until_ms),
        }
    }
}

/// The edges that the row's first sample chooses.
pub(super) fn phase_of<'l>(row: &Row, lists: &'l [Arc<[i64]>]) -> Option<&'l Arc<[i64]>> {
    let start = lists.first()?.first()?;
    let first = row.samples.timestamps.iter().find(|at_ms| *at_ms >= start)?;
    let behind = lists.partition_point(|edges| edges.first().is_some_and(|edge| edge <= first));
    lists.get(behind.checked_sub(1)?)
}

/// Moves the window's first sample and the one behind its last.
#[inline(always)]
pub(super) fn advance(
    times: &[i64],
    mut low: usize,
    mut high: usize,
    window: Window,
) -> (usize, usize) {
    while low < times.len() && times[low] <= window.after_ms {
        low += 1;
    }
    high = high.max(low);
    while high < times.len() && times[high] <= window.until_ms {
        high += 1;
    }
    (low, high)
}
