//! `POST /api/v1/otlp/v1/metrics`: metrics as OpenTelemetry's collectors and SDKs send them.
//!
//! 200 means written and synced. As in Prometheus a request is taken whole or not at all: what cannot
//! be translated is 500, which senders do not repeat; a body that is none is 400. What only the store
//! refuses (a sample beyond its limits) is 400 too, and its neighbours are stored.

use std::io::Read as _;
use std::sync::Arc;

use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::limits::REMOTE_WRITE_BYTES_MAX;
use model::TenantId;
use parking_lot::Mutex;
pub use wire::prometheus::otlp::OtlpSettings;
pub use wire::prometheus::otlp::names::Strategy;
use wire::prometheus::otlp::translate::Translated;
use wire::prometheus::otlp::{self, Totals, delta, translate};

use super::params::read_body;
use super::reply::plain_error;
use super::write::Refusal;
use super::{metadata, write};
use crate::bodies;
use crate::state::State;

/// What a user set about OTLP.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How requests become series.
    pub translation: OtlpSettings,
    /// Differences become totals before they are stored.
    pub converts_delta: bool,
}

impl Settings {
    /// Switches the feature of this name on; `false` where nothing here has the name.
    pub fn enable(&mut self, name: &str) -> bool {
        match name {
            "otlp-deltatocumulative" => self.converts_delta = true,
            "otlp-native-delta-ingestion" => self.translation.takes_delta = true,
            "type-and-unit-labels" => self.translation.type_and_unit_labels = true,
            _ => return false,
        }
        true
    }
}

/// What the endpoint remembers between requests.
#[derive(Debug, Default)]
pub struct OtlpState {
    totals: Mutex<Totals>,
}

/// The encodings of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

/// The handler.
pub async fn metrics(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    match take(&state, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err((status, text)) => plain_error(status, &text),
    }
}

async fn take(state: &Arc<State>, request: Request) -> Result<(), Refusal> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let encoding = encoding(request.headers()).map_err(bad)?;
    let is_gzip = is_gzip(request.headers()).map_err(bad)?;
    let body = read_body(request, state.settings.body_bytes_max)
        .await
        .map_err(|error| bad(format!("cannot read the body: {error}")))?;
    bodies::check(state)?;
    let body = if is_gzip { gunzip(&body).map_err(bad)? } else { body.into() };
    if body.len() > REMOTE_WRITE_BYTES_MAX {
        return Err(bad(format!("body is larger than {REMOTE_WRITE_BYTES_MAX} bytes")));
    }
    let mut batch = state.appender.batch(TenantId::DEFAULT);
    let decoded = match encoding {
        Encoding::Protobuf => otlp::protobuf::decode(&body),
        Encoding::Json => otlp::json::decode(&body),
    };
    let mut message = decoded.map_err(|error| {
        state.metrics.rejected_samples.with("malformed").inc();
        bad(error.to_string())
    })?;
    let settings = &state.settings.otlp;
    if settings.converts_delta && delta::has_delta(&message) {
        let mut totals = state.otlp.totals.lock();
        let dropped = totals.accumulate(&mut message, batch.hasher(), state.now_ms());
        state.metrics.rejected_samples.with("other").add(dropped.late + dropped.beyond_limit);
    }
    let translated = translate(&message, &settings.translation, &mut batch);
    if !translated.warnings.is_empty() {
        tracing::warn!(warnings = ?translated.warnings, "OTLP: odd metrics");
    }
    if !translated.errors.is_empty() {
        return Err((StatusCode::INTERNAL_SERVER_ERROR, translated.errors.join("\n")));
    }
    store(state, batch, translated).await
}

async fn store(
    state: &Arc<State>,
    batch: model::WriteBatch,
    translated: Translated,
) -> Result<(), Refusal> {
    let mut faults = Vec::new();
    if !batch.is_empty() {
        let report = write::append(state, batch, "otlp").await?;
        for reject in &report.rejects {
            state.metrics.rejected_samples.with(write::reject_label(&reject.reason)).inc();
            if faults.len() < wire::prometheus::remote_write::FAULTS_MAX {
                faults.push(reject.reason.to_string());
            }
        }
    }
    write::store_exemplars(state, translated.exemplars).await;
    if let Err(error) = metadata::store(state, &translated.metadata).await {
        // The samples are stored; metadata comes again with the next request.
        tracing::warn!(%error, "OTLP: metadata is not stored");
    }
    if faults.is_empty() { Ok(()) } else { Err((StatusCode::BAD_REQUEST, faults.join("\n"))) }
}

fn header_text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Prometheus compares the whole header: parameters behind the type are not taken.
fn encoding(headers: &HeaderMap) -> Result<Encoding, String> {
    match header_text(headers, &header::CONTENT_TYPE) {
        "application/x-protobuf" => Ok(Encoding::Protobuf),
        "application/json" => Ok(Encoding::Json),
        other => Err(format!(
            "unsupported content type: {other}, supported: [application/json, \
             application/x-protobuf]"
        )),
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, String> {
    match header_text(headers, &header::CONTENT_ENCODING) {
        "" => Ok(false),
        "gzip" => Ok(true),
        other => Err(format!(
            "unsupported compression: {other}. Only \"gzip\" or no compression supported"
        )),
    }
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let decoder = flate2::read::MultiGzDecoder::new(body);
    let mut bounded = decoder.take(REMOTE_WRITE_BYTES_MAX as u64 + 1);
    bounded.read_to_end(&mut out).map_err(|error| format!("gzip: {error}"))?;
    Ok(out)
}
