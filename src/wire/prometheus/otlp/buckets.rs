//! OpenTelemetry's histograms as native ones: exponential buckets, or listed bounds as custom ones.
//!
//! OpenTelemetry counts buckets from the one that begins at 1, Prometheus from the one that ends
//! there, so indexes move by one. A scale finer than Prometheus keeps is merged down.

use model::histogram::{CUSTOM_SCHEMA, SCHEMA_MAX, SCHEMA_MIN};
use model::sample::STALE_NAN_BITS;
use model::{BucketSpan, Histogram, HistogramBuckets, ResetHint};

use super::message::{Buckets, ExponentialPoint, HistogramPoint, Stamp, Temporality};

/// Width of the bucket around zero; what senders say of it is not read (Prometheus 3.14 neither).
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets that are written out rather than opening a further span.
const GAP_MAX: i64 = 2;

/// A native histogram with what is odd about it.
pub type WithWarning = (Histogram, Option<String>);

/// An exponential histogram. `Err` is Prometheus's text.
pub fn exponential(
    point: &ExponentialPoint<'_>,
    temporality: Temporality,
) -> Result<WithWarning, String> {
    let scale = point.scale;
    if scale < SCHEMA_MIN {
        return Err(format!(
            "cannot convert exponential to native histogram. Scale must be >= {SCHEMA_MIN}, was \
             {scale}"
        ));
    }
    let shift = (scale - SCHEMA_MAX).max(0);
    let histogram = Histogram {
        schema: scale.min(SCHEMA_MAX),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: point.zero_count as f64,
        positive: exponential_side(&point.positive, shift)?,
        negative: exponential_side(&point.negative, shift)?,
        ..Histogram::default()
    };
    let what = "exponential histogram data point";
    Ok(finish(histogram, &point.stamp, (point.count, point.sum), temporality, what))
}

/// A histogram with listed bounds as one with custom buckets.
pub fn custom(point: &HistogramPoint<'_>, temporality: Temporality) -> Result<WithWarning, String> {
    let counts = point.bucket_counts.iter().copied();
    let histogram = Histogram {
        schema: CUSTOM_SCHEMA,
        positive: sparse((0i64..).zip(counts))?,
        bounds: point.bounds.as_slice().into(),
        ..Histogram::default()
    };
    let what = "histogram data point";
    Ok(finish(histogram, &point.stamp, (point.count, point.sum), temporality, what))
}

/// Count, sum and what is known of resets.
fn finish(
    mut histogram: Histogram,
    stamp: &Stamp,
    (count, sum): (u64, Option<f64>),
    temporality: Temporality,
    what: &str,
) -> WithWarning {
    histogram.is_integer = true;
    // Differences are no counter, and a total may have been reset in between: readers compare.
    histogram.reset_hint =
        if temporality == Temporality::Delta { ResetHint::Gauge } else { ResetHint::Unknown };
    if stamp.is_stale() {
        histogram.sum = f64::from_bits(STALE_NAN_BITS);
        return (histogram, None);
    }
    (histogram.count, histogram.sum) = (count as f64, sum.unwrap_or_default());
    let is_odd = count == 0 && histogram.sum != 0.0;
    let text = || format!("{what} has zero count, but non-zero sum: {:.6}", histogram.sum);
    let warning = is_odd.then(text);
    (histogram, warning)
}

fn exponential_side(buckets: &Buckets, shift: i32) -> Result<HistogramBuckets, String> {
    let shift = shift.min(63);
    let index = |place: usize| ((i64::from(buckets.offset) + place as i64) >> shift) + 1;
    let mut merged: Vec<(i64, u64)> = Vec::new();
    for (place, count) in buckets.bucket_counts.iter().enumerate() {
        let index = index(place);
        match merged.last_mut() {
            Some((last, sum)) if *last == index => *sum = sum.wrapping_add(*count),
            _ => merged.push((index, *count)),
        }
    }
    sparse(merged.into_iter())
}

