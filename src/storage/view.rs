//! What readers see: for each tenant its index, its partitions and its blocks, as one immutable
//! value that is replaced as a whole.
//!
//! Invariant: a change that moves samples from one place to another (a flush, a compaction) is one
//! replacement, so no reader meets a sample twice or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use index::HeadIndex;
use model::TenantId;
use parking_lot::RwLock;
use roaring::RoaringBitmap;

use crate::block::reader::Block;
use crate::head::partition::Partition;
use crate::layout::BlockId;
use crate::manifest::edit::{BlockEntry, Manifest};

/// Everything of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct TenantView {
    /// Series of the head.
    pub(crate) index: Arc<HeadIndex>,
    /// Windows of the head, those with older writes first.
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// Blocks, those with older writes first.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Blocks of summaries.
    pub(crate) rollups: Vec<Arc<Block>>,
    /// Held by every selection: while an older one than the current is alive, series that the
    /// head has dropped must still be found in its index.
    pub(crate) generation: Arc<()>,
}

/// Series of the head are forgotten once at least one in so many has no samples there.
const FORGET_ONE_IN: u64 = 8;

impl TenantView {
    /// The series that have samples in the head.
    pub(crate) fn series_in_use(&self) -> RoaringBitmap {
        let ids = self.partitions.iter().map(|partition| partition.read().ids());
        ids.fold(RoaringBitmap::new(), |all, ids| all | ids)
    }

    /// True when the head knows so many other series that it pays to forget them.
    pub(crate) fn has_many_unused(&self) -> bool {
        let known = self.index.len() as u64;
        let unused = known.saturating_sub(self.series_in_use().len());
        unused > 0 && unused * FORGET_ONE_IN >= known
    }

    /// Blocks of samples and of summaries, to be replaced.
    pub(crate) fn all_blocks_mut(&mut self) -> impl Iterator<Item = &mut Arc<Block>> {
        self.blocks.iter_mut().chain(&mut self.rollups)
    }
}

impl Default for TenantView {
    fn default() -> Self {
        Self {
            index: Arc::new(HeadIndex::new()),
            partitions: Vec::new(),
            blocks: Vec::new(),
            rollups: Vec::new(),
            generation: Arc::new(()),
        }
    }
}

/// Everything there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// By tenant.
    pub(crate) tenants: BTreeMap<TenantId, TenantView>,
}

impl View {
    /// All partitions with their tenants.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (TenantId, &Arc<Partition>)> {
        self.tenants
            .iter()
            .flat_map(|(tenant, view)| view.partitions.iter().map(move |part| (*tenant, part)))
    }

    /// All blocks of samples.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.tenants.values().flat_map(|view| view.blocks.iter())
    }

    /// All blocks of summaries.
    pub(crate) fn rollups(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.tenants.values().flat_map(|view| view.rollups.iter())
    }

    /// Adds a block where it belongs.
    pub(crate) fn add(&mut self, block: Arc<Block>) {
        let tenant = self.tenants.entry(block.tenant()).or_default();
        match block.meta.rollup {
            Some(_) => tenant.rollups.push(block),
            None => {
                tenant.blocks.push(block);
                tenant.blocks.sort_by_key(|block| block.order);
            }
        }
    }

    /// Takes blocks away.
    pub(crate) fn remove(&mut self, gone: &[BlockId]) {
        for tenant in self.tenants.values_mut() {
            let stays = |block: &Arc<Block>| !gone.contains(&block.meta.id);
            tenant.blocks.retain(stays);
            tenant.rollups.retain(stays);
        }
    }

    /// Lets the blocks of summaries know which of their ranges `manifest` calls dirty.
    pub(crate) fn soil(&mut self, manifest: &Manifest) {
        for block in self.tenants.values_mut().flat_map(|tenant| &mut tenant.rollups) {
            let entry = manifest.blocks.iter().find(|entry| entry.meta.id == block.meta.id);
            let dirty = entry.map(BlockEntry::dirty_ranges).unwrap_or_default();
            if dirty != block.dirty() {
                *block = Arc::new(block.with_dirty(dirty));
            }
        }
    }
}

/// Holds the current [`View`].
#[derive(Debug, Default)]
pub(crate) struct ViewCell(RwLock<Arc<View>>);

impl ViewCell {
    /// The current view.
    pub(crate) fn load(&self) -> Arc<View> {
        self.0.read().clone()
    }

    /// Replaces the view by an edited copy, which is then current for everybody.
    pub(crate) fn update(&self, edit: impl FnOnce(&mut View)) {
        let mut current = self.0.write();
        let mut next = View::clone(&current);
        edit(&mut next);
        *current = Arc::new(next);
    }
}
