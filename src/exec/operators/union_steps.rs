//! Rows of floats on one step, met at the union of their instants: added up row by row.
//!
//! What a row gives at an instant between two of its points depends on this row alone, so a group
//! costs its steps and not its rows, and no row is kept. Instants at which no row of the group has
//! a point are not part of the union and are left out at the end.

use plan::semantics::{Alignment, Arithmetic, Between, Buckets, Reducer};
use plan::{Aggregate, EvalError, Fold, Map, Node, Op, Relabel};

use crate::error::ExecError;
use crate::executor::{Executor, Sink};
use crate::kernels::arithmetic::{larger, smaller};
use crate::operators::aggregate::GroupTable;
use crate::row::{ABSENT, Row, is_absent};

/// Instants of a group beyond which the rows are collected after all: a range from the epoch on in
/// steps of a second has few points and many instants.
const STEPS_MAX: usize = 1 << 20;

/// Instants `start_ms`, `start_ms + step_ms` … of which there are `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    start_ms: i64,
    step_ms: i64,
    count: usize,
}

impl Steps {
    /// The instants on which all rows of the aggregate's input lie, where it can be computed row by
    /// row.
    pub(crate) fn of(aggregate: &Aggregate) -> Option<Self> {
        let streams = matches!(
            aggregate.reducer,
            Reducer::Sum(Arithmetic::SkipNaN)
                | Reducer::Average(Arithmetic::SkipNaN)
                | Reducer::Min
                | Reducer::Max
                | Reducer::CountNumbers
        );
        if !streams {
            return None;
        }
        Self::below(&aggregate.input).filter(|steps| steps.count <= STEPS_MAX)
    }

    fn below(node: &Node) -> Option<Self> {
        match &node.op {
            Op::Fold(Fold { buckets, .. }) => match buckets {
                Buckets::Occupied { range, step_ms } if *step_ms > 0 => {
                    let start_ms = range.start_ms - range.start_ms.rem_euclid(*step_ms);
                    let length = range.end_ms.checked_sub(start_ms).filter(|ms| *ms >= 0)?;
                    let count = usize::try_from(length / step_ms).ok()?.checked_add(1)?;
                    Some(Self { start_ms, step_ms: *step_ms, count })
                }
                Buckets::Steps { grid, .. } => {
                    Some(Self { start_ms: grid.start_ms, step_ms: grid.step_ms, count: grid.len() })
                }
                _ => None,
            },
            Op::Map(Map { input, .. })
            | Op::Sort { input, .. }
            | Op::Relabel(Relabel { input, .. }) => Self::below(input),
            Op::Union(inputs) => {
                let first = Self::below(inputs.first()?)?;
                inputs.iter().all(|input| Self::below(input) == Some(first)).then_some(first)
            }
            _ => None,
        }
    }

    /// Index of an instant of these.
    #[inline]
    fn index(&self, at_ms: i64) -> Option<usize> {
        let index = usize::try_from((at_ms - self.start_ms) / self.step_ms).ok()?;
        (index < self.count).then_some(index)
    }

    fn at(&self, index: usize) -> i64 {
        self.start_ms + index as i64 * self.step_ms
    }
}

/// One row per group, in order of the groups' first rows.
pub(crate) fn stream(
    executor: &Executor<'_>,
    aggregate: &Aggregate,
    steps: Steps,
    sink: &mut Sink<'_>,
) -> Result<(), ExecError> {
    let Alignment::Union { between } = aggregate.alignment else {
        return Err(ExecError::Internal("rows that do not meet at their union".to_owned()));
    };
    let mut table: GroupTable<'_, Group> = GroupTable::new(&aggregate.grouping, &aggregate.labels);
    let mut held = executor.budget.hold();
    executor.stream(&aggregate.input, &mut |identity, row| {
        let group = table.of(identity, || Ok(Group::new(&aggregate.reducer, steps, between)))?;
        let cells = group.add(row);
        held.add(usize::from(cells > 0), cells)
    })?;
    table.finish().try_for_each(|(mut identity, group)| {
        executor.check()?;
        sink(&mut identity, &mut group.finish()?)
    })
}

