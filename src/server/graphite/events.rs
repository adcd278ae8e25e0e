//! `/events`: what happened, kept as small documents beside the samples.
//!
//! An event is found by its time: keys are time and number, both in an order that bytes keep. A second
//! table leads from the number to the key.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use model::{DocumentChange, Documents, TenantId};
use serde_json::Value;
use wire::graphite::json::Writer;

use super::params::Params;
use super::reply::{failure_text, json, json_error, json_failure, style};
use crate::state::State;

/// Events by time.
const EVENTS: &str = "graphite.events";
/// Keys of events by number.
const NUMBERS: &str = "graphite.event_numbers";
/// Bytes of a posted event.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Events of one answer.
const LISTED_MAX: usize = 100_000;
/// Events read at once.
const PAGE: usize = 1_000;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Event {
    /// Seconds since the epoch.
    when: i64,
    what: String,
    data: String,
    tags: Vec<String>,
    id: u64,
}

fn key(when: i64, id: u64) -> Vec<u8> {
    // The sign's bit turned over puts times before 1970 first.
    let when = (when as u64) ^ (1 << 63);
    [when.to_be_bytes(), id.to_be_bytes()].concat()
}

fn bad_request(reason: &str) -> Response {
    json_error(StatusCode::BAD_REQUEST, reason)
}

/// `POST /events`
pub(super) async fn post(
    Extract(state): Extract<Arc<State>>,
    request: Request,
) -> Result<Response, Response> {
    let body = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX)
        .await
        .map_err(|error| bad_request(&format!("cannot read the event: {error}")))?;
    let event = parse(&body, state.now_ms().div_euclid(1000)).map_err(|why| bad_request(&why))?;
    let written = tokio::task::spawn_blocking(move || {
        // Numbers are given one by one.
        let _alone = state.events_lock.lock();
        store(&*state.documents, event)
    });
    let written = written.await.map_err(|error| failure_text(&error))?;
    written.map_err(|error| json_failure(&error))?;
    Ok(StatusCode::OK.into_response())
}

fn parse(body: &Bytes, now_s: i64) -> Result<Event, String> {
    let posted: Value =
        serde_json::from_slice(body).map_err(|error| format!("event is no JSON: {error}"))?;
    let text = |key: &str| match &posted[key] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(format!("\"{key}\" must be a text")),
    };
    let tags = match &posted["tags"] {
        Value::Null => Vec::new(),
        Value::String(tags) => tags.split_whitespace().map(str::to_owned).collect(),
        Value::Array(tags) => {
            tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect()
        }
        _ => return Err("\"tags\" must be an array or space-separated string".to_owned()),
    };
    let when = match &posted["when"] {
        Value::Null => now_s,
        when => when
            .as_f64()
            .filter(|when| when.abs() < 1e15)
            .ok_or("\"when\" must be a number of seconds")? as i64,
    };
    if posted["what"].is_null() {
        return Err("\"what\" is missing".to_owned());
    }
    Ok(Event { when, what: text("what")?, data: text("data")?, tags, id: 0 })
}

fn store(documents: &dyn Documents, event: Event) -> Result<(), model::DocumentError> {
    let tenant = TenantId::DEFAULT;
    let last = documents.get(tenant, NUMBERS, b"last");
    let last = last.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes);
    let id = last.saturating_add(1);
    let event = Event { id, ..event };
    let key = key(event.when, id);
    let body = serde_json::to_vec(&event).unwrap_or_default();
    documents.write(
        tenant,
        &[
            DocumentChange::put(EVENTS, key.clone(), body),
            DocumentChange::put(NUMBERS, number_key(id), key),
            DocumentChange::put(NUMBERS, *b"last", id.to_be_bytes()),
        ],
    )
}

fn number_key(id: u64) -> Vec<u8> {
    [b"#".as_slice(), &id.to_be_bytes()].concat()
}

/// Which tags an event must have.
struct TagFilter {
    tags: Vec<String>,
    any: bool,
}

