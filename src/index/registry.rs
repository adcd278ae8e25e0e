//! Series ⇄ labels: the table from hash to number and the label sets by number.
//!
//! Numbers ascend from 0 and are never given twice in the life of a table. Label sets are lists of
//! pair numbers, written as varints: pairs that many series share were met early and have short
//! numbers. Series live in chunks of [`CHUNK`] numbers, so that nothing ever moves as a whole while
//! the table grows, and dropped series give their memory back chunk by chunk.

use base::codec::{ByteReader, put_uvarint};
use hashbrown::HashTable;
use roaring::RoaringBitmap;

use crate::postings::push;

/// Series of one chunk.
pub(crate) const CHUNK: usize = 4096;
/// Tables that the hashes are spread over; at 10 M series growing one moves 160 k numbers.
pub(crate) const SHARDS: usize = 64;

/// Label sets of up to [`CHUNK`] consecutive numbers.
#[derive(Debug, Default)]
struct Chunk {
    /// The numbers within the chunk that are left; `None` while all are.
    locals: Option<Vec<u16>>,
    hashes: Vec<u128>,
    ends: Vec<u32>,
    pairs: Vec<u8>,
}

impl Chunk {
    fn position(&self, local: usize) -> Option<usize> {
        match &self.locals {
            None => (local < self.ends.len()).then_some(local),
            Some(locals) => locals.binary_search(&(local as u16)).ok(),
        }
    }

    fn list(&self, position: usize) -> &[u8] {
        let start = match position.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or(u32::MAX),
            None => 0,
        };
        let end = self.ends.get(position).copied().unwrap_or(0);
        self.pairs.get(start as usize..end as usize).unwrap_or_default()
    }

    fn heap_bytes(&self) -> usize {
        let locals = self.locals.as_ref().map_or(0, |locals| 2 * locals.capacity());
        locals + 16 * self.hashes.capacity() + 4 * self.ends.capacity() + self.pairs.capacity()
    }

    /// A copy with the series whose number within the chunk passes `keep`.
    fn compacted(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut out = Self { locals: Some(Vec::new()), ..Self::default() };
        let mut locals = Vec::new();
        for position in 0..self.ends.len() {
            let local = match &self.locals {
                None => position as u16,
                Some(locals) => locals.get(position).copied().unwrap_or(u16::MAX),
            };
            if keep(usize::from(local)) {
                locals.push(local);
                out.hashes.extend(self.hashes.get(position));
                out.pairs.extend_from_slice(self.list(position));
                out.ends.push(out.pairs.len() as u32);
            }
        }
        out.locals = Some(locals);
        out.shrink();
        out
    }

    fn shrink(&mut self) {
        self.hashes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.pairs.shrink_to_fit();
        if let Some(locals) = &mut self.locals {
            locals.shrink_to_fit();
        }
    }
}

/// All series by hash and by number.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    shards: Vec<HashTable<u32>>,
    chunks: Vec<Option<Box<Chunk>>>,
    next: u32,
    live: RoaringBitmap,
}

fn shard_of(hash: u128) -> usize {
    (hash >> 64) as usize % SHARDS
}

fn hash_in(chunks: &[Option<Box<Chunk>>], id: u32) -> Option<&u128> {
    let chunk = chunks.get(id as usize / CHUNK)?.as_ref()?;
    chunk.hashes.get(chunk.position(id as usize % CHUNK)?)
}

