//! Two sides combined by matching labels, step by step.
//!
//! The side of which a match group may have one row per step is collected; the other one streams
//! past it. Errors are those of the single steps: rows that share a group but no step are no clash.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{Histogram, LabelBuilder, Labels, LabelsRef, METRIC_NAME, StepGrid};
use plan::node::Number;
use plan::semantics::{BinaryOp, Cardinality, Matching, Naming};
use plan::{AnnotationKind, EvalError, Join, Span};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::arithmetic::combine;
use crate::operators::pairs::{Paired, paired};
use crate::operators::{distinct, sets};
use crate::row::{ABSENT, Identity, METRIC_LABELS, Point, Row, Rows, is_absent};

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
    let mut matcher = Matcher::new(executor, join, grid, span)?;
    distinct::stream(executor, |sink| matcher.run(executor, sink), sink)
}

/// The packed labels that decide a row's match group.
pub(crate) fn signature(matching: &Matching, labels: &Labels, out: &mut Vec<u8>) {
    out.clear();
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels.view().put_some(out, listed);
    } else {
        labels.view().put_some(out, |name| name != METRIC_NAME && !listed(name));
    }
}

/// A match group: its rows on the "one" side, and what was paired with them.
struct Group {
    /// Rows of the "one" side.
    rows: Vec<usize>,
    /// One-to-one: steps at which a pair was made.
    paired: Vec<bool>,
    /// Grouped: the same per labels of the result.
    paired_by_labels: HashMap<Labels, Vec<bool>>,
}

impl Group {
    fn new(steps: usize) -> Self {
        Self { rows: Vec::new(), paired: vec![false; steps], paired_by_labels: HashMap::new() }
    }

    /// Whether a pair was made at `step`; two values that the operator is not made for are none.
    fn is_paired_at(&self, step: usize) -> bool {
        self.paired[step] || self.paired_by_labels.values().any(|paired| paired[step])
    }
}

struct Matcher<'j, 'e> {
    join: &'j Join,
    grid: StepGrid,
    steps: usize,
    /// The "one" side is the left one.
    swapped: bool,
    one: Rows<'e>,
    groups: HashMap<Vec<u8>, Group>,
    naming: Naming,
    span: Option<Span>,
    /// Value of a missing row of the "one" side, of the "many" side.
    fill_one: Option<Number>,
    fill_many: Option<Number>,
    /// The earliest step at which pairs are not unique.
    failure: RefCell<Option<(usize, EvalError)>>,
    /// The remark about the last remarkable pair of each step, which is the only one the reference
    /// gives; empty as long as there is none.
    notes: RefCell<Vec<Option<AnnotationKind>>>,
    key: Vec<u8>,
}

impl<'j, 'e> Matcher<'j, 'e> {
    fn new(
        executor: &Executor<'e>,
        join: &'j Join,
        grid: StepGrid,
        span: Option<Span>,
    ) -> Result<Self, ExecError> {
        let naming = executor.naming;
        let swapped = join.matching.cardinality == Cardinality::OneToMany;
        let (fill_left, fill_right) = join.matching.fill;
        let (fill_one, fill_many) =
            if swapped { (fill_left, fill_right) } else { (fill_right, fill_left) };
        let one = if swapped {
            executor.collect(&join.left)?
        } else {
            let right = executor.collect(&join.right);
            right.map_err(|error| executor.leftmost(&join.left, error))?
        };
        let steps = grid.len();
        let groups = HashMap::new();
        let key = Vec::new();
        let mut matcher = Self {
            join,
            grid,
            steps,
            swapped,
            one,
            groups,
            naming,
            span,
            fill_one,
            fill_many,
            failure: RefCell::default(),
            notes: RefCell::default(),
            key,
        };
        for index in 0..matcher.one.len() {
            let (identity, _) = &mut matcher.one.as_mut()[index];
            signature(&join.matching, identity.labels(), &mut matcher.key);
            let group = matcher.groups.entry_ref(matcher.key.as_slice());
            group.or_insert_with(|| Group::new(steps)).rows.push(index);
        }
        Ok(matcher)
    }

