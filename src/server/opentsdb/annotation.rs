//! `/api/annotation`, `/api/annotation/bulk` and `/api/annotations`.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use lang::opentsdb::time::parse_time;
use model::TimeRange;
use serde_json::{Value, json};

use super::annotations::{self, Annotation, to_ms};
use super::body::{self, Object};
use super::dispatch::allow;
use super::params::Params;
use super::reply::{Refusal, Reply};
use crate::state::State;

/// All endpoints below `/api/annotation`.
pub(super) async fn annotation(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    rest: &[&str],
) -> Result<Reply, Refusal> {
    let method = body::method_of(&request, params)?;
    if let ["bulk", ..] = rest {
        return match method {
            Method::POST | Method::PUT => bulk(state, request, method).await,
            Method::DELETE => bulk_delete(state, request, params).await,
            other => Err(Refusal::method(&other)),
        };
    }
    if method == Method::GET {
        let given = from_params(state, params)?;
        let start_ms = given.start_ms.ok_or_else(|| Refusal::bad("Missing start time"))?;
        let found = find(state, &given.tsuid, start_ms);
        let missing = "Unable to locate annotation in storage";
        let found = found.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, missing))?;
        return Ok(shown(&found));
    }
    let given = match body::value(state, request).await? {
        Some(value) => Given::from_object(&body::object(value)?),
        None => from_params(state, params)?,
    };
    if method == Method::DELETE {
        let start_ms = given.start_ms.ok_or_else(no_start)?;
        if let Some(found) = find(state, &given.tsuid, start_ms) {
            body::write(state, vec![found.drop()]).await?;
        }
        return Ok(body::empty(StatusCode::NO_CONTENT));
    }
    match stored(state, given, &method)? {
        Some(annotation) => {
            body::write(state, vec![annotation.keep()]).await?;
            Ok(shown(&annotation))
        }
        None => Ok(body::empty(StatusCode::NOT_MODIFIED)),
    }
}

/// `/api/annotations`: notes on everything.
pub(super) fn list(state: &State, request: &Request, params: &Params) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET])?;
    let start_ms = time(state, params.get("start_time").unwrap_or_default())?;
    let start_ms = start_ms.ok_or_else(|| Refusal::bad("Missing start time"))?;
    let end_ms = time(state, params.get("end_time").unwrap_or_default())?;
    let range = TimeRange::new(start_ms, end_ms.unwrap_or_else(|| state.now_ms()));
    let mut out = Vec::new();
    annotations::write_all(&mut out, &annotations::in_range(&state.documents, "", range));
    Ok(Reply::ok(out))
}

fn shown(annotation: &Annotation) -> Reply {
    let mut out = Vec::new();
    annotation.write(&mut out);
    Reply::ok(out)
}

fn no_start() -> Refusal {
    let text = "The start timestamp has not been set";
    Refusal::bad(text).with(text)
}

/// The note at an instant; one that was given in seconds is also found within its second.
fn find(state: &State, tsuid: &str, start_ms: i64) -> Option<Annotation> {
    let at = |start_ms| annotations::get(&state.documents, tsuid, start_ms);
    at(start_ms).or_else(|| at(start_ms - start_ms.rem_euclid(1000)))
}

/// What a request says about a note; what it does not say is `None`.
#[derive(Clone, Debug, Default)]
struct Given {
    tsuid: String,
    start: Option<i64>,
    start_ms: Option<i64>,
    end: Option<i64>,
    description: Option<String>,
    notes: Option<String>,
    custom: Option<Object>,
}

impl Given {
    fn from_object(object: &Object) -> Self {
        let start = body::integer(object, "startTime").filter(|start| *start > 0);
        Self {
            tsuid: body::text(object, "tsuid").unwrap_or_default().to_ascii_uppercase(),
            start,
            start_ms: start.map(to_ms),
            end: body::integer(object, "endTime"),
            description: body::text(object, "description"),
            notes: body::text(object, "notes"),
            custom: object.get("custom").and_then(Value::as_object).cloned(),
        }
    }
}

