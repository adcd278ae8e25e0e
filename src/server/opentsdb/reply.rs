//! Answers and refusals.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::{Classify, ErrorKind};
use lang::opentsdb::OpenTsdbError;
use wire::opentsdb::query_json;

use crate::error_map::{Api, status};
use crate::run_query::QueryError;

/// What every answer of the API claims to be.
const JSON: &str = "application/json; charset=UTF-8";

/// An answer before it is wrapped for `jsonp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The status.
    pub(super) status: StatusCode,
    /// JSON, or nothing.
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// 200 with a body.
    pub(super) fn ok(body: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, body }
    }

    /// The response of a path that is older than the API.
    pub(super) fn into_old_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "application/json")], self.body).into_response()
    }

    /// The response; the callback of `jsonp` is put around the body.
    pub(super) fn into_response(self, jsonp: Option<&str>) -> Response {
        let body = match jsonp.filter(|_| !self.body.is_empty()) {
            Some(callback) => {
                let mut out = format!("{callback}(").into_bytes();
                out.extend_from_slice(&self.body);
                out.push(b')');
                out
            }
            None => self.body,
        };
        (self.status, [(header::CONTENT_TYPE, JSON)], body).into_response()
    }
}

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    details: Option<String>,
}

impl Refusal {
    /// With any status.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), details: None }
    }

    /// The client's mistake.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(status(Api::OpenTsdb, ErrorKind::Invalid), message)
    }

    /// A limit was passed.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(status(Api::OpenTsdb, ErrorKind::TooLarge), message)
    }

    /// A mistake of this program.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(status(Api::OpenTsdb, ErrorKind::Internal), message)
    }

    /// An error of a known kind.
    pub(super) fn of(error: &(impl Classify + ToString)) -> Self {
        Self::new(status(Api::OpenTsdb, error.kind()), error.to_string())
    }

    /// The endpoint does not take the request's method.
    pub(super) fn method(method: &axum::http::Method) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .with(format!("The HTTP method [{method}] is not permitted for this endpoint"))
    }

    /// There is no such endpoint.
    pub(super) fn no_endpoint() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Endpoint not found")
    }

    /// The same with details.
    pub(super) fn with(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The answer of a path that is older than the API.
    pub(super) fn old_reply(&self) -> Reply {
        let mut body = b"{\"err\":".to_vec();
        query_json::push_text(&mut body, &self.message);
        body.push(b'}');
        Reply { status: self.status, body }
    }

    /// The answer.
    pub(super) fn reply(&self) -> Reply {
        let code = self.status.as_u16();
        let body = query_json::error(code, &self.message, self.details.as_deref());
        Reply { status: self.status, body }
    }
}

impl From<OpenTsdbError> for Refusal {
    fn from(error: OpenTsdbError) -> Self {
        let refusal = Self::of(&error);
        Self { details: error.details, ..refusal }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let refusal = Self::of(&error);
        let details = refusal.message.clone();
        refusal.with(details)
    }
}
