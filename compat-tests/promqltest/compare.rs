//! Answers against expectations, with the reference's tolerance.

use exec::Value as Answered;
use model::{Labels, ResultSeries, is_stale};

use super::script::{Answer, Eval, single};
use super::series::{Series, Value};

/// Relative tolerance.
const EPSILON: f64 = 1e-6;

/// The reference's "almost equal".
pub(crate) fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() {
        return true;
    }
    if a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

/// A result of one instant.
pub(crate) enum AtInstant {
    /// A number.
    Scalar(f64),
    /// Series with their values, in order.
    Vector(Vec<(Labels, f64)>),
}

/// The answer at `at_ms`.
pub(crate) fn at_instant(answer: &Answered, at_ms: i64) -> Option<AtInstant> {
    let value = |points: &model::Points| {
        let index = points.timestamps.iter().position(|at| *at == at_ms)?;
        points.values.get(index).copied()
    };
    match answer {
        Answered::Scalar(points) => Some(AtInstant::Scalar(value(points)?)),
        Answered::Vector(rows) => Some(AtInstant::Vector(
            rows.iter().filter_map(|row| Some((row.labels.clone(), value(&row.points)?))).collect(),
        )),
        Answered::Text(_) => None,
    }
}

/// Compares a result of one instant.
pub(crate) fn compare_instant(
    eval: &Eval,
    result: &AtInstant,
    ordered: bool,
) -> Result<(), String> {
    match (&eval.expected, result) {
        (Answer::Scalar(wanted), AtInstant::Scalar(got)) => {
            if almost_equal(*wanted, *got) {
                Ok(())
            } else {
                Err(format!("expected {wanted}, got {got}"))
            }
        }
        (Answer::Series(wanted), AtInstant::Vector(got)) => compare_vector(wanted, got, ordered),
        (Answer::Scalar(_), _) => Err("expected a scalar, got a vector".to_owned()),
        (Answer::Series(_), _) => Err("expected a vector, got a scalar".to_owned()),
        (Answer::Text(_), _) => Err("expected a text".to_owned()),
    }
}

fn compare_vector(wanted: &[Series], got: &[(Labels, f64)], ordered: bool) -> Result<(), String> {
    for (index, (labels, value)) in got.iter().enumerate() {
        let place = wanted.iter().position(|one| one.labels == *labels);
        let Some(place) = place else {
            return Err(format!("unexpected series {labels} = {value}"));
        };
        if ordered && place != index {
            return Err(format!("series {labels} is number {index}, not {place}"));
        }
        match single(&wanted[place]) {
            Some(Value::Float(wanted)) if almost_equal(wanted, *value) => {}
            other => return Err(format!("series {labels}: expected {other:?}, got {value}")),
        }
    }
    let missing = wanted.iter().find(|one| !got.iter().any(|(labels, _)| *labels == one.labels));
    match missing {
        Some(one) => Err(format!("missing series {}", one.labels)),
        None => Ok(()),
    }
}

/// Compares rows over a grid that starts at `start_ms`.
pub(crate) fn compare_matrix(
    eval: &Eval,
    rows: &[ResultSeries],
    start_ms: i64,
    step_ms: i64,
) -> Result<(), String> {
    let Answer::Series(wanted) = &eval.expected else {
        return Err("expected no series".to_owned());
    };
    for row in rows {
        let labels = &row.labels;
        let Some(one) = wanted.iter().find(|one| one.labels == *labels) else {
            return Err(format!("unexpected series {labels}: {:?}", row.points.values));
        };
        let points: Vec<(i64, f64)> = one
            .values
            .iter()
            .enumerate()
            .filter_map(|(index, value)| match value {
                Value::Float(float) => Some((start_ms + index as i64 * step_ms, *float)),
                _ => None,
            })
            .collect();
        let got = row.points.timestamps.iter().copied().zip(row.points.values.iter().copied());
        let got: Vec<(i64, f64)> = got.collect();
        let alike = points.len() == got.len()
            && points.iter().zip(&got).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1));
        if !alike {
            return Err(format!("series {labels}: expected {points:?}, got {got:?}"));
        }
    }
    let missing = wanted.iter().find(|one| !rows.iter().any(|row| row.labels == one.labels));
    match missing {
        Some(one) => Err(format!("missing series {}", one.labels)),
        None => Ok(()),
    }
}
