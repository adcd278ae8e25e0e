//! `/api/query/last`: the newest point of series.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;
use exec::Value;
use lang::opentsdb::OpenTsdbError;
use lang::opentsdb::metric::parse_series;
use lang::opentsdb::request::first_object;
use lang::opentsdb::validate::Name;
use model::{Hints, METRIC_NAME, Matcher, ResultSeries, TenantId, TimeRange};
use plan::{Node, Op, Plan, Rows, RowsFunction, Scan};
use serde_json::Value as Json;
use wire::opentsdb::query_json::{push_double, push_integer, push_tags, push_text};

use super::dispatch::allow;
use super::params::{Params, read_body};
use super::query::begin_item;
use super::query_names::{exclude_other_keys, first_unknown, series_matchers};
use super::reply::{Refusal, Reply};
use super::uids::{from_hex, to_hex};
use crate::run_query::{run_lookup, run_query};
use crate::state::State;

const HOUR_MS: i64 = 3_600_000;
/// How far back is looked at first, then next, before all of time: the newest points of live series
/// are young, and reading all points of a series for its last one is to be avoided.
const REACHES_MS: [i64; 3] = [2 * HOUR_MS, 48 * HOUR_MS, 1_440 * HOUR_MS];

/// What is asked for.
#[derive(Debug, Default, PartialEq)]
struct Asked {
    items: Vec<Item>,
    resolve: bool,
    /// Hours; 0 = all of time.
    back_scan: i64,
}

#[derive(Debug, PartialEq)]
enum Item {
    /// Series of a metric that have these tags.
    Series(String, Vec<(String, String)>),
    /// One series by its numeric name.
    Tsuid(String),
}

/// The handler.
pub(super) async fn last(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET, Method::POST])?;
    let asked = if request.method() == Method::POST {
        from_json(&read_body(request, state.settings.body_bytes_max).await?)?
    } else {
        from_params(params)?
    };
    if asked.items.is_empty() {
        return Err(Refusal::bad("Missing sub queries"));
    }
    if asked.back_scan < 0 {
        return Err(Refusal::bad("Backscan must be zero or a positive number"));
    }
    let mut out = b"[".to_vec();
    for item in &asked.items {
        let Some(matchers) = matchers(state, item, asked.back_scan > 0).await? else { continue };
        let rows = newest(state, matchers, asked.back_scan).await?;
        let space = state.uids.of(TenantId::DEFAULT);
        // Series that came by another protocol get their numbers now, which writes to the disk.
        let named = run_lookup(state, move |_| {
            let tsuid = |row: &ResultSeries| space.tsuid(row.labels.view()).unwrap_or_default();
            Ok(rows.into_iter().map(|row| (to_hex(&tsuid(&row)), row)).collect::<Vec<_>>())
        });
        for (tsuid, row) in named.await? {
            write(&mut out, &tsuid, &row, asked.resolve);
        }
    }
    out.push(b']');
    Ok(Reply::ok(out))
}

fn back_scan(text: &str) -> Result<i64, Refusal> {
    text.parse().map_err(|_| Refusal::bad("Unable to parse back_scan parameter"))
}

fn from_params(params: &Params) -> Result<Asked, Refusal> {
    let mut asked = Asked { resolve: params.has("resolve"), ..Asked::default() };
    if let Some(text) = params.get("back_scan") {
        asked.back_scan = back_scan(text)?;
    }
    for text in params.all("timeseries") {
        let (metric, tags) = parse_series(text)?;
        asked.items.push(Item::Series(metric, tags.into_iter().collect()));
    }
    for list in params.all("tsuids") {
        asked.items.extend(list.split(',').map(|text| Item::Tsuid(text.to_uppercase())));
    }
    Ok(asked)
}

fn from_json(body: &[u8]) -> Result<Asked, Refusal> {
    let object = first_object(body)?;
    let flag = |name: &str| object.get(name).and_then(Json::as_bool).unwrap_or(false);
    let mut asked = Asked { resolve: flag("resolveNames"), ..Asked::default() };
    match object.get("backScan") {
        None | Some(Json::Null) => {}
        Some(Json::Number(number)) => asked.back_scan = number.as_i64().unwrap_or(-1),
        Some(Json::String(text)) => asked.back_scan = back_scan(text)?,
        Some(_) => return Err(Refusal::bad("Unable to parse back_scan parameter")),
    }
    for query in object.get("queries").and_then(Json::as_array).into_iter().flatten() {
        if let Some(Json::Array(tsuids)) = query.get("tsuids").filter(|ids| !ids.is_null()) {
            let texts = tsuids.iter().filter_map(Json::as_str);
            asked.items.extend(texts.map(|text| Item::Tsuid(text.to_uppercase())));
            continue;
        }
        let metric = query.get("metric").and_then(Json::as_str).filter(|text| !text.is_empty());
        let metric = metric.ok_or_else(|| Refusal::bad("Metric cannot be null or empty"))?;
        let tags = query.get("tags").and_then(Json::as_object).into_iter().flatten();
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let tags = tags.map(|(key, value)| (key.clone(), text(value)));
        asked.items.push(Item::Series(metric.to_owned(), tags.collect()));
    }
    Ok(asked)
}

