//! The tag endpoints. The index is that of all series, so nothing has to be registered; registering
//! answers the canonical path and stores nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use lang::graphite::tagspec::{self, label_of, prefix_pattern, tag_of};
use model::identity::flat_name;
use model::{Hints, Matcher, Pattern, Source, SourceError, TenantId, TimeRange, ValueTest};
use wire::graphite::json::Writer;
use wire::graphite::path::canonical;

use super::params::Params;
use super::reply::{json, json_error, json_failure, style};
use crate::run_query::{QueryError, run_lookup};
use crate::state::State;

/// Series that one answer may list or count.
const SERIES_MAX: usize = 1_000_000;
/// Completions where the request names no limit.
const COMPLETIONS: usize = 100;

type Answer = Result<Response, Response>;

fn bad_request(reason: &str) -> Response {
    json_error(StatusCode::BAD_REQUEST, reason)
}

/// The number of items that a request wants at most. 0 is none, but Grafana's backend, known by its
/// `from=undefined`, means all by it.
fn limit(params: &Params, default: usize) -> Result<usize, Response> {
    let Some(text) = params.get("limit") else { return Ok(default) };
    let limit: i64 =
        text.trim().parse().map_err(|_| bad_request(&format!("limit {text:?} is no number")))?;
    if limit == 0 && params.get("from") == Some("undefined") {
        return Ok(usize::MAX);
    }
    Ok(usize::try_from(limit).unwrap_or(0))
}

fn filter(params: &Params) -> Result<Option<Pattern>, Response> {
    let pattern = params.get("filter").map(prefix_pattern).transpose();
    pattern.map_err(|error| json_failure(&error))
}

fn matchers(params: &Params) -> Result<Vec<Matcher>, Response> {
    tagspec::matchers(params.all("expr")).map_err(|error| json_failure(&error))
}

async fn look<T: Send + 'static>(
    state: &Arc<State>,
    lookup: impl FnOnce(&dyn Source) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, Response> {
    run_lookup(state, lookup).await.map_err(|error: QueryError| json_failure(&error))
}

fn texts(params: &Params, items: &[String]) -> Response {
    let style = style(params);
    let mut body = Writer::new(style);
    body.texts(items.iter().map(String::as_str));
    json(params, style, body.finish())
}

/// Names of all tags on series that pass; sorted as tags.
fn tag_names(source: &dyn Source, matchers: &[Matcher]) -> Result<Vec<String>, SourceError> {
    let labels = source.label_names(TenantId::DEFAULT, matchers, TimeRange::ALL)?;
    let mut tags: Vec<String> = labels.iter().map(|label| tag_of(label).to_owned()).collect();
    tags.sort_unstable();
    Ok(tags)
}

/// `/tags`
pub(super) async fn names(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    let (filter, limit) = (filter(&params)?, limit(&params, usize::MAX)?);
    let mut tags = look(&state, |source| tag_names(source, &[])).await?;
    tags.retain(|tag| filter.as_ref().is_none_or(|filter| filter.is_match(tag)));
    tags.truncate(limit);
    let style = style(&params);
    let mut body = Writer::new(style);
    body.begin('[');
    for tag in &tags {
        body.begin('{');
        body.key("tag");
        body.text(tag);
        body.end('}');
    }
    body.end(']');
    Ok(json(&params, style, body.finish()))
}

/// `/tags/<tag>`: values and how many series have them.
pub(super) async fn values(
    Extract(state): Extract<Arc<State>>,
    Path(tag): Path<String>,
    params: Params,
) -> Answer {
    let (filter, limit) = (filter(&params)?, limit(&params, usize::MAX)?);
    let label = label_of(&tag).to_owned();
    let counts = look(&state, move |source| count_values(source, &label)).await?;
    let style = style(&params);
    let mut body = Writer::new(style);
    if counts.is_empty() {
        body.raw("null");
        return Ok(json(&params, style, body.finish()));
    }
    body.begin('{');
    body.key("tag");
    body.text(&tag);
    body.key("values");
    body.begin('[');
    let passes = |value: &str| filter.as_ref().is_none_or(|filter| filter.is_match(value));
    for (value, count) in counts.iter().filter(|(value, _)| passes(value)).take(limit) {
        body.begin('{');
        body.key("value");
        body.text(value);
        body.key("count");
        body.integer(*count);
        body.end('}');
    }
    body.end(']');
    body.end('}');
    Ok(json(&params, style, body.finish()))
}

