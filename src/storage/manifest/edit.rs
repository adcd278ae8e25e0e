//! A manifest and the edits that lead from one to the next. `manifest/FORMAT.md` has the bytes.

use model::TimeRange;
use serde::{Deserialize, Serialize};

use crate::block::meta::BlockMeta;
use crate::delete::DeleteEntry;
use crate::layout::BlockId;
use crate::rollup::ranges;
use crate::wal::writer::WalPosition;

/// Version that this program writes.
pub(crate) const MANIFEST_VERSION: u32 = 3;
/// The oldest version that this program reads.
pub(crate) const MANIFEST_VERSION_OLDEST: u32 = 1;

/// The whole state of a shard outside its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Version of the format.
    pub(crate) version: u32,
    /// The shard.
    pub(crate) shard: u16,
    /// Position in the chain, from 1; 0 is the state before the first.
    pub(crate) number: u64,
    /// Random number of the process that wrote it.
    pub(crate) writer: u64,
    /// The order of the next block.
    pub(crate) next_order: u64,
    /// The live blocks.
    pub(crate) blocks: Vec<BlockEntry>,
    /// What of the log is in blocks already.
    pub(crate) flushed: Vec<FlushMark>,
    /// What is gone from the blocks that name it.
    #[serde(default)]
    pub(crate) deletes: Vec<DeleteEntry>,
    /// The id of the next delete.
    #[serde(default)]
    pub(crate) next_delete: u64,
}

/// A live block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockEntry {
    /// Where two blocks have a sample of one series at one instant, the one with the greater order
    /// has the later write.
    pub(crate) order: u64,
    /// Ids of the deletes that hit it, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deletes: Vec<u64>,
    /// Of a block of summaries: where they no longer say what the samples say (first and last
    /// instant of whole buckets); ascending, apart from each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dirty: Vec<(i64, i64)>,
    /// What it is.
    #[serde(flatten)]
    pub(crate) meta: BlockMeta,
}

/// Samples of one window in front of a place of the log are in blocks, or expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlushMark {
    /// Whose.
    pub(crate) tenant: u32,
    /// Start of the window in milliseconds.
    pub(crate) window_ms: i64,
    /// Length of the window: marks survive a change of the option.
    pub(crate) length_ms: i64,
    /// File of the place.
    pub(crate) file: u64,
    /// Byte of the place.
    pub(crate) offset: u64,
}

impl BlockEntry {
    /// A block at its place in the order, that nothing was done to yet.
    pub(crate) fn new(order: u64, meta: BlockMeta) -> Self {
        Self { order, deletes: Vec::new(), dirty: Vec::new(), meta }
    }

    /// The dirty ranges.
    pub(crate) fn dirty_ranges(&self) -> Vec<TimeRange> {
        self.dirty.iter().map(|(start_ms, end_ms)| TimeRange::new(*start_ms, *end_ms)).collect()
    }

    /// Notes that samples in `range` have changed; only a block of summaries cares.
    pub(crate) fn soil(&mut self, range: TimeRange) {
        let Some(rollup) = self.meta.rollup.filter(|rollup| rollup.range().overlaps(&range)) else {
            return;
        };
        let mut dirty = self.dirty_ranges();
        ranges::add(&mut dirty, rollup.widen(range.intersect(&rollup.range())));
        self.dirty = dirty.iter().map(|range| (range.start_ms, range.end_ms)).collect();
    }
}

impl FlushMark {
    /// The place in the log.
    pub(crate) fn position(&self) -> WalPosition {
        WalPosition { file: self.file, offset: self.offset }
    }

    /// True when both speak of one window of one tenant.
    pub(crate) fn is_of_same_window(&self, other: &Self) -> bool {
        (self.tenant, self.window_ms, self.length_ms)
            == (other.tenant, other.window_ms, other.length_ms)
    }
}

/// The order that added blocks get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewOrder {
    /// Behind all others: their writes are the latest.
    Last,
    /// That of the latest block that they replace.
    Replace(u64),
}

