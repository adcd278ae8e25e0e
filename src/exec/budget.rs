//! What a running query holds, against what it may hold.
//!
//! Whoever keeps something takes room for it by a [`Held`], which gives it back when it goes: the counters
//! are zero again once the query is over. A native histogram counts as the samples that take up its bytes
//! ([`model::Histogram::weight`]), since it may be a thousand times as large as a number.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::memory::MemoryWatch;
use plan::QueryLimits;

use crate::context::Context;
use crate::error::{ExecError, SAMPLES};
use crate::small;

/// Counts the samples and bytes that a query holds. The counters never wrap because every release follows
/// its reservation.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: QueryLimits,
    memory: Arc<MemoryWatch>,
    samples: AtomicU64,
    peak_samples: AtomicU64,
    bytes: AtomicU64,
    samples_read: AtomicU64,
    /// What a query that was found small may read, as [`small::work`] counts it, and what it has read.
    work_max: Option<u64>,
    work: AtomicU64,
}

/// Bytes per held sample: its instant and its value. Rows on a grid hold values alone, but beside the row
/// that is made of them.
const SAMPLE_BYTES: u64 = 16;
/// Bytes of a held sample's exact integer, in rows that have any.
const INTEGER_BYTES: usize = size_of::<Option<i64>>();
/// Bytes of a held row beside its samples: labels, title and vectors.
const ROW_BYTES: u64 = 256;

/// A query looks at the memory of the process whenever it has taken so many bytes more.
const WATCHED_BYTES: u64 = 64 * 1024;

impl Budget {
    /// An empty budget under `limits`, whatever the process holds.
    #[cfg(test)]
    pub(crate) fn new(limits: QueryLimits) -> Self {
        Self::of(limits, &Context::default())
    }

    /// An empty budget under `limits`, which gives nothing more once the memory of `context` is full.
    pub(crate) fn of(limits: QueryLimits, context: &Context) -> Self {
        Self {
            memory: context.memory.clone(),
            work_max: context.is_small.then_some(small::WORK_MAX),
            work: AtomicU64::new(0),
            limits,
            samples: AtomicU64::new(0),
            peak_samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            samples_read: AtomicU64::new(0),
        }
    }

    /// Nothing held yet.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held { budget: self, rows: 0, samples: 0, bytes: 0 }
    }

    fn reserve(&self, rows: usize, samples: usize) -> Result<(), ExecError> {
        if (rows, samples) == (0, 0) {
            return Ok(());
        }
        let samples = samples as u64;
        let held = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        self.peak_samples.fetch_max(held, Ordering::Relaxed);
        let taken = self.take(samples * SAMPLE_BYTES + rows as u64 * ROW_BYTES);
        if held > self.limits.samples_max {
            return Err(ExecError::Limit { name: SAMPLES, max: self.limits.samples_max });
        }
        taken
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

    fn release(&self, rows: usize, samples: usize, bytes: u64) {
        if (rows, samples, bytes) == (0, 0, 0) {
            return;
        }
        let samples = samples as u64;
        self.samples.fetch_sub(samples, Ordering::Relaxed);
        let bytes = samples * SAMPLE_BYTES + rows as u64 * ROW_BYTES + bytes;
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes a series of `samples` samples that is held while its row is computed, and what its histograms
    /// weigh beside that.
    pub(crate) fn read(&self, samples: usize, histograms: usize) -> Result<(), ExecError> {
        if let Some(max) = self.work_max {
            let work = small::work(samples, histograms);
            if self.work.fetch_add(work, Ordering::Relaxed) + work > max {
                return Err(ExecError::NotSmall);
            }
        }
        let samples = samples as u64;
        self.samples_read.fetch_add(samples, Ordering::Relaxed);
        let held = self.samples.load(Ordering::Relaxed) + samples;
        self.peak_samples.fetch_max(held, Ordering::Relaxed);
        if held > self.limits.samples_max {
            return Err(ExecError::Limit { name: SAMPLES, max: self.limits.samples_max });
        }
        Ok(())
    }

    /// Samples of the longest series that may be read.
    pub(crate) fn read_samples_max(&self) -> u64 {
        self.limits.read_samples_max().min(self.work_max.unwrap_or(u64::MAX))
    }

    /// The error of a series that is longer.
    pub(crate) fn read_error(&self) -> ExecError {
        if self.work_max.is_some() {
            // Whether there is room for it is told where it may take its time.
            return ExecError::NotSmall;
        }
        let QueryLimits { samples_max, memory_bytes_max, .. } = self.limits;
        if samples_max <= memory_bytes_max / SAMPLE_BYTES {
            return ExecError::Limit { name: SAMPLES, max: samples_max };
        }
        ExecError::Limit { name: "memory_bytes_max", max: memory_bytes_max }
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

    /// Samples and bytes that are held now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.samples.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        let held = (*self.samples.get_mut(), *self.bytes.get_mut());
        debug_assert_eq!(held, (0, 0), "samples and bytes that were taken and not given back");
    }
}

/// Room that somebody has taken; it is given back when this is dropped.
///
/// What is too much is counted all the same, so that no caller must take care what to give back.
#[derive(Debug)]
pub(crate) struct Held<'b> {
    budget: &'b Budget,
    rows: usize,
    samples: usize,
    bytes: u64,
}

