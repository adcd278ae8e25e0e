//! Samples as chunks of Prometheus: floats (XOR), integer histograms and float histograms.
//!
//! Invariants: a chunk has at most [`SAMPLES_MAX`] samples of one kind; one of histograms has one
//! layout, and a reset only in front. Whatever breaks that begins the next chunk. The layouts are those
//! of Prometheus's `tsdb/docs/format/chunks.md`.

use model::histogram::Histogram;
use model::{HistogramBuckets, ResetHint, Samples};

use super::bits::{BitWriter, XorColumn};

/// Samples of a chunk, as many as Prometheus puts into one.
pub const SAMPLES_MAX: usize = 120;

/// The encoding of a chunk by its number in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Histograms counted with integers.
    Histogram = 2,
    /// Histograms counted with floats.
    FloatHistogram = 3,
}

/// One encoded chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// First and last instant, in milliseconds.
    pub min_ms: i64,
    /// See `min_ms`.
    pub max_ms: i64,
    /// What `data` is.
    pub encoding: Encoding,
    /// The bytes.
    pub data: Vec<u8>,
}

/// Encodes the samples from `start` on as one chunk; returns it with the place behind its last sample.
/// `None` when there is no sample.
pub fn encode_chunk(samples: &Samples, start: usize) -> Option<(EncodedChunk, usize)> {
    let min_ms = *samples.timestamps.get(start)?;
    let (encoding, end, data) = match samples.histogram(start) {
        None => {
            let is_float = |index: &usize| samples.histogram(*index).is_none();
            let last = samples.len().min(start + SAMPLES_MAX);
            let end = start + (start..last).take_while(is_float).count();
            (Encoding::Xor, end, floats(samples, start..end))
        }
        Some(first) => {
            let end = behind_histograms(samples, start, first);
            let encoding =
                if is_whole(first) { Encoding::Histogram } else { Encoding::FloatHistogram };
            (encoding, end, histograms(samples, start..end, encoding))
        }
    };
    let max_ms = samples.timestamps[end - 1];
    Some((EncodedChunk { min_ms, max_ms, encoding, data }, end))
}

fn floats(samples: &Samples, range: std::ops::Range<usize>) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.put(range.len() as u64, 16);
    let (mut before, mut step) = (0i64, 0i64);
    let mut values: Option<XorColumn> = None;
    for (place, index) in range.enumerate() {
        let (at_ms, value) = (samples.timestamps[index], samples.values[index]);
        let next_step = at_ms.wrapping_sub(before);
        match place {
            0 => out.put_uvarint(base::codec::zigzag(at_ms)),
            1 => out.put_uvarint(next_step as u64),
            _ => out.put_instant_step(next_step.wrapping_sub(step)),
        }
        match &mut values {
            Some(column) => column.push(value, &mut out),
            None => values = Some(XorColumn::start(value, &mut out)),
        }
        (before, step) = (at_ms, next_step);
    }
    out.into_bytes()
}

/// True when all counts are whole, as the chunk of an integer histogram needs them.
fn is_whole(histogram: &Histogram) -> bool {
    let whole = |count: &f64| (0.0..9e18).contains(count) && count.trunc() == *count;
    let Histogram { positive, negative, .. } = histogram;
    histogram.is_integer
        && whole(&histogram.count)
        && whole(&histogram.zero_count)
        && positive.counts.iter().chain(&negative.counts).all(whole)
}

/// The place behind the histograms that go into one chunk with the `first`.
fn behind_histograms(samples: &Samples, start: usize, first: &Histogram) -> usize {
    let goes_on = |index: &usize| {
        samples.histogram(*index).is_some_and(|next| {
            let hint = if first.reset_hint == ResetHint::Gauge {
                ResetHint::Gauge
            } else {
                ResetHint::NotReset
            };
            next.reset_hint == hint
                && next.schema == first.schema
                && next.zero_threshold == first.zero_threshold
                && next.positive.spans == first.positive.spans
                && next.negative.spans == first.negative.spans
                && next.bounds == first.bounds
                && is_whole(next) == is_whole(first)
        })
    };
    let last = samples.len().min(start + SAMPLES_MAX);
    start + 1 + (start + 1..last).take_while(goes_on).count()
}

/// The first byte of a chunk of histograms.
fn reset_header(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::NotReset => 0x40,
        ResetHint::Reset => 0x80,
        ResetHint::Gauge => 0xc0,
    }
}

fn put_layout(histogram: &Histogram, out: &mut BitWriter) {
    put_zero_threshold(histogram.zero_threshold, out);
    out.put_signed(i64::from(histogram.schema));
    for side in [&histogram.positive, &histogram.negative] {
        out.put_unsigned(side.spans.len() as u64);
        for span in &side.spans {
            out.put_unsigned(u64::from(span.length));
            out.put_signed(i64::from(span.offset));
        }
    }
    if histogram.is_custom() {
        out.put_unsigned(histogram.bounds.len() as u64);
        for bound in histogram.bounds.iter() {
            put_bound(*bound, out);
        }
    }
}

