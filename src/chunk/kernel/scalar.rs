//! The loops in plain Rust: the reference for the others.

use super::{POWERS_OF_TEN, Scale, Sum, bits_of_order};

/// Eight bytes at `offset`, zeros where `bytes` ends.
#[inline]
fn load(bytes: &[u8], offset: usize) -> u64 {
    if let Some(word) = bytes.get(offset..).and_then(|rest| rest.first_chunk::<8>()) {
        return u64::from_le_bytes(*word);
    }
    load_end(bytes, offset)
}

#[cold]
fn load_end(bytes: &[u8], offset: usize) -> u64 {
    let mut word = [0; 8];
    let rest = bytes.get(offset..).unwrap_or(&[]);
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

/// The packed number at `index`; `width` is at most 56, or 64.
#[inline]
pub(crate) fn packed_at(packed: &[u8], width: u32, index: usize) -> u64 {
    if width == 64 {
        return load(packed, index * 8);
    }
    let bit = index * width as usize;
    (load(packed, bit / 8) >> (bit % 8)) & ((1 << width) - 1)
}

/// See [`super::Kernel::unpack`].
pub(super) fn unpack(packed: &[u8], width: u32, base: u64, out: &mut [u64]) {
    for (index, slot) in out.iter_mut().enumerate() {
        *slot = packed_at(packed, width, index).wrapping_add(base);
    }
}

/// See [`super::Kernel::restore`].
pub(super) fn restore(sum: Sum, scale: Scale, numbers: &mut [u64]) {
    match scale {
        Scale::Integer { divisor: 1, remainder: 0 } => each(sum, numbers, |k| k),
        Scale::Integer { divisor, remainder } => {
            each(sum, numbers, |k| k.wrapping_mul(divisor).wrapping_add(remainder));
        }
        Scale::Ordered => each(sum, numbers, |k| bits_of_order(k as i64)),
        Scale::Binary { factor } => each(sum, numbers, |k| (k as i64 as f64 * factor).to_bits()),
        Scale::Decimal { divisor, remainder, exponent } => {
            // An exponent beyond the table does not pass the page's reader.
            let power = POWERS_OF_TEN.get(exponent).copied().unwrap_or(f64::NAN);
            let whole = move |k: u64| k as i64 as f64 * divisor + remainder;
            match exponent {
                0 => each(sum, numbers, |k| whole(k).to_bits()),
                _ => each(sum, numbers, |k| (whole(k) / power).to_bits()),
            }
        }
    }
}

#[inline(always)]
fn each(sum: Sum, numbers: &mut [u64], value: impl Fn(u64) -> u64) {
    match sum {
        Sum::Plain => {
            for number in numbers {
                *number = value(*number);
            }
        }
        Sum::From(mut last) => {
            for number in numbers {
                last = last.wrapping_add(*number);
                *number = value(last);
            }
        }
    }
}
