//! A consistent view of head and blocks: implements the read contract.
//!
//! Invariants: a selection holds the view it was made from, so what it names stays readable; where
//! several places have a sample of one series at one instant, blocks come before partitions and
//! older before newer, and the last one wins.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::memory::Claim;
use index::{Clauses, HeadIndex, SeriesId};
use model::{
    Hints, Labels, LabelsRef, Matcher, Samples, Selection, SeriesHasher, SeriesReader, Size,
    SourceError, TenantId, TimeRange, ValueNode,
};
use roaring::RoaringBitmap;

use crate::block::approach::APPROACH_BYTES_MAX;
use crate::block::chunks::Bookmark;
use crate::block::head_ids::bytes_of;
use crate::block::reader::Block;
use crate::collect::{Collector, Wanted};
use crate::error::{HEAD_INDEX, StorageError, select_error};
use crate::head::partition::Partition;
use crate::rollup;
use crate::rollup::read::Rolled;
use crate::shared::Shared;
use crate::snapshot::table::{NOT_IN_HEAD, Place, SeriesTable};
use crate::view::{TenantView, View};

/// The part of a view that a question is about.
pub(crate) struct Scope {
    index: Arc<HeadIndex>,
    partitions: Vec<Arc<Partition>>,
    /// Blocks of samples, then those of summaries.
    blocks: Vec<Arc<Block>>,
    /// How the blocks of summaries serve.
    rolled: Vec<Rolled>,
    range: TimeRange,
    shared: Arc<Shared>,
    /// Keeps the head from forgetting series that this scope names.
    _generation: Arc<()>,
}

/// What a question asks of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Samples as they were written.
    Samples,
    /// Which series there are.
    Labels,
    /// Samples, or summaries: see [`Hints::cut_ms`].
    Summaries {
        /// The reader cuts at multiples of this.
        cut_ms: i64,
    },
}

impl Asked {
    /// What a reader with these hints asks.
    pub(crate) fn by(hints: &Hints) -> Self {
        match hints.cut_ms {
            _ if hints.labels_only => Self::Labels,
            Some(cut_ms) => Self::Summaries { cut_ms },
            None => Self::Samples,
        }
    }
}

/// Memory of a selected series in a table of places, while that is put together; and of one that has to be
/// matched: twelve bytes of a match, and four of its number with 16 of a hash and up to 17 of its place in a
/// table that doubles, or afterwards 28 of the result and the order.
const PLACE_BYTES: usize = 12;
const MATCH_BYTES: usize = 50;

/// Bytes of most label sets.
const LABELS_CAPACITY: usize = 512;

impl Scope {
    /// The places of `tenant` that overlap `range`; `None` for a tenant without data. Samples before
    /// `kept_since_ms` may have been let go.
    pub(crate) fn new(
        view: &View,
        tenant: TenantId,
        range: TimeRange,
        asked: Asked,
        kept_since_ms: i64,
        shared: &Arc<Shared>,
    ) -> Option<Self> {
        let tenant_view = view.tenants.get(&tenant)?;
        let TenantView { index, partitions, blocks, generation, .. } = tenant_view;
        let overlaps = |partition: &&Arc<Partition>| {
            partition.window().overlaps(&range)
                && partition.read().time_range().is_some_and(|inner| inner.overlaps(&range))
        };
        let mut scope = Self {
            index: index.clone(),
            partitions: partitions.iter().filter(overlaps).cloned().collect(),
            blocks: blocks
                .iter()
                .filter(|block| block.time_range().overlaps(&range))
                .cloned()
                .collect(),
            rolled: Vec::new(),
            range,
            shared: shared.clone(),
            _generation: generation.clone(),
        };
        if asked != Asked::Samples && !tenant_view.rollups.is_empty() {
            scope.add_rollups(tenant_view, asked, kept_since_ms);
        }
        Some(scope)
    }

