//! `GET /api/v1/explain`: the plan of a query in any language, and with `analyze=true` what running it
//! cost, node by node.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use model::StepGrid;
use plan::Plan;

use crate::prometheus::params::Params;
use crate::prometheus::query::{lower, lower_options, parse};
use crate::prometheus::reply::{bad_data, query_failure};
use crate::run_query::analyze_query;
use crate::state::State;

/// The one endpoint.
pub fn router() -> Router<Arc<State>> {
    Router::new().route("/api/v1/explain", get(explain).post(explain))
}

async fn explain(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let plan = plan_of(&state, &params).await?;
    let text = if params.get("analyze").is_some_and(|value| value == "true" || value == "1") {
        let output = analyze_query(&state, plan, params.timeout()?)
            .await
            .map_err(|error| query_failure(&error))?;
        let mut text = String::new();
        write_profile(&mut text, &output.profile, 0);
        let (read, peak) = (output.samples_read, output.peak_samples);
        text.push_str(&format!("samples read {read}, most held at once {peak}\n"));
        text
    } else {
        // As it runs: what is shared or the same at every step is marked.
        plan::rules::optimise(plan).to_string()
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Levels of a plan that are printed.
const LEVELS_MAX: usize = 4 * base::limits::QUERY_DEPTH_MAX;

async fn plan_of(state: &Arc<State>, params: &Params) -> Result<Plan, Response> {
    let plan = any_plan_of(state, params).await?;
    if plan::check::depth(&plan.root, LEVELS_MAX) >= LEVELS_MAX {
        return Err(bad_data(&format!("plan is too tall to print: {LEVELS_MAX} levels or more")));
    }
    Ok(plan)
}

async fn any_plan_of(state: &Arc<State>, params: &Params) -> Result<Plan, Response> {
    let query = params.get("query").unwrap_or_default();
    match params.get("lang").unwrap_or("promql") {
        "promql" => {
            let end_ms = params.time_or("end", state.now_ms())?;
            let start_ms = params.time_or("start", end_ms)?;
            let step_ms = params.duration_ms("step")?.unwrap_or(60_000);
            let grid = StepGrid::new(start_ms, end_ms, step_ms);
            let limits = state.limits_with(params.get("rollups"));
            let options = lower_options(state, grid, state.settings.lookback_ms, limits);
            let expr = parse(state, query)?;
            lower(&expr, &options)
        }
        "graphite" => crate::graphite::explain_plan(state, params.pairs().to_vec(), query).await,
        "opentsdb" => {
            let mut pairs = params.pairs().to_vec();
            if params.get("start").is_none() {
                pairs.push(("start".to_owned(), "1h-ago".to_owned()));
            }
            crate::opentsdb::explain_plan(state, &pairs, query)
                .map_err(|error| bad_data(&error.message))
        }
        other => {
            Err(bad_data(&format!("unknown lang {other:?}: known are promql, opentsdb, graphite")))
        }
    }
}

/// A line a node, children below their parent and further in.
fn write_profile(out: &mut String, profile: &exec::Profile, depth: usize) {
    let exec::Profile { node, rows, points, bytes, elapsed, children } = profile;
    out.push_str(&format!(
        "{:indent$}{node}  [{rows} rows, {points} points, {bytes} bytes, {elapsed:?}]\n",
        "",
        indent = depth * 2
    ));
    for child in children {
        write_profile(out, child, depth + 1);
    }
}
