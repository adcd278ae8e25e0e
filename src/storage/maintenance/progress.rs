//! How far deletes are from being off the disk: in metrics, and in the log while blocks are rewritten.
//!
//! A block with deletes on it is read and written anew as a whole, so the bytes of such blocks are the
//! work that is left. It shrinks while a block is written, since a large one takes minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::metrics::Metrics;

use super::Maintenance;
use crate::layout::BlockId;
use crate::manifest::edit::BlockEntry;

/// How often the log tells of a rewrite.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Blocks with deletes on them.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    blocks: u64,
    bytes: u64,
}

impl Waiting {
    fn of<'b>(blocks: impl Iterator<Item = &'b BlockEntry>) -> Self {
        let waiting = blocks.filter(|entry| !entry.deletes.is_empty());
        waiting.fold(Self::default(), |sum, entry| Self {
            blocks: sum.blocks + 1,
            bytes: sum.bytes + entry.meta.chunks_bytes + entry.meta.index_bytes,
        })
    }
}

impl Maintenance {
    /// Brings the metrics of deletes up to date.
    pub(super) fn note_deletes(&self) {
        let manifest = self.manifest.current();
        let waiting = Waiting::of(manifest.blocks.iter());
        let metrics = &self.shared.metrics;
        metrics.deletes.set(manifest.deletes.len() as i64);
        metrics.delete_blocks.set(waiting.blocks as i64);
        metrics.delete_bytes.set(waiting.bytes as i64);
    }

    /// What a merge of `inputs` tells while it runs.
    pub(super) fn begin_rewrite(&self, inputs: &[BlockId]) -> Rewrite {
        let manifest = self.manifest.current();
        let is_input = |entry: &&BlockEntry| inputs.contains(&entry.meta.id);
        Rewrite {
            metrics: Arc::clone(&self.shared.metrics),
            before: self.rewritten_bytes,
            waiting: Waiting::of(manifest.blocks.iter()).bytes,
            own: Waiting::of(manifest.blocks.iter().filter(is_input)).bytes,
            series: manifest.blocks.iter().filter(is_input).map(|entry| entry.meta.series).sum(),
            series_done: 0,
            told: Instant::now(),
        }
    }

    /// Counts what a finished merge took off the disk.
    pub(super) fn finish_rewrite(&mut self, rewrite: &Rewrite) {
        self.note_deletes();
        if rewrite.own == 0 {
            return;
        }
        self.shared.metrics.delete_rewritten_bytes.add(rewrite.own);
        self.rewritten_bytes += rewrite.own;
        if self.shared.metrics.delete_blocks.get() > 0 {
            rewrite.tell(rewrite.own);
        } else {
            let bytes = std::mem::take(&mut self.rewritten_bytes);
            tracing::info!(bytes, "rewrote all blocks without their deleted samples");
        }
    }
}

/// A merge of blocks, some of which may have deletes on them. All sizes are bytes of blocks.
#[derive(Debug)]
pub(super) struct Rewrite {
    metrics: Arc<Metrics>,
    /// Rewritten by earlier merges since nothing was waiting.
    before: u64,
    /// Waiting when this merge began, its own included.
    waiting: u64,
    /// Of its inputs with deletes.
    own: u64,
    /// Series of all its inputs.
    series: u64,
    series_done: u64,
    told: Instant,
}

impl Rewrite {
    /// So many more series of the inputs are merged.
    pub(super) fn step(&mut self, series: usize) {
        self.series_done += series as u64;
        if self.own == 0 || self.told.elapsed() < TELL_EVERY {
            return;
        }
        self.told = Instant::now();
        let share = self.series_done as f64 / self.series.max(1) as f64;
        let done = (self.own as f64 * share.min(1.0)) as u64;
        self.metrics.delete_bytes.set(self.waiting.saturating_sub(done) as i64);
        self.tell(done);
    }

    fn tell(&self, own_done: u64) {
        let percent = percent(self.before + own_done, self.before + self.waiting);
        let bytes_left = self.waiting.saturating_sub(own_done);
        tracing::info!(percent, bytes_left, "rewriting blocks without their deleted samples");
    }
}

/// 0 to 100, rounded down: 100 is said when all is done.
fn percent(done: u64, total: u64) -> u64 {
    (u128::from(done) * 100 / u128::from(total.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percents_are_not_too_high() {
        assert_eq!(percent(0, 0), 0);
        assert_eq!(percent(999, 1000), 99);
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
