//! `/api/uid/assign` and `/api/uid/rename`.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use lang::opentsdb::validate::Name;
use model::TenantId;
use serde_json::{Map, Value, json};
use wire::opentsdb::name::complaint;

use super::body::{self, Object, blocking, refused};
use super::dispatch::allow;
use super::params::Params;
use super::reply::{Refusal, Reply};
use super::uids::{UidKind, UidSpace};
use super::{names, rename, ts_meta, uid_meta};
use crate::run_query::run_lookup;
use crate::state::State;

/// All endpoints below `/api/uid`.
pub(super) async fn uid(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    rest: &[&str],
) -> Result<Reply, Refusal> {
    match rest {
        ["assign", ..] => assign(state, request, params).await,
        ["rename", ..] => rename(state, request, params).await,
        ["uidmeta", ..] => uid_meta::uid_meta(state, request, params).await,
        ["tsmeta", ..] => ts_meta::ts_meta(state, request, params).await,
        _ => Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "Other UID endpoints have not been implemented yet",
        )),
    }
}

/// Types and the names that shall have numbers.
type Wanted = Vec<(String, Vec<String>)>;

async fn assign(state: &Arc<State>, request: Request, params: &Params) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET, Method::POST])?;
    let wanted: Wanted = if request.method() == Method::GET {
        let kinds = UidKind::ALL.into_iter().filter_map(|kind| {
            let names = params.get(kind.parameter()).filter(|names| !names.is_empty())?;
            let names = names.split(',').map(str::to_owned).collect();
            Some((kind.parameter().to_owned(), names))
        });
        kinds.collect()
    } else {
        let body = body::object(body::required(state, request).await?)?;
        body.into_iter().map(|(kind, names)| (kind, texts(&names))).collect()
    };
    if wanted.is_empty() {
        return Err(Refusal::bad("Missing values to assign UIDs"));
    }
    let space = state.uids.of(TenantId::DEFAULT);
    let (body, failed) = blocking(move || assign_all(&space, &wanted)).await??;
    let status = if failed { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(Reply { status, body: Value::Object(body).to_string().into_bytes() })
}

fn texts(names: &Value) -> Vec<String> {
    let items = names.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Gives every name that may have one a number, all in one write; the answer and whether any failed.
fn assign_all(space: &UidSpace, wanted: &Wanted) -> Result<(Object, bool), Refusal> {
    let mut errors: Vec<Map<String, Value>> = Vec::new();
    let mut fresh: Vec<(UidKind, &str)> = Vec::new();
    for (kind_text, names) in wanted {
        let kind = UidKind::ALL.into_iter().find(|kind| kind.parameter() == kind_text);
        let mut refused = Map::new();
        for name in names {
            match kind.map(|kind| (kind, objection(space, kind, name, &fresh))) {
                None => refused.insert(name.clone(), "Unknown type name".into()),
                Some((_, Some(why))) => refused.insert(name.clone(), why.into()),
                Some((kind, None)) => {
                    fresh.push((kind, name));
                    None
                }
            };
        }
        errors.push(refused);
    }
    space.assign(&fresh).map_err(|error| refused(&error))?;
    let mut answer = Map::new();
    let mut failed = false;
    for ((kind_text, names), refused) in wanted.iter().zip(errors) {
        let kind = UidKind::parse(kind_text);
        let given = names.iter().filter(|name| !refused.contains_key(*name)).filter_map(|name| {
            let uid = space.uid(kind?, name)?;
            Some((name.clone(), Value::String(space.show(uid))))
        });
        answer.insert(kind_text.clone(), Value::Object(given.collect()));
        if !refused.is_empty() {
            failed = true;
            answer.insert(format!("{kind_text}_errors"), Value::Object(refused));
        }
    }
    Ok((answer, failed))
}

/// Why a name gets no number.
fn objection(
    space: &UidSpace,
    kind: UidKind,
    name: &str,
    fresh: &[(UidKind, &str)],
) -> Option<String> {
    if let Some(why) = complaint(kind.parameter(), name) {
        return Some(why);
    }
    if let Some(uid) = space.uid(kind, name) {
        return Some(format!("Name already exists with UID: {}", space.show(uid)));
    }
    fresh.contains(&(kind, name)).then(|| "Name is given twice".to_owned())
}

async fn rename(state: &Arc<State>, request: Request, params: &Params) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET, Method::POST])?;
    let body = if request.method() == Method::GET {
        params.0.iter().map(|(key, value)| (key.clone(), Value::String(value.clone()))).collect()
    } else {
        body::object(body::required(state, request).await?)?
    };
    let old = UidKind::ALL.into_iter().find_map(|kind| {
        let old = body::text(&body, kind.parameter()).filter(|old| !old.is_empty())?;
        Some((kind, old))
    });
    let new = body::text(&body, "name").filter(|new| !new.is_empty());
    let (Some((kind, old)), Some(new)) = (old, new) else {
        return Err(Refusal::bad("Missing necessary values to rename UID"));
    };
    let failed = |why: String| Reply {
        status: StatusCode::BAD_REQUEST,
        body: json!({"result": "false", "error": why}).to_string().into_bytes(),
    };
    if let Some(why) = complaint(kind.parameter(), &new) {
        return Ok(failed(why));
    }
    Ok(match carry_out(state, kind, old, new).await? {
        Ok(()) => body::json(&json!({"result": "true"})),
        Err(why) => failed(why),
    })
}

/// Renames what is stored, then the number's name; the inner `Err` says why not.
async fn carry_out(
    state: &Arc<State>,
    kind: UidKind,
    old: String,
    new: String,
) -> Result<Result<(), String>, Refusal> {
    let space = state.uids.of(TenantId::DEFAULT);
    let name = match kind {
        UidKind::Metric => Name::Metric(old.clone()),
        UidKind::Key => Name::Key(old.clone()),
        UidKind::Value => Name::Value { key: String::new(), value: old.clone() },
    };
    let carried = run_lookup(state, move |source| names::exists(source, &name)).await?;
    if space.uid(kind, &old).is_none() && !carried {
        return Ok(Err(format!("Name(\"{old}\") does not exist")));
    }
    if let Some(uid) = space.uid(kind, &new) {
        let uid: Vec<String> = space.bytes(uid).iter().map(|b| (*b as i8).to_string()).collect();
        return Ok(Err(format!(
            "When trying rename(\"{old}\", \"{new}\"): new name already assigned ID=[{}]",
            uid.join(", ")
        )));
    }
    if carried {
        rename::rename_series(state, kind, &old, &new).await?;
    }
    let renamed = {
        let (old, new) = (old.clone(), new.clone());
        blocking(move || {
            space.assign(&[(kind, old.as_str())])?;
            space.rename(kind, &old, &new)
        })
        .await?
        .map_err(|error| refused(&error))?
    };
    // Spellings with the old name must not be taken for known series.
    state.telnet_keys.write().clear();
    state.put_keys.write().clear();
    Ok(if renamed { Ok(()) } else { Err(format!("Name(\"{old}\") does not exist")) })
}
