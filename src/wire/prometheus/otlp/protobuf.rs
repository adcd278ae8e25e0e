//! Requests as protobuf: `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`.
//!
//! Invariant: values nest no deeper than [`DEPTH_MAX`], whatever a body says.

use std::borrow::Cow;

use super::OtlpError;
use super::message::{
    Buckets, Data, Exemplar, ExponentialPoint, HistogramPoint, Metric, Number, NumberPoint,
    Quantile, Request, Resource, ResourceMetrics, Scope, ScopeMetrics, Stamp, SummaryPoint,
    Temporality,
};
use super::value::{AnyValue, KeyValue};
use crate::prometheus::protobuf::{FIXED_64, LENGTH_DELIMITED as BYTES, Reader, VARINT};

/// Values inside values. Senders use two or three.
pub const DEPTH_MAX: usize = 64;

type Decoded<T> = Result<T, OtlpError>;

/// Reads a request.
pub fn decode(body: &[u8]) -> Decoded<Request<'_>> {
    const WHAT: &str = "a field of the request";
    let mut request = Request::default();
    let mut reader = Reader::new(body);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => request.resource_metrics.push(resource_metrics(reader.nested(WHAT)?)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(request)
}

fn resource_metrics(mut reader: Reader<'_>) -> Decoded<ResourceMetrics<'_>> {
    const WHAT: &str = "metrics of a resource";
    let mut out = ResourceMetrics::default();
    let mut old = Vec::new();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.resource = resource(reader.nested(WHAT)?)?,
            (2, BYTES) => out.scope_metrics.push(scope_metrics(reader.nested(WHAT)?)?),
            // The field of versions before 0.15, when scopes were instrumentation libraries.
            (1000, BYTES) => old.push(scope_metrics(reader.nested(WHAT)?)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    if out.scope_metrics.is_empty() {
        out.scope_metrics = old;
    }
    Ok(out)
}

fn resource(mut reader: Reader<'_>) -> Decoded<Resource<'_>> {
    const WHAT: &str = "a resource";
    let mut out = Resource::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn scope_metrics(mut reader: Reader<'_>) -> Decoded<ScopeMetrics<'_>> {
    const WHAT: &str = "metrics of a scope";
    let mut out = ScopeMetrics::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.scope = scope(reader.nested(WHAT)?)?,
            (2, BYTES) => out.metrics.push(metric(reader.nested(WHAT)?)?),
            (3, BYTES) => out.schema_url = text(&mut reader, "a schema")?,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn scope(mut reader: Reader<'_>) -> Decoded<Scope<'_>> {
    const WHAT: &str = "a scope";
    let mut out = Scope::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.name = text(&mut reader, WHAT)?,
            (2, BYTES) => out.version = text(&mut reader, WHAT)?,
            (3, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn metric(mut reader: Reader<'_>) -> Decoded<Metric<'_>> {
    const WHAT: &str = "a metric";
    let mut out = Metric::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.name = text(&mut reader, WHAT)?,
            (2, BYTES) => out.description = text(&mut reader, WHAT)?,
            (3, BYTES) => out.unit = text(&mut reader, WHAT)?,
            (5, BYTES) => out.data = Data::Gauge(points(reader.nested(WHAT)?, number_point)?.0),
            (7, BYTES) => {
                let (points, temporality, is_monotonic) =
                    points(reader.nested(WHAT)?, number_point)?;
                out.data = Data::Sum { points, temporality, is_monotonic };
            }
            (9, BYTES) => {
                let (points, temporality, _) = points(reader.nested(WHAT)?, histogram_point)?;
                out.data = Data::Histogram { points, temporality };
            }
            (10, BYTES) => {
                let (points, temporality, _) = points(reader.nested(WHAT)?, exponential_point)?;
                out.data = Data::Exponential { points, temporality };
            }
            (11, BYTES) => out.data = Data::Summary(points(reader.nested(WHAT)?, summary_point)?.0),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

/// The points of a metric of any kind, and what kinds may say of them.
fn points<'a, T>(
    mut reader: Reader<'a>,
    point: impl Fn(Reader<'a>) -> Decoded<T>,
) -> Decoded<(Vec<T>, Temporality, bool)> {
    const WHAT: &str = "points of a metric";
    let (mut points, mut temporality, mut is_monotonic) = (Vec::new(), 0, false);
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => points.push(point(reader.nested(WHAT)?)?),
            (2, VARINT) => temporality = reader.varint(WHAT)? as i64,
            (3, VARINT) => is_monotonic = reader.varint(WHAT)? != 0,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok((points, Temporality::from_number(temporality), is_monotonic))
}

/// Takes a field that all points number alike; false when it is none.
fn stamp(reader: &mut Reader<'_>, field: (u64, u8), stamp: &mut Stamp) -> Decoded<bool> {
    const WHAT: &str = "the time of a point";
    match field {
        (2, FIXED_64) => stamp.start_ns = reader.fixed_64(WHAT)?,
        (3, FIXED_64) => stamp.time_ns = reader.fixed_64(WHAT)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn number_point(mut reader: Reader<'_>) -> Decoded<NumberPoint<'_>> {
    const WHAT: &str = "a point";
    let mut out = NumberPoint::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (4, FIXED_64) => out.value = Number::Double(reader.double(WHAT)?),
            (6, FIXED_64) => out.value = Number::Integer(reader.fixed_64(WHAT)? as i64),
            (5, BYTES) => out.exemplars.push(exemplar(reader.nested(WHAT)?)?),
            (7, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            (8, VARINT) => out.stamp.flags = reader.varint(WHAT)? as u32,
            field if stamp(&mut reader, field, &mut out.stamp)? => {}
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn histogram_point(mut reader: Reader<'_>) -> Decoded<HistogramPoint<'_>> {
    const WHAT: &str = "a point of a histogram";
    let mut out = HistogramPoint::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (4, FIXED_64) => out.count = reader.fixed_64(WHAT)?,
            (5, FIXED_64) => out.sum = Some(reader.double(WHAT)?),
            (6, BYTES | FIXED_64) => reader.repeated(wire, WHAT, |reader| {
                out.bucket_counts.push(reader.fixed_64(WHAT)?);
                Ok(())
            })?,
            (7, BYTES | FIXED_64) => reader.repeated(wire, WHAT, |reader| {
                out.bounds.push(reader.double(WHAT)?);
                Ok(())
            })?,
            (8, BYTES) => out.exemplars.push(exemplar(reader.nested(WHAT)?)?),
            (9, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            (10, VARINT) => out.stamp.flags = reader.varint(WHAT)? as u32,
            field if stamp(&mut reader, field, &mut out.stamp)? => {}
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn exponential_point(mut reader: Reader<'_>) -> Decoded<ExponentialPoint<'_>> {
    const WHAT: &str = "a point of an exponential histogram";
    let mut out = ExponentialPoint::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            (4, FIXED_64) => out.count = reader.fixed_64(WHAT)?,
            (5, FIXED_64) => out.sum = Some(reader.double(WHAT)?),
            (6, VARINT) => out.scale = reader.zigzag(WHAT)? as i32,
            (7, FIXED_64) => out.zero_count = reader.fixed_64(WHAT)?,
            (8, BYTES) => out.positive = buckets(reader.nested(WHAT)?)?,
            (9, BYTES) => out.negative = buckets(reader.nested(WHAT)?)?,
            (10, VARINT) => out.stamp.flags = reader.varint(WHAT)? as u32,
            (11, BYTES) => out.exemplars.push(exemplar(reader.nested(WHAT)?)?),
            (14, FIXED_64) => out.zero_threshold = reader.double(WHAT)?,
            field if stamp(&mut reader, field, &mut out.stamp)? => {}
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn buckets(mut reader: Reader<'_>) -> Decoded<Buckets> {
    const WHAT: &str = "buckets of a histogram";
    let mut out = Buckets::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, VARINT) => out.offset = reader.zigzag(WHAT)? as i32,
            (2, BYTES | VARINT) => reader.repeated(wire, WHAT, |reader| {
                out.bucket_counts.push(reader.varint(WHAT)?);
                Ok(())
            })?,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn summary_point(mut reader: Reader<'_>) -> Decoded<SummaryPoint<'_>> {
    const WHAT: &str = "a point of a summary";
    let mut out = SummaryPoint::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (4, FIXED_64) => out.count = reader.fixed_64(WHAT)?,
            (5, FIXED_64) => out.sum = reader.double(WHAT)?,
            (6, BYTES) => out.quantiles.push(quantile(reader.nested(WHAT)?)?),
            (7, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            (8, VARINT) => out.stamp.flags = reader.varint(WHAT)? as u32,
            field if stamp(&mut reader, field, &mut out.stamp)? => {}
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn quantile(mut reader: Reader<'_>) -> Decoded<Quantile> {
    const WHAT: &str = "a quantile";
    let mut out = Quantile::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, FIXED_64) => out.quantile = reader.double(WHAT)?,
            (2, FIXED_64) => out.value = reader.double(WHAT)?,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn exemplar(mut reader: Reader<'_>) -> Decoded<Exemplar<'_>> {
    const WHAT: &str = "an exemplar";
    let mut out = Exemplar::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (2, FIXED_64) => out.time_ns = reader.fixed_64(WHAT)?,
            (3, FIXED_64) => out.value = Number::Double(reader.double(WHAT)?),
            (6, FIXED_64) => out.value = Number::Integer(reader.fixed_64(WHAT)? as i64),
            (4, BYTES) => out.span_id = id(reader.nested(WHAT)?.bytes, "a span", 8)?,
            (5, BYTES) => out.trace_id = id(reader.nested(WHAT)?.bytes, "a trace", 16)?,
            (7, BYTES) => out.attributes.push(key_value(reader.nested(WHAT)?, 0)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn id(bytes: &[u8], what: &'static str, expected: usize) -> Decoded<Vec<u8>> {
    if !bytes.is_empty() && bytes.len() != expected {
        return Err(OtlpError::Id { what, got: bytes.len(), expected });
    }
    Ok(bytes.to_vec())
}

fn text<'a>(reader: &mut Reader<'a>, what: &'static str) -> Decoded<Cow<'a, str>> {
    let bytes = reader.nested(what)?.bytes;
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| OtlpError::Utf8 { what })
}

fn key_value(mut reader: Reader<'_>, depth: usize) -> Decoded<KeyValue<'_>> {
    const WHAT: &str = "an attribute";
    let mut out = KeyValue::default();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out.key = text(&mut reader, WHAT)?,
            (2, BYTES) => out.value = value(reader.nested(WHAT)?, depth)?,
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

fn value(mut reader: Reader<'_>, depth: usize) -> Decoded<AnyValue<'_>> {
    const WHAT: &str = "the value of an attribute";
    if depth > DEPTH_MAX {
        return Err(OtlpError::Depth { max: DEPTH_MAX });
    }
    let mut out = AnyValue::Empty;
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => out = AnyValue::Text(text(&mut reader, WHAT)?),
            (2, VARINT) => out = AnyValue::Bool(reader.varint(WHAT)? != 0),
            (3, VARINT) => out = AnyValue::Integer(reader.varint(WHAT)? as i64),
            (4, FIXED_64) => out = AnyValue::Double(reader.double(WHAT)?),
            (5, BYTES) => {
                let items = values(reader.nested(WHAT)?, |item| value(item, depth + 1))?;
                out = AnyValue::List(items);
            }
            (6, BYTES) => {
                let entries = values(reader.nested(WHAT)?, |entry| key_value(entry, depth + 1))?;
                out = AnyValue::Map(entries);
            }
            (7, BYTES) => out = AnyValue::Bytes(Cow::Borrowed(reader.nested(WHAT)?.bytes)),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(out)
}

/// The items of a list or of a map.
fn values<'a, T>(
    mut reader: Reader<'a>,
    item: impl Fn(Reader<'a>) -> Decoded<T>,
) -> Decoded<Vec<T>> {
    const WHAT: &str = "values of an attribute";
    let mut items = Vec::new();
    while let Some((field, wire)) = reader.tag(WHAT)? {
        match (field, wire) {
            (1, BYTES) => items.push(item(reader.nested(WHAT)?)?),
            _ => reader.skip(wire, WHAT)?,
        }
    }
    Ok(items)
}