/// A byte for zero and the usual powers of two, nine for others.
fn put_zero_threshold(threshold: f64, out: &mut BitWriter) {
    if threshold == 0.0 {
        return out.put_byte(0);
    }
    // A power of two has no fraction bits; its exponent e stands for 0.5 * 2^(e - 1022).
    let bits = threshold.to_bits();
    let exponent = (bits >> 52) as i64 - 1022;
    if bits << 12 == 0 && (-242..=11).contains(&exponent) {
        return out.put_byte((exponent + 243) as u8);
    }
    out.put_byte(255);
    out.put(bits, 64);
}

/// Thousandths up to 33554.430 are short.
fn put_bound(bound: f64, out: &mut BitWriter) {
    let thousandths = (bound * 1000.0).round();
    let is_short = bound >= 0.0 && bound * 1000.0 <= 33_554_430.0 && thousandths / 1000.0 == bound;
    if is_short {
        return out.put_unsigned(thousandths as u64 + 1);
    }
    out.put(0, 1);
    out.put(bound.to_bits(), 64);
}

fn histograms(samples: &Samples, range: std::ops::Range<usize>, encoding: Encoding) -> Vec<u8> {
    let mut out = BitWriter::default();
    out.put(range.len() as u64, 16);
    let mut chunk = Chunk::default();
    for index in range {
        let Some(histogram) = samples.histogram(index) else {
            continue;
        };
        let is_first = chunk.sum.is_none();
        if is_first {
            out.put_byte(reset_header(histogram.reset_hint));
            put_layout(histogram, &mut out);
        }
        let at_ms = samples.timestamps[index];
        let step = at_ms.wrapping_sub(chunk.at_ms);
        if is_first {
            out.put_signed(at_ms);
        } else {
            out.put_signed(step.wrapping_sub(chunk.step_ms));
            chunk.step_ms = step;
        }
        chunk.at_ms = at_ms;
        if encoding == Encoding::Histogram {
            chunk.put_integers(histogram, &mut out);
        } else {
            chunk.put_floats(histogram, &mut out);
        }
    }
    out.into_bytes()
}

/// What the columns of a chunk had last.
#[derive(Debug, Default)]
struct Chunk {
    at_ms: i64,
    step_ms: i64,
    sum: Option<XorColumn>,
    /// Count, zero count, buckets: last value and last difference.
    integers: Vec<(i64, i64)>,
    floats: Vec<XorColumn>,
}

impl Chunk {
    fn put_sum(&mut self, sum: f64, out: &mut BitWriter) {
        match &mut self.sum {
            Some(column) => column.push(sum, out),
            None => self.sum = Some(XorColumn::start(sum, out)),
        }
    }

    fn put_integers(&mut self, histogram: &Histogram, out: &mut BitWriter) {
        let is_first = self.sum.is_none();
        let totals = [histogram.count as i64, histogram.zero_count as i64];
        for (place, total) in totals.into_iter().enumerate() {
            if is_first {
                out.put_unsigned(total as u64);
                self.integers.push((total, 0));
            } else {
                self.put_integer(place, total, out);
            }
        }
        self.put_sum(histogram.sum, out);
        let buckets = differences(&histogram.positive).chain(differences(&histogram.negative));
        for (place, bucket) in buckets.enumerate() {
            if is_first {
                out.put_signed(bucket);
                self.integers.push((bucket, 0));
            } else {
                self.put_integer(place + 2, bucket, out);
            }
        }
    }

    fn put_integer(&mut self, place: usize, value: i64, out: &mut BitWriter) {
        if let Some((last, last_step)) = self.integers.get_mut(place) {
            let step = value.wrapping_sub(*last);
            out.put_signed(step.wrapping_sub(*last_step));
            (*last, *last_step) = (value, step);
        }
    }

    fn put_floats(&mut self, histogram: &Histogram, out: &mut BitWriter) {
        let Histogram { count, zero_count, sum, positive, negative, .. } = histogram;
        let totals = [*count, *zero_count, *sum];
        let buckets = positive.counts.iter().chain(&negative.counts).copied();
        let is_first = self.floats.is_empty();
        for (place, value) in totals.into_iter().chain(buckets).enumerate() {
            match self.floats.get_mut(place) {
                Some(column) => column.push(value, out),
                None if is_first => self.floats.push(XorColumn::start(value, out)),
                None => {}
            }
        }
        // Says that the layout is written.
        self.sum.get_or_insert_with(|| XorColumn::start(*sum, &mut BitWriter::default()));
    }
}

/// Buckets as differences of neighbours.
fn differences(buckets: &HistogramBuckets) -> impl Iterator<Item = i64> + '_ {
    let mut last = 0i64;
    buckets.counts.iter().map(move |count| {
        let count = *count as i64;
        let step = count.wrapping_sub(last);
        last = count;
        step
    })
}
