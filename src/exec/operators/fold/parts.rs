//! Folds the series of one scan by several threads; the rows come in the order of the scan all the same.
//!
//! The scan is cut into parts of consecutive series. Whoever is free takes the next part: a helper keeps its
//! rows until their turn comes; the query's own thread first hands on what others have kept and then streams
//! its part without keeping anything. What follows (sums, answers) happens on the query's own thread, so no
//! answer depends on who was faster.
//!
//! Invariants: nobody waits for a part that nobody works on; helpers stay [`AHEAD`] parts ahead at most, which
//! bounds what is kept. Rows of native histograms may be large: a part for which there is no room is given up
//! and folded again when its turn comes, by the query's own thread, which keeps nothing.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use base::cancel::Stopped;
use model::{Selection, histogram};
use parking_lot::{Condvar, Mutex};
use plan::semantics::Buckets;
use plan::{Annotation, Fold, Node, Op};

use crate::budget::{Budget, Held};
use crate::error::ExecError;
use crate::executor::{Executor, Part, Sink};
use crate::operators::scan;
use crate::row::{Identity, Row};

/// About how many values the rows of a part have.
const PART_VALUES: usize = 32 * 1024;
/// Series of a part, at least and at most: at the end of a scan one thread waits for the part of the other.
const PART_SERIES: (usize, usize) = (8, 32);
/// Values of a row whose instants are not known before it is read.
const STEPS_GUESSED: usize = 512;
/// Parts that may be kept or worked on beyond the one whose turn it is.
const AHEAD: usize = 8;
/// Weight of the histograms that may be kept, in samples; less where the query may hold less.
const KEPT_WEIGHT_MAX: usize = 2 << 20;
/// A helper comes for so many parts.
const PARTS_PER_HELPER: usize = 3;

/// Folds the rows of one part: the executor's.
pub(super) type Run<'r> = dyn Fn(&Executor<'_>, &mut Sink<'_>) -> Result<(), ExecError> + Sync + 'r;

/// Folds by `run`: at once, or in parts where the input is a scan of many series and a thread is free.
pub(super) fn stream(
    executor: &Executor<'_>,
    fold: &Fold,
    run: &Run<'_>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let is_constant = |node: &Node| matches!(node.op, Op::Constant(..));
    let Op::Scan(scan) = &fold.input.op else { return run(executor, sink) };
    let helpers = &executor.context.helpers;
    let in_parts = executor.part.is_none()
        && !executor.context.analyze
        && fold.arguments.iter().all(is_constant)
        && helpers.pay_for(scan.range);
    if !in_parts {
        return run(executor, sink);
    }
    let selection = scan::select(executor, scan)?;
    let count = selection.len();
    let size = part_size(fold);
    let parts = count.div_ceil(size);
    let taken = helpers.take(parts / PARTS_PER_HELPER, count);
    let pool = if taken.is_empty() { None } else { helpers.pool() };
    let Some(pool) = pool else {
        let all = Part { selection: &*selection, start: 0, end: count };
        let part = executor.of_part(all);
        let outcome = run(&part, sink);
        executor.absorb(part.into_annotations());
        return outcome;
    };
    let board = Board {
        selection: &*selection,
        budget: executor.budget,
        size,
        parts,
        weight_max: executor.budget.cache_samples_max().min(KEPT_WEIGHT_MAX),
        state: Mutex::default(),
        turn: Condvar::new(),
    };
    pool.in_place_scope(|scope| {
        for busy in taken {
            let board = &board;
            scope.spawn(move |_| {
                let _busy = busy;
                board.help(executor, run);
                // Under a limit a thread that waits holds nothing that it does not need.
                executor.context.memory.give_back();
            });
        }
        board.lead(executor, run, sink)
    })
}

fn part_size(fold: &Fold) -> usize {
    let steps = match &fold.buckets {
        Buckets::Steps { grid, .. } | Buckets::Fixed { grid, .. } => grid.len(),
        Buckets::Whole(_) => 1,
        _ => STEPS_GUESSED,
    };
    (PART_VALUES / steps.max(1)).clamp(PART_SERIES.0, PART_SERIES.1)
}

/// A part that waits for its turn.
struct Kept<'s> {
    rows: Vec<(Identity<'s>, Row)>,
    /// What the histograms of the rows hold.
    held: Held<'s>,
    annotations: Vec<Annotation>,
    outcome: Result<(), ExecError>,
}

/// What the query's own thread does.
enum Move<'s> {
    /// Folds the part whose turn it is and hands its rows on at once.
    Stream,
    /// Hands on what was kept of it.
    HandOn(Kept<'s>),
    /// Folds a later one, while another thread has that part in hand.
    WorkAhead(usize),
}

/// Who does what.
#[derive(Default)]
struct State<'s> {
    /// The first part that nobody has taken.
    next: usize,
    /// The part whose turn it is.
    turn: usize,
    kept: BTreeMap<usize, Kept<'s>>,
    /// Weight of the histograms in parts that are kept or on their way to it.
    weight: usize,
    /// Parts that somebody has taken and found no room for.
    given_up: BTreeSet<usize>,
    /// A single part is too large to be kept: the query's own thread goes on alone.
    is_large: bool,
    /// The query has ended, or a helper has died.
    stopped: bool,
}

