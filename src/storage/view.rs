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

use crate::block::reader::Block;
use crate::head::partition::Partition;

/// Everything of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct TenantView {
    /// Series of the head.
    pub(crate) index: Arc<HeadIndex>,
    /// Windows of the head, those with older writes first.
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// Blocks, those with older writes first.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Held by every selection: while an older one than the current is alive, series that the
    /// head has dropped must still be found in its index.
    pub(crate) generation: Arc<()>,
}

impl Default for TenantView {
    fn default() -> Self {
        Self {
            index: Arc::new(HeadIndex::new()),
            partitions: Vec::new(),
            blocks: Vec::new(),
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

    /// All blocks.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.tenants.values().flat_map(|view| view.blocks.iter())
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
