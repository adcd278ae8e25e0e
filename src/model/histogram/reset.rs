//! Whether a counter began anew between two histograms of one series.

use super::{Histogram, HistogramBuckets, ResetHint};

impl Histogram {
    /// The hint of this sample when `previous` is the sample before it in the same series: what the
    /// sender said of gauges and resets stays, the rest is found by comparing. As in Prometheus's
    /// chunks, a changed resolution or zero bucket leaves the answer to the reader.
    pub fn hint_after(&self, previous: &Histogram) -> ResetHint {
        if matches!(self.reset_hint, ResetHint::Gauge | ResetHint::Reset) {
            return self.reset_hint;
        }
        if self.is_integer != previous.is_integer {
            return ResetHint::Unknown;
        }
        if previous.reset_hint == ResetHint::Gauge {
            return ResetHint::NotReset;
        }
        if self.count < previous.count {
            return ResetHint::Reset;
        }
        if self.schema != previous.schema || self.zero_threshold != previous.zero_threshold {
            return ResetHint::Unknown;
        }
        let is_reset = self.bounds != previous.bounds
            || self.zero_count < previous.zero_count
            || shrank(&self.positive, &previous.positive)
            || shrank(&self.negative, &previous.negative);
        if is_reset { ResetHint::Reset } else { ResetHint::NotReset }
    }
}

/// True when a bucket of `previous` holds less now, or is gone.
fn shrank(now: &HistogramBuckets, previous: &HistogramBuckets) -> bool {
    if now.spans == previous.spans {
        return now.counts.iter().zip(&previous.counts).any(|(now, before)| now < before);
    }
    let mut now = now.iter().peekable();
    for (index, before) in previous.iter() {
        while now.next_if(|(other, _)| *other < index).is_some() {}
        let count = now.next_if(|(other, _)| *other == index).map_or(0.0, |(_, count)| count);
        if count < before {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::BucketSpan;

    fn of(first: i32, counts: &[f64]) -> Histogram {
        Histogram {
            count: counts.iter().sum(),
            positive: HistogramBuckets {
                spans: vec![BucketSpan { offset: first, length: counts.len() as u32 }],
                counts: counts.to_vec(),
            },
            ..Histogram::default()
        }
    }

    #[test]
    fn resets_are_found() {
        let before = of(1, &[1.0, 2.0]);
        let check = |now: Histogram, want| assert_eq!(now.hint_after(&before), want, "{now:?}");
        check(of(1, &[1.0, 2.0]), ResetHint::NotReset);
        check(of(0, &[5.0, 1.0, 2.0, 7.0]), ResetHint::NotReset);
        check(of(1, &[0.0, 9.0]), ResetHint::Reset);
        check(of(2, &[9.0]), ResetHint::Reset);
        check(of(1, &[1.0]), ResetHint::Reset);
        check(Histogram { schema: 1, ..of(1, &[1.0, 2.0]) }, ResetHint::Unknown);
        let gauge = ResetHint::Gauge;
        check(Histogram { reset_hint: gauge, ..of(1, &[0.0]) }, gauge);
        let said = ResetHint::Reset;
        check(Histogram { reset_hint: said, ..of(1, &[9.0, 9.0]) }, said);
    }
}
