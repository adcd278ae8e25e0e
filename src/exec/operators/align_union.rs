//! Rows on different instants, met at the union of all of them.
//!
//! A row takes part from its first to its last point. The result is an integer exactly where no row
//! that still takes part, or is yet to start, has a float as its current or its next point.

use plan::EvalError;
use plan::semantics::{Between, Reducer};

use crate::error::ExecError;
use crate::kernels::reduce::{reduce as reduce_floats, reduce_integers};
use crate::operators::union_histograms;
use crate::row::{Row, Rows};

/// A point on the way.
#[derive(Clone, Copy, Debug)]
struct Point {
    at_ms: i64,
    value: f64,
    integer: Option<i64>,
}

/// One row's place.
struct Cursor {
    points: Vec<Point>,
    /// Index of the next point; `points.len()` when exhausted.
    next: usize,
    current: Option<Point>,
    held: bool,
}

impl Cursor {
    fn new(row: &Row) -> Self {
        let points: Vec<Point> = row
            .values()
            .iter()
            .enumerate()
            .filter(|(_, value)| !crate::row::is_absent(**value))
            .map(|(index, value)| Point {
                at_ms: row.at(index),
                value: *value,
                integer: row.integer(index),
            })
            .collect();
        let hidden = row.hidden.filter(|_| !points.is_empty());
        let current = hidden.map(|(at_ms, value)| Point { at_ms, value, integer: None });
        Self { points, next: 0, current, held: row.held }
    }

    fn next_point(&self) -> Option<Point> {
        self.points.get(self.next).copied()
    }

    fn is_float(&self) -> bool {
        [self.current, self.next_point()].into_iter().flatten().any(|p| p.integer.is_none())
    }

    /// Moves to `at_ms`. A row that has passed its last point takes no further part.
    fn advance(&mut self, at_ms: i64) {
        match self.next_point() {
            None => self.current = None,
            Some(point) if point.at_ms == at_ms => {
                self.current = Some(point);
                self.next += 1;
            }
            Some(_) => {}
        }
    }

    fn float_at(&self, at_ms: i64, between: Between) -> Option<f64> {
        let current = self.current?;
        let Some(next) = self.next_point().filter(|_| current.at_ms != at_ms && !self.held) else {
            return Some(current.value);
        };
        Some(match between {
            Between::Linear => {
                let run = (at_ms - current.at_ms) as f64;
                current.value
                    + run * (next.value - current.value) / (next.at_ms - current.at_ms) as f64
            }
            Between::Zero => 0.0,
            Between::Largest => f64::MAX,
            Between::Smallest => -f64::MAX,
            Between::Previous => current.value,
        })
    }

    fn integer_at(&self, at_ms: i64, between: Between) -> Option<i64> {
        let current = self.current?;
        let value = current.integer?;
        let Some(next) = self.next_point().filter(|_| current.at_ms != at_ms && !self.held) else {
            return Some(value);
        };
        Some(match between {
            Between::Linear => {
                let rise = next.integer?.wrapping_sub(value);
                let run = at_ms - current.at_ms;
                value.wrapping_add(run.wrapping_mul(rise).wrapping_div(next.at_ms - current.at_ms))
            }
            Between::Zero => 0,
            Between::Largest => i64::MAX,
            Between::Smallest => i64::MIN,
            Between::Previous => value,
        })
    }
}

/// One row for the group, on listed instants.
pub(crate) fn reduce(
    reducer: &Reducer,
    between: Between,
    rows: &Rows<'_>,
) -> Result<Row, ExecError> {
    if rows.iter().any(|(_, row)| row.has_histograms()) {
        return union_histograms::reduce(rows);
    }
    let mut cursors: Vec<Cursor> = rows.iter().map(|(_, row)| Cursor::new(row)).collect();
    let mut out = Row::default();
    let mut floats = Vec::new();
    let mut integers = Vec::new();
    let mut scratch = Vec::new();
    let next_instant = |cursors: &[Cursor]| {
        cursors.iter().filter_map(|cursor| cursor.next_point().map(|point| point.at_ms)).min()
    };
    while let Some(at_ms) = next_instant(&cursors) {
        cursors.iter_mut().for_each(|cursor| cursor.advance(at_ms));
        let integer = if cursors.iter().any(Cursor::is_float) {
            None
        } else {
            integers.clear();
            integers.extend(cursors.iter().filter_map(|cursor| cursor.integer_at(at_ms, between)));
            reduce_integers(reducer, &integers)
        };
        let value = match integer {
            Some(integer) => integer as f64,
            None => {
                floats.clear();
                floats.extend(cursors.iter().filter_map(|cursor| cursor.float_at(at_ms, between)));
                reduce_floats(reducer, &floats, f64::NAN, floats.len(), &mut scratch)
            }
        };
        if value.is_infinite() {
            let sign = if value > 0.0 { "" } else { "-" };
            return Err(EvalError::NotANumber(format!("Got Infinity: {sign}Infinity")).into());
        }
        out.samples.timestamps.push(at_ms);
        out.samples.values.push(value);
        out.samples.integers.push(integer);
    }
    if out.samples.integers.iter().all(Option::is_none) {
        out.samples.integers.clear();
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::row::Identity;
    use model::{Labels, SampleKind};
    use plan::semantics::Arithmetic;

    enum V {
        I(i64),
        F(f64),
    }

    fn of(
        reducer: Reducer,
        between: Between,
        rows: &[&[(i64, V)]],
    ) -> Vec<(i64, f64, Option<i64>)> {
        let budget = Budget::new(plan::QueryLimits::default());
        let mut collected = Rows::new(&budget);
        for samples in rows {
            let mut row = Row::default();
            for (at_ms, value) in *samples {
                match value {
                    V::I(v) => row.samples.push(*at_ms, SampleKind::Integer, *v as u64),
                    V::F(v) => row.samples.push(*at_ms, SampleKind::Float, v.to_bits()),
                }
            }
            collected.push(&mut Identity::known(Labels::empty()), &row).unwrap();
        }
        let out = reduce(&reducer, between, &collected).unwrap();
        let points = 0..out.samples.values.len();
        points.map(|i| (out.at(i), out.samples.values[i], out.integer(i))).collect()
    }

    #[test]
    fn integers_stay_until_a_float_is_in_sight() {
        let sum = Reducer::Sum(Arithmetic::SkipNaN);
        let out = of(sum, Between::Linear, &[&[(1, V::I(1)), (2, V::I(2)), (3, V::F(3.5))]]);
        assert_eq!(out, vec![(1, 1.0, Some(1)), (2, 2.0, None), (3, 3.5, None)]);
    }

    #[test]
    fn rows_meet_on_the_straight_line_and_only_inside_their_extent() {
        let sum = Reducer::Sum(Arithmetic::SkipNaN);
        let a: &[(i64, V)] = &[(0, V::I(0)), (10, V::I(5))];
        let b: &[(i64, V)] = &[(3, V::I(100)), (20, V::I(100))];
        let out = of(sum.clone(), Between::Linear, &[a, b]);
        let integers: Vec<_> = out.iter().map(|(at, _, i)| (*at, i.unwrap())).collect();
        assert_eq!(integers, vec![(0, 0), (3, 101), (10, 105), (20, 100)]);
        let out = of(sum, Between::Zero, &[a, b]);
        assert_eq!(out[1].1, 100.0);
    }
}
