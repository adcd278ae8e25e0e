//! What an answer says about its question: the sub-query, and figures.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use lang::opentsdb::Checked;
use model::ResultSeries;
use wire::opentsdb::query_json::{push_double, push_integer, push_tags, push_text, push_texts};

/// The sub-query as the original prints it; `filter_keys` are the numbers of its filters' keys.
pub(super) fn sub_query(sub: &Checked, index: usize, filter_keys: &[Vec<u8>]) -> Vec<u8> {
    let query = &sub.query;
    let mut out = b"{\"aggregator\":".to_vec();
    push_text(&mut out, query.aggregator.as_deref().unwrap_or_default());
    out.extend_from_slice(b",\"metric\":");
    if query.tsuids.is_empty() {
        push_text(&mut out, &sub.metric);
        out.extend_from_slice(b",\"tsuids\":null");
    } else {
        out.extend_from_slice(b"null,\"tsuids\":");
        push_texts(&mut out, query.tsuids.iter().map(String::as_str));
    }
    out.extend_from_slice(b",\"downsample\":");
    match &query.downsample {
        Some(downsample) => push_text(&mut out, downsample),
        None => out.extend_from_slice(b"null"),
    }
    push_flag(&mut out, "rate", query.rate);
    push_filters(&mut out, sub);
    out.extend_from_slice(b",\"percentiles\":");
    push_percentiles(&mut out, query.percentiles.as_deref());
    out.extend_from_slice(b",\"index\":");
    push_integer(&mut out, index as i64);
    out.extend_from_slice(b",\"rollupTable\":\"raw\",\"rateOptions\":");
    match query.rate_options {
        None => out.extend_from_slice(b"null"),
        Some(options) => {
            out.extend_from_slice(format!("{{\"counter\":{}", options.counter).as_bytes());
            out.extend_from_slice(b",\"resetValue\":");
            push_integer(&mut out, options.reset_value);
            push_flag(&mut out, "dropResets", options.drop_resets);
            out.extend_from_slice(b",\"counterMax\":");
            push_integer(&mut out, options.counter_max);
            out.push(b'}');
        }
    }
    out.extend_from_slice(b",\"filterTagKs\":");
    if filter_keys.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        let texts: Vec<String> = filter_keys.iter().map(|key| STANDARD.encode(key)).collect();
        push_texts(&mut out, texts.iter().map(String::as_str));
    }
    push_flag(&mut out, "explicitTags", query.explicit_tags);
    push_flag(&mut out, "useFuzzyFilter", true);
    push_flag(&mut out, "preAggregate", query.pre_aggregate);
    out.extend_from_slice(b",\"rollupUsage\":");
    match &query.rollup_usage {
        Some(usage) => push_text(&mut out, usage),
        None => out.extend_from_slice(b"null"),
    }
    push_flag(&mut out, "showHistogramBuckets", query.show_buckets);
    push_flag(&mut out, "useMultiGets", true);
    push_group_tags(&mut out, sub);
    push_flag(&mut out, "histogramQuery", query.is_histogram());
    out.push(b'}');
    out
}

fn push_flag(out: &mut Vec<u8>, name: &str, flag: bool) {
    out.extend_from_slice(format!(",\"{name}\":{flag}").as_bytes());
}

fn push_percentiles(out: &mut Vec<u8>, percentiles: Option<&[f64]>) {
    let Some(percentiles) = percentiles else { return out.extend_from_slice(b"null") };
    out.push(b'[');
    for (index, percentile) in percentiles.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_double(out, *percentile);
    }
    out.push(b']');
}

fn push_filters(out: &mut Vec<u8>, sub: &Checked) {
    out.extend_from_slice(b",\"filters\":[");
    let mut filters: Vec<_> = sub.query.filters.iter().collect();
    filters.sort_by(|left, right| left.tagk.cmp(&right.tagk));
    for (index, filter) in filters.into_iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",{\"tagk\":" } else { b"{\"tagk\":" });
        push_text(out, &filter.tagk);
        out.extend_from_slice(b",\"filter\":");
        push_text(out, &filter.text);
        push_flag(out, "group_by", filter.group_by);
        out.extend_from_slice(b",\"type\":");
        push_text(out, filter.kind.name());
        out.push(b'}');
    }
    out.push(b']');
}

fn push_group_tags(out: &mut Vec<u8>, sub: &Checked) {
    let groups = sub.query.filters.iter().filter(|filter| filter.group_by);
    let tags: Vec<(&str, String)> = groups
        .map(|filter| (filter.tagk.as_str(), format!("{}({})", filter.kind.name(), filter.text)))
        .collect();
    out.extend_from_slice(b",\"tags\":");
    push_tags(out, tags.iter().map(|(key, value)| (*key, value.as_str())));
}

/// Figures of one sub-query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Its place in the request.
    pub(super) index: usize,
    points: usize,
    elapsed: Duration,
}

impl Figures {
    /// Of what a sub-query answered.
    pub(super) fn new(index: usize, rows: &[ResultSeries], elapsed: Duration) -> Self {
        let points = rows.iter().map(|row| row.points.values.len()).sum();
        Self { index, points, elapsed }
    }

    /// The figures that are known, under the original's names; times in milliseconds.
    pub(super) fn to_json(self) -> Vec<u8> {
        let mut out = format!("{{\"queryIndex\":{}", self.index).into_bytes();
        out.extend_from_slice(format!(",\"emittedDPs\":{}", self.points).as_bytes());
        out.extend_from_slice(b",\"aggregationTime\":");
        push_double(&mut out, self.elapsed.as_secs_f64() * 1e3);
        out.push(b'}');
        out
    }
}

/// Figures of a whole request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    points: usize,
    elapsed: Duration,
    longest: Duration,
    queries: u32,
}

impl Totals {
    /// Adds a sub-query.
    pub(super) fn add(&mut self, figures: &Figures) {
        self.points += figures.points;
        self.elapsed += figures.elapsed;
        self.longest = self.longest.max(figures.elapsed);
        self.queries += 1;
    }

    /// Writes the last element of an answer.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let average = self.elapsed / self.queries.max(1);
        out.extend_from_slice(b"{\"statsSummary\":{\"avgAggregationTime\":");
        push_double(out, average.as_secs_f64() * 1e3);
        out.extend_from_slice(b",\"maxAggregationTime\":");
        push_double(out, self.longest.as_secs_f64() * 1e3);
        out.extend_from_slice(format!(",\"emittedDPs\":{}}}}}", self.points).as_bytes());
    }
}
