//! `/api/query`: sub-queries one after the other, each a plan of its own.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::http::Method;
use exec::Value;
use lang::opentsdb::downsample::FillPolicy;
use lang::opentsdb::{Checked, Query, Request as Asked, lower, validate};
use model::{ResultSeries, TenantId};
use wire::opentsdb::query_json::{Extras, Style, push_result};

use super::dispatch::allow;
use super::echo;
use super::params::{Params, read_body};
use super::query_names::resolution;
use super::reply::{Refusal, Reply};
use crate::run_query::run_query;
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
        let resolution = resolution(state, sub).await?;
        let limits = state.settings.query_limits;
        plans.push(lower(&query, sub, &resolution, TenantId::DEFAULT, limits)?);
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

/// A comma before all items but the first.
pub(super) fn begin_item(out: &mut Vec<u8>) {
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
    let extras =
        Extras { query: sub_query.as_deref(), stats: stats.as_deref(), ..Extras::default() };
    for row in rows {
        begin_item(out);
        push_result(out, row, style, extras);
    }
}
