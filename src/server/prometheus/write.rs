//! `POST /api/v1/write`: remote write 1.0 and 2.0.
//!
//! 204 means written and synced. Everything wrong with the request itself is 400 or 415, which senders
//! never repeat; everything that may pass is 503, which they repeat. What a request holds beside its
//! faults is stored, and the headers of 2.0 tell how much that is.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::Classify;
use model::{AppendReport, RejectReason, SampleKind, TenantId, WriteBatch};
use wire::prometheus::remote_write::{
    Decoded, RemoteWriteError, SeriesExemplar, decode, decompress, decompress_zstd, v2,
};

use super::metadata;
use super::params::read_body;
use super::reply::plain_error;
use crate::bodies;
use crate::error_map::{Api, status};
use crate::state::State;

/// The counts that every answer carries.
const WRITTEN_HEADERS: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// The message that a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Snappy,
    Zstd,
}

/// What was stored: floats, histograms, exemplars.
#[derive(Clone, Copy, Debug, Default)]
struct Written([u64; 3]);

/// The handler.
pub async fn remote_write(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    let mut written = Written::default();
    let mut response = match write(&state, request, &mut written).await {
        Ok(()) => {
            state.metrics.ingest_requests.with("ok").inc();
            StatusCode::NO_CONTENT.into_response()
        }
        Err((status, text)) => {
            let outcome = if status.is_server_error() { "unavailable" } else { "invalid" };
            state.metrics.ingest_requests.with(outcome).inc();
            plain_error(status, &text)
        }
    };
    for (name, count) in WRITTEN_HEADERS.into_iter().zip(written.0) {
        response.headers_mut().insert(name, HeaderValue::from(count));
    }
    response
}

/// The status and the text of a request that is not taken.
pub(super) type Refusal = (StatusCode, String);

async fn write(state: &Arc<State>, request: Request, written: &mut Written) -> Result<(), Refusal> {
    let (version, encoding) = negotiate(request.headers())?;
    let max = state.settings.body_bytes_max;
    let body = read_body(request, max).await.map_err(|error| {
        (StatusCode::BAD_REQUEST, format!("cannot read the body (at most {max} bytes): {error}"))
    })?;
    bodies::check(state)?;
    let batch = state.batch();
    let (mut decoded, batch) =
        decode_body(state, version, encoding, &body, batch).map_err(|error| {
            state.metrics.rejected_samples.with("malformed").inc();
            (StatusCode::BAD_REQUEST, error.to_string())
        })?;
    note_drops(state, &decoded);
    let mut stored = Written::default();
    if !batch.is_empty() {
        let mut report = append(state, batch, "remote_write").await?;
        stored.0[1] = stored_histograms(&report);
        stored.0[0] = report.written - stored.0[1];
        tell_rejects(state, version, &mut report, &mut decoded);
        state.spare_batches.give(report.batch);
    }
    stored.0[2] = store_exemplars(state, std::mem::take(&mut decoded.exemplars)).await;
    if let Err(error) = metadata::store(state, &decoded.metadata).await {
        // The samples are stored; metadata comes again with the next request.
        tracing::warn!(%error, "remote write: metadata is not stored");
    }
    // Senders of 1.0 take counts for a sign of 2.0, so Prometheus gives them zeros.
    if version == Version::Two {
        *written = stored;
    }
    if decoded.fault_count == 0 {
        return Ok(());
    }
    if decoded.fault_count > decoded.faults.len() {
        let more = decoded.fault_count - decoded.faults.len();
        decoded.faults.push(format!("{more} more of this sort"));
    }
    Err((StatusCode::BAD_REQUEST, decoded.faults.join("\n")))
}

/// Stores `batch` and counts what is written as that of `protocol`.
pub(super) async fn append(
    state: &State,
    batch: WriteBatch,
    protocol: &'static str,
) -> Result<AppendReport, Refusal> {
    let stored = state.appender.append(batch).await;
    let report =
        stored.map_err(|error| (status(Api::PrometheusWrite, error.kind()), error.to_string()))?;
    state.metrics.ingested_samples.with(protocol).add(report.written);
    Ok(report)
}

