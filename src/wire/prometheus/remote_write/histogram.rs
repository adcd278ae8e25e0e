//! Native histograms of both versions of remote write, which number their fields alike.
//!
//! Integer histograms come as differences of neighbouring buckets and become counts. Schemas finer
//! than the store keeps (9 to 52 are reserved for them) are merged down, as Prometheus does it.

use model::histogram::SCHEMA_MAX;
use model::{BucketSpan, Histogram, ResetHint};

use crate::prometheus::protobuf::{BadMessage, LENGTH_DELIMITED, Reader, VARINT};

/// The finest schema that the protocols reserve for exponential buckets.
const SCHEMA_RESERVED_MAX: i32 = 52;

/// One histogram with its instants, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimedHistogram {
    /// When it was taken.
    pub timestamp_ms: i64,
    /// When its counting began; 0 for unknown.
    pub start_ms: i64,
    /// The histogram, which may break the rules that [`Histogram::validate`] checks.
    pub histogram: Histogram,
}

/// Decodes one histogram message.
pub fn histogram(mut reader: Reader<'_>) -> Result<TimedHistogram, BadMessage> {
    const WHAT: &str = "a field of a histogram";
    let mut timed = TimedHistogram::default();
    let mut deltas = [Vec::new(), Vec::new()];
    let mut bounds = Vec::new();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        let out = &mut timed.histogram;
        match (field, wire) {
            (1, VARINT) => {
                out.count = reader.varint(WHAT)? as f64;
                out.is_integer = true;
            }
            (2, 1) => {
                out.count = reader.double(WHAT)?;
                out.is_integer = false;
            }
            (3, 1) => out.sum = reader.double(WHAT)?,
            (4, VARINT) => out.schema = small(reader.zigzag(WHAT)?),
            (5, 1) => out.zero_threshold = reader.double(WHAT)?,
            (6, VARINT) => out.zero_count = reader.varint(WHAT)? as f64,
            (7, 1) => out.zero_count = reader.double(WHAT)?,
            (8, LENGTH_DELIMITED) => out.negative.spans.push(span(reader.nested(WHAT)?)?),
            (11, LENGTH_DELIMITED) => out.positive.spans.push(span(reader.nested(WHAT)?)?),
            (9, _) => signed(&mut reader, wire, &mut deltas[0])?,
            (12, _) => signed(&mut reader, wire, &mut deltas[1])?,
            (10, _) => doubles(&mut reader, wire, &mut out.negative.counts)?,
            (13, _) => doubles(&mut reader, wire, &mut out.positive.counts)?,
            (14, VARINT) => {
                let number = reader.varint(WHAT)?;
                out.reset_hint =
                    u8::try_from(number).ok().and_then(ResetHint::from_u8).unwrap_or_default();
            }
            (15, VARINT) => timed.timestamp_ms = reader.varint(WHAT)? as i64,
            (16, _) => doubles(&mut reader, wire, &mut bounds)?,
            (17, VARINT) => timed.start_ms = reader.varint(WHAT)? as i64,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    let out = &mut timed.histogram;
    out.bounds = bounds.into();
    if out.is_integer {
        out.negative.counts = counts(&deltas[0]);
        out.positive.counts = counts(&deltas[1]);
    }
    if (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&out.schema) {
        out.reduce_schema(SCHEMA_MAX);
    }
    Ok(timed)
}

/// A number outside of 32 bits becomes one that no rule allows.
fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn span(mut reader: Reader<'_>) -> Result<BucketSpan, BadMessage> {
    const WHAT: &str = "a span of a histogram";
    let mut span = BucketSpan::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, VARINT) => span.offset = small(reader.zigzag(WHAT)?),
            (2, VARINT) => span.length = u32::try_from(reader.varint(WHAT)?).unwrap_or(u32::MAX),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(span)
}

fn signed(reader: &mut Reader<'_>, wire: u8, out: &mut Vec<i64>) -> Result<(), BadMessage> {
    const WHAT: &str = "buckets of a histogram";
    reader.repeated(wire, WHAT, |reader| {
        out.push(reader.zigzag(WHAT)?);
        Ok(())
    })
}

fn doubles(reader: &mut Reader<'_>, wire: u8, out: &mut Vec<f64>) -> Result<(), BadMessage> {
    const WHAT: &str = "counts or bounds of a histogram";
    reader.repeated(wire, WHAT, |reader| {
        out.push(reader.double(WHAT)?);
        Ok(())
    })
}

/// Counts from the differences between neighbours.
fn counts(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0i64;
    let step = |delta: &i64| {
        count = count.wrapping_add(*delta);
        count as f64
    };
    deltas.iter().map(step).collect()
}
