//! `/api/query`: sub-queries one after the other, each a plan of its own.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use exec::Value;
use lang::opentsdb::downsample::FillPolicy;
use lang::opentsdb::lower::matchers;
use lang::opentsdb::{
    Checked, OpenTsdbError, Query, Request as Asked, Resolution, lower, validate,
};
use model::{METRIC_NAME, ResultSeries, Source, SourceError, TenantId, TimeRange};
use plan::Plan;
use wire::opentsdb::query_json::{Extras, Style, push_result};

use super::dispatch::allow;
use super::echo;
use super::names;
use super::params::{Params, read_body};
use super::reply::{Refusal, Reply};
use crate::run_query::{run_lookup, run_query};
use crate::state::State;

/// The handler.
pub(super) async fn query(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET, Method::POST, Method::DELETE])?;
    let deletes = request.method() == Method::DELETE;
    let asked = if request.method() == Method::POST {
        let body = read_body(request, state.settings.body_bytes_max).await?;
        Asked::from_json(&body, params.has("arrays"))?
    } else {
        Asked::from_params(&params.0)?
    };
    if deletes || asked.delete {
        return Err(Refusal::bad("Bad request")
            .with("Deleting data is not enabled (tsd.http.query.allow_delete=false)"));
    }
    let query = validate(asked, state.now_ms())?;
    let mut plans = Vec::with_capacity(query.queries.len());
    for sub in &query.queries {
        plans.push(plan_of(state, &query, sub).await?);
    }
    let mut out = b"[".to_vec();
    let mut totals = echo::Totals::default();
    for (index, (sub, plan)) in query.queries.iter().zip(plans).enumerate() {
        let started = Instant::now();
        let output = run_query(state, plan, None, "opentsdb").await?;
        if let Value::Vector(rows) = &output.value {
            let figures = echo::Figures::new(index, rows, started.elapsed());
            totals.add(&figures);
            write(&mut out, &query, sub, rows, &figures);
        }
    }
    if query.flags.show_summary {
        begin_item(&mut out);
        totals.write(&mut out);
    }
    out.push(b']');
    Ok(Reply::ok(out))
}

fn begin_item(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
}

fn write(
    out: &mut Vec<u8>,
    query: &Query,
    sub: &Checked,
    rows: &[ResultSeries],
    figures: &echo::Figures,
) {
    let nan_as_null = sub.downsample.as_ref().is_some_and(|ds| ds.fill == FillPolicy::Null);
    let (arrays, milliseconds) = (query.flags.arrays, query.flags.milliseconds);
    let style = Style { arrays, milliseconds, nan_as_null };
    let sub_query = query.flags.show_query.then(|| echo::sub_query(sub, figures.index));
    let stats = query.flags.show_stats.then(|| figures.to_json());
    let extras = Extras { query: sub_query.as_deref(), stats: stats.as_deref() };
    for row in rows {
        begin_item(out);
        push_result(out, row, style, extras);
    }
}

/// Looks the names up and lowers one sub-query.
async fn plan_of(state: &Arc<State>, query: &Query, sub: &Checked) -> Result<Plan, Refusal> {
    let wanted = sub.names()?;
    let of_series = sub.clone();
    let found = run_lookup(state, move |source| {
        Ok(match names::first_unknown(source, wanted)? {
            Some(unknown) => Err(unknown),
            None => Ok(resolve(source, &of_series)?),
        })
    });
    let resolution = found.await?.map_err(|unknown| unknown.unknown())?;
    let limits = state.settings.query_limits;
    Ok(lower(query, sub, &resolution, TenantId::DEFAULT, limits)?)
}

/// With explicit tags, keys that no filter names must be missing from a series.
fn resolve(source: &dyn Source, sub: &Checked) -> Result<Resolution, SourceError> {
    if !sub.query.explicit_tags {
        return Ok(Resolution::default());
    }
    let matchers = matchers(sub, &Resolution::default());
    let mut other_keys = source.label_names(TenantId::DEFAULT, &matchers, TimeRange::ALL)?;
    let named = |key: &String| sub.query.filters.iter().any(|filter| filter.tagk == *key);
    other_keys.retain(|key| key != METRIC_NAME && !named(key));
    Ok(Resolution { other_keys })
}

/// The plan of the first sub-query among the parameters of a URL, for `explain`. Names are not looked
/// up: a plan exists whether or not there are data.
pub fn explain_plan(state: &State, params: &[(String, String)]) -> Result<Plan, OpenTsdbError> {
    let query = validate(Asked::from_params(params)?, state.now_ms())?;
    let sub = query.queries.first().ok_or_else(|| OpenTsdbError::bad("Missing sub queries"))?;
    lower(&query, sub, &Resolution::default(), TenantId::DEFAULT, state.settings.query_limits)
}
