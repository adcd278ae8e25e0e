//! Label sets in the spelling of their senders, recognised by hash.
//!
//! A sender spells a series alike every time, so what a decoder once made of a spelling holds for the
//! next one: a known series costs one hash and one copy, whatever the number of its labels.
//!
//! Senders also repeat their series in one order. Spellings are therefore kept in the order in which
//! they were learned, and the one behind the last found is tried first: a table of many series is met in
//! random order otherwise, and waiting for its memory costs more than all the rest of decoding.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use model::SeriesHasher;

/// A spelling that was seen before.
#[derive(Clone, Copy, Debug)]
struct Learned {
    /// The hash of the spelling.
    spelling: u128,
    /// The hash of the label set.
    series: u128,
}

/// Spellings of one allocation, so that nothing moves as a whole while the list grows.
const CHUNK: usize = 4096;
/// Tables of the places.
const SHARDS: usize = 64;

/// Label sets that were seen before: the hash of their spelling to the hash of the set. Only valid
/// sets are in it. Each way of spelling has one of its own.
#[derive(Debug)]
pub struct KnownKeys {
    /// In the order of learning, [`CHUNK`] at a time.
    learned: Vec<Vec<Learned>>,
    /// A part of the spelling's hash, of which the table's own hash is made, and its place in the list.
    /// Spread over [`SHARDS`] tables, so that none of them takes long to grow.
    places: [HashTable<(u32, u32)>; SHARDS],
    count: usize,
    keys_max: usize,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self::at_most(Self::KEYS_MAX)
    }
}

/// Where a walk over the known spellings is: behind the last one found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor(u32);

impl KnownKeys {
    /// Spellings that are remembered; beyond that all are forgotten and learned again.
    pub const KEYS_MAX: usize = 16_000_000;
    /// Memory of one of them at most.
    pub const KEY_BYTES: usize = 56;

    /// Remembers at most `keys_max` spellings.
    pub fn at_most(keys_max: usize) -> Self {
        let places = std::array::from_fn(|_| HashTable::new());
        // Places are numbers of 32 bits.
        let keys_max = keys_max.min(u32::MAX as usize);
        Self { learned: Vec::new(), places, count: 0, keys_max }
    }

    /// The hash of the label set with this spelling. `cursor` is best kept from one series of a
    /// sender to the next.
    #[inline]
    pub fn get(&self, spelling: u128, cursor: &mut Cursor) -> Option<u128> {
        let mut found = self.at(cursor.0).filter(|next| next.spelling == spelling);
        if found.is_none() {
            let (place, learned) = self.find(spelling)?;
            cursor.0 = place;
            found = Some(learned);
        }
        cursor.0 += 1;
        found.map(|learned| learned.series)
    }

    #[inline]
    fn at(&self, place: u32) -> Option<&Learned> {
        self.learned.get(place as usize / CHUNK)?.get(place as usize % CHUNK)
    }

    fn find(&self, spelling: u128) -> Option<(u32, &Learned)> {
        let same = |(tag, place): &(u32, u32)| {
            *tag == tag_of(spelling) && self.at(*place).is_some_and(|at| at.spelling == spelling)
        };
        let (_, place) = *self.places[shard_of(spelling)].find(spread(tag_of(spelling)), same)?;
        Some((place, self.at(place)?))
    }

    fn len(&self) -> usize {
        self.count
    }

    /// Remembers what a decoding learned, in the order in which the series came.
    pub fn learn(&mut self, learned: &[(u128, u128)]) {
        if self.len() + learned.len() > self.keys_max {
            self.clear();
        }
        for (spelling, series) in learned.iter().take(self.keys_max) {
            self.insert(Learned { spelling: *spelling, series: *series });
        }
    }

