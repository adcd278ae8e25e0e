//! Each distinct label pair is stored once and known by a number.
//!
//! A pair's bytes are kept packed (varint length, name, varint length, value), exactly as they stand
//! in a packed label set: interning compares one slice, and a label set is rebuilt by copying slices.
//! A pair's number never changes while it is in the table. The number of its name comes with it.

use base::codec::{ByteReader, put_bytes};
use base::limits::LABELS_PER_SERIES_MAX;
use hashbrown::{HashMap, HashTable};
use model::label::{LabelError, LabelsRef};
use roaring::RoaringBitmap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Tables that the pairs are spread over, so that growing one never takes more than a millisecond.
const SHARDS: usize = 32;

/// Bytes that are copied for a pair that has no more.
const COPIED: usize = 32;

/// Where a pair's bytes are: 40 bits of offset and 24 bits of name number.
#[derive(Clone, Copy, Debug)]
struct Pair {
    offset_low: u32,
    name_and_offset_high: u32,
}

/// The table of pairs.
#[derive(Debug)]
pub(crate) struct PairTable {
    seed: u64,
    shards: Vec<HashTable<(u32, u32)>>,
    pairs: Vec<Pair>,
    arena: Vec<u8>,
    names: Vec<Box<str>>,
    name_numbers: HashMap<Box<str>, u32>,
    /// Numbers of removed pairs, descending; given again before new ones, the smallest first.
    free: Vec<u32>,
}

/// The pairs of a label set; kept from one set to the next.
#[derive(Debug, Default)]
pub(crate) struct PairLists {
    /// The numbers of all pairs, in label order.
    pub(crate) pairs: Vec<u32>,
    /// Those among them that were not known before.
    pub(crate) created: Vec<u32>,
    /// The pairs of the set before.
    previous: Vec<u32>,
}

/// Distinct label names that a table can number.
pub(crate) const NAMES_MAX: usize = 1 << 24;

impl PairTable {
    pub(crate) fn new() -> Self {
        Self {
            seed: base::rng::Rng::from_entropy().next_u64(),
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            pairs: Vec::new(),
            arena: Vec::new(),
            names: Vec::new(),
            name_numbers: HashMap::new(),
            free: Vec::new(),
        }
    }

    /// One more than the largest pair number.
    pub(crate) fn end(&self) -> usize {
        self.pairs.len()
    }

    /// Pairs in the table.
    pub(crate) fn len(&self) -> usize {
        self.pairs.len() - self.free.len()
    }

    /// The numbers that no pair has now.
    pub(crate) fn freed(&self) -> RoaringBitmap {
        self.free.iter().copied().collect()
    }

    /// The names, by number.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The number of a name.
    pub(crate) fn name_number(&self, name: &str) -> Option<u32> {
        self.name_numbers.get(name).copied()
    }

    fn slot(&self, packed: &[u8]) -> (usize, u64, u32) {
        let hash = xxh3_64_with_seed(packed, self.seed);
        ((hash >> 32) as usize % SHARDS, hash, (hash >> 20) as u32)
    }

    fn find(&self, packed: &[u8]) -> Option<u32> {
        let (shard, hash, tag) = self.slot(packed);
        let same = |(known, pair): &(u32, u32)| *known == tag && self.starts_with(*pair, packed);
        self.shards.get(shard)?.find(spread(hash), same).map(|(_, pair)| *pair)
    }

    /// The packed form is free of prefixes, so a stored pair that starts with `packed` is `packed`.
    fn starts_with(&self, pair: u32, packed: &[u8]) -> bool {
        self.tail(pair).starts_with(packed)
    }

    /// The arena from the pair's first byte on.
    fn tail(&self, pair: u32) -> &[u8] {
        let at = self.pairs.get(pair as usize).map_or(usize::MAX, Pair::offset);
        self.arena.get(at..).unwrap_or_default()
    }

