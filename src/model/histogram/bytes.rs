//! One histogram as bytes that explain themselves: what batches, the log and open buffers hold.
//!
//! ```text
//! flags u8      bits 0-1 reset hint, 2 the sender counted with integers, 3 counts are uvarints
//!               (else f64), 4 a zero bucket, 5 a negative side, 6 custom bounds; 7 is 0
//! schema        varint
//! sum           f64
//! count         a count: uvarint or f64
//! zero bucket   threshold f64, a count
//! positive      uvarint spans, each varint offset and uvarint length; as many counts as they cover
//! negative      likewise
//! bounds        uvarint, f64 each
//! ```
//!
//! Invariant: decoding gives the bits that were encoded, and allocates in proportion to its input.
//! The hint is in the first byte alone, so that a store may learn it without encoding anew.

use std::sync::Arc;

use base::codec::{ByteReader, put_uvarint, put_varint};

use super::check::BUCKETS_MAX;
use super::{BucketSpan, Histogram, HistogramBuckets, ResetHint};

const HINT: u8 = 0x03;
const IS_INTEGER: u8 = 0x04;
const WHOLE_COUNTS: u8 = 0x08;
const HAS_ZERO: u8 = 0x10;
const HAS_NEGATIVE: u8 = 0x20;
const HAS_BOUNDS: u8 = 0x40;
const FLAGS_UNUSED: u8 = 0x80;

/// Bytes that are no histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot decode a histogram at byte {offset}: expected {expected}")]
pub struct BadHistogram {
    /// Where.
    pub offset: usize,
    /// What should be there.
    pub expected: &'static str,
}

/// Reads the hint of an encoded histogram.
pub fn hint_of(bytes: &[u8]) -> ResetHint {
    bytes.first().and_then(|flags| ResetHint::from_u8(flags & HINT)).unwrap_or_default()
}

/// Changes the hint of an encoded histogram.
pub fn set_hint(bytes: &mut [u8], hint: ResetHint) {
    if let Some(flags) = bytes.first_mut() {
        *flags = (*flags & !HINT) | hint as u8;
    }
}

