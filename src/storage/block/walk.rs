//! Going through the directory of a page, series after series: where the chunks of one lie is told by those before it,
//! so who reads series in their order goes on where it stopped.

use base::codec::ByteReader;

/// What is wrong with a page whose checksum is right: its writer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPage(pub &'static str);

/// A walk over the series of a page. After an error it is over.
#[derive(Debug)]
pub(crate) struct PageWalk<'p> {
    directory: ByteReader<'p>,
    values: &'p [u8],
    series: usize,
    /// The series that is next.
    next: usize,
    /// Columns of the series before it: one, rarely more, except in blocks over many days.
    columns: Vec<u32>,
    last_column: i64,
    /// Where its values start.
    start: usize,
}

impl<'p> PageWalk<'p> {
    /// Stands before the first series.
    pub(crate) fn open(page: &'p [u8]) -> Result<Self, BadPage> {
        let mut reader = ByteReader::new(page);
        let series = usize::from(reader.u16());
        let directory_bytes = reader.u32() as usize;
        let directory = ByteReader::new(reader.take(directory_bytes));
        let values = reader.take(reader.remaining());
        if reader.failed() {
            return Err(BadPage("a page with the series"));
        }
        let (columns, last_column) = (Vec::with_capacity(8), 0);
        Ok(Self { directory, values, series, next: 0, columns, last_column, start: 0 })
    }

    /// True when the page has the series at `index` and the walk has not passed it.
    #[inline]
    pub(crate) fn is_ahead(&self, index: usize) -> bool {
        (self.next..self.series).contains(&index)
    }

    /// Calls `visit` with column and values of each chunk of the series at `index`, which is ahead.
    #[inline]
    pub(crate) fn visit<E: From<BadPage>>(
        &mut self,
        index: usize,
        visit: impl FnMut(u32, &'p [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.is_ahead(index) {
            return Err(BadPage("a page with the series").into());
        }
        while self.next < index {
            self.step(|_, _| Ok::<(), BadPage>(()))?;
        }
        self.step(visit)
    }

    #[inline]
    fn step<E: From<BadPage>>(
        &mut self,
        mut visit: impl FnMut(u32, &'p [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { directory, values, columns, start, .. } = self;
        let token = directory.uvarint() as usize;
        if token > 0 {
            columns.clear();
            if token - 1 > directory.remaining() {
                return Err(BadPage("as many chunks as bytes").into());
            }
            for _ in 0..token - 1 {
                self.last_column = self.last_column.wrapping_add(directory.varint());
                columns.push(self.last_column as u32);
            }
        }
        for column in &*columns {
            let end = start.saturating_add(directory.uvarint() as usize);
            if directory.failed() {
                break;
            }
            let Some(blob) = values.get(*start..end) else {
                return Err(BadPage("values inside the page").into());
            };
            visit(*column, blob)?;
            *start = end;
        }
        if directory.failed() {
            return Err(BadPage("a whole directory").into());
        }
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;
    use crate::block::page::PageBuilder;

    #[test]
    fn pages_by_hand_and_back() {
        let mut builder = PageBuilder::default();
        builder.add(&[3], &[2], b"ab");
        builder.add(&[3], &[1], b"c");
        builder.add(&[3, 5], &[1, 2], b"def");
        let mut page = Vec::new();
        builder.finish(&mut page);
        let directory = [2, 6, 2, 0, 1, 3, 0, 4, 1, 2];
        let mut want = vec![3, 0, directory.len() as u8, 0, 0, 0];
        want.extend(directory);
        want.extend(b"abcdef");
        assert_eq!(page, want);
        let chunks = |index| {
            let mut out = Vec::new();
            let result = PageWalk::open(&page)?.visit(index, |column, blob| {
                out.push((column, blob.to_vec()));
                Ok::<(), BadPage>(())
            });
            result.map(|()| out)
        };
        assert_eq!(chunks(0).unwrap(), [(3, b"ab".to_vec())]);
        assert_eq!(chunks(1).unwrap(), [(3, b"c".to_vec())]);
        assert_eq!(chunks(2).unwrap(), [(3, b"d".to_vec()), (5, b"ef".to_vec())]);
        assert!(chunks(3).is_err());
        let mut walk = PageWalk::open(&page).unwrap();
        let mut next = |index| {
            let mut out = Vec::new();
            let visit = |column, _: &[u8]| {
                out.push(column);
                Ok::<(), BadPage>(())
            };
            assert!(walk.is_ahead(index));
            walk.visit(index, visit).unwrap();
            assert!(!walk.is_ahead(index));
            out
        };
        assert_eq!((next(0), next(2)), (vec![3], vec![3, 5]));
        let mut rng = Rng::new(3);
        for _ in 0..20_000 {
            let mut bytes = page.clone();
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next_u64() as u8;
            let _ = PageWalk::open(&bytes)
                .and_then(|mut walk| walk.visit(2, |_, _| Ok::<(), BadPage>(())));
        }
    }
}