    /// The number of the pair `name`, `value`.
    pub(crate) fn number(&self, name: &str, value: &str) -> Option<u32> {
        let mut packed = Vec::with_capacity(name.len() + value.len() + 6);
        put_bytes(&mut packed, name.as_bytes());
        put_bytes(&mut packed, value.as_bytes());
        self.find(&packed)
    }

    /// Interns the pairs of a label set in label order, leaving out empty values. Everything that
    /// [`LabelsRef::check`] checks is checked, but text only of pairs that are new: a known pair
    /// passed when it came. [`LabelError::TooMany`] is also the error of a full table.
    pub(crate) fn intern_all(
        &mut self,
        labels: LabelsRef<'_>,
        lists: &mut PairLists,
    ) -> Result<(), LabelError> {
        std::mem::swap(&mut lists.pairs, &mut lists.previous);
        lists.pairs.clear();
        lists.created.clear();
        let packed = labels.as_packed();
        let mut reader = ByteReader::new(packed);
        let mut last_name: &[u8] = &[];
        let mut count = 0;
        while reader.remaining() > 0 {
            let start = reader.position();
            let name = reader.bytes();
            let value = reader.bytes();
            count += 1;
            let ascends = name > last_name && count <= LABELS_PER_SERIES_MAX;
            if !ascends || reader.failed() {
                return labels.check().and(Err(LabelError::Truncated));
            }
            last_name = name;
            let slice = packed.get(start..reader.position()).unwrap_or_default();
            if value.is_empty() {
                LabelsRef::from_packed(slice).check()?;
                continue;
            }
            // Neighbouring series mostly differ in few labels.
            let hint = lists.previous.get(lists.pairs.len()).copied();
            let known = hint.filter(|pair| self.starts_with(*pair, slice));
            match known.or_else(|| self.find(slice)) {
                Some(pair) => lists.pairs.push(pair),
                None => {
                    let pair = self.create(slice)?;
                    lists.created.push(pair);
                    lists.pairs.push(pair);
                }
            }
        }
        Ok(())
    }

    /// Checks and stores a new pair.
    fn create(&mut self, packed: &[u8]) -> Result<u32, LabelError> {
        let labels = LabelsRef::from_packed(packed);
        labels.check()?;
        let name = labels.iter().next().unwrap_or_default().0;
        self.store(packed, name)
            .ok_or(LabelError::TooMany { got: self.pairs.len(), max: u32::MAX as usize - 1 })
    }

    fn store(&mut self, packed: &[u8], name: &str) -> Option<u32> {
        let name = self.intern_name(name)?;
        let stored = Pair::new(self.arena.len(), name)?;
        let pair = match self.free.pop() {
            Some(pair) => pair,
            None => u32::try_from(self.pairs.len()).ok().filter(|pair| *pair < u32::MAX)?,
        };
        match self.pairs.get_mut(pair as usize) {
            Some(slot) => *slot = stored,
            None => self.pairs.push(stored),
        }
        self.arena.extend_from_slice(packed);
        let (shard, hash, tag) = self.slot(packed);
        if let Some(shard) = self.shards.get_mut(shard) {
            // The tag holds all the hash bits that a table needs, so growing reads no pair.
            shard
                .insert_unique(spread(hash), (tag, pair), |(tag, _)| spread(u64::from(*tag) << 20));
        }
        Some(pair)
    }

    fn intern_name(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.name_numbers.get(name) {
            return Some(*number);
        }
        let number = self.names.len();
        if number >= NAMES_MAX {
            return None;
        }
        self.names.push(name.into());
        self.name_numbers.insert(name.into(), number as u32);
        Some(number as u32)
    }

    /// The number of the pair's name.
    pub(crate) fn name_of(&self, pair: u32) -> u32 {
        self.pairs.get(pair as usize).map_or(0, |pair| pair.name_and_offset_high >> 8)
    }