/// What a series must satisfy; `exact` keeps out those that have further tags. `None` where no series
/// can.
async fn matchers(
    state: &Arc<State>,
    item: &Item,
    exact: bool,
) -> Result<Option<Vec<Matcher>>, Refusal> {
    let space = state.uids.of(TenantId::DEFAULT);
    let (metric, tags) = match item {
        Item::Series(metric, tags) => (metric.clone(), tags.clone()),
        Item::Tsuid(text) => return by_number(state, text).await,
    };
    if exact && tags.is_empty() {
        let text = "Tags cannot be null or empty when getting a TSUID";
        return Err(OpenTsdbError::invalid(text).into());
    }
    let found = run_lookup(state, move |source| {
        let mut wanted = vec![Name::Metric(metric.clone())];
        for (key, value) in &tags {
            wanted.push(Name::Key(key.clone()));
            wanted.push(Name::Value { key: key.clone(), value: value.clone() });
        }
        if let Some(unknown) = first_unknown(source, &space, wanted)? {
            return Ok(Err(unknown));
        }
        let mut matchers = vec![Matcher::equal(METRIC_NAME, metric.as_str())];
        let pairs = tags.iter().map(|(key, value)| Matcher::equal(key.as_str(), value.as_str()));
        matchers.extend(pairs);
        if exact {
            exclude_other_keys(source, &mut matchers)?;
        }
        Ok(Ok(Some(matchers)))
    });
    Ok(found.await?.map_err(|unknown| unknown.unknown())?)
}

async fn by_number(state: &Arc<State>, text: &str) -> Result<Option<Vec<Matcher>>, Refusal> {
    let short = || {
        let text = "TSUID must not be null and must have a metric and at least one tag pair";
        Refusal::from(OpenTsdbError::invalid(text))
    };
    let space = state.uids.of(TenantId::DEFAULT);
    let tsuid = from_hex(text).ok_or_else(short)?;
    if space.split(&tsuid).is_none_or(|series| series.tags.is_empty()) {
        return Err(short());
    }
    Ok(run_lookup(state, move |source| series_matchers(source, &space, &tsuid)).await?)
}

/// The newest point of every series; those without one are left out.
async fn newest(
    state: &Arc<State>,
    matchers: Vec<Matcher>,
    back_scan: i64,
) -> Result<Vec<ResultSeries>, Refusal> {
    let now_ms = state.now_ms();
    if back_scan > 0 {
        // The current hour, and as many before it.
        let hour_ms = now_ms - now_ms.rem_euclid(HOUR_MS);
        let start_ms = hour_ms.saturating_sub(back_scan.saturating_mul(HOUR_MS));
        return newest_since(state, &matchers, start_ms).await;
    }
    let of_count = matchers.clone();
    let existing = run_lookup(state, move |source| {
        let hints = Hints { labels_only: true, ..Hints::default() };
        Ok(source.select(&of_count, TimeRange::ALL, &hints)?.len())
    });
    let existing = existing.await?;
    for reach_ms in REACHES_MS {
        let rows = newest_since(state, &matchers, now_ms.saturating_sub(reach_ms)).await?;
        if rows.len() >= existing {
            return Ok(rows);
        }
    }
    newest_since(state, &matchers, i64::MIN).await
}

async fn newest_since(
    state: &Arc<State>,
    matchers: &[Matcher],
    start_ms: i64,
) -> Result<Vec<ResultSeries>, Refusal> {
    let range = TimeRange::new(start_ms, i64::MAX);
    let scan = Scan { sorted: true, integers: true, ..Scan::new(matchers.to_vec(), range) };
    let scan = Node::new(Op::Scan(scan));
    let root = Node::new(Op::Rows(Rows { inputs: vec![scan], function: RowsFunction::Newest }));
    let plan = Plan { root, limits: state.settings.query_limits };
    let mut rows = match run_query(state, plan, None, "opentsdb").await?.value {
        Value::Vector(rows) => rows,
        _ => Vec::new(),
    };
    rows.retain(|row| !row.points.values.is_empty());
    Ok(rows)
}

fn write(out: &mut Vec<u8>, tsuid: &str, row: &ResultSeries, resolve: bool) {
    let (Some(at_ms), Some(value)) = (row.points.timestamps.last(), row.points.values.last())
    else {
        return;
    };
    begin_item(out);
    out.push(b'{');
    if resolve {
        out.extend_from_slice(b"\"metric\":");
        push_text(out, row.labels.metric_name().unwrap_or_default());
        out.push(b',');
    }
    out.extend_from_slice(b"\"timestamp\":");
    push_integer(out, *at_ms);
    out.extend_from_slice(b",\"value\":\"");
    match row.points.integers.last().copied().flatten() {
        Some(integer) => push_integer(out, integer),
        None => push_double(out, *value),
    }
    out.push(b'"');
    if resolve {
        out.extend_from_slice(b",\"tags\":");
        push_tags(out, row.labels.iter().filter(|(name, _)| *name != METRIC_NAME));
    }
    out.extend_from_slice(b",\"tsuid\":");
    push_text(out, tsuid);
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_ask_the_same() {
        let params = Params::from_query("timeseries=m{a=b}&tsuids=0a,0b&resolve&back_scan=2");
        let body = br#"{"queries":[{"metric":"m","tags":{"a":"b"}},{"tsuids":["0A","0b"]}],
            "resolveNames":true,"backScan":2}"#;
        let asked = from_params(&params).unwrap();
        assert_eq!(asked, from_json(body).unwrap());
        assert_eq!((asked.items.len(), asked.back_scan, asked.resolve), (3, 2, true));
        for bad in ["back_scan=x", "timeseries=m{a=b", "timeseries=m{a}"] {
            assert!(from_params(&Params::from_query(bad)).is_err(), "{bad}");
        }
        for bad in [&b""[..], b"[]", b"{\"queries\":[{\"metric\":\"\"}]}"] {
            assert!(from_json(bad).is_err());
        }
    }
}