/// The rows of a group so far. Many groups have one row alone, which is kept as it is.
struct Group<'a> {
    reducer: &'a Reducer,
    steps: Steps,
    between: Between,
    only: Option<Row>,
    totals: Option<Totals>,
}

/// What several rows have come to.
struct Totals {
    steps: Steps,
    between: Between,
    state: State,
    /// Instants at which some row has a point.
    met: Vec<bool>,
}

/// The reduction of every instant so far.
enum State {
    /// Sum of the numbers, and how many there are.
    Totals { totals: Vec<[f64; 2]>, answer: fn([f64; 2]) -> f64 },
    /// The best value so far.
    Best { best: Vec<f64>, choose: fn(f64, f64) -> f64 },
}

fn sum([sum, count]: [f64; 2]) -> f64 {
    if count == 0.0 { f64::NAN } else { sum }
}

fn average([sum, count]: [f64; 2]) -> f64 {
    sum / count
}

fn count([_, count]: [f64; 2]) -> f64 {
    count
}

impl State {
    fn new(reducer: &Reducer, count_of_steps: usize) -> Self {
        let totals = |answer| Self::Totals { totals: vec![[0.0; 2]; count_of_steps], answer };
        let best = |choose| Self::Best { best: vec![ABSENT; count_of_steps], choose };
        match reducer {
            Reducer::Min => best(smaller),
            Reducer::Max => best(larger),
            Reducer::Average(_) => totals(average),
            Reducer::CountNumbers => totals(count),
            _ => totals(sum),
        }
    }

    /// Adds one value to each instant from `first` on.
    #[inline(always)]
    fn add(&mut self, first: usize, values: impl Iterator<Item = f64>) {
        match self {
            Self::Totals { totals, .. } => {
                for ([sum, count], value) in totals[first..].iter_mut().zip(values) {
                    // Without a branch: NaN adds nothing.
                    let number = f64::from(u8::from(!value.is_nan()));
                    *sum += if value.is_nan() { 0.0 } else { value };
                    *count += number;
                }
            }
            Self::Best { best, choose } => {
                for (best, value) in best[first..].iter_mut().zip(values) {
                    *best = if is_absent(*best) { value } else { choose(*best, value) };
                }
            }
        }
    }

    fn at(&self, index: usize) -> f64 {
        match self {
            Self::Totals { totals, answer } => answer(totals[index]),
            Self::Best { best, .. } => best[index],
        }
    }
}

impl<'a> Group<'a> {
    fn new(reducer: &'a Reducer, steps: Steps, between: Between) -> Self {
        Self { reducer, steps, between, only: None, totals: None }
    }

    /// Adds a row; how many more numbers are held because of it.
    fn add(&mut self, row: &mut Row) -> usize {
        row.list();
        if let Some(totals) = &mut self.totals {
            totals.add(row);
            return 0;
        }
        let Some(first) = self.only.take() else {
            self.only = Some(row.clone());
            return row.values().len();
        };
        let mut totals = Totals {
            steps: self.steps,
            between: self.between,
            state: State::new(self.reducer, self.steps.count),
            met: vec![false; self.steps.count],
        };
        totals.add(&first);
        totals.add(row);
        self.totals = Some(totals);
        self.steps.count * 2
    }

    fn finish(self) -> Result<Row, ExecError> {
        let mut out = match (self.totals, self.only) {
            (Some(totals), _) => totals.finish(),
            (None, Some(only)) => alone(self.reducer, only),
            (None, None) => Row::default(),
        };
        (out.held, out.hidden) = (false, None);
        match out.values().iter().find(|value| value.is_infinite()) {
            None => Ok(out),
            Some(value) => {
                let sign = if *value > 0.0 { "" } else { "-" };
                let text = format!("Got Infinity: {sign}Infinity");
                Err(EvalError::NotANumber(text).into())
            }
        }
    }
}

/// The only row of a group: it is met by none between its points.
fn alone(reducer: &Reducer, mut row: Row) -> Row {
    row.samples.integers.clear();
    if *reducer == Reducer::CountNumbers {
        let count = |value: &mut f64| *value = f64::from(u8::from(!value.is_nan()));
        row.samples.values.iter_mut().for_each(count);
    }
    row
}

