//! The search API: names of metrics, names of labels and values of a label that match terms, with scores, as
//! lines of JSON. Off as in a stock Prometheus; the flag `search-api` switches it on.
//!
//! What is found is at most `limit` and is held; its lines are made while they are sent.

mod filter;
mod params;
mod score;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base::cancel::{CancelOnDrop, CancelToken};
use base::error::ErrorKind;
use model::{Catalog, Matcher, SourceError, TenantId};
use wire::prometheus::search_json::{SearchItem, batch_line, trailer_line};

use self::filter::{Order, first};
use self::params::{Search, boolean};
use super::labels::united;
use super::metadata;
use super::params::Params;
use super::reply::{bad_data, query_failure, typed_failure};
use crate::run_query::{QueryError, run_lookup};
use crate::state::State;

/// The flag of Prometheus that switches the search on.
const FLAG: &str = "search-api";

/// What a user may set about the search.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The search answers.
    pub is_on: bool,
    /// The greatest `limit` of a request; 0 = any.
    pub limit_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        // As `--web.search.max-limit`.
        Self { is_on: false, limit_max: 10_000 }
    }
}

impl Settings {
    /// Switches the search on where `flag` is its feature flag; `false` where it is another.
    pub fn enable(&mut self, flag: &str) -> bool {
        self.is_on |= flag == FLAG;
        flag == FLAG
    }
}

/// Names looked at between two looks at the clock.
const CHECK_EVERY: usize = 64;

/// What is searched.
#[derive(Clone, Debug)]
enum Searched {
    LabelNames,
    LabelValues(String),
}

/// `/search/metric_names`
pub async fn metric_names(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let search = read(&state, &params, "metric_names")?;
    let shows_metadata = boolean(&params, "include_metadata", false)?;
    let metrics = Searched::LabelValues("__name__".to_owned());
    let told = shows_metadata.then(|| Arc::clone(&state));
    answer(&state, search, metrics, "name", told).await
}

/// `/search/label_names`
pub async fn label_names(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let search = read(&state, &params, "label_names")?;
    answer(&state, search, Searched::LabelNames, "name", None).await
}

/// `/search/label_values`
pub async fn label_values(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let search = read(&state, &params, "label_values")?;
    let Some(label) = params.get("label") else {
        return Err(bad_data("missing required parameter \"label\""));
    };
    answer(&state, search, Searched::LabelValues(label.to_owned()), "value", None).await
}

fn read(state: &State, params: &Params, endpoint: &str) -> Result<Search, Response> {
    if !state.settings.search.is_on {
        return Err(typed_failure(ErrorKind::Internal, "unavailable", "search API disabled"));
    }
    Search::read(params, endpoint, state.now_ms(), state.settings.search.limit_max)
}

/// Searches, and sends what was found; with a state in `told` what is known of metrics as well.
async fn answer(
    state: &Arc<State>,
    search: Search,
    searched: Searched,
    key: &'static str,
    told: Option<Arc<State>>,
) -> Result<Response, Response> {
    let timeout = Duration::from_millis(state.settings.query_timeout_ms);
    let cancel = CancelToken::with_deadline(Instant::now() + timeout);
    let _stop_with_the_client = CancelOnDrop(cancel.clone());
    let (limit, batch_size, shows_score) = (search.limit, search.batch_size, search.shows_score);
    let mut found = run_lookup(state, move |source| Ok(find(source, &search, &searched, &cancel)))
        .await
        .and_then(|found| found)
        .map_err(|error| query_failure(&error))?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let item = move |(text, score): (String, f64)| {
        let metadata = told.as_ref().and_then(|state| metadata::of_family(state, &text));
        let score = shows_score.then_some(score);
        SearchItem { text, score, metadata: metadata.unwrap_or_default() }
    };
    Ok(lines(found.into_iter().map(item), key, batch_size, has_more))
}

/// One more than asked for, which tells whether there are more.
fn find(
    source: &dyn Catalog,
    search: &Search,
    searched: &Searched,
    cancel: &CancelToken,
) -> Result<Vec<(String, f64)>, QueryError> {
    let count = search.limit.saturating_add(1);
    let is_cut_early = search.filter.is_open() && search.order != Order::Descending;
    let fetched = if is_cut_early { count } else { 0 };
    let values =
        united(&search.selectors, |matchers| ask(source, search, searched, matchers, fetched))
            .map_err(exec::ExecError::from)?;
    let mut taken = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        if index % CHECK_EVERY == 0 {
            cancel.check().map_err(exec::ExecError::from)?;
        }
        if let Some(score) = search.filter.score(&value) {
            taken.push((value, score));
        }
        if search.order == Order::Ascending && taken.len() == count {
            break;
        }
    }
    Ok(first(taken, search.order, count))
}

fn ask(
    source: &dyn Catalog,
    search: &Search,
    searched: &Searched,
    matchers: &[Matcher],
    fetched: usize,
) -> Result<Vec<String>, SourceError> {
    let (tenant, range) = (TenantId::DEFAULT, search.range);
    match searched {
        Searched::LabelNames => source.label_names(tenant, matchers, range),
        Searched::LabelValues(label) => {
            source.label_values(tenant, label, matchers, range, "", fetched)
        }
    }
}

/// The batches and the last line. There is a first batch even where nothing was found.
fn lines(
    items: impl Iterator<Item = SearchItem> + Send + 'static,
    key: &'static str,
    batch_size: usize,
    has_more: bool,
) -> Response {
    let mut items = items.peekable();
    let (mut is_first, mut is_over) = (true, false);
    let pieces = std::iter::from_fn(move || {
        if items.peek().is_some() || is_first {
            is_first = false;
            let batch: Vec<SearchItem> = items.by_ref().take(batch_size).collect();
            return Some(batch_line(key, &batch));
        }
        (!std::mem::replace(&mut is_over, true)).then(|| trailer_line(has_more))
    });
    let pieces = pieces.map(|piece| Ok::<_, std::convert::Infallible>(Bytes::from(piece)));
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8")];
    (headers, Body::from_stream(futures::stream::iter(pieces))).into_response()
}
