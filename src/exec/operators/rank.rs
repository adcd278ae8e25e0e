//! The best rows of each group, unchanged.
//!
//! A heap per group and step holds the best values so far, so memory is `count` × steps and never
//! the input; a row's identity is kept while any heap holds a value of it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use hashbrown::HashMap;
use model::{Labels, StepGrid};
use plan::{AnnotationKind, EvalError, Rank, RankKind, Span};

use crate::error::ExecError;
use crate::executor::{Argument, Executor, Sink};
use crate::operators::grouping::Groups;
use crate::row::{Identity, Row, is_absent};
use base::number_text::general;

/// The chosen rows: of a single instant the best first, group by group; else in input order.
pub(crate) fn stream(
    executor: &Executor<'_>,
    rank: &Rank,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let count = executor.argument(&rank.count)?;
    match rank.kind {
        RankKind::Top | RankKind::Bottom => best(executor, rank, &counts(&count)?, span, sink),
        RankKind::First => first(executor, rank, &counts(&count)?, sink),
        RankKind::Ratio => {
            ratio(executor, rank, &ratios(executor, &count, rank.count.span.or(span))?, sink)
        }
    }
}

/// How many rows each step keeps.
struct Counts(Vec<usize>);

impl Counts {
    fn at(&self, index: usize) -> usize {
        self.0.get(index).or(self.0.first()).copied().unwrap_or_default()
    }
}

fn each(argument: &Argument) -> &[f64] {
    match argument {
        Argument::Constant(value) => std::slice::from_ref(value),
        Argument::Steps(values) => values,
    }
}

fn counts(argument: &Argument) -> Result<Counts, ExecError> {
    let bad = |text: String| Err(EvalError::BadArgument(text).into());
    let mut counts = Vec::new();
    for value in each(argument) {
        // The bounds of i64 as floats; the upper one is already outside.
        if value.is_nan() {
            return bad("Parameter value is NaN".to_owned());
        } else if *value >= i64::MAX as f64 {
            return bad(format!("Scalar value {} overflows int64", general(*value)));
        } else if *value <= i64::MIN as f64 {
            return bad(format!("Scalar value {} underflows int64", general(*value)));
        }
        counts.push(*value as usize);
    }
    Ok(Counts(counts))
}

/// A value in a heap whose top is the worst one.
struct Entry {
    value: f64,
    /// What tells rows with equal values apart before their number does.
    place: Option<Labels>,
    row: usize,
    ascending: bool,
}

impl Entry {
    /// `Greater` when `self` is the worse one: NaN, then by value, then the later place.
    fn worse(&self, other: &Self) -> Ordering {
        let by_value = match (self.value.is_nan(), other.value.is_nan()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let order = self.value.partial_cmp(&other.value).unwrap_or(Ordering::Equal);
                if self.ascending { order } else { order.reverse() }
            }
        };
        by_value.then_with(|| self.place.cmp(&other.place)).then(self.row.cmp(&other.row))
    }
}

/// Bytes of an entry beside those of a sample.
const ENTRY_BYTES: usize = size_of::<Entry>() - 16;

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.worse(other)
    }
}

/// A row that some heap holds.
struct Kept {
    place: Option<Labels>,
    identity: Identity<'static>,
    grid: Option<StepGrid>,
    steps: usize,
    uses: usize,
}

/// Steps that are compared with their bars at once.
const STEPS_AT_ONCE: usize = 16;

/// What is the best so far, for one query.
struct Contest<'c> {
    counts: &'c Counts,
    ascending: bool,
    /// Rows come in no order.
    unsorted: bool,
    /// Per group and step.
    heaps: Vec<Vec<BinaryHeap<Entry>>>,
    /// Per group and step what a value must beat, larger being better; NaN where any may do.
    bars: Vec<Vec<f64>>,
    kept: HashMap<usize, Kept>,
    /// Rows so far.
    rows: usize,
    /// Values in all heaps.
    held: usize,
}

