//! The rows of a join's "one" side by match group.
//!
//! A match group may have one such row per step, so rows that give results the same labels become one
//! row. Where two of them have a point at one step, that step is noted: whether it is an error depends
//! on the other side.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::Labels;

use crate::budget::Budget;
use crate::error::ExecError;
use crate::kernels::presence::{WORD, steps_of, words};
use crate::row::{Identity, Row, Rows};

/// The number of no row.
pub(super) const NONE: usize = usize::MAX;

/// A match group.
struct Group {
    /// The packed labels that its rows have in common.
    key: Labels,
    /// Its first row.
    first: usize,
}

/// What is known of a group that more than one row was added to: its rows may be as many as the side has.
struct Crowd {
    /// Steps at which some row has a point.
    present: Vec<u64>,
    /// The rows by the labels that they give to results.
    rows: HashMap<Labels, usize>,
    /// The last of them.
    last: usize,
}

impl Crowd {
    /// Of a group whose only row so far is number `first`.
    fn new((identity, row): &mut (Identity<'_>, Row), first: usize, steps: usize) -> Self {
        let present = (0..words(steps)).map(|word| row.present_at(word)).collect();
        let rows = HashMap::from([(identity.labels().clone(), first)]);
        Self { present, rows, last: first }
    }
}

/// All match groups, numbered from 0 on as they were added.
pub(super) struct Groups<'e> {
    steps: usize,
    groups: Vec<Group>,
    /// Numbers of groups by their keys.
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The rows, each with the labels that it gives to results.
    rows: Rows<'e>,
    /// Of each row the next one of its group, or [`NONE`].
    next: Vec<usize>,
    /// Groups of several rows.
    crowds: HashMap<usize, Crowd>,
    /// Of each group the steps at which a pair was made.
    paired: Vec<u64>,
    /// Steps at which two rows of one group have a point.
    clashes: Vec<u64>,
}

impl<'e> Groups<'e> {
    /// No groups yet, of rows of so many steps.
    pub(super) fn new(budget: &'e Budget, steps: usize) -> Self {
        Self {
            steps,
            groups: Vec::new(),
            table: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            rows: Rows::new(budget),
            next: Vec::new(),
            crowds: HashMap::new(),
            paired: Vec::new(),
            clashes: vec![0; words(steps)],
        }
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The group of `key`.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        let same = |group: &u32| self.groups[*group as usize].key.as_packed() == key;
        self.table.find(self.hasher.hash_one(key), same).map(|group| *group as usize)
    }

    /// Adds the group of `key`, which is not known yet, with its first row and the labels that this gives
    /// to results; answers its number.
    pub(super) fn insert(
        &mut self,
        key: Labels,
        labels: Labels,
        row: Row,
    ) -> Result<usize, ExecError> {
        let group = self.groups.len();
        let hash = self.hasher.hash_one(key.as_packed());
        let (hasher, groups) = (&self.hasher, &self.groups);
        let rehash = |group: &u32| hasher.hash_one(groups[*group as usize].key.as_packed());
        self.table.insert_unique(hash, group as u32, rehash);
        self.groups.push(Group { key, first: self.rows.len() });
        self.paired.resize(self.paired.len() + words(self.steps), 0);
        self.next.push(NONE);
        self.rows.push_owned(Identity::known(labels), row)?;
        Ok(group)
    }

    /// Adds a row to a group: to the row that gives results the same labels, if there is one.
    pub(super) fn add(
        &mut self,
        group: usize,
        labels: &Labels,
        row: &mut Row,
    ) -> Result<(), ExecError> {
        let first = self.groups[group].first;
        let (rows, steps) = (&mut self.rows, self.steps);
        let new = || Crowd::new(&mut rows.as_mut()[first], first, steps);
        let crowd = self.crowds.entry(group).or_insert_with(new);
        for (word, clashes) in self.clashes.iter_mut().enumerate() {
            let present = row.present_at(word);
            *clashes |= crowd.present[word] & present;
            crowd.present[word] |= present;
        }
        if let Some(known) = crowd.rows.get(labels) {
            return rows.change(*known, |known| {
                merge(known, row);
                Ok(())
            });
        }
        let number = self.next.len();
        self.next[crowd.last] = number;
        self.next.push(NONE);
        crowd.last = number;
        crowd.rows.insert(labels.clone(), number);
        self.rows.push_owned(Identity::known(labels.clone()), std::mem::take(row))
    }

