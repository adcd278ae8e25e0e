//! Rows that a node has to hold all at once.
//!
//! Invariant: what is held is reserved in the query's budget, and given back when it is dropped.

use super::{Identity, Row};
use crate::budget::{Budget, Held};
use crate::error::ExecError;

/// Collected rows. Their room in the budget is given back when they are dropped.
pub(crate) struct Rows<'b> {
    rows: Vec<(Identity<'static>, Row)>,
    held: Held<'b>,
}

impl<'b> Rows<'b> {
    /// No rows yet.
    pub(crate) fn new(budget: &'b Budget) -> Self {
        Self { rows: Vec::new(), held: budget.hold() }
    }

    /// Adds a copy of a row.
    pub(crate) fn push(&mut self, identity: &mut Identity, row: &Row) -> Result<(), ExecError> {
        self.push_owned(identity.keep(), row.clone())
    }

    /// Adds a row that nobody else needs any more. One of listed instants is copied: it may lie in a buffer
    /// that is much longer.
    pub(crate) fn take(&mut self, identity: &mut Identity, row: &mut Row) -> Result<(), ExecError> {
        let row = if row.grid.is_some() { std::mem::take(row) } else { row.clone() };
        self.push_owned(identity.keep(), row)
    }

    /// Adds a row.
    pub(crate) fn push_owned(
        &mut self,
        identity: Identity<'static>,
        row: Row,
    ) -> Result<(), ExecError> {
        self.held.add_row(row.weight(), row.samples.integers.len())?;
        self.rows.push((identity, row));
        Ok(())
    }

    /// Changes the row at `index`, which may get more histograms by it.
    pub(crate) fn change(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Row) -> Result<(), ExecError>,
    ) -> Result<(), ExecError> {
        let row = &mut self.rows[index].1;
        let before = row.weight();
        change(row)?;
        self.held.add(0, row.weight().saturating_sub(before))
    }

    /// Where their room is taken.
    pub(crate) fn budget(&self) -> &'b Budget {
        self.held.budget()
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Identity<'static>, Row)> {
        self.rows.iter()
    }

    /// The rows, to be changed in place but not made longer.
    pub(crate) fn as_mut(&mut self) -> &mut [(Identity<'static>, Row)] {
        &mut self.rows
    }

    /// The row at `index`.
    pub(crate) fn row(&self, index: usize) -> &Row {
        &self.rows[index].1
    }

    /// The values of the row at `index`.
    pub(crate) fn values(&self, index: usize) -> &[f64] {
        self.rows[index].1.values()
    }

    /// The samples held, as they weigh.
    pub(crate) fn weight(&self) -> usize {
        self.held.samples()
    }
}

#[cfg(test)]
mod tests {
    use model::{Labels, StepGrid};

    use super::*;

    #[test]
    fn exact_integers_count_while_they_are_held() {
        let row = |integers: usize| {
            let mut row = Row::default();
            row.reset_to_grid(StepGrid::new(0, 9, 1), 10);
            row.samples.integers.resize(integers, Some(7));
            row
        };
        // A row, its ten values and ten integers.
        let memory_bytes_max = 256 + 10 * 16 + 10 * 16;
        let limits = plan::QueryLimits { memory_bytes_max, ..plan::QueryLimits::default() };
        let budget = Budget::new(limits);
        let check = |integers: usize, want: bool| {
            let mut rows = Rows::new(&budget);
            let pushed = rows.push_owned(Identity::known(Labels::empty()), row(integers));
            assert_eq!(pushed.is_ok(), want, "{integers} integers");
        };
        check(10, true);
        check(11, false);
        check(10, true);
    }
}
