//! The two bytes that begin every blob: the codec in the high four bits, the sample count less one
//! in the twelve others.
//!
//! The codec number is also the version: a new layout takes a new number, so that a reader either
//! knows a blob completely or refuses it by name.

use crate::ChunkError;
use base::codec::ByteReader;
use base::limits::CHUNK_SAMPLES_MAX;

const _: () = assert!(CHUNK_SAMPLES_MAX == 1 << 12, "the header's count has twelve bits");

/// Values: all the same float, which is an integer.
pub(crate) const CONSTANT_INTEGRAL: u8 = 1;
/// Values: all the same float, which is a decimal.
pub(crate) const CONSTANT_DECIMAL: u8 = 2;
/// Values: all the same float, by its bits.
pub(crate) const CONSTANT_BITS: u8 = 3;
/// Values: all the same integer.
pub(crate) const CONSTANT_INTEGER: u8 = 4;
/// Values: floats as integers divided by a power of ten.
pub(crate) const DECIMAL: u8 = 5;
/// Values: floats as integers multiplied by a power of two.
pub(crate) const BINARY: u8 = 6;
/// Values: floats as integers in the order of the floats.
pub(crate) const ORDERED: u8 = 7;
/// Values: integers.
pub(crate) const INTEGER: u8 = 8;
/// Timestamps: equally spaced.
pub(crate) const GRID: u8 = 9;
/// Timestamps: on a grid with slots left out.
pub(crate) const GRID_GAPS: u8 = 10;
/// Timestamps: near the slots of a grid.
pub(crate) const GRID_NEAR: u8 = 11;
/// Timestamps: differences.
pub(crate) const DELTAS: u8 = 12;
/// Timestamps: differences of differences.
pub(crate) const DELTA_DELTAS: u8 = 13;
/// A further codec number follows the header.
pub(crate) const EXTENDED: u8 = 15;

/// Appends the header. `count` is in `1..=CHUNK_SAMPLES_MAX`.
pub(crate) fn put_header(codec: u8, count: usize, out: &mut Vec<u8>) {
    debug_assert!((1..=CHUNK_SAMPLES_MAX).contains(&count));
    let less_one = count - 1;
    out.push((codec << 4) | (less_one >> 8) as u8);
    out.push(less_one as u8);
}

/// Reads the header: the codec and the sample count.
pub(crate) fn read_header(reader: &mut ByteReader<'_>) -> Result<(u8, usize), ChunkError> {
    let (high, low) = (reader.u8(), reader.u8());
    if reader.failed() {
        return Err(ChunkError::Truncated);
    }
    Ok((high >> 4, (usize::from(high & 15) << 8 | usize::from(low)) + 1))
}

/// Refuses a blob that ended early or goes on after its end.
pub(crate) fn finish(reader: &ByteReader<'_>) -> Result<(), ChunkError> {
    match (reader.failed(), reader.remaining()) {
        (true, _) => Err(ChunkError::Truncated),
        (false, 0) => Ok(()),
        (false, extra) => Err(ChunkError::TooLong { extra }),
    }
}
