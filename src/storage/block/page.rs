//! The parts of a block's `chunks` object: pages, columns and the footer. `block/FORMAT.md` has
//! the bytes.
//!
//! A page holds the values of up to 64 neighbouring series and the directory of their chunks. A
//! column is the timestamps of a chunk, stored once for all chunks that share them, as the series
//! of one scrape do.

use base::codec::{ByteReader, put_uvarint, put_varint};
use base::frame::checksum;

use crate::error::StorageError;

/// Magic and version at the start and at the end of the object.
pub(crate) const CHUNKS_MAGIC: [u8; 8] = *b"TRBCHK\x00\x01";
/// Series of a page.
pub(crate) const PAGE_SERIES_MAX: usize = 64;
/// Bytes of values at which a page is closed before it has all its series.
pub(crate) const PAGE_BYTES_TARGET: usize = 64 * 1024;

/// Bytes of an entry of the page table.
pub(crate) const PAGE_ENTRY_BYTES: usize = 24;
/// Bytes of an entry of the column table.
pub(crate) const COLUMN_ENTRY_BYTES: usize = 36;
/// Bytes of a section in the footer.
const SECTION_BYTES: usize = 20;
/// Bytes behind the footer's sections.
pub(crate) const TRAILER_BYTES: usize = 20;
/// Sections of the footer: page table, column table.
const SECTIONS: usize = 2;
/// Bytes of the whole footer.
pub(crate) const FOOTER_BYTES: usize = SECTIONS * SECTION_BYTES + TRAILER_BYTES;

/// Where a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageEntry {
    /// The first series of the page.
    pub(crate) first_series: u32,
    /// How the page is compressed: 0 is not at all.
    pub(crate) codec: u32,
    /// First byte in the object.
    pub(crate) offset: u64,
    /// Bytes of the page.
    pub(crate) length: u32,
    /// CRC-32C of them.
    pub(crate) crc: u32,
}

impl PageEntry {
    /// Appends the entry.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.first_series.to_le_bytes());
        out.extend_from_slice(&self.codec.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads the entry at `index` of a table.
    #[inline]
    pub(crate) fn at(table: &[u8], index: usize) -> Option<Self> {
        let (entries, _) = table.as_chunks::<PAGE_ENTRY_BYTES>();
        let entry = entries.get(index)?;
        Some(Self {
            first_series: u32_at(entry, 0),
            codec: u32_at(entry, 4),
            offset: u64_at(entry, 8),
            length: u32_at(entry, 16),
            crc: u32_at(entry, 20),
        })
    }

    /// The place in `table` of the page that has `series`; `None` when the table is empty.
    pub(crate) fn find(table: &[u8], series: u32) -> Option<usize> {
        let (entries, _) = table.as_chunks::<PAGE_ENTRY_BYTES>();
        let first = |entry: &[u8; PAGE_ENTRY_BYTES]| u32_at(entry, 0);
        // No page has more series than the maximum, and most have exactly that.
        let least = (series as usize / PAGE_SERIES_MAX).min(entries.len().checked_sub(1)?);
        match entries.get(least + 1) {
            Some(next) if first(next) <= series => {
                let behind = entries.get(least..)?.partition_point(|entry| first(entry) <= series);
                Some(least + behind.max(1) - 1)
            }
            _ => Some(least),
        }
    }
}

/// Fixed-width numbers of an entry; the offsets are constants inside it.
#[inline]
fn u32_at<const N: usize>(entry: &[u8; N], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&entry[at..at + 4]);
    u32::from_le_bytes(bytes)
}

#[inline]
fn u64_at<const N: usize>(entry: &[u8; N], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&entry[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Where a column of timestamps is, and what it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColumnEntry {
    /// First byte in the object.
    pub(crate) offset: u64,
    /// Bytes of the blob.
    pub(crate) length: u32,
    /// CRC-32C of them.
    pub(crate) crc: u32,
    /// Number of timestamps.
    pub(crate) count: u32,
    /// The first timestamp.
    pub(crate) min_ms: i64,
    /// The last timestamp.
    pub(crate) max_ms: i64,
}

impl ColumnEntry {
    /// Appends the entry.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.min_ms.to_le_bytes());
        out.extend_from_slice(&self.max_ms.to_le_bytes());
    }

    /// Reads the entry at `index` of a table.
    #[inline]
    pub(crate) fn at(table: &[u8], index: usize) -> Option<Self> {
        let (entries, _) = table.as_chunks::<COLUMN_ENTRY_BYTES>();
        let entry = entries.get(index)?;
        Some(Self {
            offset: u64_at(entry, 0),
            length: u32_at(entry, 8),
            crc: u32_at(entry, 12),
            count: u32_at(entry, 16),
            min_ms: u64_at(entry, 20) as i64,
            max_ms: u64_at(entry, 28) as i64,
        })
    }
}

/// A part of the object with its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// First byte in the object.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// CRC-32C of them.
    pub(crate) crc: u32,
}

