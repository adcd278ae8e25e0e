//! Brings near what a selection is going to read of a mapped block: all its pages at once, then the columns
//! that they name, so that the disk has many reads before it instead of one after the other, and reads
//! nothing beside them.
//!
//! Only what was never read is asked for: a selection over other pages looks at one bit of each. What the
//! system has dropped since comes back as it is touched.

use std::ops::Range;
use std::sync::atomic::Ordering;

use model::TimeRange;
use roaring::RoaringBitmap;

use crate::block::chunks::Chunks;
use crate::block::page::{ColumnEntry, PageEntry};
use crate::block::reader::Block;
use crate::block::walk::{BadPage, PageWalk};

/// About so many bytes are asked for at once by one selection, at most. One of more goes through its blocks in
/// order, which the system sees and reads ahead of.
pub(crate) const APPROACH_BYTES_MAX: u64 = 64 << 20;
/// Ranges with no more bytes between them are read as one.
const GAP_BYTES_MAX: u64 = 16 << 10;

/// A page that was never read.
#[derive(Debug)]
pub(crate) struct FreshPage {
    number: usize,
    entry: PageEntry,
    /// Its series.
    series: Range<u32>,
}

impl Block {
    /// Begins to read what every select needs, index and tables, unless that was done before.
    pub(crate) fn approach(&self) {
        let Ok(parts) = self.parts() else { return };
        if !parts.is_approached.load(Ordering::Relaxed) {
            parts.is_approached.store(true, Ordering::Relaxed);
            parts.index.bytes().approach();
            parts.chunks.approach_tables();
        }
    }

    /// Begins to read the pages of `series` that were never read, while any of the `left` bytes are.
    pub(crate) fn approach_pages(&self, series: &RoaringBitmap, left: &mut u64) -> Vec<FreshPage> {
        self.parts().map_or_else(|_| Vec::new(), |parts| parts.chunks.approach_pages(series, left))
    }

    /// Begins to read the columns that `series` have in these pages with timestamps in `range`. Waits for the
    /// pages.
    pub(crate) fn approach_columns(
        &self,
        fresh: &[FreshPage],
        series: &RoaringBitmap,
        range: TimeRange,
    ) {
        if let (false, Ok(parts)) = (fresh.is_empty(), self.parts()) {
            parts.chunks.approach_columns(fresh, series, range);
        }
    }
}

impl Chunks {
    fn approach_tables(&self) {
        let start = self.footer.pages.offset.min(self.footer.columns.offset);
        self.object.approach(start, self.object.length());
    }

    fn approach_pages(&self, series: &RoaringBitmap, left: &mut u64) -> Vec<FreshPage> {
        let mut fresh = Vec::new();
        if !self.object.is_mapped() {
            return fresh;
        }
        // Damage is for the reads that follow to report.
        let Ok((table, _)) = self.tables() else { return fresh };
        each_page(table, series, |page| {
            if !self.is_checked(page.number) {
                *left = left.saturating_sub(u64::from(page.entry.length));
                fresh.push(page);
            }
            *left > 0
        });
        let range = |entry: &PageEntry| entry.offset..entry.offset + u64::from(entry.length);
        self.approach(fresh.iter().map(|page| range(&page.entry)));
        fresh
    }

    fn approach_columns(&self, fresh: &[FreshPage], series: &RoaringBitmap, range: TimeRange) {
        let Ok((_, table)) = self.tables() else { return };
        let mut columns = RoaringBitmap::new();
        for FreshPage { number, entry, series: inside } in fresh {
            let Ok(page) = self.page(*number, entry) else { continue };
            let Ok(mut walk) = PageWalk::open(&page) else { continue };
            let mut add = |column, _: &[u8]| {
                columns.insert(column);
                Ok::<(), BadPage>(())
            };
            let mut wanted = series.range(inside.clone());
            while let Some(one) = wanted.next()
                && walk.visit((one - inside.start) as usize, &mut add).is_ok()
            {}
        }
        let entries = columns.iter().filter_map(|column| ColumnEntry::at(table, column as usize));
        let inside = entries.filter(|e| TimeRange::new(e.min_ms, e.max_ms).overlaps(&range));
        self.approach(inside.map(|entry| entry.offset..entry.offset + u64::from(entry.length)));
    }

    fn approach(&self, ranges: impl Iterator<Item = Range<u64>>) {
        each_joined(ranges, |range| self.object.approach(range.start, range.end));
    }
}

/// Calls `visit` with each page that has some of `series`, until it says false.
fn each_page(table: &[u8], series: &RoaringBitmap, mut visit: impl FnMut(FreshPage) -> bool) {
    let mut wanted = series.iter();
    while let Some(next) = wanted.next() {
        let Some(number) = PageEntry::find(table, next) else { return };
        let Some(entry) = PageEntry::at(table, number) else { return };
        let end = PageEntry::at(table, number + 1).map_or(u32::MAX, |behind| behind.first_series);
        if !visit(FreshPage { number, entry, series: entry.first_series..end }) {
            return;
        }
        wanted.advance_to(end);
    }
}

/// Calls `visit` with ascending ranges, those that are near each other as one.
fn each_joined(ranges: impl Iterator<Item = Range<u64>>, mut visit: impl FnMut(Range<u64>)) {
    let mut open: Option<Range<u64>> = None;
    for range in ranges {
        match &mut open {
            Some(open) if open.end <= range.start && range.start - open.end <= GAP_BYTES_MAX => {
                open.end = range.end;
            }
            open => drop(open.replace(range).map(&mut visit)),
        }
    }
    open.map(visit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_as_one() {
        let joined = |ranges: &[Range<u64>]| {
            let mut out = Vec::new();
            each_joined(ranges.iter().cloned(), |range| out.push(range));
            out
        };
        let gap = GAP_BYTES_MAX;
        assert_eq!(joined(&[]), []);
        let far = 99 + 2 * gap..100 + 2 * gap;
        let ranges = [5..9, 9..20, 20 + gap..30 + gap, far.clone()];
        assert_eq!(joined(&ranges), [5..30 + gap, far]);
        assert_eq!(joined(&[5..9, 10 + gap..11 + gap]), [5..9, 10 + gap..11 + gap]);
        // A damaged table goes back.
        assert_eq!(joined(&[50..60, 20..30]), [50..60, 20..30]);
    }

    #[test]
    fn pages_are_those_with_the_series() {
        let mut table = Vec::new();
        for first_series in [0u32, 64, 66, 130] {
            let entry = PageEntry { first_series, codec: 0, offset: 0, length: 0, crc: 0 };
            entry.put(&mut table);
        }
        let pages = |series: &[u32], most: usize| {
            let mut out = Vec::new();
            each_page(&table, &series.iter().copied().collect(), |page| {
                out.push((page.number, page.series));
                out.len() < most
            });
            out
        };
        let last = (3, 130..u32::MAX);
        assert_eq!(pages(&[0, 1, 63, 65, 1000], 9), [(0, 0..64), (1, 64..66), last.clone()]);
        assert_eq!(pages(&[129], 9), [(2, 66..130)]);
        assert_eq!(pages(&[0, 64, 129], 2), [(0, 0..64), (1, 64..66)]);
        assert_eq!(pages(&[131], 9), [last]);
        assert_eq!(pages(&[], 9), []);
    }
}