impl Totals {
    /// Adds a row of listed instants.
    fn add(&mut self, row: &Row) {
        let (held, hidden) = (row.held, row.hidden);
        let (times, values) = (row.samples.timestamps.as_slice(), row.values());
        let place = |at_ms: &i64| self.steps.index(*at_ms);
        let Some((first, last)) = times.first().and_then(place).zip(times.last().and_then(place))
        else {
            return;
        };
        if let Some((_, value)) = hidden {
            self.state.add(0, std::iter::repeat_n(value, first));
        }
        if last - first + 1 == times.len() {
            self.met[first..=last].fill(true);
            self.state.add(first, values.iter().copied());
            return;
        }
        self.add_with_gaps(times, values, if held { Between::Previous } else { self.between });
    }

    fn add_with_gaps(&mut self, times: &[i64], values: &[f64], between: Between) {
        let mut before: Option<(usize, i64, f64)> = None;
        for (at_ms, value) in times.iter().zip(values) {
            let Some(index) = self.steps.index(*at_ms) else { continue };
            if let Some((known, known_ms, known_value)) = before {
                let width = (at_ms - known_ms) as f64;
                let steps = self.steps;
                let gap = (known + 1..index).map(|index| match between {
                    Between::Linear => {
                        let run = (steps.at(index) - known_ms) as f64;
                        known_value + run * (value - known_value) / width
                    }
                    Between::Zero => 0.0,
                    Between::Largest => f64::MAX,
                    Between::Smallest => -f64::MAX,
                    Between::Previous => known_value,
                });
                self.state.add(known + 1, gap);
            }
            self.state.add(index, std::iter::once(*value));
            self.met[index] = true;
            before = Some((index, *at_ms, *value));
        }
    }

    fn finish(self) -> Row {
        let mut out = Row::default();
        for index in (0..self.steps.count).filter(|index| self.met[*index]) {
            out.samples.timestamps.push(self.steps.at(index));
            out.samples.values.push(self.state.at(index));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::kernels::reduce::RUNNING;
    use crate::operators::align_union;
    use crate::row::{Identity, Rows};
    use base::rng::Rng;
    use model::{Labels, SampleKind};

    /// Both ways to the same numbers, on random rows with gaps, NaN and hidden first rates.
    #[test]
    fn rows_added_one_by_one_give_what_rows_met_at_once_give() {
        let ways = [Between::Linear, Between::Zero, Between::Largest, Between::Previous];
        let steps = Steps { start_ms: 7_000, step_ms: 500, count: 24 };
        let mut rng = Rng::new(4);
        for round in 0..2_000 {
            let reducer = &RUNNING[round % RUNNING.len()];
            let between = ways[round % ways.len()];
            let (held, dense) = (rng.below(3) == 0, rng.below(2) == 0);
            let budget = Budget::new(plan::QueryLimits::default());
            let mut all = Rows::new(&budget);
            let mut group = Group::new(reducer, steps, between);
            for _ in 0..rng.below(5) + 1 {
                let mut row = Row { held, ..Row::default() };
                for index in 0..steps.count {
                    if dense || rng.below(3) > 0 {
                        let value = rng.below(1000) as f64 / 7.0 - 50.0;
                        let value = if rng.below(9) == 0 { f64::NAN } else { value };
                        row.samples.push(steps.at(index), SampleKind::Float, value.to_bits());
                    }
                }
                row.hidden = (held && rng.below(2) == 0).then_some((6_000, 0.25));
                all.push(&mut Identity::known(Labels::empty()), &row).unwrap();
                group.add(&mut row);
            }
            let (Ok(want), got) = (align_union::reduce(reducer, between, &all), group.finish())
            else {
                // The largest numbers do not add up.
                assert_eq!(between, Between::Largest);
                continue;
            };
            let got = got.unwrap();
            assert_eq!(got.samples.timestamps, want.samples.timestamps, "{reducer:?} {between:?}");
            for (got, want) in got.values().iter().zip(want.values()) {
                assert!(got == want || got.is_nan() && want.is_nan(), "{reducer:?}: {got} {want}");
            }
        }
    }
}
