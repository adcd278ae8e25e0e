//! Two sides combined by matching labels, step by step.
//!
//! The side of which a match group may have one row per step is collected; the other one streams
//! past it. Errors are those of the single steps: rows that share a group but no step are no clash.
//!
//! Where the match group alone decides what a result is called (one to one, with `on` or a new
//! quantity), of neither side more labels are read than those that decide (`by_group`); else results are
//! told apart by their labels (`by_labels`).

mod by_group;
mod by_labels;
mod groups;
mod labels;
mod pairing;

use hashbrown::HashMap;
use model::{Labels, LabelsRef, SourceError, StepGrid};
use plan::semantics::{Cardinality, Naming};
use plan::{EvalError, Join, Node, Span};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::presence::{full, words};
use crate::operators::join::groups::Groups;
use crate::operators::join::labels::ResultLabels;
use crate::operators::join::pairing::Pairing;
use crate::operators::signature::Signature;
use crate::operators::{distinct, sets};
use crate::row::{ABSENT, Identity, Row};

/// The combined rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    join: &Join,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    if join.op.is_set() {
        return sets::stream(executor, join, sink);
    }
    let Some(grid) = plan::check::grid(&join.left).or_else(|| plan::check::grid(&join.right))
    else {
        return Err(ExecError::Internal("a join of rows without a grid".to_owned()));
    };
    let mut matcher = Matcher::new(executor, join, grid);
    matcher.collect_one(executor)?;
    if matcher.names.are_of_groups() {
        return by_group::stream(matcher, executor, span, sink);
    }
    let run = |sink: &mut Sink<'_>| {
        by_labels::stream(&mut matcher, executor, sink)?;
        matcher.finish(executor, span)
    };
    distinct::stream(executor, run, sink)
}

/// A join under way.
struct Matcher<'j, 'e> {
    join: &'j Join,
    grid: StepGrid,
    steps: usize,
    one: &'j Node,
    many: &'j Node,
    /// Value of a missing row of the "one" side, of the "many" side.
    fill_one: Option<f64>,
    fill_many: Option<f64>,
    naming: Naming,
    names: ResultLabels<'j>,
    signature: Signature,
    groups: Groups<'e>,
    pairing: Pairing<'j>,
    /// Steps at which there is anything to match with the "one" side; only told where that has clashes.
    any_many: Vec<u64>,
    /// The key of the row at hand.
    key: Vec<u8>,
}

impl<'j, 'e> Matcher<'j, 'e> {
    fn new(executor: &Executor<'e>, join: &'j Join, grid: StepGrid) -> Self {
        let swapped = join.matching.cardinality == Cardinality::OneToMany;
        let (left, right) =
            ((&*join.left, join.matching.fill.0), (&*join.right, join.matching.fill.1));
        let ((one, fill_one), (many, fill_many)) =
            if swapped { (left, right) } else { (right, left) };
        let steps = grid.len();
        let mut any_many = vec![0; words(steps)];
        if fill_one.is_some() || fill_many.is_some() {
            any_many.fill(full(u64::BITS as usize));
        }
        Self {
            join,
            grid,
            steps,
            one,
            many,
            fill_one: fill_one.map(|fill| fill.0),
            fill_many: fill_many.map(|fill| fill.0),
            naming: executor.naming,
            names: ResultLabels::new(join, executor.naming),
            signature: Signature::new(&join.matching),
            groups: Groups::new(executor.budget, steps),
            pairing: Pairing::new(join),
            any_many,
            key: Vec::new(),
        }
    }

    /// Reads the "one" side.
    fn collect_one(&mut self, executor: &Executor<'_>) -> Result<(), ExecError> {
        let outcome = executor.stream(self.one, &mut |identity, row| self.add_one(identity, row));
        // The right side is read first.
        let is_right = std::ptr::eq(self.one, &*self.join.right);
        match outcome {
            Err(error) if is_right => Err(executor.leftmost(&self.join.left, error)),
            outcome => outcome,
        }
    }

