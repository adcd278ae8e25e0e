//! What a histogram must fulfil before it is stored, and why one is refused.
//!
//! The rules are those of Prometheus 3 (`model/histogram`), so that a sender meets the same refusals;
//! beyond them buckets are bounded, since every one costs memory on each read.

use super::{BucketSpan, Histogram, HistogramBuckets, SCHEMA_MAX, SCHEMA_MIN};

/// Buckets of one side of a histogram: far more than the finest resolution needs for any latency.
pub const BUCKETS_MAX: usize = 1 << 14;

/// Why a histogram is not one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// Neither exponential nor custom.
    #[error(
        "histogram has an invalid schema, which must be between {SCHEMA_MIN} and {SCHEMA_MAX} for \
         exponential buckets, or -53 for custom buckets, got schema {schema}"
    )]
    Schema {
        /// What it says.
        schema: i32,
    },
    /// A span goes back.
    #[error(
        "{side} side: span number {number} with offset {offset}: histogram has a span whose \
         offset is negative"
    )]
    SpanOffset {
        /// Positive or negative.
        side: &'static str,
        /// Counted from 1.
        number: usize,
        /// What it says.
        offset: i32,
    },
    /// Spans and counts disagree.
    #[error(
        "{side} side: spans need {spans} buckets, have {buckets} buckets: histogram spans specify \
         different number of buckets than provided"
    )]
    SpanLength {
        /// Positive or negative.
        side: &'static str,
        /// Buckets by the spans.
        spans: u64,
        /// Counts given.
        buckets: usize,
    },
    /// More buckets, or an index further out, than is accepted.
    #[error("{side} side: histogram has {buckets} buckets in {spans} spans, more than {max}")]
    TooManyBuckets {
        /// Positive or negative.
        side: &'static str,
        /// How many counts.
        buckets: usize,
        /// How many spans.
        spans: usize,
        /// How many are accepted.
        max: usize,
    },
    /// A span ends beyond the last possible index.
    #[error("{side} side: bucket indexes go beyond 32 bits")]
    IndexRange {
        /// Positive or negative.
        side: &'static str,
    },
    /// A bucket with less than nothing.
    #[error(
        "{side} side: bucket number {number} has observation count of {count}: histogram has a \
         bucket whose observation count is negative"
    )]
    NegativeBucket {
        /// Positive or negative.
        side: &'static str,
        /// Counted from 1.
        number: usize,
        /// What it says.
        count: f64,
    },
    /// Less than nothing around zero.
    #[error(
        "zero bucket has observation count of {count}: histogram has a bucket whose observation \
         count is negative"
    )]
    NegativeZero {
        /// What it says.
        count: f64,
    },
    /// A negative count of all.
    // Two blanks, as in the original.
    #[error("observation count is  {count}: histogram's observation count is negative")]
    NegativeCount {
        /// What it says.
        count: f64,
    },
    /// The buckets do not add up.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should equal the number of observations found in the buckets (in absence \
         of NaN)"
    )]
    CountMismatch {
        /// In the buckets.
        found: f64,
        /// What it says.
        count: f64,
    },
    /// The buckets hold more than all, where some observations were NaN.
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's \
         observation count should be at least the number of observations found in the buckets"
    )]
    CountTooSmall {
        /// In the buckets.
        found: f64,
        /// What it says.
        count: f64,
    },
    /// A custom layout uses what only exponential ones have.
    #[error("custom buckets: must {what}")]
    CustomWith {
        /// What it must be like.
        what: &'static str,
    },
    /// Bounds that do not ascend, are not finite, or are too few.
    #[error("custom buckets: {problem}")]
    Bounds {
        /// What is wrong.
        problem: &'static str,
    },
    /// Bounds without a custom layout.
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialBounds,
}

impl Histogram {
    /// Checks everything that readers rely on; an integer histogram must add up, too.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.is_custom() {
            self.validate_custom()?;
        } else if (SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema) {
            if !self.bounds.is_empty() {
                return Err(HistogramError::ExponentialBounds);
            }
            check_spans("negative", &self.negative)?;
            check_counts("negative", &self.negative.counts)?;
            if self.zero_count < 0.0 {
                return Err(HistogramError::NegativeZero { count: self.zero_count });
            }
        } else {
            return Err(HistogramError::Schema { schema: self.schema });
        }
        check_spans("positive", &self.positive)?;
        check_counts("positive", &self.positive.counts)?;
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount { count: self.count });
        }
        if self.is_integer { self.validate_sum() } else { Ok(()) }
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        let with = |what| Err(HistogramError::CustomWith { what });
        if self.zero_count != 0.0 {
            return with("have zero count of 0");
        }
        if self.zero_threshold != 0.0 {
            return with("have zero threshold of 0");
        }
        if !self.negative.spans.is_empty() {
            return with("not have negative spans");
        }
        if !self.negative.counts.is_empty() {
            return with("not have negative buckets");
        }
        let bad = |problem| Err(HistogramError::Bounds { problem });
        if self.bounds.iter().any(|bound| bound.is_nan()) {
            return bad("histogram custom bounds must not be NaN");
        }
        if !self.bounds.is_sorted_by(|a, b| a < b) {
            return bad("histogram custom bounds must be in strictly increasing order");
        }
        if self.bounds.last() == Some(&f64::INFINITY) {
            return bad("histogram custom bounds must be finite");
        }
        if self.bounds.len() > BUCKETS_MAX {
            return bad("bounds are too many");
        }
        if self.positive.spans.first().is_some_and(|span| span.offset < 0) {
            return bad("buckets begin before the first bound");
        }
        let width = |span: &BucketSpan| i64::from(span.offset) + i64::from(span.length);
        let total: i64 = self.positive.spans.iter().map(width).sum();
        if total > self.bounds.len() as i64 + 1 {
            return bad("histogram custom bounds are too few for the spans");
        }
        Ok(())
    }

    fn validate_sum(&self) -> Result<(), HistogramError> {
        let of = |buckets: &HistogramBuckets| buckets.counts.iter().sum::<f64>();
        let found = of(&self.positive) + of(&self.negative) + self.zero_count;
        // NaN observations count, but fall into no bucket.
        let count = self.count;
        match self.sum.is_nan() {
            true if found > count => Err(HistogramError::CountTooSmall { found, count }),
            false if found != count => Err(HistogramError::CountMismatch { found, count }),
            _ => Ok(()),
        }
    }
}

