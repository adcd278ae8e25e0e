//! What the head holds, counted for status pages: one walk over all label pairs, a few thousand at a
//! time, with memory for no more than is asked for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use model::METRIC_NAME;

use super::HeadIndex;

/// Pairs counted between two releases of the lock.
const PAIRS_STEP: usize = 4096;
/// Bytes of the two lengths in front of a name and its value.
const LENGTHS_BYTES: u64 = 2;

/// The largest counts, largest first, ties by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadStatistics {
    /// Number of distinct label pairs.
    pub pairs: u64,
    /// Series by metric name.
    pub metrics: Vec<(String, u64)>,
    /// Values by label name.
    pub values: Vec<(String, u64)>,
    /// Bytes of names and values in all series, by label name.
    pub bytes: Vec<(String, u64)>,
    /// Series by `name=value`.
    pub series: Vec<(String, u64)>,
}

/// The `limit` largest counts of those that were pushed.
struct Largest {
    limit: usize,
    kept: BinaryHeap<Reverse<(u64, Reverse<String>)>>,
}

impl Largest {
    fn new(limit: usize) -> Self {
        Self { limit, kept: BinaryHeap::new() }
    }

    fn push(&mut self, count: u64, name: impl FnOnce() -> String) {
        let is_full = self.kept.len() >= self.limit;
        if is_full && self.kept.peek().is_none_or(|Reverse((least, _))| count < *least) {
            return;
        }
        self.kept.push(Reverse((count, Reverse(name()))));
        if is_full {
            self.kept.pop();
        }
    }

    fn finish(self) -> Vec<(String, u64)> {
        let sorted = self.kept.into_sorted_vec();
        sorted.into_iter().map(|Reverse((count, Reverse(name)))| (name, count)).collect()
    }
}

impl HeadIndex {
    /// Counts of everything, at most `limit` of a kind.
    pub fn statistics(&self, limit: usize) -> HeadStatistics {
        let (mut metrics, mut series) = (Largest::new(limit), Largest::new(limit));
        let mut pairs = 0;
        let mut bytes: Vec<u64> = Vec::new();
        let end = self.state.read().pairs.end();
        for start in (0..end).step_by(PAIRS_STEP) {
            let state = self.state.read();
            let names = state.pairs.names();
            bytes.resize(names.len().max(bytes.len()), 0);
            for pair in start as u32..(start + PAIRS_STEP).min(end) as u32 {
                let count = state.postings.get(pair as usize).map_or(0, |list| list.len());
                let number = state.pairs.name_of(pair) as usize;
                let Some(name) = names.get(number).filter(|_| count > 0) else { continue };
                pairs += 1;
                let value = state.pairs.value(pair);
                let text = || String::from_utf8_lossy(value);
                bytes[number] += (name.len() as u64 + value.len() as u64 + LENGTHS_BYTES) * count;
                if &**name == METRIC_NAME {
                    metrics.push(count, || text().into_owned());
                }
                series.push(count, || format!("{name}={}", text()));
            }
        }
        let (mut values, mut sizes) = (Largest::new(limit), Largest::new(limit));
        for label in self.cardinality().labels {
            values.push(label.values, || label.name.clone());
        }
        for (name, size) in self.state.read().pairs.names().iter().zip(bytes) {
            if size > 0 {
                sizes.push(size, || name.to_string());
            }
        }
        HeadStatistics {
            pairs,
            metrics: metrics.finish(),
            values: values.finish(),
            bytes: sizes.finish(),
            series: series.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Labels, SeriesHasher};

    use super::*;

    #[test]
    fn the_largest_come_first() {
        let head = HeadIndex::new();
        let hasher = SeriesHasher::with_seed(1);
        for (name, host) in [("up", "a"), ("up", "bb"), ("load", "a")] {
            let labels = Labels::from_pairs([("__name__", name), ("host", host)]);
            head.insert(hasher.hash(labels.as_packed()), labels.view()).unwrap();
        }
        let found = head.statistics(2);
        let of = |name: &str, count| (name.to_owned(), count);
        assert_eq!(found.pairs, 4);
        assert_eq!(found.metrics, [of("up", 2), of("load", 1)]);
        assert_eq!(found.values, [of("__name__", 2), of("host", 2)]);
        // (8 + 2 + 2) * 2 + (8 + 4 + 2) and (4 + 1 + 2) * 2 + (4 + 2 + 2)
        assert_eq!(found.bytes, [of("__name__", 38), of("host", 22)]);
        assert_eq!(found.series, [of("__name__=up", 2), of("host=a", 2)]);
    }
}
