//! What was selected lately: dashboards ask for the same series every few seconds.
//!
//! Invariants: what is kept for the matchers of an index is what passes of its series below `end`, dropped ones
//! perhaps among them, and stays so, since numbers are not reused and labels of a series never change; all of
//! it takes about as many bytes as were allowed (tests: `what_was_used_last_stays`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::codec::{put_bytes, put_uvarint};
use base::metrics::Metrics;
use hashbrown::{Equivalent, HashMap};
use model::matcher::{Matcher, ValueTest};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

/// One entry takes so small a part of all bytes, or is not kept.
const ENTRY_SHARE: usize = 16;
/// Bytes of an entry beside its matchers and its series.
const ENTRY_BYTES: usize = 128;

/// The number of an index, so that all of a store may share one cache. Not given twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IndexNumber(u64);

impl IndexNumber {
    /// A number that no index has.
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The series that pass some matchers.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    /// All series of the index that pass and have a smaller number.
    pub(crate) series: Arc<RoaringBitmap>,
    /// The first number that was not looked at.
    pub(crate) end: u32,
}

/// Sets of series by the matchers that selected them, for any number of indexes. What was not asked for since
/// half of the bytes came new is forgotten.
#[derive(Debug)]
pub struct SelectCache {
    bytes_max: usize,
    metrics: Arc<Metrics>,
    kept: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Selected>,
    old: HashMap<Key, Selected>,
    young_bytes: usize,
    old_bytes: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    index: IndexNumber,
    matchers: Box<[u8]>,
}

/// A [`Key`] to look for.
#[derive(Hash)]
struct Wanted<'a> {
    index: IndexNumber,
    matchers: &'a [u8],
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.index == key.index && *self.matchers == *key.matchers
    }
}

impl SelectCache {
    /// Keeps about `bytes_max` at most; `metrics` counts how often that helps.
    pub fn new(bytes_max: usize, metrics: Arc<Metrics>) -> Self {
        Self { bytes_max, metrics, kept: Mutex::default() }
    }

    /// What `matchers`, as [`name_of`] writes them, were found to select in `index`.
    pub(crate) fn get(&self, index: IndexNumber, matchers: &[u8]) -> Option<Selected> {
        let found = self.kept.lock().get(&Wanted { index, matchers }, self.bytes_max / 2);
        let counter = match found {
            Some(_) => &self.metrics.select_cache_hits,
            None => &self.metrics.select_cache_misses,
        };
        counter.inc();
        found
    }

    /// Keeps what `matchers` select in `index`, unless it is large.
    pub(crate) fn put(&self, index: IndexNumber, matchers: &[u8], selected: Selected) {
        if bytes_of(matchers, &selected) > self.bytes_max / ENTRY_SHARE {
            return;
        }
        let key = Key { index, matchers: matchers.into() };
        let mut kept = self.kept.lock();
        kept.put(key, selected, self.bytes_max / 2);
        self.metrics.select_cache_bytes.set((kept.young_bytes + kept.old_bytes) as i64);
    }
}

impl Generations {
    fn get(&mut self, wanted: &Wanted<'_>, half: usize) -> Option<Selected> {
        if let Some(found) = self.young.get(wanted) {
            return Some(found.clone());
        }
        let (key, found) = self.old.remove_entry(wanted)?;
        self.old_bytes -= bytes_of(&key.matchers, &found);
        self.put(key, found.clone(), half);
        Some(found)
    }

    fn put(&mut self, key: Key, selected: Selected, half: usize) {
        self.young_bytes += bytes_of(&key.matchers, &selected);
        let matchers = key.matchers.len();
        if let Some(before) = self.young.insert(key, selected) {
            self.young_bytes -= matchers + bytes_of(&[], &before);
        }
        if self.young_bytes > half {
            self.old = std::mem::take(&mut self.young);
            self.old_bytes = std::mem::take(&mut self.young_bytes);
        }
    }
}

