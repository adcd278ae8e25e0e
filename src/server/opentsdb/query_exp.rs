//! `/api/query/exp`: expressions over named metrics, answered as tables.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;
use exec::Value;
use lang::opentsdb::exp::{Prepared, PreparedOutput, prepare};
use lang::opentsdb::exp_request::parse;
use lang::opentsdb::{OpenTsdbError, Resolution, lower_rows};
use model::TenantId;
use plan::{Node, Plan};
use wire::opentsdb::exp_json::{Table, push_table};

use super::dispatch::allow;
use super::echo_exp::push_request;
use super::params::read_body;
use super::query_names::resolution;
use super::reply::{Refusal, Reply};
use crate::answers;
use crate::run_query::run_query;
use crate::state::State;

/// The handler.
pub(super) async fn exp(state: &Arc<State>, request: Request) -> Result<Reply, Refusal> {
    allow(&request, &[Method::POST])?;
    let body = read_body(request, state.settings.body_bytes_max).await?;
    let asked = parse(&body)?;
    let prepared = prepare(&asked, state.now_ms())?;
    let mut nodes = Vec::with_capacity(prepared.query.queries.len());
    for sub in &prepared.query.queries {
        let resolution = resolution(state, sub).await?;
        nodes.push(lower_rows(&prepared.query, sub, &resolution, TenantId::DEFAULT)?);
    }
    let mut out = b"{\"outputs\":[".to_vec();
    for (index, output) in prepared.outputs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let plan = plan_of(state, &prepared, output, &nodes);
        let answer = run_query(state, plan, None, "opentsdb").await?;
        let Value::Vector(rows) = &answer.value else { continue };
        let _claim = answers::claim(state, rows)?;
        let table = Table {
            id: &output.id,
            alias: output.alias.as_deref(),
            metrics: &output.metrics,
            short_end: output.range.is_some(),
        };
        push_table(&mut out, table, rows);
    }
    out.extend_from_slice(b"],\"query\":");
    push_request(&mut out, &asked);
    out.push(b'}');
    Ok(Reply::ok(out))
}

fn plan_of(state: &State, prepared: &Prepared, output: &PreparedOutput, nodes: &[Node]) -> Plan {
    Plan { root: prepared.lower(output, nodes), limits: state.settings.query_limits }
}

/// The plan of the first output of a body, for `explain`.
pub(super) fn explain(state: &State, body: &str) -> Result<Plan, OpenTsdbError> {
    let prepared = prepare(&parse(body.as_bytes())?, state.now_ms())?;
    let resolution = Resolution::default();
    let lowered = prepared
        .query
        .queries
        .iter()
        .map(|sub| lower_rows(&prepared.query, sub, &resolution, TenantId::DEFAULT));
    let nodes: Vec<Node> = lowered.collect::<Result<_, _>>()?;
    let output = prepared.outputs.first();
    let output = output.ok_or_else(|| OpenTsdbError::bad("No output is named"))?;
    Ok(plan_of(state, &prepared, output, &nodes))
}
