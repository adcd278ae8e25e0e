//! Rows on a grid, looked at 64 steps at a time ([`presence`]).

use model::StepGrid;

use crate::kernels::presence::{self, WORD, full, steps_of};
use crate::row::Row;

impl Row {
    /// Makes this a plain row on `grid`, whatever else was known of its points.
    pub(crate) fn lie_on(&mut self, grid: StepGrid, steps: usize) {
        self.grid = Some(grid);
        self.held = false;
        self.hidden = None;
        let samples = &mut self.samples;
        samples.timestamps.clear();
        samples.integers.clear();
        samples.starts.clear();
        samples.summaries.clear();
        samples.values.resize(steps, super::ABSENT);
        if !samples.histograms.is_empty() {
            samples.histograms.resize(steps, None);
        }
    }

    /// Which steps of a word have a point.
    #[inline]
    pub(crate) fn present_at(&self, word: usize) -> u64 {
        let from = word * WORD;
        let run = |len: usize| from.min(len)..(from + WORD).min(len);
        let floats = presence::word_of(&self.values()[run(self.values().len())]);
        let histograms = &self.samples.histograms;
        let bit = |(at, one): (usize, &Option<_>)| u64::from(one.is_some()) << at;
        let histograms = histograms[run(histograms.len())].iter().enumerate().map(bit);
        histograms.fold(floats, |word, bit| word | bit)
    }

    /// Puts `value` at the steps of `words`.
    pub(crate) fn set_at(&mut self, words: &[u64], value: f64) {
        for (word, steps) in words.iter().enumerate() {
            let from = word * WORD;
            let count = self.values().len().saturating_sub(from).min(WORD);
            for step in steps_of(steps & full(count)) {
                self.clear_at(from + step);
                self.samples.values[from + step] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Histogram;

    use super::*;
    use crate::row::{ABSENT, Point, is_absent};

    #[test]
    fn points_are_found_and_put_by_words() {
        let grid = StepGrid::new(0, 69, 1);
        let mut row = Row::default();
        row.reset_to_grid(grid, 70);
        row.samples.values[3] = f64::NAN;
        row.set_point(66, Point::Histogram(Arc::new(Histogram::default())));
        assert_eq!([0, 1, 2].map(|word| row.present_at(word)), [1 << 3, 1 << 2, 0]);
        row.set_at(&[1, u64::MAX], 7.0);
        assert_eq!([0, 1].map(|word| row.present_at(word)), [1 | 1 << 3, full(6)]);
        assert!(row.samples.histogram(66).is_none() && row.values()[69] == 7.0);
        row.set_at(&[1 << 3, 0], ABSENT);
        assert!(is_absent(row.values()[3]));
        row.lie_on(grid, 70);
        assert_eq!(row.point_count(), 7);
    }
}
