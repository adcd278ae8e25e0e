//! The in-memory index of the series that are being written: one writer, many readers.
//!
//! Invariants: a series number is given once in the life of a head, in ascending order, and its
//! labels never change; postings hold live series or ones on their way out, never unknown ones; a
//! pair is in the tail of its name or in exactly one frozen dictionary.
//!
//! One lock guards the state and nothing long happens under it: dictionaries are frozen, merged and
//! searched aside, and large unions take it in steps. Lock order: `maintenance` before `state` before `sorted_tail`.

mod maintain;
mod nodes;
mod order;
mod query;
mod statistics;
#[cfg(test)]
mod tests;

pub use statistics::HeadStatistics;

use std::sync::Arc;

use model::label::{LabelError, Labels, LabelsRef};
use parking_lot::{Mutex, RwLock};

use crate::cardinality::{Cardinality, LabelCardinality};
use crate::pairs::{PairLists, PairTable};
use crate::postings::{Having, Postings};
use crate::registry::SeriesTable;
use crate::select_cache::IndexNumber;
use crate::terms::FrozenTerms;

/// The number of a series in the head. Ascends with creation, is not reused while the process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u32);

/// Series handled between two releases of the lock.
const STEP: usize = 4096;

/// The index of the head. Shared by reference; every method may be called from any thread, but
/// series are created and dropped by one thread at a time.
#[derive(Debug)]
pub struct HeadIndex {
    number: IndexNumber,
    state: RwLock<State>,
    /// Held while dictionaries are rebuilt or pair numbers are freed.
    maintenance: Mutex<()>,
    /// See `nodes`; taken with `state` held for reading.
    sorted_tail: Mutex<Option<Arc<nodes::SortedTail>>>,
}

#[derive(Debug)]
struct State {
    series: SeriesTable,
    pairs: PairTable,
    /// By pair number.
    postings: Vec<Postings>,
    /// By name number.
    names: Vec<NameState>,
    frozen: Vec<Arc<FrozenTerms>>,
    /// Pairs that are in no frozen dictionary.
    tail_len: usize,
    /// How often pair numbers were freed; a search that sees it change begins again.
    purges: u64,
    /// How often tails were moved into dictionaries.
    freezes: u64,
    /// True once a series was dropped: postings may then name series that are gone.
    dropped: bool,
    /// The pair numbers of the series being created; kept to save the allocation.
    scratch: PairLists,
}

#[derive(Debug, Default)]
struct NameState {
    /// The series that have the label.
    postings: Having,
    /// Number of values that some series has.
    values: u64,
    /// Pairs of this name that are in no frozen dictionary, in order of creation.
    tail: Vec<u32>,
}

impl Default for HeadIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl HeadIndex {
    /// An index without series.
    pub fn new() -> Self {
        let state = State {
            series: SeriesTable::new(),
            pairs: PairTable::new(),
            postings: Vec::new(),
            names: Vec::new(),
            frozen: Vec::new(),
            tail_len: 0,
            purges: 0,
            freezes: 0,
            dropped: false,
            scratch: PairLists::default(),
        };
        Self {
            number: IndexNumber::next(),
            state: RwLock::new(state),
            maintenance: Mutex::new(()),
            sorted_tail: Mutex::new(None),
        }
    }

    /// The series with this hash of its packed labels.
    pub fn lookup(&self, hash: u128) -> Option<SeriesId> {
        self.state.read().series.find(hash).map(SeriesId)
    }

    /// Replaces `out` by the series of each hash, taking the lock once. Senders repeat their series in
    /// one order, so the neighbour of the last series found is tried before the table.
    pub fn lookup_all(&self, hashes: impl Iterator<Item = u128>, out: &mut Vec<Option<SeriesId>>) {
        out.clear();
        let state = self.state.read();
        let mut expected = 0u32;
        for hash in hashes {
            let found = if state.series.is(expected, hash) {
                Some(expected)
            } else {
                state.series.find(hash)
            };
            if let Some(id) = found {
                expected = id.saturating_add(1);
            }
            out.push(found.map(SeriesId));
        }
    }

    /// Replaces `out` by the hash of each series, `None` for those that were dropped, taking the lock once.
    pub fn hashes(&self, ids: impl Iterator<Item = SeriesId>, out: &mut Vec<Option<u128>>) {
        out.clear();
        let state = self.state.read();
        out.extend(ids.map(|id| state.series.hash(id.0)));
    }

    /// The series with these labels, created when it is new (then the second part is true). `hash`
    /// must be the process-wide hash of the packed labels. Labels are checked on creation only;
    /// labels with an empty value are left out.
    ///
    /// Besides what [`LabelsRef::check`] refuses, [`LabelError::TooMany`] is returned once all 2³²
    /// series numbers, pair numbers or 2²⁴ label names are used up.
    pub fn insert(
        &self,
        hash: u128,
        labels: LabelsRef<'_>,
    ) -> Result<(SeriesId, bool), LabelError> {
        let mut state = self.state.write();
        if let Some(id) = state.series.find(hash) {
            return Ok((SeriesId(id), false));
        }
        Ok((SeriesId(state.create(hash, labels)?), true))
    }