/// Spans over the buckets that count something, ascending by index.
fn sparse(buckets: impl Iterator<Item = (i64, u64)>) -> Result<HistogramBuckets, String> {
    let mut out = HistogramBuckets::default();
    let mut next = 0i64;
    for (index, count) in buckets.filter(|(_, count)| *count > 0) {
        let gap = index - next;
        match out.spans.last_mut().filter(|_| gap <= GAP_MAX) {
            Some(span) => {
                span.length += gap as u32 + 1;
                out.counts.resize(out.counts.len() + gap as usize, 0.0);
            }
            None => {
                let offset = i32::try_from(gap)
                    .map_err(|_| format!("bucket index {index} is out of range"))?;
                out.spans.push(BucketSpan { offset, length: 1 });
            }
        }
        out.counts.push(count as f64);
        next = index + 1;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(offset: i32, counts: &[u64], shift: i32) -> Vec<(i32, f64)> {
        let buckets = Buckets { offset, bucket_counts: counts.to_vec() };
        let sparse = exponential_side(&buckets, shift).unwrap();
        let all = sparse.iter().filter(|(_, count)| *count > 0.0);
        all.collect()
    }

    /// The layouts of Prometheus's own test of this conversion.
    #[test]
    fn buckets_move_by_one_and_merge() {
        assert_eq!(side(1, &[4, 3, 2, 1], 0), [(2, 4.0), (3, 3.0), (4, 2.0), (5, 1.0)]);
        assert_eq!(side(1, &[4, 3, 2, 1], 1), [(1, 4.0), (2, 5.0), (3, 1.0)]);
        assert_eq!(side(1, &[4, 3, 2, 1], 2), [(1, 9.0), (2, 1.0)]);
        assert_eq!(side(-2, &[3, 1, 0, 0, 0, 1], 0), [(-1, 3.0), (0, 1.0), (4, 1.0)]);
        assert_eq!(side(-2, &[3, 1, 0, 0, 0, 1], 1), [(0, 4.0), (2, 1.0)]);
        assert_eq!(side(i32::MIN, &[1, 1], 63), [(0, 2.0)]);
        assert_eq!(side(7, &[0, 0], 0), []);
        assert_eq!(side(0, &[0, 0, 5, 6], 1), [(2, 11.0)]);
    }

    #[test]
    fn long_gaps_open_spans() {
        let buckets = sparse([(3, 1), (6, 2), (10, 3)].into_iter()).unwrap();
        let spans: Vec<_> = buckets.spans.iter().map(|span| (span.offset, span.length)).collect();
        assert_eq!(spans, [(3, 4), (3, 1)]);
        assert_eq!(buckets.counts, [1.0, 0.0, 0.0, 2.0, 3.0]);
    }

    #[test]
    fn points_become_valid_histograms() {
        let buckets = Buckets { offset: 3, bucket_counts: vec![1, 0, 0, 0, 0, 2] };
        let point = ExponentialPoint {
            count: 8,
            sum: Some(4.5),
            scale: 9,
            zero_count: 2,
            positive: buckets.clone(),
            negative: buckets,
            ..ExponentialPoint::default()
        };
        let (histogram, warning) = exponential(&point, Temporality::Cumulative).unwrap();
        assert_eq!((histogram.validate(), warning), (Ok(()), None));
        assert_eq!((histogram.schema, histogram.count, histogram.sum), (8, 8.0, 4.5));
        let coarse = ExponentialPoint { scale: -5, ..point.clone() };
        let error = exponential(&coarse, Temporality::Cumulative).unwrap_err();
        assert!(error.ends_with("Scale must be >= -4, was -5"));
        let empty = ExponentialPoint { sum: Some(2.0), ..ExponentialPoint::default() };
        let (histogram, warning) = exponential(&empty, Temporality::Delta).unwrap();
        assert_eq!(histogram.reset_hint, ResetHint::Gauge);
        let text = "exponential histogram data point has zero count, but non-zero sum: 2.000000";
        assert_eq!(warning.as_deref(), Some(text));
        let listed = HistogramPoint {
            count: 6,
            bucket_counts: vec![0, 1, 2, 3],
            bounds: vec![1.0, 2.5, 5.0],
            ..HistogramPoint::default()
        };
        let (histogram, _) = custom(&listed, Temporality::Cumulative).unwrap();
        assert_eq!(histogram.validate(), Ok(()));
        assert_eq!(histogram.positive.spans, [BucketSpan { offset: 1, length: 3 }]);
    }
}
