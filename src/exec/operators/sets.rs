//! `and`, `or`, `unless`: rows chosen by whether a matching row of the other side is present.

use hashbrown::HashMap;
use plan::semantics::BinaryOp;
use plan::{Join, Node};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::distinct;
use crate::operators::signature::Signature;
use crate::row::{Identity, Row, is_absent};

/// At which steps some row of a match group is present.
struct Presence {
    signature: Signature,
    groups: HashMap<Vec<u8>, Vec<bool>>,
    key: Vec<u8>,
}

impl Presence {
    fn new(join: &Join) -> Self {
        let signature = Signature::new(&join.matching);
        Self { signature, groups: HashMap::new(), key: Vec::new() }
    }

    fn add(&mut self, identity: &mut Identity<'_>, row: &Row) {
        self.signature.put(identity, &mut self.key);
        let steps = self.groups.entry_ref(self.key.as_slice());
        let steps = steps.or_insert_with(|| vec![false; row.values().len()]);
        if row.has_histograms() {
            let steps = steps.iter_mut().enumerate();
            return steps.for_each(|(at, present)| *present |= !row.is_absent_at(at));
        }
        for (present, value) in steps.iter_mut().zip(row.values()) {
            *present |= !is_absent(*value);
        }
    }

    /// Takes away the points at steps where presence is not as `wanted`.
    fn mask(&mut self, identity: &mut Identity<'_>, row: &mut Row, wanted: bool) {
        self.signature.put(identity, &mut self.key);
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
        presence.mask(identity, row, wanted);
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })
}

fn gather(executor: &Executor<'_>, join: &Join, side: &Node) -> Result<Presence, ExecError> {
    let mut presence = Presence::new(join);
    executor.stream(side, &mut |identity, row| {
        presence.add(identity, row);
        Ok(())
    })?;
    Ok(presence)
}

fn either(executor: &Executor<'_>, join: &Join, sink: &mut Sink<'_>) -> Result<(), ExecError> {
    let mut presence = Presence::new(join);
    executor.stream(&join.left, &mut |identity, row| {
        presence.add(identity, row);
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })?;
    executor.stream(&join.right, &mut |identity, row| {
        presence.mask(identity, row, false);
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })
}
