//! Where the samples of each selected series are.

use std::sync::Arc;

use hashbrown::HashTable;
use index::SeriesId;
use model::{LabelsRef, SeriesHasher, SourceError};
use roaring::RoaringBitmap;

use crate::snapshot::Scope;

/// A series that is not in the head.
pub(super) const NOT_IN_HEAD: u32 = u32::MAX;
/// Series whose hashes are looked up at once.
const HASHES_AT_ONCE: usize = 1024;
/// Memory of a series that is being sorted, beside its labels.
const SORTED_BYTES: usize = 64;
/// Series whose labels are looked at to tell how long labels are.
const LABELS_ASKED: usize = 64;

/// Where the samples of one series are.
pub(super) struct Place<'a> {
    pub(super) head: u32,
    /// (block of the scope, series in the block), older writes first.
    pub(super) blocks: &'a [(u32, u32)],
}

/// The places of all selected series, as columns: a million series cost a few megabytes.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    /// Head id of each series; empty when none is in the head.
    heads: Vec<u32>,
    /// Block places of all series; empty when none is in a block.
    refs: Vec<(u32, u32)>,
    /// Where the block places of each series end; empty when each has exactly one.
    ref_ends: Vec<u32>,
    /// The series come in label order.
    sorted: bool,
}

/// A series of a block among those of a table.
#[derive(Clone, Copy)]
struct Match {
    /// Its number in the table.
    number: u32,
    block: u32,
    /// Its number in the block.
    series: u32,
}

impl SeriesTable {
    /// Series that are in the head alone.
    pub(super) fn of_head(heads: Vec<u32>) -> Self {
        Self { sorted: heads.len() < 2, heads, ..Self::default() }
    }

    /// Series that are in one block alone, where they have numbers in label order.
    pub(super) fn of_block(block: u32, series: &RoaringBitmap) -> Self {
        let refs = series.iter().map(|series| (block, series)).collect();
        Self { refs, sorted: true, ..Self::default() }
    }

    /// True when the series come in label order.
    pub(super) fn is_sorted(&self) -> bool {
        self.sorted
    }

    /// The number of a series in the head, if it is there.
    pub(super) fn head(&self, index: usize) -> Option<u32> {
        self.heads.get(index).copied().filter(|head| *head != NOT_IN_HEAD)
    }

    pub(super) fn len(&self) -> usize {
        if self.heads.is_empty() && self.ref_ends.is_empty() {
            return self.refs.len();
        }
        self.heads.len()
    }

