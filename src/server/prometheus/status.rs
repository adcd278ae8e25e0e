//! What clients ask a Prometheus about itself. Things this server does not have (rules, alerts,
//! targets) answer well-formed and empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use model::{TenantId, TimeRange};
use serde_json::{Value, json};

use super::params::{Params, invalid};
use super::reply::query_failure;
use crate::admin::PROMETHEUS_VERSION;
use crate::run_query::run_lookup;
use crate::state::State;

fn data(value: &Value) -> Response {
    Json(json!({"status": "success", "data": value})).into_response()
}

/// `/rules`
pub async fn rules() -> Response {
    data(&json!({"groups": []}))
}

/// `/alerts`
pub async fn alerts() -> Response {
    data(&json!({"alerts": []}))
}

/// `/targets`: nothing is scraped.
pub async fn targets() -> Response {
    data(&json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}))
}

/// `/targets/metadata`
pub async fn targets_metadata() -> Response {
    data(&json!([]))
}

/// `/scrape_pools`
pub async fn scrape_pools() -> Response {
    data(&json!({"scrapePools": []}))
}

/// `/alertmanagers`
pub async fn alertmanagers() -> Response {
    data(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}

/// `/notifications`
pub async fn notifications() -> Response {
    data(&json!([]))
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
        "storageRetention": "",
    }))
}

/// `/status/config`
pub async fn config(Extract(state): Extract<Arc<State>>) -> Response {
    data(&json!({"yaml": state.settings.config_text}))
}

/// `/status/flags`
pub async fn flags() -> Response {
    data(&json!({}))
}

/// `/status/tsdb`: counts of series by metric, label and pair.
pub async fn tsdb(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let limit = match params.get("limit") {
        None => 10,
        Some(text) => match text.parse::<usize>() {
            Ok(0) | Err(_) => return Err(invalid("limit", "limit must be a positive number")),
            Ok(number) if number > 10_000 => {
                return Err(invalid("limit", "limit must not exceed 10000"));
            }
            Ok(number) => number,
        },
    };
    let counts = run_lookup(&state, move |source| {
        let mut by_label = BTreeMap::new();
        for name in source.label_names(TenantId::DEFAULT, &[], TimeRange::ALL)? {
            let values =
                source.label_values(TenantId::DEFAULT, &name, &[], TimeRange::ALL, "", 0)?;
            by_label.insert(name, values.len());
        }
        Ok(by_label)
    })
    .await
    .map_err(|error| query_failure(&error))?;
    let figures = state.status.status();
    let (min, max) = figures.time_range_ms.unwrap_or((i64::MAX, i64::MIN));
    let pairs: usize = counts.values().sum();
    let mut by_label: Vec<(String, usize)> = counts.into_iter().collect();
    by_label.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    by_label.truncate(limit);
    let by_label: Vec<Value> =
        by_label.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    Ok(data(&json!({
        "headStats": {
            "numSeries": figures.series,
            "numLabelPairs": pairs,
            "minTime": min,
            "maxTime": max,
        },
        "seriesCountByMetricName": [],
        "labelValueCountByLabelName": by_label,
        "memoryInBytesByLabelName": [],
        "seriesCountByLabelValuePair": [],
    })))
}