/// Appends `histogram`, which is valid.
pub fn encode(histogram: &Histogram, out: &mut Vec<u8>) {
    let Histogram { positive, negative, bounds, .. } = histogram;
    let whole = is_whole(histogram.count)
        && is_whole(histogram.zero_count)
        && positive.counts.iter().chain(&negative.counts).all(|count| is_whole(*count));
    let has_zero = histogram.zero_threshold.to_bits() | histogram.zero_count.to_bits() != 0;
    let has_negative = !negative.spans.is_empty() || !negative.counts.is_empty();
    let mut flags = histogram.reset_hint as u8;
    for (is_set, flag) in [
        (histogram.is_integer, IS_INTEGER),
        (whole, WHOLE_COUNTS),
        (has_zero, HAS_ZERO),
        (has_negative, HAS_NEGATIVE),
        (!bounds.is_empty(), HAS_BOUNDS),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    out.push(flags);
    put_varint(out, i64::from(histogram.schema));
    put_float(out, histogram.sum);
    put_count(out, whole, histogram.count);
    if has_zero {
        put_float(out, histogram.zero_threshold);
        put_count(out, whole, histogram.zero_count);
    }
    put_buckets(out, whole, positive);
    if has_negative {
        put_buckets(out, whole, negative);
    }
    if !bounds.is_empty() {
        put_uvarint(out, bounds.len() as u64);
        for bound in bounds.iter() {
            put_float(out, *bound);
        }
    }
}

/// True of counts that are the same as integers: whole, below 2^53, and not -0.0, whose bits are its own.
pub fn is_whole(count: f64) -> bool {
    (0.0..(1u64 << 53) as f64).contains(&count)
        && count.trunc() == count
        && count.is_sign_positive()
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, whole: bool, count: f64) {
    if whole { put_uvarint(out, count as u64) } else { put_float(out, count) }
}

fn put_buckets(out: &mut Vec<u8>, whole: bool, buckets: &HistogramBuckets) {
    put_uvarint(out, buckets.spans.len() as u64);
    for span in &buckets.spans {
        put_varint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
    for count in &buckets.counts {
        put_count(out, whole, *count);
    }
}

/// Decodes one histogram, which takes all of `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Histogram, BadHistogram> {
    let mut reader = ByteReader::new(bytes);
    let flags = reader.u8();
    if flags & FLAGS_UNUSED != 0 {
        return Err(BadHistogram { offset: 0, expected: "flags of this version" });
    }
    let whole = flags & WHOLE_COUNTS != 0;
    let schema = reader.varint();
    let mut histogram = Histogram {
        schema: i32::try_from(schema).map_err(|_| bad(&reader, "a schema"))?,
        reset_hint: ResetHint::from_u8(flags & HINT).unwrap_or_default(),
        is_integer: flags & IS_INTEGER != 0,
        sum: float(&mut reader),
        count: count(&mut reader, whole),
        ..Histogram::default()
    };
    if flags & HAS_ZERO != 0 {
        histogram.zero_threshold = float(&mut reader);
        histogram.zero_count = count(&mut reader, whole);
    }
    histogram.positive = buckets(&mut reader, whole)?;
    if flags & HAS_NEGATIVE != 0 {
        histogram.negative = buckets(&mut reader, whole)?;
    }
    if flags & HAS_BOUNDS != 0 {
        histogram.bounds = bounds(&mut reader)?;
    }
    if reader.failed() || reader.remaining() > 0 {
        return Err(bad(&reader, "the end of the histogram"));
    }
    Ok(histogram)
}

fn bad(reader: &ByteReader<'_>, expected: &'static str) -> BadHistogram {
    BadHistogram { offset: reader.position(), expected }
}

fn float(reader: &mut ByteReader<'_>) -> f64 {
    f64::from_bits(reader.u64())
}

fn count(reader: &mut ByteReader<'_>, whole: bool) -> f64 {
    if whole { reader.uvarint() as f64 } else { float(reader) }
}

fn buckets(reader: &mut ByteReader<'_>, whole: bool) -> Result<HistogramBuckets, BadHistogram> {
    let spans = reader.uvarint() as usize;
    if spans > BUCKETS_MAX || spans > reader.remaining() {
        return Err(bad(reader, "fewer spans"));
    }
    let mut buckets = HistogramBuckets::default();
    buckets.spans.reserve_exact(spans);
    let mut total = 0u64;
    for _ in 0..spans {
        let (offset, length) = (reader.varint(), reader.uvarint());
        let (Ok(offset), Ok(length)) = (i32::try_from(offset), u32::try_from(length)) else {
            return Err(bad(reader, "a span of 32 bits"));
        };
        buckets.spans.push(BucketSpan { offset, length });
        total += u64::from(length);
    }
    // Every count takes at least a byte.
    if total > BUCKETS_MAX as u64 || total > reader.remaining() as u64 {
        return Err(bad(reader, "fewer buckets"));
    }
    buckets.counts.extend((0..total).map(|_| count(reader, whole)));
    Ok(buckets)
}

fn bounds(reader: &mut ByteReader<'_>) -> Result<Arc<[f64]>, BadHistogram> {
    let count = reader.uvarint() as usize;
    if count > BUCKETS_MAX || count > reader.remaining() / 8 {
        return Err(bad(reader, "fewer bounds"));
    }
    Ok((0..count).map(|_| float(reader)).collect())
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;
    use crate::histogram::testing::{random, same_bits};

    #[test]
    fn random_histograms_round_trip_to_the_bit() {
        let mut rng = Rng::new(3);
        for _ in 0..2000 {
            let want = random(&mut rng);
            let mut bytes = Vec::new();
            encode(&want, &mut bytes);
            let got = decode(&bytes).unwrap();
            assert!(same_bits(&got, &want), "{got:?} {want:?}");
            assert_eq!(hint_of(&bytes), want.reset_hint);
            set_hint(&mut bytes, ResetHint::Gauge);
            assert_eq!(decode(&bytes).unwrap().reset_hint, ResetHint::Gauge);
        }
    }

    #[test]
    fn hostile_bytes_are_errors_and_small() {
        let mut rng = Rng::new(4);
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            encode(&random(&mut rng), &mut bytes);
            for _ in 0..1 + rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.next_u64() as u8;
            }
            if rng.one_in(2) {
                bytes.truncate(rng.below(bytes.len() as u64) as usize);
            }
            if let Ok(histogram) = decode(&bytes) {
                assert!(histogram.positive.counts.len() <= bytes.len());
            }
        }
        assert!(decode(&[]).is_err());
    }
}
