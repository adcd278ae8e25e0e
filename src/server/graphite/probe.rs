//! What the planning of a render request asks of the store.

use base::error::Classify;
use exec::{Output, Value};
use lang::graphite::{Probe, ProbeError};
use model::ResultSeries;
use plan::Plan;

use crate::run_query::Asking;

impl Probe for Asking<'_> {
    fn rows(&self, plan: &Plan) -> Result<Option<Vec<ResultSeries>>, ProbeError> {
        let failed =
            |error: exec::ExecError| ProbeError { kind: error.kind(), message: error.to_string() };
        let Output { value, .. } = self.run(plan).map_err(failed)?;
        Ok(Some(match value {
            Value::Vector(rows) => rows,
            Value::Scalar(_) | Value::Text(_) => Vec::new(),
        }))
    }

    fn events(&self, tags: &[&str], from_s: i64, until_s: i64) -> Result<Vec<i64>, ProbeError> {
        Ok(super::events::times(&*self.state.documents, tags, (from_s, until_s)))
    }
}
