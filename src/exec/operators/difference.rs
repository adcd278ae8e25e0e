//! Along one row: differences of neighbours, rates, running sums.

use plan::semantics::{DifferenceRule, Falls, FirstPoint, Gaps};

use crate::row::{ABSENT, Row, is_absent};

/// A point as a difference sees it.
#[derive(Clone, Copy)]
struct Point {
    at_ms: i64,
    value: f64,
    integer: Option<i64>,
}

/// What a point's difference is.
enum Outcome {
    /// A value, and whether it is an exact integer.
    Point(f64, Option<i64>),
    /// No point; the point still becomes the previous one.
    Nothing,
    /// No point, and the next one has no previous.
    Forget,
}

/// Replaces every value by its difference to the previous one.
pub(crate) fn apply(rule: &DifferenceRule, row: &mut Row) {
    let origin = rule.first == FirstPoint::Origin;
    let mut previous = origin.then_some(Point { at_ms: 0, value: 0.0, integer: Some(0) });
    let mut hide_next = origin;
    let from_itself = rule.first == FirstPoint::Itself;
    let mut met_any = false;
    row.held = origin;
    row.hidden = None;
    for index in 0..row.samples.values.len() {
        let value = row.samples.values[index];
        if is_absent(value) {
            if rule.gaps == Gaps::Break {
                previous = None;
            }
            continue;
        }
        let point = Point { at_ms: row.at(index), value, integer: row.integer(index) };
        let outcome = match out_of_bounds(rule, point) {
            true => Outcome::Forget,
            false => match previous {
                Some(previous) => difference(rule, previous, point),
                None if from_itself && !met_any => Outcome::Point(0.0, point.integer.map(|_| 0)),
                None => Outcome::Nothing,
            },
        };
        met_any = true;
        previous = (!matches!(outcome, Outcome::Forget)).then_some(point);
        let (mut value, mut integer) = match outcome {
            Outcome::Point(value, integer) => (value, integer),
            Outcome::Nothing | Outcome::Forget => (ABSENT, None),
        };
        if hide_next && !is_absent(value) {
            hide_next = false;
            row.hidden = Some((point.at_ms, value));
            (value, integer) = (ABSENT, None);
        }
        row.samples.values[index] = value;
        if let Some(slot) = row.samples.integers.get_mut(index) {
            *slot = integer;
        }
    }
    if rule.per_second {
        row.samples.integers.clear();
    }
    if row.grid.is_none() {
        crate::operators::map::drop_absent(row);
    }
}

fn out_of_bounds(rule: &DifferenceRule, point: Point) -> bool {
    match &rule.falls {
        Falls::WrapsIfBounded { max, min } => {
            max.is_some_and(|max| point.value > max.0) || min.is_some_and(|min| point.value < min.0)
        }
        _ => false,
    }
}

fn difference(rule: &DifferenceRule, previous: Point, point: Point) -> Outcome {
    let mut integer = match (previous.integer, point.integer) {
        (Some(previous), Some(point)) => Some(point.wrapping_sub(previous)),
        _ => None,
    };
    let mut grown = integer.map_or(point.value - previous.value, |grown| grown as f64);
    let fell = integer.map_or(grown < 0.0, |grown| grown < 0);
    if fell {
        match &rule.falls {
            Falls::Kept => {}
            Falls::Dropped => return Outcome::Nothing,
            Falls::Wraps { max, .. } => match (previous.integer, point.integer) {
                (Some(before), Some(now)) => {
                    let wrapped = max.wrapping_sub(before).wrapping_add(now);
                    integer = Some(wrapped);
                    grown = wrapped as f64;
                }
                _ => grown = *max as f64 - previous.value + point.value,
            },
            Falls::WrapsIfBounded { max, min } => {
                let floor = min.map_or(0.0, |min| min.0);
                grown = match (max, min) {
                    (Some(max), _) => max.0 + 1.0 + point.value - previous.value - floor,
                    (None, Some(_)) => point.value - floor,
                    (None, None) => return Outcome::Nothing,
                };
                integer = None;
            }
        }
    }
    if !rule.per_second {
        return Outcome::Point(grown, integer);
    }
    let rate = grown / ((point.at_ms - previous.at_ms) as f64 / 1e3);
    match rule.falls {
        Falls::Wraps { resets_above, .. }
            if fell && resets_above > 0 && rate > resets_above as f64 =>
        {
            Outcome::Point(0.0, None)
        }
        _ => Outcome::Point(rate, None),
    }
}

/// Replaces every value by the sum up to it.
pub(crate) fn integral(row: &mut Row) {
    row.samples.integers.clear();
    let mut sum = 0.0;
    for value in row.samples.values.iter_mut().filter(|value| !is_absent(**value)) {
        sum += *value;
        *value = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plan::node::Number;

    fn of(falls: Falls, first: FirstPoint, samples: &[(i64, i64)]) -> (Vec<f64>, Option<f64>) {
        let mut row = Row::default();
        for (at_ms, value) in samples {
            row.samples.push(*at_ms, model::SampleKind::Integer, *value as u64);
        }
        let rule = DifferenceRule { per_second: true, falls, gaps: Gaps::Bridged, first };
        apply(&rule, &mut row);
        (row.samples.values.clone(), row.hidden.map(|hidden| hidden.1))
    }

    #[test]
    fn rates_start_at_the_origin_and_hide_it() {
        let samples = [(1000, 10), (2000, 30), (4000, 30)];
        let (rates, hidden) = of(Falls::Kept, FirstPoint::Origin, &samples);
        assert_eq!((rates, hidden), (vec![20.0, 0.0], Some(10.0)));
        let (rates, hidden) = of(Falls::Kept, FirstPoint::None, &samples);
        assert_eq!((rates, hidden), (vec![20.0, 0.0], None));
    }

    #[test]
    fn falls_wrap_drop_or_reset() {
        let samples = [(1000, 10), (2000, 90), (3000, 5)];
        let wraps = |resets_above| Falls::Wraps { max: 100, resets_above };
        assert_eq!(of(wraps(0), FirstPoint::None, &samples).0, vec![80.0, 15.0]);
        assert_eq!(of(wraps(10), FirstPoint::None, &samples).0, vec![80.0, 0.0]);
        assert_eq!(of(Falls::Dropped, FirstPoint::None, &samples).0, vec![80.0]);
        let bounded = Falls::WrapsIfBounded { max: Some(Number(100.0)), min: None };
        assert_eq!(of(bounded, FirstPoint::None, &samples).0, vec![80.0, 16.0]);
    }
}
