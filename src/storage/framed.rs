//! Files that only grow: a header and, behind it, frames. The log, its series files and the documents
//! are such.
//!
//! Invariants: damage is named with file, offset, expected and got, and hides nothing behind it: the next
//! whole frame is found by the marker that every payload begins with. An unfinished frame without another
//! one behind it is a write that never finished, and no damage.

use base::codec::ByteReader;
use base::frame::{FRAME_HEADER_BYTES, Frame, checksum, read_frame};
use base::limits::WAL_RECORD_BYTES_MAX;

use crate::error::StorageError;

/// Bytes in front of the first frame.
pub(crate) const HEADER_BYTES: usize = 20;
/// Bytes of the longest payload.
pub(crate) const PAYLOAD_BYTES_MAX: usize = WAL_RECORD_BYTES_MAX;

/// What tells one sort of these files from another.
#[derive(Debug)]
pub(crate) struct FramedFormat {
    /// The first bytes of a file: what they are, and its version.
    pub(crate) magic: [u8; 8],
    /// The same of an older version, which is read as well.
    pub(crate) magic_before: Option<[u8; 8]>,
    /// The first bytes of every payload.
    pub(crate) marker: [u8; 4],
}

/// One thing found in a file.
#[derive(Debug)]
pub(crate) enum FoundFrame<'b> {
    /// A whole frame.
    Whole {
        /// Where it begins.
        offset: usize,
        /// What is in it; never empty.
        payload: &'b [u8],
    },
    /// Damage; reading went on behind it.
    Damage(StorageError),
    /// The file ends inside a write that begins at this byte.
    TornTail(u64),
}

impl FramedFormat {
    /// The header of file `number`.
    pub(crate) fn header(&self, number: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&self.magic);
        header[8..16].copy_from_slice(&number.to_le_bytes());
        let crc = checksum(&header[..16]);
        header[16..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Calls `visit` for everything in the file of this name, number and content, in order.
    pub(crate) fn each_frame(
        &self,
        file: &str,
        number: u64,
        bytes: &[u8],
        mut visit: impl FnMut(FoundFrame<'_>) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let Some(header) = bytes.first_chunk() else {
            return visit(FoundFrame::TornTail(0));
        };
        if let Some(damage) = self.check_header(file, header, number) {
            visit(FoundFrame::Damage(damage))?;
        }
        let mut offset = HEADER_BYTES;
        while offset < bytes.len() {
            let frame = read_frame(&bytes[offset..], PAYLOAD_BYTES_MAX);
            if let Frame::Whole { payload, bytes } = frame
                && !payload.is_empty()
            {
                visit(FoundFrame::Whole { offset, payload })?;
                offset += bytes;
                continue;
            }
            let next = self.find_frame(bytes, offset + 1);
            if next.is_none() && !matches!(frame, Frame::Damaged { .. }) {
                return visit(FoundFrame::TornTail(offset as u64));
            }
            visit(FoundFrame::Damage(damage(file, offset, &frame)))?;
            offset = next.unwrap_or(bytes.len());
        }
        Ok(())
    }

    fn check_header(
        &self,
        file: &str,
        header: &[u8; HEADER_BYTES],
        number: u64,
    ) -> Option<StorageError> {
        let is_magic = |magic: [u8; 8]| header.starts_with(&magic);
        if !is_magic(self.magic) && !self.magic_before.is_some_and(is_magic) {
            let (expected, got) =
                (format!("{:02x?}", self.magic), format!("{:02x?}", &header[..8]));
            return Some(StorageError::corrupt(file, 0, expected, got));
        }
        let mut fields = ByteReader::new(&header[8..]);
        let (stored, crc, got) = (fields.u64(), fields.u32(), checksum(&header[..16]));
        if crc != got {
            let (expected, got) = (format!("checksum 0x{crc:08x}"), format!("0x{got:08x}"));
            return Some(StorageError::corrupt(file, 16, expected, got));
        }
        (stored != number).then(|| {
            StorageError::corrupt(file, 8, format!("file number {number}"), stored.to_string())
        })
    }

    /// The next whole frame at or behind `from`.
    fn find_frame(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut search = from + FRAME_HEADER_BYTES;
        loop {
            let mut windows = bytes.get(search..)?.windows(self.marker.len());
            let start =
                search + windows.position(|window| window == self.marker)? - FRAME_HEADER_BYTES;
            if let Frame::Whole { .. } = read_frame(&bytes[start..], PAYLOAD_BYTES_MAX) {
                return Some(start);
            }
            search = start + FRAME_HEADER_BYTES + 1;
        }
    }
}

/// What is wrong with a frame that holds nothing.
fn damage(file: &str, offset: usize, frame: &Frame<'_>) -> StorageError {
    let (expected, got) = match frame {
        Frame::Whole { .. } => ("a record".to_owned(), "a frame without payload".to_owned()),
        Frame::Torn => ("a whole frame".to_owned(), "the end of the file".to_owned()),
        Frame::TooLong { length } => {
            (format!("a frame of at most {PAYLOAD_BYTES_MAX} bytes"), format!("{length} bytes"))
        }
        Frame::Damaged { expected, got, .. } => {
            (format!("checksum 0x{expected:08x}"), format!("0x{got:08x}"))
        }
    };
    StorageError::corrupt(file, offset as u64, expected, got)
}

#[cfg(test)]
mod tests {
    use base::frame::put_frame;

