//! Plans for `explain`. Names are not looked up: a plan exists whether or not there are data.

use lang::opentsdb::{OpenTsdbError, Request as Asked, Resolution, lower, validate};
use model::TenantId;
use plan::Plan;

use super::query_names::rollup;
use super::{query_exp, query_gexp};
use crate::state::State;

/// The plan of a question: an `m` parameter, an expression of `gexp`, or the body of `exp`, of which
/// the first output counts. `params` say when.
pub fn explain_plan(
    state: &State,
    params: &[(String, String)],
    question: &str,
) -> Result<Plan, OpenTsdbError> {
    let question = question.trim();
    if question.starts_with('{') {
        return query_exp::explain(state, question);
    }
    let is_call = question.split_once('(').is_some_and(|(name, _)| !name.contains(':'));
    if is_call {
        return query_gexp::explain(state, params, question);
    }
    let mut params = params.to_vec();
    params.push(("m".to_owned(), question.to_owned()));
    let query = validate(Asked::from_params(&params)?, state.now_ms())?;
    let sub = query.queries.first().ok_or_else(|| OpenTsdbError::bad("Missing sub queries"))?;
    let resolution = Resolution { rollup: rollup(state, sub), ..Resolution::default() };
    lower(&query, sub, &resolution, TenantId::DEFAULT, state.settings.query_limits)
}