/// The end of the object: where everything else is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The page table.
    pub(crate) pages: Section,
    /// The column table.
    pub(crate) columns: Section,
    /// Number of series.
    pub(crate) series: u32,
}

impl Footer {
    /// Appends the footer.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for section in [&self.pages, &self.columns] {
            out.extend_from_slice(&section.offset.to_le_bytes());
            out.extend_from_slice(&section.length.to_le_bytes());
            out.extend_from_slice(&section.crc.to_le_bytes());
        }
        out.extend_from_slice(&(SECTIONS as u32).to_le_bytes());
        out.extend_from_slice(&self.series.to_le_bytes());
        let crc = checksum(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&CHUNKS_MAGIC);
    }

    /// Reads the footer from the last [`FOOTER_BYTES`] of the object `file` of `length` bytes.
    pub(crate) fn read(file: &str, length: u64, bytes: &[u8]) -> Result<Self, StorageError> {
        let start = length.saturating_sub(FOOTER_BYTES as u64);
        let at = |offset: usize| start + offset as u64;
        if bytes.len() != FOOTER_BYTES {
            let expected = format!("a footer of {FOOTER_BYTES} bytes");
            return Err(StorageError::corrupt(file, start, expected, format!("{}", bytes.len())));
        }
        let (body, magic) = bytes.split_at(FOOTER_BYTES - 8);
        if magic != CHUNKS_MAGIC {
            let got = format!("{magic:02x?}");
            let expected = format!("{CHUNKS_MAGIC:02x?}");
            return Err(StorageError::corrupt(file, at(FOOTER_BYTES - 8), expected, got));
        }
        let mut reader = ByteReader::new(body);
        let mut section =
            || Section { offset: reader.u64(), length: reader.u64(), crc: reader.u32() };
        let (pages, columns) = (section(), section());
        let sections = reader.u32();
        let series = reader.u32();
        let crc = reader.u32();
        let got = checksum(&body[..body.len() - 4]);
        if crc != got || sections != SECTIONS as u32 {
            let expected = format!("{SECTIONS} sections with checksum 0x{crc:08x}");
            let got = format!("{sections} sections with 0x{got:08x}");
            return Err(StorageError::corrupt(file, start, expected, got));
        }
        Ok(Self { pages, columns, series })
    }
}

/// Builds one page.
#[derive(Debug, Default)]
pub(crate) struct PageBuilder {
    directory: Vec<u8>,
    values: Vec<u8>,
    series: usize,
    /// Columns of the series before.
    previous: Vec<u32>,
    last_column: u32,
}

impl PageBuilder {
    /// True without series.
    pub(crate) fn is_empty(&self) -> bool {
        self.series == 0
    }

    /// True when the page should be closed.
    pub(crate) fn is_full(&self) -> bool {
        self.series == PAGE_SERIES_MAX || self.values.len() >= PAGE_BYTES_TARGET
    }

    /// Adds a series: the column of each of its chunks, the length of each of their values, and
    /// the values.
    pub(crate) fn add(&mut self, columns: &[u32], lengths: &[u32], values: &[u8]) {
        if self.series > 0 && columns == self.previous {
            put_uvarint(&mut self.directory, 0);
        } else {
            put_uvarint(&mut self.directory, columns.len() as u64 + 1);
            for column in columns {
                let step = i64::from(*column) - i64::from(self.last_column);
                put_varint(&mut self.directory, step);
                self.last_column = *column;
            }
            self.previous.clear();
            self.previous.extend_from_slice(columns);
        }
        for length in lengths {
            put_uvarint(&mut self.directory, u64::from(*length));
        }
        self.values.extend_from_slice(values);
        self.series += 1;
    }

    /// Appends the page to `out` and starts over.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.series as u16).to_le_bytes());
        out.extend_from_slice(&(self.directory.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.directory);
        out.extend_from_slice(&self.values);
        self.directory.clear();
        self.values.clear();
        self.previous.clear();
        self.series = 0;
        self.last_column = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_series() {
        let mut table = Vec::new();
        let firsts = [0u32, 64, 66, 130, 131, 195];
        for first_series in firsts {
            let zero = PageEntry { first_series, codec: 0, offset: 0, length: 0, crc: 0 };
            zero.put(&mut table);
        }
        for series in 0..300 {
            let want = firsts.iter().rposition(|first| *first <= series);
            assert_eq!(PageEntry::find(&table, series), want, "{series}");
        }
        assert_eq!(PageEntry::find(&[], 0), None);
    }
}
