//! `/api/query/gexp`: functions over sub-queries, in Graphite's manner.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;
use exec::Value;
use lang::opentsdb::gexp::{Call, lower_call, parse};
use lang::opentsdb::{OpenTsdbError, Query, Request as Asked, Resolution, lower_rows, validate};
use model::TenantId;
use plan::{Node, Op, Plan};
use wire::opentsdb::query_json::{Extras, Style, push_result};

use super::dispatch::allow;
use super::params::Params;
use super::query::begin_item;
use super::query_names::resolution;
use super::reply::{Refusal, Reply};
use crate::answers;
use crate::run_query::run_query;
use crate::state::State;

/// The handler.
pub(super) async fn gexp(
    state: &Arc<State>,
    request: Request,
    params: &Params,
) -> Result<Reply, Refusal> {
    allow(&request, &[Method::GET])?;
    drop(request);
    let texts: Vec<&str> = params.all("exp").collect();
    if texts.is_empty() {
        // Sub-queries that no expression names are looked at and not answered.
        Asked::from_params(&params.0)?;
        return Ok(Reply::ok(b"[]".to_vec()));
    }
    let mut out = b"[".to_vec();
    for text in texts {
        let (query, call) = read(&params.0, text, state.now_ms())?;
        let mut resolutions = Vec::with_capacity(query.queries.len());
        for sub in &query.queries {
            resolutions.push(resolution(state, sub).await?);
        }
        let plan = plan_of(state, &query, &call, &resolutions)?;
        let output = run_query(state, plan, None, "opentsdb").await?;
        let Value::Vector(rows) = &output.value else { continue };
        let _claim = answers::claim(state, rows)?;
        let (arrays, milliseconds) = (query.flags.arrays, query.flags.milliseconds);
        let style = Style { arrays, milliseconds, nan_as_null: false };
        let annotations = call.is_combined().then_some(&b"[]"[..]);
        for row in rows {
            begin_item(&mut out);
            push_result(&mut out, row, style, Extras { annotations, ..Extras::default() });
        }
    }
    out.push(b']');
    Ok(Reply::ok(out))
}

fn read(
    params: &[(String, String)],
    text: &str,
    now_ms: i64,
) -> Result<(Query, Call), OpenTsdbError> {
    let mut queries = Vec::new();
    let call = parse(text, &mut queries)?;
    if queries.is_empty() {
        return Err(OpenTsdbError::bad("Missing sub queries"));
    }
    let asked = Asked::around(params, queries)?;
    Ok((validate(asked, now_ms)?, call))
}

fn plan_of(
    state: &State,
    query: &Query,
    call: &Call,
    resolutions: &[Resolution],
) -> Result<Plan, OpenTsdbError> {
    let mut nodes = Vec::with_capacity(query.queries.len());
    for (sub, resolution) in query.queries.iter().zip(resolutions) {
        let input = Box::new(lower_rows(query, sub, resolution, TenantId::DEFAULT)?);
        nodes.push(Node::new(Op::Clip { input, range: query.range }));
    }
    let input = Box::new(lower_call(call, &nodes)?);
    let root = Node::new(Op::Clip { input, range: query.range });
    Ok(Plan { root, limits: state.settings.query_limits })
}

/// The plan of an expression for `explain`.
pub(super) fn explain(
    state: &State,
    params: &[(String, String)],
    text: &str,
) -> Result<Plan, OpenTsdbError> {
    let (query, call) = read(params, text, state.now_ms())?;
    let resolutions = vec![Resolution::default(); query.queries.len()];
    plan_of(state, &query, &call, &resolutions)
}
