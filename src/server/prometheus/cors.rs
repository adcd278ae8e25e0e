//! What browsers of other origins may do, and how Prometheus refuses what it has no route for.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::reply::plain_error;

/// Any origin may ask, as in a Prometheus with default settings.
fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

/// The layer around all endpoints below `/api/v1`.
pub async fn layer(request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    if request.method() == Method::OPTIONS {
        let mut response = StatusCode::NO_CONTENT.into_response();
        allow(response.headers_mut(), origin);
        return response;
    }
    let mut response = next.run(request).await;
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_FOUND => response,
        _ => {
            allow(response.headers_mut(), origin);
            response
        }
    }
}

/// 405 with the methods that a path has.
pub async fn method_not_allowed(methods: &'static str) -> Response {
    let mut refusal = plain_error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    refusal
}

/// Paths that are no endpoint.
pub async fn not_found() -> Response {
    plain_error(StatusCode::NOT_FOUND, "404 page not found")
}
