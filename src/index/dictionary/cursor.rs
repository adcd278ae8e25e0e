//! Decodes the terms of the front-coded table one after another.

use base::codec::ByteReader;

use super::TERMS_PER_BLOCK;
use crate::blocked::BlockedReader;
use crate::error::IndexError;

/// Bytes that are copied for a suffix that has no more: a copy of a fixed size costs less than a call.
const COPIED: usize = 32;

/// Goes over the terms of a range.
pub(crate) struct TermCursor<'a> {
    table: BlockedReader<'a>,
    /// From the block that the range begins in to the end of all terms.
    bytes: &'a [u8],
    /// Where the next term begins in `bytes`.
    position: usize,
    next: u32,
    end: u32,
    /// Bytes of the term that was read last: the first of `buffer`.
    length: usize,
    buffer: Vec<u8>,
}

impl<'a> TermCursor<'a> {
    /// A cursor of the terms from `start`, the first of a block, to `end`.
    pub(super) fn new(table: BlockedReader<'a>, start: u32, end: u32) -> Result<Self, IndexError> {
        let bytes = if start < end { table.block(start / TERMS_PER_BLOCK)? } else { &[] };
        Ok(Self { table, bytes, position: 0, next: start, end, length: 0, buffer: Vec::new() })
    }

    /// The term that was read last.
    #[inline]
    pub(crate) fn term(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    /// The ordinal of the term that comes next.
    pub(super) fn ordinal(&self) -> u32 {
        self.next
    }

    /// The bytes that terms are decoded from.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the term that comes next begins in [`Self::bytes`]; behind the bytes of the last one that
    /// the term before does not have.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Reads the next term: its ordinal, and how many first bytes it surely shares with the term
    /// read before it. `None` at the end of the range.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, usize)>, IndexError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let ordinal = self.next;
        let Some((common, length, start)) = self.header() else {
            return Err(self.table.broken(ordinal));
        };
        let restart = ordinal.is_multiple_of(TERMS_PER_BLOCK);
        if common > self.length || (restart && common > 0) || !self.copy(common, length, start) {
            return Err(self.table.broken(ordinal));
        }
        self.length = common + length;
        self.position = start + length;
        self.next += 1;
        Ok(Some((ordinal, common)))
    }

    /// How many first bytes the next term shares with the one read last, if it says so in a byte.
    #[inline]
    pub(super) fn next_common(&self) -> usize {
        match self.bytes.get(self.position) {
            Some(byte) if *byte < 0x80 => usize::from(*byte),
            _ => usize::MAX,
        }
    }

    /// Shared bytes, further bytes and where these begin.
    #[inline]
    fn header(&self) -> Option<(usize, usize, usize)> {
        match self.bytes.get(self.position..self.position + 2) {
            Some([common, length]) if (common | length) & 0x80 == 0 => {
                Some((usize::from(*common), usize::from(*length), self.position + 2))
            }
            _ => self.long_header(),
        }
    }

    #[cold]
    fn long_header(&self) -> Option<(usize, usize, usize)> {
        let mut reader = ByteReader::new(self.bytes.get(self.position..)?);
        let common = usize::try_from(reader.uvarint()).ok()?;
        let length = usize::try_from(reader.uvarint()).ok()?;
        (!reader.failed()).then_some((common, length, self.position + reader.position()))
    }

    /// Puts the bytes behind the shared ones into the buffer; false where they are cut off.
    #[inline]
    fn copy(&mut self, common: usize, length: usize, start: usize) -> bool {
        let Some(rest) = self.bytes.get(start..) else { return false };
        if length > rest.len() {
            return false;
        }
        if self.buffer.len() < common + length.max(COPIED) {
            self.buffer.resize(common + length + COPIED, 0);
        }
        let fixed = self.buffer.get_mut(common..).and_then(|to| to.first_chunk_mut::<COPIED>());
        match (rest.first_chunk::<COPIED>(), fixed) {
            (Some(from), Some(to)) if length <= COPIED => *to = *from,
            _ => {
                if let (Some(from), Some(to)) =
                    (rest.get(..length), self.buffer.get_mut(common..common + length))
                {
                    to.copy_from_slice(from);
                }
            }
        }
        true
    }
}
