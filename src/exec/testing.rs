//! A source in memory, for tests of what runs above a store.

use std::sync::Arc;

use model::{
    Hints, Labels, Matcher, SampleKind, Samples, Selection, Source, SourceError, TimeRange,
};

/// Series in memory. Knows one tenant; whoever asks gets it.
#[derive(Clone, Debug, Default)]
pub struct MemorySource {
    series: Vec<(Labels, Vec<(i64, SampleKind, u64)>)>,
    dies_at: Option<usize>,
}

impl MemorySource {
    /// A source without series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds float samples (ms, value); a later sample replaces one at the same instant.
    pub fn add(&mut self, labels: Labels, samples: impl IntoIterator<Item = (i64, f64)>) {
        let floats = samples.into_iter().map(|(at, v)| (at, SampleKind::Float, v.to_bits()));
        self.add_raw(labels, floats);
    }

    /// Adds integer samples.
    pub fn add_integers(&mut self, labels: Labels, samples: impl IntoIterator<Item = (i64, i64)>) {
        let integers = samples.into_iter().map(|(at, v)| (at, SampleKind::Integer, v as u64));
        self.add_raw(labels, integers);
    }

    /// Adds samples of any kind.
    pub fn add_raw(
        &mut self,
        labels: Labels,
        samples: impl IntoIterator<Item = (i64, SampleKind, u64)>,
    ) {
        let place = match self.series.iter().position(|(known, _)| *known == labels) {
            Some(place) => place,
            None => {
                self.series.push((labels, Vec::new()));
                self.series.len() - 1
            }
        };
        let stored = &mut self.series[place].1;
        for sample in samples {
            match stored.binary_search_by_key(&sample.0, |known| known.0) {
                Ok(index) => stored[index] = sample,
                Err(index) => stored.insert(index, sample),
            }
        }
    }

    /// Adds a series whose labels no other series has and whose samples ascend; does not look.
    pub fn push_unchecked(&mut self, labels: Labels, samples: &[(i64, f64)]) {
        let floats = samples.iter().map(|(at, v)| (*at, SampleKind::Float, v.to_bits()));
        self.series.push((labels, floats.collect()));
    }

    /// Panics when the series at this place of a selection is read.
    pub fn dying_at(self, index: usize) -> Self {
        Self { dies_at: Some(index), ..self }
    }

    fn selected(&self, matchers: &[Matcher], range: TimeRange) -> Vec<usize> {
        let passes = |labels: &Labels| {
            matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
        };
        let inside =
            |samples: &[(i64, SampleKind, u64)]| samples.iter().any(|(at, ..)| range.contains(*at));
        let chosen = self.series.iter().enumerate();
        chosen.filter(|(_, (l, s))| passes(l) && inside(s)).map(|(index, _)| index).collect()
    }
}

struct MemorySelection {
    series: Vec<(Labels, Samples)>,
    dies_at: Option<usize>,
}

impl Selection for MemorySelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series[index].0.clone()
    }

    fn read(&self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        assert_ne!(Some(index), self.dies_at, "the series that kills");
        let samples = &self.series[index].1;
        out.timestamps.clone_from(&samples.timestamps);
        out.values.clone_from(&samples.values);
        out.integers.clone_from(&samples.integers);
        Ok(())
    }
}

/// The series of a [`MemorySource`] as columns: selecting by metric name alone and reading cost next
/// to nothing, so that benches measure operators.
#[derive(Debug)]
pub struct ColumnSource {
    series: Arc<Vec<(Labels, Samples)>>,
}

impl ColumnSource {
    /// Copies `source`.
    pub fn new(source: &MemorySource) -> Self {
        let column = |(labels, stored): &(Labels, Vec<(i64, SampleKind, u64)>)| {
            let mut samples = Samples::default();
            stored.iter().for_each(|(at, kind, bits)| samples.push(*at, *kind, *bits));
            (labels.clone(), samples)
        };
        Self { series: Arc::new(source.series.iter().map(column).collect()) }
    }
}

struct ColumnSelection {
    series: Arc<Vec<(Labels, Samples)>>,
    chosen: Vec<usize>,
}

impl Selection for ColumnSelection {
    fn len(&self) -> usize {
        self.chosen.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.series[self.chosen[index]].0.clone()
    }

    fn read(&self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        let samples = &self.series[self.chosen[index]].1;
        out.timestamps.clone_from(&samples.timestamps);
        out.values.clone_from(&samples.values);
        Ok(())
    }
}

impl Source for ColumnSource {
    fn select(
        &self,
        matchers: &[Matcher],
        _range: TimeRange,
        _hints: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError> {
        let passes = |labels: &Labels| {
            matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
        };
        let places = 0..self.series.len();
        let chosen = places.filter(|place| passes(&self.series[*place].0)).collect();
        Ok(Box::new(ColumnSelection { series: Arc::clone(&self.series), chosen }))
    }
}

impl Source for MemorySource {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError> {
        let mut series: Vec<(Labels, Samples)> = Vec::new();
        for index in self.selected(matchers, range) {
            let (labels, stored) = &self.series[index];
            let mut samples = Samples::default();
            for (at, kind, bits) in stored.iter().filter(|(at, ..)| range.contains(*at)) {
                samples.push(*at, *kind, *bits);
            }
            if !hints.integers {
                samples.integers.clear();
            }
            series.push((labels.clone(), samples));
        }
        if hints.sorted {
            series.sort_by(|left, right| left.0.cmp(&right.0));
        }
        Ok(Box::new(MemorySelection { series, dies_at: self.dies_at }))
    }
}
