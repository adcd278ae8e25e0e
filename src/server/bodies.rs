//! What request bodies may take of memory, and how many bytes of them may be under way at once.
//!
//! A body is admitted before it is read: one that would be one too many is refused with 503 while it
//! costs nothing. Its share covers the body, what it is unpacked to and the batch that it becomes, until
//! the request is answered. Bodies that are read as streams are charged what a stream holds.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::memory::Claim;
use futures::StreamExt as _;

use crate::http::http_body_length;
use crate::state::State;

/// Bodies below this are taken however full memory is: they are the questions of queries.
const FREE_BYTES: u64 = 16 * 1024;
/// Memory for each byte of a body as sent: itself and its batch.
const FACTOR: u64 = 3;
/// The same for a compressed one; metrics shrink to a fifth, more or less.
const FACTOR_COMPRESSED: u64 = 12;
/// Memory of a body that is read as a stream: a batch and what is in front of it.
const STREAM_BYTES: u64 = 8 << 20;
/// So long a sender may pause.
const STALL: Duration = Duration::from_secs(30);
/// Paths below which bodies are read as streams.
const STREAMED: &str = "/api/v1/import";

/// Bytes that are counted as under way while the value lives.
struct UnderWay<'s> {
    state: &'s State,
    bytes: i64,
}

impl<'s> UnderWay<'s> {
    /// `None` where they are too many; however large, a single body is none too many.
    fn begin(state: &'s State, bytes: u64) -> Option<Self> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let before = state.metrics.body_bytes.add(bytes);
        let under_way = Self { state, bytes };
        let max = i64::try_from(state.settings.bodies_bytes_max).unwrap_or(i64::MAX);
        (before == 0 || before.saturating_add(bytes) <= max).then_some(under_way)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.state.metrics.body_bytes.add(-self.bytes);
    }
}

/// Room for a body, held until its request is answered.
pub(crate) struct Room<'s> {
    _under_way: UnderWay<'s>,
    _claim: Claim,
}

/// Lets a request through whose body has room; `None` is the room of one that takes next to nothing.
pub(crate) fn admit(
    state: &State,
    request: Request,
) -> Result<(Option<Room<'_>>, Request), Box<Response>> {
    let bytes = cost(state, &request);
    if bytes < FREE_BYTES {
        return Ok((None, request));
    }
    let Some(_under_way) = UnderWay::begin(state, bytes) else {
        return Err(refuse("too many bytes of other requests are under way"));
    };
    match state.settings.memory.claim_to_write(bytes) {
        Ok(_claim) => Ok((Some(Room { _under_way, _claim }), request.map(without_stalls))),
        Err(full) => Err(refuse(&full.to_string())),
    }
}

/// Memory that a request is expected to take.
fn cost(state: &State, request: &Request) -> u64 {
    let max = state.settings.body_bytes_max;
    let length = http_body_length(request.body());
    let is_small = length.is_some_and(|length| (length as u64) < FREE_BYTES);
    if request.uri().path().starts_with(STREAMED) {
        return if is_small { 0 } else { STREAM_BYTES };
    }
    // A longer one is refused by whoever reads it, when it has read so much.
    let length = length.unwrap_or(max).min(max) as u64;
    let is_free = length < FREE_BYTES;
    if is_free { 0 } else { length * factor(request.headers()) }
}

fn factor(headers: &HeaderMap) -> u64 {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    match encoding {
        None | Some(b"" | b"identity") => FACTOR,
        Some(_) => FACTOR_COMPRESSED,
    }
}

/// Fails while memory is crowded, for handlers about to unpack a body: small as it is, it may become a large
/// message.
pub(crate) fn check(state: &State) -> Result<(), (StatusCode, String)> {
    let full = |full| (StatusCode::SERVICE_UNAVAILABLE, format!("cannot take more: {full}"));
    state.settings.memory.check_writes().map_err(full)
}

/// The body, broken off when nothing more of it comes: what is set aside for it is missed elsewhere.
fn without_stalls(body: Body) -> Body {
    let pieces = body.into_data_stream();
    let watched = futures::stream::unfold(pieces, async |mut pieces| {
        match tokio::time::timeout(STALL, pieces.next()).await {
            Ok(piece) => Some((piece?.map_err(std::io::Error::other), pieces)),
            Err(_) => Some((Err(std::io::ErrorKind::TimedOut.into()), pieces)),
        }
    });
    Body::from_stream(watched)
}

fn refuse(reason: &str) -> Box<Response> {
    let text = format!("cannot take more: {reason}\n");
    Box::new((StatusCode::SERVICE_UNAVAILABLE, text).into_response())
}
