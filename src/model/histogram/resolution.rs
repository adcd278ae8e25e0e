//! Coarser resolutions of exponential histograms.

use super::layout::coarser_index;
use super::{Histogram, HistogramBuckets};

impl Histogram {
    /// Merges the buckets of an exponential histogram down to the coarser `schema`.
    pub fn reduce_schema(&mut self, schema: i32) {
        if self.schema <= schema || self.is_custom() {
            return;
        }
        self.positive = merged(&self.positive, self.schema, schema);
        self.negative = merged(&self.negative, self.schema, schema);
        self.schema = schema;
    }
}

/// Joins the buckets that are one at the schema `to`.
fn merged(buckets: &HistogramBuckets, from: i32, to: i32) -> HistogramBuckets {
    let mut counts: Vec<(i32, f64)> = Vec::with_capacity(buckets.counts.len());
    for (index, count) in buckets.iter() {
        let index = coarser_index(index, from, to);
        match counts.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => counts.push((index, count)),
        }
    }
    HistogramBuckets::from_counts(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::BucketSpan;

    #[test]
    fn neighbours_are_joined() {
        let mut histogram = Histogram {
            schema: 9,
            positive: HistogramBuckets {
                spans: vec![
                    BucketSpan { offset: -1, length: 4 },
                    BucketSpan { offset: 3, length: 1 },
                ],
                counts: vec![1.0, 2.0, 4.0, 8.0, 16.0],
            },
            ..Histogram::default()
        };
        histogram.reduce_schema(8);
        // -1 and 0 join in 0, 1 and 2 in 1, 6 is in 3.
        let buckets: Vec<_> = histogram.positive.iter().collect();
        assert_eq!(buckets, [(0, 3.0), (1, 12.0), (3, 16.0)]);
        assert_eq!(histogram.schema, 8);
    }
}
