//! Ascending sets of ordinals as runs: what a dictionary finds is mostly whole branches.

use std::ops::Range;

/// Ordinals in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    /// Not empty, ascending, with gaps between them.
    runs: Vec<Range<u32>>,
    count: usize,
}

impl Runs {
    /// Number of ordinals.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The runs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u32>> {
        self.runs.iter().cloned()
    }

    /// Adds an ordinal that is larger than all in the set.
    #[inline]
    pub(crate) fn push(&mut self, ordinal: u32) {
        self.push_run(ordinal..ordinal.saturating_add(1));
    }

    /// Adds ordinals; those that are not larger than all in the set must be in it.
    #[inline]
    pub(crate) fn push_run(&mut self, run: Range<u32>) {
        match self.runs.last_mut() {
            Some(last) if run.start <= last.end => {
                self.count += run.end.saturating_sub(last.end) as usize;
                last.end = last.end.max(run.end);
            }
            _ if run.is_empty() => {}
            _ => {
                self.count += run.len();
                self.runs.push(run);
            }
        }
    }

    /// The ordinals of `range` that are not in the set, all of which are in `range`.
    pub(crate) fn gaps(&self, range: Range<u32>) -> Self {
        let mut gaps = Self::default();
        let mut start = range.start;
        for run in &self.runs {
            gaps.push_run(start..run.start);
            start = run.end;
        }
        gaps.push_run(start..range.end);
        gaps
    }

    /// What is in any of the sets.
    pub(crate) fn united(sets: Vec<Self>) -> Self {
        let mut all: Vec<Range<u32>> = sets.into_iter().flat_map(|set| set.runs).collect();
        // Stable, since that sort sees the ascending sets.
        all.sort_by_key(|run| run.start);
        let mut united = Self::default();
        all.into_iter().for_each(|run| united.push_run(run));
        united
    }
}

impl From<Range<u32>> for Runs {
    fn from(range: Range<u32>) -> Self {
        let mut runs = Self::default();
        runs.push_run(range);
        runs
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use base::rng::Rng;

    #[test]
    fn runs_are_sets() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let mut sets: Vec<BTreeSet<u32>> = Vec::new();
            let mut runs = Vec::new();
            for _ in 0..3 {
                let set: BTreeSet<u32> =
                    (0..rng.below(200)).map(|_| 10 + rng.below(100) as u32).collect();
                let mut run = Runs::default();
                set.iter().for_each(|ordinal| run.push(*ordinal));
                assert_eq!(run.len(), set.len());
                let gaps: Vec<u32> = run.gaps(5..120).iter().flatten().collect();
                let expected: Vec<u32> = (5..120).filter(|at| !set.contains(at)).collect();
                assert_eq!(gaps, expected, "seed {seed}");
                runs.push(run);
                sets.push(set);
            }
            let united = Runs::united(runs);
            let expected: BTreeSet<u32> = sets.into_iter().flatten().collect();
            assert_eq!(united.len(), expected.len(), "seed {seed}");
            assert!(united.iter().flatten().eq(expected), "seed {seed}");
        }
        assert_eq!(Runs::from(3..3), Runs::default());
    }
}
