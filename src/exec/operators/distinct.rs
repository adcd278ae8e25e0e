//! Rows whose labels may have become equal.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME, ValueTest};
use plan::semantics::{Grouping, RelabelRule};
use plan::{EvalError, Fold, Map, Node, Op};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::{Rows, is_absent};

/// True when rows of `node` could have equal labels once the metric's name is gone.
pub(crate) fn may_collide_without_name(node: &Node) -> bool {
    match &node.op {
        Op::Scan(scan) => !scan.matchers.iter().any(|matcher| {
            matcher.name == METRIC_NAME
                && matches!(&matcher.test, ValueTest::Equal(name) if !name.is_empty())
        }),
        Op::Fold(Fold { input, drop_name, .. }) | Op::Map(Map { input, drop_name, .. }) => {
            !drop_name && may_collide_without_name(input)
        }
        Op::Aggregate(aggregate) => match &aggregate.grouping {
            Grouping::By(labels) => labels.iter().any(|label| label == METRIC_NAME),
            Grouping::Without(_) => false,
            Grouping::Title | Grouping::Each => true,
        },
        Op::Rank(rank) => may_collide_without_name(&rank.input),
        Op::Join(join) => join.op.is_set() || join.op.is_comparison() && !join.return_bool,
        Op::Buckets { .. } | Op::Absent { .. } | Op::ToVector(_) | Op::ToScalar(_) => false,
        Op::Constant(..) | Op::Text(_) | Op::Time(_) => false,
        Op::Relabel(relabel) => match relabel.rule {
            RelabelRule::Title(_) => may_collide_without_name(&relabel.input),
            _ => true,
        },
        Op::Union(_) | Op::Rows(_) | Op::Formula(_) | Op::Each(_) | Op::Given { .. } => true,
        Op::Sort { input, .. }
        | Op::Clip { input, .. }
        | Op::Condense { input, .. }
        | Op::Repeat { input, .. }
        | Op::Shared { input, .. } => may_collide_without_name(input),
    }
}

/// Runs `produce` and pushes its rows on, those with equal labels as one row. Two of them with a
/// point at the same instant are an error.
pub(crate) fn stream(
    executor: &Executor<'_>,
    produce: impl FnOnce(&mut Sink<'_>) -> Result<(), ExecError>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut rows = Rows::new(executor.budget);
    let mut places: HashMap<Labels, usize> = HashMap::new();
    produce(&mut |identity, row| {
        let next = rows.len();
        let place = *places.entry(identity.labels().clone()).or_insert(next);
        if place == next {
            return rows.push(identity, row);
        }
        if row.grid.is_none() {
            return Err(EvalError::DuplicateLabels.into());
        }
        let kept = &mut rows.as_mut()[place].1.samples.values;
        for (kept, value) in kept.iter_mut().zip(row.values()) {
            if is_absent(*kept) {
                *kept = *value;
            } else if !is_absent(*value) {
                return Err(EvalError::DuplicateLabels.into());
            }
        }
        Ok(())
    })?;
    rows.as_mut().iter_mut().try_for_each(|(identity, row)| sink(identity, row))
}