    fn run(&mut self, executor: &Executor<'_>, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let many = if self.swapped { &self.join.right } else { &self.join.left };
        let filled = self.fill_many.is_some() || self.fill_one.is_some();
        let mut any_many = vec![filled; self.steps];
        let clashes = self.first_clashes();
        executor.stream(many, &mut |identity, row| {
            Side::of(row).mark_present(&mut any_many);
            self.pair(identity, row, sink)
        })?;
        self.fill_missing_many(sink)?;
        for note in self.notes.take().into_iter().flatten() {
            executor.annotate(note, self.span);
        }
        let failure = self.failure.take();
        // A clash on the "one" side counts at every step at which there is anything to match, and is
        // met before any pair of that step is made.
        let clash = clashes.into_iter().find(|(step, _)| any_many[*step]);
        match (clash, failure) {
            (Some((step, clash)), failure)
                if failure.as_ref().is_none_or(|(at, _)| step <= *at) =>
            {
                Err(self.clash_error(clash).into())
            }
            (_, Some((_, error))) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Per step the first two rows of the "one" side that share a group.
    fn first_clashes(&self) -> Vec<(usize, (usize, usize))> {
        let mut clashes = Vec::new();
        for group in self.groups.values().filter(|group| group.rows.len() > 1) {
            for step in 0..self.steps {
                let here = |row: &&usize| {
                    let row = self.one.row(**row);
                    step < row.values().len() && !row.is_absent_at(step)
                };
                let mut present = group.rows.iter().filter(here);
                if let (Some(earlier), Some(later)) = (present.next(), present.next()) {
                    clashes.push((step, (*earlier, *later)));
                }
            }
        }
        clashes.sort_unstable();
        clashes
    }

    fn clash_error(&mut self, (earlier, later): (usize, usize)) -> EvalError {
        let rows = self.one.as_mut();
        let earlier = rows[earlier].0.labels().clone();
        let later = rows[later].0.labels().clone();
        signature(&self.join.matching, &later, &mut self.key);
        EvalError::DuplicateMatch {
            group: LabelsRef::from_packed(&self.key).to_string(),
            side: if self.swapped { "left" } else { "right" },
            later: later.to_string(),
            earlier: earlier.to_string(),
        }
    }

    /// Combines a row of the "many" side with its group.
    fn pair(
        &mut self,
        identity: &mut Identity<'_>,
        row: &Row,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        signature(&self.join.matching, identity.labels(), &mut self.key);
        let steps = self.steps;
        if !self.groups.contains_key(self.key.as_slice()) {
            if self.fill_one.is_none() {
                return Ok(());
            }
            self.groups.insert(self.key.clone(), Group::new(steps));
        }
        let Some(mut group) = self.groups.remove(self.key.as_slice()) else { return Ok(()) };
        let key = self.key.clone();
        let outcome = self.pair_with(&mut group, &key, (identity, row), sink);
        self.groups.insert(key, group);
        outcome
    }

    fn pair_with(
        &mut self,
        group: &mut Group,
        key: &[u8],
        (identity, row): (&mut Identity<'_>, &Row),
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let labels = identity.labels().clone();
        let mut out = Row::default();
        for place in 0..group.rows.len() {
            let index = group.rows[place];
            let one_labels = self.one.as_mut()[index].0.labels().clone();
            let result = self.result_labels(&labels, &one_labels);
            out.reset_to_grid(self.grid, self.steps);
            let sides = (Side::of(row), Side::of(self.one.row(index)));
            self.combine(group, &result, sides, &mut out);
            self.emit(result, &mut out, sink)?;
        }
        let Some(fill) = self.fill_one else { return Ok(()) };
        let mut missing = vec![fill.0; self.steps];
        for index in &group.rows {
            let row = self.one.row(*index);
            for (at, missing) in missing.iter_mut().enumerate().take(row.values().len()) {
                if !row.is_absent_at(at) {
                    *missing = ABSENT;
                }
            }
        }
        let one_labels = LabelsRef::from_packed(key).to_labels();
        let result = self.result_labels(&labels, &one_labels);
        out.reset_to_grid(self.grid, self.steps);
        let sides = (Side::of(row), Side { values: &missing, histograms: &[] });
        self.combine(group, &result, sides, &mut out);
        self.emit(result, &mut out, sink)
    }

    fn combine(
        &self,
        group: &mut Group,
        result: &Labels,
        (many, one): (Side<'_>, Side<'_>),
        out: &mut Row,
    ) {
        let one_to_one = self.join.matching.cardinality == Cardinality::OneToOne;
        let steps = self.steps;
        let paired = if one_to_one {
            &mut group.paired
        } else {
            group.paired_by_labels.entry_ref(result).or_insert_with(|| vec![false; steps])
        };
        let again =
            if one_to_one { EvalError::ImplicitManyToOne } else { EvalError::AmbiguousGrouping };
        let trims = matches!(self.join.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if trims || !many.histograms.is_empty() || !one.histograms.is_empty() {
            for (index, paired) in paired.iter_mut().enumerate() {
                let (many, one) = (many.point(index), one.point(index));
                if matches!(many, Point::Absent) || matches!(one, Point::Absent) {
                    continue;
                }
                let (left, right) = if self.swapped { (one, many) } else { (many, one) };
                self.combine_points((&left, &right), paired, &again, (index, out));
            }
            return;
        }
        let slots = out.samples.values.iter_mut().zip(paired.iter_mut());
        let pairs = many.values.iter().zip(one.values);
        for (step, ((slot, paired), (many, one))) in slots.zip(pairs).enumerate() {
            if is_absent(*many) || is_absent(*one) {
                continue;
            }
            if std::mem::replace(paired, true) {
                self.fail(step, &again);
                continue;
            }
            let (left, right) = if self.swapped { (*one, *many) } else { (*many, *one) };
            *slot = combine(self.join.op, self.join.return_bool, left, right, left);
        }
    }

    /// One pair of which a side may be a native histogram. A pair that the operator is not made for is
    /// as if it were none, but one that is merely remarkable counts.
    fn combine_points(
        &self,
        (left, right): (&Point, &Point),
        taken: &mut bool,
        again: &EvalError,
        (index, out): (usize, &mut Row),
    ) {
        let (outcome, note) = paired(self.join.op, left, right);
        if let Some(note) = note {
            let mut notes = self.notes.borrow_mut();
            notes.resize(self.steps, None);
            notes[index] = Some(note);
        }
        let return_bool = self.join.return_bool;
        let truth = |holds: bool| Point::Float(f64::from(u8::from(holds)));
        let point = match outcome {
            Paired::Nothing => return,
            Paired::Unequal if return_bool => truth(false),
            Paired::Unequal => Point::Absent,
            Paired::Value(_) if return_bool => truth(true),
            Paired::Value(value) => value,
        };
        if std::mem::replace(taken, true) {
            self.fail(index, again);
        } else {
            out.set_point(index, point);
        }
    }

    /// Remembers that the query fails at `step`: the first step that fails gives the error.
    fn fail(&self, step: usize, error: &EvalError) {
        let mut failure = self.failure.borrow_mut();
        if failure.as_ref().is_none_or(|(known, _)| step < *known) {
            *failure = Some((step, error.clone()));
        }
    }

    /// Pairs the rows of the "one" side with what fills in where none was made with the other side.
    fn fill_missing_many(&mut self, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let Some(fill) = self.fill_many else { return Ok(()) };
        let mut out = Row::default();
        for index in 0..self.one.len() {
            let one_labels = self.one.as_mut()[index].0.labels().clone();
            signature(&self.join.matching, &one_labels, &mut self.key);
            let Some(mut group) = self.groups.remove(self.key.as_slice()) else { continue };
            let many: Vec<f64> = (0..self.steps)
                .map(|step| if group.is_paired_at(step) { ABSENT } else { fill.0 })
                .collect();
            let many_labels = LabelsRef::from_packed(&self.key).to_labels();
            let result = self.result_labels(&many_labels, &one_labels);
            out.reset_to_grid(self.grid, self.steps);
            let many = Side { values: &many, histograms: &[] };
            let sides = (many, Side::of(self.one.row(index)));
            self.combine(&mut group, &result, sides, &mut out);
            self.groups.insert(self.key.clone(), group);
            self.emit(result, &mut out, sink)?;
        }
        Ok(())
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.join.matching;
        let listed = |name: &str| matching.labels.iter().any(|label| label == name);
        let drops_name =
            self.join.op.changes_quantity() || (self.join.return_bool && !self.naming.at_end);
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        if !one_to_one
            && matching.include.is_empty()
            && (!drops_name || METRIC_LABELS.iter().all(|name| many.get(name).is_none()))
        {
            return many.clone();
        }
        let mut builder = LabelBuilder::from_labels(many.view());
        if drops_name {
            builder.retain(|name| !METRIC_LABELS.contains(&name));
        }
        if one_to_one {
            builder.retain(|name| listed(name) == matching.on);
        }
        for name in &matching.include {
            builder.set(name, one.get(name).unwrap_or_default());
        }
        builder.build()
    }

    fn emit(&self, labels: Labels, out: &mut Row, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        if out.is_empty() {
            return Ok(());
        }
        let mut identity = Identity::known(labels);
        // The reference marks nothing else: a filter between vectors keeps even a name that an
        // operand was to lose.
        identity.name_pending = self.naming.at_end && self.join.return_bool;
        sink(&mut identity, out)
    }
}

/// The points of a row, or of what fills in for one.
#[derive(Clone, Copy)]
struct Side<'r> {
    values: &'r [f64],
    /// Empty, or as many as there are values.
    histograms: &'r [Option<Arc<Histogram>>],
}

impl<'r> Side<'r> {
    fn of(row: &'r Row) -> Self {
        Self { values: row.values(), histograms: &row.samples.histograms }
    }

    fn point(&self, index: usize) -> Point {
        match self.histograms.get(index) {
            Some(Some(histogram)) => Point::Histogram(histogram.clone()),
            _ => self.values.get(index).map_or(Point::Absent, |value| Point::from_float(*value)),
        }
    }

    fn mark_present(&self, marks: &mut [bool]) {
        for (mark, value) in marks.iter_mut().zip(self.values) {
            *mark |= !is_absent(*value);
        }
        for (mark, histogram) in marks.iter_mut().zip(self.histograms) {
            *mark |= histogram.is_some();
        }
    }
}
