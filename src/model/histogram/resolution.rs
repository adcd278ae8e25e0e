//! Coarser resolutions of exponential histograms.

use super::{BucketSpan, Histogram, HistogramBuckets};

impl Histogram {
    /// Merges the buckets of an exponential histogram down to the coarser `schema`.
    pub fn reduce_schema(&mut self, schema: i32) {
        let steps = self.schema - schema;
        if steps <= 0 || self.is_custom() {
            return;
        }
        let steps = steps.min(31) as u32;
        self.schema = schema;
        self.positive = merged(&self.positive, steps);
        self.negative = merged(&self.negative, steps);
    }
}

/// Joins `2^steps` neighbouring buckets each.
fn merged(buckets: &HistogramBuckets, steps: u32) -> HistogramBuckets {
    let mut out = HistogramBuckets::default();
    // Index behind the last bucket of `out`.
    let mut next = 0i32;
    let mut last = None;
    for (index, count) in buckets.iter() {
        // Bucket i ends at base^i, so 1 and 2 become 1, 3 and 4 become 2.
        let index = (index.wrapping_sub(1) >> steps).wrapping_add(1);
        if last == Some(index) {
            if let Some(merged) = out.counts.last_mut() {
                *merged += count;
            }
            continue;
        }
        match out.spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => out.spans.push(BucketSpan { offset: index.wrapping_sub(next), length: 1 }),
        }
        out.counts.push(count);
        next = index.wrapping_add(1);
        last = Some(index);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
