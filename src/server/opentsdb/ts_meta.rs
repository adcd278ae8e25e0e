//! `/api/uid/tsmeta`: what is known and noted about a series. Figures come from the store itself, so
//! every series has them, whether anything was noted or not.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use lang::opentsdb::request::missing;
use lang::opentsdb::validate::Name;
use model::{
    DocumentChange, Hints, Labels, METRIC_NAME, Matcher, Samples, Source, SourceError, TenantId,
    TimeRange, ValueTest,
};
use serde_json::{Value, json};

use super::body::{self, Object, blocking, refused};
use super::lookup::parse_question;
use super::names;
use super::params::Params;
use super::reply::{Refusal, Reply};
use super::uid_meta::{describe, merge};
use super::uids::{SeriesNames, UidKind, UidSpace, from_hex, to_hex};
use crate::run_query::run_lookup;
use crate::state::State;

const TABLE: &str = "opentsdb.tsmeta";
/// The members that can be set.
const FIELDS: [&str; 9] = [
    "displayName",
    "description",
    "notes",
    "custom",
    "units",
    "dataType",
    "retention",
    "max",
    "min",
];
/// Series of one answer.
const SERIES_MAX: usize = 100_000;

/// The handler.
pub(super) async fn ts_meta(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    let method = body::method_of(&request, params)?;
    let parameter = |name: &str| params.get(name).filter(|text| !text.is_empty());
    if method == Method::GET {
        return match parameter("tsuid") {
            Some(tsuid) => Ok(body::json(&one(state, tsuid).await?)),
            None => {
                let question = parameter("m").ok_or_else(|| missing("m"))?.to_owned();
                Ok(body::json(&Value::Array(many(state, &question).await?)))
            }
        };
    }
    let create = params.has("create").then(|| parameter("m").map(str::to_owned)).flatten();
    let given = body::object_or_params(state, request, params).await?;
    let tsuid = match (body::text(&given, "tsuid").filter(|text| !text.is_empty()), create) {
        (Some(tsuid), _) => tsuid.to_ascii_uppercase(),
        (None, Some(question)) => create_from(state, &question).await?,
        (None, None) => return Err(Refusal::bad("Missing TSUID").with("Missing TSUID")),
    };
    if method == Method::DELETE {
        let change = DocumentChange::remove(TABLE, tsuid.as_bytes());
        body::write(state, vec![change]).await?;
        return Ok(body::empty(StatusCode::NO_CONTENT));
    }
    let before = if method == Method::PUT { Object::new() } else { load(state, &tsuid) };
    let mut stored = before;
    if !merge(&mut stored, &given, &FIELDS) {
        return match params.has("create") {
            true => Ok(body::json(&one(state, &tsuid).await?)),
            false => Ok(body::empty(StatusCode::NOT_MODIFIED)),
        };
    }
    one(state, &tsuid).await?;
    stored.entry("created").or_insert_with(|| json!(state.now_ms() / 1000));
    let bytes = Value::Object(stored).to_string().into_bytes();
    body::write(state, vec![DocumentChange::put(TABLE, tsuid.as_bytes(), bytes)]).await?;
    Ok(body::json(&one(state, &tsuid).await?))
}

fn not_found() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "Could not find Timeseries meta data")
}

fn load(state: &State, tsuid: &str) -> Object {
    let stored = state.documents.get(TenantId::DEFAULT, TABLE, tsuid.as_bytes());
    stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Matchers of exactly the series with these names.
pub(super) fn exactly(series: &SeriesNames) -> Vec<Matcher> {
    let metric = Matcher::equal(METRIC_NAME, &*series.metric);
    let tags = series.tags.iter().map(|(key, value)| Matcher::equal(&**key, &**value));
    std::iter::once(metric).chain(tags).collect()
}

fn has_names(labels: &Labels, series: &SeriesNames) -> bool {
    labels.iter().count() == series.tags.len() + 1
}

/// Figures of one series: its first and last sample in milliseconds and how many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    first_ms: i64,
    last_ms: i64,
    count: usize,
}

fn figures(
    source: &dyn Source,
    matchers: &[Matcher],
    wanted: impl Fn(&Labels) -> bool,
) -> Result<Vec<(Labels, Figures)>, SourceError> {
    let selection = source.select(matchers, TimeRange::ALL, &Hints::default())?;
    let mut samples = Samples::default();
    let mut found = Vec::new();
    for index in 0..selection.len() {
        let labels = selection.labels(index);
        if !wanted(&labels) || found.len() >= SERIES_MAX {
            continue;
        }
        selection.read(index, &mut samples)?;
        if let (Some(first), Some(last)) = (samples.timestamps.first(), samples.timestamps.last()) {
            let count = samples.len();
            found.push((labels, Figures { first_ms: *first, last_ms: *last, count }));
        }
    }
    Ok(found)
}

