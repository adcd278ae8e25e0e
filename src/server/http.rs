//! Router assembly, and what every route shares: readiness, compression, metrics, panics.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::compress::compress;
use crate::state::State;
use crate::{admin, answers, bodies, client, explain, graphite, opentsdb, prometheus};

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
        .layer(from_fn_with_state(Arc::clone(&state), refuse_until_ready))
        .layer(from_fn_with_state(Arc::clone(&state), bodies::admit))
        .layer(from_fn_with_state(Arc::clone(&state), answers::hurry))
        .layer(from_fn(client::note))
        .merge(admin::router())
        .layer(from_fn(compress))
        .layer(from_fn_with_state(Arc::clone(&state), count))
        .layer(CatchPanicLayer::new())
        .with_state(state)
}

async fn refuse_until_ready(
    Extract(state): Extract<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    if state.is_ready() {
        return next.run(request).await;
    }
    (StatusCode::SERVICE_UNAVAILABLE, [("X-Prometheus-Stopping", "false")], "Service Unavailable")
        .into_response()
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

async fn count(Extract(state): Extract<Arc<State>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    add_retry_after(&mut response);
    let class = match response.status().as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    };
    state.metrics.http_requests.with(class).inc();
    response
}

/// Bytes of a body that is known as a whole.
pub(crate) fn http_body_length(body: &Body) -> Option<usize> {
    use axum::body::HttpBody as _;
    body.size_hint().exact().and_then(|length| usize::try_from(length).ok())
}

#[cfg(test)]
pub(crate) mod tests;
