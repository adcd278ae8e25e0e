//! Remote read: the questions, and both shapes of answers.
//!
//! `chunks` writes samples as Prometheus's own chunks. Nothing here holds more than one series.

mod bits;
pub mod chunks;

use base::codec::{put_uvarint, zigzag};
use model::{Histogram, LabelsRef, Matcher, Pattern, PatternError, Samples, TimeRange, ValueTest};

use super::protobuf::{BadMessage, LENGTH_DELIMITED, Reader, VARINT};
use chunks::{EncodedChunk, encode_chunk};

/// Bytes of chunks in a frame, beyond which it is closed.
pub const FRAME_BYTES: usize = 1 << 20;
/// Queries of one request.
const QUERIES_MAX: usize = 1000;

/// How a request wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// One message with all samples.
    Samples,
    /// Frames of chunks.
    Chunks,
}

/// One question.
#[derive(Clone, Debug)]
pub struct Query {
    /// First and last instant.
    pub range: TimeRange,
    /// Which series.
    pub matchers: Vec<Matcher>,
    /// Only labels are wanted.
    pub labels_only: bool,
}

/// A request.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The questions, which are answered in this order.
    pub queries: Vec<Query>,
    /// The first kind of answer that the client accepts.
    pub response: Response,
}

/// Why a request is none.
#[derive(Debug, thiserror::Error)]
pub enum BadRequest {
    /// Not the message.
    #[error(transparent)]
    Message(#[from] BadMessage),
    /// A pattern that is none.
    #[error("cannot read a matcher: {0}")]
    Pattern(#[from] PatternError),
    /// A matcher of a type that is not known.
    #[error("unknown matcher type {0}")]
    MatcherType(u64),
    /// None of the accepted kinds of answers is known.
    #[error("server does not support any of the requested response types")]
    ResponseType,
    /// Too many questions at once.
    #[error("request has more than {QUERIES_MAX} queries")]
    TooManyQueries,
}

/// Decodes a decompressed `ReadRequest`.
pub fn decode(message: &[u8]) -> Result<ReadRequest, BadRequest> {
    const WHAT: &str = "a field of the read request";
    let (mut queries, mut accepted) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(message);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, LENGTH_DELIMITED) => queries.push(query(reader.nested(WHAT)?)?),
            (2, _) => reader.repeated(wire, WHAT, |reader| {
                accepted.push(reader.varint(WHAT)?);
                Ok(())
            })?,
            _ => reader.skip(wire, WHAT)?,
        }
        if queries.len() > QUERIES_MAX {
            return Err(BadRequest::TooManyQueries);
        }
    }
    let known = accepted.iter().find_map(|kind| match kind {
        0 => Some(Response::Samples),
        1 => Some(Response::Chunks),
        _ => None,
    });
    let response = match known {
        Some(response) => response,
        None if accepted.is_empty() => Response::Samples,
        None => return Err(BadRequest::ResponseType),
    };
    Ok(ReadRequest { queries, response })
}

fn query(mut reader: Reader<'_>) -> Result<Query, BadRequest> {
    const WHAT: &str = "a field of a query";
    let (mut start_ms, mut end_ms, mut labels_only) = (0, 0, false);
    let mut matchers = Vec::new();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, VARINT) => start_ms = reader.varint(WHAT)? as i64,
            (2, VARINT) => end_ms = reader.varint(WHAT)? as i64,
            (3, LENGTH_DELIMITED) => matchers.push(matcher(reader.nested(WHAT)?)?),
            (4, LENGTH_DELIMITED) => labels_only = asks_for_labels(reader.nested(WHAT)?)?,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(Query { range: TimeRange::new(start_ms, end_ms), matchers, labels_only })
}

/// The function hint `series` says that no sample is wanted.
fn asks_for_labels(mut hints: Reader<'_>) -> Result<bool, BadMessage> {
    const WHAT: &str = "a field of the hints";
    let mut labels_only = false;
    while let Some((field, wire)) = hints.tag(WHAT)? {
        match (field, wire) {
            (2, LENGTH_DELIMITED) => labels_only = hints.nested(WHAT)?.bytes == b"series",
            _ => hints.skip(wire, WHAT)?,
        }
    }
    Ok(labels_only)
}

fn matcher(mut reader: Reader<'_>) -> Result<Matcher, BadRequest> {
    const WHAT: &str = "a field of a matcher";
    let text = |reader: Reader<'_>| String::from_utf8_lossy(reader.bytes).into_owned();
    let (mut kind, mut name, mut value) = (0, String::new(), String::new());
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, VARINT) => kind = reader.varint(WHAT)?,
            (2, LENGTH_DELIMITED) => name = text(reader.nested(WHAT)?),
            (3, LENGTH_DELIMITED) => value = text(reader.nested(WHAT)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    let test = match kind {
        0 => ValueTest::Equal(value),
        1 => ValueTest::NotEqual(value),
        2 => ValueTest::Regex(Pattern::new(&value)?),
        3 => ValueTest::NotRegex(Pattern::new(&value)?),
        _ => return Err(BadRequest::MatcherType(kind)),
    };
    Ok(Matcher::new(name, test))
}

/// The snappy block of an answer.
pub fn compress(message: &[u8]) -> Result<Vec<u8>, snap::Error> {
    snap::raw::Encoder::new().compress_vec(message)
}

fn put_key(out: &mut Vec<u8>, field: u64, wire: u8) {
    put_uvarint(out, field << 3 | u64::from(wire));
}

