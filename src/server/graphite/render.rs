//! `/render`: targets to series, in `json`, `raw` or `csv`.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use exec::{Output, Value};
use lang::graphite::tagspec::tag_of;
use lang::graphite::time::wall_clock;
use lang::graphite::{LowerOptions, StepRules, lower};
use model::{ResultSeries, TenantId};
use wire::graphite::render::{self as encode, RenderSeries};

use super::params::Params;
use super::reply::{failure, invalid, json, style, text};
use crate::run_query::run_query;
use crate::state::State;

/// The window where the request names none.
const DEFAULT_WINDOW_S: i64 = 86_400;

/// How long a series is listed after its last sample, without values.
const KNOWN_S: i64 = 90 * 86_400;

/// The handler.
pub(super) async fn render(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let format = format(&params)?;
    let options = options(&state, &params, format)?;
    let targets = params.all("target");
    let targets = targets.iter().filter(|target| !target.trim().is_empty()).copied();
    let plan = lower(targets, &options).map_err(|error| failure(&error))?;
    let output =
        run_query(&state, plan, None, "graphite").await.map_err(|error| failure(&error))?;
    let series = series(output);
    let zone = params.zone();
    Ok(match format {
        "raw" => plain("text/plain", encode::raw(&series)),
        "csv" => plain("text/csv", encode::csv(&series, |time| wall_clock(time, &zone))),
        _ => {
            let style = style(&params);
            let no_null_points = params.get("noNullPoints").is_some();
            json(&params, style, encode::json(&series, no_null_points, style))
        }
    })
}

/// The plan of a render request with these parameters, for `explain`.
pub(crate) fn explain_plan(
    state: &State,
    params: Vec<(String, String)>,
    target: &str,
) -> Result<plan::Plan, Response> {
    let options = options(state, &Params::from_pairs(params), "json")?;
    lower([target], &options).map_err(|error| failure(&error))
}

fn plain(content_type: &'static str, body: String) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The format, of those that there are.
fn format(params: &Params) -> Result<&'static str, Response> {
    if let Some(kind) = params.get("graphType").filter(|kind| !["line", "pie"].contains(kind)) {
        return Err(invalid(&format!(
            "Invalid graphType '{kind}', must be one of ['line', 'pie']"
        )));
    }
    let asked = match params.get("format") {
        Some(format) => format,
        None if params.get("rawData").is_some() => "raw",
        None => "png",
    };
    ["json", "raw", "csv"].into_iter().find(|known| *known == asked).ok_or_else(|| {
        let reason = format!("format {asked:?} is not drawn here; use json, raw or csv");
        text(StatusCode::BAD_REQUEST, reason)
    })
}

fn options(state: &State, params: &Params, format: &str) -> Result<LowerOptions, Response> {
    let now_s = params.now_s(state.now_ms())?;
    let until_s = params.time("until", now_s)?.unwrap_or(now_s);
    let from_s = params.time("from", now_s)?.unwrap_or(now_s - DEFAULT_WINDOW_S);
    let (from_s, until_s) = (from_s.min(until_s), from_s.max(until_s));
    if from_s == until_s {
        return Err(invalid("Invalid empty time range"));
    }
    let share = params.get("xFilesFactor").map(str::parse::<f64>).transpose();
    let x_files_factor = share.map_err(|_| invalid("xFilesFactor is no number"))?.unwrap_or(0.0);
    params.integer("cacheTimeout")?;
    // Digits only; anything else, and 0, counts as not given.
    let points = params.get("maxDataPoints").filter(|text| format == "json" && !text.is_empty());
    let max_data_points = points.and_then(|text| text.parse().ok()).filter(|points| *points > 0);
    let steps = StepRules::parse(&state.settings.graphite_schemas, state.settings.graphite_step_ms)
        .map_err(|error| text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(LowerOptions {
        from_s,
        until_s,
        now_s,
        known_s: KNOWN_S,
        x_files_factor,
        max_data_points,
        templates: params.templates(),
        steps,
        tenant: TenantId::DEFAULT,
        limits: state.settings.query_limits,
        zone: params.zone(),
    })
}

fn series(output: Output) -> Vec<RenderSeries> {
    match output.value {
        Value::Vector(rows) => rows.iter().filter_map(render_series).collect(),
        Value::Scalar(_) | Value::Text(_) => Vec::new(),
    }
}

/// A row as Graphite shows it; every row of a render plan stands on a grid.
fn render_series(row: &ResultSeries) -> Option<RenderSeries> {
    let grid = row.grid?;
    let (start, step) = (grid.start_ms.div_euclid(1000), (grid.step_ms / 1000).max(1));
    let count = grid.len();
    let mut values = vec![None; count];
    for (time, value) in row.points.timestamps.iter().zip(&row.points.values) {
        let index = usize::try_from((time - grid.start_ms) / grid.step_ms);
        if let Some(slot) = index.ok().and_then(|index| values.get_mut(index)) {
            *slot = Some(*value);
        }
    }
    let tags = row.labels.iter().map(|(label, value)| (tag_of(label).to_owned(), value.to_owned()));
    Some(RenderSeries {
        name: row
            .title
            .as_deref()
            .map_or_else(|| model::identity::flat_name(&row.labels), str::to_owned),
        tags: tags.collect(),
        start,
        end: start + step * count as i64,
        step,
        values,
    })
}
