//! Instants, ranges and grids. Every instant is an `i64` of milliseconds since the Unix epoch.

/// Whose data it is. Single users never see it: they are [`TenantId::DEFAULT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(pub u32);

impl TenantId {
    /// The tenant of everybody who names none.
    pub const DEFAULT: TenantId = TenantId(0);
}

/// A span of time with **both ends included**. Empty when `start_ms > end_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First instant.
    pub start_ms: i64,
    /// Last instant.
    pub end_ms: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { start_ms: i64::MIN, end_ms: i64::MAX };

    /// The range from `start_ms` to `end_ms`, both included.
    pub fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start_ms, end_ms }
    }

    /// True when no instant lies inside.
    pub fn is_empty(&self) -> bool {
        self.start_ms > self.end_ms
    }

    /// True when `instant_ms` lies inside.
    pub fn contains(&self, instant_ms: i64) -> bool {
        self.start_ms <= instant_ms && instant_ms <= self.end_ms
    }

    /// True when the two share an instant.
    pub fn overlaps(&self, other: &TimeRange) -> bool {
        self.start_ms <= other.end_ms && other.start_ms <= self.end_ms
    }

    /// The instants that both share; empty when there are none.
    pub fn intersect(&self, other: &TimeRange) -> TimeRange {
        TimeRange::new(self.start_ms.max(other.start_ms), self.end_ms.min(other.end_ms))
    }

    /// The smallest range that holds both.
    pub fn hull(&self, other: &TimeRange) -> TimeRange {
        TimeRange::new(self.start_ms.min(other.start_ms), self.end_ms.max(other.end_ms))
    }
}

/// The instants `start, start + step, … ≤ end`. A single instant has `start == end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StepGrid {
    /// First instant.
    pub start_ms: i64,
    /// Last instant that may be on the grid.
    pub end_ms: i64,
    /// Distance of two instants; at least 1.
    pub step_ms: i64,
}

impl StepGrid {
    /// The grid from `start_ms` to at most `end_ms`.
    pub fn new(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        Self { start_ms, end_ms, step_ms: step_ms.max(1) }
    }

    /// The grid of one instant.
    pub fn instant(at_ms: i64) -> Self {
        Self::new(at_ms, at_ms, 1)
    }

    /// Number of instants.
    pub fn len(&self) -> usize {
        if self.end_ms < self.start_ms {
            return 0;
        }
        // i128: a grid over all of time must not overflow.
        let span = i128::from(self.end_ms) - i128::from(self.start_ms);
        usize::try_from(span / i128::from(self.step_ms) + 1).unwrap_or(usize::MAX)
    }

    /// True when the grid has no instant.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The instant at `index`.
    pub fn at(&self, index: usize) -> i64 {
        self.start_ms.wrapping_add(self.step_ms.wrapping_mul(index as i64))
    }

    /// The instants in order.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.len()).map(|index| self.at(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_count_their_instants() {
        assert_eq!(StepGrid::new(0, 10, 5).len(), 3);
        assert_eq!(StepGrid::new(0, 9, 5).len(), 2);
        assert_eq!(StepGrid::new(1, 0, 5).len(), 0);
        assert_eq!(StepGrid::instant(7).iter().collect::<Vec<_>>(), vec![7]);
    }

    #[test]
    fn ranges_include_both_ends() {
        let range = TimeRange::new(1, 3);
        assert!(range.contains(1) && range.contains(3) && !range.contains(4));
        assert!(range.overlaps(&TimeRange::new(3, 9)) && !range.overlaps(&TimeRange::new(4, 9)));
    }
}
