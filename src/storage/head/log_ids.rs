//! The log's number of each series of the head.
//!
//! Numbers of the head are never given twice, so the ones in use drift upwards for ever. They are kept in
//! chunks, and a chunk whose series the head has forgotten is gone: what a head has ever seen costs a
//! thousandth of what it holds.

use std::sync::Arc;

use roaring::RoaringBitmap;

/// Series of one chunk: a page of memory.
const CHUNK: usize = 512;

/// By number of the head; 0 where the log has no record of the series. A clone shares every chunk that
/// does not change while it lives.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogIds(Vec<Option<Arc<[u64; CHUNK]>>>);

impl LogIds {
    /// The log's number of `id`.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> u64 {
        let chunk = self.0.get(id as usize / CHUNK).and_then(Option::as_ref);
        chunk.map_or(0, |chunk| chunk[id as usize % CHUNK])
    }

    /// Notes the log's number of `id`; 0 takes it back.
    pub(crate) fn set(&mut self, id: u32, log_id: u64) {
        let (number, index) = (id as usize / CHUNK, id as usize % CHUNK);
        if number >= self.0.len() {
            self.0.resize(number + 1, None);
        }
        let chunk = self.0[number].get_or_insert_with(|| Arc::new([0; CHUNK]));
        Arc::make_mut(chunk)[index] = log_id;
    }

    /// Takes back the numbers of all series that are not in `keep`.
    pub(crate) fn retain(&mut self, keep: &RoaringBitmap) {
        for (number, slot) in self.0.iter_mut().enumerate() {
            let Some(chunk) = slot else { continue };
            let first = (number * CHUNK) as u32;
            if keep.range_cardinality(first..first.saturating_add(CHUNK as u32)) == 0 {
                *slot = None;
                continue;
            }
            let gone = |(index, log_id): (usize, &u64)| {
                *log_id != 0 && !keep.contains(first + index as u32)
            };
            if chunk.iter().enumerate().any(gone) {
                for (id, log_id) in (first..).zip(Arc::make_mut(chunk)) {
                    *log_id = if keep.contains(id) { *log_id } else { 0 };
                }
            }
        }
    }

    /// The series that the log knows, ascending, each with its number there.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        let chunks = self.0.iter().enumerate();
        let chunks = chunks.filter_map(|(number, chunk)| Some((number, chunk.as_deref()?)));
        let series = chunks.flat_map(|(number, chunk)| {
            let first = (number * CHUNK) as u32;
            (first..).zip(chunk).map(|(id, log_id)| (id, *log_id))
        });
        series.filter(|(_, log_id)| *log_id != 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base::rng::Rng;

    use super::*;

    #[test]
    fn numbers_are_kept_and_forgotten_as_in_a_map() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let (mut log_ids, mut expected) = (LogIds::default(), BTreeMap::new());
            let mut clones: Vec<(LogIds, BTreeMap<u32, u64>)> = Vec::new();
            for _ in 0..2000 {
                let id = rng.below(20_000) as u32;
                let log_id = rng.below(1000);
                log_ids.set(id, log_id);
                expected.insert(id, log_id);
                if rng.one_in(400) {
                    let from = rng.below(20_000) as u32;
                    let keep: RoaringBitmap =
                        (0..20_000).filter(|id| *id >= from || id % 700 == 3).collect();
                    log_ids.retain(&keep);
                    expected.retain(|id, _| keep.contains(*id));
                    clones.push((log_ids.clone(), expected.clone()));
                }
            }
            clones.push((log_ids, expected));
            for (log_ids, mut expected) in clones {
                expected.retain(|_, log_id| *log_id != 0);
                assert!(log_ids.iter().eq(expected.clone()), "seed {seed}");
                for id in 0..20_001 {
                    assert_eq!(log_ids.get(id), expected.get(&id).copied().unwrap_or(0));
                }
            }
        }
    }

    #[test]
    fn a_head_without_series_costs_nothing_for_those_it_had() {
        let mut log_ids = LogIds::default();
        (0..100_000).for_each(|id| log_ids.set(id, 1 + u64::from(id)));
        log_ids.retain(&[99_999].into());
        assert_eq!(log_ids.0.iter().flatten().count(), 1);
        assert!(log_ids.iter().eq([(99_999, 100_000)]));
    }
}
