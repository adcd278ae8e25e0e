//! The tag endpoints. The index is that of all series, so nothing has to be registered; what is
//! registered all the same is kept until it has samples.

use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;
use lang::graphite::tagspec::{self, label_of, prefix_pattern, tag_of};
use model::{Matcher, Pattern, SourceError, TenantId, TimeRange};
use wire::graphite::json::Writer;
use wire::graphite::path::canonical;

use super::params::Params;
use super::registered::{self, Directory};
use super::reply::{failure_text, json, json_error, json_failure, style};
use crate::run_query::{QueryError, run_lookup};
use crate::state::State;

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
    lookup: impl FnOnce(&Directory<'_>) -> Result<T, SourceError> + Send + 'static,
) -> Result<T, Response> {
    let documents = Arc::clone(&state.documents);
    run_lookup(state, move |source| lookup(&Directory::new(source, &*documents)))
        .await
        .map_err(|error: QueryError| json_failure(&error))
}

fn texts(params: &Params, items: &[String]) -> Response {
    let style = style(params);
    let mut body = Writer::new(style);
    body.texts(items.iter().map(String::as_str));
    json(params, style, body.finish())
}

/// Names of all tags on series that pass; sorted as tags.
fn tag_names(directory: &Directory<'_>, matchers: &[Matcher]) -> Result<Vec<String>, SourceError> {
    let labels = directory.names(matchers)?;
    let mut tags: Vec<String> = labels.iter().map(|label| tag_of(label).to_owned()).collect();
    tags.sort_unstable();
    Ok(tags)
}

/// `/tags`
pub(super) async fn names(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    let (filter, limit) = (filter(&params)?, limit(&params, usize::MAX)?);
    let mut tags = look(&state, |directory| tag_names(directory, &[])).await?;
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
    let counts = look(&state, move |directory| directory.counts(&label)).await?;
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

/// `/tags/findSeries`
pub(super) async fn find_series(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    if params.all("expr").is_empty() {
        return Err(bad_request("no tag expressions specified"));
    }
    let matchers = matchers(&params)?;
    let names = look(&state, move |directory| directory.series(&matchers)).await?;
    let names: Vec<String> = names.into_iter().collect();
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
    let mut tags = look(&state, move |directory| tag_names(directory, &matchers)).await?;
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
    let wanted = if limit == usize::MAX { 0 } else { limit };
    let values =
        look(&state, move |directory| directory.values(&label, &matchers, &prefix, wanted));
    let values = values.await?;
    Ok(texts(&params, &values))
}

/// The canonical spellings of paths.
fn canonical_all(paths: Vec<&str>) -> Result<Vec<String>, Response> {
    let canonical =
        |path: &str| canonical(path).map_err(|error| bad_request(&format!("{path}: {error}")));
    paths.into_iter().map(canonical).collect()
}

async fn register(state: &Arc<State>, paths: &[String]) -> Result<(), Response> {
    let (documents, paths) = (Arc::clone(&state.documents), paths.to_vec());
    let kept = run_lookup(state, move |source| registered::register(source, &*documents, &paths));
    let kept = kept.await.map_err(|error| json_failure(&error))?;
    kept.map_err(|error| json_failure(&error))
}

/// `/tags/tagSeries`: the canonical path.
pub(super) async fn tag_series(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    let path = params.get("path").ok_or_else(|| bad_request("no path specified"))?;
    let paths = canonical_all(vec![path])?;
    register(&state, &paths).await?;
    let style = style(&params);
    let mut body = Writer::new(style);
    paths.iter().for_each(|path| body.text(path));
    Ok(json(&params, style, body.finish()))
}

/// `/tags/tagMultiSeries`: the canonical paths, in order.
pub(super) async fn tag_multi_series(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Answer {
    let paths = params.all("path");
    if paths.is_empty() {
        return Err(bad_request("no paths specified"));
    }
    let paths = canonical_all(paths)?;
    register(&state, &paths).await?;
    Ok(texts(&params, &paths))
}

/// `/tags/delSeries`: series are gone, announced ones and stored ones with their samples.
pub(super) async fn delete_series(Extract(state): Extract<Arc<State>>, params: Params) -> Answer {
    let paths = params.all("path");
    if paths.is_empty() {
        return Err(bad_request("no path specified"));
    }
    let paths = canonical_all(paths)?;
    let deleted = tokio::task::spawn_blocking(move || delete(&state, &paths)).await;
    deleted.map_err(|error| failure_text(&error))??;
    let style = style(&params);
    Ok(json(&params, style, "true".to_owned()))
}

fn delete(state: &State, paths: &[String]) -> Result<(), Response> {
    registered::forget(&*state.documents, paths).map_err(|error| json_failure(&error))?;
    for path in paths {
        let stored = registered::stored(&*state.source, path);
        if let Some(matchers) = stored.map_err(|error| json_failure(&error))? {
            let tenant = TenantId::DEFAULT;
            let deleted = state.appender.delete(tenant, &matchers, TimeRange::ALL);
            deleted.map_err(|error| json_failure(&error))?;
        }
    }
    Ok(())
}
