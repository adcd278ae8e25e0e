//! The loops with 256-bit vectors. The only unsafe code of the crate besides one cast of a slice.
//!
//! Every load and store is inside a slice by the loop conditions beside it; the functions with
//! target features are reached only with an [`Avx2Proof`].

#![deny(unsafe_op_in_unsafe_fn)]
#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use super::{Avx2Proof, POWERS_OF_TEN, Scale, Sum, scalar};
use std::arch::x86_64::{
    __m128i, __m256d, __m256i, _mm_cvtsi128_si64, _mm_loadu_si128, _mm256_add_epi64, _mm256_add_pd,
    _mm256_and_si256, _mm256_blend_epi32, _mm256_castpd_si256, _mm256_castsi128_si256,
    _mm256_castsi256_pd, _mm256_castsi256_si128, _mm256_fmadd_pd, _mm256_fnmadd_pd,
    _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_mul_pd, _mm256_permute4x64_epi64,
    _mm256_set_m128i, _mm256_set1_epi64x, _mm256_set1_pd, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_slli_si256, _mm256_srli_epi64, _mm256_srlv_epi64,
    _mm256_storeu_si256, _mm256_sub_pd, _mm256_xor_si256,
};

/// How eight packed numbers of one width are spread over two vectors: numbers 2q and 2q+1 come from
/// the 16 bytes at `offset[q]`, their bytes by `shuffle[q]`, their bits down by `shift`.
#[derive(Clone, Copy)]
struct Spread {
    offset: [u8; 4],
    shuffle: [[u8; 16]; 4],
    shift: [u64; 8],
}

impl Spread {
    const fn of_width(width: usize) -> Self {
        let mut spread = Spread { offset: [0; 4], shuffle: [[0x80; 16]; 4], shift: [0; 8] };
        let mut number = 0;
        while number < 8 {
            let bit = number * width;
            let pair = number / 2;
            let offset = 2 * pair * width / 8;
            spread.offset[pair] = offset as u8;
            spread.shift[number] = (bit % 8) as u64;
            let mut byte = 0;
            while byte < 8 {
                let source = bit / 8 + byte - offset;
                // 0x80 gives a zero byte: it lies above the number's 56 + 7 bits.
                let control = if source < 16 { source as u8 } else { 0x80 };
                spread.shuffle[pair][number % 2 * 8 + byte] = control;
                byte += 1;
            }
            number += 1;
        }
        spread
    }

    /// Bytes from the start of a group of eight that are loaded.
    fn reach(&self) -> usize {
        usize::from(self.offset[3]) + 16
    }
}

static SPREADS: [Spread; 57] = {
    let mut spreads = [Spread::of_width(0); 57];
    let mut width = 1;
    while width < 57 {
        spreads[width] = Spread::of_width(width);
        width += 1;
    }
    spreads
};

/// The longest [`Spread::reach`]: width 56 loads 16 bytes at 42.
const REACH_MAX: usize = 58;

/// See [`super::Kernel::unpack`]; `width` is 1 to 56.
pub(super) fn unpack(_proof: Avx2Proof, packed: &[u8], width: u32, base: u64, out: &mut [u64]) {
    let Some(spread) = SPREADS.get(width as usize) else { return };
    let width = width as usize;
    // SAFETY: the proof says that AVX2 is there.
    let done = unsafe { unpack_groups(packed, width, spread, base, out) };
    let Some(rest) = out.get_mut(done..) else { return };
    if rest.is_empty() {
        return;
    }
    // What is left of the numbers is shorter than one reach, or one group: copy it before zeros.
    let mut tail = [0; 2 * REACH_MAX];
    let left = packed.get(done / 8 * width..).unwrap_or(&[]);
    let length = left.len().min(REACH_MAX);
    tail[..length].copy_from_slice(&left[..length]);
    // SAFETY: as above.
    let more = unsafe { unpack_groups(&tail, width, spread, base, rest) };
    for (index, slot) in rest.iter_mut().enumerate().skip(more) {
        *slot = scalar::packed_at(&tail, width as u32, index).wrapping_add(base);
    }
}

