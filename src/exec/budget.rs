//! What a running query holds, against what it may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::memory::MemoryWatch;
use plan::QueryLimits;

use crate::error::{ExecError, SAMPLES};

/// Counts the samples and bytes that a query holds. Operators reserve before they grow and release
/// when they are done; the counters never wrap because every release follows its reservation.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: QueryLimits,
    memory: Arc<MemoryWatch>,
    samples: AtomicU64,
    peak_samples: AtomicU64,
    bytes: AtomicU64,
    samples_read: AtomicU64,
}

/// Bytes per held sample: its instant and its value. Rows on a grid hold values alone, but beside the row
/// that is made of them.
const SAMPLE_BYTES: u64 = 16;
/// Bytes of a held sample's exact integer, in rows that have any.
const INTEGER_BYTES: u64 = size_of::<Option<i64>>() as u64;
/// Bytes of a held row beside its samples: labels, title and vectors.
const ROW_BYTES: u64 = 256;

/// A query looks at the memory of the process whenever it has taken so many bytes more.
const WATCHED_BYTES: u64 = 64 * 1024;

impl Budget {
    /// An empty budget under `limits`, whatever the process holds.
    #[cfg(test)]
    pub(crate) fn new(limits: QueryLimits) -> Self {
        Self::watching(limits, Arc::default())
    }

    /// An empty budget under `limits`, which gives nothing more once `memory` is full.
    pub(crate) fn watching(limits: QueryLimits, memory: Arc<MemoryWatch>) -> Self {
        Self {
            memory,
            limits,
            samples: AtomicU64::new(0),
            peak_samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            samples_read: AtomicU64::new(0),
        }
    }

    /// Takes room for `rows` more rows with `samples` samples in all.
    pub(crate) fn reserve(&self, rows: usize, samples: usize) -> Result<(), ExecError> {
        let samples = samples as u64;
        let held = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        self.peak_samples.fetch_max(held, Ordering::Relaxed);
        let taken = self.take(samples * SAMPLE_BYTES + rows as u64 * ROW_BYTES);
        if held > self.limits.samples_max {
            return Err(ExecError::Limit { name: SAMPLES, max: self.limits.samples_max });
        }
        taken
    }

    /// Takes room for the exact integers of `count` samples.
    pub(crate) fn reserve_integers(&self, count: usize) -> Result<(), ExecError> {
        self.take(count as u64 * INTEGER_BYTES)
    }

    fn take(&self, added: u64) -> Result<(), ExecError> {
        let bytes = self.bytes.fetch_add(added, Ordering::Relaxed) + added;
        if bytes > self.limits.memory_bytes_max {
            let max = self.limits.memory_bytes_max;
            return Err(ExecError::Limit { name: "memory_bytes_max", max });
        }
        let is_next_step = (bytes - added) / WATCHED_BYTES != bytes / WATCHED_BYTES;
        if is_next_step && self.memory.is_full() {
            return Err(ExecError::MemoryFull { limit: self.memory.limit() });
        }
        Ok(())
    }

    /// Gives room back.
    pub(crate) fn release(&self, rows: usize, samples: usize) {
        let samples = samples as u64;
        self.samples.fetch_sub(samples, Ordering::Relaxed);
        let bytes = samples * SAMPLE_BYTES + rows as u64 * ROW_BYTES;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives room for exact integers back.
    pub(crate) fn release_integers(&self, count: usize) {
        self.bytes.fetch_sub(count as u64 * INTEGER_BYTES, Ordering::Relaxed);
    }

    /// Notes a series of `samples` samples that is held while its row is computed.
    pub(crate) fn read(&self, samples: usize) -> Result<(), ExecError> {
        let samples = samples as u64;
        self.samples_read.fetch_add(samples, Ordering::Relaxed);
        let held = self.samples.load(Ordering::Relaxed) + samples;
        self.peak_samples.fetch_max(held, Ordering::Relaxed);
        if held > self.limits.samples_max {
            return Err(ExecError::Limit { name: SAMPLES, max: self.limits.samples_max });
        }
        Ok(())
    }

    /// Checks the number of series of one scan.
    pub(crate) fn series(&self, count: usize) -> Result<(), ExecError> {
        if count as u64 > self.limits.series_max {
            return Err(ExecError::Limit { name: "series_max", max: self.limits.series_max });
        }
        Ok(())
    }

    /// Samples read from the source so far.
    pub(crate) fn samples_read(&self) -> u64 {
        self.samples_read.load(Ordering::Relaxed)
    }

    /// The most samples held at once so far.
    pub(crate) fn peak_samples(&self) -> u64 {
        self.peak_samples.load(Ordering::Relaxed)
    }

    /// Samples that a cache may keep: what is a convenience must not fail a query.
    pub(crate) fn cache_samples_max(&self) -> usize {
        let by_bytes = self.limits.memory_bytes_max / SAMPLE_BYTES;
        usize::try_from(self.limits.samples_max.min(by_bytes) / 4).unwrap_or(usize::MAX)
    }
}