impl SeriesTable {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            chunks: Vec::new(),
            next: 0,
            live: RoaringBitmap::new(),
        }
    }

    /// One more than the largest number ever given.
    pub(crate) fn end(&self) -> u32 {
        self.next
    }

    /// The series that were not dropped.
    pub(crate) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// The number of the series with this hash.
    pub(crate) fn find(&self, hash: u128) -> Option<u32> {
        let same = |id: &u32| hash_in(&self.chunks, *id) == Some(&hash);
        self.shards.get(shard_of(hash))?.find(hash as u64, same).copied()
    }

    /// The hash of a series that was not dropped.
    pub(crate) fn hash(&self, id: u32) -> Option<u128> {
        hash_in(&self.chunks, id).copied()
    }

    /// True when `id` is the series with this hash.
    pub(crate) fn is(&self, id: u32, hash: u128) -> bool {
        hash_in(&self.chunks, id) == Some(&hash)
    }

    /// Adds a series that is not in the table. `None` when all 2³² - 1 numbers are used up.
    pub(crate) fn add(&mut self, hash: u128, pairs: &[u32]) -> Option<u32> {
        let id = self.next;
        self.next = self.next.checked_add(1)?;
        if (id as usize).is_multiple_of(CHUNK) {
            if let Some(Some(full)) = self.chunks.last_mut() {
                full.shrink();
            }
            self.chunks.push(Some(Box::default()));
        }
        let chunk = self.chunks.last_mut()?.get_or_insert_with(Box::default);
        if let Some(locals) = &mut chunk.locals {
            locals.push((id as usize % CHUNK) as u16);
        }
        chunk.hashes.push(hash);
        for pair in pairs {
            put_uvarint(&mut chunk.pairs, u64::from(*pair));
        }
        chunk.ends.push(chunk.pairs.len() as u32);
        push(&mut self.live, id);
        let chunks = &self.chunks;
        let rehash = |id: &u32| hash_in(chunks, *id).map_or(0, |hash| *hash as u64);
        self.shards.get_mut(shard_of(hash))?.insert_unique(hash as u64, id, rehash);
        Some(id)
    }

    /// The pair numbers of a series, in label order; nothing for an unknown one.
    pub(crate) fn pairs(&self, id: u32) -> impl Iterator<Item = u32> {
        let chunk = self.chunks.get(id as usize / CHUNK).and_then(Option::as_ref);
        let list = chunk
            .and_then(|chunk| Some(chunk.list(chunk.position(id as usize % CHUNK)?)))
            .unwrap_or_default();
        let mut reader = ByteReader::new(list);
        std::iter::from_fn(move || (reader.remaining() > 0).then(|| reader.uvarint() as u32))
    }

    /// Chunks so far; the argument range of [`Self::retain`].
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// Forgets the series of one chunk that are below `end` and not in `keep`, and frees their
    /// memory.
    pub(crate) fn retain(&mut self, chunk_number: usize, keep: &RoaringBitmap, end: u32) {
        let Some(Some(chunk)) = self.chunks.get(chunk_number) else { return };
        let base = (chunk_number * CHUNK) as u32;
        let chunk_end = base.saturating_add(CHUNK as u32);
        let last = chunk_number + 1 == self.chunks.len();
        for id in base..chunk_end.min(end) {
            if !keep.contains(id) {
                self.live.remove(id);
            }
        }
        let live = self.live.range_cardinality(base..chunk_end);
        if live == chunk.ends.len() as u64 {
            return;
        }
        let compacted = chunk.compacted(|local| self.live.contains(base + local as u32));
        let old = self.chunks.get_mut(chunk_number).and_then(Option::take);
        for (position, hash) in old.iter().flat_map(|old| old.hashes.iter().enumerate()) {
            let id = match old.as_ref().and_then(|old| old.locals.as_ref()) {
                None => base + position as u32,
                Some(locals) => base + locals.get(position).map_or(0, |local| u32::from(*local)),
            };
            if self.live.contains(id) {
                continue;
            }
            if let Some(shard) = self.shards.get_mut(shard_of(*hash))
                && let Ok(entry) = shard.find_entry(*hash as u64, |known| *known == id)
            {
                entry.remove();
            }
        }
        if (live > 0 || last)
            && let Some(slot) = self.chunks.get_mut(chunk_number)
        {
            *slot = Some(Box::new(compacted));
        }
    }

    /// Gives back the space that dropped series left in one of [`SHARDS`] tables.
    pub(crate) fn shrink(&mut self, shard: usize) {
        let chunks = &self.chunks;
        if let Some(shard) = self.shards.get_mut(shard)
            && shard.capacity() > 4 * shard.len() + 64
        {
            shard.shrink_to_fit(|id| hash_in(chunks, *id).map_or(0, |hash| *hash as u64));
        }
    }

    /// Bytes of memory, roughly.
    pub(crate) fn heap_bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(|shard| shard.allocation_size()).sum();
        let chunks: usize = self.chunks.iter().flatten().map(|chunk| chunk.heap_bytes()).sum();
        tables + chunks + self.live.serialized_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(id: u32) -> u128 {
        u128::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }

    #[test]
    fn dropped_series_are_gone_and_the_others_stay() {
        let mut table = SeriesTable::new();
        for id in 0..20_000u32 {
            assert_eq!(table.add(hash(id), &[id, id * 2]), Some(id));
        }
        let full = table.heap_bytes();
        let dropped: RoaringBitmap = (0..20_000).filter(|id| *id < 8192 || id % 5 != 0).collect();
        let keep: RoaringBitmap = (0..20_000).filter(|id| !dropped.contains(*id)).collect();
        (0..table.chunk_count()).for_each(|chunk| table.retain(chunk, &keep, 20_000));
        (0..SHARDS).for_each(|shard| table.shrink(shard));
        for id in 0..20_000u32 {
            let expected = (!dropped.contains(id)).then_some(id);
            assert_eq!(table.find(hash(id)), expected);
            let pairs: Vec<u32> = table.pairs(id).collect();
            assert_eq!(pairs, expected.map_or(vec![], |id| vec![id, id * 2]));
        }
        assert!(table.heap_bytes() < full / 4, "{} of {full}", table.heap_bytes());
        assert_eq!(table.add(hash(20_000), &[1]), Some(20_000));
        assert_eq!(table.find(hash(20_000)), Some(20_000));
        // A second round of dropping works on chunks that are sparse already.
        let none = RoaringBitmap::new();
        (0..table.chunk_count()).for_each(|chunk| table.retain(chunk, &none, 20_000));
        assert_eq!(table.find(hash(19_995)), None);
        assert_eq!(table.pairs(20_000).collect::<Vec<_>>(), [1]);
    }
}
