//! `/api/tree`: definitions of trees and their rules are kept; trees are not built from them, so they
//! have no branches, no collisions and nothing that did not match.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use model::{DocumentChange, TenantId};
use serde_json::{Map, Value, json};

use super::body::{self, Object};
use super::params::Params;
use super::reply::{Refusal, Reply};
use super::ts_meta;
use super::uid_meta::merge;
use crate::state::State;

const TREES: &str = "opentsdb.tree";
const RULES: &str = "opentsdb.tree.rule";
/// Greatest number of a tree; it has four digits in the names of branches.
const TREE_MAX: i64 = 65_535;
const TREE_FIELDS: [&str; 6] =
    ["name", "description", "notes", "enabled", "strictMatch", "storeFailures"];
const RULE_FIELDS: [&str; 9] = [
    "type",
    "field",
    "regex",
    "separator",
    "description",
    "notes",
    "customField",
    "regexGroupIdx",
    "displayFormat",
];
/// What a rule may look at.
const RULE_TYPES: [&str; 5] = ["METRIC", "METRIC_CUSTOM", "TAGK", "TAGK_CUSTOM", "TAGV_CUSTOM"];

/// All endpoints below `/api/tree`.
pub(super) async fn tree(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    rest: &[&str],
) -> Result<Reply, Refusal> {
    let method = body::method_of(&request, params)?;
    let given = lower(body_of(state, request, params).await?);
    let first = given.as_array().and_then(|items| items.first()).cloned();
    let object = match (&given, first) {
        (Value::Object(object), _) => object.clone(),
        (_, Some(Value::Object(object))) => object,
        _ => Map::new(),
    };
    match rest {
        [] => definition(state, &method, &object).await,
        ["rule", ..] => rule(state, &method, &object).await,
        ["rules", ..] => rules(state, &method, &given, &object).await,
        ["branch", ..] if method == Method::GET => branch(state, &object),
        ["test", ..] if method != Method::DELETE => test(state, &object).await,
        ["collisions" | "notmatched", ..] if method != Method::DELETE => {
            existing(state, &object)?;
            Ok(body::json(&json!({})))
        }
        ["branch" | "test" | "collisions" | "notmatched", ..] => Err(Refusal::method(&method)),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "This endpoint is not supported")),
    }
}

async fn body_of(state: &Arc<State>, request: Request, params: &Params) -> Result<Value, Refusal> {
    if let Some(value) = body::value(state, request).await? {
        return Ok(value);
    }
    let pairs = params.0.iter().map(|(key, value)| (key.clone(), Value::String(value.clone())));
    Ok(Value::Object(pairs.collect()))
}

/// Parameters of URLs spell names with underscores or in lower case: they get their usual spelling.
fn lower(value: Value) -> Value {
    let usual = |key: String| match key.as_str() {
        "treeid" | "tree" | "tree_id" => "treeId".to_owned(),
        "strict_match" => "strictMatch".to_owned(),
        "store_failures" => "storeFailures".to_owned(),
        "custom_field" => "customField".to_owned(),
        "regex_group_idx" => "regexGroupIdx".to_owned(),
        "display_format" => "displayFormat".to_owned(),
        _ => key,
    };
    match value {
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(key, value)| (usual(key), value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower).collect()),
        other => other,
    }
}

/// The number of the tree that a request means; 0 where it means none.
fn number(given: &Object) -> Result<u16, Refusal> {
    if !given.contains_key("treeId") {
        return Ok(0);
    }
    let number = body::integer(given, "treeId");
    let number = number.ok_or_else(|| Refusal::bad("Unable to parse 'treeid' value"))?;
    u16::try_from(number).map_err(|_| Refusal::bad(format!("Invalid Tree ID: {number}")))
}

fn not_found(number: u16) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("Unable to locate tree: {number}"))
}

fn load(state: &State, table: &str, key: &[u8]) -> Option<Object> {
    let stored = state.documents.get(TenantId::DEFAULT, table, key)?;
    serde_json::from_slice(&stored).ok()
}

/// The tree that a request must mean.
fn existing(state: &State, given: &Object) -> Result<(u16, Object), Refusal> {
    let number = number(given)?;
    if number == 0 {
        return Err(Refusal::bad("Missing tree ID"));
    }
    let tree = load(state, TREES, &number.to_be_bytes()).ok_or_else(|| not_found(number))?;
    Ok((number, tree))
}

fn put(table: &str, key: impl Into<Vec<u8>>, value: Object) -> DocumentChange {
    DocumentChange::put(table, key, Value::Object(value).to_string().into_bytes())
}

