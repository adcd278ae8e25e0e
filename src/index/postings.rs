//! Ascending sets of series numbers, small where they are small.
//!
//! A label set of a cloud fleet has as many values with one series as values with a million, so a
//! [`Postings`] is 16 bytes for up to three numbers, a plain list up to [`LIST_MAX`] and a roaring
//! bitmap beyond. Numbers are only ever pushed in ascending order.

use std::ops::Range;

use roaring::RoaringBitmap;

/// Numbers that a list holds before it becomes a bitmap. A roaring bitmap costs about 100 bytes
/// before its first number, so up to here four bytes a number are cheaper.
const LIST_MAX: usize = 64;
/// Numbers of a bitmap that a [`Union`] takes one by one: a container of more is no sorted list.
const SMALL_MAX: u64 = 4096;
/// Numbers stored without a heap block.
const FEW_MAX: usize = 3;

/// An ascending set of series numbers.
#[derive(Clone, Debug)]
#[expect(clippy::box_collection, reason = "keeps the enum at 16 bytes; there is one per term")]
pub(crate) enum Postings {
    /// Up to three numbers in place.
    Few { count: u8, ids: [u32; FEW_MAX] },
    /// Up to [`LIST_MAX`] numbers.
    List(Box<Vec<u32>>),
    /// More.
    Bitmap(Box<RoaringBitmap>),
}

const _: () = assert!(size_of::<Postings>() == 16);

impl Default for Postings {
    fn default() -> Self {
        Self::Few { count: 0, ids: [0; FEW_MAX] }
    }
}

impl Postings {
    /// Adds `id`, which must be larger than every number in the set.
    pub(crate) fn push(&mut self, id: u32) {
        match self {
            Self::Few { count, ids } => {
                let used = usize::from(*count);
                if let Some(slot) = ids.get_mut(used) {
                    *slot = id;
                    *count += 1;
                } else {
                    let mut list = Vec::with_capacity(8);
                    list.extend_from_slice(ids);
                    list.push(id);
                    *self = Self::List(Box::new(list));
                }
            }
            Self::List(list) if list.len() < LIST_MAX => list.push(id),
            Self::List(list) => {
                let mut bitmap: RoaringBitmap = list.iter().copied().collect();
                push(&mut bitmap, id);
                *self = Self::Bitmap(Box::new(bitmap));
            }
            Self::Bitmap(bitmap) => push(bitmap, id),
        }
    }

    /// Number of series.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Few { count, .. } => u64::from(*count),
            Self::List(list) => list.len() as u64,
            Self::Bitmap(bitmap) => bitmap.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few { count, .. } => *count == 0,
            Self::List(list) => list.is_empty(),
            Self::Bitmap(bitmap) => bitmap.is_empty(),
        }
    }

    /// The numbers, when they are a plain slice.
    pub(crate) fn as_list(&self) -> Option<&[u32]> {
        match self {
            Self::Few { count, ids } => ids.get(..usize::from(*count)),
            Self::List(list) => Some(list),
            Self::Bitmap(_) => None,
        }
    }

    /// A bitmap of the set.
    #[cfg(test)]
    pub(crate) fn to_bitmap(&self) -> RoaringBitmap {
        match self {
            Self::Bitmap(bitmap) => (**bitmap).clone(),
            _ => self.as_list().unwrap_or_default().iter().copied().collect(),
        }
    }

    /// True when the set and `other` have no number in common.
    pub(crate) fn is_disjoint(&self, other: &RoaringBitmap) -> bool {
        match self {
            Self::Bitmap(bitmap) => bitmap.is_disjoint(other),
            _ => !self.as_list().unwrap_or_default().iter().any(|id| other.contains(*id)),
        }
    }

    /// Keeps what is in `keep` and gives back the memory of the rest.
    pub(crate) fn retain(&mut self, keep: &RoaringBitmap) {
        let before = self.len();
        let kept = match self {
            Self::Bitmap(bitmap) => {
                **bitmap &= keep;
                if bitmap.len() > LIST_MAX as u64 {
                    return;
                }
                bitmap.iter().collect::<Vec<u32>>()
            }
            _ => {
                let list = self.as_list().unwrap_or_default();
                list.iter().copied().filter(|id| keep.contains(*id)).collect()
            }
        };
        if kept.len() as u64 == before {
            return;
        }
        *self = Self::default();
        for id in kept {
            self.push(id);
        }
    }

    /// Turns stretches of consecutive numbers into runs.
    pub(crate) fn optimize(&mut self) {
        if let Self::Bitmap(bitmap) = self {
            bitmap.optimize();
        }
    }

    /// Heap bytes, roughly.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Few { .. } => 0,
            Self::List(list) => 24 + 4 * list.capacity(),
            Self::Bitmap(bitmap) => 64 + bitmap.serialized_size(),
        }
    }
}

