//! Label names and label values, and the selectors that these and others are asked with.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Path, State as Extract};
use axum::response::Response;
use model::{Matcher, SourceError, TenantId};
use wire::prometheus::query_json;

use super::params::{Params, unescape_label_name};
use super::reply::{Notes, TRUNCATED, bad_data, query_failure, success};
use crate::run_query::run_lookup;
use crate::state::State;

/// The selectors of `match[]`, each with a matcher that refuses the empty text; `refuse` makes an
/// answer of what is wrong with one.
pub(super) fn selectors(
    params: &Params,
    refuse: impl Fn(&str) -> Response,
) -> Result<Vec<Vec<Matcher>>, Response> {
    let parse =
        |text| lang::promql::parse_selector(text).map_err(|error| refuse(&error.to_string()));
    params.all("match[]").into_iter().map(parse).collect()
}

/// The selectors of `match[]`, where they need not refuse anything: those without a matcher select
/// nothing and are left out.
pub(super) fn any_selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, String> {
    let mut selectors = Vec::new();
    for text in params.all("match[]") {
        let parsed = lang::promql::parse_any_selector(text);
        selectors.push(parsed.map_err(|error| error.to_string())?.0);
    }
    selectors.retain(|matchers| !matchers.is_empty());
    Ok(selectors)
}

fn truncate<T>(items: &mut Vec<T>, limit: usize) -> Notes {
    let mut notes = Notes::default();
    if limit > 0 && items.len() > limit {
        items.truncate(limit);
        notes.warnings.push(TRUNCATED.to_owned());
    }
    notes
}

/// Runs `ask` for every selector (once without) and unites the sorted answers.
pub(super) fn united(
    selectors: &[Vec<Matcher>],
    ask: impl Fn(&[Matcher]) -> Result<Vec<String>, SourceError>,
) -> Result<Vec<String>, SourceError> {
    match selectors {
        [] => ask(&[]),
        [one] => ask(one),
        several => {
            let mut all = BTreeSet::new();
            for matchers in several {
                all.extend(ask(matchers)?);
            }
            Ok(all.into_iter().collect())
        }
    }
}

/// `/labels`
pub async fn names(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let (limit, range) = (params.limit()?, params.range()?);
    let selectors = selectors(&params, bad_data)?;
    let mut names = run_lookup(&state, move |source| {
        united(&selectors, |matchers| source.label_names(TenantId::DEFAULT, matchers, range))
    })
    .await
    .map_err(|error| query_failure(&error))?;
    let notes = truncate(&mut names, limit);
    Ok(success(&query_json::strings(&names), &notes))
}

/// `/label/<name>/values`
pub async fn values(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, Response> {
    let name = unescape_label_name(&name);
    if name.is_empty() {
        return Err(bad_data(&format!("invalid label name: {name:?}")));
    }
    let (limit, range) = (params.limit()?, params.range()?);
    let selectors = selectors(&params, bad_data)?;
    // One more than asked for tells whether anything was cut.
    let fetched = if limit == 0 { 0 } else { limit + 1 };
    let mut values = run_lookup(&state, move |source| {
        united(&selectors, |matchers| {
            source.label_values(TenantId::DEFAULT, &name, matchers, range, "", fetched)
        })
    })
    .await
    .map_err(|error| query_failure(&error))?;
    let notes = truncate(&mut values, limit);
    Ok(success(&query_json::strings(&values), &notes))
}
