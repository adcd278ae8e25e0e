//! Label sets in the spelling of their senders, recognised by hash.
//!
//! A sender spells a series alike every time, so what a decoder once made of a spelling holds for the
//! next one: a known series costs one hash and one copy, whatever the number of its labels.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Label sets that were seen before: the hash of their spelling to the hash of the set. Only valid
/// sets are in it. Each way of spelling has one of its own.
#[derive(Debug)]
pub struct KnownKeys {
    hashes: HashMap<u128, u128, BuildHasherDefault<AlreadyHashed>>,
    keys_max: usize,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self::at_most(Self::KEYS_MAX)
    }
}

impl KnownKeys {
    /// Spellings that are remembered; beyond that all are forgotten and learned again.
    pub const KEYS_MAX: usize = 4_000_000;
    /// Memory of one of them while the table grows.
    pub const KEY_BYTES: usize = 96;

    /// Remembers at most `keys_max` spellings.
    pub fn at_most(keys_max: usize) -> Self {
        Self { hashes: HashMap::default(), keys_max }
    }

    /// The hash of the label set with this spelling.
    #[inline]
    pub fn get(&self, spelling: u128) -> Option<u128> {
        self.hashes.get(&spelling).copied()
    }

    /// Remembers what a decoding learned.
    pub fn learn(&mut self, learned: &[(u128, u128)]) {
        if self.hashes.len() + learned.len() > self.keys_max {
            self.hashes = HashMap::default();
        }
        self.hashes.extend(learned.iter().take(self.keys_max).copied());
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.hashes = HashMap::default();
    }
}

/// Keys are hashes under a secret seed already: their low half is as good as any hash of them.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_keys_are_remembered_than_may_be() {
        let mut known = KnownKeys::at_most(3);
        known.learn(&[(1, 10), (2, 20)]);
        assert_eq!((known.get(1), known.get(2)), (Some(10), Some(20)));
        known.learn(&[(3, 30), (4, 40)]);
        assert_eq!((known.get(1), known.get(4)), (None, Some(40)), "all are learned again");
        known.learn(&[(5, 50), (6, 60), (7, 70), (8, 80)]);
        assert_eq!((known.get(7), known.get(8)), (Some(70), None));
    }
}
