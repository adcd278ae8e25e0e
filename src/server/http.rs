//! Router assembly, and what every route shares: readiness, compression, metrics, panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use tower_service::Service as _;

use crate::client::ClientId;
use crate::run_query::panic_text;
use crate::state::State;
use crate::{admin, answers, bodies, compress, explain, graphite, opentsdb, prometheus};

/// After so many seconds a refused client may try again: a flush takes about as long.
const RETRY_SECONDS: &str = "2";

/// What a port answers. What all routes share stands around the routes and not in layers of the router, of
/// which each costs every request a few boxes.
#[derive(Clone)]
pub struct Site {
    apis: Router,
    admin: Router,
    state: Arc<State>,
}

impl Site {
    /// All three APIs and the admin pages: the HTTP port.
    pub fn http(state: Arc<State>) -> Self {
        let apis = prometheus::router()
            .merge(graphite::router())
            .merge(opentsdb::router())
            .merge(crate::import::router())
            .merge(explain::router());
        Self::new(apis, state)
    }

    /// OpenTSDB's own port.
    pub fn opentsdb(state: Arc<State>) -> Self {
        Self::new(opentsdb::own_router(), state)
    }

    fn new(apis: Router<Arc<State>>, state: Arc<State>) -> Self {
        let apis = apis.with_state(Arc::clone(&state));
        Self { apis, admin: admin::router().with_state(Arc::clone(&state)), state }
    }

    /// The answer to a request, whatever becomes of it.
    pub async fn answer(&self, request: Request) -> Response {
        let is_gzip_wanted = compress::is_wanted(request.headers());
        let answered = AssertUnwindSafe(self.route(request)).catch_unwind().await;
        let response = answered.unwrap_or_else(|panic| self.apologize(&*panic));
        let mut response = compress::compress(is_gzip_wanted, response);
        add_retry_after(&mut response);
        count(&self.state, response.status());
        response
    }

    async fn route(&self, request: Request) -> Response {
        if admin::serves(request.uri().path()) {
            return called(&self.admin, request).await;
        }
        self.answer_apis(request).await
    }

    /// What the routes of the APIs share: a store that is ready, room for the body, a client that is known, and
    /// an answer that does not last while memory is wanted.
    async fn answer_apis(&self, request: Request) -> Response {
        if !self.state.is_ready() {
            return refuse_until_ready();
        }
        let client = ClientId::of(&request);
        let (_room, request) = match bodies::admit(&self.state, request) {
            Ok(admitted) => admitted,
            Err(refusal) => return *refusal,
        };
        let response = client.known_while(called(&self.apis, request)).await;
        answers::hurry(&self.state, response)
    }

    /// The answer of a handler that panicked, which harms no other request.
    fn apologize(&self, panic: &(dyn Any + Send)) -> Response {
        tracing::error!(panic = panic_text(panic), "a request failed");
        self.state.metrics.panics.inc();
        (StatusCode::INTERNAL_SERVER_ERROR, "Service panicked").into_response()
    }
}

async fn called(routes: &Router, request: Request) -> Response {
    routes.clone().call(request).await.unwrap_or_else(|never| match never {})
}

fn refuse_until_ready() -> Response {
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
