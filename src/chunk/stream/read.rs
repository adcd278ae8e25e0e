//! Reading one stream. Every length is checked against the blob before it is used, and every
//! position against the number of integers asked for.

use super::{BLOCK, Marks, WIDTH_CODE_64, WIDTH_CODE_VARINT};
use crate::ChunkError;
use crate::kernel::{Kernel, packed_at};
use base::codec::ByteReader;

/// Fills `out` with the integers of the stream at the reader, which reads `blob`.
pub(crate) fn read_stream<'a>(
    blob: &'a [u8],
    reader: &mut ByteReader<'a>,
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
        Some(exceptions) => exceptions.apply(out),
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
    let mut rest = rest_of(blob, reader).iter();
    for _ in 0..out.len().div_ceil(BLOCK) {
        // A width, then a varint, whose last byte is below 0x80.
        rest.next();
        rest.by_ref().find(|byte| **byte < 0x80);
    }
    skip_to(reader, rest.len());
    let mut base = 0u64;
    for block in out.chunks_mut(BLOCK) {
        let width = width_of_code(heads.u8())?;
        base = base.wrapping_add(heads.varint() as u64);
        read_packed(blob, reader, kernel, width, base, block)?;
    }
    // Heads that are cut short read as empty windows until here.
    match heads.failed() {
        true => Err(ChunkError::Truncated),
        false => Ok(()),
    }
}

/// The bytes of `blob` that its reader has not read.
fn rest_of<'a>(blob: &'a [u8], reader: &ByteReader<'a>) -> &'a [u8] {
    blob.get(reader.position()..).unwrap_or(&[])
}

/// Takes all but the last `left` bytes.
fn skip_to<'a>(reader: &mut ByteReader<'a>, left: usize) -> &'a [u8] {
    reader.take(reader.remaining().saturating_sub(left))
}

/// The parts of the exceptions of one stream.
struct Exceptions<'a> {
    marks: Marks,
    /// The gap list or the bitmap.
    places: &'a [u8],
    offsets: Offsets<'a>,
}

enum Offsets<'a> {
    Varints(ByteReader<'a>),
    Packed { packed: &'a [u8], width: u32, base: u64 },
}

impl<'a> Exceptions<'a> {
    /// Reads the heads and steps over the rest.
    fn open(
        blob: &'a [u8],
        reader: &mut ByteReader<'a>,
        marks: Marks,
        numbers: usize,
    ) -> Result<Self, ChunkError> {
        let (places, count) = match marks {
            Marks::Bitmap => take_bitmap(reader, numbers)?,
            _ => take_gaps(blob, reader, numbers)?,
        };
        let code = reader.u8();
        let offsets = if code == WIDTH_CODE_VARINT {
            let mut rest = rest_of(blob, reader).iter();
            for _ in 0..count {
                rest.by_ref().find(|byte| **byte < 0x80);
            }
            let offsets = reader.clone();
            skip_to(reader, rest.len());
            Offsets::Varints(offsets)
        } else {
            let width = width_of_code(code)?;
            let base = reader.varint() as u64;
            // What is behind does not matter and makes the last loads cheap.
            let packed = rest_of(blob, reader);
            reader.take((count * width as usize).div_ceil(8));
            Offsets::Packed { packed, width, base }
        };
        match reader.failed() {
            true => Err(ChunkError::Truncated),
            false => Ok(Self { marks, places, offsets }),
        }
    }

    /// Adds each exception's offset at its place, which holds the window's base by now.
    fn apply(self, out: &mut [u64]) -> Result<(), ChunkError> {
        match self.offsets {
            Offsets::Packed { packed, width, base } => {
                let offset = |index| packed_at(packed, width, index).wrapping_add(base);
                add_at(self.marks, self.places, offset, out)
            }
            Offsets::Varints(mut offsets) => {
                add_at(self.marks, self.places, |_| offsets.varint() as u64, out)?;
                match offsets.failed() {
                    true => Err(ChunkError::Truncated),
                    false => Ok(()),
                }
            }
        }
    }
}

fn take_gaps<'a>(
    blob: &'a [u8],
    reader: &mut ByteReader<'a>,
    numbers: usize,
) -> Result<(&'a [u8], usize), ChunkError> {
    let count = usize::try_from(reader.uvarint()).unwrap_or(usize::MAX);
    if count > numbers {
        return Err(ChunkError::Malformed { what: "more exceptions than integers" });
    }
    let mut rest = rest_of(blob, reader).iter();
    for _ in 0..count {
        rest.by_ref().find(|byte| **byte != 255);
    }
    Ok((skip_to(reader, rest.len()), count))
}

fn take_bitmap<'a>(
    reader: &mut ByteReader<'a>,
    numbers: usize,
) -> Result<(&'a [u8], usize), ChunkError> {
    let bitmap = reader.take(numbers.div_ceil(8));
    let count: u32 = bitmap.chunks(8).map(|word| word_of(word).count_ones()).sum();
    let excess = match (numbers % 8, bitmap.last()) {
        (0, _) | (_, None) => 0,
        (used, Some(last)) => last >> used,
    };
    match excess {
        0 => Ok((bitmap, count as usize)),
        _ => Err(ChunkError::Malformed { what: "exception beyond the end" }),
    }
}

#[inline(always)]
fn add_at(
    marks: Marks,
    places: &[u8],
    offset: impl FnMut(usize) -> u64,
    out: &mut [u64],
) -> Result<(), ChunkError> {
    match marks {
        Marks::Bitmap => add_at_bits(places, offset, out),
        _ => return add_at_gaps(places, offset, out),
    }
    Ok(())
}

#[inline(always)]
fn add_at_gaps(
    gaps: &[u8],
    mut offset: impl FnMut(usize) -> u64,
    out: &mut [u64],
) -> Result<(), ChunkError> {
    let (mut place, mut index) = (0, 0);
    for &gap in gaps {
        place += usize::from(gap);
        if gap == 255 {
            continue;
        }
        match out.get_mut(place) {
            Some(slot) => *slot = slot.wrapping_add(offset(index)),
            None => return Err(ChunkError::Malformed { what: "exception beyond the end" }),
        }
        place += 1;
        index += 1;
    }
    Ok(())
}

/// At most eight bytes of a bitmap as one number.
#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[inline(always)]
fn add_at_bits(bitmap: &[u8], mut offset: impl FnMut(usize) -> u64, out: &mut [u64]) {
    let mut index = 0;
    for (word, slots) in bitmap.chunks(8).zip(out.chunks_mut(64)) {
        let mut bits = word_of(word);
        while bits != 0 {
            // `take_bitmap` refused bits beyond the end.
            if let Some(slot) = slots.get_mut(bits.trailing_zeros() as usize) {
                *slot = slot.wrapping_add(offset(index));
            }
            index += 1;
            bits &= bits - 1;
        }
    }
}
