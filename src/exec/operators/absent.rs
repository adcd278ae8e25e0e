//! 1 where nothing is.

use model::Labels;
use plan::Node;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::{ABSENT, Identity, Row};

/// One row that is present where no input row is.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    labels: &Labels,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let Some(grid) = plan::check::grid(input) else {
        return Err(ExecError::Internal("absence of rows without a grid".to_owned()));
    };
    let mut out = Row::default();
    out.reset_to_grid(grid, grid.len());
    out.samples.values.fill(1.0);
    executor.stream(input, &mut |_, row| {
        for (index, out) in out.samples.values.iter_mut().enumerate() {
            if index < row.values().len() && !row.is_absent_at(index) {
                *out = ABSENT;
            }
        }
        Ok(())
    })?;
    sink(&mut Identity::known(labels.clone()), &mut out)
}
