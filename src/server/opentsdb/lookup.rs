//! `/api/suggest` and `/api/search/lookup`: questions to the index.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use lang::opentsdb::request::{first_object, missing, missing_content};
use lang::opentsdb::validate::Name;
use model::{
    Catalog, DocumentError, Hints, Labels, METRIC_NAME, Matcher, Selection, SourceError, TenantId,
    TimeRange, ValueTest,
};
use serde_json::{Map, Value};
use wire::opentsdb::query_json::{Found, lookup, push_texts};

use super::body::{blocking, refused};
use super::dispatch::allow;
use super::names;
use super::params::{Params, read_body};
use super::reply::{Refusal, Reply};
use super::uids::{UidKind, UidSpace, to_hex};
use crate::run_query::run_lookup;
use crate::state::State;

/// Items of an answer where the request does not say.
const DEFAULT_LIMIT: i64 = 25;
/// Series that are looked at to find the first ones; of more, those first in label order.
const SERIES_MAX: usize = 1_000_000;
/// Bytes of a request's body; a question to the index is short.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Names that start with a text.
pub(super) async fn suggest(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET, Method::POST])?;
    let (kind, prefix, max) = if request.method() == Method::GET {
        let kind = params.get("type").filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| missing("type"))?.to_owned();
        let prefix = params.get("q").unwrap_or_default().to_owned();
        (kind, prefix, params.get("max").map(str::to_owned))
    } else {
        let object = body_object(request).await?;
        let text = |name: &str| object.get(name).and_then(as_text);
        let kind = text("type").filter(|kind| !kind.is_empty());
        let kind = kind.ok_or_else(|| Refusal::bad("Missing 'type' parameter"))?;
        (kind, text("q").unwrap_or_default(), text("max"))
    };
    let max = match max.filter(|text| !text.is_empty()) {
        None => DEFAULT_LIMIT,
        Some(text) => {
            text.parse().map_err(|_| Refusal::bad("Unable to parse 'max' as a number"))?
        }
    };
    let max = usize::try_from(if max > 0 { max } else { DEFAULT_LIMIT }).unwrap_or(usize::MAX);
    let kind = ["metrics", "tagk", "tagv"]
        .into_iter()
        .zip(UidKind::ALL)
        .find(|k| k.0 == kind)
        .ok_or_else(|| Refusal::bad(format!("Invalid 'type' parameter:{kind}")))?
        .1;
    let space = state.uids.of(TenantId::DEFAULT);
    let found = run_lookup(state, move |source| find(source, &space, kind, &prefix, max)).await?;
    let mut out = Vec::new();
    push_texts(&mut out, found.iter().map(String::as_str));
    Ok(Reply::ok(out))
}

/// Names that series carry and names that only have a number, in byte order.
fn find(
    source: &dyn Catalog,
    space: &UidSpace,
    kind: UidKind,
    prefix: &str,
    max: usize,
) -> Result<Vec<String>, SourceError> {
    let mut found = match kind {
        UidKind::Metric => names::metrics(source, prefix, max),
        UidKind::Key => names::keys(source, prefix, max),
        UidKind::Value => names::values(source, prefix, max),
    }?;
    found.extend(space.first_names(kind, prefix, max).iter().map(|name| name.to_string()));
    found.sort_unstable();
    found.dedup();
    found.truncate(max);
    Ok(found)
}

