//! Reads a block: index by its footer, chunks by page and column.
//!
//! Invariants: no byte is decoded whose checksum has not been compared; damage is reported with
//! object, offset, expected and got, and stops nothing but the read that met it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use index::{Clauses, HeadIndex, SeriesCursor, salvage_labels};
use model::{LabelsRef, Matcher, SourceError, TenantId, TimeRange, ValueNode, nodes_of_values};
use roaring::RoaringBitmap;

use crate::block::chunks::{Bookmark, Chunks};
use crate::block::head_ids::Known;
use crate::block::meta::BlockMeta;
use crate::block::parts::{BlockIndex, LazyParts, Parts, Place};
use crate::block::salvage::{Salvage, SeriesLabels};
use crate::collect::Collector;
use crate::delete::{BlockDelete, DeleteEntry};
use crate::error::{StorageError, index_error, select_error};
use crate::layout::{BlockPart, Layout};
use crate::object::io::ObjectIo;

/// Going over all series beats looking up single ones once one in so many is wanted.
const CURSOR_ONE_IN: u64 = 6;

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    /// What it is.
    pub(crate) meta: BlockMeta,
    /// Its place among the blocks: greater has the later writes.
    pub(crate) order: u64,
    parts: Arc<LazyParts>,
    /// What is gone from it; the reason, where that cannot be told.
    deletes: Result<Vec<BlockDelete>, StorageError>,
    /// Of a block of summaries: where the samples are newer.
    dirty: Vec<TimeRange>,
}

impl Block {
    /// Opens the block that the manifest describes by `meta`. A block that cannot be opened is
    /// still a block: every read of it says why.
    pub(crate) fn open(io: &Arc<ObjectIo>, layout: &Layout, meta: BlockMeta, order: u64) -> Self {
        let part = |part| layout.block_part(TenantId(meta.tenant), meta.id, part);
        let (index, chunks) = (part(BlockPart::Index), part(BlockPart::Chunks));
        let place = Place::Store { io: io.clone(), index, chunks };
        let parts = LazyParts::new(place);
        let block = Self { parts, meta, order, deletes: Ok(Vec::new()), dirty: Vec::new() };
        if let Err(error) = block.parts() {
            let id = block.meta.id;
            tracing::error!(block = %id, %error, "cannot open a block; its samples are missing");
        }
        block
    }

