//! Reads a block: index by its footer, chunks by page and column.
//!
//! Invariants: no byte is decoded whose checksum has not been compared; damage is reported with
//! object, offset, expected and got, and stops nothing but the read that met it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base::frame::checksum;
use index::{SegmentReader, SeriesCursor};
use model::{LabelsRef, Matcher, SourceError, TenantId, TimeRange, ValueNode, nodes_of_values};
use roaring::RoaringBitmap;

use crate::block::meta::BlockMeta;
use crate::block::page::{
    BadPage, CHUNKS_MAGIC, COLUMN_ENTRY_BYTES, ColumnEntry, FOOTER_BYTES, Footer, PAGE_ENTRY_BYTES,
    PageEntry, Section, visit_chunks,
};
use crate::collect::{Collector, Wanted};
use crate::delete::{BlockDelete, DeleteEntry};
use crate::error::{StorageError, index_error, select_error};
use crate::layout::{BlockPart, Layout};
use crate::object::bytes::{ObjectBytes, Piece, WholeObject};
use crate::object::io::ObjectIo;

/// The index of a block.
pub(crate) type BlockIndex = SegmentReader<WholeObject>;

/// Going over all series beats looking up single ones once one in so many is wanted.
const CURSOR_ONE_IN: u64 = 6;

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    /// What it is.
    pub(crate) meta: BlockMeta,
    /// Its place among the blocks: greater has the later writes.
    pub(crate) order: u64,
    /// Its parts; the damage, where they cannot be opened.
    parts: Result<Arc<Parts>, StorageError>,
    /// What is gone from it.
    deletes: Vec<BlockDelete>,
}

#[derive(Debug)]
struct Parts {
    index: BlockIndex,
    index_name: String,
    chunks: Chunks,
}

/// The samples of a block.
#[derive(Debug)]
struct Chunks {
    object: ObjectBytes,
    footer: Footer,
    tables: OnceLock<Result<(), StorageError>>,
    /// Tables of an object that is not mapped.
    fetched: OnceLock<(Vec<u8>, Vec<u8>)>,
    /// One bit per page whose checksum has been compared.
    checked: Vec<AtomicU64>,
}

impl Block {
    /// Opens the block that the manifest describes by `meta`. A block that cannot be opened is
    /// still a block: every read of it says why.
    pub(crate) fn open(io: &Arc<ObjectIo>, layout: &Layout, meta: BlockMeta, order: u64) -> Self {
        let open =
            |part| ObjectBytes::open(io, layout.block_part(TenantId(meta.tenant), meta.id, part));
        let parts = open(BlockPart::Index)
            .and_then(|index| Parts::open(index, open(BlockPart::Chunks)?, &meta));
        if let Err(error) = &parts {
            tracing::error!(block = %meta.id, %error, "cannot open a block; its samples are missing");
        }
        Self { meta, order, parts: parts.map(Arc::new), deletes: Vec::new() }
    }

