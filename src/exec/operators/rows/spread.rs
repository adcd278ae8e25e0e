//! Rows of histograms spread out to rows of numbers: one for each wanted percentile, one for each
//! bucket. A row is called as its histograms are, and what it shows of them.

use std::collections::BTreeMap;

use model::histogram::Bucket;
use model::{Histogram, LabelBuilder, METRIC_NAME, SampleKind};
use plan::SpreadColumns;

use crate::error::ExecError;
use crate::executor::Sink;
use crate::row::{Identity, Row};

/// Pushes the rows that a row of histograms becomes; one of floats alone becomes none.
pub(super) fn apply(
    columns: &SpreadColumns,
    identity: &mut Identity<'_>,
    row: &mut Row,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    row.list();
    if !row.samples.histograms.iter().any(Option::is_some) {
        return Ok(());
    }
    for (percent, suffix) in &columns.percentiles {
        let mut out = Row::default();
        for (at_ms, histogram) in histograms(row) {
            let value = percentile(histogram, percent.0);
            out.samples.push(at_ms, SampleKind::Float, value.to_bits());
        }
        sink(&mut called(identity, suffix), &mut out)?;
    }
    if columns.buckets {
        for (name, mut out) in buckets(row) {
            sink(&mut called(identity, &name), &mut out)?;
        }
    }
    Ok(())
}

fn histograms(row: &Row) -> impl Iterator<Item = (i64, &Histogram)> {
    let points = 0..row.values().len();
    points.filter_map(|index| Some((row.at(index), &**row.samples.histogram(index)?)))
}

fn called(identity: &mut Identity<'_>, suffix: &str) -> Identity<'static> {
    let mut spread = identity.keep();
    let labels = identity.labels();
    let name = format!("{}{suffix}", labels.metric_name().unwrap_or_default());
    let mut builder = LabelBuilder::from_labels(labels.view());
    builder.set(METRIC_NAME, &name);
    spread.set_labels(builder.build());
    spread
}

/// The middle of the first bucket at which that share of what lies in bounded buckets is reached; -1
/// below one per cent, 0 where there is nothing.
fn percentile(histogram: &Histogram, percent: f64) -> f64 {
    if percent < 1.0 {
        return -1.0;
    }
    let all = histogram.all_buckets();
    let bounded = || all.iter().filter(|bucket| is_bounded(bucket));
    let total: f64 = bounded().map(|bucket| bucket.count).sum();
    let mut running = 0.0;
    let reached = bounded().find(|bucket| {
        running += bucket.count;
        100.0 * running / total >= percent
    });
    reached.map_or(0.0, |bucket| (bucket.lower + bucket.upper) / 2.0)
}

fn is_bounded(bucket: &Bucket) -> bool {
    bucket.lower.is_finite() && bucket.upper.is_finite()
}

/// A row of counts for what lies below all buckets, for each bucket, and for what lies above all.
fn buckets(row: &Row) -> Vec<(String, Row)> {
    let mut columns: BTreeMap<(Bound, Bound), Row> = BTreeMap::new();
    for (at_ms, histogram) in histograms(row) {
        for bucket in histogram.all_buckets() {
            let column = columns.entry((Bound(bucket.lower), Bound(bucket.upper))).or_default();
            // Counts are whole numbers up to 2^53.
            column.samples.push(at_ms, SampleKind::Integer, bucket.count as i64 as u64);
        }
    }
    let name = |(lower, upper): (Bound, Bound)| match (lower.0.is_finite(), upper.0.is_finite()) {
        (false, _) => "_UNDERFLOW".to_owned(),
        (_, false) => "_OVERFLOW".to_owned(),
        // Bounds come in single precision, and are shown with the digits of it.
        _ => format!("_{:?}_{:?}", lower.0 as f32, upper.0 as f32),
    };
    columns.into_iter().map(|(bounds, row)| (name(bounds), row)).collect()
}

/// A bound in the order of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bound(f64);

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use model::histogram::{BucketSpan, CUSTOM_SCHEMA, HistogramBuckets};
    use plan::node::Number;
    use std::sync::Arc;

    fn histogram(counts: [f64; 4]) -> Histogram {
        Histogram {
            schema: CUSTOM_SCHEMA,
            positive: HistogramBuckets {
                spans: vec![BucketSpan { offset: 0, length: 4 }],
                counts: counts.to_vec(),
            },
            bounds: Arc::from([0.0, 1.75, 3.5]),
            ..Histogram::default()
        }
    }

    #[test]
    fn percentiles_are_middles_of_bounded_buckets() {
        let some = histogram([9.0, 12.0, 16.0, 99.0]);
        for (percent, want) in [(0.5, -1.0), (42.0, 0.875), (43.0, 2.625), (100.0, 2.625)] {
            assert_eq!(percentile(&some, percent), want, "{percent}");
        }
        assert_eq!(percentile(&histogram([5.0, 0.0, 0.0, 5.0]), 50.0), 0.0);
    }

    #[test]
    fn every_column_is_a_row_with_a_name() {
        let mut row = Row::default();
        row.samples.timestamps.push(5);
        row.samples.values.push(crate::row::ABSENT);
        row.samples.histograms.push(Some(Arc::new(histogram([1.0, 2.0, 3.0, 4.0]))));
        let percentiles = vec![(Number(50.0), "_pct_50.0".to_owned())];
        let columns = SpreadColumns { percentiles, buckets: true };
        let mut shown = Vec::new();
        let labels = Labels::from_pairs([("__name__", "h"), ("host", "a")]);
        apply(&columns, &mut Identity::known(labels), &mut row, &mut |identity, row| {
            assert_eq!(identity.labels().get("host"), Some("a"));
            let name = identity.labels().metric_name().unwrap_or_default().to_owned();
            shown.push((name, row.values()[0], row.integer(0)));
            Ok(())
        })
        .unwrap();
        let want = [
            ("h_pct_50.0", 2.625, None),
            ("h_UNDERFLOW", 1.0, Some(1)),
            ("h_0.0_1.75", 2.0, Some(2)),
            ("h_1.75_3.5", 3.0, Some(3)),
            ("h_OVERFLOW", 4.0, Some(4)),
        ];
        assert_eq!(shown, want.map(|(name, value, count)| (name.to_owned(), value, count)));
    }
}
