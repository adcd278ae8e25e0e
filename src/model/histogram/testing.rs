//! Random histograms for the tests of every crate that stores or sends them.

use base::rng::Rng;

use super::{BucketSpan, Histogram, HistogramBuckets, ResetHint};

/// A valid histogram of any sort.
pub fn random(rng: &mut Rng) -> Histogram {
    let is_custom = rng.one_in(4);
    let is_integer = rng.one_in(2);
    let hint = ResetHint::from_u8(rng.below(4) as u8).unwrap_or_default();
    let sums = [f64::NAN, f64::INFINITY, -0.0, 12.25, f64::from_bits(0x7ff8_0000_dead_beef)];
    let mut histogram = Histogram {
        schema: if is_custom { -53 } else { rng.below(13) as i32 - 4 },
        reset_hint: hint,
        is_integer,
        sum: sums[rng.below(5) as usize],
        ..Histogram::default()
    };
    histogram.positive = random_buckets(rng, is_integer, if is_custom { 0 } else { -40 });
    if is_custom {
        let end: i64 = histogram
            .positive
            .spans
            .iter()
            .map(|span| i64::from(span.offset) + i64::from(span.length))
            .sum();
        histogram.bounds = (0..end + rng.below(3) as i64).map(|n| n as f64 * 0.25).collect();
    } else {
        histogram.zero_threshold = if rng.one_in(3) { 0.0 } else { 1e-128 };
        histogram.zero_count = random_count(rng, is_integer);
        if rng.one_in(3) {
            histogram.negative = random_buckets(rng, is_integer, -40);
        }
    }
    let counts = histogram.positive.counts.iter().chain(&histogram.negative.counts);
    histogram.count = counts.sum::<f64>() + histogram.zero_count;
    histogram
}

fn random_count(rng: &mut Rng, is_integer: bool) -> f64 {
    let bits = rng.below(30);
    let whole = rng.below(1 << bits) as f64;
    if is_integer { whole } else { whole / 8.0 + 0.1 }
}

fn random_buckets(rng: &mut Rng, is_integer: bool, first: i32) -> HistogramBuckets {
    let mut buckets = HistogramBuckets::default();
    for index in 0..rng.below(5) {
        let offset = if index == 0 { first + rng.below(40) as i32 } else { rng.below(5) as i32 };
        let length = rng.below(6) as u32;
        buckets.spans.push(BucketSpan { offset, length });
        buckets.counts.extend((0..length).map(|_| random_count(rng, is_integer)));
    }
    buckets
}

/// Equality of every bit, so that NaN equals itself.
pub fn same_bits(a: &Histogram, b: &Histogram) -> bool {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let scalars = |h: &Histogram| bits(&[h.zero_threshold, h.zero_count, h.count, h.sum]);
    let sides = |h: &Histogram| (h.positive.spans.clone(), h.negative.spans.clone());
    let counts = |h: &Histogram| (bits(&h.positive.counts), bits(&h.negative.counts));
    (a.schema, a.reset_hint, a.is_integer) == (b.schema, b.reset_hint, b.is_integer)
        && scalars(a) == scalars(b)
        && sides(a) == sides(b)
        && counts(a) == counts(b)
        && bits(&a.bounds) == bits(&b.bounds)
}
