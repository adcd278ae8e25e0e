//! Sums with compensation, and the binary operators.

pub(crate) use model::Compensated;
use plan::semantics::BinaryOp;

use crate::kernels::presence::{full, steps_of};
use crate::row::ABSENT;

/// A mean that sums until the sum would overflow and is kept incrementally from there on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    /// The sum, or the mean once `incremental`.
    pub(crate) sum: Compensated,
    /// Values seen.
    pub(crate) count: f64,
    /// The sum overflowed.
    pub(crate) incremental: bool,
}

impl Mean {
    /// Adds `value`.
    #[inline(always)]
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = Compensated::starting_at(value);
            return;
        }
        if !self.incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.rest /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        let mut next = Compensated { sum: weight * self.sum.sum, rest: weight * self.sum.rest };
        next.add(value / self.count);
        self.sum = next;
    }

    /// The mean of what was added.
    #[inline(always)]
    pub(crate) fn value(self) -> f64 {
        if self.incremental {
            self.sum.value()
        } else {
            self.sum.sum / self.count + self.sum.rest / self.count
        }
    }
}

/// The smaller number; NaN only if both are.
#[inline(always)]
pub(crate) fn smaller(current: f64, value: f64) -> f64 {
    if value < current || current.is_nan() { value } else { current }
}

/// The larger number; NaN only if both are.
#[inline(always)]
pub(crate) fn larger(current: f64, value: f64) -> f64 {
    if value > current || current.is_nan() { value } else { current }
}

/// The smaller of two; NaN if either is; -0 is below 0.
pub(crate) fn min_of(left: f64, right: f64) -> f64 {
    if left.is_infinite() && left < 0.0 || right.is_infinite() && right < 0.0 {
        f64::NEG_INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == 0.0 && right == 0.0 {
        if left.is_sign_negative() { left } else { right }
    } else if left < right {
        left
    } else {
        right
    }
}

/// The larger of two; NaN if either is; 0 is above -0.
pub(crate) fn max_of(left: f64, right: f64) -> f64 {
    if left.is_infinite() && left > 0.0 || right.is_infinite() && right > 0.0 {
        f64::INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left == 0.0 && right == 0.0 {
        if left.is_sign_negative() { right } else { left }
    } else if left > right {
        left
    } else {
        right
    }
}

/// `left op right` for operators that answer a number.
#[inline(always)]
pub(crate) fn compute(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        _ => f64::from(u8::from(compare(op, left, right))),
    }
}

/// Whether a comparison holds; false for other operators.
#[inline(always)]
pub(crate) fn compare(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::Less => left < right,
        BinaryOp::GreaterOrEqual => left >= right,
        BinaryOp::LessOrEqual => left <= right,
        _ => false,
    }
}

/// What a pair of values becomes: a number, or for a filtering comparison `kept` or nothing.
#[inline(always)]
pub(crate) fn combine(op: BinaryOp, return_bool: bool, left: f64, right: f64, kept: f64) -> f64 {
    if !op.is_comparison() || return_bool {
        compute(op, left, right)
    } else if compare(op, left, right) {
        kept
    } else {
        ABSENT
    }
}

/// Which operand it is that the results replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// The one on the left of the operator.
    Left,
    /// The one on its right.
    Right,
}

/// Replaces the values of `own`, of which there are up to 64 as of `other`, at the places of the bits of
/// `places` by what [`combine`] makes of both.
pub(crate) fn combine_at(
    (op, return_bool): (BinaryOp, bool),
    (own, operand): (&mut [f64], Operand),
    other: &[f64],
    places: u64,
) {
    // Written out for each operator, since there is no choice left inside of the loops then.
    let own = (own, operand);
    match op {
        BinaryOp::Add => replace_at(own, other, places, |left, right| left + right),
        BinaryOp::Subtract => replace_at(own, other, places, |left, right| left - right),
        BinaryOp::Multiply => replace_at(own, other, places, |left, right| left * right),
        BinaryOp::Divide => replace_at(own, other, places, |left, right| left / right),
        _ => {
            replace_at(own, other, places, |left, right| {
                combine(op, return_bool, left, right, left)
            });
        }
    }
}

#[inline(always)]
fn replace_at(
    (own, operand): (&mut [f64], Operand),
    other: &[f64],
    places: u64,
    of: impl Fn(f64, f64) -> f64 + Copy,
) {
    match operand {
        Operand::Left => replace(own, other, places, of),
        Operand::Right => replace(own, other, places, |right, left| of(left, right)),
    }
}

#[inline(always)]
fn replace(own: &mut [f64], other: &[f64], places: u64, of: impl Fn(f64, f64) -> f64) {
    if places == full(own.len()) {
        own.iter_mut().zip(other).for_each(|(own, other)| *own = of(*own, *other));
    } else {
        steps_of(places).for_each(|place| own[place] = of(own[place], other[place]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_keep_what_rounding_loses() {
        let mut sum = Compensated::default();
        for value in [1.0, 1e100, 1.0, -1e100] {
            sum.add(value);
        }
        assert_eq!(sum.value(), 2.0);
        sum.add(f64::INFINITY);
        sum.add(1.0);
        assert_eq!(sum.value(), f64::INFINITY);
    }

    #[test]
    fn means_survive_overflow() {
        let mut mean = Mean::default();
        (0..4).for_each(|_| mean.add(f64::MAX));
        assert!((mean.value() / f64::MAX - 1.0).abs() < 1e-15);
    }

    #[test]
    fn operators_replace_either_operand_where_they_are_told_to() {
        let ops = [
            BinaryOp::Add,
            BinaryOp::Subtract,
            BinaryOp::Multiply,
            BinaryOp::Divide,
            BinaryOp::Modulo,
            BinaryOp::Power,
            BinaryOp::Greater,
            BinaryOp::Equal,
        ];
        let (left, right) = ([7.0, 8.0, 9.0, 3.0], [2.0, 4.0, -3.0, 3.0]);
        for (op, return_bool, places) in
            ops.into_iter().flat_map(|op| [(op, false, 15), (op, true, 15), (op, false, 5)])
        {
            let want =
                |at: usize| combine(op, return_bool, left[at], right[at], left[at]).to_bits();
            for (operand, mut own, other) in
                [(Operand::Left, left, right), (Operand::Right, right, left)]
            {
                let before = own;
                combine_at((op, return_bool), (&mut own, operand), &other, places);
                for at in 0..4 {
                    let want = if places >> at & 1 == 1 { want(at) } else { before[at].to_bits() };
                    assert_eq!(own[at].to_bits(), want, "{op:?} {operand:?} {places} at {at}");
                }
            }
        }
    }

    #[test]
    fn minima_and_maxima_propagate_nan_like_go() {
        assert!(min_of(1.0, f64::NAN).is_nan() && max_of(f64::NAN, 1.0).is_nan());
        assert!(max_of(-0.0, 0.0).is_sign_positive() && min_of(0.0, -0.0).is_sign_negative());
        assert_eq!(smaller(f64::NAN, 3.0), 3.0);
        assert_eq!(larger(3.0, f64::NAN), 3.0);
    }
}
