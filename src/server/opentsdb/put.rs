//! `POST /api/put`, `/api/rollup` and `/api/histogram`.
//!
//! The answer comes when the points are synced, so `sync` changes nothing. Good points are stored
//! even where others of the request are refused.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use base::error::{Classify, ErrorKind};
use lang::opentsdb::rollup::{RollupError, stored_metric};
use model::WriteBatch;
use wire::opentsdb::put_json::{Decoded, PutBodyError, decode};
use wire::opentsdb::query_json::{PutFlags, put_summary};
use wire::opentsdb::special_json::{RollupParts, decode_histograms, decode_rollups};

use super::admission::{Admission, Fresh};
use super::dispatch::allow;
use super::params::{Params, read_body};
use super::reply::{Refusal, Reply};
use crate::error_map::{Api, status};
use crate::prometheus::write::reject_label;
use crate::state::State;

/// What is said where histograms are not taken.
pub(super) const NO_HISTOGRAMS: &str = "Histogram storage has not been enabled. Check the \
                                        'tsd.core.histograms.config' configuration.";
/// What is said where rollups are not taken.
pub(super) const NO_ROLLUPS: &str = "No rollup or aggregations were configured";
/// Bodies above this are decoded away from the threads that serve sockets.
const INLINE_BYTES_MAX: usize = 512 * 1024;

/// What the items of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Raw points.
    Point,
    /// Points that were aggregated before.
    Rollup,
    /// Histograms.
    Histogram,
}

/// The handler.
pub(super) async fn put(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    kind: Kind,
) -> Result<Reply, Refusal> {
    let outcome = store(state, request, params, kind).await;
    let label = match &outcome {
        Ok(reply) if reply.status.is_success() => "ok",
        Ok(_) => "invalid",
        Err(refusal) if refusal.reply().status.is_server_error() => "unavailable",
        Err(_) => "invalid",
    };
    state.metrics.ingest_requests.with(label).inc();
    outcome
}

async fn store(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    kind: Kind,
) -> Result<Reply, Refusal> {
    if kind == Kind::Histogram && !state.settings.opentsdb.histograms {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, NO_HISTOGRAMS));
    }
    allow(&request, &[Method::POST])?;
    let flags = PutFlags {
        summary: params.has("summary"),
        details: params.has("details"),
        timeouts: params.has("sync_timeout"),
    };
    if let Some(timeout) = params.get("sync_timeout")
        && timeout.parse::<i64>().is_err()
    {
        return Err(Refusal::internal(format!("For input string: \"{timeout}\"")));
    }
    let extra_tag = header_tag(state, &request);
    let body = read_body(request, state.settings.body_bytes_max).await?;
    let work = Work { kind, batch: state.batch(), extra_tag };
    let (mut decoded, batch, fresh) = decode_body(state, body, work, flags.details).await?;
    fresh.settle(state, &state.put_keys).await;
    if !batch.is_empty() {
        append(state, batch, &mut decoded, flags.details).await?;
    }
    Ok(answer(flags, &decoded))
}

/// The tag that every point gets from a header of its request.
fn header_tag(state: &State, request: &Request) -> Option<(String, String)> {
    let name = state.settings.opentsdb.header_tag.as_str();
    let value = request.headers().get(name).filter(|_| !name.is_empty())?;
    Some((name.to_owned(), value.to_str().ok()?.to_owned()))
}

/// What a body is decoded into.
struct Work {
    kind: Kind,
    batch: WriteBatch,
    extra_tag: Option<(String, String)>,
}

async fn decode_body(
    state: &Arc<State>,
    body: Bytes,
    work: Work,
    details: bool,
) -> Result<(Decoded, WriteBatch, Fresh), Refusal> {
    let run = {
        let state = Arc::clone(state);
        let Work { kind, mut batch, extra_tag } = work;
        move |body: &[u8]| {
            let note = |reason: &'static str| state.metrics.rejected_samples.with(reason).inc();
            let mut gate = Admission::new(&state, &state.put_keys, extra_tag);
            let decoded = match kind {
                Kind::Point => decode(body, &mut batch, &mut gate, details, note),
                Kind::Rollup => {
                    let stored = |parts: &RollupParts, metric: &str| stored(&state, parts, metric);
                    decode_rollups(body, &mut batch, &mut gate, details, stored)
                }
                Kind::Histogram => decode_histograms(body, &mut batch, &mut gate, details),
            }?;
            Ok((decoded, batch, gate.finish()))
        }
    };
    let decoded = if body.len() <= INLINE_BYTES_MAX {
        run(&body)
    } else {
        let joined = tokio::task::spawn_blocking(move || run(&body)).await;
        joined.map_err(|_| Refusal::internal("cannot decode the content"))?
    };
    decoded.map_err(|error| match &error {
        PutBodyError::Json(details) => Refusal::bad(error.to_string()).with(details.as_str()),
        PutBodyError::TooMany => Refusal::too_large(error.to_string()),
        _ => Refusal::bad(error.to_string()),
    })
}

/// The metric under which a rollup is kept, or the text of its refusal.
fn stored(state: &State, parts: &RollupParts, metric: &str) -> Result<String, String> {
    match rollup_metric(state, parts, metric) {
        None => Err(NO_ROLLUPS.to_owned()),
        // Over HTTP the original says no more of an unknown interval.
        Some(Err(RollupError::Interval(_))) => Err("Unexpected exception".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(metric)) => Ok(metric),
    }
}

/// The metric under which a rollup is kept; `None` where none are taken.
pub(super) fn rollup_metric(
    state: &State,
    parts: &RollupParts,
    metric: &str,
) -> Option<Result<String, RollupError>> {
    let config = state.settings.opentsdb.rollups.as_ref()?;
    let RollupParts { interval, aggregator, group_by } = parts;
    let aggregator = if aggregator.is_empty() { group_by } else { aggregator };
    let interval_named = Some(interval.as_str()).filter(|interval| !interval.is_empty());
    let checked = config.check(interval_named, aggregator);
    // Without an interval nothing was aggregated over time, however the sender says so.
    let over_time = if interval.is_empty() { "" } else { aggregator.as_str() };
    Some(checked.map(|()| stored_metric(interval, over_time, group_by, metric)))
}

async fn append(
    state: &State,
    batch: WriteBatch,
    decoded: &mut Decoded,
    details: bool,
) -> Result<(), Refusal> {
    let mut report = state.appender.append(batch).await.map_err(|error| {
        let text = format!("Storage exception: {error}");
        Refusal::new(status(Api::OpenTsdb, error.kind()), text)
    })?;
    state.metrics.ingested_samples.with("http_put").add(report.written);
    for reject in &report.rejects {
        state.metrics.rejected_samples.with(reject_label(&reject.reason)).inc();
        let reason = reject.reason.to_string();
        report.batch.unpack(reject.row as usize);
        decoded.refuse_row(&report.batch, reject.row as usize, &reason, details);
    }
    state.spare_batches.give(report.batch);
    Ok(())
}

fn answer(flags: PutFlags, decoded: &Decoded) -> Reply {
    let failed = decoded.failed > 0;
    let refused = status(Api::OpenTsdb, ErrorKind::Invalid);
    if flags.summary || flags.details {
        let body = put_summary(flags, decoded.points, decoded.failed, &decoded.errors);
        return Reply { status: if failed { refused } else { StatusCode::OK }, body };
    }
    if failed {
        let details = "Please see the TSD logs or append \"details\" to the put request";
        return Refusal::bad("One or more data points had errors").with(details).reply();
    }
    Reply { status: StatusCode::NO_CONTENT, body: Vec::new() }
}
