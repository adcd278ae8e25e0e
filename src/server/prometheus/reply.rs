//! Answers of the query API.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::{Classify, ErrorKind};
use wire::prometheus::query_json;

use crate::error_map::{Api, prometheus_error_type, status};
use crate::run_query::QueryError;

/// Warnings and infos beside a result.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// Texts of warnings.
    pub warnings: Vec<String>,
    /// Texts of infos.
    pub infos: Vec<String>,
}

/// What Prometheus adds when a limit cut the result.
pub const TRUNCATED: &str = "results truncated due to limit";

/// 200 with `data`.
pub fn success(data: &[u8], notes: &Notes) -> Response {
    let body = query_json::success(data, &notes.warnings, &notes.infos);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// 200 with a body that is written while the client takes it; one of a single piece is sent whole.
pub fn pieces(mut body: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let first = body.next().unwrap_or_default();
    let Some(second) = body.next() else { return (headers, first).into_response() };
    let all = [first, second].into_iter().chain(body).map(Ok::<_, std::convert::Infallible>);
    (headers, Body::from_stream(futures::stream::iter(all))).into_response()
}

/// 400 `bad_data`.
pub fn bad_data(text: &str) -> Response {
    failure(ErrorKind::Invalid, text)
}

/// The failure of this kind with this text.
pub fn failure(kind: ErrorKind, text: &str) -> Response {
    typed_failure(kind, prometheus_error_type(kind), text)
}

/// The status of `kind` with another `errorType` than usual.
pub fn typed_failure(kind: ErrorKind, error_type: &str, text: &str) -> Response {
    let body = query_json::failure(error_type, text);
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status(Api::PrometheusQuery, kind), headers, body).into_response()
}

/// A failure as plain text, as Go's `http.Error` sends it: with an end of line.
pub fn plain_error(status: StatusCode, text: &str) -> Response {
    let headers =
        [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")];
    (status, headers, format!("{text}\n")).into_response()
}

/// A query that failed while it ran: what the meaning of the expression forbids is `execution`, 422.
pub fn query_failure(error: &QueryError) -> Response {
    let kind = match error.kind() {
        ErrorKind::Invalid => ErrorKind::Conflict,
        kind => kind,
    };
    failure(kind, &error.to_string())
}