/// What the threads of one scan share.
struct Board<'s> {
    selection: &'s dyn Selection,
    budget: &'s Budget,
    /// Series of a part, but perhaps for the last.
    size: usize,
    parts: usize,
    weight_max: usize,
    state: Mutex<State<'s>>,
    /// The turn has gone on, a part is kept, or all is over.
    turn: Condvar,
}

/// Ends the work of the others when its holder ends, by panic or not.
struct StopOnDrop<'b, 's>(&'b Board<'s>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.turn.notify_all();
    }
}

impl<'s> Board<'s> {
    fn part(&self, number: usize) -> Part<'s> {
        let start = number * self.size;
        let end = self.selection.len().min(start + self.size);
        Part { selection: self.selection, start, end }
    }

    /// The query's own thread: hands on the rows of one part after the other.
    fn lead(
        &self,
        executor: &Executor<'_>,
        run: &Run<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), ExecError> {
        let _stop = StopOnDrop(self);
        let mut turn = 0;
        while turn < self.parts {
            match self.next_move(turn)? {
                Move::Stream => {
                    let part = executor.of_part(self.part(turn));
                    let outcome = run(&part, sink);
                    executor.absorb(part.into_annotations());
                    outcome?;
                }
                Move::HandOn(kept) => {
                    let Kept { rows, held, annotations, outcome } = kept;
                    for (mut identity, mut row) in rows {
                        sink(&mut identity, &mut row)?;
                    }
                    executor.absorb(annotations);
                    outcome?;
                    self.state.lock().weight -= held.samples();
                }
                Move::WorkAhead(number) => {
                    self.keep(number, executor, run);
                    continue;
                }
            }
            turn += 1;
            self.state.lock().turn = turn;
            self.turn.notify_all();
        }
        Ok(())
    }

    /// What the query's own thread does next, at the turn of part `turn`.
    fn next_move(&self, turn: usize) -> Result<Move<'s>, ExecError> {
        let mut state = self.state.lock();
        loop {
            if let Some(kept) = state.kept.remove(&turn) {
                return Ok(Move::HandOn(kept));
            }
            if state.given_up.remove(&turn) {
                return Ok(Move::Stream);
            }
            match self.take(&mut state) {
                Some(number) if number == turn => return Ok(Move::Stream),
                Some(number) => return Ok(Move::WorkAhead(number)),
                None if state.stopped => {
                    return Err(ExecError::Internal("a thread of the query has died".to_owned()));
                }
                None => self.turn.wait(&mut state),
            }
        }
    }

    /// A helper: works ahead until there is nothing left.
    fn help(&self, executor: &Executor<'_>, run: &Run<'_>) {
        let stop = StopOnDrop(self);
        while let Some(number) = self.wait_for_part() {
            self.keep(number, executor, run);
        }
        // Who ends in order stops nobody.
        std::mem::forget(stop);
    }

    fn wait_for_part(&self) -> Option<usize> {
        let mut state = self.state.lock();
        while !state.stopped && !state.is_large && state.next < self.parts {
            let taken = self.take(&mut state);
            if taken.is_some() {
                return taken;
            }
            self.turn.wait(&mut state);
        }
        None
    }

    /// Takes the next part, if there is one and it is not too far ahead for what is kept already.
    fn take(&self, state: &mut State<'s>) -> Option<usize> {
        let number = state.next;
        let is_near =
            number <= state.turn + AHEAD && state.weight <= self.weight_max / 2 && !state.is_large;
        let is_free = number < self.parts && (is_near || number == state.turn);
        state.next += usize::from(is_free);
        is_free.then_some(number)
    }

    /// True while `weight` more may be kept of the part `number`. What it is the turn of is about to go.
    fn has_room(&self, number: usize, weight: usize) -> bool {
        let mut state = self.state.lock();
        state.weight += weight;
        state.weight <= self.weight_max || state.turn == number
    }

    /// Folds a part and keeps its rows for their turn, or gives it up.
    fn keep(&self, number: usize, executor: &Executor<'_>, run: &Run<'_>) {
        let (mut rows, mut held) = (Vec::with_capacity(self.size), self.budget.hold());
        let mut is_given_up = false;
        let part = executor.of_part(self.part(number));
        let outcome = run(&part, &mut |identity, row| {
            if executor.wants_labels {
                // The query's own thread has enough to do.
                identity.labels();
            }
            let weight = histogram::weight(&row.samples.histograms);
            if weight > 0 {
                let has_room = self.has_room(number, weight);
                // What others do for it must not fail a query.
                is_given_up = held.add(0, weight).is_err() || !has_room;
            }
            if is_given_up {
                return Err(Stopped::Canceled.into());
            }
            rows.push((identity.placed(self.selection), std::mem::take(row)));
            Ok(())
        });
        let mut state = self.state.lock();
        if is_given_up {
            state.weight -= held.samples();
            state.is_large |= held.samples() > self.weight_max / 2;
            state.given_up.insert(number);
        } else {
            let annotations = part.into_annotations();
            state.kept.insert(number, Kept { rows, held, annotations, outcome });
        }
        drop(state);
        self.turn.notify_all();
    }
}