    /// The pair's packed bytes.
    pub(crate) fn packed(&self, pair: u32) -> &[u8] {
        let tail = self.tail(pair);
        tail.get(..packed_length(tail)).unwrap_or_default()
    }

    /// Appends the pair's packed bytes. Most are short: a copy of a fixed size costs less than a call.
    #[inline]
    pub(crate) fn put(&self, pair: u32, out: &mut Vec<u8>) {
        let tail = self.tail(pair);
        let length = packed_length(tail);
        match tail.first_chunk::<COPIED>() {
            Some(copied) if length <= COPIED => {
                out.extend_from_slice(copied);
                out.truncate(out.len() - (COPIED - length));
            }
            _ => out.extend_from_slice(tail.get(..length).unwrap_or_default()),
        }
    }

    /// The pair's value.
    pub(crate) fn value(&self, pair: u32) -> &[u8] {
        let mut reader = ByteReader::new(self.tail(pair));
        reader.bytes();
        reader.bytes()
    }

    /// Takes the pairs out for which `dead` answers true and frees their text. Their numbers will be
    /// given again: nothing else may still name them. Numbers behind the last pair that is left are gone.
    pub(crate) fn purge(&mut self, dead: impl Fn(u32) -> bool) {
        let mut free = self.freed();
        for shard in &mut self.shards {
            shard.retain(|(_, pair)| !dead(*pair));
            shard.shrink_to_fit(|(tag, _)| spread(u64::from(*tag) << 20));
        }
        let mut arena = Vec::with_capacity(self.arena.len() / 2);
        for pair in 0..self.pairs.len() as u32 {
            if free.contains(pair) {
                continue;
            }
            let name = self.name_of(pair);
            let moved = if dead(pair) { None } else { Pair::new(arena.len(), name) };
            match moved {
                Some(_) => arena.extend_from_slice(self.packed(pair)),
                None => _ = free.insert(pair),
            }
            if let Some(slot) = self.pairs.get_mut(pair as usize) {
                *slot = moved.unwrap_or(Pair::nowhere(name));
            }
        }
        arena.shrink_to_fit();
        self.arena = arena;
        self.release(free);
    }

    /// Makes `free` the numbers to be given again, and gives back the memory of those at the end.
    fn release(&mut self, mut free: RoaringBitmap) {
        let mut end = self.pairs.len() as u32;
        while end > 0 && free.contains(end - 1) {
            end -= 1;
        }
        free.remove_range(end..);
        self.pairs.truncate(end as usize);
        self.pairs.shrink_to_fit();
        // The smallest is taken from the end of the list, so that large numbers fall out of use.
        self.free = free.iter().rev().collect();
    }

    /// Bytes of memory, roughly.
    pub(crate) fn heap_bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(|shard| shard.allocation_size()).sum();
        tables + self.pairs.len() * size_of::<Pair>() + self.arena.len()
    }
}

impl Pair {
    fn new(offset: usize, name: u32) -> Option<Self> {
        let high = u32::try_from(offset >> 32).ok().filter(|high| *high < 256)?;
        Some(Self { offset_low: offset as u32, name_and_offset_high: name << 8 | high })
    }

    /// Of a number without a pair: no text begins there.
    fn nowhere(name: u32) -> Self {
        Self { offset_low: u32::MAX, name_and_offset_high: name << 8 | 0xff }
    }

    fn offset(&self) -> usize {
        (self.name_and_offset_high as usize & 0xff) << 32 | self.offset_low as usize
    }
}

/// Length of the packed pair at the front of `tail`.
#[inline]
fn packed_length(tail: &[u8]) -> usize {
    let mut reader = ByteReader::new(tail);
    reader.bytes();
    reader.bytes();
    reader.position()
}

