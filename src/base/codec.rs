//! Byte writers and readers for the formats of this project: little-endian integers, LEB128
//! varints, length-prefixed bytes.
//!
//! The reader has a sticky error: after the first failed read every later one fails as well and
//! returns zero, so a decoder may read a whole header and look once.

/// Appends a LEB128 varint.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed number as a zigzag varint.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, zigzag(value));
}

/// Appends a varint length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Maps small magnitudes of either sign to small unsigned numbers.
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

/// Reads the formats that the `put_*` functions write, never past the end of its slice.
#[derive(Clone, Debug)]
pub struct ByteReader<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

impl<'a> ByteReader<'a> {
    /// A reader at the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, failed: false }
    }

    /// Bytes read so far, counted from the start of the slice.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes that are left; 0 after an error.
    #[inline]
    pub fn remaining(&self) -> usize {
        if self.failed { 0 } else { self.bytes.len() - self.position }
    }

    /// True once any read ran past the end or met a malformed varint.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The next `count` bytes; empty on failure.
    #[inline]
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        if self.failed || count > self.bytes.len() - self.position {
            self.failed = true;
            return &[];
        }
        let start = self.position;
        self.position += count;
        &self.bytes[start..self.position]
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let bytes = self.take(N);
        if bytes.len() == N {
            out.copy_from_slice(bytes);
        }
        out
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// A little-endian `u16`.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// A little-endian `u32`.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A little-endian `u64`.
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A little-endian `i64`.
    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }

    /// A LEB128 varint of at most ten bytes.
    #[inline]
    pub fn uvarint(&mut self) -> u64 {
        // Most numbers of most formats take one byte.
        match self.bytes.get(self.position) {
            Some(byte) if *byte < 0x80 && !self.failed => {
                self.position += 1;
                u64::from(*byte)
            }
            _ => self.uvarint_long(),
        }
    }

    fn uvarint_long(&mut self) -> u64 {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8();
            if shift == 63 && byte > 1 {
                self.failed = true;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if self.failed {
                return 0;
            }
            if byte < 0x80 {
                return value;
            }
        }
        self.failed = true;
        0
    }

    /// A zigzag varint.
    pub fn varint(&mut self) -> i64 {
        unzigzag(self.uvarint())
    }

    /// Bytes behind a varint length.
    #[inline]
    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.uvarint();
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => {
                self.failed = true;
                &[]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_refuse_overlong_forms() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_uvarint(&mut out, value);
            assert_eq!(ByteReader::new(&out).uvarint(), value);
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(ByteReader::new(&out).varint(), value);
        }
        let mut overlong = ByteReader::new(&[0xff; 11]);
        overlong.uvarint();
        assert!(overlong.failed());
    }

    #[test]
    fn the_error_is_sticky() {
        let mut reader = ByteReader::new(&[1, 2]);
        assert_eq!(reader.u32(), 0);
        assert!(reader.failed());
        assert_eq!(reader.u8(), 0);
        assert_eq!(reader.remaining(), 0);
    }
}
