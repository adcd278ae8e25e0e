//! Targets, times, intervals, tag expressions, paths and retentions.

use jiff::tz::TimeZone;
use lang::graphite::ast::{Call, Expr, ExprKind};
use lang::graphite::schemas::{Retention, check_archives, parse_retention};
use lang::graphite::tagspec::TagOp;
use lang::graphite::time::{parse_interval, parse_time};
use serde_json::{Value, json};
use wire::graphite::path::{canonical, parse as parse_path};

use super::{Outcome, close, number, text};

fn refused<T: std::fmt::Debug, E>(result: Result<T, E>) -> Outcome {
    match result {
        Err(_) => Outcome::Passed,
        Ok(value) => Outcome::Failed(format!("want an error, got {value:?}")),
    }
}

/// The tree, or an error: what the original parses only in part is refused.
pub(super) fn grammar(vector: &Value) -> Outcome {
    let target = text(&vector["request"], "target");
    let parsed = lang::graphite::parser::parse(target);
    let expect = &vector["expect"];
    // A path that only UTF-8 makes whole.
    let truncated = expect.get("ignored_tail").is_some();
    if !target.is_ascii() && (truncated || expect.get("error").is_some()) {
        return Outcome::Skipped;
    }
    if truncated || expect.get("error").is_some() {
        return refused(parsed);
    }
    match parsed {
        Ok(expr) => {
            let got = tree(&expr);
            if same(&got, &expect["ast"]) {
                Outcome::Passed
            } else {
                Outcome::Failed(format!("want {}, got {got}", expect["ast"]))
            }
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn same(got: &Value, expected: &Value) -> bool {
    match (got, expected) {
        (Value::Number(got), Value::Number(expected)) => {
            close(got.as_f64().unwrap(), expected.as_f64().unwrap())
        }
        (Value::Array(got), Value::Array(expected)) => {
            got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| same(a, b))
        }
        (Value::Object(got), Value::Object(expected)) => {
            got.len() == expected.len()
                && got.iter().all(|(key, value)| {
                    expected.get(key).is_some_and(|expected| same(value, expected))
                })
        }
        _ => got == expected,
    }
}

fn tree(expr: &Expr) -> Value {
    let list = |items: &[Expr]| Value::Array(items.iter().map(tree).collect());
    let named = |items: &[(String, Expr)]| {
        Value::Object(items.iter().map(|(name, value)| (name.clone(), tree(value))).collect())
    };
    match &expr.kind {
        ExprKind::Path(path) => json!({ "path": path }),
        ExprKind::Call(Call { name, arguments, keywords, piped }) => {
            let mut call =
                json!({"call": name, "args": list(arguments), "kwargs": named(keywords)});
            if *piped {
                call["piped"] = json!(true);
            }
            call
        }
        ExprKind::Template { body, values, named: names } => {
            json!({"template": tree(body), "args": list(values), "kwargs": named(names)})
        }
        ExprKind::Integer(value) => json!({ "int": value }),
        ExprKind::Float(value, spelling) => {
            let mut float = json!({ "float": value });
            if spelling.contains('e') {
                float["spelling"] = json!(spelling);
            }
            float
        }
        ExprKind::Boolean(value) => json!({ "bool": value }),
        ExprKind::None => json!({"none": true}),
        ExprKind::Infinity => json!({"inf": true}),
        ExprKind::Text(text) => json!({ "string": text }),
        ExprKind::Given(number) => json!({ "given": number }),
    }
}

pub(super) fn attime(vector: &Value) -> Outcome {
    let request = &vector["request"];
    let zone = TimeZone::get(text(request, "tz")).unwrap();
    let got = parse_time(text(request, "spec"), request["now"].as_i64().unwrap(), &zone);
    match vector["expect"]["epoch"].as_i64() {
        Some(epoch) => Outcome::equal(got, Ok(epoch)),
        None => refused(got),
    }
}

pub(super) fn offset(vector: &Value) -> Outcome {
    let got = parse_interval(text(&vector["request"], "offset"));
    match vector["expect"]["seconds"].as_i64() {
        Some(seconds) => Outcome::equal(got, Ok(seconds)),
        None => refused(got),
    }
}

pub(super) fn tagspec(vector: &Value) -> Outcome {
    let expect = &vector["expect"];
    let got = lang::graphite::tagspec::parse(text(&vector["request"], "expr"));
    if expect.get("error").is_some() {
        return refused(got);
    }
    let op = match text(expect, "op") {
        "=" => TagOp::Equal,
        "!=" => TagOp::NotEqual,
        "=~" => TagOp::Match,
        _ => TagOp::NotMatch,
    };
    let got = got.map(|spec| (spec.tag, spec.op, spec.value));
    Outcome::equal(got, Ok((text(expect, "tag").to_owned(), op, text(expect, "spec").to_owned())))
}

pub(super) fn tagged_path(vector: &Value) -> Outcome {
    let (path, expect) = (text(&vector["request"], "path"), &vector["expect"]);
    if expect.get("error").is_some() {
        return refused(canonical(path));
    }
    let (name, tags) = match parse_path(path.as_bytes()) {
        Ok(parts) => parts,
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    let utf8 = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut got = json!({"name": utf8(name)});
    for (tag, value) in tags {
        got[utf8(tag)] = json!(utf8(value));
    }
    let expected = (expect["tags"].clone(), Ok(text(expect, "path").to_owned()));
    let sorted = |value: Value| match value {
        Value::Object(map) => map.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        _ => Default::default(),
    };
    Outcome::equal((sorted(got), canonical(path)), (sorted(expected.0), expected.1))
}

pub(super) fn retention(vector: &Value) -> Outcome {
    let expect = &vector["expect"];
    let got = parse_retention(text(&vector["request"], "definition"));
    match (expect["seconds_per_point"].as_i64(), number(&expect["points"])) {
        (Some(seconds), Some(points)) => match got {
            Ok(Retention { precision_s, points: found })
                if precision_s == seconds && close(found, points) =>
            {
                Outcome::Passed
            }
            other => Outcome::Failed(format!("want {seconds}:{points}, got {other:?}")),
        },
        _ => refused(got),
    }
}

pub(super) fn archives(vector: &Value) -> Outcome {
    let archive = |pair: &Value| Retention {
        precision_s: pair[0].as_i64().unwrap(),
        points: number(&pair[1]).unwrap(),
    };
    let list = vector["request"]["archives"].as_array().unwrap();
    let mut archives: Vec<Retention> = list.iter().map(archive).collect();
    let valid = vector["expect"]["valid"].as_bool().unwrap();
    Outcome::equal(check_archives(&mut archives).is_ok(), valid)
}
