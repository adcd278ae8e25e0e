//! Whether an answer is the one expected.

use serde_json::{Map, Value};

use super::client::Answer;
use super::{Outcome, array, text, without_version};

/// Relative difference of floats that counts as none; the vectors' own.
const TOLERANCE: f64 = 1e-12;

/// Compares as the vectors' `match` member says.
pub(super) fn check(expect: &Value, answer: &Answer, mask: &[&str]) -> Outcome {
    let fail = Outcome::Failed;
    let Answer { status, body, .. } = answer;
    let short: String = body.chars().take(200).collect();
    if Some(*status) != expect["status"].as_u64() {
        return fail(format!("want status {}, got {status}: {short}", expect["status"]));
    }
    let way = text(expect, "match");
    if let Some(want) = expect["content_type"].as_str().filter(|_| way != "status") {
        let got = answer.header("content-type");
        if got != Some(want) {
            return fail(format!("want content type {want}, got {got:?}"));
        }
    }
    for (name, want) in expect["headers"].as_object().into_iter().flatten() {
        if answer.header(name) != want.as_str() {
            return fail(format!("header {name}: want {want}, got {:?}", answer.header(name)));
        }
    }
    let equal = |equal: bool, why: String| if equal { Outcome::Passed } else { fail(why) };
    match way {
        "status" => return Outcome::Passed,
        "empty" => return equal(body.is_empty(), format!("body is not empty: {short}")),
        "text" | "jsonp" => {
            let want = without_version(text(expect, "text"));
            return equal(without_version(body) == want, format!("want {want:?}, got {short:?}"));
        }
        _ => {}
    }
    let Ok(got) = serde_json::from_str::<Value>(body) else {
        return fail(format!("no JSON: {short}"));
    };
    match way {
        "set" => {
            let texts = |value: &Value| {
                let items = value.as_array().cloned().unwrap_or_default();
                let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
                items.sort();
                items
            };
            equal(texts(&got) == texts(&expect["json"]), format!("want the set, got {short}"))
        }
        "keys" => {
            let want: Vec<&str> = array(expect, "keys").iter().filter_map(Value::as_str).collect();
            let got = keys(&got);
            equal(got == want, format!("want keys {want:?}, got {got:?}"))
        }
        "error_prefix" => {
            let (want, got) = (&expect["json"]["error"], &got["error"]);
            let details = got.get("details").is_some();
            let same = want["code"] == got["code"]
                && want["message"] == got["message"]
                && details == expect["details_present"].as_bool().unwrap_or(false);
            equal(same, format!("want {want}, got {got}"))
        }
        _ => documents(&expect["json"], &got, mask),
    }
}

fn documents(want: &Value, got: &Value, mask: &[&str]) -> Outcome {
    let (want, got) = (strip(want, mask), strip(got, mask));
    let Err(why) = same(&want, &got, "$", "") else {
        return Outcome::Passed;
    };
    match same(&order(&want), &order(&got), "$", "") {
        Ok(()) => Outcome::Unordered,
        Err(_) => Outcome::Failed(why),
    }
}

fn keys(value: &Value) -> Vec<String> {
    let of = |object: &Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
    let mut keys = match value {
        Value::Object(object) => of(object),
        Value::Array(items) => items.iter().filter_map(Value::as_object).flat_map(of).collect(),
        _ => vec![],
    };
    keys.sort();
    keys.dedup();
    keys
}

fn strip(value: &Value, mask: &[&str]) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, _)| !mask.contains(&key.as_str()));
            Value::Object(kept.map(|(key, value)| (key.clone(), strip(value, mask))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| strip(item, mask)).collect()),
        other => other.clone(),
    }
}

/// Results in an order of their own.
fn order(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.iter().all(|item| item.get("tags").is_some()) => {
            let mut items = items.clone();
            items.sort_by_cached_key(|item| {
                let tags = item["tags"].as_object().into_iter().flatten();
                let mut tags: Vec<String> = tags.map(|(k, v)| format!("{k}={v}")).collect();
                tags.sort();
                (item["metric"].to_string(), tags)
            });
            Value::Array(items)
        }
        Value::Object(object) => {
            Value::Object(object.iter().map(|(key, value)| (key.clone(), order(value))).collect())
        }
        other => other.clone(),
    }
}

/// Deep equality; 1 and 1.0 differ, which is part of the contract.
pub(super) fn same(want: &Value, got: &Value, path: &str, key: &str) -> Result<(), String> {
    let differ = || Err(format!("{path}: want {}, got {}", short(want), short(got)));
    match (want, got) {
        (Value::Number(left), Value::Number(right)) => {
            let is_float = |text: &str| text.contains(['.', 'e', 'E']);
            let (left, right) = (left.to_string(), right.to_string());
            if is_float(&left) != is_float(&right) {
                return differ();
            }
            if is_float(&left) {
                let (left, right): (f64, f64) = (left.parse().unwrap(), right.parse().unwrap());
                let bound = TOLERANCE * left.abs().max(right.abs());
                return if (left - right).abs() <= bound { Ok(()) } else { differ() };
            }
            if left == right { Ok(()) } else { differ() }
        }
        (Value::Object(left), Value::Object(right)) => {
            if keys(want) != keys(got) {
                return differ();
            }
            left.iter().try_for_each(|(key, value)| {
                same(value, &right[key], &format!("{path}.{key}"), key)
            })
        }
        (Value::Array(left), Value::Array(right)) => {
            if left.len() != right.len() {
                return differ();
            }
            if matches!(key, "aggregateTags" | "aggregatedTags") {
                let sorted = |items: &[Value]| {
                    let mut items: Vec<String> = items.iter().map(Value::to_string).collect();
                    items.sort();
                    items
                };
                return if sorted(left) == sorted(right) { Ok(()) } else { differ() };
            }
            left.iter().zip(right).enumerate().try_for_each(|(index, (left, right))| {
                same(left, right, &format!("{path}[{index}]"), "")
            })
        }
        _ if want == got => Ok(()),
        _ => differ(),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}
