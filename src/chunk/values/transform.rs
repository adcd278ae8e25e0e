//! Floats to integers, exactly: every float of a column is told by its integer, the column's scheme
//! and perhaps a small correction, or stands apart as a misfit.

use super::{BINARY_EXPONENTS, CORRECTION_MAX, DECIMAL_BOUND, power_of_two};
use crate::kernel::{POWERS_OF_TEN, order_of_bits};
use model::STALE_NAN_BITS;

/// What the integers of a column mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The value is the integer.
    Integer,
    /// The value is the float nearest to `integer / 10^exponent`, moved by its correction.
    Decimal { exponent: u32, corrected: bool },
    /// The value is `integer * 2^exponent`.
    Binary { exponent: i64 },
    /// The integer is the place of the float among all floats.
    Ordered,
}

/// A float that the scheme cannot tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misfit {
    pub(super) position: u16,
    pub(super) bits: u64,
}

/// One column as integers; reused from column to column.
#[derive(Debug)]
pub(super) struct Transform {
    pub(super) scheme: Scheme,
    pub(super) integers: Vec<i64>,
    /// One per integer when the scheme is corrected, else empty.
    pub(super) corrections: Vec<i64>,
    pub(super) misfits: Vec<Misfit>,
    /// Every integer was `divisor * integer + remainder`.
    pub(super) divisor: u64,
    pub(super) remainder: u64,
}

impl Default for Transform {
    fn default() -> Self {
        Self {
            scheme: Scheme::Integer,
            integers: Vec::new(),
            corrections: Vec::new(),
            misfits: Vec::new(),
            divisor: 1,
            remainder: 0,
        }
    }
}

/// Adding and subtracting it rounds a float below 2^51 to an integer.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// Values looked at to choose an exponent.
const PROBES_MAX: usize = 48;
/// Beyond 16 digits a decimal is no shorter than its float.
const EXACT_EXPONENT_MAX: u32 = 17;
/// Beyond 13 digits nearly every float is near a decimal.
const NEAR_EXPONENT_MAX: u32 = 13;
/// Near decimals must be shorter than this for corrections to pay.
const NEAR_BOUND: f64 = (1u64 << 42) as f64;

impl Transform {
    /// Takes a column of integers.
    pub(super) fn take_integers(&mut self, bits: &[u64]) {
        self.clear(Scheme::Integer);
        self.integers.extend(bits.iter().map(|&bits| bits as i64));
        self.divide();
    }

    /// Takes a column of floats.
    pub(super) fn take_floats(&mut self, bits: &[u64]) {
        // Most columns are integers: try that before looking for anything.
        self.clear(Scheme::Decimal { exponent: 0, corrected: false });
        if self.decimals_all(bits, 0) {
            self.divide();
            return;
        }
        if let Some(scheme) = choose_decimal(bits) {
            self.clear(scheme);
            if self.take_decimals(bits, scheme) {
                self.divide();
                return;
            }
        }
        match binary_exponent(bits) {
            Some(exponent) => self.take_binary(bits, exponent),
            None => {
                self.clear(Scheme::Ordered);
                self.integers.extend(bits.iter().map(|&bits| order_of_bits(bits)));
            }
        }
    }

    fn clear(&mut self, scheme: Scheme) {
        self.scheme = scheme;
        self.integers.clear();
        self.corrections.clear();
        self.misfits.clear();
        (self.divisor, self.remainder) = (1, 0);
    }

    /// Fills the integers; true when each is exact. No branch in the loop, so that it vectorises.
    fn decimals_all(&mut self, bits: &[u64], exponent: usize) -> bool {
        let power = POWERS_OF_TEN[exponent];
        // Give up on the first value before touching the rest.
        if bits.first().is_some_and(|&bits| !is_decimal(bits, power)) {
            return false;
        }
        self.integers.clear();
        for part in bits.chunks(64) {
            let mut bad = 0;
            self.integers.extend(part.iter().map(|&bits| {
                let (integer, nearest, in_bound) = nearest_decimal(bits, power);
                bad |= (nearest ^ bits) | u64::from(!in_bound);
                integer
            }));
            if bad != 0 {
                return false;
            }
        }
        true
    }

    /// Fills integers, corrections and misfits; false when there would be too many misfits.
    fn take_decimals(&mut self, bits: &[u64], scheme: Scheme) -> bool {
        let Scheme::Decimal { exponent, corrected } = scheme else { return false };
        if !corrected && self.decimals_all(bits, exponent as usize) {
            return true;
        }
        self.integers.clear();
        let power = POWERS_OF_TEN[exponent as usize];
        let misfits_max = 4 + bits.len() / if corrected { 16 } else { 8 };
        let (mut last, mut counted) = (0, 0);
        for (position, &bits) in bits.iter().enumerate() {
            let (integer, nearest, in_bound) = nearest_decimal(bits, power);
            let correction = order_of_bits(bits).wrapping_sub(order_of_bits(nearest));
            let fits = match corrected {
                // Corrections do not lead from one sign to the other.
                true => correction.abs() <= CORRECTION_MAX && (bits ^ nearest) >> 63 == 0,
                false => correction == 0,
            };
            if fits && in_bound {
                last = integer;
            } else {
                self.misfits.push(Misfit { position: position as u16, bits });
                // Stale markers are cheap.
                counted += usize::from(bits != STALE_NAN_BITS);
                if counted > misfits_max {
                    return false;
                }
            }
            self.integers.push(last);
            if corrected {
                self.corrections.push(if fits && in_bound { correction } else { 0 });
            }
        }
        true
    }

