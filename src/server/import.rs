//! `/api/v1/import…`: histories in bulk, streamed line by line at the speed of ingest.
//!
//! A body is never held whole: lines become batches, and a batch is acknowledged by the store before the
//! next one is read, so a slow disk slows the sender down.

use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base::error::Classify;
use futures::StreamExt as _;
use memchr::memchr;
use model::{TenantId, WriteBatch};
use wire::import::csv::CsvReader;
use wire::import::exposition::ExpositionReader;
use wire::import::json_lines::JsonLinesReader;
use wire::import::{ExtraLabels, LINE_BYTES_MAX, LineReader};

use crate::error_map::{Api, status};
use crate::prometheus::params::parse_form;
use crate::state::State;

/// Samples of one batch.
const BATCH_SAMPLES: usize = 20_000;

/// Compressed bytes that are unpacked at once: gzip makes at most a thousand times as many of them.
const PACKED_BYTES: usize = 4096;

/// The endpoints.
pub fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/api/v1/import", post(json_lines).put(json_lines))
        .route("/api/v1/import/prometheus", post(exposition).put(exposition))
        .route("/api/v1/import/csv", post(csv).put(csv))
}

async fn json_lines(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    answer(&state, request, |_, _, extra| Ok(Box::new(JsonLinesReader { extra }))).await
}

async fn exposition(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    answer(&state, request, |_, default_ms, extra| {
        Ok(Box::new(ExpositionReader { default_ms, extra }))
    })
    .await
}

async fn csv(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    answer(&state, request, |pairs, default_ms, extra| {
        let format = pairs.iter().find(|(name, _)| name == "format");
        let format = format.ok_or(
            "the parameter format is missing, such as 1:label:host,2:metric:load,3:time:unix_s",
        )?;
        Ok(Box::new(CsvReader::new(&format.1, default_ms, extra)?))
    })
    .await
}

type Refusal = (StatusCode, String);

/// Makes the reader of a request out of its parameters, the present and the labels to add.
type MakeReader = fn(&[(String, String)], i64, ExtraLabels) -> Result<Box<dyn LineReader>, String>;

async fn answer(state: &Arc<State>, request: Request, make: MakeReader) -> Response {
    match import(state, request, make).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err((status, text)) => (status, text + "\n").into_response(),
    }
}

async fn import(state: &Arc<State>, request: Request, make: MakeReader) -> Result<(), Refusal> {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let pairs = parse_form(request.uri().query().unwrap_or_default().as_bytes());
    let mut default_ms = state.clock.now_ms();
    let mut extra = ExtraLabels::new();
    for (name, value) in &pairs {
        match name.as_str() {
            "timestamp" => {
                default_ms = value
                    .parse()
                    .map_err(|_| bad(format!("timestamp {value:?} is not in milliseconds")))?;
            }
            "extra_label" => {
                let pair = value.split_once('=');
                let (name, value) = pair.ok_or_else(|| {
                    bad(format!("extra_label {value:?} is not written as name=value"))
                })?;
                extra.push((name.to_owned(), value.to_owned()));
            }
            _ => {}
        }
    }
    let reader = make(&pairs, default_ms, extra).map_err(bad)?;
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    let unpacker = match encoding.map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => None,
        Some(b"gzip") => Some(flate2::write::MultiGzDecoder::new(Vec::new())),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return Err((
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("{other} encoding is not accepted; only gzip is"),
            ));
        }
    };
    let batch = state.appender.batch(TenantId::DEFAULT);
    let import = Import { state, reader, unpacker, batch, line: 0, bad: 0, first_bad: None };
    import.run(request.into_body()).await
}

/// One running import.
struct Import<'s> {
    state: &'s Arc<State>,
    reader: Box<dyn LineReader>,
    unpacker: Option<flate2::write::MultiGzDecoder<Vec<u8>>>,
    batch: WriteBatch,
    /// Lines so far.
    line: u64,
    /// Lines that were none.
    bad: u64,
    /// Number and fault of the first of them.
    first_bad: Option<(u64, String)>,
}

impl Import<'_> {
    async fn run(mut self, body: Body) -> Result<(), Refusal> {
        let mut pieces = body.into_data_stream();
        let mut pending: Vec<u8> = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.broken(&error.to_string()))?;
            let step = if self.unpacker.is_some() { PACKED_BYTES } else { usize::MAX };
            for part in piece.chunks(step) {
                self.unpack(part, &mut pending)?;
                let used = self.read_lines(&pending).await?;
                pending.drain(..used);
                if pending.len() > LINE_BYTES_MAX {
                    let text = format!("it is longer than {LINE_BYTES_MAX} bytes");
                    return Err(self.broken(&text));
                }
            }
        }
        if let Some(unpacker) = &mut self.unpacker {
            let finished = unpacker.try_finish();
            pending.append(unpacker.get_mut());
            finished.map_err(|error| self.broken(&error.to_string()))?;
            let used = self.read_lines(&pending).await?;
            pending.drain(..used);
        }
        if !pending.is_empty() {
            self.read_line(&pending);
        }
        self.flush().await?;
        match self.first_bad.take() {
            None => Ok(()),
            Some((line, fault)) => {
                let (bad, all) = (self.bad, self.line);
                let text = format!(
                    "line {line}: {fault}; {bad} of {all} lines are refused, the others stored"
                );
                Err((StatusCode::BAD_REQUEST, text))
            }
        }
    }

    /// What arrived is not what it should be.
    fn broken(&self, fault: &str) -> Refusal {
        (
            StatusCode::BAD_REQUEST,
            format!("line {}: {fault}; lines before it are stored", self.line + 1),
        )
    }

    fn unpack(&mut self, piece: &[u8], pending: &mut Vec<u8>) -> Result<(), Refusal> {
        let Some(unpacker) = &mut self.unpacker else {
            pending.extend_from_slice(piece);
            return Ok(());
        };
        let written = unpacker.write_all(piece);
        pending.append(unpacker.get_mut());
        written.map_err(|error| self.broken(&error.to_string()))
    }

    /// Reads the whole lines in `bytes` and says how many bytes they took.
    async fn read_lines(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut start = 0;
        while let Some(length) = memchr(b'\n', &bytes[start..]) {
            self.read_line(&bytes[start..start + length]);
            start += length + 1;
            if self.batch.sample_count() >= BATCH_SAMPLES {
                self.flush().await?;
            }
        }
        Ok(start)
    }

    fn read_line(&mut self, line: &[u8]) {
        self.line += 1;
        if let Err(fault) = self.reader.read(line, &mut self.batch) {
            self.bad += 1;
            self.first_bad.get_or_insert((self.line, fault));
        }
    }

    async fn flush(&mut self) -> Result<(), Refusal> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let empty = WriteBatch::new(self.batch.tenant(), self.batch.hasher());
        let batch = std::mem::replace(&mut self.batch, empty);
        let report = self.state.appender.append(batch).await.map_err(|error| {
            let text = format!("{error}; lines up to about {} are stored", self.line);
            (status(Api::PrometheusWrite, error.kind()), text)
        })?;
        self.state.metrics.ingested_samples.with("import").add(report.written);
        if let Some(reject) = report.rejects.first() {
            self.bad += report.rejects.len() as u64;
            self.first_bad.get_or_insert((self.line, reject.reason.to_string()));
        }
        self.batch = report.batch;
        self.batch.clear();
        Ok(())
    }
}
