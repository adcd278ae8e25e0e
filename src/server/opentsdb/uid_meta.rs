//! `/api/uid/uidmeta`: what people note about a name.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use lang::opentsdb::request::missing;
use model::{DocumentChange, TenantId};
use serde_json::{Value, json};

use super::body::{self, Object};
use super::params::Params;
use super::reply::{Refusal, Reply};
use super::uids::{Uid, UidKind, UidSpace, from_hex};
use crate::state::State;

const TABLE: &str = "opentsdb.uidmeta";
/// The members that can be set.
const FIELDS: [&str; 4] = ["displayName", "description", "notes", "custom"];

/// The handler.
pub(super) async fn uid_meta(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    let method = body::method_of(&request, params)?;
    let space = state.uids.of(TenantId::DEFAULT);
    if method == Method::GET {
        let parameter = |name| params.get(name).filter(|text| !text.is_empty());
        let hex = parameter("uid").ok_or_else(|| missing("uid"))?;
        let kind = parameter("type").ok_or_else(|| missing("type"))?;
        let (kind, uid) = find(&space, kind, hex)?;
        return Ok(body::json(&describe(state, &space, kind, uid)));
    }
    let given = body::object_or_params(state, request, params).await?;
    let needed = |name: &str, what: &str| {
        let text = body::text(&given, name).filter(|text| !text.is_empty());
        text.ok_or_else(|| Refusal::bad(what).with(what))
    };
    let hex = needed("uid", "Missing UID")?;
    let (kind, uid) = find(&space, &needed("type", "Missing type")?, &hex)?;
    if method == Method::DELETE {
        let change = DocumentChange::remove(TABLE, key(kind, uid));
        body::write(state, vec![change]).await?;
        return Ok(body::empty(StatusCode::NO_CONTENT));
    }
    let mut stored = if method == Method::PUT { Object::new() } else { load(state, kind, uid) };
    if !merge(&mut stored, &given, &FIELDS) {
        return Ok(body::empty(StatusCode::NOT_MODIFIED));
    }
    stored.entry("created").or_insert_with(|| json!(state.now_ms() / 1000));
    let bytes = Value::Object(stored).to_string().into_bytes();
    body::write(state, vec![DocumentChange::put(TABLE, key(kind, uid), bytes)]).await?;
    Ok(body::json(&describe(state, &space, kind, uid)))
}

/// Takes over the members that can be set; false when none was given.
pub(super) fn merge(stored: &mut Object, given: &Object, fields: &[&str]) -> bool {
    let mut changed = false;
    for field in fields {
        if let Some(value) = given.get(*field).filter(|value| !value.is_null()) {
            stored.insert((*field).to_owned(), value.clone());
            changed = true;
        }
    }
    changed
}

/// The number that a request means.
fn find(space: &UidSpace, kind: &str, hex: &str) -> Result<(UidKind, Uid), Refusal> {
    let kind = UidKind::parse(kind)
        .ok_or_else(|| Refusal::internal(format!("Invalid type requested: {kind}")))?;
    if let Some(uid) = space.parse(hex)
        && space.name(kind, uid).is_some()
    {
        return Ok((kind, uid));
    }
    let bytes = from_hex(hex).unwrap_or_default();
    let bytes: Vec<String> = bytes.iter().map(|byte| (*byte as i8).to_string()).collect();
    let details = format!("No such unique ID for '{}': [{}]", kind.plural(), bytes.join(", "));
    Err(Refusal::new(StatusCode::NOT_FOUND, "Could not find the requested UID").with(details))
}

fn key(kind: UidKind, uid: Uid) -> Vec<u8> {
    let mut key = vec![kind as u8];
    key.extend_from_slice(&uid.0.to_be_bytes());
    key
}

fn load(state: &State, kind: UidKind, uid: Uid) -> Object {
    let stored = state.documents.get(TenantId::DEFAULT, TABLE, &key(kind, uid));
    // Only this file writes the table; what is no object is as good as nothing.
    stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// A number with its name and notes.
pub(super) fn describe(state: &State, space: &UidSpace, kind: UidKind, uid: Uid) -> Value {
    let stored = load(state, kind, uid);
    let text = |name: &str| body::text(&stored, name).unwrap_or_default();
    json!({
        "uid": space.show(uid),
        "type": kind.parameter().to_ascii_uppercase(),
        "name": space.name(kind, uid).unwrap_or_default().as_ref(),
        "description": text("description"),
        "notes": text("notes"),
        "created": body::integer(&stored, "created").unwrap_or_default(),
        "custom": stored.get("custom").cloned().unwrap_or(Value::Null),
        "displayName": text("displayName"),
    })
}
