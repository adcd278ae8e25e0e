//! `/q`, the query of the time before the API: lines of text, or a few figures.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use exec::Value;
use lang::opentsdb::{Request as Asked, lower_rows, validate};
use model::{METRIC_NAME, ResultSeries, TenantId};
use plan::Plan;
use wire::opentsdb::query_json::{push_double, push_integer, push_texts};

use super::params::Params;
use super::query_names::resolution;
use super::reply::{Refusal, Reply};
use crate::run_query::run_query;
use crate::state::State;

/// The handler; `raw` is what stands behind the `?`.
pub(super) async fn old_query(
    state: &Arc<State>,
    params: &Params,
    raw: &str,
) -> Result<Response, Refusal> {
    if !params.has("ascii") && !params.has("json") {
        if params.has("png") {
            return Err(Refusal::bad("Graphs are not drawn here: ask for ascii or json"));
        }
        return Ok(redirect(raw));
    }
    let started = Instant::now();
    let rows = rows(state, params).await?;
    if params.has("json") {
        let reply = Reply::ok(figures(&rows, started.elapsed().as_millis()));
        return Ok(reply.into_old_response());
    }
    let mut out = Vec::new();
    rows.iter().flatten().for_each(|row| push_lines(&mut out, row));
    Ok(([(header::CONTENT_TYPE, "text/plain")], out).into_response())
}

/// The page that sends a browser to the front page with the question behind the `#`.
fn redirect(raw: &str) -> Response {
    let raw = raw.replace('"', "%22").replace('<', "%3C").replace('>', "%3E");
    let page = format!(
        "<html></head><meta http-equiv=\"refresh\" content=\"0; url=/#{raw}\"></head></html>"
    );
    let kind = (header::CONTENT_TYPE, "text/html; charset=UTF-8".to_owned());
    // The original gives the place twice, and answers 200 all the same.
    let headers = [kind, (header::LOCATION, format!("/#{raw}"))];
    (StatusCode::OK, headers, page).into_response()
}

/// The rows of every sub-query over all hours that were read, as the original shows them.
async fn rows(state: &Arc<State>, params: &Params) -> Result<Vec<Vec<ResultSeries>>, Refusal> {
    let mut asked = Asked::from_params(&params.0)?;
    asked.timezone = params.get("tz").map(str::to_owned);
    let query = validate(asked, state.now_ms())?;
    let mut all = Vec::with_capacity(query.queries.len());
    for sub in &query.queries {
        let resolution = resolution(state, sub).await;
        // Names that do not exist are no mapped error here.
        let resolution = resolution.map_err(|error| Refusal::internal(error.message()))?;
        let root = lower_rows(&query, sub, &resolution, TenantId::DEFAULT)?;
        let plan = Plan { root, limits: state.settings.query_limits };
        if let Value::Vector(rows) = run_query(state, plan, None, "opentsdb").await?.value {
            all.push(rows);
        }
    }
    Ok(all)
}

/// `metric time value key=value …`, a line a point.
fn push_lines(out: &mut Vec<u8>, row: &ResultSeries) {
    let points = &row.points;
    for (index, (at_ms, value)) in points.timestamps.iter().zip(&points.values).enumerate() {
        if value.is_nan() {
            continue;
        }
        out.extend_from_slice(row.labels.metric_name().unwrap_or_default().as_bytes());
        out.push(b' ');
        push_integer(out, if at_ms % 1000 == 0 { at_ms / 1000 } else { *at_ms });
        out.push(b' ');
        match points.integers.get(index).copied().flatten() {
            Some(integer) => push_integer(out, integer),
            None => push_double(out, *value),
        }
        for (name, value) in row.labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            out.extend_from_slice(format!(" {name}={value}").as_bytes());
        }
        out.push(b'\n');
    }
}

fn figures(rows: &[Vec<ResultSeries>], elapsed_ms: u128) -> Vec<u8> {
    let points: usize = rows.iter().flatten().map(|row| row.points.values.len()).sum();
    let mut out = format!("{{\"plotted\":{points},\"points\":{points},\"etags\":[").into_bytes();
    for (index, rows) in rows.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let tags: std::collections::BTreeSet<&str> =
            rows.iter().flat_map(|row| row.disagreeing.iter().map(String::as_str)).collect();
        push_texts(&mut out, tags);
    }
    out.extend_from_slice(format!("],\"timing\":{elapsed_ms}}}").as_bytes());
    out
}
