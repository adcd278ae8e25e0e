//! Streams of integers: bit-packed offsets from a base, in one window for the whole stream or one
//! for each block of 64, with exceptions beside for what lies outside the windows.
//!
//! The writer chooses (`plan`), then writes; the reader (`read`) takes the number of integers from
//! its caller. Widths of 57 to 63 bits are stored as 64, so that one unaligned load of eight bytes
//! always holds a whole packed number.

mod plan;
mod read;
mod window;

use base::codec::zigzag;

pub(crate) use plan::{StreamPlan, StreamPlanner};
pub(crate) use read::read_stream;

/// Integers in a block with a window of its own.
pub(crate) const BLOCK: usize = 64;
/// The width code that stands for 64 bits; smaller codes are the width itself.
pub(crate) const WIDTH_CODE_64: u8 = 57;
/// The width code of exception values that are varints instead.
pub(crate) const WIDTH_CODE_VARINT: u8 = 63;

/// How exceptions say where they are; the numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marks {
    /// There are none.
    None = 0,
    /// A list of gaps.
    Gaps = 1,
    /// One bit for each integer.
    Bitmap = 2,
}

/// How hard an encoder looks for the smallest form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// For sealing in memory: one window per stream, the first good form.
    Fast,
    /// For what is written once and read for long: all forms that could pay.
    Best,
}

/// Bits that `number` needs; 0 for 0.
#[inline]
pub(crate) fn bit_width(number: u64) -> u32 {
    64 - number.leading_zeros()
}

/// The width that is stored for numbers of `width` bits.
#[inline]
pub(crate) fn stored_width(width: u32) -> u32 {
    if width > 56 { 64 } else { width }
}

/// Bytes of `number` as a LEB128 varint.
#[inline]
pub(crate) fn varint_size(number: u64) -> usize {
    (bit_width(number | 1) as usize).div_ceil(7)
}

/// An estimate of the bits that a stream of `numbers` takes: how far they are from their middle.
pub(crate) fn spread(numbers: &[i64]) -> u64 {
    const PROBES: usize = 63;
    if numbers.is_empty() {
        return 0;
    }
    let mut probes = [0; PROBES];
    let taken = numbers.len().min(PROBES);
    for (index, probe) in probes[..taken].iter_mut().enumerate() {
        *probe = numbers[index * numbers.len() / taken];
    }
    let (_, &mut middle, _) = probes[..taken].select_nth_unstable(taken / 2);
    let width = |&number: &i64| u64::from(bit_width(zigzag(number.wrapping_sub(middle))));
    numbers.iter().map(width).sum()
}

#[cfg(test)]
mod tests;
