//! `/federate`: the newest sample of each selected series, for another Prometheus to scrape.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::error::{Classify, ErrorKind};
use model::{
    Hints, Histogram, Labels, METRIC_NAME, Matcher, ResetHint, Samples, Source, SourceError,
    TimeRange,
};
use wire::prometheus::federate::protobuf::{Family, Value};
use wire::prometheus::federate::{
    NameStyle, write_histogram, write_histogram_type, write_sample, write_type,
};

use super::labels::any_selectors;
use super::params::Params;
use super::reply::plain_error;
use crate::run_query::run_lookup;
use crate::state::State;

/// The newest sample of one series.
struct Newest {
    labels: Labels,
    value: f64,
    histogram: Option<Arc<Histogram>>,
    at_ms: i64,
}

impl Newest {
    fn metric(&self) -> &str {
        self.labels.get(METRIC_NAME).unwrap_or_default()
    }

    fn value(&self) -> Value<'_> {
        match &self.histogram {
            Some(histogram) => Value::Histogram(histogram),
            None => Value::Float(self.value),
        }
    }

    /// What a family has in common: neighbours with another are a family of their own.
    fn family(&self) -> (&str, Option<bool>) {
        let is_gauge = |one: &Arc<Histogram>| one.reset_hint == ResetHint::Gauge;
        (self.metric(), self.histogram.as_ref().map(is_gauge))
    }
}

/// The formats of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text(NameStyle),
    Protobuf(NameStyle),
}

/// The handler; errors are plain text here.
pub async fn federate(
    Extract(state): Extract<Arc<State>>,
    headers: HeaderMap,
    params: Params,
) -> Response {
    let selectors = match any_selectors(&params) {
        Ok(selectors) => selectors,
        Err(cause) => return plain_error(StatusCode::BAD_REQUEST, &cause),
    };
    let now_ms = state.clock.now_ms();
    // Left-open, as instant selectors are.
    let range = TimeRange::new(now_ms - state.settings.lookback_ms + 1, now_ms);
    let format = negotiate(&headers);
    let samples_max = state.settings.query_limits.read_samples_max();
    // Written by the same look-up, so that no more pages are made at once than series are read.
    let page = run_lookup(&state, move |source| {
        Ok(page(&newest(source, &selectors, range, samples_max)?, format))
    });
    match page.await {
        Ok(page) => page,
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            plain_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
        Err(error) => plain_error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// The first format that is known, the client's favourites first; the names' style is the last that was
/// named on the way.
fn negotiate(headers: &HeaderMap) -> Format {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let mut clauses: Vec<(f64, Vec<&str>)> = Vec::new();
    for clause in accept.unwrap_or_default().split(',') {
        let parts: Vec<&str> = clause.split(';').map(str::trim).collect();
        let quality = parts.iter().find_map(|part| part.strip_prefix("q="));
        clauses.push((quality.and_then(|text| text.parse().ok()).unwrap_or(1.0), parts));
    }
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut style = NameStyle::Underscores;
    for (_, parts) in &clauses {
        let value = |name: &str| {
            let pairs = parts.iter().filter_map(|part| part.split_once('='));
            pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or("")
        };
        style = NameStyle::from_name(value("escaping")).unwrap_or(style);
        let media = parts.first().copied().unwrap_or_default();
        let is_family = value("proto") == "io.prometheus.client.MetricFamily";
        if media == "application/vnd.google.protobuf"
            && is_family
            && value("encoding") == "delimited"
        {
            return Format::Protobuf(style);
        }
        if media == "text/plain" && matches!(value("version"), "" | "0.0.4") {
            return Format::Text(style);
        }
    }
    Format::Text(style)
}

fn newest(
    source: &dyn Source,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    samples_max: u64,
) -> Result<Vec<Newest>, SourceError> {
    let mut found = Vec::new();
    let mut samples = Samples::default();
    let hints = Hints { histograms: true, samples_max, ..Hints::default() };
    for matchers in selectors {
        let selection = source.select(matchers, range, &hints)?;
        let mut reader = selection.reader();
        for index in 0..selection.len() {
            reader.read_in_order(index, selection.len(), &mut samples)?;
            let Some(last) =
                samples.len().checked_sub(1).filter(|last| !samples.is_stale_at(*last))
            else {
                continue;
            };
            found.push(Newest {
                labels: selection.labels(index),
                value: samples.values[last],
                histogram: samples.histogram(last).cloned(),
                at_ms: samples.timestamps[last],
            });
        }
    }
    found.sort_by(|a, b| a.metric().cmp(b.metric()).then_with(|| a.labels.cmp(&b.labels)));
    found.dedup_by(|a, b| a.labels == b.labels);
    found.retain(|one| !one.metric().is_empty());
    Ok(found)
}

fn page(found: &[Newest], format: Format) -> Response {
    match format {
        Format::Text(style) => {
            let content_type =
                format!("text/plain; version=0.0.4; charset=utf-8; escaping={}", style.name());
            ([(header::CONTENT_TYPE, content_type)], text_page(found, style)).into_response()
        }
        Format::Protobuf(style) => {
            let content_type = format!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited; escaping={}",
                style.name()
            );
            ([(header::CONTENT_TYPE, content_type)], protobuf_page(found, style)).into_response()
        }
    }
}

/// Text has no native histograms; those with custom buckets are shown as classic ones.
fn text_page(found: &[Newest], style: NameStyle) -> String {
    let mut out = String::new();
    let is_shown =
        |one: &&Newest| one.histogram.as_ref().is_none_or(|histogram| histogram.is_custom());
    let shown: Vec<&Newest> = found.iter().filter(is_shown).collect();
    for family in shown.chunk_by(|a, b| a.family() == b.family()) {
        for (index, one) in family.iter().enumerate() {
            match (&one.histogram, index) {
                (None, 0) => write_type(&mut out, one.metric(), style),
                (Some(_), 0) => write_histogram_type(&mut out, one.metric(), style),
                _ => {}
            }
            match &one.histogram {
                None => write_sample(&mut out, one.labels.view(), one.value, one.at_ms, style),
                Some(histogram) => {
                    write_histogram(&mut out, one.labels.view(), histogram, one.at_ms, style);
                }
            }
        }
    }
    out
}

fn protobuf_page(found: &[Newest], style: NameStyle) -> Vec<u8> {
    let mut out = Vec::new();
    for members in found.chunk_by(|a, b| a.family() == b.family()) {
        let mut family = Family::open(members[0].metric(), members[0].value(), style);
        for one in members {
            family.push(one.labels.view(), one.value(), one.at_ms);
        }
        family.finish(&mut out);
    }
    out
}