    /// Number of series.
    pub fn len(&self) -> usize {
        self.state.read().series.live().len() as usize
    }

    /// True without series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the largest number ever given; for arrays by [`SeriesId`].
    pub fn series_end(&self) -> u32 {
        self.state.read().series.end()
    }

    /// The labels of a series; none when it is unknown or was dropped.
    pub fn labels(&self, id: SeriesId) -> Labels {
        let mut packed = Vec::new();
        self.labels_into(id, &mut packed);
        LabelsRef::from_packed(&packed).to_labels()
    }

    /// Appends the packed labels of a series; false when it is unknown or was dropped.
    pub fn labels_into(&self, id: SeriesId, out: &mut Vec<u8>) -> bool {
        self.state.read().put_labels(id.0, out)
    }

    /// Appends the packed labels of a series whose names are among the ascending `names`.
    pub fn put_some_labels(&self, id: SeriesId, names: &[String], out: &mut Vec<u8>) {
        let state = self.state.read();
        for name in names {
            let number = state.pairs.name_number(name);
            if let Some(pair) = number.and_then(|number| state.pair_of(id.0, number)) {
                out.extend_from_slice(state.pairs.packed(pair));
            }
        }
    }

    /// Appends the packed labels of many series to `out` and the end of each to `ends`; an unknown
    /// series is empty. Holds the lock for a few thousand series at a time.
    pub fn labels_all(&self, ids: &[u32], out: &mut Vec<u8>, ends: &mut Vec<usize>) {
        for step in ids.chunks(STEP) {
            let state = self.state.read();
            for id in step {
                state.put_labels(*id, out);
                ends.push(out.len());
            }
        }
    }

    /// Series, label names and values, counted.
    pub fn cardinality(&self) -> Cardinality {
        let state = self.state.read();
        let labels = state.pairs.names().iter().zip(&state.names);
        let labels = labels.map(|(name, counts)| LabelCardinality {
            name: name.to_string(),
            values: counts.values,
            series: counts.postings.len(),
        });
        Cardinality::new(state.series.live().len(), labels.collect())
    }

    /// Estimated bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let state = self.state.read();
        let postings: usize = state.postings.iter().map(Postings::heap_bytes).sum();
        let frozen: usize = state.frozen.iter().map(|frozen| frozen.heap_bytes()).sum();
        let names: usize =
            state.names.iter().map(|name| name.postings.heap_bytes() + 4 * name.tail.len()).sum();
        let slots = state.postings.capacity() * size_of::<Postings>();
        state.series.heap_bytes() + state.pairs.heap_bytes() + postings + slots + frozen + names
    }
}

/// What an unknown pair has.
static NO_POSTINGS: Postings = Postings::Few { count: 0, ids: [0; 3] };

impl State {
    fn posting(&self, pair: u32) -> &Postings {
        self.postings.get(pair as usize).unwrap_or(&NO_POSTINGS)
    }

    fn create(&mut self, hash: u128, labels: LabelsRef<'_>) -> Result<u32, LabelError> {
        let mut lists = std::mem::take(&mut self.scratch);
        let interned = self.pairs.intern_all(labels, &mut lists);
        // Pairs that came before a wrong one stay; without series nobody sees them.
        lists.created.iter().for_each(|pair| self.admit(*pair));
        let id = interned.and_then(|()| {
            self.series
                .add(hash, &lists.pairs)
                .ok_or(LabelError::TooMany { got: u32::MAX as usize, max: u32::MAX as usize - 1 })
        });
        if let Ok(id) = id {
            lists.pairs.iter().for_each(|pair| self.count(*pair, id));
        }
        self.scratch = lists;
        id
    }

    /// Makes room for a new pair.
    fn admit(&mut self, pair: u32) {
        if self.postings.len() <= pair as usize {
            self.postings.resize_with(pair as usize + 1, Postings::default);
        }
        let name = self.pairs.name_of(pair) as usize;
        if self.names.len() <= name {
            self.names.resize_with(name + 1, NameState::default);
        }
        if let Some(name) = self.names.get_mut(name) {
            name.tail.push(pair);
            self.tail_len += 1;
        }
    }

    /// Enters a series into the postings of one of its pairs.
    fn count(&mut self, pair: u32, id: u32) {
        let Some(postings) = self.postings.get_mut(pair as usize) else { return };
        let first = postings.is_empty();
        postings.push(id);
        if let Some(name) = self.names.get_mut(self.pairs.name_of(pair) as usize) {
            name.values += u64::from(first);
            name.postings.push(id);
        }
    }

    fn put_labels(&self, id: u32, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        self.series.pairs(id).for_each(|pair| self.pairs.put(pair, out));
        out.len() > before || self.series.live().contains(id)
    }
}