/// Adds a number that is larger than all in the bitmap. `RoaringBitmap::try_push` is for this, but it
/// looks for the largest number first, which in a half-filled container takes longer than all else
/// (measured: 7 µs instead of 1 µs for a series of 11 labels).
pub(crate) fn push(bitmap: &mut RoaringBitmap, id: u32) {
    bitmap.insert(id);
}

/// The series that have a label: mostly all of a stretch, so the newest run is kept aside and a
/// number costs a comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Having {
    bitmap: RoaringBitmap,
    run: Range<u32>,
}

impl Having {
    /// Adds `id`, which must be larger than every number in the set.
    #[inline]
    pub(crate) fn push(&mut self, id: u32) {
        if id != self.run.end || self.run.is_empty() {
            self.bitmap.insert_range(self.run.clone());
            self.run.start = id;
        }
        self.run.end = id + 1;
    }

    /// Number of series.
    pub(crate) fn len(&self) -> u64 {
        self.bitmap.len() + self.run.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bitmap.is_empty() && self.run.is_empty()
    }

    /// A bitmap of the set.
    pub(crate) fn to_bitmap(&self) -> RoaringBitmap {
        let mut bitmap = self.bitmap.clone();
        bitmap.insert_range(self.run.clone());
        bitmap
    }

    /// True when the set and `other` have no number in common.
    pub(crate) fn is_disjoint(&self, other: &RoaringBitmap) -> bool {
        other.range_cardinality(self.run.clone()) == 0 && self.bitmap.is_disjoint(other)
    }

    /// Keeps what is in `keep`.
    pub(crate) fn retain(&mut self, keep: &RoaringBitmap) {
        self.bitmap = self.to_bitmap() & keep;
        self.bitmap.optimize();
        self.run = 0..0;
    }

    /// Heap bytes, roughly.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.bitmap.serialized_size()
    }
}

/// Unites many small and some large sets.
///
/// Small sets go to a list until a flat bit set over all series is smaller; setting a bit is the
/// cheapest way there is to unite a million single numbers.
#[derive(Debug)]
pub(crate) struct Union {
    within: Range<u32>,
    list: Vec<u32>,
    bits: Vec<u8>,
    bitmap: RoaringBitmap,
}

impl Union {
    /// An empty union of sets. Numbers at the end of `within` or behind it are left out; those in front of it
    /// may be.
    pub(crate) fn new(within: Range<u32>) -> Self {
        Self { within, list: Vec::new(), bits: Vec::new(), bitmap: RoaringBitmap::new() }
    }

    /// Adds one number.
    pub(crate) fn add(&mut self, id: u32) {
        if !self.within.contains(&id) {
            return;
        }
        if self.bits.is_empty() {
            self.list.push(id);
            if self.list.len() > 1024 + self.within.end as usize / 64 {
                self.spill();
            }
        } else if let Some(byte) = self.bits.get_mut(id as usize / 8) {
            *byte |= 1 << (id % 8);
        }
    }