fn check_spans(side: &'static str, buckets: &HistogramBuckets) -> Result<(), HistogramError> {
    let HistogramBuckets { spans, counts } = buckets;
    let (mut end, mut total) = (0i64, 0u64);
    for (index, span) in spans.iter().enumerate() {
        if index > 0 && span.offset < 0 {
            let (number, offset) = (index + 1, span.offset);
            return Err(HistogramError::SpanOffset { side, number, offset });
        }
        end = end.saturating_add(i64::from(span.offset) + i64::from(span.length));
        total += u64::from(span.length);
    }
    if total != counts.len() as u64 {
        return Err(HistogramError::SpanLength { side, spans: total, buckets: counts.len() });
    }
    if counts.len() > BUCKETS_MAX || spans.len() > BUCKETS_MAX {
        let (buckets, spans) = (counts.len(), spans.len());
        return Err(HistogramError::TooManyBuckets { side, buckets, spans, max: BUCKETS_MAX });
    }
    if i32::try_from(end).is_err() {
        return Err(HistogramError::IndexRange { side });
    }
    Ok(())
}

fn check_counts(side: &'static str, counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        None => Ok(()),
        Some(index) => {
            let (number, count) = (index + 1, counts[index]);
            Err(HistogramError::NegativeBucket { side, number, count })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(spans: &[(i32, u32)], counts: &[f64]) -> HistogramBuckets {
        let span = |(offset, length): &(i32, u32)| BucketSpan { offset: *offset, length: *length };
        HistogramBuckets { spans: spans.iter().map(span).collect(), counts: counts.to_vec() }
    }

    fn valid() -> Histogram {
        Histogram {
            is_integer: true,
            zero_threshold: 1e-128,
            zero_count: 2.0,
            count: 10.0,
            sum: 3.5,
            positive: buckets(&[(-2, 2), (1, 1)], &[1.0, 2.0, 3.0]),
            negative: buckets(&[(5, 1)], &[2.0]),
            ..Histogram::default()
        }
    }

    fn custom() -> Histogram {
        Histogram {
            schema: -53,
            is_integer: true,
            count: 3.0,
            positive: buckets(&[(0, 2)], &[1.0, 2.0]),
            bounds: [0.5].into(),
            ..Histogram::default()
        }
    }

    /// What a test does to a valid histogram.
    type Change = fn(&mut Histogram);

    #[test]
    fn each_rule_is_told() {
        assert_eq!(valid().validate(), Ok(()));
        assert_eq!(custom().validate(), Ok(()));
        let cases: [(Histogram, Change, &str); 13] = [
            (valid(), |h| h.schema = 9, "got schema 9"),
            (valid(), |h| h.positive.spans[1].offset = -1, "span number 2"),
            (valid(), |h| h.positive.counts.push(1.0), "spans need 3 buckets, have 4"),
            (valid(), |h| h.negative.counts[0] = -2.0, "negative side: bucket number 1"),
            (valid(), |h| h.zero_count = -1.0, "zero bucket has"),
            (valid(), |h| h.count = 11.0, "10 observations found"),
            (valid(), |h| h.bounds = [1.0].into(), "must not have custom bounds"),
            (valid(), |h| h.positive.spans[0].offset = i32::MAX, "beyond 32 bits"),
            (custom(), |h| h.zero_count = 1.0, "zero count"),
            (custom(), |h| h.bounds = [f64::NAN].into(), "NaN"),
            (custom(), |h| h.bounds = [2.0, 1.0].into(), "increasing"),
            (custom(), |h| h.bounds = [f64::INFINITY].into(), "finite"),
            (custom(), |h| h.bounds = [].into(), "too few"),
        ];
        for (mut histogram, change, want) in cases {
            change(&mut histogram);
            let got = histogram.validate().unwrap_err().to_string();
            assert!(got.contains(want), "{got:?} lacks {want:?}");
        }
        // Observations of NaN fall into no bucket.
        let with_nan = Histogram { sum: f64::NAN, count: 12.0, ..valid() };
        assert_eq!(with_nan.validate(), Ok(()));
        // Float counts need not add up.
        let floats = Histogram { is_integer: false, count: 0.5, ..valid() };
        assert_eq!(floats.validate(), Ok(()));
    }
}