impl TagFilter {
    fn new(params: &Params) -> Self {
        let tags = params.get("tags").unwrap_or_default();
        let tags = tags.split_whitespace().map(str::to_owned).collect();
        Self { tags, any: params.get("set") == Some("union") }
    }

    fn passes(&self, event: &Event) -> bool {
        let has = |tag: &String| event.tags.contains(tag);
        match self.any {
            _ if self.tags.is_empty() => true,
            true => self.tags.iter().any(has),
            false => self.tags.iter().all(has),
        }
    }
}

/// `/events/get_data`, and the list at `/events`.
pub(super) async fn list(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let now_s = params.now_s(state.now_ms())?;
    let from = params.time("from", now_s)?.unwrap_or(0);
    let until = params.time("until", now_s)?.unwrap_or(now_s);
    let filter = TagFilter::new(&params);
    let found = tokio::task::spawn_blocking(move || {
        between(&*state.documents, from, until, |event| filter.passes(event))
    });
    let found = found.await.map_err(|error| failure_text(&error))?;
    let events = found.ok_or_else(|| {
        bad_request(&format!("more than {LISTED_MAX} events; ask for a shorter time"))
    })?;
    let style = style(&params);
    let mut body = Writer::new(style);
    body.begin('[');
    events.iter().for_each(|event| write(&mut body, event));
    body.end(']');
    Ok(json(&params, style, body.finish()))
}

/// The events in a range of seconds, both ends included; `None` if they are too many.
fn between(
    documents: &dyn Documents,
    from: i64,
    until: i64,
    passes: impl Fn(&Event) -> bool,
) -> Option<Vec<Event>> {
    let (mut events, mut next, end) = (Vec::new(), key(from, 0), key(until, u64::MAX));
    loop {
        let page = documents.scan(TenantId::DEFAULT, EVENTS, b"", &next, PAGE);
        let full = page.len() == PAGE;
        for (key, body) in page {
            if key > end {
                return Some(events);
            }
            // What cannot be read was not written here.
            let event = serde_json::from_slice::<Event>(&body).ok();
            events.extend(event.filter(|event| passes(event)));
            next = key;
            next.push(0);
        }
        if !full {
            return Some(events);
        }
        if events.len() > LISTED_MAX {
            return None;
        }
    }
}

fn write(body: &mut Writer, event: &Event) {
    body.begin('{');
    body.key("when");
    body.integer(event.when);
    for (key, text) in [("what", &event.what), ("data", &event.data)] {
        body.key(key);
        body.text(text);
    }
    body.key("tags");
    body.texts(event.tags.iter().map(String::as_str));
    body.key("id");
    body.integer(i64::try_from(event.id).unwrap_or(i64::MAX));
    body.end('}');
}

/// `/events/<id>`
pub(super) async fn one(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Response, Response> {
    let missing = || json_error(StatusCode::NOT_FOUND, "Event matching query does not exist");
    let id: u64 = id.parse().map_err(|_| missing())?;
    let found = tokio::task::spawn_blocking(move || {
        let key = state.documents.get(TenantId::DEFAULT, NUMBERS, &number_key(id))?;
        let body = state.documents.get(TenantId::DEFAULT, EVENTS, &key)?;
        serde_json::from_slice::<Event>(&body).ok()
    });
    let event = found.await.map_err(|error| failure_text(&error))?.ok_or_else(missing)?;
    let style = style(&params);
    let mut body = Writer::new(style);
    write(&mut body, &event);
    Ok(json(&params, style, body.finish()))
}

/// Times of the events in a range of seconds that have all `tags`; of all events for `*` alone.
pub(super) fn times(documents: &dyn Documents, tags: &[&str], range: (i64, i64)) -> Vec<i64> {
    let has = |event: &Event, tag: &str| event.tags.iter().any(|known| known == tag);
    let passes = |event: &Event| tags == ["*"] || tags.iter().all(|tag| has(event, tag));
    let events = between(documents, range.0, range.1, passes).unwrap_or_default();
    events.into_iter().map(|event| event.when).collect()
}
