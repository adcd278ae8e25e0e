//! Buckets of a fixed width of which only those with samples exist: the loop for reductions that need no
//! more of a bucket than one look at each of its values.

use model::Samples;
use plan::semantics::{Arithmetic, Reducer};

use crate::kernels::arithmetic::{larger, smaller};
use crate::row::is_absent;

/// True when [`fill`] knows the reduction.
pub(super) fn pays(reducer: &Reducer) -> bool {
    matches!(
        reducer,
        Reducer::Sum(Arithmetic::SkipNaN)
            | Reducer::Average(Arithmetic::SkipNaN)
            | Reducer::Min
            | Reducer::Max
            | Reducer::CountNumbers
    )
}

/// Appends a point for every bucket that starts up to `last_ms`.
pub(super) fn fill(
    reducer: &Reducer,
    samples: (&[i64], &[f64]),
    last_ms: i64,
    step_ms: i64,
    out: &mut Samples,
) {
    let mean = |values: &[f64]| {
        let (sum, count) = total(values);
        sum / count
    };
    match reducer {
        Reducer::Average(_) => cut(samples, last_ms, step_ms, out, mean),
        Reducer::Min => cut(samples, last_ms, step_ms, out, |values| best(values, smaller)),
        Reducer::Max => cut(samples, last_ms, step_ms, out, |values| best(values, larger)),
        Reducer::CountNumbers => cut(samples, last_ms, step_ms, out, |values| total(values).1),
        _ => cut(samples, last_ms, step_ms, out, |values| match total(values) {
            (_, 0.0) => f64::NAN,
            (sum, _) => sum,
        }),
    }
}

/// Sum and count of the numbers.
#[inline(always)]
fn total(values: &[f64]) -> (f64, f64) {
    values.iter().fold((0.0, 0.0), |(sum, count), value| match value.is_nan() {
        true => (sum, count),
        false => (sum + value, count + 1.0),
    })
}

#[inline(always)]
fn best(values: &[f64], choose: fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().reduce(choose).unwrap_or(f64::NAN)
}

#[inline(always)]
fn cut(
    (times, values): (&[i64], &[f64]),
    last_ms: i64,
    step_ms: i64,
    out: &mut Samples,
    reduce: impl Fn(&[f64]) -> f64,
) {
    let start_of = |at_ms: i64| at_ms - at_ms.rem_euclid(step_ms);
    let Some(first_ms) = times.first() else { return };
    let mut bucket_ms = start_of(*first_ms);
    let mut low = 0;
    while low < times.len() && bucket_ms <= last_ms {
        let end_ms = bucket_ms.saturating_add(step_ms);
        let mut high = low + 1;
        while high < times.len() && times[high] < end_ms {
            high += 1;
        }
        let value = reduce(&values[low..high]);
        if !is_absent(value) {
            out.timestamps.push(bucket_ms);
            out.values.push(value);
        }
        low = high;
        if let Some(next_ms) = times.get(low) {
            // The division is only needed behind a gap.
            let is_next = *next_ms < end_ms.saturating_add(step_ms);
            bucket_ms = if is_next { end_ms } else { start_of(*next_ms) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reduce::{RUNNING, reduce};
    use base::rng::Rng;

    /// The same as one bucket after the other by the general reductions.
    #[test]
    fn buckets_hold_what_falls_into_them() {
        let mut rng = Rng::new(8);
        for round in 0..2_000 {
            let reducer = &RUNNING[round % RUNNING.len()];
            let step_ms = 1 + rng.below(40) as i64;
            let mut at_ms = rng.below(100) as i64;
            let (mut times, mut values) = (Vec::new(), Vec::new());
            for _ in 0..rng.below(40) {
                times.push(at_ms);
                let number = rng.below(1_000) as f64 / 8.0;
                values.push(if rng.below(6) == 0 { f64::NAN } else { number });
                at_ms += 1 + rng.below(25) as i64 * rng.below(4) as i64;
            }
            let last_ms = rng.below(600) as i64;
            let mut out = Samples::default();
            fill(reducer, (&times, &values), last_ms, step_ms, &mut out);
            let mut want: Vec<(i64, Vec<f64>)> = Vec::new();
            for (at_ms, value) in times.iter().zip(&values) {
                let bucket = at_ms / step_ms * step_ms;
                match want.last_mut().filter(|last| last.0 == bucket) {
                    Some(last) => last.1.push(*value),
                    None => want.push((bucket, vec![*value])),
                }
            }
            want.retain(|(bucket, _)| *bucket <= last_ms);
            let starts: Vec<i64> = want.iter().map(|(bucket, _)| *bucket).collect();
            assert_eq!(out.timestamps, starts);
            for (got, (_, values)) in out.values.iter().zip(&want) {
                let want = reduce(reducer, values, 0.0, values.len(), &mut Vec::new());
                assert!(*got == want || got.is_nan() && want.is_nan(), "{reducer:?} {values:?}");
            }
        }
    }
}
