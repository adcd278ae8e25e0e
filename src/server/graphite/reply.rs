//! Answers: JSON in two dresses, and errors as plain text.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::Classify;
use wire::graphite::json::{Style, Writer};

use super::params::Params;
use crate::error_map::{Api, status};

/// 400, in the original's words.
pub(super) fn invalid(reason: &str) -> Response {
    text(StatusCode::BAD_REQUEST, format!("Invalid parameters ({reason})"))
}

/// The answer to an error, whatever met it.
pub(super) fn failure(error: &(impl Classify + std::fmt::Display)) -> Response {
    let status = status(Api::Graphite, error.kind());
    if status.is_client_error() {
        invalid(&error.to_string())
    } else {
        text(status, error.to_string())
    }
}

/// A body of a content type.
pub(super) fn typed(content_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let value = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// 500, for a mistake of this program.
pub(super) fn failure_text(error: &dyn std::fmt::Display) -> Response {
    text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// Plain text.
pub(super) fn text(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// `{"error": …}`, which the tag and function endpoints answer.
pub(super) fn json_error(status: StatusCode, reason: &str) -> Response {
    let mut json = Writer::new(Style::PLAIN);
    json.begin('{');
    json.key("error");
    json.text(reason);
    json.end('}');
    (status, [(header::CONTENT_TYPE, "application/json")], json.finish()).into_response()
}

/// The error of a tag endpoint.
pub(super) fn json_failure(error: &(impl Classify + std::fmt::Display)) -> Response {
    json_error(status(Api::Graphite, error.kind()), &error.to_string())
}

/// The layout that a request asks for.
pub(super) fn style(params: &Params) -> Style {
    Style { pretty: params.get("pretty").is_some(), ascii: true }
}

/// JSON, or a call of the function that `jsonp` names.
pub(super) fn json(params: &Params, style: Style, body: String) -> Response {
    if let Some(callback) = params.get("jsonp") {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$');
        if callback.is_empty() || !callback.bytes().all(allowed) {
            return invalid("jsonp must be a function's name");
        }
        let body = format!("{callback}({body})");
        return ([(header::CONTENT_TYPE, "text/javascript")], body).into_response();
    }
    let content_type =
        if style.ascii { "application/json" } else { "application/json;charset=utf-8" };
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Says that an answer must not be kept.
pub(super) fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