fn best(
    executor: &Executor<'_>,
    rank: &Rank,
    counts: &Counts,
    span: Option<Span>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut groups = Groups::new(&rank.grouping);
    let ascending = rank.kind == RankKind::Bottom;
    let mut contest = Contest {
        counts,
        ascending,
        unsorted: rank.unsorted,
        heaps: Vec::new(),
        bars: Vec::new(),
        kept: HashMap::new(),
        rows: 0,
        held: 0,
    };
    let mut held = executor.budget.hold();
    executor.stream(&rank.input, &mut |identity, row| {
        let steps = row.values().len();
        if row.has_histograms() && (0..steps).any(|at| row.samples.histogram(at).is_some()) {
            let name = if ascending { "bottomk" } else { "topk" };
            executor.annotate(AnnotationKind::HistogramIgnored(name), span);
        }
        let (group, _) = groups.of(identity);
        let before = contest.held;
        contest.enter(group, identity, row);
        held.add_bytes((contest.held - before) * ENTRY_BYTES)?;
        held.set(contest.kept.len(), contest.held)
    })?;
    emit(contest.heaps, contest.kept, sink)
}

impl Contest<'_> {
    fn enter(&mut self, group: usize, identity: &mut Identity<'_>, row: &Row) {
        let steps = row.values().len();
        if self.rows == 0 {
            // Rows in no order are those of one scan; it may find them in order without being asked.
            self.unsorted &= !identity.in_order;
        }
        if self.heaps.len() <= group {
            self.heaps.resize_with(group + 1, Vec::new);
            self.bars.resize_with(group + 1, Vec::new);
        }
        if self.heaps[group].len() < steps {
            self.heaps[group].resize_with(steps, BinaryHeap::new);
            self.bars[group].resize(steps, f64::NAN);
        }
        let sign = if self.ascending { -1.0 } else { 1.0 };
        let (mut uses, mut place) = (0, None);
        for start in (0..steps).step_by(STEPS_AT_ONCE) {
            let part = start..steps.min(start + STEPS_AT_ONCE);
            // Most values fall short, and the bars lie side by side where the heaps do not: many are
            // compared at once, without a branch for each.
            let pairs = row.values()[part.clone()].iter().zip(&self.bars[group][part.clone()]);
            if pairs.fold(true, |all, (value, bar)| all & (sign * value < *bar)) {
                continue;
            }
            for index in part {
                let (value, bar) = (row.values()[index], self.bars[group][index]);
                let falls_short = sign * value < bar || (sign * value == bar && !self.unsorted);
                if falls_short || is_absent(value) {
                    continue;
                }
                if self.unsorted && place.is_none() {
                    place = Some(identity.source_labels());
                }
                uses += usize::from(self.offer(group, index, value, &place));
            }
        }
        if uses > 0 {
            let kept = Kept { place, identity: identity.keep(), grid: row.grid, steps, uses };
            self.kept.insert(self.rows, kept);
        }
        self.rows += 1;
    }

    /// Puts a value into its heap if it is good enough.
    fn offer(&mut self, group: usize, index: usize, value: f64, place: &Option<Labels>) -> bool {
        let heap = &mut self.heaps[group][index];
        let place = place.clone();
        let entry = Entry { value, place, row: self.rows, ascending: self.ascending };
        let room = self.counts.at(index);
        let mut taken = false;
        if heap.len() < room {
            heap.push(entry);
            self.held += 1;
            taken = true;
        } else if let Some(mut worst) = heap.peek_mut()
            && entry < *worst
        {
            release(&mut self.kept, std::mem::replace(&mut *worst, entry).row);
            taken = true;
        }
        if heap.len() == room {
            let sign = if self.ascending { -1.0 } else { 1.0 };
            self.bars[group][index] = heap.peek().map_or(f64::INFINITY, |worst| sign * worst.value);
        }
        taken
    }
}

fn release(kept: &mut HashMap<usize, Kept>, row: usize) {
    if let Some(entry) = kept.get_mut(&row) {
        entry.uses -= 1;
        if entry.uses == 0 {
            kept.remove(&row);
        }
    }
}

