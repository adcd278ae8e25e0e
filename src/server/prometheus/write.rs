//! `POST /api/v1/write`: remote write 1.0.
//!
//! 204 means written and synced. Everything wrong with the request itself is 400 or 415, which senders
//! never repeat; everything that may pass is 503, which they repeat.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::Classify;
use model::{AppendReport, RejectReason, TenantId, WriteBatch};
use wire::prometheus::remote_write::{Decoded, RemoteWriteError, decode, decompress};

use super::params::read_body;
use crate::error_map::{Api, status};
use crate::state::State;

/// The counts that every answer carries. For 1.0 Prometheus sends zeros, and senders ignore them.
const WRITTEN_HEADERS: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// The handler.
pub async fn remote_write(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    let mut response = match write(&state, request).await {
        Ok(()) => {
            state.metrics.ingest_requests.with("ok").inc();
            StatusCode::NO_CONTENT.into_response()
        }
        Err((status, text)) => {
            let outcome = if status.is_server_error() { "unavailable" } else { "invalid" };
            state.metrics.ingest_requests.with(outcome).inc();
            (status, text).into_response()
        }
    };
    for name in WRITTEN_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static("0"));
    }
    response
}

type Refusal = (StatusCode, String);

async fn write(state: &Arc<State>, request: Request) -> Result<(), Refusal> {
    check_headers(request.headers())?;
    let max = state.settings.body_bytes_max;
    let body = read_body(request, max).await.map_err(|error| {
        (StatusCode::BAD_REQUEST, format!("cannot read the body (at most {max} bytes): {error}"))
    })?;
    let batch = state.appender.batch(TenantId::DEFAULT);
    let (decoded, batch) = decode_body(state, &body, batch).map_err(|error| {
        state.metrics.rejected_samples.with("malformed").inc();
        (StatusCode::BAD_REQUEST, error.to_string())
    })?;
    if decoded.dropped_series > 0 {
        state.metrics.rejected_samples.with("invalid_name").add(decoded.dropped_series as u64);
        let reason = decoded.first_drop.as_deref().unwrap_or_default();
        tracing::warn!(series = decoded.dropped_series, reason, "remote write: dropped series");
    }
    if !batch.is_empty() {
        let report = state
            .appender
            .append(batch)
            .await
            .map_err(|error| (status(Api::PrometheusWrite, error.kind()), error.to_string()))?;
        state.metrics.ingested_samples.with("remote_write").add(report.written);
        check_report(state, report)?;
    }
    if decoded.histograms > 0 {
        let text =
            format!("{} native histograms were not stored: not supported", decoded.histograms);
        return Err((StatusCode::BAD_REQUEST, text));
    }
    Ok(())
}

/// 415 before the body is looked at. `Content-Encoding` first, then `Content-Type`.
fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let unsupported = |text: String| Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    match text(header::CONTENT_ENCODING) {
        None | Some("" | "snappy") => {}
        Some(other) => {
            return unsupported(format!(
                "{other} encoding (compression) is not accepted by this server; only snappy is \
                 acceptable"
            ));
        }
    }
    let Some(content_type) = text(header::CONTENT_TYPE).filter(|text| !text.is_empty()) else {
        return Ok(());
    };
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default();
    if media != "application/x-protobuf" {
        return unsupported(format!("expected application/x-protobuf, got {media:?}"));
    }
    for part in parts {
        match part.split_once('=') {
            Some(("proto", "prometheus.WriteRequest")) => {}
            Some(("proto", other)) => {
                return unsupported(format!("message {other:?} is not accepted by this server"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn decode_body(
    state: &State,
    body: &Bytes,
    mut batch: WriteBatch,
) -> Result<(Decoded, WriteBatch), RemoteWriteError> {
    let mut message = Vec::new();
    decompress(body, &mut message)?;
    let decoded = decode(&message, &state.known_keys.read(), &mut batch)?;
    if !decoded.learned.is_empty() {
        state.known_keys.write().learn(&decoded.learned);
    }
    Ok((decoded, batch))
}

/// Label sets that are none were dropped as Prometheus drops them; the rest of the rejects is the
/// sender's to know.
fn check_report(state: &State, mut report: AppendReport) -> Result<(), Refusal> {
    let mut first = None;
    for reject in &report.rejects {
        state.metrics.rejected_samples.with(reject_label(&reject.reason)).inc();
        if matches!(reject.reason, RejectReason::Labels(_)) {
            tracing::warn!(reason = %reject.reason, "remote write: dropped a series");
        } else {
            first.get_or_insert(reject);
        }
    }
    match first {
        None => Ok(()),
        Some(reject) => {
            report.batch.unpack(reject.row as usize);
            let labels = report.batch.rows().get(reject.row as usize);
            let labels = labels.map(|row| report.batch.labels(row).to_string()).unwrap_or_default();
            let count = report.rejects.len();
            let text = format!("{} (series {labels}; {count} rejected in all)", reject.reason);
            Err((StatusCode::BAD_REQUEST, text))
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
