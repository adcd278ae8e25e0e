//! `query`, `query_range`, `query_exemplars`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State as Extract;
use axum::response::{IntoResponse as _, Response};
use base::error::ErrorKind;
use exec::{Output, StepCounts, Value};
use lang::promql::{Expr, LowerOptions, ValueType};
use model::{ResultSeries, StepGrid, TenantId, TimeRange};
use plan::{Annotation, Level, Plan};
use wire::prometheus::query_json::{self, SeriesBody, Shape};

use super::params::{Params, invalid};
use super::reply::{Notes, TRUNCATED, bad_data, failure, pieces, query_failure, success};
use crate::run_query::{Measuring, run_counted};
use crate::state::{QueryLimits, State};

/// Most steps of a range query: one more than the steps between them.
const STEPS_BETWEEN_MAX: i64 = base::limits::QUERY_STEPS_MAX as i64;
/// Warnings and infos listed one by one; the rest is counted.
const ANNOTATIONS_MAX: usize = 10;

/// What both kinds of queries read from their parameters.
struct Asked {
    query: String,
    limit: usize,
    timeout: Option<Duration>,
    lookback_ms: i64,
    limits: QueryLimits,
    stats: Option<PerStep>,
    started: Instant,
}

/// Whether `stats` show single steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PerStep {
    Shown,
    Left,
}

impl Asked {
    fn read(state: &State, params: &Params) -> Result<Self, Response> {
        let lookback_ms = match params.get("lookback_delta") {
            None => state.settings.lookback_ms,
            Some(text) => match super::params::parse_duration(text) {
                Ok(0) => state.settings.lookback_ms,
                Ok(lookback_ms) => lookback_ms,
                Err(cause) => {
                    let text = format!("error parsing lookback delta duration: {cause}");
                    return Err(bad_data(&text));
                }
            },
        };
        Ok(Self {
            query: params.get("query").unwrap_or_default().to_owned(),
            limit: 0,
            timeout: params.timeout()?,
            lookback_ms,
            limits: state.limits_with(params.get("rollups")),
            stats: params.get("stats").filter(|asked| !asked.is_empty()).map(|asked| {
                let shown = asked == "all" && state.settings.promql.per_step_stats;
                if shown { PerStep::Shown } else { PerStep::Left }
            }),
            started: Instant::now(),
        })
    }

    fn parse(&self, state: &State) -> Result<Arc<Expr>, Response> {
        parse(state, &self.query)
    }

    /// The answer, with `stats` where they are asked for.
    fn reply(&self, mut data: Vec<u8>, cost: &Cost, notes: &Notes) -> Response {
        self.add_stats(&mut data, cost);
        success(&data, notes)
    }

    /// The same for series, which are written while the client reads.
    fn reply_series(
        &self,
        series: Vec<ResultSeries>,
        shape: Shape,
        cost: &Cost,
        notes: &Notes,
    ) -> Response {
        let mut end = b"}".to_vec();
        self.add_stats(&mut end, cost);
        query_json::finish(&mut end, &notes.warnings, &notes.infos);
        pieces(SeriesBody::new(series, shape, end))
    }

    fn add_stats(&self, data: &mut Vec<u8>, cost: &Cost) {
        let Some(per_step) = self.stats else { return };
        let steps = cost.steps.grid.iter().flat_map(StepGrid::iter).collect::<Vec<_>>();
        let shown = per_step == PerStep::Shown;
        let stats = query_json::Stats {
            total_seconds: self.started.elapsed().as_secs_f64(),
            preparation_seconds: cost.preparation.as_secs_f64(),
            step_times_ms: shown.then_some(&steps),
            queryable: &cost.steps.queryable,
            read: &cost.steps.read,
            peak_samples: cost.peak_samples,
        };
        query_json::add_stats(data, &stats);
    }

