//! `/features`: what this server can, in the categories of Prometheus 3.14.
//!
//! Unlike other answers this one is not escaped for HTML, so operators stand as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use serde_json::json;

use super::status::data;
use crate::state::State;

/// Operators and aggregations that no flag is needed for.
const OPERATORS: [&str; 33] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];

type Switches = BTreeMap<&'static str, bool>;

/// The handler.
pub async fn features(Extract(state): Extract<Arc<State>>) -> Response {
    let settings = &state.settings;
    let language = settings.promql.features;
    let functions: Switches = lang::promql::functions::all()
        .map(|function| (function.name, is_on(function, language)))
        .collect();
    let mut operators: Switches = OPERATORS.into_iter().map(|name| (name, true)).collect();
    for name in ["limitk", "limit_ratio"] {
        operators.insert(name, language.experimental_functions);
    }
    data(&json!({
        "api": {
            "admin": settings.prometheus_admin_api,
            "exclude_alerts": true,
            "label_values_match": true,
            "lifecycle": false,
            "otlp_write_receiver": true,
            "query_stats": true,
            "query_warnings": true,
            "remote_write_receiver": true,
            "search": settings.search.is_on,
            "search_fuzz_alg_jarowinkler": true,
            "search_fuzz_alg_subsequence": true,
            "time_range_labels": true,
            "time_range_series": true,
        },
        "otlp_receiver": {
            "delta_conversion": settings.otlp.converts_delta,
            "native_delta_ingestion": settings.otlp.translation.takes_delta,
        },
        "prometheus": {
            "agent_mode": false,
            "auto_reload_config": false,
            "server_mode": true,
        },
        "promql": {
            "anchored": language.extended_selectors,
            "at_modifier": true,
            "bool": true,
            "by": true,
            "delayed_name_removal": language.delayed_name_removal,
            "duration_expr": true,
            "fill": language.fill_modifiers,
            "fill_left": language.fill_modifiers,
            "fill_right": language.fill_modifiers,
            "group_left": true,
            "group_right": true,
            "ignoring": true,
            "negative_offset": true,
            "offset": true,
            "on": true,
            "per_query_lookback_delta": true,
            "per_step_stats": settings.promql.per_step_stats,
            "smoothed": language.extended_selectors,
            "subqueries": true,
            "type_and_unit_labels": language.type_and_unit_labels,
            "without": true,
        },
        "promql_functions": functions,
        "promql_operators": operators,
    }))
}

fn is_on(function: &lang::promql::functions::Signature, language: lang::promql::Features) -> bool {
    match function.name {
        "start_timestamp" => language.start_timestamps,
        _ => !function.is_experimental || language.experimental_functions,
    }
}
