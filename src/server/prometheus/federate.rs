//! `/federate`: the newest sample of each selected series, for another Prometheus to scrape.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::{Classify, ErrorKind};
use model::{
    Hints, Labels, METRIC_NAME, Matcher, Samples, Source, SourceError, TimeRange, is_stale,
};
use wire::prometheus::federate::{NameStyle, write_sample, write_type};

use super::params::Params;
use crate::run_query::run_lookup;
use crate::state::State;

/// One series: its labels, its newest value and that value's instant.
type Newest = (Labels, f64, i64);

/// The handler; errors are plain text here.
pub async fn federate(
    Extract(state): Extract<Arc<State>>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let mut selectors = Vec::new();
    for text in params.all("match[]") {
        match lang::promql::parse_selector(text) {
            Ok(matchers) => selectors.push(matchers),
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        }
    }
    let now_ms = state.clock.now_ms();
    // Left-open, as instant selectors are.
    let range = TimeRange::new(now_ms - state.settings.lookback_ms + 1, now_ms);
    let found = run_lookup(&state, move |source| newest(source, &selectors, range)).await;
    match found {
        Ok(found) => page(&found, style_of(&headers)),
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn style_of(headers: &HeaderMap) -> NameStyle {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    match accept {
        Some(accept) if accept.contains("escaping=allow-utf-8") => NameStyle::Utf8,
        _ => NameStyle::Underscores,
    }
}

fn newest(
    source: &dyn Source,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
) -> Result<Vec<Newest>, SourceError> {
    let mut found = Vec::new();
    let mut samples = Samples::default();
    for matchers in selectors {
        let selection = source.select(matchers, range, &Hints::default())?;
        for index in 0..selection.len() {
            selection.read(index, &mut samples)?;
            let last = samples.values.last().zip(samples.timestamps.last());
            if let Some((value, at_ms)) = last.filter(|(value, _)| !is_stale(**value)) {
                found.push((selection.labels(index), *value, *at_ms));
            }
        }
    }
    let name = |labels: &Labels| labels.get(METRIC_NAME).unwrap_or_default().to_owned();
    found.sort_by_cached_key(|(labels, ..)| (name(labels), labels.clone()));
    found.dedup_by(|a, b| a.0 == b.0);
    Ok(found)
}

fn page(found: &[Newest], style: NameStyle) -> Response {
    let mut out = String::new();
    let mut previous = None;
    for (labels, value, at_ms) in found {
        let metric = labels.get(METRIC_NAME).unwrap_or_default();
        if previous != Some(metric) {
            write_type(&mut out, metric, style);
            previous = Some(metric);
        }
        write_sample(&mut out, labels.view(), *value, *at_ms, style);
    }
    let content_type = match style {
        NameStyle::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        NameStyle::Utf8 => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    };
    ([(header::CONTENT_TYPE, content_type)], out).into_response()
}