/// About how much memory an entry takes.
fn bytes_of(matchers: &[u8], selected: &Selected) -> usize {
    ENTRY_BYTES + matchers.len() + selected.series.serialized_size()
}

/// Writes down what `matchers` say, each in a way of its own.
pub(crate) fn name_of(matchers: &[Matcher]) -> Vec<u8> {
    let mut name = Vec::with_capacity(64 * matchers.len());
    for Matcher { name: label, test } in matchers {
        put_bytes(&mut name, label.as_bytes());
        let (kind, text) = match test {
            ValueTest::Equal(text) => (0, text.as_str()),
            ValueTest::NotEqual(text) => (1, text.as_str()),
            ValueTest::Regex(pattern) => (2, pattern.as_str()),
            ValueTest::NotRegex(pattern) => (3, pattern.as_str()),
            ValueTest::OneOf(texts) => {
                name.push(4);
                put_uvarint(&mut name, texts.len() as u64);
                texts.iter().for_each(|text| put_bytes(&mut name, text.as_bytes()));
                continue;
            }
        };
        name.push(kind);
        put_bytes(&mut name, text.as_bytes());
    }
    name
}

#[cfg(test)]
mod tests {
    use model::matcher::Pattern;

    use super::*;

    fn selected(series: std::ops::Range<u32>) -> Selected {
        let end = series.end;
        Selected { series: Arc::new(series.collect()), end }
    }

    #[test]
    fn what_was_used_last_stays() {
        let metrics = Arc::new(Metrics::default());
        let cache = SelectCache::new(64 << 10, metrics.clone());
        let (index, other) = (IndexNumber::next(), IndexNumber::next());
        cache.put(index, b"often", selected(0..9));
        for round in 0..10_000u32 {
            assert!(cache.get(index, b"often").is_some(), "{round}");
            cache.put(index, &round.to_le_bytes(), selected(0..round % 100));
            assert!(metrics.select_cache_bytes.get() <= (64 << 10) + (4 << 10), "{round}");
        }
        assert!(cache.get(index, &9_999u32.to_le_bytes()).is_some_and(|one| one.end == 99));
        assert!(cache.get(index, &0u32.to_le_bytes()).is_none(), "forgotten");
        assert!(cache.get(other, b"often").is_none(), "of another index");
        cache.put(index, b"large", selected(0..4096));
        assert!(cache.get(index, b"large").is_none(), "not kept");
        assert_eq!(
            (metrics.select_cache_hits.get(), metrics.select_cache_misses.get()),
            (10_001, 3)
        );
    }

    #[test]
    fn different_matchers_have_different_names() {
        let pattern = |text: &str| Pattern::new(text).unwrap();
        let one_of =
            |texts: &[&str]| ValueTest::OneOf(texts.iter().map(|s| s.to_string()).collect());
        let sets = [
            vec![],
            vec![Matcher::equal("a", "b")],
            vec![Matcher::equal("a", "b"), Matcher::equal("a", "b")],
            vec![Matcher::equal("ab", "")],
            vec![Matcher::equal("", "ab")],
            vec![Matcher::new("a", ValueTest::NotEqual("b".into()))],
            vec![Matcher::new("a", ValueTest::Regex(pattern("b")))],
            vec![Matcher::new("a", ValueTest::NotRegex(pattern("b")))],
            vec![Matcher::new("a", one_of(&["b"]))],
            vec![Matcher::new("a", one_of(&["b", "c"]))],
            vec![Matcher::new("a", one_of(&["b"])), Matcher::equal("c", "")],
            vec![Matcher::equal("a", "b"), Matcher::equal("c", "d")],
            vec![Matcher::equal("c", "d"), Matcher::equal("a", "b")],
        ];
        let names: std::collections::BTreeSet<_> = sets.iter().map(|set| name_of(set)).collect();
        assert_eq!(names.len(), sets.len());
    }
}