    /// Runs the plan over `grid`.
    async fn run(
        &self,
        state: &Arc<State>,
        plan: Plan,
        grid: StepGrid,
    ) -> Result<(Output, Cost), Response> {
        let preparation = self.started.elapsed();
        let measuring = match self.stats {
            Some(_) => Measuring::Steps(grid),
            None => Measuring::Nothing,
        };
        let mut output = run_counted(state, plan, self.timeout, "promql", measuring)
            .await
            .map_err(|error| query_failure(&error))?;
        let steps = std::mem::take(&mut output.steps);
        let cost = Cost { preparation, peak_samples: output.peak_samples, steps };
        Ok((output, cost))
    }
}

/// What `stats` tell of a query.
struct Cost {
    preparation: Duration,
    peak_samples: u64,
    steps: StepCounts,
}

/// The tree of a query with the parts of the language that are switched on.
pub fn parse(state: &State, query: &str) -> Result<Arc<Expr>, Response> {
    let parse = |query: &str| lang::promql::parse(query, state.settings.promql.features);
    state.parsed.get(query, parse).map_err(|error| invalid("query", &error.to_string()))
}

/// The plan of a tree. What fails here is the meaning, which Prometheus finds while it evaluates.
pub fn lower(expr: &Expr, options: &LowerOptions) -> Result<Plan, Response> {
    lang::promql::lower(expr, options)
        .map_err(|error| failure(ErrorKind::Conflict, &error.to_string()))
}

/// How this server reads PromQL over `grid`.
pub fn lower_options(
    state: &State,
    grid: StepGrid,
    lookback_ms: i64,
    limits: QueryLimits,
) -> LowerOptions {
    LowerOptions {
        lookback_ms,
        subquery_step_ms: state.settings.subquery_step_ms,
        limits,
        features: state.settings.promql.features,
        ..LowerOptions::new(grid)
    }
}

/// `/query`
pub async fn instant(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let limit = params.limit()?;
    let at_ms = params.time_or("time", state.now_ms())?;
    let asked = Asked { limit, ..Asked::read(&state, &params)? };
    let expr = asked.parse(&state)?;
    let grid = StepGrid::instant(at_ms);
    let options = lower_options(&state, grid, asked.lookback_ms, asked.limits);
    let is_matrix = expr.value_type() == ValueType::Matrix;
    let plan = lower(&expr, &options)?;
    let (output, cost) = asked.run(&state, plan, grid).await?;
    let mut notes = notes(&output.annotations, &asked.query);
    let data = match output.value {
        Value::Scalar(points) => query_json::scalar(&points),
        Value::Text(text) => query_json::text(at_ms, &text),
        Value::Vector(mut series) => {
            if is_matrix {
                // What had nothing but stale markers is not there.
                series.retain(|series| !series.points.timestamps.is_empty());
                exec::sort_by_labels(&mut series);
            }
            truncate(&mut series, asked.limit, &mut notes);
            let shape = if is_matrix { Shape::Matrix } else { Shape::Vector };
            return Ok(asked.reply_series(series, shape, &cost, &notes));
        }
    };
    Ok(asked.reply(data, &cost, &notes))
}

