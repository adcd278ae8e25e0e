//! Raw rows cut to a range, with a value at either edge.

use model::TimeRange;
use plan::semantics::WindowEdges;
use plan::{EvalError, Node};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::edges::bounded;
use crate::kernels::window::Window;
use crate::operators::fold::remove_markers;

/// The rows with values at both ends of the range. Native histograms are refused.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    range: TimeRange,
    edges: WindowEdges,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let (after_ms, until_ms) = (range.start_ms.saturating_sub(1), range.end_ms);
    let window = Window { at_ms: until_ms, after_ms, until_ms };
    executor.stream(input, &mut |identity, row| {
        if row.has_histograms() {
            let name = match edges {
                WindowEdges::Anchored => "anchored",
                WindowEdges::Smoothed => "smoothed",
            };
            let text = format!("{name} modifier is not supported with histograms");
            return Err(EvalError::BadArgument(text).into());
        }
        row.list();
        remove_markers(row);
        let Some((times, values)) = bounded(&row.samples.timestamps, row.values(), window, edges)
        else {
            return Ok(());
        };
        row.reset_to_list();
        row.samples.timestamps = times;
        row.samples.values = values;
        sink(identity, row)
    })
}
