//! Columns of values: floats by their bits, or 64-bit integers.
//!
//! A float column becomes integers where that is exact (`transform`), then integers become a stream
//! of numbers, of steps, or of places in a dictionary (`encode`). Decoding (`decode`) is the same
//! backwards, in place in the caller's buffer.

mod decode;
mod encode;
mod transform;

pub use decode::{Values, decode_floats, decode_values, sample_count};
pub use encode::{ValuesEncoder, encode_values};

/// Flags of a page, low two bits: the numbers themselves.
const FORM_PLAIN: u8 = 0;
/// Flags of a page, low two bits: the first number and the steps.
const FORM_STEPS: u8 = 1;
/// Flags of a page, low two bits: places in a dictionary.
const FORM_DICTIONARY: u8 = 2;
/// Flags of a page: a common divisor follows.
const HAS_DIVISOR: u8 = 1 << 2;
/// Flags of a page: corrections follow.
const HAS_CORRECTIONS: u8 = 1 << 3;
/// Flags of a page: misfits follow.
const HAS_MISFITS: u8 = 1 << 4;
/// Flags of a decimal page: the exponent is in the top three bits, or 7 and in the next byte.
const EXPONENT_SHIFT: u32 = 5;
/// The exponent that says "in the next byte".
const EXPONENT_NEXT: u8 = 7;

/// Decimal pages hold integers below this, which a float adds to exactly.
const DECIMAL_BOUND: i64 = 1 << 51;
/// The largest exponent of a decimal page.
const EXPONENT_MAX: u32 = 18;
/// The largest correction, in floats up or down.
const CORRECTION_MAX: i64 = 63;
/// Entries of a dictionary.
const DICTIONARY_MAX: usize = 256;
/// Binary exponents for which factor and values are normal floats.
const BINARY_EXPONENTS: std::ops::RangeInclusive<i64> = -1000..=900;

/// `2^exponent`, for exponents in [`BINARY_EXPONENTS`].
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

#[cfg(test)]
mod tests;