async fn definition(state: &Arc<State>, method: &Method, given: &Object) -> Result<Reply, Refusal> {
    if *method == Method::GET {
        if number(given)? > 0 {
            let (number, tree) = existing(state, given)?;
            return Ok(body::json(&show(state, number, &tree)));
        }
        let trees = state.documents.scan(TenantId::DEFAULT, TREES, b"", b"", usize::MAX);
        let shown = trees.iter().filter_map(|(key, stored)| {
            let number = u16::from_be_bytes(key.as_slice().try_into().ok()?);
            Some(show(state, number, &serde_json::from_slice(stored).ok()?))
        });
        return Ok(body::json(&Value::Array(shown.collect())));
    }
    if *method == Method::DELETE {
        return delete(state, given).await;
    }
    let (number, mut tree) = match number(given)? {
        0 => (next_number(state)?, Object::new()),
        _ => existing(state, given)?,
    };
    let created = tree.get("created").cloned().unwrap_or_else(|| json!(state.now_ms() / 1000));
    if *method == Method::PUT {
        let name = tree.remove("name");
        tree = name.map(|name| ("name".to_owned(), name)).into_iter().collect();
    }
    if !merge(&mut tree, given, &TREE_FIELDS) {
        return Ok(body::empty(StatusCode::NOT_MODIFIED));
    }
    if body::text(&tree, "name").is_none_or(|name| name.is_empty()) {
        let text = "Tree was missing the name";
        return Err(Refusal::bad(text).with(text));
    }
    tree.insert("created".to_owned(), created);
    let shown = show(state, number, &tree);
    body::write(state, vec![put(TREES, number.to_be_bytes(), tree)]).await?;
    Ok(body::json(&shown))
}

fn next_number(state: &State) -> Result<u16, Refusal> {
    let trees = state.documents.scan(TenantId::DEFAULT, TREES, b"", b"", usize::MAX);
    let last = trees.last().and_then(|(key, _)| key.as_slice().try_into().ok());
    let last = last.map_or(0, u16::from_be_bytes);
    last.checked_add(1).ok_or_else(|| Refusal::bad(format!("There are {TREE_MAX} trees already")))
}

/// Without the definition only what was built would go, which is nothing.
async fn delete(state: &Arc<State>, given: &Object) -> Result<Reply, Refusal> {
    let (number, _) = existing(state, given)?;
    if body::flag(given, "definition") == Some(true) {
        let mut changes = drop_rules(state, number);
        changes.push(DocumentChange::remove(TREES, number.to_be_bytes()));
        body::write(state, changes).await?;
    }
    Ok(body::empty(StatusCode::NO_CONTENT))
}

fn drop_rules(state: &State, number: u16) -> Vec<DocumentChange> {
    let prefix = number.to_be_bytes();
    let rules = state.documents.scan(TenantId::DEFAULT, RULES, &prefix, b"", usize::MAX);
    rules.into_iter().map(|(key, _)| DocumentChange::remove(RULES, key)).collect()
}

fn show(state: &State, number: u16, tree: &Object) -> Value {
    let text = |name: &str| body::text(tree, name).unwrap_or_default();
    let flag = |name: &str| body::flag(tree, name).unwrap_or(false);
    let prefix = number.to_be_bytes();
    let mut rules: Map<String, Value> = Map::new();
    for (key, stored) in state.documents.scan(TenantId::DEFAULT, RULES, &prefix, b"", usize::MAX) {
        let (Some((level, order)), Ok(rule)) = (place(&key), serde_json::from_slice(&stored))
        else {
            continue;
        };
        let of_level = rules.entry(level.to_string()).or_insert_with(|| json!({}));
        of_level[order.to_string()] = show_rule(number, level, order, &rule);
    }
    json!({
        "name": text("name"),
        "description": text("description"),
        "notes": text("notes"),
        "enabled": flag("enabled"),
        "rules": if rules.is_empty() { Value::Null } else { Value::Object(rules) },
        "created": body::integer(tree, "created").unwrap_or_default(),
        "treeId": number,
        "strictMatch": flag("strictMatch"),
        "storeFailures": flag("storeFailures"),
    })
}

fn rule_key(number: u16, level: u32, order: u32) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.extend_from_slice(&level.to_be_bytes());
    key.extend_from_slice(&order.to_be_bytes());
    key
}

/// Level and order in a rule's key.
fn place(key: &[u8]) -> Option<(u32, u32)> {
    let level = u32::from_be_bytes(key.get(2..6)?.try_into().ok()?);
    Some((level, u32::from_be_bytes(key.get(6..10)?.try_into().ok()?)))
}

fn show_rule(number: u16, level: u32, order: u32, rule: &Object) -> Value {
    let text = |name: &str| body::text(rule, name).unwrap_or_default();
    json!({
        "type": text("type"),
        "field": text("field"),
        "regex": text("regex"),
        "separator": text("separator"),
        "description": text("description"),
        "notes": text("notes"),
        "level": level,
        "order": order,
        "treeId": number,
        "customField": text("customField"),
        "regexGroupIdx": body::integer(rule, "regexGroupIdx").unwrap_or_default(),
        "displayFormat": text("displayFormat"),
    })
}

