//! A native histogram as a label's value.

use std::fmt::Write;

use model::Histogram;
use model::histogram::Bucket;

use base::number_text::general;

/// Count, sum and the buckets that counted something, in ascending order.
pub(crate) fn text(histogram: &Histogram) -> String {
    let (count, sum) = (general(histogram.count), general(histogram.sum));
    let mut out = format!("{{count:{count}, sum:{sum}");
    let mut put = |bucket: &Bucket| {
        let open = if bucket.lower_inclusive { '[' } else { '(' };
        let close = if bucket.upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [bucket.lower, bucket.upper, bucket.count].map(general);
        // Writing to a text cannot fail.
        let _ = write!(out, ", {open}{lower},{upper}{close}:{count}");
    };
    let negative: Vec<Bucket> =
        histogram.negative_buckets().filter(|bucket| bucket.count != 0.0).collect();
    negative.iter().rev().for_each(&mut put);
    if histogram.zero_count != 0.0 {
        put(&histogram.zero_bucket());
    }
    histogram.positive_buckets().filter(|bucket| bucket.count != 0.0).for_each(|b| put(&b));
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::HistogramBuckets;

    #[test]
    fn buckets_are_listed() {
        let some = Histogram {
            count: 1e6,
            sum: 2.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive: HistogramBuckets::from_counts([(0, 0.0), (1, 3.0)]),
            negative: HistogramBuckets::from_counts([(1, 2.0)]),
            ..Histogram::default()
        };
        let expected = "{count:1e+06, sum:2.5, [-2,-1):2, [-0.001,0.001]:1, (1,2]:3}";
        assert_eq!(text(&some), expected);
    }
}
