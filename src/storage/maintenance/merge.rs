//! Merges of blocks: which ones now, and what becomes of those that fail or are given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::error::{Classify as _, ErrorKind};
use base::limits::CHUNK_SAMPLES_MAX;
use model::{TenantId, TimeRange};

use super::{Maintenance, REWRITE_AFTER_MS};
use crate::block::reader::Block;
use crate::compact::policy::{Choice, RewriteMax, Situation, choose};
use crate::compact::publish::replace_blocks;
use crate::compact::run::merge_blocks;
use crate::error::StorageError;
use crate::retention::Retention;
use crate::shared::block_memory;

/// What is merged a second, in bytes of blocks, by a careful guess; and what is merged at once.
const MERGED_BYTES_A_SECOND: u64 = 8 << 20;
const MERGED_AT_ONCE_BYTES: u64 = 4 << 20;

/// How long after its newest block a range is merged as a whole.
const QUIET_AFTER_MS: i64 = 10_000;

/// How merges go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// All that can be merged is: somebody asked for it.
    AtOnce,
    /// As the store does by itself: nothing that takes too long, or would soon be done again.
    Steady,
}

/// Bytes of blocks that the store's own merges take at most, so long after its start.
///
/// A stop gives up the merge under way. So that a process which is stopped every few seconds makes
/// progress all the same, no merge begins that would take longer than the process has run so far.
fn merged_bytes_max(running: Duration) -> u64 {
    running.as_secs().saturating_mul(MERGED_BYTES_A_SECOND).max(MERGED_AT_ONCE_BYTES)
}

impl Maintenance {
    /// Merges until nothing more is to be merged.
    pub(crate) fn compact(&mut self) -> Result<(), StorageError> {
        while !self.roll_up()? {}
        while self.compact_one(Pace::AtOnce)? {}
        self.sweep_retired()
    }

    /// One merge; false when nothing is to be done.
    pub(super) fn compact_one(&mut self, pace: Pace) -> Result<bool, StorageError> {
        let options = &self.shared.options;
        let now_ms = self.shared.clock.now_ms();
        let (bytes_max, fresh) = match pace {
            Pace::AtOnce => (u64::MAX, None),
            Pace::Steady => (
                merged_bytes_max(self.began.elapsed()),
                Some(TimeRange::new(now_ms.saturating_sub(QUIET_AFTER_MS), now_ms)),
            ),
        };
        let mut blocks = self.manifest.current().blocks;
        blocks.retain(|entry| entry.meta.rollup.is_none());
        let situation = Situation {
            blocks: &blocks,
            skip: &self.unmergeable,
            partition_ms: options.partition_ms,
            settled_ms: now_ms.saturating_sub(options.flush_after_ms),
            series_max: self.shared.merged_series_max(),
            bytes_max,
            fresh,
        };
        let Some(choice) = choose(&situation) else {
            let max = RewriteMax { series: situation.series_max, bytes: bytes_max };
            return self.rewrite_one(now_ms.saturating_sub(REWRITE_AFTER_MS), max);
        };
        self.merge_chosen(&choice)
    }

    /// Merges `choice`; true also when it turned out that it cannot be merged.
    pub(super) fn merge_chosen(&mut self, choice: &Choice) -> Result<bool, StorageError> {
        let start = Instant::now();
        let result = self.merge(choice);
        match &result {
            Ok(()) => {
                self.shared.metrics.compactions.inc();
                self.shared.metrics.compaction_seconds.observe(start.elapsed());
            }
            Err(error) => {
                self.shared.metrics.compaction_failures.inc();
                self.note_deletes();
                self.sweep_all()?;
                if error.kind() == ErrorKind::Corrupt {
                    tracing::error!(%error, "cannot merge blocks; they are left as they are");
                    self.unmergeable.extend(&choice.blocks);
                    return Ok(true);
                }
            }
        }
        result.map(|()| true)
    }

    fn merge(&mut self, choice: &Choice) -> Result<(), StorageError> {
        let view = self.shared.view.load();
        let tenant = TenantId(choice.tenant);
        let blocks = view.tenants.get(&tenant).map(|view| &view.blocks[..]).unwrap_or_default();
        let is_input = |block: &&Arc<Block>| choice.blocks.contains(&block.meta.id);
        let inputs: Vec<Arc<Block>> = blocks.iter().filter(is_input).cloned().collect();
        drop(view);
        let mut new = self.new_block(tenant, choice.level, CHUNK_SAMPLES_MAX);
        new.sources.clone_from(&choice.blocks);
        let layout = &self.shared.layout;
        let retention = Retention::at(&self.shared.options, self.shared.clock.now_ms());
        let mut rewrite = self.begin_rewrite(&choice.blocks);
        let series = inputs.iter().map(|block| block.meta.series).sum();
        let _spending = self.shared.options.memory.spend(block_memory(series), 0);
        let step = &mut |series| rewrite.step(series);
        let merged = merge_blocks(&self.io, layout, new, &inputs, &retention, step)?;
        replace_blocks(
            &self.io,
            layout,
            &self.manifest,
            &self.shared.view,
            &inputs,
            merged,
            self.oldest_wal_file,
        )?;
        self.retire(&inputs);
        self.note_blocks();
        self.finish_rewrite(&rewrite);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_take_no_longer_than_the_process_has_run() {
        let at = |seconds| merged_bytes_max(Duration::from_secs(seconds)) >> 20;
        assert_eq!([at(0), at(1), at(2), at(3600)], [4, 8, 16, 28_800]);
        assert_eq!(merged_bytes_max(Duration::MAX), u64::MAX);
    }
}
