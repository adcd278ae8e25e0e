//! The end of a segment: which section is where, and how it is checked.
//!
//! Nothing of a segment is believed before the footer's own checksum has been, and no section before
//! its own.

use base::codec::ByteReader;
use base::frame::checksum;

use crate::error::IndexError;

/// The last bytes of every segment.
pub(crate) const MAGIC: [u8; 8] = *b"TRIBIDX\n";
/// The version written, and the newest read.
pub(crate) const VERSION: u32 = 1;
/// Version, series, section count, checksum, magic.
const FIXED_BYTES: usize = 4 + 4 + 4 + 4 + 8;
/// Offset, length, checksum.
const ENTRY_BYTES: usize = 8 + 8 + 4;
/// Sections that a footer may list; bounds what a damaged count can make the reader allocate.
const SECTIONS_MAX: usize = 64;

const FOOTER: &str = "footer";

/// The sections in the order they are written and listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Names,
    Fst,
    Terms,
    Postings,
    Sets,
    Series,
}

impl Section {
    pub(crate) const ALL: [Self; 6] =
        [Self::Names, Self::Fst, Self::Terms, Self::Postings, Self::Sets, Self::Series];

    /// The name in messages and in FORMAT.md.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Names => "names",
            Self::Fst => "fst",
            Self::Terms => "terms",
            Self::Postings => "postings",
            Self::Sets => "sets",
            Self::Series => "series",
        }
    }
}

/// Where a section is and what its bytes must sum to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    pub(crate) checksum: u32,
}

impl Extent {
    /// The section's bytes, checked.
    pub(crate) fn read<'b>(
        &self,
        section: &'static str,
        bytes: &'b [u8],
    ) -> Result<&'b [u8], IndexError> {
        let found = self.unchecked(section, bytes)?;
        let got = checksum(found);
        if got == self.checksum {
            Ok(found)
        } else {
            Err(IndexError::Checksum { section, expected: self.checksum, got })
        }
    }

    /// The section's bytes.
    pub(crate) fn unchecked<'b>(
        &self,
        section: &'static str,
        bytes: &'b [u8],
    ) -> Result<&'b [u8], IndexError> {
        let end = self.offset.checked_add(self.length);
        end.and_then(|end| bytes.get(self.offset..end)).ok_or(IndexError::malformed(
            section,
            self.length,
            "reaches beyond the end of the segment",
        ))
    }
}

/// The decoded footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Number of series.
    pub(crate) series: u32,
    /// One for each of [`Section::ALL`].
    pub(crate) extents: Vec<Extent>,
}

impl Footer {
    /// Appends the footer.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for extent in &self.extents {
            out.extend_from_slice(&(extent.offset as u64).to_le_bytes());
            out.extend_from_slice(&(extent.length as u64).to_le_bytes());
            out.extend_from_slice(&extent.checksum.to_le_bytes());
        }
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.series.to_le_bytes());
        out.extend_from_slice(&(self.extents.len() as u32).to_le_bytes());
        let sum = checksum(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&MAGIC);
    }

    /// Reads the footer at the end of a segment.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, IndexError> {
        let bad = |reason| IndexError::malformed(FOOTER, 0, reason);
        let fixed = bytes.len().checked_sub(FIXED_BYTES).ok_or(bad("segment is too short"))?;
        let mut reader = ByteReader::new(bytes.get(fixed..).unwrap_or_default());
        let (version, series, count) = (reader.u32(), reader.u32(), reader.u32() as usize);
        let expected = reader.u32();
        if reader.take(MAGIC.len()) != MAGIC {
            return Err(bad("does not end with the magic bytes TRIBIDX"));
        }
        if count > SECTIONS_MAX {
            return Err(bad("lists more than 64 sections"));
        }
        let start =
            fixed.checked_sub(count * ENTRY_BYTES).ok_or(bad("section table is cut off"))?;
        let got = checksum(bytes.get(start..fixed + 12).unwrap_or_default());
        if got != expected {
            return Err(IndexError::Checksum { section: FOOTER, expected, got });
        }
        if version == 0 || version > VERSION {
            return Err(IndexError::Version { got: version, max: VERSION });
        }
        if count < Section::ALL.len() {
            return Err(bad("lists fewer sections than version 1 has"));
        }
        Ok(Self { series, extents: extents(bytes.get(..fixed).unwrap_or_default(), start, count)? })
    }
}

