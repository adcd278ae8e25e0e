//! What the threads of one engine share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use base::clock::Clock;
use base::metrics::Metrics;
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
