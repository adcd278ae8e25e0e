//! From a path to its handler.
//!
//! Paths are compared without regard to case; a slash at the end and parts that an endpoint has no
//! use for are ignored.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::params::Params;
use super::reply::{Refusal, Reply};
use super::{
    annotation, config, cors, info, lookup, put, query, query_exp, query_gexp, query_last,
    query_old, stats, tree, uid,
};
use crate::state::State;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// On OpenTSDB's own port.
    Own,
    /// On the port of all three protocols.
    Shared,
}

/// Answers any request.
pub(super) async fn answer(state: &Arc<State>, request: Request, port: Port) -> Response {
    match cors::check(&state.settings.opentsdb, &request) {
        cors::Verdict::NoConcern => route(state, request, port).await,
        cors::Verdict::Refused(refusal) => refusal.reply().into_response(None),
        cors::Verdict::Allowed(headers) => {
            let mut response = if request.method() == Method::OPTIONS {
                StatusCode::OK.into_response()
            } else {
                route(state, request, port).await
            };
            response.headers_mut().extend(headers);
            response
        }
    }
}

async fn route(state: &Arc<State>, request: Request, port: Port) -> Response {
    let params = Params::from_query(request.uri().query().unwrap_or_default());
    let path = request.uri().path().to_ascii_lowercase();
    let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.first() != Some(&"api") {
        return old_path(state, request, &params, &parts).await;
    }
    parts.remove(0);
    if let Some(version) = parts.first().and_then(|part| api_version(part)) {
        if port == Port::Shared {
            return StatusCode::NOT_FOUND.into_response();
        }
        if version > 1 {
            let refusal = Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "Requested API version is greater than the max implemented",
            );
            let details = format!("API version [{version}] is greater than the max [1]");
            return refusal.with(details).reply().into_response(params.get("jsonp"));
        }
        parts.remove(0);
    }
    let outcome = match check(&request, &params) {
        Ok(()) => handle(state, request, &params, &parts).await,
        Err(refusal) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| refusal.reply()).into_response(params.get("jsonp"))
}

/// The number behind a `v`.
fn api_version(part: &str) -> Option<u64> {
    let digits = part.strip_prefix('v').filter(|digits| !digits.is_empty())?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number beyond all bounds is still a version that is not there.
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A path of the time before the API; what some of them tell is told here as well.
async fn old_path(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    parts: &[&str],
) -> Response {
    let outcome = match parts {
        [] => return page(StatusCode::OK, "OpenTSDB by tributary"),
        ["version", ..] if !params.has("json") => {
            let headers = [(header::CONTENT_TYPE, "text/plain")];
            return (headers, info::version_lines()).into_response();
        }
        ["q", ..] => {
            let raw = request.uri().query().unwrap_or_default().to_owned();
            match query_old::old_query(state, params, &raw).await {
                Ok(response) => return response,
                Err(refusal) => Err(refusal),
            }
        }
        ["version", ..] => info::version(&request),
        ["aggregators", ..] => info::aggregators(&request),
        ["suggest", ..] => lookup::suggest(state, request, params).await,
        ["stats", ..] if !params.has("json") => {
            let headers = [(header::CONTENT_TYPE, "text/plain")];
            let mut lines = stats::lines(state).join("\n");
            lines.push('\n');
            return (headers, lines).into_response();
        }
        ["stats", ..] => Ok(info::texts(&stats::lines(state))),
        ["logs", ..] => match info::logs(params) {
            Ok(()) if !params.has("json") => {
                return ([(header::CONTENT_TYPE, "text/plain")], "").into_response();
            }
            outcome => outcome.map(|()| info::texts(&[])),
        },
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "Page Not Found")),
    };
    match outcome {
        Ok(reply) => reply.into_old_response(),
        Err(refusal) if params.has("json") => refusal.old_reply().into_old_response(),
        Err(refusal) => page(refusal.status(), refusal.message()),
    }
}

/// A page for a browser; `text` is one of ours and holds nothing that needs escaping but tags.
fn page(status: StatusCode, text: &str) -> Response {
    let text = text.replace('<', "&lt;");
    let page =
        format!("<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>");
    (status, [(header::CONTENT_TYPE, "text/html; charset=UTF-8")], page).into_response()
}

/// What is looked at before any endpoint: the method and the serializer.
fn check(request: &Request, params: &Params) -> Result<(), Refusal> {
    let method = request.method();
    if ![Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(method) {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
            .with(format!("The HTTP method [{method}] is not permitted")));
    }
    match params.get("serializer") {
        None | Some("json") => Ok(()),
        Some(other) => Err(Refusal::bad("Requested serializer was not found")
            .with(format!("Could not find a serializer with the name: {other}"))),
    }
}

async fn handle(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    parts: &[&str],
) -> Result<Reply, Refusal> {
    match parts {
        ["put", ..] => put::put(state, request, params, put::Kind::Point).await,
        ["histogram", ..] => put::put(state, request, params, put::Kind::Histogram).await,
        ["rollup", ..] => put::put(state, request, params, put::Kind::Rollup).await,
        ["query", "last", ..] => query_last::last(state, request, params).await,
        ["query", "exp", ..] => query_exp::exp(state, request).await,
        ["query", "gexp", ..] => query_gexp::gexp(state, request, params).await,
        ["query", ..] => query::query(state, request, params).await,
        ["uid", rest @ ..] => uid::uid(state, request, params, rest).await,
        ["annotation", rest @ ..] => annotation::annotation(state, request, params, rest).await,
        ["annotations", ..] => annotation::list(state, &request, params),
        ["suggest", ..] => lookup::suggest(state, request, params).await,
        ["search", rest @ ..] => lookup::search(state, request, params, rest).await,
        ["aggregators", ..] => info::aggregators(&request),
        ["version", ..] => info::version(&request),
        ["config", "filters", ..] => info::filters(&request),
        ["config", ..] => config::config(state, &request),
        ["serializers", ..] => info::serializers(&request),
        ["stats", rest @ ..] => stats::stats(state, &request, rest),
        ["tree", rest @ ..] => tree::tree(state, request, params, rest).await,
        ["dropcaches", ..] => info::drop_caches(&request),
        ["status", ..] => Ok(Reply::ok(b"{\"status\":\"ok\"}".to_vec())),
        _ => Err(Refusal::no_endpoint()),
    }
}

/// Refuses methods other than those of an endpoint.
pub(super) fn allow(request: &Request, methods: &[Method]) -> Result<(), Refusal> {
    let method = request.method();
    if methods.contains(method) { Ok(()) } else { Err(Refusal::method(method)) }
}
