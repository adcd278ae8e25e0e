//! What clients ask a Prometheus about itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use base::error::ErrorKind;
use lang::promql::print_duration;
use model::Pattern;
use serde_json::{Value, json};

use super::params::Params;
use super::reply::{bad_data, failure};
use crate::admin::PROMETHEUS_VERSION;
use crate::state::{BlockFigures, Counts, State};

/// 200 with `data`.
pub(super) fn data(value: &Value) -> Response {
    Json(json!({"status": "success", "data": value})).into_response()
}

/// `/status/walreplay`: the log is replayed before anything is answered, so it is always over.
pub async fn wal_replay() -> Response {
    data(&json!({"min": 0, "max": 0, "current": 0}))
}

/// `/status/buildinfo`. No `features`: Grafana would take the server for Mimir.
pub async fn build_info() -> Response {
    data(&json!({
        "version": PROMETHEUS_VERSION,
        "revision": concat!("tributary-", env!("CARGO_PKG_VERSION")),
        "branch": "HEAD",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    }))
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|instant| instant.to_string()).unwrap_or_default()
}

/// `/status/runtimeinfo`
pub async fn runtime_info(Extract(state): Extract<Arc<State>>) -> Response {
    let started = rfc3339(state.started_ms);
    data(&json!({
        "startTime": started,
        "CWD": std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default(),
        "hostname": std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim(),
        "serverTime": rfc3339(state.now_ms()),
        "reloadConfigSuccess": true,
        "lastConfigTime": started,
        "corruptionCount": state.metrics.corrupt_sections.get(),
        "goroutineCount": 0,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": state.settings.retention_ms.map(print_duration).unwrap_or_default(),
    }))
}

/// `/status/config`
pub async fn config(Extract(state): Extract<Arc<State>>) -> Response {
    data(&json!({"yaml": state.settings.config_text}))
}

/// `/status/flags`: Prometheus's flags as far as they mean something here.
pub async fn flags(Extract(state): Extract<Arc<State>>) -> Response {
    let settings = &state.settings;
    data(&json!({
        "enable-feature": settings.enabled_features,
        "query.lookback-delta": print_duration(settings.lookback_ms),
        "query.max-concurrency": settings.turns.running_max.to_string(),
        "query.max-samples": settings.query_limits.samples_max.to_string(),
        "query.timeout": print_duration(i64::try_from(settings.query_timeout_ms).unwrap_or(0)),
        "storage.tsdb.retention.time": print_duration(settings.retention_ms.unwrap_or(0)),
        "web.enable-admin-api": settings.prometheus_admin_api.to_string(),
        "web.enable-lifecycle": "false",
        "web.enable-otlp-receiver": "true",
        "web.enable-remote-write-receiver": "true",
        "web.search.max-limit": settings.search.limit_max.to_string(),
    }))
}

/// `/status/tsdb`: the head, counted by metric, label and pair.
pub async fn tsdb(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let limit = match params.get("limit") {
        None => 10,
        Some(text) => match text.parse::<i64>() {
            Ok(number) if number > 10_000 => return Err(bad_data("limit must not exceed 10000")),
            Ok(number) if number >= 1 => number as usize,
            _ => return Err(bad_data("limit must be a positive number")),
        },
    };
    let status = Arc::clone(&state.status);
    let labels = tokio::task::spawn_blocking(move || status.labels(limit))
        .await
        .map_err(|panic| failure(ErrorKind::Internal, &panic.to_string()))?;
    let figures = state.status.status();
    let (min, max) = figures.time_range_ms.unwrap_or((i64::MAX, i64::MIN));
    let list = |counts: Counts| -> Vec<Value> {
        let counts = counts.into_iter();
        counts.map(|(name, value)| json!({"name": name, "value": value})).collect()
    };
    Ok(data(&json!({
        "headStats": {
            "numSeries": figures.series,
            "numLabelPairs": labels.pairs,
            "chunkCount": figures.head_chunks,
            "minTime": min,
            "maxTime": max,
        },
        "seriesCountByMetricName": list(labels.metrics),
        "labelValueCountByLabelName": list(labels.values),
        "memoryInBytesByLabelName": list(labels.bytes),
        "seriesCountByLabelValuePair": list(labels.series),
    })))
}

