//! Functions of whole rows.

use plan::Rows;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};

/// The rows that the function makes of its inputs.
pub(crate) fn stream(
    _executor: &Executor<'_>,
    rows: &Rows,
    _sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    Err(ExecError::Internal(format!("no operator for {:?}", rows.function)))
}