/// The series with this TSUID.
pub(super) async fn one(state: &Arc<State>, tsuid: &str) -> Result<Value, Refusal> {
    let space = state.uids.of(TenantId::DEFAULT);
    let bytes = from_hex(tsuid).ok_or_else(not_found)?;
    let series = space.series(&bytes).ok_or_else(not_found)?;
    let found = run_lookup(state, move |source| {
        figures(source, &exactly(&series), |labels| has_names(labels, &series))
    });
    let figures = found.await?.first().map(|(_, figures)| *figures);
    if figures.is_none() && load(state, &to_hex(&bytes)).is_empty() {
        return Err(not_found());
    }
    show(state, &space, &bytes, figures.unwrap_or_default()).ok_or_else(not_found)
}

/// The series that `metric{k=v,…}` asks for, by their TSUIDs.
async fn many(state: &Arc<State>, question: &str) -> Result<Vec<Value>, Refusal> {
    let (metric, pairs) = parse_question(question)
        .map_err(|details| Refusal::bad("Unable to parse query").with(details))?;
    let metric = metric.ok_or_else(|| Refusal::bad("Missing metric").with("Missing metric"))?;
    let mut wanted = vec![Name::Metric(metric.clone())];
    let mut matchers = vec![Matcher::equal(METRIC_NAME, metric)];
    for (key, value) in pairs {
        let key = key.unwrap_or_default();
        wanted.push(Name::Key(key.clone()));
        matchers.push(match value.filter(|value| value != "*") {
            Some(value) => {
                wanted.push(Name::Value { key: key.clone(), value: value.clone() });
                Matcher::equal(key, value)
            }
            None => Matcher::new(key, ValueTest::NotEqual(String::new())),
        });
    }
    let space = state.uids.of(TenantId::DEFAULT);
    let found = run_lookup(state, move |source| {
        Ok(match names::first_unknown(source, wanted)? {
            Some(unknown) => Err(unknown),
            None => Ok(figures(source, &matchers, |_| true)?),
        })
    });
    let found = found.await?.map_err(|unknown| {
        Refusal::new(StatusCode::NOT_FOUND, "Unable to find one of the UIDs")
            .with(unknown.unknown().message)
    })?;
    let numbered = {
        let space = space.clone();
        blocking(move || {
            let tsuid =
                |(labels, figures): (Labels, Figures)| Ok((space.tsuid(labels.view())?, figures));
            found.into_iter().map(tsuid).collect::<Result<Vec<_>, _>>()
        })
    };
    let mut numbered = numbered.await?.map_err(|error| refused(&error))?;
    numbered.sort_by(|left, right| left.0.cmp(&right.0));
    let shown = numbered.iter().filter_map(|(tsuid, of)| show(state, &space, tsuid, *of));
    Ok(shown.collect())
}

/// The TSUID of exactly `metric{k=v,…}`; names without a number get one.
async fn create_from(state: &Arc<State>, question: &str) -> Result<String, Refusal> {
    let (metric, pairs) = parse_question(question)
        .map_err(|details| Refusal::bad("Unable to parse query").with(details))?;
    let metric = metric.unwrap_or_default();
    let mut labels: Vec<(String, String)> = vec![(METRIC_NAME.to_owned(), metric)];
    for pair in pairs {
        let (Some(key), Some(value)) = pair else {
            return Err(Refusal::bad("Unable to parse query").with("a tag misses a side"));
        };
        labels.push((key, value));
    }
    let space = state.uids.of(TenantId::DEFAULT);
    labels.sort_unstable();
    let pairs = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let labels = Labels::from_pairs(pairs);
    let tsuid = blocking(move || space.tsuid(labels.view())).await?;
    let tsuid = to_hex(&tsuid.map_err(|error| refused(&error))?);
    if load(state, &tsuid).is_empty() {
        let created = json!({"created": state.now_ms() / 1000}).to_string().into_bytes();
        body::write(state, vec![DocumentChange::put(TABLE, tsuid.as_bytes(), created)]).await?;
    }
    Ok(tsuid)
}

fn show(state: &State, space: &UidSpace, tsuid: &[u8], figures: Figures) -> Option<Value> {
    let uids = space.split(tsuid)?;
    let tags = uids.tags.iter().flat_map(|(key, value)| {
        let key = describe(state, space, UidKind::Key, *key);
        [key, describe(state, space, UidKind::Value, *value)]
    });
    let tags: Vec<Value> = tags.collect();
    let hex = to_hex(tsuid);
    let stored = load(state, &hex);
    let text = |name: &str| body::text(&stored, name).unwrap_or_default();
    let bound = |name: &str| stored.get(name).cloned().unwrap_or_else(|| json!("NaN"));
    let created = body::integer(&stored, "created").unwrap_or(figures.first_ms / 1000);
    let mut shown = json!({
        "tsuid": hex,
        "metric": describe(state, space, UidKind::Metric, uids.metric),
        "tags": tags,
        "description": text("description"),
        "notes": text("notes"),
        "created": created,
        "units": text("units"),
        "retention": body::integer(&stored, "retention").unwrap_or_default(),
        "max": bound("max"),
        "min": bound("min"),
        "displayName": text("displayName"),
        "dataType": text("dataType"),
        "lastReceived": figures.last_ms / 1000,
        "totalDatapoints": figures.count,
    });
    if let (Some(shown), Some(custom)) = (shown.as_object_mut(), stored.get("custom")) {
        shown.insert("custom".to_owned(), custom.clone());
    }
    Some(shown)
}