    /// Adds the blocks of summaries that serve.
    fn add_rollups(&mut self, view: &TenantView, asked: Asked, kept_since_ms: i64) {
        let ranges = |part: &Arc<Partition>| part.read().time_range();
        let earliest = view.blocks.iter().map(|block| block.meta.min_time_ms);
        let earliest =
            earliest.chain(view.partitions.iter().filter_map(ranges).map(|r| r.start_ms));
        let since_ms = earliest.min().unwrap_or(i64::MAX).max(kept_since_ms);
        let changed: Vec<TimeRange> = self.partitions.iter().filter_map(ranges).collect();
        // Who asks for labels only needs those of series whose samples are gone: no width fits zero
        // buckets, so only stand-ins are left.
        let cut_ms = match asked {
            Asked::Summaries { cut_ms } => cut_ms,
            _ => 1,
        };
        for block in view.rollups.iter().filter(|block| block.covers().overlaps(&self.range)) {
            if let Some(rolled) = Rolled::new(block, cut_ms, &changed, since_ms) {
                self.blocks.push(block.clone());
                self.rolled.push(rolled);
            }
        }
    }

    /// How many blocks of samples there are.
    fn samples_end(&self) -> usize {
        self.blocks.len() - self.rolled.len()
    }

    /// Counts and logs damage, which otherwise only one client would hear of.
    fn note(&self, error: &SourceError) {
        if matches!(error, SourceError::Corrupt { .. }) {
            self.shared.metrics.corrupt_sections.inc();
            tracing::error!(%error, "damage met while reading");
        }
    }

    /// The series of the head that match and have samples in one of the partitions, ascending. A list:
    /// most selects want one, and a bitmap of a million series takes far longer to make.
    fn head_series(&self, clauses: &mut Clauses<'_>) -> Result<Vec<u32>, SourceError> {
        if self.partitions.is_empty() {
            return Ok(Vec::new());
        }
        let found =
            self.index.select_by(clauses).map_err(|error| select_error(HEAD_INDEX, error))?;
        let parts: Vec<_> = self.partitions.iter().map(|partition| partition.read()).collect();
        let has_samples = |id: &u32| parts.iter().any(|part| part.contains(SeriesId(*id)));
        let mut kept = Vec::with_capacity(found.len() as usize);
        kept.extend(found.iter().filter(has_samples));
        Ok(kept)
    }

    /// Claims the memory that something about to be done with `count` series will take.
    fn claim(&self, count: usize, bytes: usize) -> Result<Claim, SourceError> {
        self.shared.options.memory.claim(bytes as u64).map_err(|full| SourceError::Unavailable {
            message: format!("cannot select {count} series: {full}"),
        })
    }

    /// What blocks are about to keep of the head's index, beside what they have.
    fn head_ids_bytes(&self, found: &[(u32, Arc<RoaringBitmap>)]) -> usize {
        let blocks = found.iter().map(|(number, _)| &self.blocks[*number as usize]);
        let bytes = blocks.map(|block| bytes_of(block.meta.series) - block.head_ids_bytes());
        bytes.sum::<u64>() as usize
    }

    /// The series of `matchers`.
    pub(crate) fn select(
        self,
        matchers: &[Matcher],
        hints: &Hints,
        hasher: SeriesHasher,
    ) -> Result<SeriesSelection, SourceError> {
        let mut clauses = Clauses::cached(matchers, &self.shared.selected);
        let head = self.head_series(&mut clauses)?;
        let mut found = Vec::with_capacity(self.blocks.len());
        self.blocks.iter().for_each(|block| block.approach());
        for (number, block) in self.blocks.iter().enumerate() {
            let series = block.select(&mut clauses).inspect_err(|error| self.note(error))?;
            if !series.is_empty() {
                found.push((number as u32, series));
            }
        }
        let count = head.len() + found.iter().map(|(_, ids)| ids.len() as usize).sum::<usize>();
        let is_matched = found.len() + usize::from(!head.is_empty()) > 1;
        let bytes = if is_matched {
            count * MATCH_BYTES + self.head_ids_bytes(&found)
        } else {
            count * PLACE_BYTES
        };
        let _claim = self.claim(count, bytes)?;
        if !hints.labels_only {
            self.approach(&found);
        }
        let mut series = match (&found[..], head.is_empty()) {
            ([], _) => SeriesTable::of_head(head),
            ([(block, ids)], true) => SeriesTable::of_block(*block, ids),
            _ => SeriesTable::merge(&self, head, &found, hasher)?,
        };
        if hints.sorted {
            series.sort(&self)?;
        }
        Ok(SeriesSelection { scope: self, series, wanted: Wanted::of(hints) })
    }

