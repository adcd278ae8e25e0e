//! Many present values to one, in the float form and in the integer form.

use plan::semantics::{Arithmetic, PercentileMethod, Reducer};

use crate::kernels::arithmetic::{Compensated, Mean, larger, smaller};
use crate::kernels::order::{median, percentile, quantile};

/// What operators compute without collecting values for [`reduce`], where NaN is no number: tests hold
/// both against each other.
#[cfg(test)]
pub(crate) const RUNNING: [Reducer; 5] = [
    Reducer::Sum(Arithmetic::SkipNaN),
    Reducer::Average(Arithmetic::SkipNaN),
    Reducer::Min,
    Reducer::Max,
    Reducer::CountNumbers,
];

/// Reduces at least one present value, in order. `argument` is the quantile's; `slots` the number of
/// places the values were taken from, for means that count the empty ones.
pub(crate) fn reduce(
    reducer: &Reducer,
    values: &[f64],
    argument: f64,
    slots: usize,
    scratch: &mut Vec<f64>,
) -> f64 {
    match reducer {
        Reducer::Sum(arithmetic) => sum(*arithmetic, values),
        Reducer::Average(arithmetic) => average(*arithmetic, values),
        Reducer::Min => extreme(values, f64::INFINITY, |value, best| value < best, smaller),
        Reducer::Max => extreme(values, f64::NEG_INFINITY, |value, best| value > best, larger),
        Reducer::Count | Reducer::CountValues(_) => values.len() as f64,
        Reducer::CountNumbers => numbers(values).count() as f64,
        Reducer::Group => 1.0,
        Reducer::First => values.first().copied().unwrap_or(f64::NAN),
        Reducer::Last => values.last().copied().unwrap_or(f64::NAN),
        Reducer::StdDev(arithmetic) => variance(*arithmetic, values).sqrt(),
        Reducer::StdVar(arithmetic) => variance(*arithmetic, values),
        Reducer::Quantile => {
            scratch.clear();
            scratch.extend_from_slice(values);
            quantile(argument, scratch)
        }
        // The original ignores the estimate's name for floats.
        Reducer::Percentile(q, PercentileMethod::Next) => {
            copy_numbers(values, scratch);
            percentile(q.0, PercentileMethod::Next, scratch)
        }
        Reducer::Percentile(q, _) => {
            copy_numbers(values, scratch);
            percentile(q.0, PercentileMethod::Legacy, scratch)
        }
        Reducer::Median { upper } => {
            copy_numbers(values, scratch);
            median(*upper, scratch)
        }
        Reducer::Product(Arithmetic::SkipNaN) => skipping(values, |left, right| left * right),
        Reducer::Product(_) => values.iter().product(),
        Reducer::Power => tower(values),
        Reducer::Difference => difference(values),
        Reducer::Subtract => fold_first(values, |left, right| left - right),
        Reducer::SumSquares(arithmetic) => {
            scratch.clear();
            scratch.extend(values.iter().map(|value| value * value));
            sum(*arithmetic, scratch)
        }
        Reducer::Range => fold_first(values, larger) - fold_first(values, smaller),
        Reducer::AverageOfSlots => sum(Arithmetic::Plain, values) / slots as f64,
        Reducer::LargestMagnitude => {
            fold_first(values, |left, right| if right.abs() > left.abs() { right } else { left })
        }
        Reducer::SmallestMagnitude => {
            fold_first(values, |left, right| if right.abs() < left.abs() { right } else { left })
        }
    }
}

/// Powers from left to right; absent once one is not defined or too large.
fn tower(values: &[f64]) -> f64 {
    let step = |base: f64, exponent: &f64| Some(base.powf(*exponent)).filter(|out| out.is_finite());
    let Some((first, rest)) = values.split_first() else { return f64::NAN };
    rest.iter().try_fold(*first, step).unwrap_or(crate::row::ABSENT)
}

fn numbers(values: &[f64]) -> impl Iterator<Item = f64> + '_ {
    values.iter().copied().filter(|value| !value.is_nan())
}

fn copy_numbers(values: &[f64], scratch: &mut Vec<f64>) {
    scratch.clear();
    scratch.extend(numbers(values));
}

fn fold_first(values: &[f64], step: impl Fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().reduce(step).unwrap_or(f64::NAN)
}

