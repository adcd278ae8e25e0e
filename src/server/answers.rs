//! What answers take of memory while they are written out.
//!
//! An answer that is made as a whole claims its room before the first byte: rows that are already there
//! become two or three times as much text, all at once. What has been written out is seen by the reading
//! of the process's memory, however slowly its client takes it. Answers that are sent while they are made
//! need no claim, but what they are made from stays as long as they last: rows, blocks, and series that
//! the head could have forgotten. Where memory is wanted they may not last long.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use base::memory::{Claim, MemoryLevel};
use futures::StreamExt as _;
use model::ResultSeries;

use crate::http::http_body_length;
use crate::run_query::QueryError;
use crate::state::State;

/// Bytes for each point of a row: a slot of the encoder's own, and a text of some thirty characters in a
/// buffer that doubles when it grows.
const POINT_BYTES: u64 = 80;
/// Bytes for each row beside its labels, which are written twice.
const ROW_BYTES: u64 = 512;

/// So long an answer may last while memory is not calm.
const LASTING: Duration =
    if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };

/// Lets a streamed answer end early, as a broken connection, once it has lasted long and memory is wanted.
pub(crate) fn hurry(state: &State, response: Response) -> Response {
    let memory = Arc::clone(&state.settings.memory);
    if memory.limit() == 0 || http_body_length(response.body()).is_some() {
        return response;
    }
    let began = Instant::now();
    response.map(|body| {
        let pieces = body.into_data_stream();
        Body::from_stream(pieces.map(move |piece| {
            if began.elapsed() > LASTING && memory.level() != MemoryLevel::Calm {
                return Err(io::ErrorKind::TimedOut.into());
            }
            piece.map_err(io::Error::other)
        }))
    })
}

/// Room for the whole answer that `rows` become; to be held until it is written.
pub(crate) fn claim<'r>(
    state: &State,
    rows: impl IntoIterator<Item = &'r ResultSeries>,
) -> Result<Claim, QueryError> {
    Ok(state.settings.memory.claim(rows.into_iter().map(bytes).sum())?)
}

fn bytes(row: &ResultSeries) -> u64 {
    let slots = row.grid.map_or(row.points.timestamps.len(), |grid| grid.len());
    slots as u64 * POINT_BYTES + row.labels.as_packed().len() as u64 * 2 + ROW_BYTES
}