    pub(super) fn place(&self, index: usize) -> Place<'_> {
        let head = self.heads.get(index).copied().unwrap_or(NOT_IN_HEAD);
        let blocks = if self.refs.is_empty() {
            &[][..]
        } else if self.ref_ends.is_empty() {
            &self.refs[index..=index]
        } else {
            let start = if index == 0 { 0 } else { self.ref_ends[index - 1] as usize };
            &self.refs[start..self.ref_ends[index] as usize]
        };
        Place { head, blocks }
    }

    /// Finds series that are in several places by the hash of their labels; `heads` ascend.
    pub(super) fn merge(
        scope: &Scope,
        heads: Vec<u32>,
        found: &[(u32, Arc<RoaringBitmap>)],
        hasher: SeriesHasher,
    ) -> Result<Self, SourceError> {
        let count = found.iter().map(|(_, series)| series.len() as usize).sum();
        let mut merge = Merge::new(heads, count);
        for (block, series) in found {
            merge.add_block(scope, *block, series, hasher)?;
        }
        let (heads, mut matches) = merge.finish();
        let order = label_order(&mut matches, found, heads.len());
        let sorted = order.is_some();
        Ok(Self { sorted, ..Self::of_matches(heads, &matches, order) })
    }

    /// The table with these `matches`, block after block, its series in another order if one is given.
    fn of_matches(mut heads: Vec<u32>, matches: &[Match], order: Option<Vec<u32>>) -> Self {
        let mut rank: Vec<u32> = (0..heads.len() as u32).collect();
        if let Some(order) = order {
            for (place, number) in order.iter().enumerate() {
                rank[*number as usize] = place as u32;
            }
            heads = order.iter().map(|number| heads[*number as usize]).collect();
        }
        // Counted first, then put where the counts say: what comes from later blocks stays behind.
        let mut ref_ends = vec![0u32; heads.len()];
        for one in matches {
            ref_ends[rank[one.number as usize] as usize] += 1;
        }
        let mut total = 0;
        for end in &mut ref_ends {
            total += std::mem::replace(end, total);
        }
        let mut refs = vec![(0, 0); matches.len()];
        for one in matches {
            let end = &mut ref_ends[rank[one.number as usize] as usize];
            refs[*end as usize] = (one.block, one.series);
            *end += 1;
        }
        Self { heads, refs, ref_ends, sorted: false }
    }

    /// About how many bytes the packed labels of all series are, from a few of them.
    fn key_bytes(&self, scope: &Scope) -> Result<usize, SourceError> {
        let step = self.len().div_ceil(LABELS_ASKED).max(1);
        let (mut key, mut asked, mut bytes) = (Vec::new(), 0, 0);
        for index in (0..self.len()).step_by(step) {
            key.clear();
            scope.labels_packed(&self.place(index), &mut key)?;
            (asked, bytes) = (asked + 1, bytes + key.len());
        }
        // Somewhat more, for those that were not looked at.
        Ok((bytes * self.len()).checked_div(asked).unwrap_or(0) * 9 / 8)
    }

    /// Brings the series into label order.
    pub(super) fn sort(&mut self, scope: &Scope) -> Result<(), SourceError> {
        if self.sorted {
            return Ok(());
        }
        let places =
            size_of_val(&*self.heads) + size_of_val(&*self.refs) + size_of_val(&*self.ref_ends);
        if !self.heads.contains(&NOT_IN_HEAD) {
            let bytes = scope.index.label_order_bytes(&self.heads) + places;
            let _claim = scope.claim(self.len(), bytes)?;
            self.arrange(&scope.index.label_order(&self.heads));
            return Ok(());
        }
        let key_bytes = self.key_bytes(scope)?;
        let _claim = scope.claim(self.len(), key_bytes + self.len() * SORTED_BYTES + places)?;
        self.arrange(&self.order_of_labels(scope, key_bytes)?);
        Ok(())
    }

    /// The series in label order, told from their labels, which have about `key_bytes`.
    fn order_of_labels(&self, scope: &Scope, key_bytes: usize) -> Result<Vec<u32>, SourceError> {
        // All labels at once: a buffer that doubles would be twice as large for a moment.
        let mut keys = Vec::with_capacity(key_bytes);
        let mut spans = Vec::with_capacity(self.len());
        for index in 0..self.len() {
            let start = keys.len();
            scope.labels_packed(&self.place(index), &mut keys)?;
            spans.push((index as u32, start, keys.len()));
        }
        // Stable, since that sort sees the runs that come from each block.
        spans.sort_by(|a, b| {
            let (a, b) = (&keys[a.1..a.2], &keys[b.1..b.2]);
            LabelsRef::from_packed(a).cmp(&LabelsRef::from_packed(b))
        });
        Ok(spans.into_iter().map(|(index, _, _)| index).collect())
    }

    /// Brings the series into the label `order`.
    fn arrange(&mut self, order: &[u32]) {
        let mut sorted = Self { sorted: true, ..Self::default() };
        sorted.heads.reserve_exact(order.len());
        if !self.refs.is_empty() {
            sorted.refs.reserve_exact(self.refs.len());
            sorted.ref_ends.reserve_exact(order.len());
        }
        for index in order {
            let place = self.place(*index as usize);
            sorted.heads.push(place.head);
            if !self.refs.is_empty() {
                sorted.refs.extend_from_slice(place.blocks);
                sorted.ref_ends.push(sorted.refs.len() as u32);
            }
        }
        *self = sorted;
    }
}

/// Series that are being matched.
struct Merge {
    /// Head id of each series: first those of the head, ascending.
    heads: Vec<u32>,
    head_count: usize,
    /// Hashes of the others, whose numbers follow those of the head's list; in that order, since a table
    /// of hashes would be up to three times as large.
    hashes: Vec<u128>,
    /// Places in `hashes`.
    others: HashTable<u32>,
    matches: Vec<Match>,
}

impl Merge {
    /// Nothing matched yet, with room for `count` matches.
    fn new(heads: Vec<u32>, count: usize) -> Self {
        let (head_count, others) = (heads.len(), HashTable::new());
        // Pages that are not written take no memory; to grow would take twice as much for a moment.
        let (hashes, matches) = (Vec::with_capacity(count), Vec::with_capacity(count));
        Self { heads, head_count, hashes, others, matches }
    }

    /// The head id of each series and all matches, without what was needed to find them.
    fn finish(self) -> (Vec<u32>, Vec<Match>) {
        (self.heads, self.matches)
    }

