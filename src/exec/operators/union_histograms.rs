//! Histograms of several rows, met at the union of their instants: those that stand at one instant
//! are added up, bucket by bucket. A row gives nothing between its points: nobody can say what lies
//! between two histograms.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::error::ExecError;
use crate::kernels::native::mean::Total;
use crate::row::{ABSENT, Row, Rows};

/// One row for the group, on listed instants. Layouts that cannot be added leave the first one.
pub(crate) fn reduce(rows: &Rows<'_>) -> Result<Row, ExecError> {
    let mut held = rows.budget().hold();
    let mut totals: BTreeMap<i64, Total> = BTreeMap::new();
    for (_, row) in rows.iter() {
        for index in 0..row.values().len() {
            let Some(histogram) = row.samples.histogram(index) else { continue };
            match totals.entry(row.at(index)) {
                Entry::Vacant(place) => {
                    let total = place.insert(Total::new(histogram, false));
                    held.add_large(histogram.weight(), total.buckets_bytes())?;
                }
                Entry::Occupied(mut total) => {
                    let before = total.get().buckets_bytes();
                    let _ = total.get_mut().add(histogram);
                    held.add_bytes(total.get().buckets_bytes().saturating_sub(before))?;
                }
            }
        }
    }
    let mut out = Row::default();
    for (at_ms, total) in totals {
        out.samples.timestamps.push(at_ms);
        out.samples.values.push(ABSENT);
        out.samples.histograms.push(Some(Arc::new(total.finish())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::row::Identity;
    use model::histogram::{BucketSpan, CUSTOM_SCHEMA, HistogramBuckets};
    use model::{Histogram, Labels};

    fn row(points: &[(i64, [f64; 2])]) -> Row {
        let mut row = Row::default();
        for (at_ms, counts) in points {
            let spans = vec![BucketSpan { offset: 0, length: 2 }];
            let histogram = Histogram {
                schema: CUSTOM_SCHEMA,
                count: counts.iter().sum(),
                positive: HistogramBuckets { spans, counts: counts.to_vec() },
                bounds: Arc::from([1.0]),
                ..Histogram::default()
            };
            row.samples.timestamps.push(*at_ms);
            row.samples.values.push(ABSENT);
            row.samples.histograms.push(Some(Arc::new(histogram)));
        }
        row
    }

    #[test]
    fn only_histograms_of_one_instant_are_added() {
        let budget = Budget::new(plan::QueryLimits::default());
        let mut rows = Rows::new(&budget);
        for points in
            [&[(1, [1.0, 2.0]), (3, [5.0, 0.0])][..], &[(1, [10.0, 20.0]), (2, [7.0, 7.0])]]
        {
            rows.push(&mut Identity::known(Labels::empty()), &row(points)).unwrap();
        }
        let out = reduce(&rows).unwrap();
        assert_eq!(out.samples.timestamps, [1, 2, 3]);
        let counts = |index: usize| {
            let histogram = out.samples.histogram(index).unwrap();
            histogram.positive_buckets().map(|bucket| bucket.count).collect::<Vec<_>>()
        };
        assert_eq!(counts(0), [11.0, 22.0]);
        assert_eq!(counts(1), [7.0, 7.0]);
    }
}