    /// See [`model::Source::size_max`].
    pub(crate) fn size_max(&self, matchers: &[Matcher]) -> Option<Size> {
        let mut clauses = Clauses::cached(matchers, &self.shared.selected);
        let mut size = Size::default();
        if !self.partitions.is_empty() {
            let series = self.index.series_max(&mut clauses).ok()??;
            let ranges = self.partitions.iter().filter_map(|one| one.read().time_range());
            ranges.for_each(|range| size.add(series, range.intersect(&self.range)));
        }
        for block in &self.blocks {
            let series = block.series_max(&mut clauses)?;
            size.add(series, block.time_range().intersect(&self.range));
        }
        Some(size)
    }

    /// Brings near what reading the series `found` in blocks will need.
    fn approach(&self, found: &[(u32, Arc<RoaringBitmap>)]) {
        let blocks =
            || found.iter().map(|(number, series)| (&self.blocks[*number as usize], series));
        let mut left = APPROACH_BYTES_MAX;
        let pages = blocks().map(|(block, series)| block.approach_pages(series, &mut left));
        let fresh: Vec<_> = pages.collect();
        for ((block, series), fresh) in blocks().zip(&fresh) {
            block.approach_columns(fresh, series, self.range);
        }
    }

    /// See [`model::Source::label_names`].
    pub(crate) fn label_names(&self, matchers: &[Matcher]) -> Result<Vec<String>, SourceError> {
        let mut names = Vec::new();
        if !self.partitions.is_empty() {
            names = self
                .index
                .label_names(matchers)
                .map_err(|error| select_error(HEAD_INDEX, error))?;
        }
        for block in &self.blocks {
            names.extend(block.label_names(matchers)?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// See [`model::Source::label_values`].
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        let mut values = Vec::new();
        if !self.partitions.is_empty() {
            values = self
                .index
                .label_values(name, matchers, prefix, limit)
                .map_err(|error| select_error(HEAD_INDEX, error))?;
        }
        for block in &self.blocks {
            values.extend(block.label_values(name, matchers, prefix, limit)?);
        }
        // Stable, since that sort sees that each part is sorted.
        values.sort();
        values.dedup();
        if limit > 0 {
            values.truncate(limit);
        }
        Ok(values)
    }

    /// See [`model::Source::value_nodes`].
    pub(crate) fn value_nodes(
        &self,
        name: &str,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ValueNode>, SourceError> {
        let mut parts = Vec::new();
        if !self.partitions.is_empty() {
            let nodes = self.index.value_nodes(name, prefix, limit);
            parts.push(nodes.map_err(|error| select_error(HEAD_INDEX, error))?);
        }
        for block in &self.blocks {
            parts.push(block.value_nodes(name, prefix, limit)?);
        }
        if parts.len() < 2 {
            return Ok(parts.pop().unwrap_or_default());
        }
        let mut nodes: BTreeMap<String, (bool, bool)> = BTreeMap::new();
        for ValueNode { text, leaf, branch } in parts.into_iter().flatten() {
            let node = nodes.entry(text).or_default();
            *node = (node.0 | leaf, node.1 | branch);
        }
        let node = |(text, (leaf, branch))| ValueNode { text, leaf, branch };
        let limit = if limit == 0 { usize::MAX } else { limit };
        Ok(nodes.into_iter().map(node).take(limit).collect())
    }

    /// Replaces `out` by the samples of a series in `range`; there is a bookmark for each block.
    fn samples<'s>(
        &'s self,
        place: &Place<'_>,
        range: TimeRange,
        wanted: Wanted,
        bookmarks: &mut [Bookmark<'s>],
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        let mut collector = Collector::new(out, range, wanted);
        for (block, series) in place.blocks {
            let bookmark = &mut bookmarks[*block as usize];
            let block = &self.blocks[*block as usize];
            block.collect(*series, range, bookmark, &mut collector).map_err(|error| {
                let error = SourceError::from(error);
                self.note(&error);
                error
            })?;
        }
        if place.head != NOT_IN_HEAD {
            for partition in &self.partitions {
                partition.read().collect(SeriesId(place.head), range, &mut collector)?;
            }
        }
        if collector.is_over() {
            let max = wanted.samples_max;
            let message = format!("series is longer than its reader has room for: {max} samples");
            return Err(SourceError::TooLarge { message });
        }
        collector.finish();
        Ok(())
    }

    fn labels_packed(&self, place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), StorageError> {
        if place.head != NOT_IN_HEAD {
            self.index.labels_into(SeriesId(place.head), out);
        } else if let Some((block, series)) = place.blocks.first() {
            self.blocks[*block as usize].labels_at(*series, out)?;
        }
        Ok(())
    }
}

/// The series of one select.
pub(crate) struct SeriesSelection {
    scope: Scope,
    series: SeriesTable,
    wanted: Wanted,
}

impl Selection for SeriesSelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn is_sorted(&self) -> bool {
        self.series.is_sorted()
    }

    fn labels(&self, index: usize) -> Labels {
        let mut packed = Vec::with_capacity(LABELS_CAPACITY);
        if let Err(error) = self.scope.labels_packed(&self.series.place(index), &mut packed) {
            // The index was checked when the block was opened; what rots later shows as a series
            // without labels, and here.
            tracing::error!(%error, "cannot read the labels of a series");
            packed.clear();
        }
        LabelsRef::from_packed(&packed).to_labels()
    }

    fn put_labels(&self, index: usize, names: &[String], out: &mut Vec<u8>) {
        let place = self.series.place(index);
        if place.head != NOT_IN_HEAD {
            return self.scope.index.put_some_labels(SeriesId(place.head), names, out);
        }
        self.labels(index).view().put_some(out, |name| model::has_name(names, name));
    }

    fn read(&self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        Reader::new(self).read(index, out)
    }

    fn reader(&self) -> Box<dyn SeriesReader + '_> {
        Box::new(Reader::new(self))
    }

    fn summary_widths(&self) -> Vec<i64> {
        let mut widths: Vec<i64> = self.scope.rolled.iter().map(Rolled::width_ms).collect();
        widths.sort_unstable();
        widths.dedup();
        widths
    }
}

/// Reads the series of a selection.
struct Reader<'s> {
    selection: &'s SeriesSelection,
    /// Where it is in each block of the scope.
    bookmarks: Vec<Bookmark<'s>>,
}

