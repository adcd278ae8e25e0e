//! Deleting on request, and rewriting what deletes have left holes in.

use std::sync::Arc;

use index::{Clauses, SeriesId};
use model::{Matcher, TenantId, TimeRange};

use super::{FlushWhich, Maintenance};
use crate::block::reader::Block;
use crate::compact::policy::{RewriteMax, rewrite};
use crate::delete::{DELETES_MAX, DeleteEntry};
use crate::error::{HEAD_INDEX, StorageError, select_error};
use crate::head::partition::Partition;
use crate::manifest::edit::ManifestEdit;
use crate::view::TenantView;

impl Maintenance {
    /// Makes the samples in `range` of the series that pass `matchers` invisible for good.
    pub(crate) fn delete(
        &mut self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<(), StorageError> {
        if self.manifest.current().deletes.len() >= DELETES_MAX {
            self.purge()?;
        }
        let windows = self.windows_holding(tenant, matchers, range)?;
        if !windows.is_empty() {
            self.flush(FlushWhich::These(windows))?;
        }
        let view = self.shared.view.load();
        let blocks = view.tenants.get(&tenant);
        let blocks = blocks.into_iter().flat_map(|view| view.blocks.iter().chain(&view.rollups));
        let mut clauses = Clauses::new(matchers);
        let mut hit: Vec<Arc<Block>> = Vec::new();
        for block in blocks.filter(|block| block.covers().overlaps(&range)) {
            if !block.select(&mut clauses)?.is_empty() {
                hit.push(block.clone());
            }
        }
        drop(view);
        if !hit.is_empty() {
            self.publish_delete(matchers, range, &hit)?;
        }
        self.begin_forgetting(tenant);
        self.forget_series();
        Ok(())
    }

    /// Makes the head drop the series of `tenant` without samples in it as soon as nobody reads them.
    fn begin_forgetting(&mut self, tenant: TenantId) {
        let mut older = None;
        self.shared.view.update(|view| {
            if let Some(view) = view.tenants.get_mut(&tenant) {
                older = Some(std::mem::replace(&mut view.generation, Arc::new(())));
            }
        });
        if let Some(older) = older {
            self.older_views.entry(tenant).or_default().push(Arc::downgrade(&older));
            self.forgetful.insert(tenant);
        }
    }

    /// The windows of the head in which a matching series has a sample in `range`.
    fn windows_holding(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(TenantId, i64)>, StorageError> {
        let view = self.shared.view.load();
        let Some(view) = view.tenants.get(&tenant) else {
            return Ok(Vec::new());
        };
        let found = view.index.select(matchers);
        let series = found.map_err(|error| select_error(HEAD_INDEX, error))?;
        let holds = |partition: &&Arc<Partition>| {
            let data = partition.read();
            data.time_range().is_some_and(|inner| inner.overlaps(&range))
                && series.iter().any(|id| data.contains(SeriesId(id)))
        };
        let holding = view.partitions.iter().filter(holds);
        Ok(holding.map(|partition| (tenant, partition.start_ms())).collect())
    }

    fn publish_delete(
        &mut self,
        matchers: &[Matcher],
        range: TimeRange,
        hit: &[Arc<Block>],
    ) -> Result<(), StorageError> {
        let mut edit = ManifestEdit::new(self.oldest_wal_file);
        let entry = DeleteEntry {
            id: 0,
            at_ms: self.shared.clock.now_ms(),
            start_ms: range.start_ms,
            end_ms: range.end_ms,
            matchers: matchers.iter().map(Into::into).collect(),
        };
        edit.delete = Some((entry, hit.iter().map(|block| block.meta.id).collect()));
        let manifest = self.manifest.publish(&edit)?;
        let reopen = |block: &Arc<Block>| {
            let entry = manifest.blocks.iter().find(|entry| entry.meta.id == block.meta.id)?;
            Some(Arc::new(block.with_deletes(manifest.deletes_of(entry))))
        };
        self.shared.view.update(|view| {
            for block in view.tenants.values_mut().flat_map(TenantView::all_blocks_mut) {
                if hit.iter().any(|hit| Arc::ptr_eq(hit, block))
                    && let Some(reopened) = reopen(block)
                {
                    *block = reopened;
                }
            }
            view.soil(&manifest);
        });
        // Whoever reads them still does so without the delete.
        self.retire(hit);
        self.note_deletes();
        Ok(())
    }

    /// Rewrites every block with deletes on it.
    pub(crate) fn purge(&mut self) -> Result<(), StorageError> {
        while self.rewrite_one(i64::MAX, RewriteMax::ANY)? {}
        while self.roll_up_one(true)? {}
        self.note_deletes();
        self.sweep_retired()
    }

    /// Rewrites one block of at most `max` whose newest delete was asked for at `until_ms` or before; false
    /// when there is none.
    pub(super) fn rewrite_one(
        &mut self,
        until_ms: i64,
        max: RewriteMax,
    ) -> Result<bool, StorageError> {
        let manifest = self.manifest.current();
        match rewrite(&manifest, &self.unmergeable, until_ms, max) {
            Some(choice) => self.merge_chosen(&choice),
            None => {
                self.note_deletes();
                Ok(false)
            }
        }
    }
}
