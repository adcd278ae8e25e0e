//! A group's reduction on a common grid, row by row.

use plan::semantics::{Arithmetic, Reducer};

use crate::kernels::arithmetic::{Compensated, Mean, larger, smaller};
use crate::kernels::reduce::reduce;
use crate::row::{ABSENT, is_absent};

/// The running reduction of every step.
pub(crate) enum Accumulator {
    /// Compensated sums.
    Sum(Vec<Compensated>),
    /// Means.
    Mean(Vec<Mean>),
    /// The best value so far.
    Best(Vec<f64>, fn(f64, f64) -> f64),
    /// How many values.
    Count(Vec<f64>),
    /// 1 where there is any value.
    Group(Vec<f64>),
    /// Count, mean and squared distances (Welford).
    Variance {
        /// The three of every step.
        steps: Vec<[f64; 3]>,
        /// Answer the root.
        root: bool,
    },
    /// All values, row after row, for reductions that need them together.
    Values {
        /// What to do with them.
        reducer: Reducer,
        /// Number of steps.
        steps: usize,
        /// Rows of `steps` values.
        values: Vec<f64>,
    },
}

impl Accumulator {
    /// Nothing reduced yet.
    pub(crate) fn new(reducer: &Reducer, steps: usize) -> Self {
        match reducer {
            Reducer::Sum(Arithmetic::Compensated) => {
                Self::Sum(vec![Compensated { sum: ABSENT, rest: 0.0 }; steps])
            }
            Reducer::Average(Arithmetic::Compensated) => Self::Mean(vec![Mean::default(); steps]),
            Reducer::Min => Self::Best(vec![ABSENT; steps], smaller),
            Reducer::Max => Self::Best(vec![ABSENT; steps], larger),
            Reducer::Count => Self::Count(vec![0.0; steps]),
            Reducer::Group => Self::Group(vec![ABSENT; steps]),
            Reducer::StdDev(Arithmetic::Plain) => {
                Self::Variance { steps: vec![[0.0; 3]; steps], root: true }
            }
            Reducer::StdVar(Arithmetic::Plain) => {
                Self::Variance { steps: vec![[0.0; 3]; steps], root: false }
            }
            _ => Self::Values { reducer: reducer.clone(), steps, values: Vec::new() },
        }
    }

    /// Numbers held per step from the start.
    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Sum(_) => 2,
            Self::Mean(_) | Self::Variance { .. } => 3,
            Self::Best(..) | Self::Count(_) | Self::Group(_) => 1,
            Self::Values { .. } => 0,
        }
    }

    /// Adds a row; how many more numbers are held because of it.
    pub(crate) fn add(&mut self, row: &[f64]) -> usize {
        match self {
            Self::Sum(sums) => add_sums(sums, row),
            Self::Mean(means) => each(means, row, |mean, value| mean.add(value)),
            Self::Best(best, choose) => {
                let choose = *choose;
                each(best, row, |best, value| {
                    *best = if is_absent(*best) { value } else { choose(*best, value) };
                });
            }
            Self::Count(counts) => {
                for (count, value) in counts.iter_mut().zip(row) {
                    *count += f64::from(u8::from(!is_absent(*value)));
                }
            }
            Self::Group(marks) => each(marks, row, |mark, _| *mark = 1.0),
            Self::Variance { steps, .. } => each(steps, row, |[count, mean, squares], value| {
                *count += 1.0;
                let delta = value - *mean;
                *mean += delta / *count;
                *squares += delta * (value - *mean);
            }),
            Self::Values { values, .. } => {
                values.extend_from_slice(row);
                return row.len();
            }
        }
        0
    }

    /// The reduced value of every step. `argument` is the quantile's.
    pub(crate) fn finish(self, argument: &dyn Fn(usize) -> f64, out: &mut Vec<f64>) {
        out.clear();
        match self {
            Self::Sum(sums) => out.extend(
                sums.iter().map(|sum| if is_absent(sum.sum) { ABSENT } else { sum.value() }),
            ),
            Self::Mean(means) => out.extend(
                means.iter().map(|mean| if mean.count == 0.0 { ABSENT } else { mean.value() }),
            ),
            Self::Best(values, _) | Self::Group(values) => *out = values,
            Self::Count(counts) => {
                out.extend(counts.iter().map(|count| if *count == 0.0 { ABSENT } else { *count }));
            }
            Self::Variance { steps, root } => {
                out.extend(steps.iter().map(|[count, _, squares]| match *count {
                    0.0 => ABSENT,
                    count if root => (squares / count).sqrt(),
                    count => squares / count,
                }));
            }
            Self::Values { reducer, steps, values } => {
                let mut column = Vec::new();
                let mut scratch = Vec::new();
                let slots = values.len().checked_div(steps).unwrap_or(0);
                for index in 0..steps {
                    column.clear();
                    let step = values.iter().skip(index).step_by(steps);
                    column.extend(step.copied().filter(|value| !is_absent(*value)));
                    out.push(if column.is_empty() {
                        ABSENT
                    } else {
                        reduce(&reducer, &column, argument(index), slots, &mut scratch)
                    });
                }
            }
        }
    }
}

#[inline(always)]
fn each<T>(states: &mut [T], row: &[f64], step: impl Fn(&mut T, f64)) {
    for (state, value) in states.iter_mut().zip(row).filter(|(_, value)| !is_absent(**value)) {
        step(state, *value);
    }
}

fn add_sums(sums: &mut [Compensated], row: &[f64]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        if is_absent(*value) {
            continue;
        }
        if is_absent(sum.sum) {
            *sum = Compensated::starting_at(*value);
        } else {
            sum.add(*value);
        }
    }
}
