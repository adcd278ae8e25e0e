//! `POST /api/v1/read`: remote read, as one message of samples or as a stream of chunks.
//!
//! A stream holds one series at a time, whatever the request selects: the reading thread waits for
//! the socket. What goes wrong behind the first frame can only break the connection off.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::{Classify, ErrorKind};
use base::memory::MemoryFull;
use model::{Hints, LabelsRef, Samples, Selection, SourceError};
use tokio::sync::mpsc;
use wire::prometheus::remote_read::{
    Query, ReadRequest, Response as Kind, compress, decode, frames, put_result, put_series,
};
use wire::prometheus::remote_write::decompress;

use super::params::read_body;
use super::reply::plain_error;
use crate::error_map::{Api, status};
use crate::run_query::take_turn;
use crate::state::State;
use crate::turns::Turn;

/// Samples of one answer that is not a stream: Prometheus's own bound.
const SAMPLES_MAX: usize = 50_000_000;
/// Bytes of such an answer, which is held as a whole.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Frames on their way to the socket.
const FRAMES_WAITING: usize = 4;

type Refusal = (StatusCode, String);

/// The handler.
pub async fn remote_read(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    match answer(&state, request).await {
        Ok(response) => response,
        Err((status, text)) => plain_error(status, &text),
    }
}

async fn answer(state: &Arc<State>, request: Request) -> Result<Response, Refusal> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let body = read_body(request, state.settings.body_bytes_max)
        .await
        .map_err(|error| bad(format!("cannot read the body: {error}")))?;
    let mut message = Vec::new();
    decompress(&body, &mut message).map_err(|error| bad(error.to_string()))?;
    let request = decode(&message).map_err(|error| bad(error.to_string()))?;
    // Reads wait with the queries: they cost as much.
    let timeout = Duration::from_millis(state.settings.query_timeout_ms);
    let turn = take_turn(state, timeout)
        .await
        .map_err(|error| (status(Api::PrometheusQuery, error.kind()), error.to_string()))?;
    match request.response {
        Kind::Samples => whole(state, request, turn).await,
        Kind::Chunks => Ok(stream(state, request, turn)),
    }
}

fn refusal(error: &SourceError) -> Refusal {
    (status(Api::PrometheusWrite, error.kind()), error.to_string())
}

fn select(state: &State, query: &Query) -> Result<Box<dyn Selection>, SourceError> {
    let hints = Hints {
        samples_max: state.settings.query_limits.read_samples_max(),
        sorted: true,
        histograms: true,
        labels_only: query.labels_only,
        ..Hints::default()
    };
    state.source.select(&query.matchers, query.range, &hints)
}

async fn whole(state: &Arc<State>, request: ReadRequest, turn: Turn) -> Result<Response, Refusal> {
    let state = Arc::clone(state);
    let read = move || {
        let _turn = turn;
        let message = whole_message(&state, &request);
        state.settings.memory.give_back();
        message
    };
    let compressed = tokio::task::spawn_blocking(read)
        .await
        .map_err(|panic| (StatusCode::INTERNAL_SERVER_ERROR, panic.to_string()))??;
    let headers =
        [(header::CONTENT_TYPE, "application/x-protobuf"), (header::CONTENT_ENCODING, "snappy")];
    Ok((headers, compressed).into_response())
}

fn whole_message(state: &State, request: &ReadRequest) -> Result<Vec<u8>, Refusal> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let mut out = Vec::new();
    let (mut samples, mut count) = (Samples::default(), 0);
    for query in &request.queries {
        let selection = select(state, query).map_err(|error| refusal(&error))?;
        let (mut result, mut reader) = (Vec::new(), selection.reader());
        for index in 0..selection.len() {
            samples.clear();
            if !query.labels_only {
                reader
                    .read_in_order(index, selection.len(), &mut samples)
                    .map_err(|error| refusal(&error))?;
                if samples.is_empty() {
                    continue;
                }
            }
            count += samples.len();
            if count > SAMPLES_MAX {
                return Err(bad(format!("exceeded sample limit ({SAMPLES_MAX})")));
            }
            put_series(&mut result, selection.labels(index).view(), &samples);
            state.settings.memory.check().map_err(full)?;
            if out.len() + result.len() > ANSWER_BYTES_MAX {
                return Err(bad(format!("answer is larger than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        // It is copied: two of it are there until the first one goes.
        let _claim = state.settings.memory.claim(result.len() as u64).map_err(full)?;
        put_result(&mut out, &result);
    }
    let _claim = state.settings.memory.claim(out.len() as u64).map_err(full)?;
    compress(&out).map_err(|error| bad(error.to_string()))
}

fn full(full: MemoryFull) -> Refusal {
    (status(Api::PrometheusQuery, ErrorKind::Unavailable), format!("cannot answer: {full}"))
}

fn stream(state: &Arc<State>, request: ReadRequest, turn: Turn) -> Response {
    let (sender, receiver) = mpsc::channel(FRAMES_WAITING);
    let state = Arc::clone(state);
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        send_frames(&state, &request, &sender);
        state.settings.memory.give_back();
    });
    let frames = futures::stream::unfold(receiver, async |mut receiver| {
        let frame: Result<Bytes, SourceError> = receiver.recv().await?;
        Some((frame, receiver))
    });
    let content_type = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(frames)).into_response()
}

fn send_frames(
    state: &State,
    request: &ReadRequest,
    sender: &mpsc::Sender<Result<Bytes, SourceError>>,
) {
    if let Err(error) = try_send_frames(state, request, sender) {
        tracing::warn!(%error, "remote read: broken off");
        // The client may have gone, too.
        let _ = sender.blocking_send(Err(error));
    }
}

fn try_send_frames(
    state: &State,
    request: &ReadRequest,
    sender: &mpsc::Sender<Result<Bytes, SourceError>>,
) -> Result<(), SourceError> {
    let mut samples = Samples::default();
    let send = |frame: Vec<u8>| sender.blocking_send(Ok(Bytes::from(frame))).is_ok();
    for (number, query) in request.queries.iter().enumerate() {
        let selection = select(state, query)?;
        let mut reader = selection.reader();
        for index in 0..selection.len() {
            samples.clear();
            if !query.labels_only {
                reader.read_in_order(index, selection.len(), &mut samples)?;
                if samples.is_empty() {
                    continue;
                }
            }
            let labels = selection.labels(index);
            let labels: LabelsRef<'_> = labels.view();
            if !frames(number as u64, labels, &samples, send) {
                return Ok(());
            }
        }
    }
    Ok(())
}