    fn spill(&mut self) {
        self.bits = vec![0; self.within.end as usize / 8 + 1];
        for id in std::mem::take(&mut self.list) {
            if let Some(byte) = self.bits.get_mut(id as usize / 8) {
                *byte |= 1 << (id % 8);
            }
        }
    }

    /// Adds a whole bitmap. Small ones behind the first go in number by number: uniting many of them
    /// would copy what is united so far again and again.
    pub(crate) fn add_bitmap(&mut self, bitmap: &RoaringBitmap) {
        if !self.bitmap.is_empty() && bitmap.len() <= SMALL_MAX {
            bitmap.iter().for_each(|id| self.add(id));
        } else {
            self.bitmap |= bitmap;
        }
    }

    /// Adds a set.
    pub(crate) fn add_postings(&mut self, postings: &Postings) {
        match postings {
            Postings::Bitmap(bitmap) => self.add_bitmap(bitmap),
            _ => postings.as_list().unwrap_or_default().iter().for_each(|id| self.add(*id)),
        }
    }

    /// The union.
    pub(crate) fn finish(mut self) -> RoaringBitmap {
        let small = if self.bits.is_empty() {
            self.list.sort_unstable();
            self.list.dedup();
            RoaringBitmap::from_sorted_iter(self.list).unwrap_or_default()
        } else {
            RoaringBitmap::from_lsb0_bytes(0, &self.bits)
        };
        if self.bitmap.is_empty() {
            return small;
        }
        self.bitmap.remove_range(self.within.end..);
        self.bitmap |= small;
        self.bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::rng::Rng;

    #[test]
    fn grows_through_its_three_forms_and_back() {
        for count in [0u32, 1, 3, 4, 64, 65, 1000] {
            let mut postings = Postings::default();
            (0..count).for_each(|id| postings.push(id * 7));
            let expected: RoaringBitmap = (0..count).map(|id| id * 7).collect();
            assert_eq!(postings.len(), u64::from(count));
            assert_eq!(postings.to_bitmap(), expected);
            let keep: RoaringBitmap =
                (0..count).filter(|id| id % 40 == 0).map(|id| id * 7).collect();
            assert_eq!(postings.is_disjoint(&keep), keep.is_empty());
            postings.retain(&keep);
            assert_eq!(postings.to_bitmap(), keep);
            assert_eq!(matches!(postings, Postings::Bitmap(_)), keep.len() > LIST_MAX as u64);
        }
    }

    #[test]
    fn runs_and_gaps_make_the_same_set() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let mut having = Having::default();
            let mut expected = RoaringBitmap::new();
            assert!(having.is_empty());
            for id in (0..2000).filter(|id| id % 100 < 50 || rng.one_in(2)).collect::<Vec<_>>() {
                having.push(id);
                expected.insert(id);
            }
            assert_eq!((having.to_bitmap(), having.len()), (expected.clone(), expected.len()));
            let other: RoaringBitmap = [rng.below(2100) as u32].into();
            assert_eq!(having.is_disjoint(&other), expected.is_disjoint(&other), "seed {seed}");
            let keep = (0..1000).collect();
            having.retain(&keep);
            assert_eq!(having.to_bitmap(), expected & keep, "seed {seed}");
        }
    }

    #[test]
    fn unions_agree_with_bitmaps() {
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let end = 1 + rng.below(300_000) as u32;
            let mut union = Union::new(0..end);
            let mut expected = RoaringBitmap::new();
            for _ in 0..rng.below(20_000) {
                let id = rng.below(u64::from(end) + 10) as u32;
                union.add(id);
                expected.insert(id);
            }
            let large: RoaringBitmap = (0..rng.below(5000) as u32).map(|id| id * 3).collect();
            union.add_bitmap(&large);
            expected |= &large;
            expected.remove_range(end..);
            assert_eq!(union.finish(), expected, "seed {seed}");
        }
    }
}
