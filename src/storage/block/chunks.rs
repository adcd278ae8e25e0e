//! Reads the samples of a block: the `chunks` object, by page and column.
//!
//! Invariant: no byte is decoded whose checksum has not been compared.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use base::error::{Classify as _, ErrorKind};
use base::frame::checksum;
use model::TimeRange;

use crate::block::page::{
    CHUNKS_MAGIC, COLUMN_ENTRY_BYTES, ColumnEntry, FOOTER_BYTES, Footer, PAGE_ENTRY_BYTES,
    PageEntry, Section,
};
use crate::block::walk::{BadPage, PageWalk};
use crate::collect::{Collector, Wanted};
use crate::error::StorageError;
use crate::object::bytes::{ObjectBytes, Piece};

/// The samples of a block.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) object: ObjectBytes,
    pub(super) footer: Footer,
    tables: OnceLock<Result<(), StorageError>>,
    /// Tables of an object that is not mapped.
    fetched: OnceLock<(Vec<u8>, Vec<u8>)>,
    /// One bit per page whose checksum has been compared.
    checked: Vec<AtomicU64>,
}

/// What `load` has found, which is asked once unless the store does not answer.
pub(super) fn once<T>(
    cell: &OnceLock<Result<T, StorageError>>,
    load: impl FnOnce() -> Result<T, StorageError>,
) -> Result<&T, StorageError> {
    let found = match cell.get() {
        Some(found) => found,
        None => match load() {
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            found => cell.get_or_init(|| found),
        },
    };
    found.as_ref().map_err(StorageError::clone)
}

/// Where a reader of a block is: the mapped page that it read last, whose checksum has been compared before it got
/// here. A series further on in that page is reached from there.
#[derive(Debug, Default)]
pub(crate) struct Bookmark<'b>(Option<OpenPage<'b>>);

/// A page that is being walked through.
#[derive(Debug)]
struct OpenPage<'p> {
    first_series: u32,
    /// First byte in the object.
    offset: u64,
    walk: PageWalk<'p>,
    /// The column table.
    columns: &'p [u8],
}