    fn insert(&mut self, new: Learned) {
        let (tag, place) = (tag_of(new.spelling), self.count as u32);
        let at = |place: u32| (place as usize / CHUNK, place as usize % CHUNK);
        let learned = &mut self.learned;
        let same = |(known, place): &(u32, u32)| {
            let (chunk, index) = at(*place);
            *known == tag && learned[chunk][index].spelling == new.spelling
        };
        match self.places[shard_of(new.spelling)].entry(spread(tag), same, |(tag, _)| spread(*tag))
        {
            Entry::Occupied(known) => {
                let (chunk, index) = at(known.get().1);
                learned[chunk][index] = new;
            }
            Entry::Vacant(vacant) => {
                vacant.insert((tag, place));
                if at(place).1 == 0 {
                    learned.push(Vec::with_capacity(CHUNK));
                }
                learned[at(place).0].push(new);
                self.count += 1;
            }
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::at_most(self.keys_max);
    }
}

/// Hashes are made under a secret seed already: any part of one is as good as any hash of it.
fn tag_of(spelling: u128) -> u32 {
    spelling as u32
}

fn shard_of(spelling: u128) -> usize {
    (spelling >> 64) as usize % SHARDS
}

/// What the table sees: a function of what it keeps, so that growing it looks nothing up.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Mixes the hashes of a spelling's parts, in their order, to one of the whole. They are made with the
/// store's secret seed, so nobody can choose them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spelling {
    low: u64,
    high: u64,
}

impl Spelling {
    /// Digits of pi, so that nothing is zero.
    const LOW: u64 = 0x2438_6a88_85a3_08d3;
    const HIGH: u64 = 0x1319_8a2e_0370_7344;

    /// Of no parts.
    pub(crate) fn new() -> Self {
        Self { low: Self::LOW, high: Self::HIGH }
    }

    /// The hash of the parts, which are told apart: `ab`, `c` is not `a`, `bc`.
    #[inline]
    pub(crate) fn of(parts: &[&[u8]], hasher: SeriesHasher) -> u128 {
        let mut spelling = Self::new();
        parts.iter().for_each(|part| spelling.push(hasher.hash(part)));
        spelling.finish()
    }

    /// Adds the hash of a part.
    #[inline]
    pub(crate) fn push(&mut self, hash: u128) {
        let (low, high) = (hash as u64, (hash >> 64) as u64);
        self.low = Self::fold(self.low ^ low, high ^ Self::HIGH);
        self.high = Self::fold(self.high ^ high, low ^ Self::LOW);
    }

    #[inline]
    fn fold(a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    }

    /// The hash of the whole.
    pub(crate) fn finish(&self) -> u128 {
        u128::from(self.low) << 64 | u128::from(self.high)
    }
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;

    #[test]
    fn the_list_answers_as_a_map_in_any_order() {
        let mut rng = Rng::new(3);
        let (mut known, mut oracle) = (KnownKeys::default(), std::collections::HashMap::new());
        let mut spellings = Vec::new();
        for round in 0..150u32 {
            // Some of what is learned was learned before, and a few hashes share their low half.
            let learned: Vec<(u128, u128)> = (0..100)
                .map(|index| {
                    let low = u128::from(rng.below(1 << 14)) << 20;
                    let high = u128::from(rng.below(3)) << 100;
                    (low | high, u128::from(round * 1000 + index))
                })
                .collect();
            known.learn(&learned);
            oracle.extend(learned.iter().copied());
            spellings.extend(learned.iter().map(|(spelling, _)| *spelling));
        }
        assert_eq!(known.len(), oracle.len());
        let mut cursor = Cursor::default();
        for spelling in &spellings {
            assert_eq!(known.get(*spelling, &mut cursor), oracle.get(spelling).copied());
        }
        for _ in 0..20_000 {
            let spelling = if rng.one_in(9) {
                u128::from(rng.next_u64())
            } else {
                spellings[rng.below(spellings.len() as u64) as usize]
            };
            assert_eq!(known.get(spelling, &mut cursor), oracle.get(&spelling).copied());
        }
        known.clear();
        assert_eq!(known.get(spellings[0], &mut cursor), None);
    }

    #[test]
    fn no_more_keys_are_remembered_than_may_be() {
        let mut known = KnownKeys::at_most(3);
        let get = |known: &KnownKeys, spelling| known.get(spelling, &mut Cursor::default());
        known.learn(&[(1, 10), (2, 20)]);
        assert_eq!((get(&known, 1), get(&known, 2)), (Some(10), Some(20)));
        known.learn(&[(3, 30), (4, 40)]);
        assert_eq!((get(&known, 1), get(&known, 4)), (None, Some(40)), "all are learned again");
        known.learn(&[(5, 50), (6, 60), (7, 70), (8, 80)]);
        assert_eq!((get(&known, 7), get(&known, 8)), (Some(70), None));
    }

    #[test]
    fn parts_are_told_apart() {
        let hasher = SeriesHasher::with_seed(1);
        let of = |parts: &[&[u8]]| Spelling::of(parts, hasher);
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"ab", b"c"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"c", b"ab"]));
    }
}