    /// The same block with `deletes` on it. A delete that cannot be read hides the whole block: better
    /// no answer than one with samples that should be gone.
    pub(crate) fn with_deletes<'d>(&self, deletes: impl Iterator<Item = &'d DeleteEntry>) -> Self {
        let compiled: Result<Vec<BlockDelete>, _> = deletes
            .map(|entry| entry.compile().map(|delete| BlockDelete::new(Arc::new(delete))))
            .collect();
        let deletes = compiled.map_err(|error| {
            let detail = error.to_string();
            StorageError::Invariant { invariant: "deletes compile", detail }
        });
        Self { deletes, ..self.reopened() }
    }

    /// The same block of summaries, dirty in these ranges.
    pub(crate) fn with_dirty(&self, dirty: Vec<TimeRange>) -> Self {
        Self { dirty, ..self.reopened() }
    }

    fn reopened(&self) -> Self {
        let (meta, parts) = (self.meta.clone(), self.parts.clone());
        let (deletes, dirty) = (self.deletes.clone(), self.dirty.clone());
        Self { meta, order: self.order, parts, deletes, dirty }
    }

    /// Of a block of summaries: where the samples are newer.
    pub(crate) fn dirty(&self) -> &[TimeRange] {
        &self.dirty
    }

    /// Opens the block whose objects are files in `dir`, to look at it.
    pub(crate) fn open_dir(dir: &Path, meta: BlockMeta) -> Self {
        let parts = LazyParts::new(Place::Dir(dir.to_owned()));
        Self { meta, order: 0, parts, deletes: Ok(Vec::new()), dirty: Vec::new() }
    }

    pub(super) fn parts(&self) -> Result<&Parts, StorageError> {
        self.deletes()?;
        self.parts.get(&self.meta)
    }

    fn deletes(&self) -> Result<&[BlockDelete], StorageError> {
        self.deletes.as_deref().map_err(StorageError::clone)
    }

    /// Whose block it is.
    pub(crate) fn tenant(&self) -> TenantId {
        TenantId(self.meta.tenant)
    }

    /// From its earliest to its latest sample.
    pub(crate) fn time_range(&self) -> TimeRange {
        self.meta.time_range()
    }

    /// What a change must lie in to concern it: of summaries all of the buckets.
    pub(crate) fn covers(&self) -> TimeRange {
        self.meta.rollup.map_or(self.time_range(), |rollup| rollup.range())
    }

    /// What `delete` takes of this block: of summaries every bucket that it touches.
    fn gone(&self, delete: &BlockDelete) -> TimeRange {
        self.meta.rollup.map_or(delete.range(), |rollup| rollup.widen(delete.range()))
    }

    /// Bytes of its objects without `meta.json`.
    pub(crate) fn bytes(&self) -> u64 {
        self.meta.index_bytes + self.meta.chunks_bytes
    }

    /// Its series.
    pub(crate) fn index(&self) -> Result<&BlockIndex, StorageError> {
        Ok(&self.parts()?.index)
    }

    /// The series that pass the matchers of `clauses`.
    pub(crate) fn select(
        &self,
        clauses: &mut Clauses<'_>,
    ) -> Result<Arc<RoaringBitmap>, SourceError> {
        let mut found = self.select_stored(clauses)?;
        for delete in self.whole_deletes() {
            *Arc::make_mut(&mut found) -= self.series_of(delete)?;
        }
        if let Some(first) = found.min() {
            // Labels are read later, where nobody can be told of damage: the first of them makes
            // the index compare the checksums of all that labels are made from.
            self.labels_at(first, &mut Vec::new())?;
        }
        self.parts.is_known.store(true, Ordering::Relaxed);
        Ok(found)
    }

    /// About how many series pass `clauses` at most; `None` where it takes a long search to tell, and of blocks
    /// that nobody has asked yet or that are not on this machine, where it takes a wait.
    pub(crate) fn series_max(&self, clauses: &mut Clauses<'_>) -> Option<u64> {
        let is_near = self.parts.place.is_local() && self.parts.is_known.load(Ordering::Relaxed);
        if !is_near {
            return None;
        }
        self.parts().ok()?.index.series_max(clauses).ok()?
    }

    /// The series that pass the matchers of `clauses`, those included that are gone.
    fn select_stored(&self, clauses: &mut Clauses<'_>) -> Result<Arc<RoaringBitmap>, SourceError> {
        let Parts { index, index_name, .. } = self.parts()?;
        index.select_by(clauses).map_err(|error| select_error(index_name, error))
    }

    /// The series that `delete` is about.
    fn series_of<'d>(&self, delete: &'d BlockDelete) -> Result<&'d RoaringBitmap, SourceError> {
        delete.series(|matchers| self.select_stored(&mut Clauses::new(matchers)))
    }

    /// The deletes that leave nothing of a series in this block.
    fn whole_deletes(&self) -> impl Iterator<Item = &BlockDelete> {
        let range = self.time_range();
        self.deletes()
            .unwrap_or_default()
            .iter()
            .filter(move |delete| self.gone(delete).intersect(&range) == range)
    }

    /// Calls `visit` with the labels of each series that passes `matchers` and is not gone: what the
    /// index cannot tell by its terms alone.
    fn each_label(
        &self,
        matchers: &[Matcher],
        mut visit: impl FnMut(&str, &str),
    ) -> Result<(), SourceError> {
        let series = self.select(&mut Clauses::new(matchers))?;
        self.each_series(&series, |_, key| {
            LabelsRef::from_packed(key).iter().for_each(|(name, value)| visit(name, value));
        })?;
        Ok(())
    }

    /// Names of the labels on such series.
    pub(crate) fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, SourceError> {
        if self.whole_deletes().next().is_some() {
            let mut names = BTreeSet::new();
            self.each_label(matchers, |name, _| {
                if !names.contains(name) {
                    names.insert(name.to_owned());
                }
            })?;
            return Ok(names.into_iter().collect());
        }
        let Parts { index, index_name, .. } = self.parts()?;
        index.label_names(matchers).map_err(|error| select_error(index_name, error))
    }

    /// Values of a label on such series, as in [`model::Source::label_values`].
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        if self.whole_deletes().next().is_some() {
            let mut values = BTreeSet::new();
            self.each_label(matchers, |label, value| {
                if label == name && value.starts_with(prefix) && !values.contains(value) {
                    values.insert(value.to_owned());
                }
            })?;
            let count = if limit == 0 { values.len() } else { limit };
            return Ok(values.into_iter().take(count).collect());
        }
        let Parts { index, index_name, .. } = self.parts()?;
        index
            .label_values(name, matchers, prefix, limit)
            .map_err(|error| select_error(index_name, error))
    }

    /// One level of the tree of a label's values, as in [`model::Source::value_nodes`].
    pub(crate) fn value_nodes(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ValueNode>, SourceError> {
        if self.whole_deletes().next().is_some() {
            let values = self.label_values(name, &[], prefix, 0)?;
            return Ok(nodes_of_values(&values, prefix, limit));
        }
        let Parts { index, index_name, .. } = self.parts()?;
        index.value_nodes(name, prefix, limit).map_err(|error| select_error(index_name, error))
    }

    /// Goes over all series in label order.
    pub(crate) fn cursor(&self) -> Result<SeriesCursor<'_>, StorageError> {
        let Parts { index, index_name, .. } = self.parts()?;
        index.series().map_err(|error| index_error(index_name, error))
    }

    /// The numbers that its series have in the index of the head.
    pub(crate) fn head_ids(&self, index: &Arc<HeadIndex>) -> Known<'_> {
        self.parts.head_ids.of(index, self.meta.series)
    }

    /// Bytes that those numbers take already.
    pub(crate) fn head_ids_bytes(&self) -> u64 {
        self.parts.head_ids.bytes()
    }

    /// Calls `visit` with number and packed labels of each of `series`, ascending.
    pub(crate) fn each_series(
        &self,
        series: &RoaringBitmap,
        mut visit: impl FnMut(u32, &[u8]),
    ) -> Result<(), StorageError> {
        if series.len() * CURSOR_ONE_IN < self.meta.series {
            let mut key = Vec::new();
            for number in series {
                key.clear();
                self.labels_at(number, &mut key)?;
                visit(number, &key);
            }
            return Ok(());
        }
        let name = &self.parts()?.index_name;
        let mut cursor = self.cursor()?;
        let mut wanted = series.iter().peekable();
        let advance = |cursor: &mut SeriesCursor<'_>| {
            cursor.advance().map_err(|error| index_error(name, error))
        };
        while wanted.peek().is_some() && advance(&mut cursor)? {
            if wanted.peek() == Some(&cursor.id()) {
                visit(cursor.id(), cursor.labels().as_packed());
                wanted.next();
            }
        }
        Ok(())
    }

    /// Appends the packed labels of `series`.
    pub(crate) fn labels_at(&self, series: u32, out: &mut Vec<u8>) -> Result<(), StorageError> {
        let Parts { index, index_name, .. } = self.parts()?;
        index.labels_at(series, out).map_err(|error| index_error(index_name, error))
    }

    /// Hands the samples of `series` in `range` to `out`. Who reads many keeps the bookmark from one to the next.
    pub(crate) fn collect<'b>(
        &'b self,
        series: u32,
        range: TimeRange,
        bookmark: &mut Bookmark<'b>,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let before = out.len();
        self.parts()?.chunks.collect(series, range, bookmark, out)?;
        for delete in self.deletes().unwrap_or_default() {
            if self.series_of(delete)?.contains(series) {
                out.remove(before, self.gone(delete));
            }
        }
        Ok(())
    }

    /// What can be read although something of it is damaged. Fails when its series cannot be told, or
    /// when no chunk can be found.
    pub(crate) fn salvage(&self) -> Result<Salvage<'_>, StorageError> {
        let deletes = self.deletes()?;
        let whole = self.parts().and_then(|_| self.cursor());
        let (labels, trouble) = match whole {
            Ok(cursor) => (SeriesLabels::Read(Box::new(cursor)), None),
            Err(error) => {
                let index = self.parts.place.index()?;
                let name = index.name().to_owned();
                let series = u32::try_from(self.meta.series).unwrap_or(u32::MAX);
                let labels = salvage_labels(index.into_whole()?.as_ref(), series)
                    .map_err(|error| index_error(&name, error))?;
                (SeriesLabels::Salvaged { labels, next: 0 }, Some(error))
            }
        };
        let chunks = Chunks::open(self.parts.place.chunks()?)?;
        Ok(Salvage { labels, chunks, deletes, trouble, rollup: self.meta.rollup })
    }

    /// Compares every checksum and decodes every chunk; calls `damage` for each fault.
    pub(crate) fn verify(&self, mut damage: impl FnMut(StorageError)) {
        match self.parts() {
            Err(error) => damage(error),
            Ok(parts) => {
                if let Err(error) = parts.index.verify() {
                    damage(index_error(&parts.index_name, error));
                }
                parts.chunks.verify(&mut damage);
            }
        }
    }
}