impl<'s> Reader<'s> {
    fn new(selection: &'s SeriesSelection) -> Self {
        let bookmarks = selection.scope.blocks.iter().map(|_| Bookmark::default()).collect();
        Self { selection, bookmarks }
    }
}

impl SeriesReader for Reader<'_> {
    /// What they have in the head is brought near: it lies scattered, while series of a block lie side by side.
    fn approach(&mut self, next: &[usize]) {
        let SeriesSelection { scope, series, .. } = self.selection;
        for partition in &scope.partitions {
            let ids = next.iter().filter_map(|index| series.head(*index));
            partition.read().approach(ids.map(SeriesId), scope.range.start_ms);
        }
    }

    fn read(&mut self, index: usize, out: &mut Samples) -> Result<(), SourceError> {
        let Self { selection, bookmarks } = self;
        let SeriesSelection { scope, series, wanted } = *selection;
        let place = series.place(index);
        let end = scope.samples_end();
        let split = place.blocks.partition_point(|(block, _)| (*block as usize) < end);
        let (samples, rolled) = place.blocks.split_at(split);
        let place = Place { blocks: samples, ..place };
        if rolled.is_empty() {
            return scope.samples(&place, scope.range, *wanted, bookmarks, out);
        }
        let mut rolled: Vec<rollup::read::Place<'_>> = rolled
            .iter()
            .map(|(block, series)| {
                let number = *block as usize;
                (&scope.rolled[number - end], &*scope.blocks[number], *series)
            })
            .collect();
        let mut read =
            |range, out: &mut Samples| scope.samples(&place, range, *wanted, bookmarks, out);
        rollup::read::read(&mut rolled, scope.range, &mut read, out)
            .inspect_err(|error| scope.note(error))
    }
}

/// A selection without series.
pub(crate) struct NoSeries;

impl Selection for NoSeries {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _index: usize) -> Labels {
        Labels::empty()
    }

    fn read(&self, _index: usize, out: &mut Samples) -> Result<(), SourceError> {
        out.clear();
        Ok(())
    }
}