/// `fold_first(values, step)` of a `step` that keeps the one which `beats` the other, if it is a number: in four lanes,
/// so that no value waits for the one before. Where the order decides, between zeros and where there is nothing but
/// `worst` and NaN, the plain loop does.
#[inline]
fn extreme(
    values: &[f64],
    worst: f64,
    beats: impl Fn(f64, f64) -> bool,
    step: impl Fn(f64, f64) -> f64,
) -> f64 {
    let better = |best: f64, value: f64| if beats(value, best) { value } else { best };
    let mut lanes = [worst; 4];
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        lanes = std::array::from_fn(|lane| better(lanes[lane], four[lane]));
    }
    let best = lanes.into_iter().chain(rest.iter().copied()).fold(worst, better);
    if best == 0.0 || best == worst { fold_first(values, step) } else { best }
}

fn skipping(values: &[f64], step: impl Fn(f64, f64) -> f64) -> f64 {
    numbers(values).reduce(step).unwrap_or(f64::NAN)
}

fn sum(arithmetic: Arithmetic, values: &[f64]) -> f64 {
    match arithmetic {
        Arithmetic::Compensated => {
            let mut sum = Compensated::starting_at(values.first().copied().unwrap_or_default());
            values.iter().skip(1).for_each(|value| sum.add(*value));
            sum.value()
        }
        Arithmetic::Plain => fold_first(values, |left, right| left + right),
        Arithmetic::SkipNaN => skipping(values, |left, right| left + right),
    }
}

fn average(arithmetic: Arithmetic, values: &[f64]) -> f64 {
    match arithmetic {
        Arithmetic::Compensated => {
            let mut mean = Mean::default();
            values.iter().for_each(|value| mean.add(*value));
            mean.value()
        }
        Arithmetic::Plain => sum(arithmetic, values) / values.len() as f64,
        Arithmetic::SkipNaN => sum(arithmetic, values) / numbers(values).count() as f64,
    }
}

/// Population variance by Welford's recurrence.
fn variance(arithmetic: Arithmetic, values: &[f64]) -> f64 {
    match arithmetic {
        Arithmetic::Compensated => {
            let (mut mean, mut squares) = (Compensated::default(), Compensated::default());
            for (index, value) in values.iter().enumerate() {
                let delta = value - mean.value();
                mean.add(delta / (index + 1) as f64);
                squares.add(delta * (value - mean.value()));
            }
            squares.value() / values.len() as f64
        }
        Arithmetic::Plain => welford(values.iter().copied()),
        Arithmetic::SkipNaN => welford(numbers(values)),
    }
}

