//! Rows whose labels may have become equal.

use hashbrown::HashMap;
use model::{Labels, METRIC_NAME, ValueTest};
use plan::semantics::{Grouping, Naming, RelabelRule};
use plan::{EvalError, Fold, Map, Node, Op};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::row::{Row, Rows, is_absent};

/// True when rows of `node` could have equal labels once the metric's name is gone.
pub(crate) fn may_collide_without_name(node: &Node, naming: Naming) -> bool {
    let collide = |node: &Node| may_collide_without_name(node, naming);
    match &node.op {
        Op::Scan(scan) => !scan.matchers.iter().any(|matcher| {
            matcher.name == METRIC_NAME
                && matches!(&matcher.test, ValueTest::Equal(name) if !name.is_empty())
        }),
        Op::Fold(Fold { input, drop_name, .. }) | Op::Map(Map { input, drop_name, .. }) => {
            (!drop_name || naming.at_end) && collide(input)
        }
        Op::Aggregate(aggregate) => match &aggregate.grouping {
            Grouping::By(labels) => labels.iter().any(|label| label == METRIC_NAME),
            Grouping::Without(_) => false,
            Grouping::Title | Grouping::Each => true,
        },
        Op::Rank(rank) => collide(&rank.input),
        Op::Join(join) => !join.op.changes_quantity() && (naming.at_end || !join.return_bool),
        Op::Buckets { input, .. } if naming.at_end => collide(input),
        Op::Buckets { .. } | Op::Absent { .. } | Op::ToVector(_) | Op::ToScalar(_) => false,
        Op::Constant(..) | Op::Text(_) | Op::Time(_) => false,
        Op::Relabel(relabel) => match relabel.rule {
            RelabelRule::Title(_) => collide(&relabel.input),
            _ => true,
        },
        Op::Union(_)
        | Op::Rows(_)
        | Op::Formula(_)
        | Op::Each(_)
        | Op::Given { .. }
        | Op::Inform(_) => true,
        Op::Sort { input, .. }
        | Op::Clip { input, .. }
        | Op::Condense { input, .. }
        | Op::Repeat { input, .. }
        | Op::Edges { input, .. }
        | Op::Statistics(input)
        | Op::Naming { input, .. }
        | Op::Shared { input, .. } => collide(input),
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
            return rows.take(identity, row);
        }
        if row.grid.is_none() {
            return Err(EvalError::DuplicateLabels.into());
        }
        if rows.row(place).has_histograms() || row.has_histograms() {
            return rows.change(place, |known| merge_native(known, row));
        }
        let known = &mut rows.as_mut()[place].1;
        for (kept, value) in known.samples.values.iter_mut().zip(row.values()) {
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

fn merge_native(known: &mut Row, row: &Row) -> Result<(), ExecError> {
    for index in 0..row.values().len().min(known.values().len()) {
        if row.is_absent_at(index) {
            continue;
        }
        if !known.is_absent_at(index) {
            return Err(EvalError::DuplicateLabels.into());
        }
        known.set_point(index, row.point(index));
    }
    Ok(())
}
