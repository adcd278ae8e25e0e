//! How many samples a query looks at, step by step, as Prometheus counts them for `stats`.
//!
//! Asked for seldom, so it is a second pass over the scans of the plan as it was before the rules: the
//! operators need not count.

use model::{StepGrid, is_stale};
use plan::semantics::{Buckets, Staleness};
use plan::{Fold, Node, Op};

use crate::error::ExecError;
use crate::executor::Executor;
use crate::row::Row;

/// Samples at each step of a query. A native histogram counts as the floats that take up its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// The steps.
    pub grid: Option<StepGrid>,
    /// In all windows of the step; those of a sub-query's instants count, not what they are made of.
    pub queryable: Vec<u64>,
    /// Of these, read from the store for this step: windows overlap, and only what is new is read.
    pub read: Vec<u64>,
}

impl StepCounts {
    fn empty(grid: StepGrid) -> Self {
        let zeros = vec![0; grid.len()];
        Self { grid: Some(grid), queryable: zeros.clone(), read: zeros }
    }

    /// Adds what a part of the query counts. A part over one instant holds at every step, but is read
    /// once.
    fn add(&mut self, part: &Self) {
        for (index, total) in self.queryable.iter_mut().enumerate() {
            *total += part.queryable.get(index).or(part.queryable.first()).copied().unwrap_or(0);
        }
        self.read.iter_mut().zip(&part.read).for_each(|(total, read)| *total += read);
    }
}

/// Counts the samples of a query that is answered over `grid`.
pub(crate) fn of_query(
    executor: &Executor<'_>,
    root: &Node,
    grid: StepGrid,
) -> Result<StepCounts, ExecError> {
    let inner = match plan::check::grid(root) {
        Some(inner) if inner.len() != grid.len() => inner,
        _ => return count(executor, root, grid),
    };
    // A sub-query that is itself what is asked for: its instants are the samples of the only step.
    let mut counts = StepCounts::empty(grid);
    executor.stream(root, &mut |_, row| {
        row.list();
        counts.queryable[0] += weights(row).sum::<u64>();
        Ok(())
    })?;
    counts.read[0] = count(executor, root, inner)?.read.iter().sum();
    Ok(counts)
}

/// Counts the samples below `node`, whose rows are over `grid`.
fn count(executor: &Executor<'_>, node: &Node, grid: StepGrid) -> Result<StepCounts, ExecError> {
    executor.check()?;
    let mut counts = StepCounts::empty(grid);
    match &node.op {
        Op::Fold(fold) => {
            counts.add(&windows(executor, fold, grid)?);
            for argument in &fold.arguments {
                counts.add(&count(executor, argument, grid)?);
            }
        }
        Op::Repeat { input, .. } => {
            let once = plan::check::grid(input).unwrap_or(grid);
            counts.add(&count(executor, input, once)?);
        }
        Op::Scan(_) => executor.stream(node, &mut |_, row| {
            counts.queryable[0] += weights(row).sum::<u64>();
            counts.read[0] = counts.queryable[0];
            Ok(())
        })?,
        _ => {
            for child in node.children() {
                counts.add(&count(executor, child, grid)?);
            }
        }
    }
    Ok(counts)
}

fn windows(executor: &Executor<'_>, fold: &Fold, above: StepGrid) -> Result<StepCounts, ExecError> {
    let (grid, edges, fixed) = match &fold.buckets {
        Buckets::Steps { grid, after_ms, until_ms } => (*grid, (*after_ms, *until_ms), false),
        Buckets::Fixed { grid, after_ms, until_ms } => (*grid, (*after_ms, *until_ms), true),
        _ => return count(executor, &fold.input, above),
    };
    let single = fold.staleness == Staleness::Ends && fold.function.is_of_newest();
    let windows = Windows { grid, edges, fixed, single };
    let mut counts = StepCounts::empty(grid);
    executor.stream(&fold.input, &mut |_, row| {
        row.list();
        windows.add_row(row, &mut counts);
        Ok(())
    })?;
    if !is_stored(&fold.input) {
        counts.read = windows.inner_reads(executor, &fold.input)?;
    }
    Ok(counts)
}

/// True for samples as they are stored, not made by a sub-query.
fn is_stored(node: &Node) -> bool {
    match &node.op {
        Op::Scan(_) => true,
        Op::Statistics(input) | Op::Edges { input, .. } => is_stored(input),
        _ => false,
    }
}

struct Windows {
    grid: StepGrid,
    edges: (i64, i64),
    fixed: bool,
    /// Only the newest sample is looked at.
    single: bool,
}

impl Windows {
    /// Edges of a step's window, the lower one excluded.
    fn at(&self, step: usize) -> (i64, i64) {
        let base = if self.fixed { 0 } else { self.grid.at(step) };
        (base.saturating_add(self.edges.0), base.saturating_add(self.edges.1))
    }

    fn add_row(&self, row: &Row, counts: &mut StepCounts) {
        let times = row.samples.timestamps.as_slice();
        let weights: Vec<u64> = weights(row).collect();
        let mut seen = 0;
        for step in 0..self.grid.len() {
            let (after_ms, until_ms) = self.at(step);
            let low = times.partition_point(|at_ms| *at_ms <= after_ms);
            let high = times.partition_point(|at_ms| *at_ms <= until_ms);
            if self.single {
                let newest = if low < high { weights[high - 1] } else { 0 };
                counts.queryable[step] += newest;
                counts.read[step] += if self.fixed && step > 0 { 0 } else { newest };
                continue;
            }
            counts.queryable[step] += weights[low..high].iter().sum::<u64>();
            counts.read[step] += weights[low.max(seen).min(high)..high].iter().sum::<u64>();
            seen = seen.max(high);
        }
    }

    /// What is read for a sub-query's instants, at the first step whose window holds the instant.
    fn inner_reads(&self, executor: &Executor<'_>, input: &Node) -> Result<Vec<u64>, ExecError> {
        let mut read = vec![0; self.grid.len()];
        let Some(inner) = plan::check::grid(input) else { return Ok(read) };
        let counts = count(executor, input, inner)?;
        let mut step = 0;
        for (index, count) in counts.read.iter().enumerate() {
            while step < read.len() && self.at(step).1 < inner.at(index) {
                step += 1;
            }
            if let Some(read) = read.get_mut(step) {
                *read += count;
            }
        }
        Ok(read)
    }
}

/// What each sample of a row counts; nothing for the marker of a series' end.
fn weights(row: &Row) -> impl Iterator<Item = u64> + '_ {
    row.values().iter().enumerate().map(|(index, value)| match row.samples.histograms.get(index) {
        Some(Some(histogram)) => histogram.weight() as u64,
        _ => u64::from(!is_stale(*value)),
    })
}