fn welford(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

/// Last minus first after leading NaNs; the last one may be NaN.
fn difference(values: &[f64]) -> f64 {
    let Some(start) = values.iter().position(|value| !value.is_nan()) else { return f64::NAN };
    match values.last() {
        Some(last) if start + 1 < values.len() => last - values[start],
        _ => 0.0,
    }
}

/// The integer form: `None` where the reduction has none and the float form must answer.
pub(crate) fn reduce_integers(reducer: &Reducer, values: &[i64]) -> Option<i64> {
    let first = *values.first()?;
    let last = *values.last()?;
    let count = values.len() as i64;
    let sum = || values.iter().fold(0i64, |sum, value| sum.wrapping_add(*value));
    let floats = || values.iter().map(|value| *value as f64).collect::<Vec<_>>();
    Some(match reducer {
        Reducer::Sum(_) => sum(),
        Reducer::Average(_) => sum().wrapping_div(count),
        Reducer::Min => values.iter().copied().min()?,
        Reducer::Max => values.iter().copied().max()?,
        Reducer::Count | Reducer::CountNumbers => count,
        Reducer::Group => 1,
        Reducer::First => first,
        Reducer::Last => last,
        Reducer::StdDev(arithmetic) => variance(*arithmetic, &floats()).sqrt() as i64,
        Reducer::StdVar(arithmetic) => variance(*arithmetic, &floats()) as i64,
        Reducer::Percentile(q, method) => percentile(q.0, *method, &mut floats()) as i64,
        Reducer::Median { upper } => {
            let mut sorted = values.to_vec();
            sorted.sort_unstable();
            let middle = sorted.len() / 2;
            let high = sorted[middle];
            if *upper || sorted.len() % 2 == 1 {
                high
            } else {
                return None;
            }
        }
        Reducer::Product(_) => values.iter().fold(1i64, |product, v| product.wrapping_mul(*v)),
        Reducer::Difference => last.wrapping_sub(first),
        Reducer::Subtract => {
            values[1..].iter().fold(first, |left, value| left.wrapping_sub(*value))
        }
        Reducer::SumSquares(_) => {
            values.iter().fold(0i64, |sum, v| sum.wrapping_add(v.wrapping_mul(*v)))
        }
        Reducer::Range => values.iter().copied().max()?.wrapping_sub(values.iter().copied().min()?),
        Reducer::Quantile
        | Reducer::Power
        | Reducer::AverageOfSlots
        | Reducer::LargestMagnitude
        | Reducer::SmallestMagnitude
        | Reducer::CountValues(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::node::Number;

    fn of(reducer: Reducer, values: &[f64]) -> f64 {
        reduce(&reducer, values, 0.5, values.len(), &mut Vec::new())
    }

    #[test]
    fn extremes_are_those_of_the_plain_loop() {
        let mut rng = base::rng::Rng::new(12);
        let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -1.5];
        for round in 0..4000 {
            let value = |rng: &mut base::rng::Rng| match rng.below(8) > round % 9 {
                true => rng.below(100) as f64 - 50.0,
                false => special[rng.below(special.len() as u64) as usize],
            };
            let count = 1 + rng.below(21);
            let values: Vec<f64> = (0..count).map(|_| value(&mut rng)).collect();
            let (min, max) = (fold_first(&values, smaller), fold_first(&values, larger));
            assert_eq!(of(Reducer::Min, &values).to_bits(), min.to_bits(), "{values:?}");
            assert_eq!(of(Reducer::Max, &values).to_bits(), max.to_bits(), "{values:?}");
        }
    }

    #[test]
    fn floats_reduce_with_their_nan_rule() {
        let nan = f64::NAN;
        assert!(of(Reducer::Sum(Arithmetic::Compensated), &[1.0, nan]).is_nan());
        assert_eq!(of(Reducer::Sum(Arithmetic::SkipNaN), &[1.0, nan, 2.0]), 3.0);
        assert!(of(Reducer::Sum(Arithmetic::SkipNaN), &[nan]).is_nan());
        assert_eq!(of(Reducer::Average(Arithmetic::SkipNaN), &[1.0, nan, 3.0]), 2.0);
        assert_eq!(of(Reducer::Min, &[nan, 2.0, 1.0]), 1.0);
        assert_eq!(of(Reducer::Max, &[nan, 2.0, 1.0]), 2.0);
        assert_eq!(of(Reducer::Count, &[nan, 2.0]), 2.0);
        assert_eq!(of(Reducer::CountNumbers, &[nan, 2.0]), 1.0);
        assert_eq!(of(Reducer::StdVar(Arithmetic::Plain), &[1.0, 3.0]), 1.0);
        assert_eq!(of(Reducer::StdDev(Arithmetic::Compensated), &[1.0, 3.0]), 1.0);
        assert_eq!(of(Reducer::Difference, &[nan, 2.0, 5.0]), 3.0);
        assert_eq!(of(Reducer::Difference, &[nan, 2.0]), 0.0);
        assert_eq!(of(Reducer::Subtract, &[7.0, 2.0, 1.0]), 4.0);
        assert_eq!(of(Reducer::Range, &[7.0, 2.0, 1.0]), 6.0);
        assert_eq!(of(Reducer::Median { upper: false }, &[1.0, 4.0]), 2.5);
        assert_eq!(of(Reducer::SumSquares(Arithmetic::Plain), &[1.0, 2.0]), 5.0);
        assert_eq!(of(Reducer::Quantile, &[1.0, 2.0]), 1.5);
    }

    #[test]
    fn integers_wrap_and_truncate() {
        let of = |reducer: Reducer, values: &[i64]| reduce_integers(&reducer, values);
        let skip = Arithmetic::SkipNaN;
        assert_eq!(of(Reducer::Sum(skip), &[i64::MAX, 1]), Some(i64::MIN));
        assert_eq!(of(Reducer::Average(skip), &[-1, -2]), Some(-1));
        assert_eq!(of(Reducer::Median { upper: true }, &[1, 4]), Some(4));
        assert_eq!(of(Reducer::Difference, &[5]), Some(0));
        assert_eq!(of(Reducer::StdDev(skip), &[1, 4]), Some(1));
        let p50 = Reducer::Percentile(Number(0.5), PercentileMethod::R3);
        assert_eq!(of(p50, &[4, 3, 2, 1]), Some(2));
    }
}