    fn add_one(&mut self, identity: &mut Identity<'_>, row: &mut Row) -> Result<(), ExecError> {
        self.signature.put(identity, &mut self.key);
        row.lie_on(self.grid, self.steps);
        // Where the group decides, all rows of a group give results the same labels.
        let labels = self.names.included(identity);
        match self.groups.find(&self.key) {
            Some(group) => self.groups.add(group, &labels, row),
            None => {
                let key = LabelsRef::from_packed(&self.key).to_labels();
                self.groups.insert(key, labels, std::mem::take(row)).map(|_| ())
            }
        }
    }

    /// The group of a row of the "many" side. `None` where it has nobody to pair with.
    fn group_of(&mut self, identity: &mut Identity<'_>) -> Result<Option<usize>, ExecError> {
        self.signature.put(identity, &mut self.key);
        let known = self.groups.find(&self.key);
        if known.is_some() || self.fill_one.is_none() {
            return Ok(known);
        }
        let key = LabelsRef::from_packed(&self.key).to_labels();
        let row = self.row_of(ABSENT);
        self.groups.insert(key, Labels::empty(), row).map(Some)
    }

    /// Notes at which steps a row of the "many" side has a point, where that matters.
    fn note_presence(&mut self, many: &Row) {
        if self.groups.clash() {
            let words = self.any_many.iter_mut().enumerate();
            words.for_each(|(word, any)| *any |= many.present_at(word));
        }
    }

    /// A row with the same value at all steps.
    fn row_of(&self, value: f64) -> Row {
        let mut row = Row::default();
        row.reset_to_grid(self.grid, self.steps);
        row.samples.values.fill(value);
        row
    }

    /// Whose name is still to be taken off: the reference marks nothing else than truth values, a filter
    /// between vectors keeps even a name that an operand was to lose.
    fn leaves_name(&self) -> bool {
        self.naming.at_end && self.join.return_bool
    }

    /// Once both sides were read: the remarks, and the error of the first step that has one.
    fn finish(&mut self, executor: &Executor<'_>, span: Option<Span>) -> Result<(), ExecError> {
        self.pairing.take_notes().for_each(|note| executor.annotate(note, span));
        let failure = self.pairing.failure();
        // A clash on the "one" side counts at every step at which there is anything to match, and is
        // met before any pair of that step is made.
        match (self.groups.first_clash(&self.any_many), failure) {
            (Some(clash), Some((step, error))) if step < clash => Err(error.into()),
            (Some(clash), _) => Err(self.clash_error(executor, clash)),
            (None, Some((_, error))) => Err(error.into()),
            (None, None) => Ok(()),
        }
    }

    /// The error of two rows of the "one" side that share a group at `step`. That side is read once more,
    /// since only now the labels of its rows are wanted.
    fn clash_error(&self, executor: &Executor<'_>, step: usize) -> ExecError {
        let mut met: HashMap<Vec<u8>, Labels> = HashMap::new();
        let (mut key, mut clash) = (Vec::new(), None);
        let mut held = executor.budget.hold();
        let outcome = executor.stream(self.one, &mut |identity, row| {
            if clash.is_some() || step >= row.values().len() || row.is_absent_at(step) {
                return Ok(());
            }
            self.signature.put(identity, &mut key);
            held.add(1, 0)?;
            let labels = identity.labels().clone();
            if let Some(earlier) = met.insert(key.clone(), labels.clone()) {
                clash = Some([labels.to_string(), earlier.to_string()]);
            }
            Ok(())
        });
        match (outcome, clash) {
            (Err(error), _) => error,
            (Ok(()), Some(mut rows)) => {
                rows.sort_unstable();
                let side = if std::ptr::eq(self.one, &*self.join.left) { "left" } else { "right" };
                let group = LabelsRef::from_packed(&key).to_string();
                EvalError::DuplicateMatch { group, side, rows }.into()
            }
            (Ok(()), None) => ExecError::from(SourceError::Unavailable {
                message: "the series of a join changed while they were read".to_owned(),
            }),
        }
    }
}
