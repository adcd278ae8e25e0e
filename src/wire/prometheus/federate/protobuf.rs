//! `/federate` as protobuf: messages `io.prometheus.client.MetricFamily`, each behind its length.
//!
//! The one format that has native histograms.

use base::codec::put_uvarint;
use model::{BucketSpan, Histogram, LabelsRef, METRIC_NAME, ResetHint};

use super::{NameStyle, classic_buckets, escape_name};

/// Types of families by their numbers in the message.
const UNTYPED: u64 = 3;
const HISTOGRAM: u64 = 4;
const GAUGE_HISTOGRAM: u64 = 5;

/// What a sample is.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(&'v Histogram),
}

/// A family in the making.
#[derive(Debug)]
pub struct Family {
    body: Vec<u8>,
    style: NameStyle,
}

fn put_tag(out: &mut Vec<u8>, field: u64, wire: u64) {
    put_uvarint(out, field << 3 | wire);
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_tag(out, field, 0);
    put_uvarint(out, number);
}

fn put_signed(out: &mut Vec<u8>, field: u64, number: i32) {
    let number = i64::from(number);
    put_number(out, field, (number << 1 ^ number >> 63) as u64);
}

fn put_double(out: &mut Vec<u8>, field: u64, value: f64) {
    put_tag(out, field, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_message(out: &mut Vec<u8>, field: u64, message: &[u8]) {
    put_tag(out, field, 2);
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(message);
}

impl Family {
    /// Opens the family of `metric`; its type is that of `first`.
    pub fn open(metric: &str, first: Value<'_>, style: NameStyle) -> Self {
        let mut name = String::new();
        escape_name(&mut name, metric, style);
        let mut body = Vec::new();
        put_message(&mut body, 1, name.as_bytes());
        let type_number = match first {
            Value::Float(_) => UNTYPED,
            Value::Histogram(one) if one.reset_hint == ResetHint::Gauge => GAUGE_HISTOGRAM,
            Value::Histogram(_) => HISTOGRAM,
        };
        put_number(&mut body, 3, type_number);
        Self { body, style }
    }

    /// Adds a sample; a series without the label `instance` gets an empty one.
    pub fn push(&mut self, labels: LabelsRef<'_>, value: Value<'_>, at_ms: i64) {
        let mut metric = Vec::new();
        let instance = labels.get("instance").is_none().then_some(("instance", ""));
        let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
        for (name, text) in own.chain(instance) {
            let mut pair = Vec::new();
            let mut escaped = String::new();
            escape_name(&mut escaped, name, self.style);
            put_message(&mut pair, 1, escaped.as_bytes());
            put_message(&mut pair, 2, text.as_bytes());
            put_message(&mut metric, 1, &pair);
        }
        let mut message = Vec::new();
        match value {
            Value::Float(value) => {
                put_double(&mut message, 1, value);
                put_message(&mut metric, 5, &message);
                put_number(&mut metric, 6, at_ms as u64);
            }
            Value::Histogram(histogram) => {
                put_number(&mut metric, 6, at_ms as u64);
                put_histogram(&mut message, histogram);
                put_message(&mut metric, 7, &message);
            }
        }
        put_message(&mut self.body, 4, &metric);
    }

    /// Appends the family behind its length.
    pub fn finish(self, out: &mut Vec<u8>) {
        put_uvarint(out, self.body.len() as u64);
        out.extend_from_slice(&self.body);
    }
}

/// Fields in the order of their numbers, as Prometheus writes them.
fn put_histogram(out: &mut Vec<u8>, histogram: &Histogram) {
    put_double(out, 2, histogram.sum);
    if histogram.is_custom() {
        for (bound, count) in classic_buckets(histogram) {
            let mut bucket = Vec::new();
            put_double(&mut bucket, 2, bound);
            put_double(&mut bucket, 4, count);
            put_message(out, 3, &bucket);
        }
        put_double(out, 4, histogram.count);
        return;
    }
    put_double(out, 4, histogram.count);
    put_signed(out, 5, histogram.schema);
    put_double(out, 6, histogram.zero_threshold);
    put_double(out, 8, histogram.zero_count);
    put_side(out, (9, 11), &histogram.negative.spans, &histogram.negative.counts);
    put_side(out, (12, 14), &histogram.positive.spans, &histogram.positive.counts);
}

fn put_side(out: &mut Vec<u8>, (spans, counts): (u64, u64), of: &[BucketSpan], buckets: &[f64]) {
    for span in of {
        let mut message = Vec::new();
        put_signed(&mut message, 1, span.offset);
        put_number(&mut message, 2, u64::from(span.length));
        put_message(out, spans, &message);
    }
    for count in buckets {
        put_double(out, counts, *count);
    }
}