    /// The key of a group.
    pub(super) fn key(&self, group: usize) -> &Labels {
        &self.groups[group].key
    }

    /// The numbers of the rows of a group.
    pub(super) fn rows_of(&self, group: usize) -> Vec<usize> {
        let next = |row: &usize| Some(self.next[*row]).filter(|next| *next != NONE);
        std::iter::successors(Some(self.groups[group].first), next).collect()
    }

    /// The labels that a row gives to results.
    pub(super) fn labels(&mut self, row: usize) -> Labels {
        self.rows.as_mut()[row].0.labels().clone()
    }

    /// The number of a group's first row.
    pub(super) fn first(&self, group: usize) -> usize {
        self.groups[group].first
    }

    /// A row.
    pub(super) fn row(&self, row: usize) -> &Row {
        self.rows.row(row)
    }

    /// A row, and the steps at which pairs were made of its group.
    pub(super) fn row_and_paired(&mut self, row: usize, group: usize) -> (&Row, &mut [u64]) {
        (self.rows.row(row), paired_of(&mut self.paired, group, self.steps))
    }

    /// The steps at which pairs were made of a group.
    pub(super) fn paired(&mut self, group: usize) -> &mut [u64] {
        paired_of(&mut self.paired, group, self.steps)
    }

    /// The first step at which two rows of one group have a point and `any` is set.
    pub(super) fn first_clash(&self, any: &[u64]) -> Option<usize> {
        let both = self.clashes.iter().zip(any).map(|(clashes, any)| clashes & any);
        both.enumerate().find_map(|(word, both)| Some(word * WORD + steps_of(both).next()?))
    }

    /// True when some group has two rows with a point at one step.
    pub(super) fn clash(&self) -> bool {
        self.clashes.iter().any(|word| *word != 0)
    }
}

fn paired_of(all: &mut [u64], group: usize, steps: usize) -> &mut [u64] {
    let words = words(steps);
    &mut all[group * words..][..words]
}

/// Puts the points of `row` where `known` has none.
pub(super) fn merge(known: &mut Row, row: &Row) {
    for word in 0..words(known.values().len()) {
        for step in steps_of(row.present_at(word) & !known.present_at(word)) {
            let step = word * WORD + step;
            known.set_point(step, row.point(step));
        }
    }
}

#[cfg(test)]
mod tests {
    use model::StepGrid;
    use plan::QueryLimits;

    use super::*;

    fn row(values: &[Option<f64>]) -> Row {
        let mut row = Row::default();
        row.reset_to_grid(StepGrid::new(0, values.len() as i64 - 1, 1), values.len());
        for (step, value) in values.iter().enumerate() {
            row.samples.values[step] = value.unwrap_or(crate::row::ABSENT);
        }
        row
    }

    #[test]
    fn rows_of_a_group_are_told_apart_by_the_labels_that_they_give() {
        let budget = Budget::new(QueryLimits::default());
        let mut groups = Groups::new(&budget, 3);
        let key = Labels::from_pairs([("host", "a")]);
        let given = |value: &str| Labels::from_pairs([("rack", value)]);
        let group = groups.insert(key, given("1"), row(&[Some(1.0), None, None])).unwrap();
        groups.add(group, &given("2"), &mut row(&[None, Some(2.0), None])).unwrap();
        groups.add(group, &given("1"), &mut row(&[None, None, Some(3.0)])).unwrap();
        assert!(!groups.clash());
        assert_eq!(groups.rows_of(group), [0, 1]);
        assert_eq!(groups.row(0).present_at(0), 0b101);
        // Clashes with what was merged into the first row, under labels that are new.
        groups.add(group, &given("3"), &mut row(&[None, None, Some(4.0)])).unwrap();
        assert_eq!(groups.first_clash(&[0b100]), Some(2));
        assert_eq!((groups.first_clash(&[0b011]), groups.rows_of(group)), (None, vec![0, 1, 2]));
        groups.add(group, &given("2"), &mut row(&[Some(5.0), None, None])).unwrap();
        assert_eq!((groups.first_clash(&[0b111]), groups.rows_of(group).len()), (Some(0), 3));
    }
}