fn count_values(source: &dyn Source, label: &str) -> Result<BTreeMap<String, i64>, SourceError> {
    let there = [Matcher::new(label, ValueTest::NotEqual(String::new()))];
    let mut counts = BTreeMap::new();
    let hints = Hints { labels_only: true, ..Hints::default() };
    let selection = source.select(&there, TimeRange::ALL, &hints)?;
    check_count(selection.len())?;
    for index in 0..selection.len() {
        if let Some(value) = selection.labels(index).get(label) {
            *counts.entry(value.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

fn check_count(series: usize) -> Result<(), SourceError> {
    if series <= SERIES_MAX {
        return Ok(());
    }
    let message = format!("{series} series match, at most {SERIES_MAX} are listed");
    Err(SourceError::TooLarge { message })
}

/// `/tags/findSeries`
pub(super) async fn find_series(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    if params.all("expr").is_empty() {
        return Err(bad_request("no tag expressions specified"));
    }
    let matchers = matchers(&params)?;
    let names = look(&state, move |source| {
        let hints = Hints { labels_only: true, ..Hints::default() };
        let selection = source.select(&matchers, TimeRange::ALL, &hints)?;
        check_count(selection.len())?;
        let name = |index| flat_name(&selection.labels(index));
        let mut names: Vec<String> = (0..selection.len()).map(name).collect();
        names.sort_unstable();
        Ok(names)
    })
    .await?;
    Ok(texts(&params, &names))
}

/// `/tags/autoComplete/tags`
pub(super) async fn complete_names(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    let limit = limit(&params, COMPLETIONS)?;
    let expressions = params.all("expr");
    let matchers = if expressions.is_empty() { Vec::new() } else { matchers(&params)? };
    let used: Vec<String> =
        matchers.iter().map(|matcher| tag_of(&matcher.name).to_owned()).collect();
    let prefix = params.get("tagPrefix").unwrap_or_default().to_owned();
    let mut tags = look(&state, move |source| tag_names(source, &matchers)).await?;
    tags.retain(|tag| tag.starts_with(&prefix) && !used.contains(tag));
    tags.truncate(limit);
    Ok(texts(&params, &tags))
}

/// `/tags/autoComplete/values`
pub(super) async fn complete_values(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    let limit = limit(&params, COMPLETIONS)?;
    let tag = params.get("tag").filter(|tag| !tag.is_empty());
    let label = label_of(tag.ok_or_else(|| bad_request("no tag specified"))?).to_owned();
    // The tag itself must be there, so no expression has to narrow the search.
    let matchers =
        params.all("expr").into_iter().map(tagspec::matcher).collect::<Result<Vec<_>, _>>();
    let matchers = matchers.map_err(|error| json_failure(&error))?;
    let prefix = params.get("valuePrefix").unwrap_or_default().to_owned();
    if limit == 0 {
        return Ok(texts(&params, &[]));
    }
    let values = look(&state, move |source| {
        let wanted = if limit == usize::MAX { 0 } else { limit };
        let all = TimeRange::ALL;
        source.label_values(TenantId::DEFAULT, &label, &matchers, all, &prefix, wanted)
    })
    .await?;
    Ok(texts(&params, &values))
}

/// `/tags/tagSeries`: the canonical path.
pub(super) async fn tag_series(params: Params) -> Answer {
    let path = params.get("path").ok_or_else(|| bad_request("no path specified"))?;
    let path = canonical(path).map_err(|error| bad_request(&format!("{path}: {error}")))?;
    let style = style(&params);
    let mut body = Writer::new(style);
    body.text(&path);
    Ok(json(&params, style, body.finish()))
}

/// `/tags/tagMultiSeries`: the canonical paths, in order.
pub(super) async fn tag_multi_series(params: Params) -> Answer {
    let paths = params.all("path");
    if paths.is_empty() {
        return Err(bad_request("no paths specified"));
    }
    let canonical =
        |path: &str| canonical(path).map_err(|error| bad_request(&format!("{path}: {error}")));
    let paths: Vec<String> = paths.into_iter().map(canonical).collect::<Result<_, _>>()?;
    Ok(texts(&params, &paths))
}