/// What a damaged footer says of the sections of version 1; nothing of it can be believed.
pub(crate) struct Untrusted {
    /// One for each of [`Section::ALL`], or none where the segment is too short.
    pub(crate) extents: Vec<Extent>,
    /// Where the sections end and the footer begins.
    pub(crate) end: usize,
}

impl Footer {
    /// Reads the footer without a check.
    pub(crate) fn untrusted(bytes: &[u8]) -> Untrusted {
        let length = FIXED_BYTES + Section::ALL.len() * ENTRY_BYTES;
        let Some(end) = bytes.len().checked_sub(length) else {
            return Untrusted { extents: Vec::new(), end: 0 };
        };
        let mut reader = ByteReader::new(bytes.get(end..).unwrap_or_default());
        let extents = Section::ALL.map(|_| Extent {
            offset: usize::try_from(reader.u64()).unwrap_or(usize::MAX),
            length: usize::try_from(reader.u64()).unwrap_or(usize::MAX),
            checksum: reader.u32(),
        });
        Untrusted { extents: extents.into(), end }
    }
}

fn extents(bytes: &[u8], start: usize, count: usize) -> Result<Vec<Extent>, IndexError> {
    let mut reader = ByteReader::new(bytes.get(start..).unwrap_or_default());
    let mut extents = Vec::with_capacity(count);
    for _ in 0..count {
        let (offset, length, checksum) = (reader.u64(), reader.u64(), reader.u32());
        let inside = offset.checked_add(length).is_some_and(|end| end <= start as u64);
        if !inside {
            return Err(IndexError::malformed(FOOTER, 0, "a section overlaps the footer"));
        }
        extents.push(Extent { offset: offset as usize, length: length as usize, checksum });
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Derived by hand from FORMAT.md: six empty sections at offset 0, whose CRC-32C is 0.
    #[test]
    fn the_bytes_are_the_documented_ones() {
        let empty = Extent { offset: 0, length: 0, checksum: 0 };
        let footer = Footer { series: 0x0102, extents: vec![empty; 6] };
        let mut out = Vec::new();
        footer.put(&mut out);
        let mut expected = vec![0u8; 120];
        expected.extend([1, 0, 0, 0, 2, 1, 0, 0, 6, 0, 0, 0]);
        assert_eq!(out[..132], expected);
        assert_eq!(out[132..136], crc32c_bit_by_bit(&expected).to_le_bytes());
        assert_eq!(&out[136..], b"TRIBIDX\n");
        assert_eq!(Footer::read(&out).unwrap(), footer);
    }

    /// CRC-32C from its definition: reflected polynomial 0x82f63b78, all ones before and after.
    fn crc32c_bit_by_bit(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn damage_is_named() {
        let empty = Extent { offset: 0, length: 0, checksum: 0 };
        let mut out = Vec::new();
        Footer { series: 3, extents: vec![empty; 6] }.put(&mut out);
        for cut in 0..out.len() {
            assert!(Footer::read(&out[..cut]).is_err(), "cut to {cut}");
        }
        for bit in 0..out.len() * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::read(&flipped).is_err(), "bit {bit}");
        }
        let mut beyond = Vec::new();
        let far = Extent { offset: usize::MAX, length: 2, checksum: 0 };
        Footer { series: 0, extents: vec![far; 6] }.put(&mut beyond);
        assert!(matches!(Footer::read(&beyond), Err(IndexError::Malformed { .. })));
    }
}
