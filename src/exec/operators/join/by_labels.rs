//! Results told apart by their labels: groups of many rows, and filters between rows whose names differ.

use hashbrown::HashMap;
use model::Labels;
use plan::semantics::Cardinality;

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::presence::words;
use crate::operators::join::Matcher;
use crate::row::{ABSENT, Identity, Row};

/// Reads the "many" side and pushes its rows combined.
pub(super) fn stream(
    matcher: &mut Matcher<'_, '_>,
    executor: &Executor<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut results = Results { numbers: HashMap::new(), paired: Vec::new(), sink };
    let (grid, steps) = (matcher.grid, matcher.steps);
    executor.stream(matcher.many, &mut |identity, row| {
        row.lie_on(grid, steps);
        matcher.note_presence(row);
        match matcher.group_of(identity)? {
            Some(group) => matcher.pair_row(group, identity.labels(), row, &mut results),
            None => Ok(()),
        }
    })?;
    matcher.fill_rows(&mut results)
}

/// Where results go, and where pairs were made.
struct Results<'s, 'k> {
    /// A number for each group and labels of results.
    numbers: HashMap<(usize, Labels), usize>,
    /// The steps of each number.
    paired: Vec<u64>,
    sink: &'s mut Sink<'k>,
}

impl Results<'_, '_> {
    fn paired(&mut self, group: usize, labels: &Labels, words: usize) -> &mut [u64] {
        let next = self.numbers.len();
        let number = *self.numbers.entry((group, labels.clone())).or_insert(next);
        if number == next {
            self.paired.resize((next + 1) * words, 0);
        }
        &mut self.paired[number * words..][..words]
    }
}

/// What a row of the "many" side is paired with.
enum Other<'r> {
    /// The row of this number.
    Row(usize),
    /// What fills in for rows that are missing.
    Filling(&'r Row),
}

impl Matcher<'_, '_> {
    /// Combines a row of the "many" side with the rows of its group and with what fills in for them.
    fn pair_row(
        &mut self,
        group: usize,
        labels: &Labels,
        many: &mut Row,
        results: &mut Results<'_, '_>,
    ) -> Result<(), ExecError> {
        let rows = self.groups.rows_of(group);
        for (place, row) in rows.iter().enumerate() {
            let included = self.groups.labels(*row);
            let result = self.names.of_pair(labels, &included);
            let is_last = place + 1 == rows.len() && self.fill_one.is_none();
            let out = if is_last { std::mem::take(many) } else { many.clone() };
            self.push((group, result), out, Other::Row(*row), results)?;
        }
        let Some(fill) = self.fill_one else { return Ok(()) };
        let mut filling = self.row_of(fill);
        for row in rows {
            let row = self.groups.row(row);
            let present: Vec<u64> =
                (0..words(self.steps)).map(|word| row.present_at(word)).collect();
            filling.set_at(&present, ABSENT);
        }
        let key = self.groups.key(group).clone();
        let included = self.names.included(&mut Identity::known(key));
        let result = self.names.of_pair(labels, &included);
        self.push((group, result), std::mem::take(many), Other::Filling(&filling), results)
    }

    /// Pairs the rows of the "one" side with what fills in where none was paired with the other side.
    fn fill_rows(&mut self, results: &mut Results<'_, '_>) -> Result<(), ExecError> {
        let Some(fill) = self.fill_many else { return Ok(()) };
        for group in 0..self.groups.len() {
            let key = self.groups.key(group).clone();
            for row in self.groups.rows_of(group) {
                let mut many = self.row_of(fill);
                many.set_at(self.groups.paired(group), ABSENT);
                let included = self.groups.labels(row);
                let result = self.names.of_pair(&key, &included);
                self.push((group, result), many, Other::Row(row), results)?;
            }
        }
        Ok(())
    }

    /// Combines `many` with the other row and pushes what comes of it.
    fn push(
        &mut self,
        (group, labels): (usize, Labels),
        mut many: Row,
        other: Other<'_>,
        results: &mut Results<'_, '_>,
    ) -> Result<(), ExecError> {
        let (other, of_group) = match other {
            Other::Row(row) => self.groups.row_and_paired(row, group),
            Other::Filling(row) => (row, self.groups.paired(group)),
        };
        if self.join.matching.cardinality == Cardinality::OneToOne {
            self.pairing.combine(&mut many, other, of_group);
        } else {
            let paired = results.paired(group, &labels, words(self.steps));
            self.pairing.combine(&mut many, other, paired);
            of_group.iter_mut().zip(paired).for_each(|(all, paired)| *all |= *paired);
        }
        if many.is_empty() {
            return Ok(());
        }
        let mut identity = Identity::known(labels);
        identity.name_pending = self.leaves_name();
        (results.sink)(&mut identity, &mut many)
    }
}
