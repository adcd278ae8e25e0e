//! Label sets in the spelling of their senders, recognised by hash.
//!
//! A sender spells a series alike every time, so what a decoder once made of a spelling holds for the
//! next one: a known series costs one hash and one copy, whatever the number of its labels.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Label sets that were seen before: the hash of their spelling to the hash of the set. Only valid
/// sets are in it. Each way of spelling has one of its own.
#[derive(Debug, Default)]
pub struct KnownKeys {
    hashes: HashMap<u128, u128, BuildHasherDefault<AlreadyHashed>>,
}

impl KnownKeys {
    /// Spellings that are remembered; beyond that all are forgotten and learned again. 48 bytes each.
    pub const KEYS_MAX: usize = 4_000_000;

    /// The hash of the label set with this spelling.
    #[inline]
    pub fn get(&self, spelling: u128) -> Option<u128> {
        self.hashes.get(&spelling).copied()
    }

    /// Remembers what a decoding learned.
    pub fn learn(&mut self, learned: &[(u128, u128)]) {
        if self.hashes.len() + learned.len() > Self::KEYS_MAX {
            self.hashes = HashMap::default();
        }
        self.hashes.extend(learned.iter().copied());
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