/// Unpacks whole groups of eight while their loads stay inside `packed`; says how many numbers.
#[target_feature(enable = "avx2")]
fn unpack_groups(
    packed: &[u8],
    width: usize,
    spread: &Spread,
    base: u64,
    out: &mut [u64],
) -> usize {
    let load = |bytes: &[u8; 16]| {
        // SAFETY: the array is 16 readable bytes; the load asks for no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>()) }
    };
    let load_shift = |words: &[u64]| {
        debug_assert_eq!(words.len(), 4);
        // SAFETY: both callers pass four words, 32 readable bytes.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast::<__m256i>()) }
    };
    let low_shuffle = _mm256_set_m128i(load(&spread.shuffle[1]), load(&spread.shuffle[0]));
    let high_shuffle = _mm256_set_m128i(load(&spread.shuffle[3]), load(&spread.shuffle[2]));
    let (low_shift, high_shift) = (load_shift(&spread.shift[..4]), load_shift(&spread.shift[4..]));
    let mask = _mm256_set1_epi64x(((1u64 << width) - 1) as i64);
    let base = _mm256_set1_epi64x(base as i64);
    let offset = spread.offset.map(usize::from);
    let reach = spread.reach();
    // Group g loads bytes g * width .. g * width + reach.
    let loadable = packed.len().checked_sub(reach).map_or(0, |spare| spare / width + 1);
    let groups = loadable.min(out.len() / 8);
    for group in 0..groups {
        // SAFETY: group < loadable, so the `reach` bytes from here are inside `packed`, and each of
        // the four 16-byte loads ends at or before `reach`, since offsets ascend.
        let (a, b, c, d) = unsafe {
            let start = packed.as_ptr().add(group * width);
            let pair = |at: usize| _mm_loadu_si128(start.add(at).cast::<__m128i>());
            (pair(offset[0]), pair(offset[1]), pair(offset[2]), pair(offset[3]))
        };
        let low = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
        let high = _mm256_inserti128_si256(_mm256_castsi128_si256(c), d, 1);
        let low = _mm256_srlv_epi64(_mm256_shuffle_epi8(low, low_shuffle), low_shift);
        let high = _mm256_srlv_epi64(_mm256_shuffle_epi8(high, high_shuffle), high_shift);
        let low = _mm256_add_epi64(_mm256_and_si256(low, mask), base);
        let high = _mm256_add_epi64(_mm256_and_si256(high, mask), base);
        // SAFETY: group < out.len() / 8, so eight words from here are inside `out`.
        unsafe {
            let to = out.as_mut_ptr().add(group * 8);
            _mm256_storeu_si256(to.cast::<__m256i>(), low);
            _mm256_storeu_si256(to.add(4).cast::<__m256i>(), high);
        }
    }
    groups * 8
}

/// What [`restore_as`] multiplies, adds and divides by.
#[derive(Clone, Copy)]
struct Factors {
    divisor: f64,
    remainder: f64,
    /// The power of two, or the power of ten with its rounded inverse.
    power: f64,
    inverse: f64,
}

const WHOLE: u8 = 0;
const TIMES: u8 = 1;
const OVER: u8 = 2;