/// `/query_range`
pub async fn range(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let limit = params.limit()?;
    let start_ms = params.time("start")?;
    let end_ms = params.time("end")?;
    if end_ms < start_ms {
        return Err(invalid("end", "end timestamp must not be before start time"));
    }
    let step_ms = params
        .duration_ms("step")?
        .ok_or_else(|| invalid("step", "cannot parse \"\" to a valid duration"))?;
    if step_ms <= 0 {
        return Err(invalid(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (end_ms - start_ms) / step_ms > STEPS_BETWEEN_MAX {
        return Err(bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ));
    }
    let asked = Asked { limit, ..Asked::read(&state, &params)? };
    let expr = asked.parse(&state)?;
    if matches!(expr.value_type(), ValueType::Matrix | ValueType::Text) {
        let kind = expr.value_type().documented();
        return Err(invalid(
            "query",
            &format!(
                "invalid expression type {kind:?} for range query, must be Scalar or instant Vector"
            ),
        ));
    }
    let grid = StepGrid::new(start_ms, end_ms, step_ms);
    let mut options = lower_options(&state, grid, asked.lookback_ms, asked.limits);
    options.step_ms = step_ms;
    // See `rows`.
    options.any_order = true;
    let plan = lower(&expr, &options)?;
    let (output, cost) = asked.run(&state, plan, grid).await?;
    let mut notes = notes(&output.annotations, &asked.query);
    let mut series = rows(output);
    truncate(&mut series, asked.limit, &mut notes);
    Ok(asked.reply_series(series, Shape::Matrix, &cost, &notes))
}

/// The rows of a range query in label order; a scalar is one row without labels.
fn rows(output: Output) -> Vec<ResultSeries> {
    match output.value {
        Value::Vector(mut series) => {
            exec::sort_by_labels(&mut series);
            series
        }
        Value::Scalar(points) => vec![ResultSeries {
            labels: model::Labels::empty(),
            title: None,
            disagreeing: [].into(),
            grid: None,
            points,
        }],
        Value::Text(_) => Vec::new(),
    }
}

fn truncate(series: &mut Vec<ResultSeries>, limit: usize, notes: &mut Notes) {
    if limit > 0 && series.len() > limit {
        series.truncate(limit);
        notes.warnings.push(TRUNCATED.to_owned());
    }
}

/// Texts of annotations, equal ones once, at most ten of a level.
fn notes(annotations: &[Annotation], query: &str) -> Notes {
    let mut notes = Notes::default();
    for annotation in annotations {
        let (level, text) = lang::promql::annotation_text(annotation, query);
        let list = match level {
            Level::Warning => &mut notes.warnings,
            Level::Info => &mut notes.infos,
        };
        if !list.contains(&text) {
            list.push(text);
        }
    }
    for (list, kind) in [(&mut notes.warnings, "warning"), (&mut notes.infos, "info")] {
        if list.len() > ANNOTATIONS_MAX {
            let more = list.len() - ANNOTATIONS_MAX;
            list.truncate(ANNOTATIONS_MAX);
            list.push(format!("{more} more {kind} annotations omitted"));
        }
    }
    notes
}

/// `/query_exemplars`: the exemplars of all series that the expression selects.
pub async fn exemplars(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let range = TimeRange::new(
        params.time_or("start", i64::MIN / 4)?,
        params.time_or("end", i64::MAX / 4)?,
    );
    if range.end_ms < range.start_ms {
        return Err(bad_data("end timestamp must not be before start timestamp"));
    }
    // Unlike elsewhere the parameter is not named in the error.
    let query = params.get("query").unwrap_or_default();
    let expr = lang::promql::parse(query, state.settings.promql.features)
        .map_err(|error| bad_data(&error.to_string()))?;
    let selectors = lang::promql::selectors(&expr);
    if selectors.is_empty() {
        return Ok(axum::http::StatusCode::NO_CONTENT.into_response());
    }
    let select = move || state.exemplars.select(TenantId::DEFAULT, &selectors, range);
    let found = tokio::task::spawn_blocking(select)
        .await
        .map_err(|panic| failure(ErrorKind::Internal, &panic.to_string()))?;
    let mut data = Vec::new();
    query_json::write_list(&mut data, &found, |out, (labels, exemplars)| {
        out.extend_from_slice(b"{\"seriesLabels\":");
        query_json::write_labels(out, labels);
        out.extend_from_slice(b",\"exemplars\":");
        query_json::write_list(out, exemplars, |out, one| {
            query_json::write_exemplar(out, &one.labels, one.value, one.timestamp_ms);
        });
        out.push(b'}');
    });
    Ok(success(&data, &Notes::default()))
}