/// `/status/tsdb/blocks`. The upper end of a block's time is open, as there.
pub async fn blocks(Extract(state): Extract<Arc<State>>) -> Response {
    let block = |block: BlockFigures| {
        json!({
            "ulid": block.id,
            "minTime": block.time_range_ms.0,
            "maxTime": block.time_range_ms.1.saturating_add(1),
            "stats": {
                "numSamples": block.samples,
                "numSeries": block.series,
                "numChunks": block.chunks,
            },
            "compaction": {"level": block.level + 1, "sources": block.sources},
            "version": block.version,
        })
    };
    let blocks: Vec<Value> = state.status.blocks().into_iter().map(block).collect();
    data(&json!({"blocks": blocks}))
}

/// `/status/self_metrics`: this program's own metrics, as protobuf's JSON spells families.
pub async fn self_metrics(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let pattern = params.get("metric_name_pattern").unwrap_or(".*");
    let pattern = Pattern::new(pattern)
        .map_err(|error| bad_data(&format!("invalid metric_name_pattern: {error}")))?;
    let families = own_families(&state.metrics.expose());
    let shown: Vec<Value> = families
        .into_iter()
        .filter(|family| pattern.is_match(family["name"].as_str().unwrap_or_default()))
        .collect();
    Ok(data(&Value::Array(shown)))
}

/// The families of a text page of simple metrics.
fn own_families(page: &str) -> Vec<Value> {
    let mut families: Vec<Value> = Vec::new();
    let mut help = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let kind = kind.to_uppercase();
            families.push(json!({"name": name, "help": help, "type": kind, "metric": []}));
        } else if let Some(family) = families.last_mut() {
            push_own_sample(family, line);
        }
    }
    families.retain(|family| family["metric"].as_array().is_some_and(|list| !list.is_empty()));
    families
}

/// Adds the sample of a line to its family; sums and counts of histograms are those of the family.
fn push_own_sample(family: &mut Value, line: &str) {
    let Some((series, value)) = line.rsplit_once(' ') else { return };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let Ok(value) = value.parse::<f64>() else { return };
    let pairs: Vec<Value> = labels
        .trim_end_matches('}')
        .split("\",")
        .filter_map(|pair| pair.split_once("=\""))
        .map(|(name, value)| json!({"name": name, "value": value.trim_end_matches('"')}))
        .collect();
    let is_own = family["name"] == name;
    let kind = match family["type"].as_str() {
        Some("COUNTER") => "counter",
        Some("GAUGE") => "gauge",
        _ if is_own => "untyped",
        _ => return push_histogram_part(family, name, &pairs, value),
    };
    let mut metric = json!({kind: {"value": value}});
    if !pairs.is_empty() {
        metric["label"] = Value::Array(pairs);
    }
    if let Some(list) = family["metric"].as_array_mut() {
        list.push(metric);
    }
}

fn push_histogram_part(family: &mut Value, name: &str, pairs: &[Value], value: f64) {
    let Some(list) = family["metric"].as_array_mut() else { return };
    if list.is_empty() {
        list.push(json!({"histogram": {"bucket": []}}));
    }
    let histogram = &mut list[0]["histogram"];
    // Protobuf's JSON writes 64-bit integers as texts.
    let count = format!("{value}");
    if name.ends_with("_sum") {
        histogram["sampleSum"] = json!(value);
    } else if name.ends_with("_count") {
        histogram["sampleCount"] = json!(count);
    } else if let Some(bound) = pairs.iter().find(|pair| pair["name"] == "le") {
        let bound = bound["value"].as_str().unwrap_or_default();
        let bound = match bound.parse::<f64>() {
            Ok(bound) if bound.is_finite() => json!(bound),
            _ => json!("Infinity"),
        };
        if let Some(buckets) = histogram["bucket"].as_array_mut() {
            buckets.push(json!({"cumulativeCount": count, "upperBound": bound}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_metrics_become_families() {
        let page = "# HELP a_total What a is.\n# TYPE a_total counter\na_total{x=\"1\",y=\"2\"} 3\n\
                    # HELP h_seconds Time.\n# TYPE h_seconds histogram\n\
                    h_seconds_bucket{le=\"0.5\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n\
                    h_seconds_sum 1.5\nh_seconds_count 2\n";
        let families = own_families(page);
        assert_eq!(families[0]["type"], "COUNTER");
        assert_eq!(families[0]["metric"][0]["label"][1], json!({"name": "y", "value": "2"}));
        assert_eq!(families[0]["metric"][0]["counter"]["value"], 3.0);
        let histogram = &families[1]["metric"][0]["histogram"];
        assert_eq!(histogram["sampleCount"], "2");
        assert_eq!(histogram["bucket"][1]["upperBound"], "Infinity");
    }
}
