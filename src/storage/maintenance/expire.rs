//! Letting samples go that are too old, or too many.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::Maintenance;
use crate::block::reader::Block;
use crate::compact::policy::Choice;
use crate::error::StorageError;
use crate::layout::BlockId;
use crate::manifest::edit::ManifestEdit;
use crate::retention::{Expired, Retention};
use crate::rollup::rules::keep;

impl Maintenance {
    /// Drops and rewrites blocks as the retention says.
    pub(crate) fn expire_blocks(&mut self) -> Result<(), StorageError> {
        let now_ms = self.shared.clock.now_ms();
        let blocks: Vec<Arc<Block>> = self.shared.view.load().blocks().cloned().collect();
        let (mut gone, mut mixed) = (Vec::new(), Vec::new());
        for block in &blocks {
            match self.expired(block, now_ms) {
                Expired::Nothing => {}
                Expired::Some => mixed.push(block.clone()),
                Expired::All => gone.push(block.meta.id),
            }
        }
        let view = self.shared.view.load();
        let rollups: Vec<Arc<Block>> = view.rollups().cloned().collect();
        drop(view);
        gone.extend(
            rollups.iter().filter(|one| self.is_old_rollup(one, now_ms)).map(|one| one.meta.id),
        );
        self.beyond_size(blocks.iter().chain(&rollups), &mut gone);
        drop((blocks, rollups));
        self.drop_blocks(&gone)?;
        for block in mixed.iter().filter(|block| !gone.contains(&block.meta.id)) {
            let meta = &block.meta;
            if !self.unmergeable.contains(&meta.id) {
                let choice =
                    Choice { tenant: meta.tenant, blocks: vec![meta.id], level: meta.level };
                self.merge_chosen(&choice)?;
            }
        }
        let live = self.manifest.current().blocks;
        self.classes.retain(|id, _| live.iter().any(|entry| entry.meta.id == *id));
        Ok(())
    }

    fn expired(&mut self, block: &Block, now_ms: i64) -> Expired {
        let retention = Retention::at(&self.shared.options, now_ms);
        let max_time_ms = block.meta.max_time_ms;
        let classes = match self.classes.entry(block.meta.id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match retention.classes(block) {
                Ok(classes) => place.insert(classes),
                // Of what nobody can read only the time is known.
                Err(_) if max_time_ms < retention.earliest_of_all() => return Expired::All,
                Err(_) => return Expired::Nothing,
            },
        };
        retention.expired(classes, max_time_ms)
    }

    /// True for a block of summaries that is too old for all rules with its width; where there are none
    /// any more, for the retention of samples.
    fn is_old_rollup(&self, block: &Block, now_ms: i64) -> bool {
        let options = &self.shared.options;
        let Some(rollup) = block.meta.rollup else { return false };
        let earliest_ms = match keep(&options.rollup_rules, rollup.width_ms) {
            Some(keep_ms) => keep_ms.map_or(i64::MIN, |ms| now_ms.saturating_sub(ms)),
            None => Retention::at(options, now_ms).earliest_of_all(),
        };
        rollup.end_ms < earliest_ms
    }

    /// Adds the oldest of `blocks` to `gone` until log and blocks fit into the configured size.
    fn beyond_size<'b>(
        &self,
        blocks: impl Iterator<Item = &'b Arc<Block>>,
        gone: &mut Vec<BlockId>,
    ) {
        let Some(bytes_max) = self.shared.options.retention_bytes else {
            return;
        };
        let mut rest: Vec<&Arc<Block>> =
            blocks.filter(|block| !gone.contains(&block.meta.id)).collect();
        rest.sort_by_key(|block| (block.meta.max_time_ms, block.order));
        let log = self.shared.metrics.wal_size_bytes.get().max(0) as u64;
        let mut bytes = log + rest.iter().map(|block| block.bytes()).sum::<u64>();
        for block in rest {
            if bytes <= bytes_max {
                break;
            }
            bytes -= block.bytes();
            gone.push(block.meta.id);
        }
    }

    fn drop_blocks(&mut self, gone: &[BlockId]) -> Result<(), StorageError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut edit = ManifestEdit::new(self.oldest_wal_file);
        edit.remove = gone.to_vec();
        self.manifest.publish(&edit)?;
        let view = self.shared.view.load();
        let is_gone = |block: &&Arc<Block>| gone.contains(&block.meta.id);
        let all = view.blocks().chain(view.rollups());
        let retired: Vec<Arc<Block>> = all.filter(is_gone).cloned().collect();
        drop(view);
        self.shared.view.update(|view| view.remove(gone));
        self.retire(&retired);
        self.shared.metrics.retention_deleted_blocks.add(gone.len() as u64);
        self.note_blocks();
        self.note_deletes();
        Ok(())
    }
}