    /// The same block with `deletes` on it. A delete that cannot be read hides the whole block: better
    /// no answer than one with samples that should be gone.
    pub(crate) fn with_deletes<'d>(&self, deletes: impl Iterator<Item = &'d DeleteEntry>) -> Self {
        let compiled: Result<Vec<BlockDelete>, _> = deletes
            .map(|entry| entry.compile().map(|delete| BlockDelete::new(Arc::new(delete))))
            .collect();
        let (parts, deletes) = match compiled {
            Ok(deletes) => (self.parts.clone(), deletes),
            Err(error) => {
                let detail = error.to_string();
                (Err(StorageError::Invariant { invariant: "deletes compile", detail }), Vec::new())
            }
        };
        Self { meta: self.meta.clone(), order: self.order, parts, deletes }
    }

    /// Opens the block whose objects are files in `dir`, to look at it.
    pub(crate) fn open_dir(dir: &Path, meta: BlockMeta) -> Self {
        let open = |part: BlockPart| ObjectBytes::open_file(&dir.join(part.name()));
        let parts = open(BlockPart::Index)
            .and_then(|index| Parts::open(index, open(BlockPart::Chunks)?, &meta));
        Self { meta, order: 0, parts: parts.map(Arc::new), deletes: Vec::new() }
    }

    fn parts(&self) -> Result<&Parts, StorageError> {
        self.parts.as_deref().map_err(|error| error.clone())
    }

    /// Whose block it is.
    pub(crate) fn tenant(&self) -> TenantId {
        TenantId(self.meta.tenant)
    }

    /// From its earliest to its latest sample.
    pub(crate) fn time_range(&self) -> TimeRange {
        TimeRange::new(self.meta.min_time_ms, self.meta.max_time_ms)
    }

    /// Bytes of its objects without `meta.json`.
    pub(crate) fn bytes(&self) -> u64 {
        self.meta.index_bytes + self.meta.chunks_bytes
    }

    /// Its series.
    pub(crate) fn index(&self) -> Result<&BlockIndex, StorageError> {
        Ok(&self.parts()?.index)
    }

    /// The series that pass `matchers`.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, SourceError> {
        let mut found = self.select_stored(matchers)?;
        for delete in self.whole_deletes() {
            found -= delete.series(|matchers| self.select_stored(matchers))?;
        }
        if let Some(first) = found.min() {
            // Labels are read later, where nobody can be told of damage: the first of them makes
            // the index compare the checksums of all that labels are made from.
            self.labels_at(first, &mut Vec::new())?;
        }
        Ok(found)
    }

    /// The series that pass `matchers`, those included that are gone.
    fn select_stored(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, SourceError> {
        let Parts { index, index_name, .. } = self.parts()?;
        index.select(matchers).map_err(|error| select_error(index_name, error))
    }

    /// The deletes that leave nothing of a series in this block.
    fn whole_deletes(&self) -> impl Iterator<Item = &BlockDelete> {
        let range = self.time_range();
        self.deletes.iter().filter(move |delete| delete.range().intersect(&range) == range)
    }

    /// Calls `visit` with the labels of each series that passes `matchers` and is not gone: what the
    /// index cannot tell by its terms alone.
    fn each_label(
        &self,
        matchers: &[Matcher],
        mut visit: impl FnMut(&str, &str),
    ) -> Result<(), SourceError> {
        let series = self.select(matchers)?;
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

    /// Hands the samples of `series` in `range` to `out`.
    pub(crate) fn collect(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let before = out.len();
        self.parts()?.chunks.collect(series, range, out)?;
        for delete in &self.deletes {
            let gone = delete.series(|matchers| self.select_stored(matchers));
            let gone = gone.map_err(|error| StorageError::Index { message: error.to_string() })?;
            if gone.contains(series) {
                out.remove(before, delete.range());
            }
        }
        Ok(())
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

impl Parts {
    fn open(
        index: ObjectBytes,
        chunks: ObjectBytes,
        meta: &BlockMeta,
    ) -> Result<Self, StorageError> {
        let name = index.name().to_owned();
        check_length(&name, meta.index_bytes, index.length())?;
        let index =
            SegmentReader::open(index.into_whole()?).map_err(|error| index_error(&name, error))?;
        check_length(chunks.name(), meta.chunks_bytes, chunks.length())?;
        let chunks = Chunks::open(chunks)?;
        if index.len() as u64 != meta.series || u64::from(chunks.footer.series) != meta.series {
            let got = format!("{} and {}", index.len(), chunks.footer.series);
            let expected = format!("{} series in index and chunks", meta.series);
            return Err(StorageError::corrupt(name, 0, expected, got));
        }
        Ok(Self { index, index_name: name, chunks })
    }
}

fn check_length(file: &str, expected: u64, got: u64) -> Result<(), StorageError> {
    if expected == got {
        return Ok(());
    }
    let place = expected.min(got);
    Err(StorageError::corrupt(file, place, format!("{expected} bytes"), format!("{got} bytes")))
}

/// Damage met while walking a page.
enum Met {
    Page(BadPage),
    Storage(StorageError),
}

impl From<BadPage> for Met {
    fn from(bad: BadPage) -> Self {
        Self::Page(bad)
    }
}

impl Chunks {
    fn open(object: ObjectBytes) -> Result<Self, StorageError> {
        let start = object.length().saturating_sub(FOOTER_BYTES as u64);
        let footer = {
            let bytes = object.read(start, object.length() - start)?;
            Footer::read(object.name(), object.length(), &bytes)?
        };
        for (section, entry) in
            [(&footer.pages, PAGE_ENTRY_BYTES), (&footer.columns, COLUMN_ENTRY_BYTES)]
        {
            let end = section.offset.checked_add(section.length);
            if end.is_none_or(|end| end > start) || section.length % entry as u64 != 0 {
                let expected = format!("a table of {entry}-byte entries in front of the footer");
                let got = format!("{} bytes at {}", section.length, section.offset);
                return Err(StorageError::corrupt(object.name(), start, expected, got));
            }
        }
        let pages = footer.pages.length as usize / PAGE_ENTRY_BYTES;
        let checked = (0..pages.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (tables, fetched) = (OnceLock::new(), OnceLock::new());
        Ok(Self { object, footer, tables, fetched, checked })
    }

    fn section(&self, section: &Section) -> Result<Piece<'_>, StorageError> {
        let bytes = self.object.read(section.offset, section.length)?;
        self.compare(section.offset, section.crc, &bytes)?;
        Ok(bytes)
    }

    fn compare(&self, offset: u64, crc: u32, bytes: &[u8]) -> Result<(), StorageError> {
        let got = checksum(bytes);
        if got == crc {
            return Ok(());
        }
        let (expected, got) = (format!("checksum 0x{crc:08x}"), format!("0x{got:08x}"));
        Err(StorageError::corrupt(self.object.name(), offset, expected, got))
    }

    /// Page table and column table, checked on first use.
    fn tables(&self) -> Result<(&[u8], &[u8]), StorageError> {
        let load = || {
            let pages = self.section(&self.footer.pages)?;
            let columns = self.section(&self.footer.columns)?;
            if let (Piece::Owned(pages), Piece::Owned(columns)) = (&pages, &columns) {
                let _ = self.fetched.set((pages.to_vec(), columns.to_vec()));
            }
            Ok(())
        };
        if let Err(error) = self.tables.get_or_init(load) {
            return Err(error.clone());
        }
        if let Some((pages, columns)) = self.fetched.get() {
            return Ok((pages, columns));
        }
        let table = |section: &Section| match self.object.read(section.offset, section.length)? {
            Piece::Borrowed(bytes) => Ok(bytes),
            Piece::Owned(_) => Ok(&[][..]),
        };
        Ok((table(&self.footer.pages)?, table(&self.footer.columns)?))
    }

    /// The number and entry of the page with `series`.
    fn find_page(&self, pages: &[u8], series: u32) -> Option<(usize, PageEntry)> {
        let number = PageEntry::find(pages, series)?;
        Some((number, PageEntry::at(pages, number)?))
    }

    fn page(&self, number: usize, entry: &PageEntry) -> Result<Piece<'_>, StorageError> {
        let bytes = self.object.read(entry.offset, u64::from(entry.length))?;
        let (word, bit) = (number / 64, 1u64 << (number % 64));
        let is_mapped = matches!(bytes, Piece::Borrowed(_));
        let flags = self.checked.get(word);
        let is_checked =
            is_mapped && flags.is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0);
        if !is_checked {
            self.compare(entry.offset, entry.crc, &bytes)?;
            if let Some(flags) = flags {
                flags.fetch_or(bit, Ordering::Relaxed);
            }
        }
        if entry.codec != 0 {
            let got = entry.codec.to_string();
            let name = self.object.name();
            return Err(StorageError::corrupt(name, entry.offset, "page codec 0", got));
        }
        Ok(bytes)
    }

    fn collect(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let (pages, columns) = self.tables()?;
        let Some((number, entry)) = self.find_page(pages, series) else {
            return Ok(());
        };
        let page = self.page(number, &entry)?;
        let index = (series.saturating_sub(entry.first_series)) as usize;
        let result = visit_chunks(&page, index, |column, values| {
            self.collect_chunk(columns, column, values, range, out).map_err(Met::Storage)
        });
        result.map_err(|met| match met {
            Met::Storage(error) => error,
            Met::Page(BadPage(expected)) => {
                let got = format!("another page for series {series}");
                StorageError::corrupt(self.object.name(), entry.offset, expected, got)
            }
        })
    }

    fn collect_chunk(
        &self,
        columns: &[u8],
        column: u32,
        values: &[u8],
        range: TimeRange,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let Some(entry) = ColumnEntry::at(columns, column as usize) else {
            let offset = self.footer.columns.offset;
            let expected = format!("a column {column}");
            let got = format!("{} columns", columns.len() / COLUMN_ENTRY_BYTES);
            return Err(StorageError::corrupt(self.object.name(), offset, expected, got));
        };
        if !TimeRange::new(entry.min_ms, entry.max_ms).overlaps(&range) {
            return Ok(());
        }
        let timestamps = self.object.read(entry.offset, u64::from(entry.length))?;
        self.compare(entry.offset, entry.crc, &timestamps)?;
        out.push_chunk(&timestamps, values).map_err(|error| {
            let name = self.object.name();
            StorageError::corrupt(name, entry.offset, "a chunk", error.to_string())
        })
    }

    /// Looks at the first bytes, which no read depends on.
    fn verify_magic(&self) -> Result<(), StorageError> {
        let magic = self.object.read(0, CHUNKS_MAGIC.len() as u64)?;
        if *magic == CHUNKS_MAGIC {
            return Ok(());
        }
        let (expected, got) = (format!("{CHUNKS_MAGIC:02x?}"), format!("{:02x?}", &*magic));
        Err(StorageError::corrupt(self.object.name(), 0, expected, got))
    }

    fn verify(&self, damage: &mut impl FnMut(StorageError)) {
        if let Err(error) = self.verify_magic() {
            damage(error);
        }
        let (pages, _) = match self.tables() {
            Ok(tables) => tables,
            Err(error) => return damage(error),
        };
        let mut samples = model::Samples::default();
        let mut bad_page = None;
        for series in 0..self.footer.series {
            let page = self.find_page(pages, series).map(|(number, _)| number);
            // One report per page: its other series have nothing to add.
            if page.is_some() && page == bad_page {
                continue;
            }
            let mut out = Collector::new(&mut samples, TimeRange::ALL, Wanted::ALL);
            if let Err(error) = self.collect(series, TimeRange::ALL, &mut out) {
                bad_page = page;
                damage(error);
            }
        }
    }
}