    use super::*;

    const FORMAT: FramedFormat = FramedFormat {
        magic: *b"TESTING\x02",
        magic_before: Some(*b"TESTING\x01"),
        marker: *b"MARK",
    };

    /// A file of frames with one letter each.
    fn file(letters: &str) -> Vec<u8> {
        let mut bytes = FORMAT.header(7).to_vec();
        letters
            .bytes()
            .for_each(|letter| put_frame(&mut bytes, &[b"MARK", &[letter; 1][..]].concat()));
        bytes
    }

    /// What is found, in short: letters of whole frames, `!` with its place for damage, `~` for a torn tail.
    fn found(bytes: &[u8]) -> String {
        let mut out = String::new();
        let result = FORMAT.each_frame("f", 7, bytes, |found| {
            match found {
                FoundFrame::Whole { offset, payload } => {
                    assert_eq!(&bytes[offset + FRAME_HEADER_BYTES..][..payload.len()], payload);
                    out.push(char::from(payload[4]));
                }
                FoundFrame::Damage(StorageError::Corrupt { offset, .. }) => {
                    out.push_str(&format!("!{offset}"));
                }
                FoundFrame::Damage(other) => panic!("{other}"),
                FoundFrame::TornTail(offset) => out.push_str(&format!("~{offset}")),
            }
            Ok(())
        });
        result.unwrap();
        out
    }

    /// `bytes` with another byte at `at`.
    fn changed(mut bytes: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
        bytes[at] = byte;
        bytes
    }

    #[test]
    fn damage_is_told_from_a_torn_tail_and_hides_nothing() {
        const FRAME: usize = FRAME_HEADER_BYTES + 5;
        let (whole, second) = (file("abc"), HEADER_BYTES + FRAME);
        assert_eq!(found(&whole), "abc");
        assert_eq!(found(&changed(whole.clone(), second + 12, b'x')), "a!33c", "a payload");
        assert_eq!(found(&changed(whole.clone(), second + 3, 0x7f)), "a!33c", "a length");
        assert_eq!(found(&changed(whole.clone(), second + FRAME + 12, b'x')), "ab!46", "the last");
        assert_eq!(found(&changed(whole.clone(), second + FRAME + 3, 0x7f)), "ab~46", "its length");
        let zeros = [&file("ab")[..], &[0; 100]].concat();
        assert_eq!(found(&zeros), "ab~46", "room that was never written to");
        assert_eq!(found(&[&zeros[..], &whole[second..]].concat()), "ab!46bc");
        assert_eq!(found(&whole[..HEADER_BYTES - 1]), "~0");
        for end in HEADER_BYTES..whole.len() {
            let frames = (end - HEADER_BYTES) / FRAME;
            let torn = HEADER_BYTES + frames * FRAME;
            let tail = if torn < end { format!("~{torn}") } else { String::new() };
            assert_eq!(found(&whole[..end]), format!("{}{tail}", &"abc"[..frames]), "{end}");
        }
    }

    #[test]
    fn headers_are_of_this_file_and_format() {
        let whole = file("a");
        assert_eq!(found(&changed(whole.clone(), 0, b'X')), "!0a");
        assert_eq!(
            found(&changed(whole.clone(), 8, 9)),
            "!16a",
            "another number under the old checksum"
        );
        let other = [&FORMAT.header(8)[..], &whole[HEADER_BYTES..]].concat();
        assert_eq!(found(&other), "!8a");
        let before = FramedFormat { magic: *b"TESTING\x01", ..FORMAT }.header(7);
        assert_eq!(found(&[&before[..], &whole[HEADER_BYTES..]].concat()), "a");
    }
}
