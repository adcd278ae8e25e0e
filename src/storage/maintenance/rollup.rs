//! Rolling up what is due.

use std::sync::Arc;
use std::time::Instant;

use base::error::{Classify as _, ErrorKind};
use base::limits::CHUNK_SAMPLES_MAX;
use model::TenantId;

use super::Maintenance;
use crate::block::meta::{BlockMeta, RollupMeta};
use crate::block::reader::Block;
use crate::compact::publish::replace_blocks;
use crate::error::StorageError;
use crate::manifest::edit::ManifestEdit;
use crate::retention::Retention;
use crate::rollup::build::{Inputs, build};
use crate::rollup::policy::{Choice, Situation, choose, samples_in};
use crate::rollup::rules::{fingerprint, widths};
use crate::shared::block_memory;

/// Blocks of summaries made in one round: flushes must not wait for a year of history.
const ROLLUPS_PER_ROUND: usize = 16;

impl Maintenance {
    /// Makes blocks of summaries that are due, some of them; false when there are more.
    pub(super) fn roll_up(&mut self) -> Result<bool, StorageError> {
        for _ in 0..ROLLUPS_PER_ROUND {
            if !self.roll_up_one(false)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes one block of summaries; false when none is due. With `at_once` dirty ones do not wait.
    pub(super) fn roll_up_one(&mut self, at_once: bool) -> Result<bool, StorageError> {
        let Some(choice) = self.choose_rollup(at_once) else { return Ok(false) };
        let start = Instant::now();
        match self.make_rollup(&choice) {
            Ok(()) => {
                self.shared.metrics.rollups.inc();
                self.shared.metrics.rollup_seconds.observe(start.elapsed());
                Ok(true)
            }
            Err(error) => {
                self.shared.metrics.rollup_failures.inc();
                self.sweep_all()?;
                if error.kind() != ErrorKind::Corrupt {
                    return Err(error);
                }
                tracing::error!(%error, "cannot roll up blocks; they are left as they are");
                self.leave_alone(&choice);
                Ok(true)
            }
        }
    }

    fn choose_rollup(&self, at_once: bool) -> Option<Choice> {
        let options = &self.shared.options;
        let rules = &options.rollup_rules;
        let now_ms = self.shared.clock.now_ms();
        let kept_ms = Retention::at(options, now_ms).latest_of_all();
        let blocks = self.manifest.current().blocks;
        let widths: Vec<(i64, u64)> =
            widths(rules).into_iter().map(|width| (width, fingerprint(rules, width))).collect();
        choose(&Situation {
            blocks: &blocks,
            skip: &self.unmergeable,
            widths: &widths,
            range_ms: options.rollup_range_ms,
            settled_ms: now_ms.saturating_sub(options.flush_after_ms),
            barren: &self.barren,
            at_once,
            expiring_ms: kept_ms.saturating_add(options.rollup_range_ms),
        })
    }

    fn make_rollup(&mut self, choice: &Choice) -> Result<(), StorageError> {
        let tenant = TenantId(choice.tenant);
        let (mut old, samples) = self.inputs_of(choice);
        old.sort_by_key(|block| block.meta.rollup.map(|rollup| rollup.start_ms));
        let mut new = self.new_block(tenant, 0, CHUNK_SAMPLES_MAX);
        new.sources.clone_from(&choice.old);
        new.rollup = Some(RollupMeta {
            width_ms: choice.width_ms,
            start_ms: choice.range.start_ms,
            end_ms: choice.range.end_ms,
            rules: fingerprint(&self.shared.options.rollup_rules, choice.width_ms),
        });
        let options = &self.shared.options;
        let now_ms = self.shared.clock.now_ms();
        let inputs = Inputs { choice, old: &old, samples: &samples, options, now_ms };
        // At least so many series are written; a series mostly stands in many of the blocks.
        let most = old.iter().chain(&samples).map(|block| block.meta.series).max();
        let _spending = options.memory.spend(block_memory(most.unwrap_or(0)), 0);
        let made = build(&self.io, &self.shared.layout, new, &inputs)?;
        if made.is_none() {
            self.note_barren(choice);
        }
        if old.is_empty() {
            self.publish_rollup(made)?;
        } else {
            replace_blocks(
                &self.io,
                &self.shared.layout,
                &self.manifest,
                &self.shared.view,
                &old,
                made,
                self.oldest_wal_file,
            )?;
            self.retire(&old);
        }
        self.note_blocks();
        self.note_deletes();
        Ok(())
    }

    /// The blocks of summaries and of samples that a choice is made from.
    fn inputs_of(&self, choice: &Choice) -> (Vec<Arc<Block>>, Vec<Arc<Block>>) {
        let view = self.shared.view.load();
        let Some(view) = view.tenants.get(&TenantId(choice.tenant)) else {
            return Default::default();
        };
        let is_old = |block: &&Arc<Block>| choice.old.contains(&block.meta.id);
        let is_in = |block: &&Arc<Block>| block.time_range().overlaps(&choice.range);
        let old = view.rollups.iter().filter(is_old).cloned().collect();
        (old, view.blocks.iter().filter(is_in).cloned().collect())
    }

    fn publish_rollup(&mut self, made: Option<BlockMeta>) -> Result<(), StorageError> {
        let Some(meta) = made else { return Ok(()) };
        let mut edit = ManifestEdit::new(self.oldest_wal_file);
        edit.add.push(meta.clone());
        let manifest = self.manifest.publish(&edit)?;
        let order = manifest.blocks.iter().find(|entry| entry.meta.id == meta.id);
        let order = order.map_or(0, |entry| entry.order);
        let block = Block::open(&self.io, &self.shared.layout, meta, order);
        self.shared.view.update(|view| view.add(Arc::new(block)));
        Ok(())
    }

    /// Remembers that there is nothing to roll up, until there are other blocks.
    fn note_barren(&mut self, choice: &Choice) {
        let Choice { tenant, width_ms, range, .. } = *choice;
        let samples = samples_in(&self.manifest.current().blocks, tenant, range);
        self.barren.insert((tenant, width_ms, range.start_ms), samples);
    }

    /// Remembers blocks that cannot be read, so that they are not tried again and again.
    fn leave_alone(&mut self, choice: &Choice) {
        if choice.old.is_empty() {
            self.note_barren(choice);
        } else {
            self.unmergeable.extend(&choice.old);
        }
    }
}
