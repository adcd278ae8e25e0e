//! Names of metrics that stay visible until the end of a query.

use plan::Node;
use plan::semantics::Naming;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::distinct;
use crate::row::Identity;

/// The rows without the names that were dropped on the way. Rows that are equal now become one.
pub(crate) fn stream(
    executor: &Executor<'_>,
    input: &Node,
    naming: Naming,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if !naming.at_end {
        return executor.stream(input, sink);
    }
    let settled = |identity: &mut Identity<'_>, row: &mut _, sink: &mut Sink<'_>| {
        identity.settle_name();
        sink(identity, row)
    };
    let run = |sink: &mut Sink<'_>| {
        executor.stream(input, &mut |identity, row| settled(identity, row, sink))
    };
    if distinct::may_collide_without_name(input, executor.naming) {
        distinct::stream(executor, run, sink)
    } else {
        run(sink)
    }
}