    /// Matches the series of a block. To build their labels costs most, so that is done only for those whose
    /// number in the head's index nobody has kept ([`crate::block::head_ids`]) or whom that has forgotten.
    fn add_block(
        &mut self,
        scope: &Scope,
        block: u32,
        series: &RoaringBitmap,
        hasher: SeriesHasher,
    ) -> Result<(), SourceError> {
        let reader = &scope.blocks[block as usize];
        let known = reader.head_ids(&scope.index);
        let (mut elsewhere, mut unknown) = (Vec::new(), RoaringBitmap::new());
        for series in series {
            match known.get(series) {
                Some(id) => match self.in_head(id) {
                    Some(number) => self.matches.push(Match { number, block, series }),
                    None => elsewhere.push((series, id)),
                },
                None => unknown.extend([series]),
            }
            if elsewhere.len() == HASHES_AT_ONCE {
                self.add_known(scope, block, &mut elsewhere, &mut unknown);
            }
        }
        self.add_known(scope, block, &mut elsewhere, &mut unknown);
        reader.each_series(&unknown, |series, key| {
            let hash = hasher.hash(key);
            let id = scope.index.lookup(hash);
            id.into_iter().for_each(|id| known.set(series, id));
            match id.and_then(|id| self.in_head(id)) {
                Some(number) => self.matches.push(Match { number, block, series }),
                None => self.add_other(hash, block, series),
            }
        })?;
        Ok(())
    }

    /// Matches series by the hashes that the head's index has of them; what it has forgotten is `unknown`.
    fn add_known(
        &mut self,
        scope: &Scope,
        block: u32,
        known: &mut Vec<(u32, SeriesId)>,
        unknown: &mut RoaringBitmap,
    ) {
        let mut hashes = Vec::new();
        scope.index.hashes(known.iter().map(|(_, id)| *id), &mut hashes);
        for ((series, _), hash) in known.drain(..).zip(hashes) {
            match hash {
                Some(hash) => self.add_other(hash, block, series),
                None => drop(unknown.insert(series)),
            }
        }
    }

    /// The number of a series in the head's list.
    fn in_head(&self, id: SeriesId) -> Option<u32> {
        let place = self.heads[..self.head_count].binary_search(&id.0).ok();
        place.map(|place| place as u32)
    }

    fn add_other(&mut self, hash: u128, block: u32, series: u32) {
        let Self { hashes, others, heads, .. } = self;
        let place = others.find(hash as u64, |place| hashes[*place as usize] == hash).copied();
        let place = place.unwrap_or_else(|| {
            let place = hashes.len() as u32;
            hashes.push(hash);
            heads.push(NOT_IN_HEAD);
            others.insert_unique(hash as u64, place, |place| hashes[*place as usize] as u64);
            place
        });
        let number = self.head_count as u32 + place;
        self.matches.push(Match { number, block, series });
    }
}

/// The label order of the `count` series of a table, where one of its blocks has all of them: in a block
/// they have numbers in label order. Sorts its matches on the way.
fn label_order(
    matches: &mut [Match],
    found: &[(u32, Arc<RoaringBitmap>)],
    count: usize,
) -> Option<Vec<u32>> {
    let (block, _) = found.iter().find(|(_, series)| series.len() == count as u64)?;
    let start = matches.iter().position(|one| one.block == *block)?;
    let all = &mut matches[start..start + count];
    all.sort_unstable_by_key(|one| one.series);
    Some(all.iter().map(|one| one.number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(matches: &[Match], block: u32) -> (u32, Arc<RoaringBitmap>) {
        let inside = matches.iter().filter(|one| one.block == block);
        (block, Arc::new(inside.map(|one| one.series).collect()))
    }

    #[test]
    fn a_block_with_all_series_gives_them_its_order() {
        // Met in the order of what was known already; the first two are in the head.
        let all = [(2, 1, 30), (0, 1, 10), (1, 1, 20), (1, 2, 7), (0, 2, 8)];
        let all = all.map(|(number, block, series)| Match { number, block, series });
        let heads = vec![50, 40, NOT_IN_HEAD];
        let places = |table: &SeriesTable| -> Vec<(u32, Vec<(u32, u32)>)> {
            let place = |index| table.place(index);
            (0..table.len()).map(|i| (place(i).head, place(i).blocks.to_vec())).collect()
        };
        let mut matches = all;
        let blocks = [found(&all, 1), found(&all, 2)];
        let order = label_order(&mut matches, &blocks, 3);
        assert_eq!(order.as_deref(), Some(&[0, 1, 2][..]));
        let (first, second) = ((50, vec![(1, 10), (2, 8)]), (40, vec![(1, 20), (2, 7)]));
        let third = (NOT_IN_HEAD, vec![(1, 30)]);
        let table = SeriesTable::of_matches(heads.clone(), &matches, order);
        assert_eq!(places(&table), [first.clone(), second.clone(), third.clone()]);
        let table = SeriesTable::of_matches(heads.clone(), &matches, Some(vec![2, 0, 1]));
        assert_eq!(places(&table), [third.clone(), first.clone(), second.clone()]);
        // No block has all of them.
        let mut matches = all;
        let fewer = [found(&all[1..], 1), found(&all[1..], 2)];
        assert_eq!(label_order(&mut matches, &fewer, 3), None);
        let table = SeriesTable::of_matches(heads, &matches, None);
        assert_eq!(places(&table), [first, second, third]);
    }
}
