//! Bodies and methods of the endpoints that read small JSON documents.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use lang::opentsdb::request::missing_content;
use model::{DocumentChange, DocumentError, TenantId};
use serde_json::{Map, Value};

use super::params::{Params, read_body};
use super::reply::{Refusal, Reply};
use crate::state::State;

/// Members of an object.
pub(super) type Object = Map<String, Value>;

/// The method that a request stands for: `method_override` lets a `GET` be another one.
pub(super) fn method_of(request: &Request, params: &Params) -> Result<Method, Refusal> {
    let method = request.method();
    let Some(other) = params.get("method_override").filter(|_| method == Method::GET) else {
        return Ok(method.clone());
    };
    let refuse = |text: &str| Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, text));
    match other.to_ascii_lowercase().as_str() {
        "post" => Ok(Method::POST),
        "put" => Ok(Method::PUT),
        "delete" => Ok(Method::DELETE),
        "" => refuse("Missing method override value"),
        _ => refuse("Unknown or unsupported method override value"),
    }
}

/// The value at the front of a body, `None` without a body; what follows it is ignored.
pub(super) async fn value(state: &State, request: Request) -> Result<Option<Value>, Refusal> {
    let body = read_body(request, state.settings.body_bytes_max).await?;
    if body.is_empty() {
        return Ok(None);
    }
    let broken = |details: String| Refusal::bad("Unable to parse the given JSON").with(details);
    match serde_json::Deserializer::from_slice(&body).into_iter::<Value>().next() {
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(error)) => Err(broken(error.to_string())),
        None => Err(broken("no content".to_owned())),
    }
}

/// The value of a body that must be there.
pub(super) async fn required(state: &State, request: Request) -> Result<Value, Refusal> {
    Ok(value(state, request).await?.ok_or_else(missing_content)?)
}

/// `value` as an object.
pub(super) fn object(value: Value) -> Result<Object, Refusal> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Refusal::bad("Unable to parse the given JSON").with("expected an object")),
    }
}

/// The object of a request: its body, or where there is none, its parameters.
pub(super) async fn object_or_params(
    state: &State,
    request: Request,
    params: &Params,
) -> Result<Object, Refusal> {
    match value(state, request).await? {
        Some(value) => object(value),
        None => Ok(params.0.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect()),
    }
}

/// A member as text; numbers and truths are read as they are printed, `null` as nothing.
pub(super) fn text(object: &Object, name: &str) -> Option<String> {
    match object.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A member as an integer, also from text.
pub(super) fn integer(object: &Object, name: &str) -> Option<i64> {
    match object.get(name)? {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A member as a truth; a parameter that is there is true unless it says otherwise.
pub(super) fn flag(object: &Object, name: &str) -> Option<bool> {
    match object.get(name)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => Some(!text.eq_ignore_ascii_case("false")),
        _ => None,
    }
}

/// An answer of this JSON.
pub(super) fn json(value: &Value) -> Reply {
    Reply::ok(value.to_string().into_bytes())
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Reply {
    Reply { status, body: Vec::new() }
}

/// Changes documents, away from the threads that serve sockets.
pub(super) async fn write(state: &Arc<State>, changes: Vec<DocumentChange>) -> Result<(), Refusal> {
    let documents = state.documents.clone();
    blocking(move || documents.write(TenantId::DEFAULT, &changes)).await?.map_err(|e| refused(&e))
}

/// What a client is told when documents cannot be written.
pub(super) fn refused(error: &DocumentError) -> Refusal {
    Refusal::of(error)
}

/// Runs work that may wait for a disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Refusal::internal("the request could not be carried out"))
}