/// See [`super::Kernel::restore`], for decimal and binary scales.
pub(super) fn restore(_proof: Avx2Proof, sum: Sum, scale: Scale, numbers: &mut [u64]) {
    let (start, is_sum) = match sum {
        Sum::Plain => (0, false),
        Sum::From(start) => (start, true),
    };
    let mut factors = Factors { divisor: 1.0, remainder: 0.0, power: 1.0, inverse: 1.0 };
    let mode = match scale {
        Scale::Binary { factor } => {
            factors.power = factor;
            TIMES
        }
        Scale::Decimal { divisor, remainder, exponent } => {
            (factors.divisor, factors.remainder) = (divisor, remainder);
            factors.power = POWERS_OF_TEN.get(exponent).copied().unwrap_or(f64::NAN);
            factors.inverse = 1.0 / factors.power;
            if exponent == 0 { WHOLE } else { OVER }
        }
        Scale::Integer { .. } | Scale::Ordered => return scalar::restore(sum, scale, numbers),
    };
    let scaled = factors.divisor != 1.0 || factors.remainder != 0.0;
    // SAFETY: the proof says that AVX2 and FMA are there.
    unsafe {
        match (is_sum, scaled, mode) {
            (false, false, WHOLE) => restore_as::<false, false, WHOLE>(start, factors, numbers),
            (false, false, TIMES) => restore_as::<false, false, TIMES>(start, factors, numbers),
            (false, false, _) => restore_as::<false, false, OVER>(start, factors, numbers),
            (false, true, WHOLE) => restore_as::<false, true, WHOLE>(start, factors, numbers),
            (false, true, _) => restore_as::<false, true, OVER>(start, factors, numbers),
            (true, false, WHOLE) => restore_as::<true, false, WHOLE>(start, factors, numbers),
            (true, false, TIMES) => restore_as::<true, false, TIMES>(start, factors, numbers),
            (true, false, _) => restore_as::<true, false, OVER>(start, factors, numbers),
            (true, true, WHOLE) => restore_as::<true, true, WHOLE>(start, factors, numbers),
            (true, true, _) => restore_as::<true, true, OVER>(start, factors, numbers),
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn restore_as<const SUM: bool, const SCALED: bool, const MODE: u8>(
    start: u64,
    factors: Factors,
    numbers: &mut [u64],
) {
    let mut last = _mm256_set1_epi64x(start as i64);
    let (fours, rest) = numbers.as_chunks_mut::<4>();
    for four in fours {
        // SAFETY: the array is 32 readable bytes; the load asks for no alignment.
        let mut integers = unsafe { _mm256_loadu_si256(four.as_ptr().cast::<__m256i>()) };
        if SUM {
            integers = add_up(integers, &mut last);
        }
        let bits = _mm256_castpd_si256(value_of::<SCALED, MODE>(integers, factors));
        // SAFETY: the array is 32 writable bytes; the store asks for no alignment.
        unsafe { _mm256_storeu_si256(four.as_mut_ptr().cast::<__m256i>(), bits) };
    }
    let mut sum = _mm_cvtsi128_si64(_mm256_castsi256_si128(last)) as u64;
    for number in rest {
        if SUM {
            sum = sum.wrapping_add(*number);
            *number = sum;
        }
        let integers = _mm256_set1_epi64x(*number as i64);
        let bits = _mm256_castpd_si256(value_of::<SCALED, MODE>(integers, factors));
        *number = _mm_cvtsi128_si64(_mm256_castsi256_si128(bits)) as u64;
    }
}

/// Running sums of four residuals after `last`, which becomes four times the fourth.
#[inline]
#[target_feature(enable = "avx2")]
fn add_up(residuals: __m256i, last: &mut __m256i) -> __m256i {
    let pairs = _mm256_add_epi64(residuals, _mm256_slli_si256(residuals, 8));
    let second = _mm256_permute4x64_epi64(pairs, 0b01_01_00_00);
    let carried = _mm256_blend_epi32(_mm256_setzero_si256(), second, 0xf0);
    let sums = _mm256_add_epi64(pairs, carried);
    let result = _mm256_add_epi64(sums, *last);
    // The chain from one group to the next is this one addition.
    *last = _mm256_add_epi64(*last, _mm256_permute4x64_epi64(sums, 0xff));
    result
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn value_of<const SCALED: bool, const MODE: u8>(integers: __m256i, factors: Factors) -> __m256d {
    let mut float = to_floats(integers);
    if SCALED {
        float = _mm256_fmadd_pd(
            float,
            _mm256_set1_pd(factors.divisor),
            _mm256_set1_pd(factors.remainder),
        );
    }
    match MODE {
        TIMES => _mm256_mul_pd(float, _mm256_set1_pd(factors.power)),
        OVER => divide(float, _mm256_set1_pd(factors.power), _mm256_set1_pd(factors.inverse)),
        _ => float,
    }
}

/// `number / power` correctly rounded, for an integer `|number| < 2^53` and `power = 10^e`, e of 1
/// to 18, without the division's latency.
///
/// Why it is exact: the quotient `q` is within 2 ulp of the true Q, so the remainder is an exact
/// float (5^e has at most 42 bits), and the last sum before its single rounding is off from Q by at
/// most `|Q - q| * 2^-53 <= 2^-52` ulp. It rounds like Q unless a midpoint M of two floats lies
/// between. Scaled by 2^e, `number - 5^e * M` is a multiple of half an ulp of the scaled Q; it is
/// not zero, since 5^e times the odd 54-bit M would need more than the 53 bits of `number`. So M is
/// at least `ulp / (2 * 5^e) >= 2^-43` ulp away from Q.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn divide(number: __m256d, power: __m256d, inverse: __m256d) -> __m256d {
    let quotient = _mm256_mul_pd(number, inverse);
    let remainder = _mm256_fnmadd_pd(quotient, power, number);
    _mm256_fmadd_pd(remainder, inverse, quotient)
}

/// Signed 64-bit integers to floats, rounded once: the halves become floats by their place in the
/// mantissas of 2^52 and 2^84, and one addition joins them.
#[inline]
#[target_feature(enable = "avx2")]
fn to_floats(integers: __m256i) -> __m256d {
    let low = _mm256_blend_epi32(_mm256_set1_epi64x(0x4330_0000_0000_0000), integers, 0b0101_0101);
    let high = _mm256_xor_si256(
        _mm256_srli_epi64(integers, 32),
        _mm256_set1_epi64x(0x4530_0000_8000_0000),
    );
    let bias = _mm256_castsi256_pd(_mm256_set1_epi64x(0x4530_0000_8010_0000));
    let high = _mm256_sub_pd(_mm256_castsi256_pd(high), bias);
    _mm256_add_pd(high, _mm256_castsi256_pd(low))
}