impl<'b> Held<'b> {
    /// Where the room is taken.
    pub(crate) fn budget(&self) -> &'b Budget {
        self.budget
    }

    /// Takes room for `rows` more rows with `samples` samples in all.
    pub(crate) fn add(&mut self, rows: usize, samples: usize) -> Result<(), ExecError> {
        self.rows += rows;
        self.samples += samples;
        self.budget.reserve(rows, samples)
    }

    /// Takes room for a row of so many samples and exact integers.
    pub(crate) fn add_row(&mut self, samples: usize, integers: usize) -> Result<(), ExecError> {
        self.add(1, samples)?;
        self.add_bytes(integers * INTEGER_BYTES)
    }

    /// Takes room for `samples` that take `bytes` in all.
    pub(crate) fn add_large(&mut self, samples: usize, bytes: usize) -> Result<(), ExecError> {
        self.add(0, samples)?;
        self.add_bytes(bytes.saturating_sub(samples * SAMPLE_BYTES as usize))
    }

    /// Takes room for `bytes` that are no samples.
    pub(crate) fn add_bytes(&mut self, bytes: usize) -> Result<(), ExecError> {
        if bytes == 0 {
            return Ok(());
        }
        self.bytes += bytes as u64;
        self.budget.take(bytes as u64)
    }

    /// Takes or gives back as much as it takes to hold `rows` rows with `samples` samples.
    pub(crate) fn set(&mut self, rows: usize, samples: usize) -> Result<(), ExecError> {
        let (fewer, more) = (self.rows.saturating_sub(rows), rows.saturating_sub(self.rows));
        let less = self.samples.saturating_sub(samples);
        let added = samples.saturating_sub(self.samples);
        (self.rows, self.samples) = (rows, samples);
        self.budget.release(fewer, less, 0);
        self.budget.reserve(more, added)
    }

    /// Samples that are held.
    pub(crate) fn samples(&self) -> usize {
        self.samples
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.release(self.rows, self.samples, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_even_where_it_was_too_much() {
        let limits = QueryLimits { samples_max: 10, ..QueryLimits::default() };
        let budget = Budget::new(limits);
        let mut held = budget.hold();
        held.set(1, 4).unwrap();
        held.add_bytes(7).unwrap();
        held.set(0, 9).unwrap();
        assert_eq!(budget.held(), (9, 9 * SAMPLE_BYTES + 7));
        assert_eq!(
            budget.hold().add(0, 2).unwrap_err().to_string(),
            budget.read_error().to_string()
        );
        held.set(2, 1).unwrap();
        assert_eq!(budget.held(), (1, SAMPLE_BYTES + 2 * ROW_BYTES + 7));
        assert!(held.add(0, 10).is_err() && budget.peak_samples() == 11);
        drop(held);
        assert_eq!(budget.held(), (0, 0));
    }
}
