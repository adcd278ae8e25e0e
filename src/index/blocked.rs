//! Variable-length entries by number, in blocks with one offset each.
//!
//! ```text
//! | entries, back to back | block offset u32 LE × blocks | entry count u32 LE |
//! ```
//!
//! An entry is found by decoding its block from the start; what an entry looks like is the user's.
//! The reader trusts nothing: every offset is checked against the data.

use crate::error::IndexError;

/// Collects entries.
#[derive(Debug)]
pub(crate) struct BlockedWriter {
    section: &'static str,
    per_block: u32,
    data: Vec<u8>,
    offsets: Vec<u32>,
    count: u32,
}

impl BlockedWriter {
    /// A writer of the named section with `per_block` entries a block.
    pub(crate) fn new(section: &'static str, per_block: u32) -> Self {
        Self { section, per_block, data: Vec::new(), offsets: Vec::new(), count: 0 }
    }

    /// Begins an entry: true at the start of a block. The caller then appends to the returned bytes.
    pub(crate) fn entry(&mut self) -> Result<(bool, &mut Vec<u8>), IndexError> {
        let first = self.count.is_multiple_of(self.per_block);
        if first {
            let offset = u32::try_from(self.data.len()).map_err(|_| IndexError::TooLarge {
                section: self.section,
                got: self.data.len(),
                max: u32::MAX as usize,
            })?;
            self.offsets.push(offset);
        }
        self.count += 1;
        Ok((first, &mut self.data))
    }

    /// The section.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for offset in &self.offsets {
            self.data.extend_from_slice(&offset.to_le_bytes());
        }
        self.data.extend_from_slice(&self.count.to_le_bytes());
        self.data
    }
}

/// Finds blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockedReader<'a> {
    pub(crate) section: &'static str,
    pub(crate) per_block: u32,
    data: &'a [u8],
    offsets: &'a [u8],
    count: u32,
}

impl<'a> BlockedReader<'a> {
    /// Reads the tail of a section; the same `per_block` as the writer's.
    pub(crate) fn new(
        section: &'static str,
        per_block: u32,
        bytes: &'a [u8],
    ) -> Result<Self, IndexError> {
        let bad = |reason| IndexError::malformed(section, bytes.len(), reason);
        let (rest, count) = bytes.split_last_chunk::<4>().ok_or(bad("no entry count"))?;
        let count = u32::from_le_bytes(*count);
        let table = count.div_ceil(per_block) as usize * 4;
        let split = rest.len().checked_sub(table).ok_or(bad("block offsets are cut off"))?;
        let (data, offsets) = rest.split_at(split);
        Ok(Self { section, per_block, data, offsets, count })
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    /// Number of blocks.
    pub(crate) fn blocks(&self) -> u32 {
        self.count.div_ceil(self.per_block)
    }

    /// The bytes from the block's first entry to the end of all entries.
    pub(crate) fn block(&self, block: u32) -> Result<&'a [u8], IndexError> {
        let at = block as usize * 4;
        let offset = self
            .offsets
            .get(at..at + 4)
            .and_then(|bytes| bytes.first_chunk::<4>())
            .map(|bytes| u32::from_le_bytes(*bytes) as usize);
        offset.and_then(|offset| self.data.get(offset..)).ok_or_else(|| {
            IndexError::malformed(self.section, self.data.len() + at, "block offset out of range")
        })
    }

    /// The error of an entry that does not decode.
    pub(crate) fn broken(&self, entry: u32) -> IndexError {
        IndexError::malformed(self.section, entry as usize, "entry of this number does not decode")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_through_their_block() {
        let mut writer = BlockedWriter::new("test", 4);
        for entry in 0..10u8 {
            let (first, out) = writer.entry().unwrap();
            assert_eq!(first, entry % 4 == 0);
            out.extend_from_slice(&[entry, entry]);
        }
        let bytes = writer.finish();
        let reader = BlockedReader::new("test", 4, &bytes).unwrap();
        assert_eq!((reader.len(), reader.blocks()), (10, 3));
        assert_eq!(reader.block(2).unwrap(), [8, 8, 9, 9]);
        assert!(reader.block(3).is_err());
        assert!(BlockedReader::new("test", 4, &bytes[bytes.len() - 6..]).is_err());
        assert!(BlockedReader::new("test", 4, &[1, 2]).is_err());
    }
}