    fn take_binary(&mut self, bits: &[u64], exponent: i64) {
        self.clear(Scheme::Binary { exponent });
        let scale = power_of_two(-exponent);
        let mut last = 0;
        for (position, &bits) in bits.iter().enumerate() {
            if bits == 0 || is_normal(bits) {
                last = (f64::from_bits(bits) * scale) as i64;
            } else {
                self.misfits.push(Misfit { position: position as u16, bits });
            }
            self.integers.push(last);
        }
    }

    /// Divides the integers by the greatest common divisor of their differences.
    fn divide(&mut self) {
        let mut divisor = 0;
        for pair in self.integers.windows(2) {
            // A difference beyond 64 bits: such integers have no use for a divisor.
            let Some(step) = pair[1].checked_sub(pair[0]) else { return };
            let step = step.unsigned_abs();
            if step != 0 && (divisor == 0 || step % divisor != 0) {
                divisor = greatest_common_divisor(divisor, step);
                if divisor == 1 {
                    return;
                }
            }
        }
        let (Ok(signed), Some(&first)) = (i64::try_from(divisor), self.integers.first()) else {
            return;
        };
        if signed < 2 {
            return;
        }
        self.divisor = divisor;
        self.remainder = first.rem_euclid(signed) as u64;
        for integer in &mut self.integers {
            *integer = integer.div_euclid(signed);
        }
    }
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn is_normal(bits: u64) -> bool {
    !matches!(bits >> 52 & 0x7ff, 0 | 0x7ff)
}

/// The integer nearest to `value * power`, the bits of `integer / power`, and whether the integer is
/// within the bound; the other two mean nothing when it is not.
#[inline]
fn nearest_decimal(bits: u64, power: f64) -> (i64, u64, bool) {
    let shifted = f64::from_bits(bits) * power + ROUNDER;
    let rounded = shifted - ROUNDER;
    let integer = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()) as i64;
    (integer, (rounded / power).to_bits(), rounded.abs() < DECIMAL_BOUND as f64)
}

fn is_decimal(bits: u64, power: f64) -> bool {
    let (_, nearest, in_bound) = nearest_decimal(bits, power);
    nearest == bits && in_bound
}

/// The best decimal scheme by a look at some of the values, or none.
fn choose_decimal(bits: &[u64]) -> Option<Scheme> {
    let mut probes = [0u64; PROBES_MAX];
    let mut taken = 0;
    let tries = bits.len().min(PROBES_MAX);
    for index in 0..tries {
        let value = bits[index * bits.len() / tries];
        if is_normal(value) && (taken == 0 || probes[taken - 1] != value) {
            probes[taken] = value;
            taken += 1;
        }
    }
    let probes = &probes[..taken];
    if probes.is_empty() {
        return Some(Scheme::Decimal { exponent: 0, corrected: false });
    }
    let exact = smallest_exponent(probes, EXACT_EXPONENT_MAX, is_decimal);
    // A correction stream costs more than one digit saves.
    let near_max = exact.map_or(Some(NEAR_EXPONENT_MAX), |exact| exact.checked_sub(2));
    let near = near_max
        .and_then(|max| smallest_exponent(probes, max.min(NEAR_EXPONENT_MAX), is_near_decimal));
    match (near, exact) {
        (Some(exponent), _) => Some(Scheme::Decimal { exponent, corrected: true }),
        (None, Some(exponent)) => Some(Scheme::Decimal { exponent, corrected: false }),
        (None, None) => None,
    }
}

/// The smallest exponent with which all but a twelfth of the probes pass the test.
fn smallest_exponent(probes: &[u64], max: u32, test: fn(u64, f64) -> bool) -> Option<u32> {
    (0..=max).find(|&exponent| {
        let power = POWERS_OF_TEN[exponent as usize];
        let mut left = probes.len() / 12;
        probes.iter().all(|&bits| {
            test(bits, power) || {
                let spared = left > 0;
                left = left.saturating_sub(1);
                spared
            }
        })
    })
}

fn is_near_decimal(bits: u64, power: f64) -> bool {
    let (integer, nearest, in_bound) = nearest_decimal(bits, power);
    let correction = order_of_bits(nearest).wrapping_sub(order_of_bits(bits));
    in_bound && (integer.unsigned_abs() as f64) < NEAR_BOUND && correction.abs() <= CORRECTION_MAX
}

/// The exponent with which all values but a few are integers of at most 62 bits.
fn binary_exponent(bits: &[u64]) -> Option<i64> {
    let (mut low, mut high, mut misfits) = (i64::MAX, i64::MIN, 0);
    for &bits in bits.iter().filter(|&&bits| bits != 0) {
        if !is_normal(bits) {
            misfits += 1;
            continue;
        }
        let exponent = (bits >> 52 & 0x7ff) as i64;
        let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
        low = low.min(exponent - 1075 + i64::from(mantissa.trailing_zeros()));
        high = high.max(exponent - 1022);
    }
    let fits = low <= high
        && high - low <= 62
        && misfits <= bits.len() / 16
        && BINARY_EXPONENTS.contains(&low);
    fits.then_some(low)
}