async fn body_object(request: Request) -> Result<Map<String, Value>, Refusal> {
    let body = read_body(request, BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Err(missing_content().into());
    }
    Ok(first_object(&body)?)
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `/api/search/<type>`: look-ups; the other types need a plug-in that is not there.
pub(super) async fn search(
    state: &Arc<State>,
    request: Request,
    params: &Params,
    rest: &[&str],
) -> Result<Reply, Refusal> {
    let invalid =
        |details: String| Refusal::bad("Invalid search query type supplied").with(details);
    match rest {
        ["lookup", ..] => {
            allow(&request, &[Method::GET, Method::POST])?;
            let question = question(request, params).await?;
            let started = Instant::now();
            let asked = question.clone();
            let outcome = run_lookup(state, move |source| answer(source, &asked)).await?;
            let series = outcome.map_err(|unknown| {
                Refusal::new(StatusCode::NOT_FOUND, "Unable to resolve one or more UIDs")
                    .with(unknown.unknown().message)
            })?;
            let numbered = by_number(state, series, question.limit).await?;
            let numbers = numbered.iter().map(|(tsuid, labels)| (to_hex(tsuid), labels));
            let numbers: Vec<(String, &Labels)> = numbers.collect();
            let found: Vec<Found<'_>> =
                numbers.iter().map(|(tsuid, labels)| Found { tsuid, labels }).collect();
            let took_ms = (started.elapsed().as_secs_f64() * 1000.0).floor();
            let Question { metric, tags, limit } = &question;
            let body = lookup(metric.as_deref(), tags.as_deref(), *limit, took_ms, &found);
            Ok(Reply::ok(body))
        }
        ["tsmeta" | "tsmeta_summary" | "tsuids" | "uidmeta" | "annotation", ..] => {
            let details = "Searching has not been enabled on this TSD";
            Err(Refusal::bad("Searching is not enabled").with(details))
        }
        [] => Err(invalid("Type provided was null or empty".to_owned())),
        [other, ..] => Err(invalid(format!("Unknown type: {other}"))),
    }
}

/// A key and a value; a missing side, or `*`, stands for any.
pub(super) type Pair = (Option<String>, Option<String>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Question {
    metric: Option<String>,
    tags: Option<Vec<Pair>>,
    limit: i64,
}

async fn question(request: Request, params: &Params) -> Result<Question, Refusal> {
    if request.method() == Method::GET {
        let m = params.get("m").filter(|m| !m.is_empty()).ok_or_else(|| missing("m"))?;
        let limit = match params.get("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .map_err(|_| Refusal::bad("Unable to convert 'limit' to a valid number"))?,
        };
        let (metric, tags) = parse_question(m)
            .map_err(|details| Refusal::bad("Unable to parse query").with(details))?;
        return Ok(Question { metric, tags: Some(tags), limit });
    }
    let object = body_object(request).await?;
    let text = |object: &Map<String, Value>, name: &str| {
        object.get(name).and_then(as_text).filter(|text| !text.is_empty())
    };
    let tags = object.get("tags").and_then(Value::as_array).map(|items| {
        let items = items.iter().filter_map(Value::as_object);
        items.map(|item| (text(item, "key"), text(item, "value"))).collect()
    });
    let limit = object.get("limit").and_then(Value::as_i64).unwrap_or(DEFAULT_LIMIT);
    let metric = text(&object, "metric").or_else(|| tags.is_none().then(|| "*".to_owned()));
    Ok(Question { metric, tags, limit })
}

/// Reads `metric{k=v,…}`.
pub(super) fn parse_question(text: &str) -> Result<(Option<String>, Vec<Pair>), String> {
    let Some((metric, braces)) = text.split_once('{') else {
        return Ok((Some(text.to_owned()), Vec::new()));
    };
    let inside =
        braces.strip_suffix('}').ok_or_else(|| format!("Missing '}}' at the end of: {text}"))?;
    if metric.is_empty() && inside.is_empty() {
        return Err(format!("Missing metric and tags: {text}"));
    }
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut pairs = Vec::new();
    for pair in inside.split(',').filter(|_| !inside.is_empty()) {
        match pair.split_once('=') {
            Some((key, value))
                if !value.contains('=') && (!key.is_empty() || !value.is_empty()) =>
            {
                pairs.push((some(key), some(value)));
            }
            _ => return Err(format!("When parsing tag '{pair}': invalid tag: {pair}")),
        }
    }
    Ok((some(metric), pairs))
}

fn given(side: &Option<String>) -> Option<&String> {
    side.as_ref().filter(|text| *text != "*")
}

/// The first series in the order of their TSUIDs. Those with a name that has no number yet stand
/// behind the others, and only those that are shown get one.
async fn by_number(
    state: &Arc<State>,
    series: Vec<Labels>,
    limit: i64,
) -> Result<Vec<(Vec<u8>, Labels)>, Refusal> {
    let space = state.uids.of(TenantId::DEFAULT);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let work = move || {
        let number = |labels: Labels| (space.known_tsuid(labels.view()), labels);
        let mut numbered: Vec<(Option<Vec<u8>>, Labels)> = series.into_iter().map(number).collect();
        numbered.sort_by(|left, right| {
            (left.0.is_none(), &left.0, &left.1).cmp(&(right.0.is_none(), &right.0, &right.1))
        });
        numbered.truncate(limit);
        let missing = numbered.iter().filter(|(tsuid, _)| tsuid.is_none());
        let missing: Vec<(UidKind, String)> = missing
            .flat_map(|(_, labels)| space.missing(labels.view(), &[]))
            .map(|(kind, name)| (kind, name.to_owned()))
            .collect();
        space.assign(&missing)?;
        let known = |labels: &Labels| space.known_tsuid(labels.view()).unwrap_or_default();
        let number = |(tsuid, labels): (Option<Vec<u8>>, Labels)| {
            (tsuid.unwrap_or_else(|| known(&labels)), labels)
        };
        Ok(numbered.into_iter().map(number).collect())
    };
    blocking(work).await?.map_err(|error: DocumentError| refused(&error))
}

/// The series asked for, or the name that does not exist.
fn answer(
    source: &dyn Catalog,
    question: &Question,
) -> Result<Result<Vec<Labels>, Name>, SourceError> {
    let pairs = question.tags.as_deref().unwrap_or_default();
    let metric = given(&question.metric);
    let mut wanted: Vec<Name> = metric.cloned().map(Name::Metric).into_iter().collect();
    for (key, value) in pairs {
        wanted.extend(given(key).cloned().map(Name::Key));
        let key = given(key).cloned().unwrap_or_default();
        wanted.extend(given(value).cloned().map(|value| Name::Value { key, value }));
    }
    if let Some(unknown) = names::first_unknown(source, wanted)? {
        return Ok(Err(unknown));
    }
    let mut matchers: Vec<Matcher> = match metric {
        Some(metric) => vec![Matcher::equal(METRIC_NAME, metric.clone())],
        None => vec![Matcher::new(METRIC_NAME, ValueTest::NotEqual(String::new()))],
    };
    matchers.extend(tests(pairs));
    let anywhere: Vec<&String> = pairs
        .iter()
        .filter(|(key, _)| given(key).is_none())
        .filter_map(|(_, value)| given(value))
        .collect();
    select(source, matchers, &anywhere, SERIES_MAX).map(Ok)
}

/// Pairs with a key: values of one key are alternatives, keys are all wanted.
fn tests(pairs: &[Pair]) -> Vec<Matcher> {
    let mut keys: Vec<&String> = pairs.iter().filter_map(|(key, _)| given(key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let test = |key: &String| {
        let of_key = pairs.iter().filter(|(other, _)| given(other) == Some(key));
        let values: Option<Vec<String>> = of_key.map(|(_, value)| given(value).cloned()).collect();
        let test = match values {
            None => ValueTest::NotEqual(String::new()),
            Some(mut values) => {
                values.sort_unstable();
                values.dedup();
                ValueTest::OneOf(values)
            }
        };
        Matcher::new(key.as_str(), test)
    };
    keys.into_iter().map(test).collect()
}

/// Series that pass the matchers and carry each of the values under some key, in label order.
fn select(
    source: &dyn Catalog,
    matchers: Vec<Matcher>,
    anywhere: &[&String],
    limit: usize,
) -> Result<Vec<Labels>, SourceError> {
    let hints = Hints { labels_only: true, sorted: true, ..Hints::default() };
    let mut found = Vec::new();
    let mut take = |selection: &dyn Selection| {
        for index in 0..selection.len() {
            let labels = selection.labels(index);
            let carries = |value: &&String| {
                labels.iter().any(|(key, known)| key != METRIC_NAME && known == value.as_str())
            };
            let hidden = labels.metric_name().is_some_and(names::is_hidden);
            if !hidden && anywhere.iter().all(carries) {
                found.push(labels);
            }
            if anywhere.is_empty() && found.len() >= limit {
                return;
            }
        }
    };
    let Some(first) = anywhere.first() else {
        take(&*source.select(&matchers, TimeRange::ALL, &hints)?);
        return Ok(found);
    };
    // The index knows values by key, so each key that has the value is asked for.
    for key in source.label_names(TenantId::DEFAULT, &matchers, TimeRange::ALL)? {
        if key != METRIC_NAME {
            let mut matchers = matchers.clone();
            matchers.push(Matcher::equal(key, first.as_str()));
            take(&*source.select(&matchers, TimeRange::ALL, &hints)?);
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(limit);
    Ok(found)
}

#[cfg(test)]
mod tests_of_questions {
    use super::*;

    #[test]
    fn pairs_may_miss_a_side() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parse_question("m"), Ok((some("m"), vec![])));
        assert_eq!(parse_question("m{}"), Ok((some("m"), vec![])));
        assert_eq!(parse_question("{a=}"), Ok((None, vec![(some("a"), None)])));
        assert_eq!(
            parse_question("m{=b,*=c}"),
            Ok((some("m"), vec![(None, some("b")), (some("*"), some("c"))]))
        );
        for text in ["{}", "m{a=b", "m{a}", "m{=}", "m{a=b=c}"] {
            assert!(parse_question(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_of_one_key_are_alternatives() {
        let some = |text: &str| Some(text.to_owned());
        let pairs =
            [(some("h"), some("2")), (some("h"), some("1")), (some("d"), None), (None, some("x"))];
        let shown: Vec<String> = tests(&pairs).iter().map(ToString::to_string).collect();
        assert_eq!(shown, [r#"d!="""#, r#"h in ["1", "2"]"#]);
    }
}