fn time(state: &State, text: &str) -> Result<Option<i64>, Refusal> {
    parse_time(text, None, state.now_ms()).map_err(|error| Refusal::bad(error.to_string()))
}

/// Times of a URL are seconds, however they are spelled.
fn from_params(state: &State, params: &Params) -> Result<Given, Refusal> {
    let text = |name: &str| params.get(name).map(str::to_owned);
    let start_ms = time(state, params.get("start_time").unwrap_or_default())?;
    let end_ms = time(state, params.get("end_time").unwrap_or_default())?;
    Ok(Given {
        tsuid: text("tsuid").unwrap_or_default().to_ascii_uppercase(),
        start: start_ms.map(|ms| ms / 1000),
        start_ms,
        end: end_ms.map(|ms| ms / 1000),
        description: text("description"),
        notes: text("notes"),
        custom: None,
    })
}

/// The note as it is to be kept: `POST` goes on from what is stored, `PUT` starts anew. `None` when
/// nothing but the place is given.
fn stored(state: &State, given: Given, method: &Method) -> Result<Option<Annotation>, Refusal> {
    let (Some(start), Some(start_ms)) = (given.start, given.start_ms) else {
        return Err(no_start());
    };
    let Given { tsuid, end, description, notes, custom, .. } = given;
    if end.is_none() && description.is_none() && notes.is_none() && custom.is_none() {
        return Ok(None);
    }
    let before = if method == Method::PUT { None } else { find(state, &tsuid, start_ms) };
    let before = before.unwrap_or(Annotation { tsuid, start, ..Annotation::default() });
    Ok(Some(Annotation {
        description: description.unwrap_or(before.description),
        notes: notes.unwrap_or(before.notes),
        custom: custom.or(before.custom),
        end: end.unwrap_or(before.end),
        tsuid: before.tsuid,
        start: before.start,
    }))
}

async fn bulk(state: &Arc<State>, request: Request, method: Method) -> Result<Reply, Refusal> {
    let Value::Array(items) = body::required(state, request).await? else {
        return Err(Refusal::bad("Unable to parse the given JSON").with("expected an array"));
    };
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        if let Some(annotation) = stored(state, Given::from_object(&body::object(item)?), &method)?
        {
            kept.push(annotation);
        }
    }
    body::write(state, kept.iter().map(Annotation::keep).collect()).await?;
    let mut out = Vec::new();
    annotations::write_all(&mut out, &kept);
    Ok(Reply::ok(out))
}

async fn bulk_delete(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    let given = body::object_or_params(state, request, params).await?;
    let text = |name: &str, other: &str| {
        body::text(&given, name).or_else(|| body::text(&given, other)).unwrap_or_default()
    };
    let start_ms = time(state, &text("startTime", "start_time"))?;
    let start_ms = start_ms.ok_or_else(|| Refusal::bad("Missing the start time value"))?;
    let end_ms = time(state, &text("endTime", "end_time"))?.unwrap_or_else(|| state.now_ms());
    let tsuids: Option<Vec<String>> = match given.get("tsuids") {
        Some(Value::Array(items)) => {
            Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        Some(Value::String(list)) => Some(list.split(',').map(str::to_owned).collect()),
        _ => None,
    };
    let global = body::flag(&given, "global").unwrap_or(false);
    if tsuids.as_ref().is_none_or(Vec::is_empty) && !global {
        return Err(Refusal::bad("Missing the TSUIDs or global annotations flag"));
    }
    let range = TimeRange::new(start_ms, end_ms);
    let mut changes = Vec::new();
    let series = tsuids.iter().flatten().map(|tsuid| tsuid.to_ascii_uppercase());
    for tsuid in series.chain(global.then(String::new)) {
        let found = annotations::in_range(&state.documents, &tsuid, range);
        changes.extend(found.iter().map(Annotation::drop));
    }
    let deleted = changes.len();
    body::write(state, changes).await?;
    Ok(body::json(&json!({
        "tsuids": tsuids,
        "global": global,
        "startTime": start_ms,
        "endTime": end_ms,
        "totalDeleted": deleted,
    })))
}
