//! Things that this server does not have: targets, rules, alerts, alertmanagers. The answers are
//! well-formed and empty; parameters are checked as Prometheus checks them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::params::{Params, invalid, parse_form};
use super::reply::bad_data;
use super::status::data;
use crate::state::State;

/// `/rules`
pub async fn rules(params: Params) -> Result<Response, Response> {
    params.well_formed()?;
    for selector in params.all("match[]") {
        lang::promql::parse_selector(selector).map_err(|error| bad_data(&error.to_string()))?;
    }
    let kind = params.get("type").unwrap_or_default();
    if !matches!(kind.to_lowercase().as_str(), "" | "alert" | "record") {
        let kind = kind.to_lowercase();
        return Err(invalid("type", &format!("not supported value {kind:?}")));
    }
    if let Some(text) = params.get("exclude_alerts").map(str::to_lowercase)
        && parse_bool(&text).is_none()
    {
        let cause = format!(
            "error converting exclude_alerts: strconv.ParseBool: parsing {text:?}: invalid syntax"
        );
        return Err(invalid("exclude_alerts", &cause));
    }
    let limit = params.get("group_limit");
    if let Some(text) = limit {
        let name = "group_limit";
        let number: i64 = text.parse().map_err(|_| {
            let cause = format!(
                "{name} needs to be a valid number: strconv.ParseInt: parsing {text:?}: invalid \
                 syntax"
            );
            invalid(name, &cause)
        })?;
        if number <= 0 {
            return Err(invalid(name, "group_limit needs to be greater than 0"));
        }
    }
    let token = params.get("group_next_token");
    if limit.is_none() && token.is_some() {
        let cause = "group_limit needs to be present in order to paginate over the groups";
        return Err(invalid("group_next_token", cause));
    }
    if let Some(token) = token {
        let cause = format!("invalid group_next_token '{token}'. were rule groups changed?");
        return Err(invalid("group_next_token", &cause));
    }
    Ok(data(&json!({"groups": []})))
}

/// What Go's `strconv.ParseBool` takes.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `/alerts`
pub async fn alerts() -> Response {
    data(&json!({"alerts": []}))
}

/// `/targets`: nothing is scraped. Only the URL is read, also where there is a form.
pub async fn targets(request: Request) -> Response {
    let pairs = parse_form(request.uri().query().unwrap_or_default().as_bytes());
    let state = pairs.iter().find(|(name, _)| name == "state").map_or("", |(_, value)| value);
    let shows_dropped = matches!(state.to_lowercase().as_str(), "" | "any" | "dropped");
    let counts = if shows_dropped { json!({}) } else { Value::Null };
    data(&json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": counts}))
}

/// `/targets/metadata`
pub async fn metadata(params: Params) -> Result<Response, Response> {
    if params.get("limit").is_some_and(|text| text.parse::<i64>().is_err()) {
        return Err(bad_data("limit must be a number"));
    }
    if let Some(text) = params.get("match_target") {
        lang::promql::parse_any_selector(text)
            .map_err(|error| invalid("match_target", &error.to_string()))?;
    }
    Ok(data(&json!([])))
}

/// `/targets/relabel_steps`: there is no pool, so every name of one is wrong.
pub async fn relabel_steps(params: Params) -> Response {
    let Some(pool) = params.get("scrapePool") else {
        return bad_data("no scrapePool parameter provided");
    };
    let Some(labels) = params.get("labels") else {
        return bad_data("no labels parameter provided");
    };
    if let Err(error) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(labels) {
        let cause = if error.is_eof() {
            "unexpected end of JSON input".to_owned()
        } else {
            error.to_string()
        };
        return bad_data(&format!("error parsing labels: {cause}"));
    }
    no_such_pool(pool)
}

fn no_such_pool(pool: &str) -> Response {
    bad_data(&format!("error retrieving scrape config: scrape pool {pool:?} not found"))
}

/// `/scrape_pools`
pub async fn scrape_pools() -> Response {
    data(&json!({"scrapePools": []}))
}

/// `/scrape_pools/config`
pub async fn scrape_pool_config(params: Params) -> Response {
    match params.get("scrapePool") {
        None => bad_data("no scrapePool parameter provided"),
        Some(pool) => no_such_pool(pool),
    }
}

/// `/alertmanagers`
pub async fn alertmanagers() -> Response {
    data(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}

/// `/notifications`
pub async fn notifications() -> Response {
    data(&json!([]))
}

/// `/notifications/live`: a stream of events in which nothing ever happens; it ends with the server.
pub async fn live_notifications(Extract(state): Extract<Arc<State>>) -> Response {
    let ready = futures::stream::unfold(state, |state| async move {
        while state.is_ready() {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        None::<(Result<Vec<u8>, std::io::Error>, Arc<State>)>
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(ready)).into_response()
}
