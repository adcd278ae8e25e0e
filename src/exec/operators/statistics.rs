//! Native histograms without their buckets.

use std::sync::Arc;

use model::{Histogram, HistogramBuckets, ResetHint};
use plan::Node;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::Row;

/// The rows with count and sum alone, each histogram behind the first knowing whether its counter began
/// anew with it: without buckets nobody can tell any more.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    executor.stream(input, &mut |identity, row| {
        if row.has_histograms() {
            strip(row);
        }
        sink(identity, row)
    })
}

fn strip(row: &mut Row) {
    let mut previous: Option<Arc<Histogram>> = None;
    for slot in row.samples.histograms.iter_mut() {
        let Some(histogram) = slot else { continue };
        let reset_hint = match (histogram.reset_hint, &previous) {
            (ResetHint::Unknown, Some(previous)) if histogram.is_reset_after(previous) => {
                ResetHint::Reset
            }
            (ResetHint::Unknown, Some(_)) => ResetHint::NotReset,
            (known, _) => known,
        };
        let bare = Histogram {
            schema: histogram.schema,
            reset_hint,
            is_integer: histogram.is_integer,
            count: histogram.count,
            sum: histogram.sum,
            positive: HistogramBuckets::default(),
            ..Histogram::default()
        };
        previous = slot.replace(Arc::new(bare));
    }
}
