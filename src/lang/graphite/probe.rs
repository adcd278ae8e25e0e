//! What planning has to know of the data.
//!
//! A few functions name further targets after the series they find, or look back by as many steps as
//! the coarsest of them has. Their arguments are computed while the request is planned; the plan that
//! results is as static as any other.

use base::error::ErrorKind;
use model::ResultSeries;
use plan::Plan;

use super::error::GraphiteError;

/// Answers questions about the data while a request is planned.
pub trait Probe {
    /// The rows of a plan; `None` where nothing can be computed here.
    fn rows(&self, plan: &Plan) -> Result<Option<Vec<ResultSeries>>, ProbeError>;

    /// Times in seconds, ascending, of the events from `from_s` to `until_s` (both included) that
    /// carry all of the tags.
    fn events(&self, tags: &[&str], from_s: i64, until_s: i64) -> Result<Vec<i64>, ProbeError>;
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct ProbeError {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
}

impl From<ProbeError> for GraphiteError {
    fn from(error: ProbeError) -> Self {
        Self::Probe { kind: error.kind, message: error.message }
    }
}

/// Knows nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn rows(&self, _: &Plan) -> Result<Option<Vec<ResultSeries>>, ProbeError> {
        Ok(None)
    }

    fn events(&self, _: &[&str], _: i64, _: i64) -> Result<Vec<i64>, ProbeError> {
        Ok(Vec::new())
    }
}
