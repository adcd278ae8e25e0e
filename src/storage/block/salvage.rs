//! What can be read of a damaged block, series by series.
//!
//! Labels and samples lie in two objects, so either is read as far as it goes without the other's help:
//! deletes are matched against labels here, since the index may be what is damaged.

use index::SeriesCursor;
use model::{Labels, LabelsRef};

use super::chunks::Chunks;
use super::meta::RollupMeta;
use crate::collect::Collector;
use crate::delete::BlockDelete;
use crate::error::{StorageError, index_error};

/// A block that is being read in spite of its damage. Before the first [`Salvage::advance`] there is no
/// series.
pub(crate) struct Salvage<'b> {
    pub(super) labels: SeriesLabels<'b>,
    pub(super) chunks: Chunks,
    pub(super) deletes: &'b [BlockDelete],
    pub(super) rollup: Option<RollupMeta>,
    /// What is wrong with the index, where labels had to be put together from what is left of it.
    pub(crate) trouble: Option<StorageError>,
}

/// Where the labels come from.
pub(super) enum SeriesLabels<'b> {
    /// The index.
    Read(Box<SeriesCursor<'b>>),
    /// What was left of it; `next` counts the series read.
    Salvaged { labels: Vec<Labels>, next: usize },
}

impl Salvage<'_> {
    /// Moves to the next series; false at the end.
    pub(crate) fn advance(&mut self) -> Result<bool, StorageError> {
        match &mut self.labels {
            SeriesLabels::Read(cursor) => {
                cursor.advance().map_err(|error| index_error("the index", error))
            }
            SeriesLabels::Salvaged { labels, next } => {
                *next += 1;
                Ok(*next <= labels.len())
            }
        }
    }

    /// The number of the series.
    pub(crate) fn id(&self) -> u32 {
        match &self.labels {
            SeriesLabels::Read(cursor) => cursor.id(),
            SeriesLabels::Salvaged { next, .. } => next.saturating_sub(1) as u32,
        }
    }

    /// The labels of the series.
    pub(crate) fn labels(&self) -> LabelsRef<'_> {
        match &self.labels {
            SeriesLabels::Read(cursor) => cursor.labels(),
            SeriesLabels::Salvaged { labels, next } => {
                let labels = next.checked_sub(1).and_then(|index| labels.get(index));
                labels.map_or(LabelsRef::from_packed(&[]), Labels::view)
            }
        }
    }

    /// Hands what can be read of the series to `out`, chunk by chunk; calls `damage` for what cannot.
    pub(crate) fn samples(&self, out: &mut Collector<'_>, damage: &mut impl FnMut(StorageError)) {
        let before = out.len();
        self.chunks.salvage(self.id(), out, damage);
        for delete in self.deletes {
            if delete.hits(self.labels()) {
                let gone = self.rollup.map_or(delete.range(), |all| all.widen(delete.range()));
                out.remove(before, gone);
            }
        }
    }
}
