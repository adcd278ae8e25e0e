//! What the threads of one engine share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use base::clock::Clock;
use base::memory::MemoryWatch;
use base::metrics::Metrics;
use index::SelectCache;
use model::SeriesHasher;

use crate::error::StorageError;
use crate::layout::Layout;
use crate::options::EngineOptions;
use crate::queue::Queue;
use crate::view::ViewCell;

/// How many times its soft limit the head may reach before writes are refused.
const HEAD_BYTES_FACTOR: u64 = 2;
/// How many times their soft limit the open windows may reach before writes are refused.
const PARTITIONS_FACTOR: usize = 8;

/// Memory for each series of a block while it is written: labels, postings and places, in tables that
/// double. Measured: 187 bytes for series of four labels of which one has a value of its own.
const BLOCK_SERIES_BYTES: u64 = 192;

/// Memory that writing a block of `series` series takes.
pub(crate) fn block_memory(series: u64) -> u64 {
    series.saturating_mul(BLOCK_SERIES_BYTES)
}

/// One in so many bytes of the memory limit may be taken by a merge of blocks, and by one that is begun
/// while memory is tight: it may stay so for long.
const MERGE_SHARE: u64 = 4;
const MERGE_SHARE_TIGHT: u64 = 16;

/// Bytes of what was selected lately, at most, and the share of the memory limit that they may take.
const SELECT_CACHE_BYTES: u64 = 16 << 20;
const SELECT_CACHE_SHARE: u64 = 64;

/// A cache of what readers select, within `memory`.
pub(crate) fn select_cache(memory: &MemoryWatch, metrics: &Arc<Metrics>) -> SelectCache {
    let share = match memory.limit() {
        0 => SELECT_CACHE_BYTES,
        limit => limit / SELECT_CACHE_SHARE,
    };
    SelectCache::new(share.min(SELECT_CACHE_BYTES) as usize, metrics.clone())
}

/// Shared by the engine's face, the committer and the maintenance thread.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What the user chose.
    pub(crate) options: EngineOptions,
    /// Where everything is.
    pub(crate) layout: Layout,
    /// What time it is.
    pub(crate) clock: Arc<dyn Clock>,
    /// The program's metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Hashes label sets, alike in every batch.
    pub(crate) hasher: SeriesHasher,
    /// What readers have selected lately.
    pub(crate) selected: SelectCache,
    /// What readers see.
    pub(crate) view: ViewCell,
    /// Work for the committer.
    pub(crate) queue: Queue,
    /// Estimated bytes of the partitions in the view.
    pub(crate) head_bytes: AtomicU64,
    /// Partitions in the view.
    pub(crate) partitions: AtomicUsize,
    /// Set when a thread of the engine has died or another writer has taken over: writes are refused from then on.
    pub(crate) is_poisoned: AtomicBool,
}

impl Shared {
    /// Series that blocks which are merged may have together: a merge takes memory for each of them, and
    /// should not be what makes it tight.
    pub(crate) fn merged_series_max(&self) -> u64 {
        let memory = &self.options.memory;
        match memory.limit() {
            0 => u64::MAX,
            limit => {
                let bytes = memory.room().clamp(limit / MERGE_SHARE_TIGHT, limit / MERGE_SHARE);
                bytes / BLOCK_SERIES_BYTES
            }
        }
    }

    /// Bytes that the process holds, its limit, and what writing the head out will take.
    pub(crate) fn memory_figures(&self) -> (u64, u64, u64) {
        let memory = &self.options.memory;
        (memory.used(), memory.limit(), memory.owed())
    }

    /// Notes that the head has `count` series more, which will be written to a block.
    pub(crate) fn series_entered(&self, count: u64) {
        self.metrics.series_active.add(count as i64);
        self.options.memory.owe(block_memory(count));
    }

    /// Notes that the head has forgotten `count` series.
    pub(crate) fn series_left(&self, count: u64) {
        self.metrics.series_active.add(-(count as i64));
        self.options.memory.settle(block_memory(count));
    }

    /// Notes what an append added to the head.
    pub(crate) fn head_grew(&self, bytes: u64, samples: u64) {
        let total = self.head_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.metrics.head_bytes.set(total as i64);
        self.metrics.head_samples.add(samples as i64);
    }

    /// Notes that a partition has left the head.
    pub(crate) fn head_shrank(&self, bytes: u64, samples: u64) {
        let before = self.head_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.head_bytes.set(before.saturating_sub(bytes) as i64);
        self.metrics.head_samples.add(-(samples as i64));
        self.partitions.fetch_sub(1, Ordering::Relaxed);
    }

    /// Passes `result` on; when another writer has taken over, writes are refused from now on.
    pub(crate) fn fence<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(error @ StorageError::Fenced { .. }) = &result {
            tracing::error!(%error, "another process writes to this store");
            self.is_poisoned.store(true, Ordering::Relaxed);
            self.metrics.storage_writable.set(0);
        }
        result
    }

    /// True while the head is so far beyond its limits that writes have to wait for a flush.
    pub(crate) fn is_overfull(&self) -> bool {
        self.head_bytes.load(Ordering::Relaxed) > self.options.head_bytes_max * HEAD_BYTES_FACTOR
            || self.partitions.load(Ordering::Relaxed)
                > self.options.partitions_max * PARTITIONS_FACTOR
    }
}
