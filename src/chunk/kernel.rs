//! The inner loops of decoding: unpacking bits, and turning residuals into values.
//!
//! Each loop exists in plain Rust and, where the processor has AVX2 and FMA, in `avx2`, which alone
//! of this crate holds unsafe code. Both give the same bits for everything that an encoder writes.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;

pub(crate) use scalar::packed_at;

/// 10^0 to 10^18: all exact as floats.
pub(crate) const POWERS_OF_TEN: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Which set of loops to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Plain Rust, on every processor.
    Scalar,
    /// 256-bit vectors. Only [`Kernel::detect`] makes it: it promises that AVX2 and FMA are there.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2Proof),
}

/// Evidence that the processor has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2Proof(());

/// How residuals add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// A residual is the integer itself.
    Plain,
    /// A residual is the step from the integer before; the first comes from this one.
    From(u64),
}

/// How an integer becomes a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// `k * divisor + remainder` in wrapping integers.
    Integer { divisor: u64, remainder: u64 },
    /// The bits of the float at place `k` in the order of all floats.
    Ordered,
    /// `(k * divisor + remainder) / 10^exponent`; all of it exact but the division.
    Decimal { divisor: f64, remainder: f64, exponent: usize },
    /// `k * factor`, a power of two.
    Binary { factor: f64 },
}

impl Kernel {
    /// The fastest set that this processor runs.
    #[inline]
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            return Kernel::Avx2(Avx2Proof(()));
        }
        Kernel::Scalar
    }

    /// `out[i] = base + the i-th number of width bits`. Widths are 0 to 56 and 64. `packed` holds at
    /// least all the numbers; what is behind them does not matter, bits that are missing are zero.
    pub(crate) fn unpack(self, packed: &[u8], width: u32, base: u64, out: &mut [u64]) {
        match (width, self) {
            (0, _) => out.fill(base),
            #[cfg(target_arch = "x86_64")]
            (1..=56, Kernel::Avx2(proof)) => avx2::unpack(proof, packed, width, base, out),
            _ => scalar::unpack(packed, width, base, out),
        }
    }

    /// Turns the residuals in `numbers` into value bits.
    pub(crate) fn restore(self, sum: Sum, scale: Scale, numbers: &mut [u64]) {
        match (self, scale) {
            #[cfg(target_arch = "x86_64")]
            (Kernel::Avx2(proof), Scale::Decimal { .. } | Scale::Binary { .. }) => {
                avx2::restore(proof, sum, scale, numbers);
            }
            _ => scalar::restore(sum, scale, numbers),
        }
    }
}

/// The place of a float among all floats, by their bits.
#[inline]
pub(crate) fn order_of_bits(bits: u64) -> i64 {
    let signed = bits as i64;
    signed ^ (((signed >> 63) as u64) >> 1) as i64
}

/// The inverse of [`order_of_bits`].
#[inline]
pub(crate) fn bits_of_order(order: i64) -> u64 {
    (order ^ (((order >> 63) as u64) >> 1) as i64) as u64
}

/// The bits behind floats, to be filled in place.
pub(crate) fn float_bits_mut(floats: &mut [f64]) -> &mut [u64] {
    // SAFETY: `f64` and `u64` have the same size, every bit pattern is valid in both, the alignment
    // of `u64` is no stricter than that of `f64` on any target, and the borrow passes on.
    #[expect(unsafe_code, reason = "a column of floats is decoded in place as bits")]
    unsafe {
        std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast::<u64>(), floats.len())
    }
}

/// The bits behind integers, to be filled in place.
pub(crate) fn integer_bits_mut(integers: &mut [i64]) -> &mut [u64] {
    // SAFETY: `i64` and `u64` have the same layout, and every bit pattern is valid in both.
    #[expect(unsafe_code, reason = "a column of timestamps is decoded in place as bits")]
    unsafe {
        std::slice::from_raw_parts_mut(integers.as_mut_ptr().cast::<u64>(), integers.len())
    }
}

/// Asks the processor to bring `place` near: its first two cache lines, while other work goes on. Changes
/// nothing but time; does nothing where there is no such instruction.
#[inline(always)]
pub fn prefetch<T: ?Sized>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let start = std::ptr::from_ref(place).cast::<i8>();
        // SAFETY: a prefetch reads nothing and never faults, whatever its address.
        #[expect(unsafe_code, reason = "the instruction takes a pointer")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(start);
            _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

const _: () = assert!(align_of::<u64>() <= align_of::<f64>());

#[cfg(test)]
mod tests;
