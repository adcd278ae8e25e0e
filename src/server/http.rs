//! Router assembly, and what every route shares: readiness, compression, metrics, panics.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::client::ClientId;
use crate::state::State;
use crate::{admin, answers, bodies, compress, explain, graphite, opentsdb, prometheus};

/// After so many seconds a refused client may try again: a flush takes about as long.
const RETRY_SECONDS: &str = "2";

/// All three APIs and the admin pages: the HTTP port.
pub fn router(state: Arc<State>) -> Router {
    let apis = prometheus::router()
        .merge(graphite::router())
        .merge(opentsdb::router())
        .merge(crate::import::router())
        .merge(explain::router());
    finish(apis, state)
}

/// OpenTSDB's own port.
pub fn opentsdb_router(state: Arc<State>) -> Router {
    finish(opentsdb::own_router(), state)
}

/// Adds the shared layers to the routes of a port.
fn finish(routes: Router<Arc<State>>, state: Arc<State>) -> Router {
    routes
        .layer(from_fn_with_state(Arc::clone(&state), answer_apis))
        .merge(admin::router())
        .layer(from_fn_with_state(Arc::clone(&state), answer))
        .layer(CatchPanicLayer::new())
        .with_state(state)
}

/// What the routes of the APIs share: a store that is ready, room for the body, a client that is known, and an
/// answer that does not last while memory is wanted. One layer, since each costs every request a few boxes.
async fn answer_apis(
    Extract(state): Extract<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    if !state.is_ready() {
        return refuse_until_ready();
    }
    let client = ClientId::of(&request);
    let (_room, request) = match bodies::admit(&state, request) {
        Ok(admitted) => admitted,
        Err(refusal) => return *refusal,
    };
    let response = client.known_while(next.run(request)).await;
    answers::hurry(&state, response)
}

fn refuse_until_ready() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("X-Prometheus-Stopping", "false")], "Service Unavailable")
        .into_response()
}

/// What all routes share.
async fn answer(Extract(state): Extract<Arc<State>>, request: Request, next: Next) -> Response {
    let is_gzip_wanted = compress::is_wanted(request.headers());
    let mut response = compress::compress(is_gzip_wanted, next.run(request).await);
    add_retry_after(&mut response);
    count(&state, response.status());
    response
}

/// Says when to come back, wherever an answer says "not now".
fn add_retry_after(response: &mut Response) {
    let is_later = matches!(
        response.status(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    if is_later && !response.headers().contains_key(header::RETRY_AFTER) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
}

fn count(state: &State, status: StatusCode) {
    let class = match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    };
    state.metrics.http_requests.with(class).inc();
}

/// Bytes of a body that is known as a whole.
pub(crate) fn http_body_length(body: &Body) -> Option<usize> {
    use axum::body::HttpBody as _;
    body.size_hint().exact().and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
mod tests;
