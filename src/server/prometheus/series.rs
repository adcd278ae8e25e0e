//! `/series`: the label sets that selectors find.
//!
//! A short answer is made as a whole: sorted, with its length, compressed where the client asks. A long
//! one is sent while it is made, in the order of the store, so that it begins at once and takes no more
//! memory than a few pieces, whatever the number of series.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base::error::ErrorKind;
use model::{Hints, Labels, Selection, SeriesHasher};
use tokio::sync::mpsc;
use wire::prometheus::query_json;

use super::labels::selectors;
use super::params::{Params, invalid};
use super::reply::{Notes, TRUNCATED, bad_data, failure, query_failure, success};
use crate::run_query::run_lookup;
use crate::state::State;

/// Series of an answer that is made as a whole.
const WHOLE_MAX: usize = 10_000;
/// Bytes of a piece of a longer one.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces on their way to the socket.
const PIECES_WAITING: usize = 4;

type Found = Vec<Box<dyn Selection>>;

/// The handler.
pub async fn series(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    params.well_formed()?;
    if params.all("match[]").is_empty() {
        return Err(bad_data("no match[] parameter provided"));
    }
    let (limit, range) = (params.limit()?, params.range()?);
    let limit = if limit == 0 { usize::MAX } else { limit };
    let selectors = selectors(&params, |cause| invalid("match[]", cause))?;
    let found: Found = run_lookup(&state, move |source| {
        let select = |matchers: &Vec<_>| {
            let hints = Hints { labels_only: true, ..Hints::default() };
            // The source sorts for less than texts can be; what is sent as it comes needs no order, and of
            // what will be cut the first are as good as any.
            let most = source.size_max(matchers, range, &hints);
            let sorted = most.is_some_and(|most| most.series <= limit.min(WHOLE_MAX) as u64);
            source.select(matchers, range, &Hints { sorted, ..hints })
        };
        selectors.iter().map(select).collect()
    })
    .await
    .map_err(|error| query_failure(&error))?;
    let count: usize = found.iter().map(|selection| selection.len()).sum();
    if count.min(limit) > WHOLE_MAX {
        return Ok(stream(found, limit));
    }
    tokio::task::spawn_blocking(move || whole(&found, limit))
        .await
        .map_err(|panic| failure(ErrorKind::Internal, &panic.to_string()))
}

/// Hands each series to `take` once, at most `limit`, until that is told to stop; true when there
/// were more than `limit`.
fn each(found: &[Box<dyn Selection>], limit: usize, mut take: impl FnMut(&Labels) -> bool) -> bool {
    let hasher = SeriesHasher::from_entropy();
    let (mut seen, mut count) = (HashSet::new(), 0);
    for selection in found {
        for index in 0..selection.len() {
            let labels = selection.labels(index);
            if found.len() > 1 && !seen.insert(hasher.hash(labels.as_packed())) {
                continue;
            }
            if count == limit {
                return true;
            }
            count += 1;
            if !take(&labels) {
                return false;
            }
        }
    }
    false
}

fn whole(found: &[Box<dyn Selection>], limit: usize) -> Response {
    let mut all = Vec::new();
    let is_cut = each(found, limit, |labels| {
        all.push(labels.clone());
        true
    });
    all.sort();
    let warnings = if is_cut { vec![TRUNCATED.to_owned()] } else { Vec::new() };
    success(&query_json::label_sets(&all), &Notes { warnings, ..Notes::default() })
}

fn stream(found: Found, limit: usize) -> Response {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    tokio::task::spawn_blocking(move || send(&found, limit, &sender));
    let pieces = futures::stream::unfold(receiver, async |mut receiver| {
        let piece: Bytes = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(piece), receiver))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(pieces)).into_response()
}

/// Sends the whole envelope; stops when the client has gone.
fn send(found: &[Box<dyn Selection>], limit: usize, sender: &mpsc::Sender<Bytes>) {
    let mut out = b"{\"status\":\"success\",\"data\":[".to_vec();
    let (mut separator, mut is_heard) = ("", true);
    let is_cut = each(found, limit, |labels| {
        out.extend_from_slice(separator.as_bytes());
        separator = ",";
        query_json::write_labels(&mut out, labels);
        if out.len() >= PIECE_BYTES {
            let piece = std::mem::replace(&mut out, Vec::with_capacity(PIECE_BYTES + 4096));
            is_heard = sender.blocking_send(Bytes::from(piece)).is_ok();
        }
        is_heard
    });
    out.push(b']');
    if is_cut {
        out.extend_from_slice(format!(",\"warnings\":[\"{TRUNCATED}\"]").as_bytes());
    }
    out.push(b'}');
    if is_heard {
        // The client may have gone meanwhile; there is nobody to tell.
        let _ = sender.blocking_send(Bytes::from(out));
    }
}