impl OpenPage<'_> {
    /// The place of `series` in the page.
    #[inline]
    fn index_of(&self, series: u32) -> usize {
        series.wrapping_sub(self.first_series) as usize
    }
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
    /// Number of series.
    pub(super) fn series(&self) -> u32 {
        self.footer.series
    }

    pub(super) fn open(object: ObjectBytes) -> Result<Self, StorageError> {
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
    pub(super) fn tables(&self) -> Result<(&[u8], &[u8]), StorageError> {
        let load = || {
            let pages = self.section(&self.footer.pages)?;
            let columns = self.section(&self.footer.columns)?;
            if let (Piece::Owned(pages), Piece::Owned(columns)) = (&pages, &columns) {
                let _ = self.fetched.set((pages.to_vec(), columns.to_vec()));
            }
            Ok(())
        };
        once(&self.tables, load)?;
        if let Some((pages, columns)) = self.fetched.get() {
            return Ok((pages, columns));
        }
        let table = |section: &Section| -> Result<&[u8], StorageError> {
            match self.object.read(section.offset, section.length)? {
                Piece::Borrowed(bytes) => Ok(bytes),
                // What is not mapped was fetched above.
                Piece::Owned(_) => Ok(&[]),
            }
        };
        Ok((table(&self.footer.pages)?, table(&self.footer.columns)?))
    }

    /// The number and entry of the page with `series`.
    fn find_page(&self, pages: &[u8], series: u32) -> Option<(usize, PageEntry)> {
        let number = PageEntry::find(pages, series)?;
        Some((number, PageEntry::at(pages, number)?))
    }

    /// True when the checksum of a page has been compared.
    pub(super) fn is_checked(&self, number: usize) -> bool {
        let flags = self.checked.get(number / 64);
        flags.is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (number % 64)) != 0)
    }

    pub(super) fn page(&self, number: usize, entry: &PageEntry) -> Result<Piece<'_>, StorageError> {
        let bytes = self.object.read(entry.offset, u64::from(entry.length))?;
        let is_mapped = matches!(bytes, Piece::Borrowed(_));
        if !(is_mapped && self.is_checked(number)) {
            self.compare(entry.offset, entry.crc, &bytes)?;
            if let Some(flags) = self.checked.get(number / 64) {
                flags.fetch_or(1 << (number % 64), Ordering::Relaxed);
            }
        }
        if entry.codec != 0 {
            let got = entry.codec.to_string();
            let name = self.object.name();
            return Err(StorageError::corrupt(name, entry.offset, "page codec 0", got));
        }
        Ok(bytes)
    }

    pub(super) fn collect<'b>(
        &'b self,
        series: u32,
        range: TimeRange,
        bookmark: &mut Bookmark<'b>,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let mut open = bookmark.0.take_if(|open| open.walk.is_ahead(open.index_of(series)));
        if open.is_none() {
            let (pages, columns) = self.tables()?;
            let Some((number, entry)) = self.find_page(pages, series) else {
                return Ok(());
            };
            match self.page(number, &entry)? {
                Piece::Borrowed(page) => {
                    open = Some(self.open_page(page, &entry, columns, series)?);
                }
                Piece::Owned(page) => {
                    let mut open = self.open_page(&page, &entry, columns, series)?;
                    return self.collect_from(&mut open, series, range, out);
                }
            }
        }
        if let Some(open) = &mut open {
            self.collect_from(open, series, range, out)?;
        }
        // Nobody goes on behind damage.
        bookmark.0 = open;
        Ok(())
    }

    fn open_page<'p>(
        &self,
        page: &'p [u8],
        entry: &PageEntry,
        columns: &'p [u8],
        series: u32,
    ) -> Result<OpenPage<'p>, StorageError> {
        let walk = PageWalk::open(page).map_err(|bad| self.bad_page(entry.offset, series, bad))?;
        Ok(OpenPage { first_series: entry.first_series, offset: entry.offset, walk, columns })
    }

    fn collect_from(
        &self,
        open: &mut OpenPage<'_>,
        series: u32,
        range: TimeRange,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let (index, columns) = (open.index_of(series), open.columns);
        let result = open.walk.visit(index, |column, values| {
            self.collect_chunk(columns, column, values, range, out).map_err(Met::Storage)
        });
        result.map_err(|met| match met {
            Met::Storage(error) => error,
            Met::Page(bad) => self.bad_page(open.offset, series, bad),
        })
    }

    fn bad_page(&self, offset: u64, series: u32, BadPage(expected): BadPage) -> StorageError {
        let got = format!("another page for series {series}");
        StorageError::corrupt(self.object.name(), offset, expected, got)
    }

    pub(super) fn salvage(
        &self,
        series: u32,
        out: &mut Collector<'_>,
        damage: &mut impl FnMut(StorageError),
    ) {
        let found = self.tables().map(|(pages, columns)| (self.find_page(pages, series), columns));
        let (number, entry, columns) = match found {
            Ok((Some((number, entry)), columns)) => (number, entry, columns),
            Ok((None, _)) => return,
            Err(error) => return damage(error),
        };
        let page = match self.page(number, &entry) {
            Ok(page) => page,
            Err(error) => return damage(error),
        };
        let index = (series.saturating_sub(entry.first_series)) as usize;
        let visit = |column, values: &[u8]| {
            if let Err(error) = self.collect_chunk(columns, column, values, TimeRange::ALL, out) {
                damage(error);
            }
            Ok::<(), BadPage>(())
        };
        let walked = PageWalk::open(&page).and_then(|mut walk| walk.visit(index, visit));
        if let Err(bad) = walked {
            damage(self.bad_page(entry.offset, series, bad));
        }
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

    pub(super) fn verify(&self, damage: &mut impl FnMut(StorageError)) {
        if let Err(error) = self.verify_magic() {
            damage(error);
        }
        let (pages, _) = match self.tables() {
            Ok(tables) => tables,
            Err(error) => return damage(error),
        };
        let mut samples = model::Samples::default();
        let (mut bad_page, mut bookmark) = (None, Bookmark::default());
        for series in 0..self.footer.series {
            let page = self.find_page(pages, series).map(|(number, _)| number);
            // One report per page: its other series have nothing to add.
            if page.is_some() && page == bad_page {
                continue;
            }
            let mut out = Collector::new(&mut samples, TimeRange::ALL, Wanted::ALL);
            if let Err(error) = self.collect(series, TimeRange::ALL, &mut bookmark, &mut out) {
                bad_page = page;
                damage(error);
            }
        }
    }
}
