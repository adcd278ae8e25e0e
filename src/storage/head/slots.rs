//! Which series of the head a partition has, and at which place.
//!
//! A partition with most of the head's series keeps a plain array; one with few (a window that a
//! back-fill touches) a hash table, so that a thousand open windows cost what they hold.

use hashbrown::HashMap;
use index::SeriesId;

/// No place.
const NONE: u32 = u32::MAX;
/// An array is kept when at least one id in so many is in use.
const DENSE_ONE_IN: usize = 4;

/// Series id → place.
#[derive(Debug)]
pub(crate) enum Slots {
    /// For few series.
    Sparse(HashMap<u32, u32>),
    /// For most series.
    Dense(Vec<u32>),
}

impl Default for Slots {
    fn default() -> Self {
        Self::Dense(Vec::new())
    }
}

impl Slots {
    /// The place of `id`.
    #[inline]
    pub(crate) fn get(&self, id: SeriesId) -> Option<u32> {
        match self {
            Self::Dense(places) => {
                places.get(id.0 as usize).copied().filter(|place| *place != NONE)
            }
            Self::Sparse(places) => places.get(&id.0).copied(),
        }
    }

    /// Records a new id at `place`, which is the number of ids recorded before.
    pub(crate) fn insert(&mut self, id: SeriesId, place: u32) {
        match self {
            Self::Dense(places) => {
                let index = id.0 as usize;
                if index >= places.len() {
                    let dense_max = (place as usize + 1) * DENSE_ONE_IN + 1024;
                    if index >= dense_max {
                        self.become_sparse();
                        return self.insert(id, place);
                    }
                    places.resize(index + 1, NONE);
                }
                places[index] = place;
            }
            Self::Sparse(places) => {
                places.insert(id.0, place);
                // Looked at when the table has doubled, so the walk is paid for.
                if places.len().is_power_of_two() {
                    self.consider_dense();
                }
            }
        }
    }

    fn become_sparse(&mut self) {
        if let Self::Dense(places) = self {
            let pairs = places.iter().enumerate().filter(|(_, place)| **place != NONE);
            *self = Self::Sparse(pairs.map(|(id, place)| (id as u32, *place)).collect());
        }
    }

    fn consider_dense(&mut self) {
        if let Self::Sparse(map) = self {
            let ids = map.keys().max().map_or(0, |id| *id as usize + 1);
            // A third of a table's cost per id: hysteresis against turning back at the next insert.
            if ids <= map.len() * DENSE_ONE_IN / 2 + 1024 {
                let mut places = vec![NONE; ids];
                for (id, place) in map.iter() {
                    places[*id as usize] = *place;
                }
                *self = Self::Dense(places);
            }
        }
    }

    /// Estimated bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Dense(places) => places.capacity() as u64 * 4,
            Self::Sparse(places) => places.capacity() as u64 * 9,
        }
    }
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;

    #[test]
    fn sparse_and_dense_answer_alike() {
        let mut rng = Rng::new(5);
        for spread in [2, 100, 1_000_000] {
            let mut slots = Slots::default();
            let mut oracle = std::collections::BTreeMap::new();
            for _ in 0..5000 {
                let id = rng.below(5000 * spread) as u32;
                if oracle.contains_key(&id) {
                    continue;
                }
                let place = oracle.len() as u32;
                slots.insert(SeriesId(id), place);
                oracle.insert(id, place);
            }
            for (id, place) in &oracle {
                assert_eq!(slots.get(SeriesId(*id)), Some(*place));
                let next = SeriesId(id + 1);
                assert_eq!(slots.get(next), oracle.get(&next.0).copied());
            }
        }
    }
}
