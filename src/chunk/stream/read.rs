//! Reading one stream. Every length is checked against the blob before it is used, and every
//! position against the number of integers asked for.

use super::{BLOCK, Marks, WIDTH_CODE_64, WIDTH_CODE_VARINT};
use crate::ChunkError;
use crate::kernel::{Kernel, packed_at};
use base::codec::ByteReader;

/// Fills `out` with the integers of the stream at the reader, which reads `blob`.
pub(crate) fn read_stream(
    blob: &[u8],
    reader: &mut ByteReader<'_>,
    kernel: Kernel,
    out: &mut [u64],
) -> Result<(), ChunkError> {
    let head = reader.u8();
    let (mode, low) = (head >> 6, head & 63);
    let blocked = mode == 3;
    let exceptions = match if blocked { low } else { mode } {
        0 => None,
        1 => Some(Exceptions::open(blob, reader, Marks::Gaps, out.len())?),
        2 => Some(Exceptions::open(blob, reader, Marks::Bitmap, out.len())?),
        _ => return Err(ChunkError::Malformed { what: "unknown stream mode" }),
    };
    if blocked {
        read_blocks(blob, reader, kernel, out)?;
    } else {
        let width = width_of_code(low)?;
        let base = reader.varint() as u64;
        read_packed(blob, reader, kernel, width, base, out)?;
    }
    match exceptions {
        Some(exceptions) => exceptions.apply(blob, out),
        None => Ok(()),
    }
}

fn width_of_code(code: u8) -> Result<u32, ChunkError> {
    match code {
        WIDTH_CODE_64 => Ok(64),
        0..WIDTH_CODE_64 => Ok(u32::from(code)),
        _ => Err(ChunkError::Malformed { what: "unknown width" }),
    }
}

/// Unpacks the window at the reader; the kernel may look at, never use, the bytes behind it.
fn read_packed(
    blob: &[u8],
    reader: &mut ByteReader<'_>,
    kernel: Kernel,
    width: u32,
    base: u64,
    out: &mut [u64],
) -> Result<(), ChunkError> {
    let start = reader.position();
    reader.take((out.len() * width as usize).div_ceil(8));
    match blob.get(start..) {
        Some(packed) if !reader.failed() => {
            kernel.unpack(packed, width, base, out);
            Ok(())
        }
        _ => Err(ChunkError::Truncated),
    }
}

/// All block heads come first, then all blocks.
fn read_blocks(
    blob: &[u8],
    reader: &mut ByteReader<'_>,
    kernel: Kernel,
    out: &mut [u64],
) -> Result<(), ChunkError> {
    let mut heads = reader.clone();
    for _ in 0..out.len().div_ceil(BLOCK) {
        reader.u8();
        reader.varint();
    }
    let mut base = 0u64;
    for block in out.chunks_mut(BLOCK) {
        let width = width_of_code(heads.u8())?;
        base = base.wrapping_add(heads.varint() as u64);
        read_packed(blob, reader, kernel, width, base, block)?;
    }
    Ok(())
}

/// Where the parts of the exceptions are.
struct Exceptions<'a> {
    marks: Marks,
    /// The gap list and all that follows, or the bitmap alone.
    places: ByteReader<'a>,
    count: usize,
    /// Code [`WIDTH_CODE_VARINT`] or the offsets' width.
    width: Option<u32>,
    base: u64,
    offsets: ByteReader<'a>,
}

impl<'a> Exceptions<'a> {
    /// Reads the heads and steps over the rest.
    fn open(
        blob: &[u8],
        reader: &mut ByteReader<'a>,
        marks: Marks,
        numbers: usize,
    ) -> Result<Self, ChunkError> {
        debug_assert!(reader.position() <= blob.len());
        let (places, count) = match marks {
            Marks::Bitmap => skip_bitmap(reader, numbers)?,
            _ => skip_gaps(reader, numbers)?,
        };
        let code = reader.u8();
        if code == WIDTH_CODE_VARINT {
            let offsets = reader.clone();
            for _ in 0..count {
                reader.varint();
            }
            return Ok(Self { marks, places, count, width: None, base: 0, offsets });
        }
        let width = width_of_code(code)?;
        let base = reader.varint() as u64;
        let offsets = reader.clone();
        reader.take((count * width as usize).div_ceil(8));
        if reader.failed() {
            return Err(ChunkError::Truncated);
        }
        Ok(Self { marks, places, count, width: Some(width), base, offsets })
    }

    /// Adds each exception's offset at its place, which holds the window's base by now.
    fn apply(mut self, blob: &[u8], out: &mut [u64]) -> Result<(), ChunkError> {
        let packed = blob.get(self.offsets.position()..).unwrap_or(&[]);
        let mut offsets = self.offsets.clone();
        let (width, base) = (self.width, self.base);
        let offset = |index: usize| match width {
            Some(width) => packed_at(packed, width, index).wrapping_add(base),
            None => offsets.varint() as u64,
        };
        match self.marks {
            Marks::Bitmap => apply_bitmap(self.places.take(out.len().div_ceil(8)), offset, out),
            _ => self.apply_gaps(offset, out)?,
        }
        match offsets.failed() {
            true => Err(ChunkError::Truncated),
            false => Ok(()),
        }
    }

    fn apply_gaps(
        &mut self,
        mut offset: impl FnMut(usize) -> u64,
        out: &mut [u64],
    ) -> Result<(), ChunkError> {
        let mut rest = out.iter_mut();
        for index in 0..self.count {
            let mut gap = 0;
            loop {
                let byte = self.places.u8();
                gap += usize::from(byte);
                if byte != 255 {
                    break;
                }
            }
            match rest.nth(gap) {
                Some(slot) => *slot = slot.wrapping_add(offset(index)),
                None => return Err(ChunkError::Malformed { what: "exception beyond the end" }),
            }
        }
        Ok(())
    }
}

fn skip_gaps<'a>(
    reader: &mut ByteReader<'a>,
    numbers: usize,
) -> Result<(ByteReader<'a>, usize), ChunkError> {
    let count = usize::try_from(reader.uvarint()).unwrap_or(usize::MAX);
    if count > numbers {
        return Err(ChunkError::Malformed { what: "more exceptions than integers" });
    }
    let places = reader.clone();
    for _ in 0..count {
        while reader.u8() == 255 {}
    }
    Ok((places, count))
}

fn skip_bitmap<'a>(
    reader: &mut ByteReader<'a>,
    numbers: usize,
) -> Result<(ByteReader<'a>, usize), ChunkError> {
    let places = reader.clone();
    let bitmap = reader.take(numbers.div_ceil(8));
    let count: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
    let excess = match (numbers % 8, bitmap.last()) {
        (0, _) | (_, None) => 0,
        (used, Some(last)) => last >> used,
    };
    match excess {
        0 => Ok((places, count as usize)),
        _ => Err(ChunkError::Malformed { what: "exception beyond the end" }),
    }
}

fn apply_bitmap(bitmap: &[u8], mut offset: impl FnMut(usize) -> u64, out: &mut [u64]) {
    let mut index = 0;
    for (word, slots) in bitmap.chunks(8).zip(out.chunks_mut(64)) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        let mut bits = u64::from_le_bytes(bytes);
        while bits != 0 {
            // `skip_bitmap` refused bits beyond the end.
            if let Some(slot) = slots.get_mut(bits.trailing_zeros() as usize) {
                *slot = slot.wrapping_add(offset(index));
            }
            index += 1;
            bits &= bits - 1;
        }
    }
}