/// The hash that a shard's table sees: a function of the 32 bits that are kept as the tag.
fn spread(hash: u64) -> u64 {
    u64::from((hash >> 20) as u32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(table: &mut PairTable, pairs: &[(&str, &str)]) -> PairLists {
        let mut lists = PairLists::default();
        let labels = model::label::Labels::from_pairs(pairs.iter().copied());
        table.intern_all(labels.view(), &mut lists).unwrap();
        lists
    }

    #[test]
    fn pairs_are_stored_once_and_read_back() {
        let mut table = PairTable::new();
        for round in 0..2 {
            for index in 0..10_000u32 {
                let (name, value) = (format!("n{}", index % 7), format!("v{index}"));
                let lists = intern(&mut table, &[(&name, &value)]);
                assert_eq!((lists.pairs, lists.created.len()), (vec![index], 1 - round));
                assert_eq!(table.number(&name, &value), Some(index));
                assert_eq!(table.value(index), value.as_bytes());
                assert_eq!(table.names()[table.name_of(index) as usize].as_ref(), name);
            }
        }
        assert_eq!(table.number("n0", "v1"), None);
        assert_eq!((table.len(), table.names().len()), (10_000, 7));
        table.purge(|pair| pair % 2 == 1);
        assert_eq!((table.len(), table.end()), (5000, 9999));
        assert_eq!(table.number("n0", "v14"), Some(14));
        assert_eq!(table.number("n0", "v21"), None);
        let again = intern(&mut table, &[("a", "b"), ("n0", "v14")]);
        assert_eq!((again.created.len(), again.pairs[1]), (1, 14));
        assert_eq!(again.created[0] % 2, 1);
        assert_eq!(table.packed(again.created[0]), b"\x01a\x01b");
    }

    #[test]
    fn a_freed_number_is_not_taken_for_what_moved_to_its_place() {
        let mut table = PairTable::new();
        let mut lists = PairLists::default();
        let labels = |value: &str| model::label::Labels::from_pairs([("n", value)]);
        for value in ["a", "b", "a"] {
            table.intern_all(labels(value).view(), &mut lists).unwrap();
        }
        assert_eq!(lists.pairs, [0], "the neighbour that is tried first");
        table.purge(|pair| pair == 0);
        table.intern_all(labels("b").view(), &mut lists).unwrap();
        assert_eq!(lists.pairs, [1]);
    }

    #[test]
    fn numbers_at_the_end_are_given_back() {
        let mut table = PairTable::new();
        for index in 0..10_000u32 {
            intern(&mut table, &[("n", &format!("v{index}"))]);
        }
        let full = table.heap_bytes();
        table.purge(|pair| pair != 3 && pair != 100);
        assert_eq!((table.len(), table.end()), (2, 101));
        assert!(table.heap_bytes() < full / 50, "{} of {full}", table.heap_bytes());
        let given: Vec<u32> =
            ["x", "y", "z", "w"].map(|value| intern(&mut table, &[("n", value)]).pairs[0]).into();
        assert_eq!(given, [0, 1, 2, 4], "the smallest first");
        assert_eq!(table.number("n", "v100"), Some(100));
        table.purge(|_| true);
        assert_eq!((table.len(), table.end()), (0, 0));
        assert_eq!(intern(&mut table, &[("n", "v")]).pairs, [0]);
    }

    #[test]
    fn the_same_is_refused_as_by_check() {
        let mut table = PairTable::new();
        let mut lists = PairLists::default();
        let long = [&[1, b'a', 0xff, 0xff, 3][..], &[b'x'; 0xffff]].concat();
        for packed in [
            &[5, b'a'][..],
            &[0, 1, b'a'],
            &[1, b'a', 1, 0xff],
            &[1, 0xff, 1, b'a'],
            &[1, 0xff, 0],
            &[1, b'a', 1, b'x', 1, b'a', 1, b'y'],
            &[1, b'b', 1, b'x', 1, b'a', 1, b'y'],
            &long,
        ] {
            let labels = LabelsRef::from_packed(packed);
            let expected = labels.check();
            assert!(expected.is_err());
            assert_eq!(table.intern_all(labels, &mut lists), expected);
        }
    }
}