fn put_message(out: &mut Vec<u8>, field: u64, message: &[u8]) {
    put_key(out, field, LENGTH_DELIMITED);
    put_uvarint(out, message.len() as u64);
    out.extend_from_slice(message);
}

/// Numbers that are zero are left out, as proto3 has it.
fn put_integer(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        put_key(out, field, VARINT);
        put_uvarint(out, value);
    }
}

fn put_double(out: &mut Vec<u8>, field: u64, value: f64) {
    if value.to_bits() != 0 {
        put_key(out, field, 1);
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
}

fn put_labels(out: &mut Vec<u8>, labels: LabelsRef<'_>) {
    let mut label = Vec::new();
    for (name, value) in labels.iter() {
        label.clear();
        put_message(&mut label, 1, name.as_bytes());
        put_message(&mut label, 2, value.as_bytes());
        put_message(out, 1, &label);
    }
}

/// Appends one series with its samples to a `QueryResult`.
pub fn put_series(out: &mut Vec<u8>, labels: LabelsRef<'_>, samples: &Samples) {
    let (mut series, mut message) = (Vec::new(), Vec::new());
    put_labels(&mut series, labels);
    for (index, (at_ms, value)) in samples.timestamps.iter().zip(&samples.values).enumerate() {
        message.clear();
        match samples.histogram(index) {
            None => {
                put_double(&mut message, 1, *value);
                put_integer(&mut message, 2, *at_ms as u64);
                put_message(&mut series, 2, &message);
            }
            Some(histogram) => {
                put_histogram(&mut message, *at_ms, histogram);
                put_message(&mut series, 4, &message);
            }
        }
    }
    put_message(out, 1, &series);
}

/// Appends a whole `QueryResult` to a `ReadResponse`.
pub fn put_result(out: &mut Vec<u8>, result: &[u8]) {
    put_message(out, 1, result);
}

fn put_histogram(out: &mut Vec<u8>, at_ms: i64, histogram: &Histogram) {
    let Histogram { positive, negative, bounds, .. } = histogram;
    // The fields of a count are written even when zero: they say how it was counted.
    let count = |out: &mut Vec<u8>, field: u64, value: f64| {
        if histogram.is_integer {
            put_key(out, field, VARINT);
            put_uvarint(out, value as u64);
        } else {
            put_key(out, field + 1, 1);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    };
    count(out, 1, histogram.count);
    put_double(out, 3, histogram.sum);
    put_integer(out, 4, zigzag(i64::from(histogram.schema)));
    put_double(out, 5, histogram.zero_threshold);
    count(out, 6, histogram.zero_count);
    for (field, side) in [(8, negative), (11, positive)] {
        let mut message = Vec::new();
        for span in &side.spans {
            message.clear();
            put_integer(&mut message, 1, zigzag(i64::from(span.offset)));
            put_integer(&mut message, 2, u64::from(span.length));
            put_message(out, field, &message);
        }
        message.clear();
        let mut last = 0;
        for value in &side.counts {
            if histogram.is_integer {
                put_uvarint(&mut message, zigzag(*value as i64 - last));
                last = *value as i64;
            } else {
                message.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
        if !message.is_empty() {
            put_message(out, if histogram.is_integer { field + 1 } else { field + 2 }, &message);
        }
    }
    put_integer(out, 14, histogram.reset_hint as u64);
    put_integer(out, 15, at_ms as u64);
    if !bounds.is_empty() {
        let bytes: Vec<u8> =
            bounds.iter().flat_map(|bound| bound.to_bits().to_le_bytes()).collect();
        put_message(out, 16, &bytes);
    }
}

/// Hands the frames of one series to `send`, until it says that nobody listens any more.
pub fn frames(
    query: u64,
    labels: LabelsRef<'_>,
    samples: &Samples,
    mut send: impl FnMut(Vec<u8>) -> bool,
) -> bool {
    let mut named = Vec::new();
    put_labels(&mut named, labels);
    let mut series = named.clone();
    let mut start = 0;
    while let Some((chunk, end)) = encode_chunk(samples, start) {
        put_chunk(&mut series, &chunk);
        start = end;
        if series.len() >= FRAME_BYTES {
            if !send(frame(query, &series)) {
                return false;
            }
            series.clone_from(&named);
        }
    }
    // A series without samples is told by its labels; a rest is a frame of its own.
    (!samples.is_empty() && series.len() == named.len()) || send(frame(query, &series))
}

fn put_chunk(out: &mut Vec<u8>, chunk: &EncodedChunk) {
    let mut message = Vec::with_capacity(chunk.data.len() + 24);
    put_integer(&mut message, 1, chunk.min_ms as u64);
    put_integer(&mut message, 2, chunk.max_ms as u64);
    put_integer(&mut message, 3, chunk.encoding as u64);
    put_message(&mut message, 4, &chunk.data);
    put_message(out, 2, &message);
}

/// Length, CRC-32C of the message with the highest byte first, message.
fn frame(query: u64, series: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(series.len() + 16);
    put_message(&mut message, 1, series);
    put_integer(&mut message, 2, query);
    let mut out = Vec::with_capacity(message.len() + 14);
    put_uvarint(&mut out, message.len() as u64);
    out.extend_from_slice(&base::frame::checksum(&message).to_be_bytes());
    out.extend_from_slice(&message);
    out
}

#[cfg(test)]
mod tests;
