//! `/render`: targets to series, as data in seven formats or drawn.

pub(super) mod request;

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::header;
use axum::response::Response;
use exec::{Output, Value};
use lang::graphite::lower_probing;
use lang::graphite::tagspec::tag_of;
use lang::graphite::time::wall_clock;
use model::ResultSeries;
use plan::RowStyle;
use plan::semantics::Reducer;
use wire::graphite::pack::{MsgPack, Pickle};
use wire::graphite::render::{self as encode, RenderSeries};

use self::request::{Caching, Format, Request};
use super::draw;
use super::params::Params;
use super::reply::{failure, invalid, json, style, typed};
use crate::answers;
use crate::run_query::{Asking, run_planned};
use crate::state::State;

/// The handler.
pub(super) async fn render(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let request = Request::new(&state, &params)?;
    let (targets, options) = (request.targets(&params), request.options.clone());
    let output = run_planned(&state, "graphite", move |asking| {
        lower_probing(targets.iter().map(String::as_str), &options, asking)
    });
    let output = output.await.map_err(|error| failure(&error))?;
    let output = output.map_err(|error| failure(&error))?;
    let response = match request.format {
        Format::Png | Format::Svg => draw::answer(&params, &request, output).await?,
        _ => {
            let claim = answers::claim(&state, output.rows()).map_err(|error| failure(&error))?;
            let response = data(&params, &request, &series(output))?;
            drop(claim);
            response
        }
    };
    Ok(cached(response, request.caching, state.now_ms()))
}

/// The plan of a render request with these parameters, for `explain`.
pub(crate) async fn explain_plan(
    state: &Arc<State>,
    params: Vec<(String, String)>,
    target: &str,
) -> Result<plan::Plan, Response> {
    let options = request::options(state, &Params::from_pairs(params), Format::Json)?;
    let (state, target) = (Arc::clone(state), target.to_owned());
    let planned = tokio::task::spawn_blocking(move || {
        lower_probing([target.as_str()], &options, &Asking::of(&state))
    });
    match planned.await {
        Ok(plan) => plan.map_err(|error| failure(&error)),
        Err(panic) => Err(failure(&crate::run_query::QueryError::Panicked(panic.to_string()))),
    }
}

fn data(params: &Params, request: &Request, series: &[RenderSeries]) -> Result<Response, Response> {
    let style = style(params);
    Ok(match request.format {
        Format::Raw => typed("text/plain", encode::raw(series)),
        Format::Csv => {
            let zone = params.zone();
            typed("text/csv", encode::csv(series, |time| wall_clock(time, &zone)))
        }
        Format::Dygraph => match encode::dygraph(series, style) {
            Some(body) => json(params, style, body),
            None => return Err(invalid("dygraph shows series of one start, end and step only")),
        },
        Format::Rickshaw => json(params, style, encode::rickshaw(series, style)),
        Format::Pickle => typed("application/pickle", encode::packed(series, Pickle::boxed())),
        Format::MsgPack => typed("application/x-msgpack", encode::packed(series, MsgPack::boxed())),
        _ => {
            let no_null_points = params.get("noNullPoints").is_some();
            json(params, style, encode::json(series, no_null_points, style))
        }
    })
}

/// Says how long the answer may be kept.
fn cached(mut response: Response, caching: Caching, now_ms: i64) -> Response {
    let headers = response.headers_mut();
    let (control, until_ms) = match caching {
        Caching::Seconds(seconds) => (format!("max-age={seconds}"), now_ms + seconds * 1000),
        Caching::Never => {
            ("max-age=0, no-cache, no-store, must-revalidate, private".to_owned(), now_ms)
        }
    };
    for (name, text) in [(header::CACHE_CONTROL, control), (header::EXPIRES, http_date(until_ms))] {
        if let Ok(value) = text.parse() {
            headers.insert(name, value);
        }
    }
    response
}

fn http_date(at_ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The rows of an answer, each with its style.
pub(super) fn rows(output: Output) -> Vec<(ResultSeries, Option<Arc<RowStyle>>)> {
    let Value::Vector(rows) = output.value else { return Vec::new() };
    let styles = output.styles.into_iter().chain(std::iter::repeat(None));
    rows.into_iter().zip(styles).collect()
}

fn series(output: Output) -> Vec<RenderSeries> {
    let rows = rows(output);
    rows.iter().filter_map(|(row, style)| render_series(row, style.as_deref())).collect()
}

/// A row as Graphite shows it; every row of a render plan stands on a grid.
pub(super) fn render_series(row: &ResultSeries, style: Option<&RowStyle>) -> Option<RenderSeries> {
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
    let name =
        row.title.as_deref().map_or_else(|| model::identity::flat_name(&row.labels), str::to_owned);
    Some(RenderSeries {
        expression: style.map_or_else(|| name.clone(), |style| style.expression.to_string()),
        consolidation: style
            .map_or("average", |style| reducer_name(&style.consolidation))
            .to_owned(),
        x_files_factor: style.map_or(0.0, |style| style.present_min.0),
        name,
        tags: tags.collect(),
        start,
        end: start + step * count as i64,
        step,
        values,
    })
}

/// What Graphite calls a way of merging points.
fn reducer_name(reducer: &Reducer) -> &'static str {
    match reducer {
        Reducer::AverageOfSlots => "avg_zero",
        Reducer::Count => "count",
        Reducer::First => "first",
        Reducer::Last => "last",
        Reducer::Max => "max",
        Reducer::Median { .. } => "median",
        Reducer::Min => "min",
        Reducer::Product(_) => "multiply",
        Reducer::Range => "range",
        Reducer::StdDev(_) => "stddev",
        Reducer::Subtract => "diff",
        Reducer::Sum(_) => "sum",
        _ => "average",
    }
}
