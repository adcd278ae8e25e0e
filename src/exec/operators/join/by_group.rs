//! One to one, where results are called after their match group: they are told apart by its number, and
//! no labels are compared.

use plan::Span;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::operators::distinct;
use crate::operators::join::Matcher;
use crate::operators::join::groups::{NONE, merge};
use crate::row::{ABSENT, Identity, Row, Rows};

/// Reads the "many" side and pushes the combined rows, in the order in which their first pair was made.
pub(super) fn stream(
    mut matcher: Matcher<'_, '_>,
    executor: &Executor<'_>,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let rows = Rows::new(executor.budget);
    let mut results = Results { rows, places: Vec::new(), is_renamed: false };
    executor.stream(matcher.many, &mut |identity, row| {
        row.lie_on(matcher.grid, matcher.steps);
        matcher.note_presence(row);
        match matcher.group_of(identity)? {
            Some(group) => matcher.pair_group(group, row, &mut results),
            None => Ok(()),
        }
    })?;
    matcher.fill_groups(&mut results)?;
    matcher.finish(executor, span)?;
    let Results { mut rows, is_renamed, .. } = results;
    let mut push = |sink: &mut Sink<'_>| {
        rows.as_mut().iter_mut().try_for_each(|(identity, row)| sink(identity, row))
    };
    // Else no two results are called the same.
    if is_renamed { distinct::stream(executor, push, sink) } else { push(sink) }
}

/// The results so far.
struct Results<'b> {
    rows: Rows<'b>,
    /// Of each group its row, or [`NONE`].
    places: Vec<usize>,
    /// Some result is called otherwise than its group.
    is_renamed: bool,
}

impl Matcher<'_, '_> {
    /// Combines a row of the "many" side with the row of its group or what fills in for it.
    fn pair_group(
        &mut self,
        group: usize,
        many: &mut Row,
        results: &mut Results<'_>,
    ) -> Result<(), ExecError> {
        let (row, paired) = self.groups.row_and_paired(self.groups.first(group), group);
        match self.fill_one {
            None => self.pairing.combine(many, row, paired),
            Some(fill) => {
                let mut filled = row.clone();
                let missing = (0..paired.len()).map(|word| !row.present_at(word));
                filled.set_at(&missing.collect::<Vec<_>>(), fill);
                self.pairing.combine(many, &filled, paired);
            }
        }
        self.keep(group, many, results)
    }

    /// Pairs the rows of groups with what fills in where none was paired with the other side.
    fn fill_groups(&mut self, results: &mut Results<'_>) -> Result<(), ExecError> {
        let Some(fill) = self.fill_many else { return Ok(()) };
        for group in 0..self.groups.len() {
            let mut many = self.row_of(fill);
            let (row, paired) = self.groups.row_and_paired(self.groups.first(group), group);
            many.set_at(paired, ABSENT);
            self.pairing.combine(&mut many, row, paired);
            self.keep(group, &mut many, results)?;
        }
        Ok(())
    }

    /// Adds what was combined to the result of its group.
    fn keep(
        &mut self,
        group: usize,
        combined: &mut Row,
        results: &mut Results<'_>,
    ) -> Result<(), ExecError> {
        if combined.is_empty() {
            return Ok(());
        }
        results.places.resize(self.groups.len(), NONE);
        let place = &mut results.places[group];
        if *place != NONE {
            return results.rows.change(*place, |known| {
                merge(known, combined);
                Ok(())
            });
        }
        *place = results.rows.len();
        let key = self.groups.key(group);
        let labels = self.names.of_group(key);
        results.is_renamed |= labels != *key;
        let mut identity = Identity::known(labels);
        identity.name_pending = self.leaves_name();
        results.rows.push_owned(identity, std::mem::take(combined))
    }
}