/// 415 before the body is looked at. `Content-Encoding` first, then `Content-Type`.
fn negotiate(headers: &HeaderMap) -> Result<(Version, Encoding), Refusal> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let unsupported = |text: String| Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    let encoding = match text(header::CONTENT_ENCODING) {
        None | Some("" | "snappy") => Encoding::Snappy,
        Some("zstd") => Encoding::Zstd,
        Some(other) => {
            return unsupported(format!(
                "{other} encoding (compression) is not accepted by this server; only snappy and \
                 zstd are acceptable"
            ));
        }
    };
    let Some(content_type) = text(header::CONTENT_TYPE).filter(|text| !text.is_empty()) else {
        return Ok((Version::One, encoding));
    };
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default();
    if media != "application/x-protobuf" {
        return unsupported(format!("expected application/x-protobuf, got {media:?}"));
    }
    let mut version = Version::One;
    for part in parts {
        version = match part.split_once('=') {
            Some(("proto", "prometheus.WriteRequest")) => Version::One,
            Some(("proto", "io.prometheus.write.v2.Request")) => Version::Two,
            Some(("proto", other)) => {
                return unsupported(format!("message {other:?} is not accepted by this server"));
            }
            _ => version,
        };
    }
    Ok((version, encoding))
}

fn decode_body(
    state: &State,
    version: Version,
    encoding: Encoding,
    body: &Bytes,
    mut batch: WriteBatch,
) -> Result<(Decoded, WriteBatch), RemoteWriteError> {
    let mut message = state.spare_bytes.take().unwrap_or_default();
    match encoding {
        Encoding::Snappy => decompress(body, &mut message)?,
        Encoding::Zstd => decompress_zstd(body, &mut message)?,
    }
    let known = state.known_keys.read();
    let decoded = match version {
        Version::One => decode(&message, &known, &mut batch)?,
        Version::Two => v2::decode(&message, &known, &mut batch)?,
    };
    drop(known);
    state.spare_bytes.give(message);
    if !decoded.learned.is_empty() {
        state.known_keys.write().learn(&decoded.learned);
    }
    Ok((decoded, batch))
}

fn note_drops(state: &State, decoded: &Decoded) {
    if decoded.dropped_series == 0 {
        return;
    }
    state.metrics.rejected_samples.with("invalid_name").add(decoded.dropped_series as u64);
    let reason = decoded.first_drop.as_ref().or(decoded.faults.first());
    tracing::warn!(series = decoded.dropped_series, ?reason, "remote write: dropped series");
}

/// Histograms of a batch that were not rejected.
fn stored_histograms(report: &AppendReport) -> u64 {
    let rows = report.batch.rows();
    let is_histogram = |row: &&model::Row| row.kind == SampleKind::Histogram;
    let all: u64 = rows.iter().filter(is_histogram).map(|row| u64::from(row.sample_count)).sum();
    let rejected = report.rejects.iter().filter_map(|reject| {
        let row = rows.get(reject.row as usize).filter(is_histogram)?;
        Some(if reject.sample.is_some() { 1 } else { u64::from(row.sample_count) })
    });
    all.saturating_sub(rejected.sum())
}

/// Turns what the store refused into faults. Version 1 drops series whose labels are none without
/// telling the sender, as Prometheus does.
fn tell_rejects(state: &State, version: Version, report: &mut AppendReport, decoded: &mut Decoded) {
    for reject in std::mem::take(&mut report.rejects) {
        state.metrics.rejected_samples.with(reject_label(&reject.reason)).inc();
        if version == Version::One && matches!(reject.reason, RejectReason::Labels(_)) {
            tracing::warn!(reason = %reject.reason, "remote write: dropped a series");
            continue;
        }
        decoded.fault(|| {
            report.batch.unpack(reject.row as usize);
            let labels = report.batch.rows().get(reject.row as usize);
            let labels = labels.map(|row| report.batch.labels(row).to_string()).unwrap_or_default();
            format!("{} (series {labels})", reject.reason)
        });
    }
}

/// Stores exemplars; what is wrong with them never fails a request.
pub async fn store_exemplars(state: &Arc<State>, exemplars: Vec<SeriesExemplar>) -> u64 {
    if exemplars.is_empty() {
        return 0;
    }
    let state = state.clone();
    let append = move || state.exemplars.append(TenantId::DEFAULT, &exemplars);
    match tokio::task::spawn_blocking(append).await {
        Ok(Ok(stored)) => stored as u64,
        Ok(Err(error)) => {
            tracing::warn!(%error, "remote write: exemplars are not stored");
            0
        }
        Err(panic) => {
            tracing::error!(%panic, "remote write: exemplars are not stored");
            0
        }
    }
}

/// The `reason` label of a reject in the metrics.
pub fn reject_label(reason: &RejectReason) -> &'static str {
    match reason {
        RejectReason::Labels(model::label::LabelError::TooMany { .. }) => "too_many_labels",
        RejectReason::Labels(model::label::LabelError::TooLong { .. }) => "too_long",
        RejectReason::Labels(_) => "invalid_name",
        RejectReason::SeriesLimit { .. } => "series_limit",
        RejectReason::TooOld { .. } => "too_old",
        RejectReason::TooFarInFuture { .. } => "too_far_in_future",
    }
}
