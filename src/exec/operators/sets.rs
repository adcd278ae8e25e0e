//! `and`, `or`, `unless`: rows chosen by whether a matching row of the other side is present.

use hashbrown::HashMap;
use plan::semantics::BinaryOp;
use plan::{Join, Node};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::distinct;
use crate::operators::join::signature;
use crate::row::{Identity, Row, is_absent};

/// At which steps some row of a match group is present.
#[derive(Default)]
struct Presence {
    groups: HashMap<Vec<u8>, Vec<bool>>,
    key: Vec<u8>,
}

impl Presence {
    fn add(&mut self, join: &Join, identity: &mut Identity<'_>, row: &Row) {
        signature(&join.matching, identity.labels(), &mut self.key);
        if !self.groups.contains_key(self.key.as_slice()) {
            self.groups.insert(self.key.clone(), vec![false; row.values().len()]);
        }
        if let Some(steps) = self.groups.get_mut(self.key.as_slice()) {
            if row.has_histograms() {
                let steps = steps.iter_mut().enumerate();
                return steps.for_each(|(at, present)| *present |= !row.is_absent_at(at));
            }
            for (present, value) in steps.iter_mut().zip(row.values()) {
                *present |= !is_absent(*value);
            }
        }
    }

    /// Takes away the points at steps where presence is not as `wanted`.
    fn mask(&mut self, join: &Join, identity: &mut Identity<'_>, row: &mut Row, wanted: bool) {
        signature(&join.matching, identity.labels(), &mut self.key);
        let steps = self.groups.get(self.key.as_slice());
        for index in 0..row.values().len() {
            let present = steps.is_some_and(|steps| steps.get(index) == Some(&true));
            if present != wanted {
                row.clear_at(index);
            }
        }
    }
}

/// The rows of the set operation.
pub(crate) fn stream(
    executor: &Executor<'_>,
    join: &Join,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if join.op == BinaryOp::Or {
        let single = plan::check::grid(&join.left).is_some_and(|grid| grid.len() == 1);
        return if single {
            either(executor, join, sink)
        } else {
            // The same series may come from the left at some steps and from the right at others.
            distinct::stream(executor, |sink| either(executor, join, sink), sink)
        };
    }
    let right = gather(executor, join, &join.right);
    let mut presence = right.map_err(|error| executor.leftmost(&join.left, error))?;
    let wanted = join.op == BinaryOp::And;
    executor.stream(&join.left, &mut |identity, row| {
        presence.mask(join, identity, row, wanted);
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })
}

fn gather(executor: &Executor<'_>, join: &Join, side: &Node) -> Result<Presence, ExecError> {
    let mut presence = Presence::default();
    executor.stream(side, &mut |identity, row| {
        presence.add(join, identity, row);
        Ok(())
    })?;
    Ok(presence)
}

fn either(executor: &Executor<'_>, join: &Join, sink: &mut Sink<'_>) -> Result<(), ExecError> {
    let mut presence = Presence::default();
    executor.stream(&join.left, &mut |identity, row| {
        presence.add(join, identity, row);
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })?;
    executor.stream(&join.right, &mut |identity, row| {
        presence.mask(join, identity, row, false);
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })
}
