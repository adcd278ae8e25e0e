//! Which numbers the series of a block have in the index of the head.
//!
//! A query over block and head matches their series by the hash of their labels, and to build those labels
//! costs more than the rest of the match. Numbers of the head are never given twice, so what was found
//! once stays true while the head knows the number.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use index::{HeadIndex, SeriesId};

/// A series whose number nobody has looked up, or that the head did not have then.
const UNKNOWN: u32 = u32::MAX;

/// The numbers that were found so far: four bytes a series, once a query has met block and head.
#[derive(Debug, Default)]
pub(crate) struct HeadIds(OnceLock<(Weak<HeadIndex>, Box<[AtomicU32]>)>);

impl HeadIds {
    /// The numbers in `index` of a block with `count` series; nothing is known, or kept, of another index
    /// than the first that was asked for.
    pub(crate) fn of(&self, index: &Arc<HeadIndex>, count: u64) -> Known<'_> {
        let fresh = || {
            let ids = (0..count).map(|_| AtomicU32::new(UNKNOWN)).collect();
            (Arc::downgrade(index), ids)
        };
        let (owner, ids) = self.0.get_or_init(fresh);
        let is_owner = std::ptr::eq(owner.as_ptr(), Arc::as_ptr(index));
        Known(if is_owner { ids } else { &[] })
    }

    /// Bytes that are held.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.get().map_or(0, |(_, ids)| bytes_of(ids.len() as u64))
    }
}

/// Bytes of the numbers of `count` series.
pub(crate) fn bytes_of(count: u64) -> u64 {
    count * size_of::<AtomicU32>() as u64
}

/// What is known of one index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'i>(&'i [AtomicU32]);

impl Known<'_> {
    /// The number of a series of the block.
    #[inline]
    pub(crate) fn get(&self, series: u32) -> Option<SeriesId> {
        let id = self.0.get(series as usize)?.load(Ordering::Relaxed);
        (id != UNKNOWN).then_some(SeriesId(id))
    }

    /// Keeps what was found.
    pub(crate) fn set(&self, series: u32, id: SeriesId) {
        if let Some(place) = self.0.get(series as usize) {
            place.store(id.0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_belong_to_one_index() {
        let ids = HeadIds::default();
        let (index, other) = (Arc::new(HeadIndex::new()), Arc::new(HeadIndex::new()));
        assert_eq!(ids.bytes(), 0);
        let known = ids.of(&index, 2);
        assert_eq!((ids.bytes(), bytes_of(2)), (8, 8));
        assert_eq!(known.get(1), None);
        known.set(1, SeriesId(7));
        known.set(2, SeriesId(8));
        assert_eq!(ids.of(&index, 2).get(1), Some(SeriesId(7)));
        assert_eq!([known.get(0), known.get(2), ids.of(&other, 2).get(1)], [None; 3]);
    }
}