fn coordinate(given: &Object, name: &str) -> Result<u32, Refusal> {
    let number = body::integer(given, name).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| Refusal::bad(format!("Missing or invalid rule {name}")))
}

async fn rule(state: &Arc<State>, method: &Method, given: &Object) -> Result<Reply, Refusal> {
    let (number, _) = existing(state, given)?;
    let (level, order) = (coordinate(given, "level")?, coordinate(given, "order")?);
    let key = rule_key(number, level, order);
    let stored = load(state, RULES, &key);
    let missing = || {
        let text = format!("Unable to locate rule: [{number}:{level}:{order}]");
        Refusal::new(StatusCode::NOT_FOUND, text)
    };
    match *method {
        Method::GET => {
            let rule = stored.ok_or_else(missing)?;
            Ok(body::json(&show_rule(number, level, order, &rule)))
        }
        Method::DELETE => {
            stored.ok_or_else(missing)?;
            body::write(state, vec![DocumentChange::remove(RULES, key)]).await?;
            Ok(body::empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let before = stored.filter(|_| *method == Method::POST).unwrap_or_default();
            let Some(rule) = changed_rule(before, given)? else {
                return Ok(body::empty(StatusCode::NOT_MODIFIED));
            };
            let shown = show_rule(number, level, order, &rule);
            body::write(state, vec![put(RULES, key, rule)]).await?;
            Ok(body::json(&shown))
        }
    }
}

/// The rule with the members that a request sets; `None` when it sets none.
fn changed_rule(mut rule: Object, given: &Object) -> Result<Option<Object>, Refusal> {
    if !merge(&mut rule, given, &RULE_FIELDS) {
        return Ok(None);
    }
    let kind = body::text(&rule, "type").unwrap_or_default().to_ascii_uppercase();
    if !RULE_TYPES.contains(&kind.as_str()) {
        return Err(Refusal::bad(if kind.is_empty() {
            "Missing rule type".to_owned()
        } else {
            format!("Unrecognized rule type: {kind}")
        }));
    }
    rule.insert("type".to_owned(), kind.into());
    Ok(Some(rule))
}

/// All rules of a tree at once.
async fn rules(
    state: &Arc<State>,
    method: &Method,
    given: &Value,
    object: &Object,
) -> Result<Reply, Refusal> {
    if *method == Method::GET {
        return Err(Refusal::method(method));
    }
    let (number, _) = existing(state, object)?;
    let replaces = *method != Method::POST;
    let mut changes = if replaces { drop_rules(state, number) } else { Vec::new() };
    if *method != Method::DELETE {
        for item in given.as_array().map(Vec::as_slice).unwrap_or_default() {
            let item = item.as_object().cloned().unwrap_or_default();
            if self::number(&item)? != number {
                return Err(Refusal::bad("All rules must belong to one tree"));
            }
            let key = rule_key(number, coordinate(&item, "level")?, coordinate(&item, "order")?);
            let before = load(state, RULES, &key).filter(|_| !replaces).unwrap_or_default();
            if let Some(rule) = changed_rule(before, &item)? {
                changes.push(put(RULES, key, rule));
            }
        }
    }
    body::write(state, changes).await?;
    Ok(body::empty(StatusCode::NO_CONTENT))
}

fn branch(state: &State, given: &Object) -> Result<Reply, Refusal> {
    let (branch, number) = match body::text(given, "branch") {
        Some(branch) => {
            let number = branch.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
            (branch, number.ok_or_else(|| Refusal::bad("Unable to parse 'branch' value"))?)
        }
        None => {
            let (number, _) = existing(state, given)?;
            (format!("{number:04X}"), number)
        }
    };
    let text = format!("Unable to locate branch '{branch}' for tree '{number}'");
    Err(Refusal::new(StatusCode::NOT_FOUND, text))
}

/// What a tree would do with series: nothing, but whether they exist is known.
async fn test(state: &Arc<State>, given: &Object) -> Result<Reply, Refusal> {
    existing(state, given)?;
    let tsuids: Vec<String> = match given.get("tsuids") {
        Some(Value::String(list)) => list.split(',').map(str::to_owned).collect(),
        Some(Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => return Err(Refusal::bad("Missing or empty TSUID list")),
    };
    let mut answer = Map::new();
    for tsuid in tsuids {
        let (meta, message) = match ts_meta::one(state, &tsuid).await {
            Ok(meta) => (meta, "Trees are not built by this server"),
            Err(_) => (Value::Null, "Unable to locate TSUID meta data"),
        };
        answer.insert(tsuid, json!({"meta": meta, "messages": [message], "branch": null}));
    }
    Ok(body::json(&Value::Object(answer)))
}