/// A step from one manifest to the next.
#[derive(Clone, Debug)]
pub(crate) struct ManifestEdit {
    /// Blocks that appear.
    pub(crate) add: Vec<BlockMeta>,
    /// Where added blocks of summaries are dirty from the start.
    pub(crate) dirty: Vec<TimeRange>,
    /// Their order.
    pub(crate) order: NewOrder,
    /// Blocks that disappear.
    pub(crate) remove: Vec<BlockId>,
    /// Windows that are in blocks from now on.
    pub(crate) flushed: Vec<FlushMark>,
    /// The oldest file of the log: marks in front of it have done their duty.
    pub(crate) oldest_wal_file: u64,
    /// A delete, whose id the manifest chooses, and the blocks that it hits.
    pub(crate) delete: Option<(DeleteEntry, Vec<BlockId>)>,
}

impl ManifestEdit {
    /// An edit that changes nothing.
    pub(crate) fn new(oldest_wal_file: u64) -> Self {
        Self {
            add: Vec::new(),
            dirty: Vec::new(),
            order: NewOrder::Last,
            remove: Vec::new(),
            flushed: Vec::new(),
            oldest_wal_file,
            delete: None,
        }
    }
}

impl Manifest {
    /// The state before the first manifest.
    pub(crate) fn empty(shard: u16, writer: u64) -> Self {
        Self {
            version: MANIFEST_VERSION,
            shard,
            number: 0,
            writer,
            next_order: 1,
            blocks: Vec::new(),
            flushed: Vec::new(),
            deletes: Vec::new(),
            next_delete: 1,
        }
    }

    /// The manifest that follows this one by `edit`, written by `writer`.
    pub(crate) fn next(&self, edit: &ManifestEdit, writer: u64) -> Self {
        let mut next = self.clone();
        next.version = MANIFEST_VERSION;
        next.number += 1;
        next.writer = writer;
        next.blocks.retain(|entry| !edit.remove.contains(&entry.meta.id));
        for meta in &edit.add {
            let order = match edit.order {
                NewOrder::Replace(order) => order,
                NewOrder::Last => {
                    next.next_order += 1;
                    next.next_order - 1
                }
            };
            let mut entry = BlockEntry::new(order, meta.clone());
            edit.dirty.iter().for_each(|range| entry.soil(*range));
            next.blocks.push(entry);
            // A merge only moves what summaries know already.
            if edit.order == NewOrder::Last && meta.rollup.is_none() {
                next.soil(meta.tenant, meta.time_range());
            }
        }
        next.blocks.sort_by_key(|entry| entry.order);
        for mark in &edit.flushed {
            let is_same = |known: &FlushMark| known.is_of_same_window(mark);
            next.flushed.retain(|known| !is_same(known) || known.position() > mark.position());
            if !next.flushed.iter().any(is_same) {
                next.flushed.push(*mark);
            }
        }
        next.flushed.retain(|mark| mark.file >= edit.oldest_wal_file);
        if let Some((entry, blocks)) = &edit.delete {
            next.add_delete(entry, blocks);
        }
        let blocks = &next.blocks;
        next.deletes.retain(|delete| blocks.iter().any(|block| block.deletes.contains(&delete.id)));
        next
    }

    /// Notes in all blocks of summaries of `tenant` that samples in `range` are new.
    pub(crate) fn soil(&mut self, tenant: u32, range: TimeRange) {
        let own = self.blocks.iter_mut().filter(|block| block.meta.tenant == tenant);
        own.for_each(|block| block.soil(range));
    }

    fn add_delete(&mut self, entry: &DeleteEntry, blocks: &[BlockId]) {
        // A manifest of version 1 has no such number yet.
        let id = self.next_delete.max(1);
        self.next_delete = id + 1;
        for block in self.blocks.iter_mut().filter(|block| blocks.contains(&block.meta.id)) {
            block.deletes.push(id);
            block.soil(TimeRange::new(entry.start_ms, entry.end_ms));
        }
        self.deletes.push(DeleteEntry { id, ..entry.clone() });
    }

    /// The deletes of `entry`.
    pub(crate) fn deletes_of(&self, entry: &BlockEntry) -> impl Iterator<Item = &DeleteEntry> {
        self.deletes.iter().filter(|delete| entry.deletes.contains(&delete.id))
    }
}
