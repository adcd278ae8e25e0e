//! Answers against expectations, with the reference's tolerance.

use std::sync::Arc;

use exec::Value as Answered;
use model::{Histogram, HistogramBuckets, Labels, Points, ResultSeries, is_stale};

use super::script::{Answer, Eval, single};
use super::series::{Described, Series, Value};

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

/// A point of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Got {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl Got {
    fn at(points: &Points, index: usize) -> Self {
        match points.histograms.get(index) {
            Some(Some(histogram)) => Self::Histogram(histogram.clone()),
            _ => Self::Float(points.values[index]),
        }
    }

    fn is_as(&self, wanted: &Value) -> bool {
        match (self, wanted) {
            (Self::Float(got), Value::Float(wanted)) => almost_equal(*wanted, *got),
            (Self::Histogram(got), Value::Histogram(wanted)) => alike(wanted, got),
            _ => false,
        }
    }
}

/// Histograms are compared without empty buckets.
fn alike(wanted: &Described, got: &Histogram) -> bool {
    let (mut one, mut other) = ((*wanted.histogram).clone(), got.clone());
    one.compact();
    other.compact();
    let counts = |buckets: &HistogramBuckets| buckets.iter().collect::<Vec<_>>();
    let buckets_alike = |one: &HistogramBuckets, other: &HistogramBuckets| {
        let (one, other) = (counts(one), counts(other));
        one.len() == other.len()
            && one.iter().zip(&other).all(|(a, b)| a.0 == b.0 && almost_equal(a.1, b.1))
    };
    one.schema == other.schema
        && almost_equal(one.count, other.count)
        && almost_equal(one.sum, other.sum)
        && almost_equal(one.zero_count, other.zero_count)
        && one.zero_threshold == other.zero_threshold
        && one.bounds == other.bounds
        && buckets_alike(&one.positive, &other.positive)
        && buckets_alike(&one.negative, &other.negative)
        && (!wanted.tells_resets || one.reset_hint == other.reset_hint)
}

/// A result of one instant.
pub(crate) enum AtInstant {
    /// A number.
    Scalar(f64),
    /// Series with their values, in order.
    Vector(Vec<(Labels, Got)>),
}

/// The answer at `at_ms`.
pub(crate) fn at_instant(answer: &Answered, at_ms: i64) -> Option<AtInstant> {
    let value = |points: &Points| {
        let index = points.timestamps.iter().position(|at| *at == at_ms)?;
        Some(Got::at(points, index))
    };
    match answer {
        Answered::Scalar(points) => match value(points)? {
            Got::Float(float) => Some(AtInstant::Scalar(float)),
            Got::Histogram(_) => None,
        },
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

fn compare_vector(wanted: &[Series], got: &[(Labels, Got)], ordered: bool) -> Result<(), String> {
    for (index, (labels, value)) in got.iter().enumerate() {
        let place = wanted.iter().position(|one| one.labels == *labels);
        let Some(place) = place else {
            return Err(format!("unexpected series {labels} = {value:?}"));
        };
        if ordered && place != index {
            return Err(format!("series {labels} is number {index}, not {place}"));
        }
        match single(&wanted[place]) {
            Some(wanted) if value.is_as(&wanted) => {}
            other => return Err(format!("series {labels}: expected {other:?}, got {value:?}")),
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
        let points: Vec<(i64, &Value)> = one
            .values
            .iter()
            .enumerate()
            .filter(|(_, value)| **value != Value::Omitted)
            .map(|(index, value)| (start_ms + index as i64 * step_ms, value))
            .collect();
        let times = row.points.timestamps.iter().copied().enumerate();
        let got: Vec<(i64, Got)> =
            times.map(|(index, at)| (at, Got::at(&row.points, index))).collect();
        let alike = points.len() == got.len()
            && points.iter().zip(&got).all(|(a, b)| a.0 == b.0 && b.1.is_as(a.1));
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