fn emit(
    heaps: Vec<Vec<BinaryHeap<Entry>>>,
    mut kept: HashMap<usize, Kept>,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut out = Row::default();
    if kept.values().all(|row| row.steps == 1) {
        for entry in heaps.into_iter().flatten().flat_map(BinaryHeap::into_sorted_vec) {
            if let Some(row) = kept.get_mut(&entry.row)
                && let Some(grid) = row.grid
            {
                out.reset_to_grid(grid, 1);
                out.samples.values[0] = entry.value;
                sink(&mut row.identity, &mut out)?;
            }
        }
        return Ok(());
    }
    let mut chosen: HashMap<usize, Vec<(usize, f64)>> = HashMap::new();
    for steps in heaps {
        for (index, heap) in steps.into_iter().enumerate() {
            for entry in heap {
                chosen.entry(entry.row).or_default().push((index, entry.value));
            }
        }
    }
    let mut rows: Vec<(usize, Kept)> = kept.into_iter().collect();
    rows.sort_unstable_by(|(a, one), (b, other)| one.place.cmp(&other.place).then(a.cmp(b)));
    for (number, mut row) in rows {
        let Some(grid) = row.grid else { continue };
        out.reset_to_grid(grid, row.steps);
        for (index, value) in chosen.get(&number).into_iter().flatten() {
            out.samples.values[*index] = *value;
        }
        sink(&mut row.identity, &mut out)?;
    }
    Ok(())
}

fn first(
    executor: &Executor<'_>,
    rank: &Rank,
    counts: &Counts,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut groups = Groups::new(&rank.grouping);
    let mut taken: Vec<Vec<usize>> = Vec::new();
    let mut held = executor.budget.hold();
    executor.stream(&rank.input, &mut |identity, row| {
        let (group, is_new) = groups.of(identity);
        if is_new {
            held.add(1, row.values().len())?;
            taken.push(vec![0; row.values().len()]);
        }
        let taken = &mut taken[group];
        for index in 0..row.values().len() {
            if row.is_absent_at(index) {
                continue;
            }
            match taken.get_mut(index) {
                Some(taken) if *taken < counts.at(index) => *taken += 1,
                _ => row.clear_at(index),
            }
        }
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })
}

fn ratios(
    executor: &Executor<'_>,
    argument: &Argument,
    span: Option<Span>,
) -> Result<Vec<f64>, ExecError> {
    let mut ratios = Vec::new();
    for value in each(argument) {
        if value.is_nan() {
            return Err(EvalError::BadArgument("Ratio value is NaN".to_owned()).into());
        }
        let capped = value.clamp(-1.0, 1.0);
        if capped != *value {
            let (got, capped) = (general(*value), general(capped));
            executor.annotate(AnnotationKind::InvalidRatio { got, capped }, span);
        }
        ratios.push(capped);
    }
    Ok(ratios)
}

fn ratio(
    executor: &Executor<'_>,
    rank: &Rank,
    ratios: &[f64],
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let mut bytes = Vec::new();
    executor.stream(&rank.input, &mut |identity, row| {
        bytes.clear();
        for (name, value) in identity.labels().iter() {
            put_prefixed(&mut bytes, name);
            put_prefixed(&mut bytes, value);
        }
        let hash = xxhash_rust::xxh64::xxh64(&bytes, 0);
        let place = hash as f64 / u64::MAX as f64;
        for index in 0..row.values().len() {
            let ratio = ratios.get(index).or(ratios.first()).copied().unwrap_or_default();
            let kept = if ratio >= 0.0 { place < ratio } else { place >= 1.0 + ratio };
            if !kept {
                row.clear_at(index);
            }
        }
        if row.is_empty() { Ok(()) } else { sink(identity, row) }
    })
}

/// The packing that Prometheus hashes: one length byte, or 255 and three of them.
fn put_prefixed(out: &mut Vec<u8>, text: &str) {
    let length = text.len() as u32;
    match u8::try_from(length) {
        Ok(short) if short < 255 => out.push(short),
        _ => {
            out.push(255);
            out.extend_from_slice(&length.to_le_bytes()[..3]);
        }
    }
    out.extend_from_slice(text.as_bytes());
}
