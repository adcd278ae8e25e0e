//! Two rows combined step by step.

use plan::semantics::{BinaryOp, Cardinality};
use plan::{AnnotationKind, EvalError, Join};

use crate::kernels::arithmetic::{Operand, combine_at};
use crate::kernels::presence::{WORD, full, steps_of, word_of};
use crate::operators::pairs::{Paired, paired};
use crate::row::{ABSENT, Point, Row};

/// How the rows of a join are combined, and what was met on the way.
pub(super) struct Pairing<'j> {
    join: &'j Join,
    /// The "one" side is the left one.
    swapped: bool,
    /// The earliest step at which pairs are not unique.
    failed_at: Option<usize>,
    /// The remark about the last remarkable pair of each step, which is the only one the reference
    /// gives; empty as long as there is none.
    notes: Vec<Option<AnnotationKind>>,
}

impl<'j> Pairing<'j> {
    /// Nothing combined yet.
    pub(super) fn new(join: &'j Join) -> Self {
        let swapped = join.matching.cardinality == Cardinality::OneToMany;
        Self { join, swapped, failed_at: None, notes: Vec::new() }
    }

    /// What is remarkable about the pairs.
    pub(super) fn take_notes(&mut self) -> impl Iterator<Item = AnnotationKind> + use<> {
        std::mem::take(&mut self.notes).into_iter().flatten()
    }

    /// The earliest step at which pairs were not unique, and how the query fails there.
    pub(super) fn failure(&self) -> Option<(usize, EvalError)> {
        let error = match self.join.matching.cardinality {
            Cardinality::OneToOne => EvalError::ImplicitManyToOne,
            _ => EvalError::AmbiguousGrouping,
        };
        Some((self.failed_at?, error))
    }

    /// Makes `many` the result of its pairs with `one`, a row of the other side with as many steps: where
    /// both have a point. Marks these steps in `paired`; those that are marked already fail.
    pub(super) fn combine(&mut self, many: &mut Row, one: &Row, paired: &mut [u64]) {
        let trims = matches!(self.join.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
        if trims || many.has_histograms() || one.has_histograms() {
            self.combine_points(many, one, paired);
        } else {
            self.combine_floats(&mut many.samples.values, one.values(), paired);
        }
    }

    fn combine_floats(&mut self, many: &mut [f64], one: &[f64], paired: &mut [u64]) {
        let operand = if self.swapped { Operand::Right } else { Operand::Left };
        let op = (self.join.op, self.join.return_bool);
        let runs = many.chunks_mut(WORD).zip(one.chunks(WORD)).zip(paired);
        for (word, ((many, one), paired)) in runs.enumerate() {
            let both = word_of(many) & word_of(one);
            let fresh = both & !*paired;
            if fresh != both {
                self.fail(word * WORD + (both & *paired).trailing_zeros() as usize);
            }
            *paired |= both;
            combine_at(op, (&mut *many, operand), one, fresh);
            if fresh != full(many.len()) {
                steps_of(!fresh & full(many.len())).for_each(|step| many[step] = ABSENT);
            }
        }
    }

    /// As [`Self::combine_floats`] where a native histogram may be met. A pair that the operator is not
    /// made for is as if it were none, but one that is merely remarkable counts.
    fn combine_points(&mut self, many: &mut Row, one: &Row, paired: &mut [u64]) {
        for step in 0..many.values().len() {
            let (mine, theirs) = (many.point(step), one.point(step));
            let (left, right) = if self.swapped { (&theirs, &mine) } else { (&mine, &theirs) };
            let (word, bit) = (&mut paired[step / WORD], 1 << (step % WORD));
            match self.result_of(left, right, step) {
                Some(point) if *word & bit == 0 => {
                    *word |= bit;
                    many.set_point(step, point);
                    continue;
                }
                Some(_) => self.fail(step),
                None => {}
            }
            many.clear_at(step);
        }
    }

    /// What becomes of a pair of points; `None` where it is none.
    fn result_of(&mut self, left: &Point, right: &Point, step: usize) -> Option<Point> {
        let (outcome, note) = paired(self.join.op, left, right);
        if note.is_some() {
            self.notes.resize(self.notes.len().max(step + 1), None);
            self.notes[step] = note;
        }
        let return_bool = self.join.return_bool;
        let truth = |holds: bool| Point::Float(f64::from(u8::from(holds)));
        match outcome {
            Paired::Nothing => None,
            Paired::Unequal if return_bool => Some(truth(false)),
            Paired::Unequal => Some(Point::Absent),
            Paired::Value(_) if return_bool => Some(truth(true)),
            Paired::Value(value) => Some(value),
        }
    }

    /// Remembers that the query fails at `step`: the first step that fails gives the error.
    fn fail(&mut self, step: usize) {
        self.failed_at = Some(self.failed_at.map_or(step, |known| known.min(step)));
    }
}
